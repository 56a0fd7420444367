//! The flags of an instruction: known ones by name and type, with errors for the rest.

use super::Diagnostic;
use crate::frontend::dockerfile::ast::{Span, Word};
use crate::frontend::dockerfile::suggest::nearest;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, `true` or `false`.
    Bool,
    /// A value.
    Value,
    /// A value; it can be repeated.
    Values,
}

/// The flags that were given.
#[derive(Debug, Default)]
pub(super) struct Flags {
    given: Vec<(&'static str, Word)>,
}

impl Flags {
    /// Reads the flags of an instruction that knows `known`.
    pub(super) fn read(flags: &[Word], known: &[(&'static str, Takes)], errors: &mut Vec<Diagnostic>) -> Self {
        let mut given: Vec<(&'static str, Word)> = Vec::new();
        for flag in flags {
            let span = flag.span.clone();
            let text = flag.value.strip_prefix("--").unwrap_or(&flag.value);
            let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            let Some(&(name, takes)) = known.iter().find(|(known, _)| *known == name) else {
                errors.push(unknown(span, name, known));
                continue;
            };
            if takes != Takes::Values
                && let Some((_, first)) = given.iter().find(|(given, _)| *given == name)
            {
                let error = Diagnostic::error(span, format!("the flag `--{name}` is there twice"));
                errors.push(error.note(first.span.clone(), "it was given here").help("remove one of them"));
                continue;
            }
            let value = match (takes, value) {
                (Takes::Bool, None) => "true".into(),
                (Takes::Bool, Some("")) | (Takes::Value | Takes::Values, None) => {
                    let error = Diagnostic::error(span, format!("the flag `--{name}` needs a value"));
                    errors.push(error.help(format!("write `--{name}=value`")));
                    continue;
                }
                (Takes::Bool, Some(value)) => {
                    let lower = value.to_lowercase();
                    if lower != "true" && lower != "false" {
                        let message = format!("`--{name}` is true or false, not `{value}`");
                        errors.push(Diagnostic::error(span, message).help(format!("write `--{name}`")));
                        continue;
                    }
                    lower
                }
                (Takes::Value | Takes::Values, Some(value)) => value.to_owned(),
            };
            given.push((name, Word::new(value, span)));
        }
        Self { given }
    }

    /// The value of a flag. An empty one counts as none.
    pub(super) fn value(&self, name: &str) -> Option<Word> {
        self.values(name).into_iter().find(|word| !word.value.is_empty())
    }

    /// All values of a flag.
    pub(super) fn values(&self, name: &str) -> Vec<Word> {
        self.given.iter().filter(|(given, _)| *given == name).map(|(_, word)| word.clone()).collect()
    }

    /// Whether a flag is set, if it was given.
    pub(super) fn is_set(&self, name: &str) -> Option<bool> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, word)| word.value == "true")
    }
}

fn unknown(span: Span, name: &str, known: &[(&'static str, Takes)]) -> Diagnostic {
    let error = Diagnostic::error(span, format!("unknown flag `--{name}`"));
    let names = known.iter().map(|(name, _)| *name);
    match nearest(name, names.clone()) {
        Some(meant) => error.help(format!("did you mean `--{meant}`?")),
        None if known.is_empty() => error.label("this instruction takes no flags"),
        None => {
            let names: Vec<String> = names.map(|name| format!("--{name}")).collect();
            error.help(format!("the flags of this instruction are {}", names.join(" ")))
        }
    }
}
