//! `imgbuild check`: what there is to say about Dockerfiles, for people and for programs; pages about the checks; fixes.

mod document;
mod patch;
mod sarif;

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::args::values::{self, BuildArg, ContextSource, NamedContext};
use crate::cli::human::count;
use crate::cli::library::{CheckRequest, Library};
use crate::cli::{Session, error};
use crate::frontend::diagnostic::Severity;
use crate::frontend::dockerfile::{FixKind, Level, RULES, Rule};
use crate::oci::Platform;
use crate::ops::error::Diagnostics;
use crate::ops::{self, Error, FixedFile};

/// Check Dockerfiles, and mend some of what is found
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild check
      check ./Dockerfile
  imgbuild check services/*/Dockerfile --deny warnings
      check many, and fail if there is a warning
  imgbuild check --fix --diff
      show what could be mended without changing the image
  imgbuild check --format sarif > checks.sarif
      for code hosts
  imgbuild check --explain CacheOrder
      what a check wants, and why

Exit codes: 0 nothing that is denied, 1 an error, or what --deny names, 2 wrong usage.")]
pub struct Args {
    /// Dockerfiles, or folders that hold one; - for stdin [default: .]
    #[arg(value_name = "FILE|CONTEXT")]
    pub paths: Vec<PathBuf>,
    /// The Dockerfile of the one context that is named
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The stage that would be built [default: the last]; all are checked
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Set an ARG; without a value, from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<BuildArg>,
    /// Name another context: a folder, docker-image://REF, oci-layout://FOLDER or a URL
    #[arg(long, value_name = "NAME=SOURCE")]
    pub build_context: Vec<NamedContext>,
    /// Check for these platforms, such as linux/amd64,linux/arm64
    #[arg(long, value_name = "PLATFORM,…", value_delimiter = ',', value_parser = values::platform)]
    pub platform: Vec<Platform>,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
    /// Fail for more than errors
    #[arg(long, value_enum, value_name = "WHAT")]
    pub deny: Option<Deny>,
    /// Mend what can be mended without changing the image; all: even if it changes
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "safe")]
    #[arg(value_name = "WHICH", conflicts_with_all = ["explain", "list"])]
    pub fix: Option<Fixes>,
    /// With --fix: write nothing, print what would change
    #[arg(long, visible_alias = "dry-run", requires = "fix")]
    pub diff: bool,
    /// Print the page about a check
    #[arg(long, value_name = "NAME", conflicts_with_all = ["list", "paths"])]
    pub explain: Option<String>,
    /// List all checks
    #[arg(long, conflicts_with = "paths")]
    pub list: bool,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, with the places in the source
    #[default]
    Text,
    /// One JSON document
    Json,
    /// SARIF 2.1.0, which code hosts read
    Sarif,
}

/// What is as bad as an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Deny {
    /// Warnings
    Warnings,
    /// Warnings and advice
    Advice,
}

/// Which fixes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fixes {
    /// Those that leave the image as it is
    Safe,
    /// All
    All,
}

/// Checks, fixes, explains or lists.
pub fn run(args: &Args, session: &Session, library: &dyn Library) -> Result<u8, Error> {
    if let Some(name) = &args.explain {
        session.print(explain(name)?)?;
        return Ok(error::OK);
    }
    if args.list {
        session.print(list(args.format)?)?;
        return Ok(error::OK);
    }
    let requests = requests(args)?;
    match args.fix {
        None => {
            let found: Result<Vec<Diagnostics>, Error> =
                requests.iter().map(|request| library.check(request, session)).collect();
            show(&found?, args.format, args.deny, session)
        }
        Some(fixes) => fix(args, &requests, fixes, session, library),
    }
}

/// What is to be checked, for each path.
fn requests(args: &Args) -> Result<Vec<CheckRequest<'_>>, Error> {
    let request = |context: ContextSource, file| CheckRequest {
        context,
        file,
        target: args.target.as_deref(),
        build_args: &args.build_arg,
        contexts: &args.build_context,
        platforms: &args.platform,
    };
    let folder = |path: &Path| ContextSource::Folder(path.to_owned());
    let here = Path::new(".");
    let one = |path: &'_ PathBuf| -> Result<(ContextSource, bool), Error> {
        Ok(match path {
            path if path == Path::new("-") => (ContextSource::Stdin, false),
            path if path.is_dir() => (folder(path), false),
            path => {
                // As `docker build` is mostly called: in the folder of the Dockerfile.
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(here);
                if !parent.is_dir() {
                    return Err(Error::build(format!("there is no file {}", path.display())));
                }
                (folder(parent), true)
            }
        })
    };
    match (&args.paths[..], &args.file) {
        ([], file) => Ok(vec![request(folder(here), file.as_deref())]),
        ([context], Some(file)) => match one(context)? {
            (_, true) => Err(Error::Usage(format!("-f: {} is no folder", context.display()))),
            (context, false) => Ok(vec![request(context, Some(file.as_path()))]),
        },
        (_, Some(_)) => Err(Error::Usage("-f names the Dockerfile of one context: give the files without it".into())),
        (paths, None) => paths
            .iter()
            .map(|path| one(path).map(|(context, named)| request(context, named.then_some(path.as_path()))))
            .collect(),
    }
}

/// Prints what was found; the exit code.
pub(super) fn show(found: &[Diagnostics], format: Format, deny: Option<Deny>, session: &Session) -> Result<u8, Error> {
    match format {
        Format::Text => {
            for (number, found) in found.iter().enumerate() {
                if number > 0 {
                    session.print("\n")?;
                }
                session.print(text(found, session))?;
            }
        }
        Format::Json => session.print(super::json_pretty(&document::document(found))?)?,
        Format::Sarif => session.print(super::json_pretty(&sarif::log(found))?)?,
    }
    Ok(exit_code(found, deny))
}

fn exit_code(found: &[Diagnostics], deny: Option<Deny>) -> u8 {
    let denied = |severity: Severity| match severity {
        Severity::Error => true,
        Severity::Warning => deny.is_some(),
        Severity::Advice => deny == Some(Deny::Advice),
    };
    let failed = found.iter().flat_map(|found| &found.list).any(|one| denied(one.severity));
    if failed { error::BUILD_FAILED } else { error::OK }
}

fn of(found: &Diagnostics, severity: Severity) -> usize {
    found.list.iter().filter(|one| one.severity == severity).count()
}

fn text(found: &Diagnostics, session: &Session) -> String {
    if found.list.is_empty() {
        return format!("{}: no problems found\n", found.name);
    }
    let style = session.style();
    let style = error::Style { colours: style.colours && session.env.stdout_is_terminal(), ..style };
    let mut text = error::render_diagnostics(found, style);
    text += &format!(
        "\n{}: {}, {}",
        found.name,
        count(of(found, Severity::Error), "error"),
        count(of(found, Severity::Warning), "warning")
    );
    match of(found, Severity::Advice) {
        0 => {}
        1 => text += ", 1 piece of advice",
        more => text += &format!(", {more} pieces of advice"),
    }
    text.push('\n');
    let can = |changes: bool| {
        let fixes = found.list.iter().filter_map(|one| one.fix.as_ref());
        fixes.filter(|fix| fix.changes_result == changes).count()
    };
    match (can(false), can(true)) {
        (0, 0) => {}
        (safe, 0) => text += &format!("{safe} can be mended by `imgbuild check --fix`\n"),
        (0, more) => text += &format!("{more} can be mended by `imgbuild check --fix=all`, which changes the image\n"),
        (safe, more) => {
            text += &format!(
                "{safe} can be mended by `imgbuild check --fix`, {more} more by --fix=all, which changes the image\n"
            );
        }
    }
    text
}

fn fix(
    args: &Args,
    requests: &[CheckRequest<'_>],
    fixes: Fixes,
    session: &Session,
    library: &dyn Library,
) -> Result<u8, Error> {
    let mut remaining = Vec::new();
    for request in requests {
        if request.context == ContextSource::Stdin || request.file == Some(Path::new("-")) {
            return Err(Error::Usage("--fix: what comes from standard input cannot be written back".into()));
        }
        let fixed = library.fix(request, session, fixes == Fixes::All)?;
        let name = fixed.remaining.name.clone();
        if args.diff {
            session.print(patch::unified(&name, &fixed.before, &fixed.after))?;
        } else if fixed.before != fixed.after {
            ops::write_fixed(Path::new(&name), &fixed.after)?;
        }
        if args.format == Format::Text && !fixed.rules.is_empty() {
            session.complain(&told(&fixed, args.diff));
        }
        remaining.push(fixed.remaining);
    }
    match args.diff {
        true => Ok(exit_code(&remaining, args.deny)),
        false => show(&remaining, args.format, args.deny, session),
    }
}

fn told(fixed: &FixedFile, only_shown: bool) -> String {
    let mut rules = fixed.rules.clone();
    rules.sort_unstable();
    rules.dedup();
    let verb = if only_shown { "would be mended" } else { "mended" };
    format!("{}: {} {verb}: {}\n", fixed.remaining.name, count(fixed.rules.len(), "finding"), rules.join(", "))
}

/// The page about a check.
fn explain(name: &str) -> Result<String, Error> {
    let Some(rule) = Rule::find(name) else {
        let message = format!("there is no check called {name:?}");
        return Err(Error::Usage(match Rule::nearest(name) {
            Some(meant) => format!("{message}; did you mean {meant}?"),
            None => format!("{message}; `imgbuild check --list` shows all"),
        }));
    };
    Ok(page(rule))
}

/// A check's page, complete: its line of the table, why, examples, and how to do without it.
fn page(rule: &Rule) -> String {
    let mut text = format!("{} ({}): {}.\n\n{}\n", rule.name, kind(rule), sentence(rule.summary), rule.page);
    match rule.fix {
        FixKind::None => {}
        FixKind::Safe => text += "`imgbuild check --fix` mends it.\n\n",
        FixKind::ChangesResult => text += "`imgbuild check --fix=all` mends simple cases. The image changes by it.\n\n",
    }
    text += &if rule.experimental {
        format!("To have it checked, write at the top of the file: `# check=experimental={}`.\n", rule.name)
    } else if rule.name == "NoEmptyContinuation" {
        // A comment above the instruction is too far away from the blank line.
        format!("To skip it, write at the top of the file: `# check=skip={}`.\n", rule.name)
    } else {
        format!(
            "To skip it, write at the top of the file, or right above the instruction: `# check=skip={}`.\n",
            rule.name
        )
    };
    text
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn kind(rule: &Rule) -> &'static str {
    match (rule.level, rule.experimental) {
        (Level::Warning, true) => "experimental warning",
        (Level::Warning, false) => "warning",
        (Level::Advice, _) => "advice",
    }
}

fn fix_name(rule: &Rule) -> &'static str {
    match rule.fix {
        FixKind::None => "",
        FixKind::Safe => "--fix",
        FixKind::ChangesResult => "--fix=all",
    }
}

/// All checks as a table, or as JSON.
fn list(format: Format) -> Result<String, Error> {
    if format != Format::Text {
        return super::json_pretty(&document::rules());
    }
    let width = RULES.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    let lines = RULES.iter().map(|rule| {
        let level = if rule.level == Level::Warning { "warning" } else { "advice" };
        format!("{:width$}  {level:7}  {:9}  {}\n", rule.name, fix_name(rule), rule.summary)
    });
    Ok(format!("{:width$}  {:7}  {:9}  {}\n", "CHECK", "LEVEL", "MENDED BY", "WHY") + &lines.collect::<String>())
}

#[cfg(test)]
mod tests;
