//! What the program is made of: licences, where crates come from, and those that it must not have, as `deny.toml` says.
//!
//! `cargo deny` knows more, advisories above all, and is run where it is installed. This is here because a machine that
//! has nothing but Rust must be able to refuse a dependency as well.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{repository, run};

/// Where crates may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// `deny.toml`, as far as it is understood here.
struct Rules {
    licences: BTreeSet<String>,
    banned: BTreeSet<String>,
}

impl Rules {
    fn read() -> Self {
        let text = fs::read_to_string(repository("deny.toml")).unwrap();
        let file: toml::Value = toml::from_str(&text).unwrap();
        let texts = |value: &toml::Value, key: Option<&str>| -> BTreeSet<String> {
            let text = |item: &toml::Value| key.map_or(item, |key| &item[key]).as_str().unwrap().to_owned();
            value.as_array().unwrap().iter().map(text).collect()
        };
        assert_eq!(file["sources"]["unknown-registry"].as_str(), Some("deny"));
        assert_eq!(file["sources"]["unknown-git"].as_str(), Some("deny"));
        assert_eq!(file["bans"]["wildcards"].as_str(), Some("deny"));
        Self { licences: texts(&file["licenses"]["allow"], None), banned: texts(&file["bans"]["deny"], Some("crate")) }
    }

    /// What is wrong with a package of `cargo metadata`.
    fn wrong_with(&self, package: &Value) -> Option<String> {
        let name = package["name"].as_str().unwrap();
        if package["source"].is_null() {
            let wild = |one: &&Value| one["req"] == "*" && one["path"].is_null();
            let wild = package["dependencies"].as_array().unwrap().iter().find(wild);
            return wild.map(|one| format!("{name} takes any version of {}", one["name"]));
        }
        if package["source"] != REGISTRY {
            return Some(format!("{name} comes from {}", package["source"]));
        }
        if self.banned.contains(name) {
            return Some(format!("{name} is banned"));
        }
        let licence = package["license"].as_str().unwrap_or_default();
        (!self.allows(licence)).then(|| format!("the licence of {name} is {licence:?}"))
    }

    /// Whether an SPDX expression comes down to licences that are allowed.
    fn allows(&self, expression: &str) -> bool {
        // Before SPDX, a slash meant a choice.
        let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut at = 0;
        let allowed = self.either(&words, &mut at);
        allowed && at == words.len()
    }

    fn either(&self, words: &[&str], at: &mut usize) -> bool {
        let mut allowed = self.all(words, at);
        while words.get(*at) == Some(&"OR") {
            *at += 1;
            allowed |= self.all(words, at);
        }
        allowed
    }

    fn all(&self, words: &[&str], at: &mut usize) -> bool {
        let mut allowed = self.one(words, at);
        while words.get(*at) == Some(&"AND") {
            *at += 1;
            allowed &= self.one(words, at);
        }
        allowed
    }

    fn one(&self, words: &[&str], at: &mut usize) -> bool {
        let Some(word) = words.get(*at) else { return false };
        *at += 1;
        if *word == "(" {
            let allowed = self.either(words, at);
            let closed = words.get(*at) == Some(&")");
            *at += 1;
            return allowed && closed;
        }
        if words.get(*at) == Some(&"WITH") {
            let exception = words.get(*at + 1).copied().unwrap_or_default();
            *at += 2;
            // What is allowed without an exception is so with one, which only takes away.
            return self.licences.contains(&format!("{word} WITH {exception}")) || self.licences.contains(*word);
        }
        self.licences.contains(*word)
    }
}

#[test]
fn dependencies_are_what_they_may_be() {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version=1", "--filter-platform", &platform]);
    let metadata: Value = serde_json::from_slice(&run(cargo.current_dir(repository(""))).stdout).unwrap();
    let rules = Rules::read();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "{} packages are too few to be all", packages.len());
    let wrong: Vec<String> = packages.iter().filter_map(|package| rules.wrong_with(package)).collect();
    assert!(wrong.is_empty(), "deny.toml says otherwise:\n  {}", wrong.join("\n  "));
}

#[test]
fn a_dependency_can_be_refused() {
    let rules = Rules { licences: ["MIT", "ISC"].map(Into::into).into(), banned: ["sled".into()].into() };
    let check = |name: &str, source: Value, licence: &str, expected: Option<&str>| {
        let package = serde_json::json!({"name": name, "source": source, "license": licence, "dependencies": [
            {"name": "x", "req": if licence == "wild" { "*" } else { "^1" }, "path": null},
        ]});
        let wrong = rules.wrong_with(&package);
        assert!(wrong.is_some() == expected.is_some(), "{package}: {wrong:?}");
        assert!(wrong.unwrap_or_default().contains(expected.unwrap_or_default()), "{package}");
    };
    let registry = || Value::from(REGISTRY);
    check("a", registry(), "MIT", None);
    check("a", registry(), "GPL-3.0 OR MIT", None);
    check("a", registry(), "GPL-3.0/MIT", None);
    check("a", registry(), "(GPL-3.0 OR MIT) AND ISC", None);
    check("a", registry(), "GPL-3.0 AND MIT", Some("GPL-3.0 AND MIT"));
    check("a", registry(), "GPL-3.0 OR (MIT AND BSD-2-Clause)", Some("licence of a"));
    check("a", registry(), "MIT ISC", Some("licence of a"));
    check("a", registry(), "", Some("licence of a"));
    check("sled", registry(), "MIT", Some("banned"));
    check("a", Value::from("git+https://host/a"), "MIT", Some("comes from"));
    check("a", Value::from("registry+https://other/index"), "MIT", Some("comes from"));
    check("own", Value::Null, "MIT", None);
    check("own", Value::Null, "wild", Some("any version"));
}
