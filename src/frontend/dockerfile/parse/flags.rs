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
    pub(super) fn read(flags: Vec<Word>, known: &[(&'static str, Takes)], errors: &mut Vec<Diagnostic>) -> Self {
        let mut given: Vec<(&'static str, Word)> = Vec::with_capacity(flags.len());
        let mut once: Vec<(&'static str, Span)> = Vec::new();
        for Word { value: mut text, span } in flags {
            text.drain(..if text.starts_with("--") { 2 } else { 0 });
            let (name, value) = text.split_once('=').map_or((&*text, None), |(name, value)| (name, Some(value)));
            let Some(&(name, takes)) = known.iter().find(|(known, _)| *known == name) else {
                errors.push(unknown(span, name, known));
                continue;
            };
            if takes != Takes::Values {
                if let Some((_, first)) = once.iter().find(|(given, _)| *given == name) {
                    let error = Diagnostic::error(span, format!("the flag `--{name}` is there twice"));
                    errors.push(error.note(first.clone(), "it was given here").help("remove one of them"));
                    continue;
                }
                once.push((name, span.clone()));
            }
            match (takes, value) {
                (Takes::Bool, None) => text = "true".into(),
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
                    text = lower;
                }
                (Takes::Value | Takes::Values, Some(_)) => drop(text.drain(..=name.len())),
            }
            given.push((name, Word::new(text, span)));
        }
        Self { given }
    }

    /// Takes the value of a flag out. An empty one counts as none.
    pub(super) fn value(&mut self, name: &str) -> Option<Word> {
        let found = self.given.iter_mut().find(|(given, word)| *given == name && !word.value.is_empty());
        found.map(|(_, word)| std::mem::replace(word, Word::new(String::new(), word.span.clone())))
    }

    /// Takes all values of a flag out.
    pub(super) fn values(&mut self, name: &str) -> Vec<Word> {
        self.given.extract_if(.., |(given, _)| *given == name).map(|(_, word)| word).collect()
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
