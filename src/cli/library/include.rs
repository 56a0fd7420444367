//! The files that a build file includes: found and read here, for the front end that cannot.
//!
//! Names that start with a dot fit no wildcard, as in a shell, and `**` does not follow links, so that a checkout is looked
//! through once. What is found is sorted: the order of a folder is not ours.

use std::path::Path;

use crate::frontend::buildfile::{Broken, BuildFile, Found, Loading, MOST_FILES, Need, has_wildcards, matches};
use crate::source::regular;

/// Reads a build file whose text is there already, with all that it includes.
pub(super) fn load(file: &str, name: &str, text: &str, folder: &Path) -> Result<BuildFile, Box<Broken>> {
    let mut loading = Loading::new(file, name, text);
    loop {
        let needs = loading.needs();
        if needs.is_empty() {
            return loading.finish();
        }
        for need in &needs {
            loading.answer(need, find(folder, need));
        }
    }
}

fn find(folder: &Path, need: &Need) -> Vec<Found> {
    let names: Vec<&str> = need.pattern.split('/').collect();
    let mut paths = Vec::new();
    search(folder, String::new(), &names, &mut paths);
    let found = paths.into_iter().map(|path| {
        let place = folder.join(&path);
        let text = regular::text(&place).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
            _ => format!("cannot be read: {error}"),
        });
        Found { path, name: place.display().to_string(), text }
    });
    found.collect()
}

/// Collects the files below a folder whose path fits the names that are left.
fn search(folder: &Path, path: String, names: &[&str], found: &mut Vec<String>) {
    let Some((name, rest)) = names.split_first() else { return };
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    if found.len() > MOST_FILES {
        return;
    }
    if !has_wildcards(name) {
        let next = below(name);
        return step(folder, next, rest, found);
    }
    if *name == "**" {
        search(folder, path.clone(), rest, found);
    }
    for (entry, is_folder) in entries(&folder.join(&path)) {
        if *name == "**" && is_folder {
            search(folder, below(&entry), names, found);
        } else if *name != "**" && matches(name, &entry) {
            step(folder, below(&entry), rest, found);
        }
    }
}

/// Goes on in a folder, or takes the file.
fn step(folder: &Path, path: String, rest: &[&str], found: &mut Vec<String>) {
    if !rest.is_empty() {
        search(folder, path, rest, found);
    } else if folder.join(&path).is_file() && !found.contains(&path) {
        found.push(path);
    }
}

/// The names in a folder that do not start with a dot, sorted, and whether each is a folder itself and no link to one.
fn entries(folder: &Path) -> Vec<(String, bool)> {
    // Of a folder that cannot be read, nothing fits; that is said of the pattern if nothing else does.
    let entries = std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let name = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
        Some((name, entry.file_type().is_ok_and(|kind| kind.is_dir())))
    };
    let mut names: Vec<(String, bool)> = entries.into_iter().flatten().flatten().filter_map(name).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_files() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/build.toml", "b/build.toml", "b/c/d/build.toml", ".git/build.toml", "x.toml"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let check = |pattern: &str, expected: &[&str]| {
            let mut found = Vec::new();
            search(folder.path(), String::new(), &pattern.split('/').collect::<Vec<_>>(), &mut found);
            assert_eq!(found, expected, "{pattern}");
        };
        check("*/build.toml", &["a/build.toml", "b/build.toml"]);
        check("**/build.toml", &["a/build.toml", "b/build.toml", "b/c/d/build.toml"]);
        check("b/**/build.toml", &["b/build.toml", "b/c/d/build.toml"]);
        check("b/[a-c]/d/*", &["b/c/d/build.toml"]);
        check("x.toml", &["x.toml"]);
        check(".git/build.toml", &[".git/build.toml"]);
        check("y.toml", &[]);
        check("a", &[]);
    }
}
