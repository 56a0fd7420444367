//! What is taken away from the layers of steps: by the options, and by comments such as `# imgbuild scrub=apt,shadow`.

use std::collections::BTreeSet;

use super::Options;
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Dockerfile, Word};
use crate::frontend::dockerfile::suggest::nearest;
use crate::fstree::Scrub;

/// The scrubs of all steps of a file, and what is wrong with its comments.
pub(super) fn scrubs(file: &Dockerfile, options: &Options) -> (BTreeSet<Scrub>, Vec<Diagnostic>) {
    let mut scrubs = options.scrubs.clone();
    let mut errors = Vec::new();
    for note in &file.notes {
        match note.value.split_once('=') {
            Some(("scrub", names)) => {
                let start = note.span.end - names.len();
                for name in pieces(names, start) {
                    match Scrub::named(&name.value) {
                        Some(found) => scrubs.extend(found),
                        None => errors.push(unknown(&name)),
                    }
                }
            }
            _ => {
                let key = note.value.split('=').next().unwrap_or_default();
                let error = Diagnostic::error(note.span.clone(), format!("`{key}` is nothing that can be set here"));
                errors.push(error.help("what can be set is `scrub`: `# imgbuild scrub=apt,shadow`"));
            }
        }
    }
    (scrubs, errors)
}

/// The names of a list, which starts at this byte of the file.
fn pieces(list: &str, start: usize) -> impl Iterator<Item = Word> + '_ {
    let mut at = start;
    list.split(',').map(move |piece| {
        let name = piece.trim();
        let from = at + (piece.len() - piece.trim_start().len());
        at += piece.len() + 1;
        Word::new(name.to_owned(), from..from + name.len())
    })
}

fn unknown(name: &Word) -> Diagnostic {
    let known: Vec<&str> = Scrub::names().collect();
    let error = Diagnostic::error(name.span.clone(), format!("`{}` is no scrub", name.value));
    error.help(match nearest(&name.value, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are {}", known.join(", ")),
    })
}
