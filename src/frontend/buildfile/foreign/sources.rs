//! Several files as one text, so that a place in any of them is a range of bytes, as it is for one file.
//!
//! Files are put one after another with a line end between them, as those that a build file includes are.

use crate::frontend::diagnostic::Part;

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

    /// Where each file begins.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.placed().map(|(start, file)| Part { start, name: file.name.clone() }).collect()
    }
}
