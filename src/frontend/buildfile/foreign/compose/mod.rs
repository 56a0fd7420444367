//! `compose.yaml`: each service with a `build` section is a target, and all of them are the group `default`.
//!
//! Several files are merged as compose does it, before anything is looked at. Of a service only `build`, `image` and
//! `environment` matter here (the latter for arguments without a value). All profiles count.

mod build;
mod interpolate;
mod merge;

use std::collections::BTreeMap;

use super::super::model::{Group, Place, Text};
use super::super::suggest::did_you_mean;
use super::ast::Span;
use super::eval::Found;
use super::yaml::{self, Kind, Node};
use super::{Read, Source, Surroundings, add_group, add_target};
use crate::frontend::diagnostic::Diagnostic;
use interpolate::Interpolation;

/// What a compose file can have at the top. Only the first two matter here.
const TOP: &[&str] = &["services", "secrets", "name", "version", "networks", "volumes", "configs", "include", "models"];

/// Reads the files, which begin at these places of all texts, and adds what they say to the model.
pub(super) fn read(
    sources: &[(usize, &Source)],
    surroundings: &Surroundings<'_>,
    read: &mut Read,
) -> Result<(), Vec<Diagnostic>> {
    let one = |error: Box<Diagnostic>| vec![*error];
    let mut whole: Option<Node> = None;
    for (start, source) in sources {
        let mut file = yaml::read(&source.text, *start).map_err(one)?;
        top(&file, &mut read.notes).map_err(one)?;
        merge::normalise(&mut file);
        whole = Some(match whole {
            Some(before) => merge::merge(before, file),
            None => file,
        });
    }
    let Some(mut file) = whole else { return Ok(()) };
    merge::extend(&mut file).map_err(one)?;
    let project = file.get("name").and_then(Node::scalar).filter(|name| !name.is_empty());
    let interpolation = Interpolation::new(surroundings, project.unwrap_or("bake"));
    let mut reader = Reader { interpolation, read, secrets: BTreeMap::new() };
    let mut mistakes = Vec::new();
    let secrets = file.get("secrets").map(Node::pairs).unwrap_or_default();
    for (name, secret) in secrets {
        if let Err(error) = reader.secret(name.scalar().unwrap_or_default(), secret) {
            mistakes.push(*error);
        }
    }
    let mut members = Vec::new();
    let services = file.get("services").map(Node::pairs).unwrap_or_default();
    for (name, service) in services {
        match reader.service(name, service) {
            Ok(Some(target)) => {
                members.push(Text { text: target.name.clone(), place: place(&name.span) });
                add_target(&mut reader.read.file, target);
            }
            Ok(None) => {}
            Err(found) => mistakes.extend(found),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let span = file.span.start..file.span.start;
    add_group(&mut reader.read.file, Group { name: "default".into(), description: None, members, span });
    reader.interpolation.finish(reader.read);
    Ok(())
}

/// What is wrong with the top of a file.
fn top(file: &Node, notes: &mut Vec<Diagnostic>) -> Found<()> {
    if file.is_null() {
        return Ok(());
    }
    let Kind::Map(pairs) = &file.kind else {
        return Err(Box::new(Diagnostic::error(file.span.clone(), "a compose file is a map")));
    };
    for (key, _) in pairs {
        let name = key.scalar().unwrap_or_default();
        if name == "include" {
            let error = Diagnostic::error(key.span.clone(), "`include` is not supported");
            return Err(Box::new(error.help("name each file with -f: later ones are merged over earlier ones")));
        }
        if !TOP.contains(&name) && !name.starts_with("x-") {
            // Docker does not look at them. Without services, it is no compose file.
            let message = format!("unknown key `{name}` in a compose file");
            let help = did_you_mean(name, TOP.iter().copied());
            if file.get("services").is_none() {
                let mut error = Diagnostic::error(key.span.clone(), message);
                error.help.extend(help);
                return Err(Box::new(error));
            }
            let mut note = Diagnostic::warning(super::RULE, key.span.clone(), format!("{message}: it has no effect"));
            note.help.extend(help);
            notes.push(note);
        }
    }
    Ok(())
}

fn place(span: &Span) -> Place {
    Place::File { span: span.clone(), content: None }
}

/// Services under way to be targets.
struct Reader<'r, 's> {
    interpolation: Interpolation<'s>,
    read: &'r mut Read,
    /// Where each secret of the file is: the name of an attribute, and its value.
    secrets: BTreeMap<String, (&'static str, Text)>,
}
