//! The variables that an instruction sees, and the arguments that a stage has declared.

use foldhash::HashMap;

use crate::frontend::dockerfile::expand::Lookup;

/// Arguments that are about the scanning of images: no variables.
pub(super) const SCAN_ARGUMENTS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Names and values, in the order in which the names first came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Environment {
    pairs: Vec<(String, String)>,
    places: HashMap<String, usize>,
}

impl Environment {
    /// Sets a variable; one that is there keeps its place.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.places.get(name) {
            Some(&place) => value.clone_into(&mut self.pairs[place].1),
            None => {
                self.places.insert(name.to_owned(), self.pairs.len());
                self.pairs.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// All of them.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| name.as_str())
    }
}

impl Lookup for Environment {
    fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|&place| self.pairs[place].1.as_str())
    }
}

/// The names that `ARG` declared, in the order in which they first came, with values where they have one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    pairs: Vec<(String, Option<String>)>,
    places: HashMap<String, usize>,
}

impl Arguments {
    /// Declares a name, perhaps again.
    pub(super) fn declare(&mut self, name: &str, value: Option<String>) {
        match self.places.get(name) {
            Some(&place) => self.pairs[place].1 = value,
            None => {
                self.places.insert(name.to_owned(), self.pairs.len());
                self.pairs.push((name.to_owned(), value));
            }
        }
    }

    /// Whether a name was declared.
    pub(super) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// All of them.
    pub(super) fn pairs(&self) -> &[(String, Option<String>)] {
        &self.pairs
    }
}
