//! The variables that an instruction sees.

use std::collections::HashMap;

use crate::frontend::dockerfile::expand::Lookup;

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
