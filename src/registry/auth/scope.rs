//! What a token is to allow: `repository:NAME:pull,push` (Docker's token specification).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Actions on resources. Prints sorted, so that equal ones are equal texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(BTreeMap<String, BTreeSet<String>>);

impl Scope {
    /// Reading a repository.
    pub fn pull(repository: &str) -> Self {
        Self::parse(&format!("repository:{repository}:pull"))
    }

    /// Reading and writing a repository.
    pub fn push(repository: &str) -> Self {
        Self::parse(&format!("repository:{repository}:pull,push"))
    }

    /// The list of all repositories.
    pub fn catalog() -> Self {
        Self::parse("registry:catalog:*")
    }

    /// Reads several, separated by spaces. What makes no sense is left out.
    pub fn parse(text: &str) -> Self {
        let mut scope = Self::default();
        for one in text.split_ascii_whitespace() {
            // A repository's name can have a port in it.
            let Some((resource, actions)) = one.rsplit_once(':') else { continue };
            let known = scope.0.entry(resource.to_owned()).or_default();
            known.extend(actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned));
        }
        scope
    }

    /// Both.
    pub fn and(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (resource, actions) in &other.0 {
            all.0.entry(resource.clone()).or_default().extend(actions.iter().cloned());
        }
        all
    }

    /// One text for each resource, as they are asked for.
    pub fn list(&self) -> Vec<String> {
        let one = |(resource, actions): (&String, &BTreeSet<String>)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        };
        self.0.iter().map(one).collect()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges() {
        let check = |one: &str, other: &str, expected: &str| {
            assert_eq!(Scope::parse(one).and(&Scope::parse(other)).to_string(), expected);
        };
        check("repository:a:pull", "repository:a:push,pull", "repository:a:pull,push");
        check("repository:a:push", "repository:b:pull", "repository:a:push repository:b:pull");
        check("repository:h:5000/a:pull", "", "repository:h:5000/a:pull");
        check("registry:catalog:*", "nonsense  x:", "registry:catalog:* x:");
        assert_eq!(Scope::push("a").and(&Scope::pull("a")), Scope::push("a"));
    }
}
