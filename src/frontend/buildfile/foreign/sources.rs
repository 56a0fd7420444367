//! Several files as one text, so that a place in any of them is a range of bytes, as it is for one file.
//!
//! Files are put one after another with a line end between them. What is wrong is found as ranges of that text, and taken
//! apart into messages per file at the end.

use std::ops::Range;

use crate::frontend::diagnostic::Diagnostic;

/// A file that was read by somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is called in messages; its ending says what is in it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The files of one build, in the order in which later ones add to earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// These files.
    pub fn new(files: Vec<Source>) -> Self {
        Self { files }
    }

    /// The files.
    pub fn files(&self) -> &[Source] {
        &self.files
    }

    /// The text of all files, to which all places refer.
    pub fn text(&self) -> String {
        self.files.iter().map(|file| file.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// Each file with the place at which it begins.
    pub(super) fn placed(&self) -> impl Iterator<Item = (usize, &Source)> {
        let mut at = 0;
        self.files.iter().map(move |file| {
            let start = at;
            at += file.text.len() + 1;
            (start, file)
        })
    }

    /// The messages of each file that has any, with places in that file. One that points into several files is one of the
    /// file it is about, and says in words where else to look.
    pub fn apart(&self, diagnostics: Vec<Diagnostic>) -> Vec<(&Source, Vec<Diagnostic>)> {
        let mut found: Vec<(&Source, Vec<Diagnostic>)> = Vec::new();
        let mut left = diagnostics;
        for (start, file) in self.placed() {
            let range = start..start + file.text.len() + 1;
            let is_here = |diagnostic: &Diagnostic| {
                diagnostic.annotations.first().is_none_or(|annotation| range.contains(&annotation.span.start))
            };
            let (here, others): (Vec<_>, Vec<_>) = left.into_iter().partition(is_here);
            left = others;
            let here: Vec<Diagnostic> = here.into_iter().map(|one| self.within(one, &range)).collect();
            if !here.is_empty() {
                found.push((file, here));
            }
        }
        found
    }

    /// The same with places in one file.
    fn within(&self, mut diagnostic: Diagnostic, range: &Range<usize>) -> Diagnostic {
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            diagnostic.annotations.into_iter().partition(|annotation| range.contains(&annotation.span.start));
        diagnostic.annotations = here;
        let end = range.len().saturating_sub(1);
        for annotation in &mut diagnostic.annotations {
            let span = &annotation.span;
            annotation.span = (span.start - range.start).min(end)..(span.end.max(span.start) - range.start).min(end);
        }
        for annotation in elsewhere {
            if let Some((start, file)) = self.placed().filter(|(start, _)| *start <= annotation.span.start).last() {
                let before = file.text.get(..annotation.span.start - start).unwrap_or_default();
                let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
                diagnostic.help.push(format!("{}: line {line} of {}", annotation.text, file.name));
            }
        }
        diagnostic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_the_file_that_they_are_about() {
        let file = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
        let sources = Sources::new(vec![file("a", "one\ntwo\n"), file("b", ""), file("c", "three")]);
        assert_eq!(sources.text(), "one\ntwo\n\n\nthree");
        let messages = vec![
            Diagnostic::error(10..15, "third").note(4..7, "the other one"),
            Diagnostic::error(0..3, "first"),
            Diagnostic::error(9..9, "empty"),
        ];
        let apart = sources.apart(messages);
        let shown: Vec<String> = apart
            .iter()
            .flat_map(|(file, list)| {
                list.iter().map(|one| format!("{} {:?} {} {:?}", file.name, one.annotations[0].span, one.message, one.help))
            })
            .collect();
        let expected = ["a 0..3 first []", "b 0..0 empty []", "c 0..5 third [\"the other one: line 2 of a\"]"];
        assert_eq!(shown, expected);
    }
}
