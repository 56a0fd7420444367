//! What package managers of languages leave: lockfiles, and the metadata beside what they installed.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::package::{Ecosystem, Package};
use super::stanza::stanzas;

/// `Cargo.lock`. The workspace's own packages have no source and are left out: they are not from elsewhere.
pub fn cargo_lock(text: &str) -> Vec<Package> {
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        source: Option<String>,
    }
    let Ok(lock) = toml::from_str::<Lock>(text) else { return Vec::new() };
    let foreign = lock.package.into_iter().filter(|locked| locked.source.is_some());
    foreign.map(|locked| Package::new(Ecosystem::Cargo, &locked.name, &locked.version)).collect()
}

/// `package-lock.json` and `npm-shrinkwrap.json`, versions 1 to 3.
pub fn npm_lock(text: &str) -> Vec<Package> {
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        packages: BTreeMap<String, Locked>,
        #[serde(default)]
        dependencies: BTreeMap<String, Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: Option<String>,
        version: Option<String>,
        #[serde(default)]
        link: bool,
        license: Option<serde_json::Value>,
        #[serde(default)]
        dependencies: serde_json::Value,
    }
    fn package(name: &str, locked: &Locked) -> Option<Package> {
        let mut package = Package::new(Ecosystem::Npm, name, locked.version.as_deref()?);
        package.license = locked.license.as_ref().and_then(|license| license.as_str().map(str::to_owned));
        Some(package)
    }
    // Only version 1 nests packages; in later ones, the same key says what a package wants.
    fn nested(dependencies: BTreeMap<String, Locked>, found: &mut Vec<Package>) {
        for (name, locked) in dependencies {
            found.extend(package(&name, &locked));
            if let Ok(below) = serde_json::from_value::<BTreeMap<String, Locked>>(locked.dependencies) {
                nested(below, found);
            }
        }
    }
    let Ok(lock) = serde_json::from_str::<Lock>(text) else { return Vec::new() };
    let mut found = Vec::new();
    for (path, locked) in &lock.packages {
        // The empty path is the project itself, and a link leads to a part of it.
        let Some((_, last)) = path.rsplit_once("node_modules/").filter(|_| !locked.link) else { continue };
        found.extend(package(locked.name.as_deref().unwrap_or(last), locked));
    }
    if lock.packages.is_empty() {
        nested(lock.dependencies, &mut found);
    }
    found
}

/// `package.json` of an installed package.
pub fn npm_package(text: &str) -> Vec<Package> {
    #[derive(Deserialize)]
    struct Manifest {
        name: String,
        version: String,
        license: Option<serde_json::Value>,
    }
    let Ok(manifest) = serde_json::from_str::<Manifest>(text) else { return Vec::new() };
    let mut package = Package::new(Ecosystem::Npm, &manifest.name, &manifest.version);
    package.license = manifest.license.as_ref().and_then(|license| license.as_str().map(str::to_owned));
    vec![package]
}

/// `METADATA` and `PKG-INFO` of an installed Python distribution (PEP 566).
pub fn python_metadata(text: &str) -> Vec<Package> {
    let Some(stanza) = stanzas(text).next() else { return Vec::new() };
    let (Some(name), Some(version)) = (stanza.get("Name"), stanza.get("Version")) else { return Vec::new() };
    let mut package = Package::new(Ecosystem::Python, name, version);
    // The older field is free text, often all of a licence.
    package.license = stanza.get("License-Expression").map(str::to_owned);
    vec![package]
}

/// `requirements.txt`, as far as it says exactly what is meant (PEP 440's `==`).
pub fn requirements(text: &str) -> Vec<Package> {
    let requirement = |line: &str| {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let (name, version) = line.split_once("==")?;
        let name = name.split('[').next().unwrap_or_default().trim();
        let version = version.trim_start_matches('=').split_whitespace().next()?;
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+!".contains(&b));
        (plain(name) && plain(version)).then(|| Package::new(Ecosystem::Python, name, version))
    };
    text.lines().filter_map(requirement).collect()
}

/// `go.mod`: the modules that are required, with what replaces them. Since Go 1.17 that is all of them.
pub fn go_mod(text: &str) -> Vec<Package> {
    let (mut required, mut replaced) = (Vec::new(), BTreeMap::new());
    let mut block = None;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let mut words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
        match (block, words.as_slice()) {
            (None, [verb, "("]) => block = Some(*verb),
            (Some(_), [")"]) => block = None,
            (Some(verb), _) => words.insert(0, verb),
            _ => {}
        }
        match words.as_slice() {
            ["require", path, version] => required.push((*path, *version)),
            // What is replaced by a folder has no version there, and is called by its name.
            ["replace", path, "=>", by, to] => drop(replaced.insert((*path, None), (*by, *to))),
            ["replace", path, version, "=>", by, to] => drop(replaced.insert((*path, Some(*version)), (*by, *to))),
            _ => {}
        }
    }
    let package = |(path, version)| {
        let by = replaced.get(&(path, Some(version))).or_else(|| replaced.get(&(path, None)));
        let (path, version) = by.copied().unwrap_or((path, version));
        Package::new(Ecosystem::Go, path, version)
    };
    required.into_iter().map(package).collect()
}
