//! One file for each command: its flags, its call of the library, and what it prints.

pub mod bake;
pub mod build;
pub mod builds;
pub mod check;
pub mod commit;
pub mod completions;
pub mod copy;
pub mod cp;
pub mod debug;
pub mod df;
pub mod diff;
mod differences;
pub mod explore;
pub mod export;
pub mod fetch;
pub mod fsck;
pub mod graph;
pub mod history;
pub mod images;
pub mod import;
pub mod info;
pub mod inspect;
pub mod key;
pub mod load;
pub mod lock;
pub mod log;
pub mod login;
pub mod logout;
pub mod mount;
pub mod plan;
pub mod prune;
pub mod ps;
pub mod pull;
pub mod push;
pub mod report;
pub mod rm;
pub mod rmi;
pub mod run;
pub mod save;
pub mod sbom;
pub mod schema;
pub mod search;
pub mod sign;
pub mod tag;
pub mod tags;
pub mod tree;
pub mod update;
pub mod verify;
pub mod verify_image;
pub mod version;
pub mod why;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;

use super::Session;
use super::args::output::Output;
use super::args::progress::ProgressArgs;
use super::args::shared::OutputArgs;
use super::args::template::ListFormat;
use super::error;
use super::interrupt;
use super::library::network;
use super::progress::trace::{self, Trace};
use super::progress::{self, Clock, Progress};
use super::table;
use crate::event::{Event, Reporter};
use crate::oci::Reference;
use crate::ops::error::Diagnostics;
use crate::ops::{self, Error};
use crate::store::layers::Layers;

/// How lists are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    #[default]
    Table,
    /// One JSON object on each line
    Json,
}

/// How what is no list is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// For people
    #[default]
    Text,
    /// For programs, as JSON
    Json,
}

/// Runs an operation with the progress display that was asked for, and shows its error after the display is gone. The
/// error that comes back is the exit code of one that has been shown.
fn with_progress<T>(
    args: ProgressArgs,
    session: &Session,
    stdout_is_taken: bool,
    operation: impl FnOnce(&Progress) -> Result<T, Error>,
) -> Result<T, u8> {
    let progress = Progress::start(args, &session.env, stdout_is_taken);
    let result = operation(&progress);
    progress.finish();
    result.map_err(|error| {
        // A step that fails because Ctrl-C has reached it too is not the news.
        let error = if interrupt::is_interrupted() { Error::Interrupted } else { error };
        match &progress {
            Progress::Json(json) => json.fail(&error::to_json(&error)),
            _ => {
                let style = error::Style { log_lines: progress.log_lines(), ..session.style() };
                session.complain(&error::render(&error, style));
            }
        }
        error::exit_code(&error)
    })
}

/// Does something with the layers of the store. What the store lacks of images is fetched from where it is known to be, which
/// is shown on standard error.
fn with_layers<T>(session: &Session, operation: impl FnOnce(&Arc<Layers>) -> Result<T, Error>) -> Result<T, Error> {
    let progress = Progress::start(ProgressArgs::default(), &session.env, true);
    let layers = network::layers(session, session.open_store()?, &progress.reporter())?;
    let result = operation(&layers);
    progress.finish();
    result
}

/// Builds with progress, and shows what there is to say about the definition at the end.
fn build_with_progress(
    args: ProgressArgs,
    session: &Session,
    output: &OutputArgs,
    build: impl FnOnce(Arc<dyn Reporter>) -> Result<Vec<Diagnostics>, Error>,
) -> u8 {
    let stdout_is_taken = output.outputs.iter().any(Output::uses_stdout);
    let clock = progress::clock();
    let built = with_progress(args, session, stdout_is_taken, |progress| {
        let watching = Arc::new(Watching { inner: progress.reporter(), ran: AtomicBool::new(false) });
        let found = match &output.trace {
            Some(path) => traced(path, clock, watching.clone(), build)?,
            None => build(watching.clone())?,
        };
        progress.finish();
        if watching.ran.load(Ordering::Relaxed) {
            prune::after_build(session, !matches!(progress, Progress::Json(_) | Progress::Quiet(_)));
        }
        for found in found.iter().filter(|found| !found.list.is_empty()) {
            match progress {
                Progress::Quiet(_) => {}
                Progress::Json(json) => json.remark(&error::messages(found)),
                Progress::Plain(_) | Progress::Tty(_) => {
                    session.complain(&format!("\n{}", error::render_diagnostics(found, session.style())));
                }
            }
        }
        Ok(())
    });
    built.map_or_else(|code| code, |()| error::OK)
}

/// Builds, and writes a trace of it, also of a build that fails.
fn traced<T>(
    path: &Path,
    clock: Clock,
    reporter: Arc<dyn Reporter>,
    build: impl FnOnce(Arc<dyn Reporter>) -> Result<T, Error>,
) -> Result<T, Error> {
    // Before anything runs for it.
    if path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        return Err(Error::Usage(format!("--trace: {} is in no folder that exists", path.display())));
    }
    let trace = Arc::new(Trace::beside(reporter, clock));
    let result = build(trace.clone());
    let text = json_line(&trace::document(&trace.finish()))?;
    let written = write_text(path, &text);
    result.and_then(|built| written.map(|()| built))
}

/// Writes a file that appears whole.
fn write_text(path: &Path, text: &str) -> Result<(), Error> {
    ops::write_file(path, |out| {
        let failed = |error| Error::build(format!("cannot write {}", path.display())).caused_by(error);
        out.write_all(text.as_bytes()).map_err(failed)
    })
}

/// Hears whether a build did anything.
struct Watching {
    inner: Arc<dyn Reporter>,
    ran: AtomicBool,
}

impl Reporter for Watching {
    fn report(&self, event: Event) {
        if let Event::Summary(summary) = &event {
            self.ran.store(summary.executed > 0, Ordering::Relaxed);
        }
        self.inner.report(event);
    }
}

/// One JSON document on a line of its own.
fn json_line(value: &impl serde::Serialize) -> Result<String, Error> {
    match serde_json::to_string(value) {
        Ok(text) => Ok(text + "\n"),
        Err(error) => Err(Error::build("the result cannot be written as JSON").caused_by(error)),
    }
}

/// A list in a format for programs, a line each; none if it is to be a table.
fn list<T: serde::Serialize>(format: &ListFormat, rows: impl Iterator<Item = T>) -> Result<Option<String>, Error> {
    let template = match format {
        ListFormat::Table => return Ok(None),
        ListFormat::Json => return rows.map(|row| json_line(&row)).collect::<Result<String, Error>>().map(Some),
        ListFormat::Lines(template) | ListFormat::Columns(template) => template,
    };
    let mut lines = Vec::new();
    for row in rows {
        let mut value = serde_json::to_value(row)
            .map_err(|error| Error::build("the result cannot be written as JSON").caused_by(error))?;
        let missing = value.as_object_mut().into_iter().flat_map(|fields| fields.values_mut());
        missing.filter(|value| value.is_null()).for_each(|value| *value = "<none>".into());
        let line = template.render(&value).map_err(|message| Error::Usage(format!("--format: {message}")))?;
        // A name from elsewhere must not write to the terminal.
        lines.push(line.replace(|c: char| c.is_control() && c != '\t' && c != '\n', "?"));
    }
    Ok(Some(match format {
        ListFormat::Columns(_) => {
            lines.insert(0, template.head());
            let cells = |line: &String| line.split('\t').map(str::to_owned).collect::<Vec<String>>();
            table::align(&lines.iter().map(cells).collect::<Vec<_>>())
        }
        _ => lines.into_iter().map(|line| line + "\n").collect(),
    }))
}

/// One JSON document for people, with four spaces as `docker inspect` has them.
fn json_pretty(value: &impl serde::Serialize) -> Result<String, Error> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
        .map_err(|error| Error::build("the result cannot be written as JSON").caused_by(error))?;
    text.push(b'\n');
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Does something to each of these, also after a failure; then all failures are one.
fn each(names: &[String], mut action: impl FnMut(&str) -> Result<(), Error>) -> Result<(), Error> {
    let mut errors: Vec<Error> = Vec::new();
    for name in names {
        match action(name) {
            Err(Error::ReaderGone) => return Err(Error::ReaderGone),
            done => errors.extend(done.err()),
        }
    }
    if errors.len() < 2 {
        return errors.pop().map_or(Ok(()), Err);
    }
    let messages: Vec<String> = errors.iter().map(Error::to_string).collect();
    Err(Error::build(messages.join("\n")))
}

/// A file or standard input, and its size in bytes if that is known.
fn input(path: Option<&Path>) -> Result<(Box<dyn Read + Send>, Option<u64>), Error> {
    let Some(path) = path else { return Ok((Box::new(std::io::stdin()), None)) };
    let failed = |error| Error::build(format!("cannot read {}", path.display())).caused_by(error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(Error::build(format!("cannot read {}: it is a folder", path.display())));
    }
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}

/// A name for an image: a digest is not chosen.
fn name_to_give(text: &str) -> Result<Reference, Error> {
    let reference = Reference::parse(text)?;
    match reference.digest() {
        None => Ok(reference),
        Some(_) => Err(Error::Usage(format!("{text:?} is no name for an image: its digest follows from its content"))),
    }
}

/// Where the command runs.
fn current_folder() -> Result<PathBuf, Error> {
    std::env::current_dir().map_err(|error| Error::environment("the current folder is gone").caused_by(error))
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_secs().try_into().unwrap_or(i64::MAX)
}
