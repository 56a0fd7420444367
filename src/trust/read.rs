//! A policy as text: the table `policy` of a build file or of `imgbuild.toml`, or a file that is nothing but that.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Identity, KeyFile, Pattern, Policy, Rule, SignatureRule};

/// The keys of a policy.
const KEYS: &str = "known are `allow`, `deny`, `require-digest` and `require-signature`";

/// Something in a policy that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The bytes of the text.
    pub span: Range<usize>,
    /// What is wrong with them.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A policy whose keys were not read yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyFile {
    policy: Policy,
    /// The key files of each of its rules about signatures, as they were written.
    keys: Vec<Vec<String>>,
}

impl PolicyFile {
    /// The policy, named after its file, with keys that `load` reads.
    pub fn load<E>(self, file: String, mut load: impl FnMut(&str) -> Result<KeyFile, E>) -> Result<Policy, E> {
        let mut policy = Policy { file, ..self.policy };
        for (rule, names) in policy.signatures.iter_mut().zip(&self.keys) {
            rule.keys = names.iter().map(|name| load(name)).collect::<Result<_, E>>()?;
        }
        Ok(policy)
    }
}

/// Reads a file that may have a table `policy`; `Ok(None)` if it has none. With `whole`, the file is that table.
pub fn read_file(text: &str, whole: bool) -> Result<Option<PolicyFile>, Vec<Mistake>> {
    let root = DeTable::parse(text).map_err(|error| {
        let message = format!("not TOML: {}", error.message());
        vec![Mistake { span: error.span().unwrap_or_default(), message, help: None }]
    })?;
    let found = root.get_ref().iter().find(|(name, _)| name.get_ref() == "policy");
    match found {
        // A file for `--policy` may have the table as well, so that the same lines will do in both places.
        Some((_, value)) => match value.get_ref() {
            DeValue::Table(table) => read_table(table, text).map(Some),
            _ => Err(vec![mistake(value, "`policy` must be a table")]),
        },
        None if whole => read_table(root.get_ref(), text).map(Some),
        None => Ok(None),
    }
}

/// Reads the table itself, which is in this text.
pub fn read_table(table: &DeTable<'_>, text: &str) -> Result<PolicyFile, Vec<Mistake>> {
    let mut reader = Reader { text, found: PolicyFile::default(), mistakes: Vec::new() };
    let mut items: Vec<_> = table.iter().collect();
    items.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in items {
        match name.get_ref().as_ref() {
            "allow" => {
                let line = reader.line(name);
                let rules = reader.rules(value, "allow");
                reader.found.policy.allow = Some((rules.into_iter().map(|rule| rule.pattern).collect(), line));
            }
            "deny" => reader.found.policy.deny = reader.rules(value, "deny"),
            "require-digest" => match value.get_ref() {
                DeValue::Boolean(on) => reader.found.policy.require_digest = on.then(|| reader.line(name)),
                _ => reader.mistakes.push(mistake(value, "`require-digest` must be true or false")),
            },
            "require-signature" => reader.signatures(value),
            other => {
                let message = format!("unknown key `{other}` in `policy`");
                reader.mistakes.push(Mistake { help: Some(KEYS.into()), ..mistake(name, message) });
            }
        }
    }
    if reader.mistakes.is_empty() { Ok(reader.found) } else { Err(reader.mistakes) }
}

fn mistake<T>(at: &Spanned<T>, message: impl Into<String>) -> Mistake {
    Mistake { span: at.span(), message: message.into(), help: None }
}

struct Reader<'t> {
    text: &'t str,
    found: PolicyFile,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn line<T>(&self, at: &Spanned<T>) -> u32 {
        let before = self.text.as_bytes().get(..at.span().start).unwrap_or_default();
        u32::try_from(before.iter().filter(|byte| **byte == b'\n').count() + 1).unwrap_or(u32::MAX)
    }

    fn strings<'a>(&mut self, value: &'a Spanned<DeValue<'a>>, what: &str) -> Vec<(&'a str, &'a Spanned<DeValue<'a>>)> {
        let DeValue::Array(items) = value.get_ref() else {
            self.mistakes.push(mistake(value, format!("{what} must be a list of strings")));
            return Vec::new();
        };
        let mut found = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_str() {
                Some(text) => found.push((text, item)),
                None => self.mistakes.push(mistake(item, format!("an item of {what} must be a string"))),
            }
        }
        found
    }

    fn rule<T>(&mut self, text: &str, at: &Spanned<T>) -> Option<Rule> {
        match Pattern::parse(text) {
            Ok(pattern) => Some(Rule { pattern, text: text.to_owned(), line: self.line(at) }),
            Err(reason) => {
                self.mistakes.push(mistake(at, format!("{text:?} is no pattern of repositories: {reason}")));
                None
            }
        }
    }

    fn rules(&mut self, value: &Spanned<DeValue<'_>>, name: &str) -> Vec<Rule> {
        let written = self.strings(value, &format!("`{name}`"));
        written.into_iter().filter_map(|(text, at)| self.rule(text, at)).collect()
    }

    fn signatures(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = value.get_ref() else {
            let message = "`require-signature` must be a table of patterns and keys";
            let help = Some(r#"such as "registry.example/**" = ["release.pub"]"#.into());
            return self.mistakes.push(Mistake { help, ..mistake(value, message) });
        };
        let mut items: Vec<_> = table.iter().collect();
        items.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in items {
            let Some(rule) = self.rule(name.get_ref(), name) else { continue };
            let what = format!("the keys for {:?}", rule.text);
            let (mut keys, mut identity) = (None, Identity::Same);
            match value.get_ref() {
                DeValue::Table(table) => {
                    for (name, value) in table.iter() {
                        match (name.get_ref().as_ref(), value.get_ref().as_str()) {
                            ("keys", _) => keys = Some(self.strings(value, &what)),
                            ("signed-as", Some(text)) => match Identity::parse(text) {
                                Ok(read) => identity = read,
                                Err(reason) => self.mistakes.push(mistake(value, format!("`signed-as`: {reason}"))),
                            },
                            ("signed-as", None) => {
                                self.mistakes.push(mistake(value, "`signed-as` must be `any` or a repository"));
                            }
                            (other, _) => {
                                let message = format!("unknown key `{other}` in `require-signature`");
                                let help = Some("known are `keys` and `signed-as`".into());
                                self.mistakes.push(Mistake { help, ..mistake(name, message) });
                            }
                        }
                    }
                }
                _ => keys = Some(self.strings(value, &what)),
            }
            let keys = keys.unwrap_or_default();
            if keys.is_empty() {
                self.mistakes.push(mistake(value, format!("{what} are none, so no image could fit")));
            }
            self.found.policy.signatures.push(SignatureRule { rule, keys: Vec::new(), identity });
            self.found.keys.push(keys.into_iter().map(|(text, _)| text.to_owned()).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::PrivateKey;

    fn load(text: &str) -> Policy {
        let key = PrivateKey::from_random(&[7; 32]).unwrap().public();
        let loaded = read_file(text, false).unwrap().unwrap();
        let load = |name: &str| Ok::<_, String>(KeyFile { name: name.to_owned(), key: key.clone() });
        loaded.load("p.toml".into(), load).unwrap()
    }

    #[test]
    fn reads_everything() {
        let policy = load(
            "[policy]\nallow = ['debian', 'h.x/**']\ndeny = [\n  'h.x/old/*',\n]\nrequire-digest = true\n\
             [policy.require-signature]\n'h.x/**' = ['a.pub', 'b.pub']\n\
             'm.x/**' = { keys = ['a.pub'], signed-as = 'any' }\n",
        );
        assert_eq!(policy.allow.as_ref().map(|(list, line)| (list.len(), *line)), Some((2, 2)));
        assert_eq!((policy.deny[0].line, policy.require_digest), (4, Some(6)));
        let signers: Vec<&SignatureRule> = policy.signers("h.x/a").collect();
        assert_eq!((signers.len(), signers[0].keys.len(), signers[0].rule.line), (1, 2, 8));
        assert_eq!(policy.signers("m.x/a").next().unwrap().identity, Identity::Any);
        assert_eq!(policy.signers("docker.io/library/debian").count(), 0);
        assert_eq!(read_file("[store]\n", false), Ok(None));
        assert!(read_file("deny = ['*']\n", true).unwrap().is_some());
        assert_eq!(load("[policy]\nrequire-digest = false\n").require_digest, None);
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let mistakes = read_file(text, true).unwrap_err();
            assert!(mistakes[0].message.contains(expected), "{text}: {mistakes:?}");
        };
        check("policy = 1", "must be a table");
        check("[policy]\nalow = []", "unknown key `alow`");
        check("allow = 'x'", "`allow` must be a list");
        check("deny = [1]", "an item of `deny`");
        check("deny = ['h.x']", "write h.x/**");
        check("require-digest = 1", "true or false");
        check("require-signature = ['a']", "a table of patterns");
        check("[require-signature]\n'*' = []", "are none");
        check("[require-signature]\n'*' = { key = [] }", "unknown key `key`");
        check("[require-signature]\n'*' = { keys = ['a'], signed-as = 'A b' }", "signed-as");
        check("[require-signature]\n'*' = { keys = ['a'], signed-as = 1 }", "signed-as");
        check("allow = [", "not TOML");
    }
}
