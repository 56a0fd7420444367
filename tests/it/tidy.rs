//! Keeps the house in order: which room may import which, what the pure rooms may not touch, headers, sizes.
//!
//! The checks read the sources as text. They know comments, strings and `use` groups, but no macros and no types:
//! what they cannot see, reviewers must.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, each of which may import only itself and those before it. `DESIGN.md` and `src/lib.rs` say what each is for.
const ROOMS: &[&str] = &[
    "digest",
    "oci",
    "fstree",
    "graph",
    "event",
    "lockfile",
    "attest",
    "trust",
    "frontend",
    "compress",
    "users",
    "store",
    "source",
    "registry",
    "sandbox",
    "solve",
    "export",
    "remote_cache",
    "ops",
    "cli",
    "dsl",
];

/// The first room that is not pure.
const FIRST_IMPURE: &str = "compress";

/// The front ends, which do not know each other.
const FRONT_ENDS: &[&str] = &["dockerfile", "buildfile", "dsl"];

/// What pure rooms may not use: files, environment, network, processes, threads, clocks, and the crates that reach them.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "nix",
    "rustix",
    "rayon",
    "libc",
];

/// What only `cli` may use: the rest of the program gets it as data.
const ONLY_CLI: &[&str] = &["std::env", "std::io::stdin", "std::io::stdout", "std::io::stderr", "clap", "indicatif"];

/// What is fine everywhere although it looks like one of the above: constants, and types that are only values.
const HARMLESS: &[&str] = &["std::env::consts", "std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr"];

/// Files that break a rule, and why that is right: (rule, file, reason). One that no longer does is an error, too.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("pure", "src/frontend/dockerfile/conformance.rs", "a test that reads the recorded cases"),
    ("cli", "src/sandbox/init.rs", "the process that a sandbox starts with reads its own arguments"),
];

/// The most lines of a file, its tests not counted.
const LONGEST: usize = 800;

#[test]
fn tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut findings = Findings::default();
    for file in files_below(&root.join("src"), "rs") {
        let name = relative(root, &file);
        let text = fs::read_to_string(&file).unwrap();
        check_source(&name, &text, &mut findings);
    }
    for file in files_below(root, "") {
        check_text(&relative(root, &file), &fs::read(&file).unwrap(), &mut findings);
    }
    check_package(root, &mut findings);
    findings.settle(EXCEPTIONS);
    assert!(findings.0.is_empty(), "the house is not tidy:\n{}", findings.lines());
}

/// What was found: rule, file, and the words for a person.
#[derive(Default)]
struct Findings(Vec<(&'static str, String, String)>);

impl Findings {
    fn add(&mut self, rule: &'static str, file: &str, text: impl Into<String>) {
        self.0.push((rule, file.to_owned(), text.into()));
    }

    /// Takes out what is excepted, and complains about exceptions that except nothing.
    fn settle(&mut self, exceptions: &[(&str, &str, &str)]) {
        for (rule, file, _) in exceptions {
            let before = self.0.len();
            self.0.retain(|(found, at, _)| found != rule || at != file);
            if self.0.len() == before {
                self.add("exceptions", file, format!("needs no exception from {rule:?} any more"));
            }
        }
    }

    fn lines(&self) -> String {
        self.0.iter().map(|(rule, file, text)| format!("  {file}: {text} [{rule}]\n")).collect()
    }
}

/// The rules for one file below `src/`.
fn check_source(name: &str, text: &str, findings: &mut Findings) {
    // A file of tests is described by the module that it tests.
    let needs_header = name != "src/main.rs" && !name.ends_with("/tests.rs");
    if needs_header && !text.starts_with("//!") {
        findings.add(
            "header",
            name,
            "does not open with `//!`: say what the module is for, why, and what it does not know",
        );
    }
    let (code, tests) = split_tests(name, text);
    let lines = code.lines().count();
    if lines > LONGEST {
        findings.add("size", name, format!("{lines} lines without tests, {LONGEST} at most: split it by purpose"));
    }
    if name == "src/main.rs" && lines >= 15 {
        findings.add("main", name, "is 15 lines or longer: the program is in the library");
        return;
    }
    let module = module_of(name);
    let room = module.first().cloned().unwrap_or_default();
    let order = ROOMS.iter().position(|known| *known == room);
    if order.is_none() && !["", "main"].contains(&room.as_str()) {
        findings.add("rooms", name, format!("`{room}` is not in the list of rooms"));
    }
    for (part, is_test) in [(code, false), (tests, true)] {
        let clean = without_comments_and_strings(part);
        for (macro_name, rule) in [("dbg!", "macros"), ("todo!", "macros"), ("unimplemented!", "macros")] {
            if words(&clean).any(|word| format!("{word}!") == macro_name) && clean.contains(macro_name) {
                findings.add(rule, name, format!("{macro_name} does not belong into finished code"));
            }
        }
        let mut scope = module.clone();
        if is_test && !name.ends_with("tests.rs") {
            scope.push("tests".into());
        }
        for path in paths(&clean).into_iter().map(|path| absolute(&scope, path)) {
            let Some(order) = order else { continue };
            check_import(name, order, &module, &path, is_test, findings);
        }
    }
}

/// The rules for one path that a file of a room names.
fn check_import(name: &str, order: usize, module: &[String], path: &str, is_test: bool, findings: &mut Findings) {
    if let Some(rest) = path.strip_prefix("crate::") {
        let mut parts = rest.split("::");
        let other = parts.next().unwrap_or_default();
        if ROOMS.iter().position(|room| *room == other).is_some_and(|other| other > order) {
            findings.add("order", name, format!("`{}` may not import `{path}`: it comes later", ROOMS[order]));
        }
        let sibling = parts.next().unwrap_or_default();
        let own = module.get(1).map_or("", String::as_str);
        if ROOMS[order] == "frontend" && other == "frontend" && FRONT_ENDS.contains(&sibling) && sibling != own {
            findings.add("siblings", name, format!("imports `{path}`: front ends do not know each other"));
        }
        return;
    }
    if is_test || HARMLESS.iter().any(|fine| is_below(path, fine)) {
        return;
    }
    let first_impure = ROOMS.iter().position(|room| *room == FIRST_IMPURE).unwrap();
    if order < first_impure && IMPURE.iter().any(|banned| is_below(path, banned)) {
        findings.add("pure", name, format!("uses `{path}`: `{}` is pure", ROOMS[order]));
    } else if ROOMS[order] != "cli" && ONLY_CLI.iter().any(|banned| is_below(path, banned)) {
        findings.add("cli", name, format!("uses `{path}`: only `cli` reads the environment and the terminal"));
    }
}

/// The rules for any text file of the repository.
fn check_text(name: &str, bytes: &[u8], findings: &mut Findings) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for (number, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            findings.add("whitespace", name, format!("line {} ends with white space", number + 1));
        }
        // Put together here, or this file would find itself.
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
            let Some(at) = line.find(word) else { continue };
            let alone = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let owned = line[at + word.len()..].starts_with('(');
            if alone && !owned && name.ends_with(".rs") && line.contains("//") {
                findings.add("owner", name, format!("line {}: {word} without an owner: {word}(name)", number + 1));
            }
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.add("whitespace", name, "the last line has no end");
    }
}

/// The rules for the package as a whole.
fn check_package(root: &Path, findings: &mut Findings) {
    for name in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE-MIT", "LICENSE-APACHE", "build.toml.example"]
    {
        if !root.join(name).is_file() {
            findings.add("files", name, "is missing");
        }
    }
    let changes = fs::read_to_string(root.join("CHANGELOG.md")).unwrap_or_default();
    if !changes.lines().any(|line| line == "## [Unreleased]") {
        findings.add("changelog", "CHANGELOG.md", "has no section `## [Unreleased]`");
    }
    for example in fs::read_dir(root.join("examples")).unwrap() {
        let example = example.unwrap().path();
        if example.is_dir() && !example.join("README.md").is_file() {
            findings.add("examples", &relative(root, &example), "has no README.md");
        }
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    if !manifest.contains("autotests = false") {
        findings.add("tests", "Cargo.toml", "must say `autotests = false`: there is one integration binary");
    }
}

/// The module path of a file: `src/graph/key.rs` is `graph`, `key`.
fn module_of(name: &str) -> Vec<String> {
    let path = name.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// The code of a file, and its tests, which are the last thing in it or the whole of it.
fn split_tests<'a>(name: &str, text: &'a str) -> (&'a str, &'a str) {
    if name.ends_with("/tests.rs") || name.contains("/tests/") {
        return ("", text);
    }
    let mut from = 0;
    while let Some(at) = text[from..].find("\n#[cfg(test)]\nmod ").map(|at| from + at + 1) {
        let declaration = text[at..].lines().nth(1).unwrap_or_default();
        if declaration.ends_with('{') {
            return text.split_at(at);
        }
        from = at;
    }
    (text, "")
}

/// Makes a path that starts with `self` or `super` start with `crate`.
fn absolute(scope: &[String], path: String) -> String {
    let mut scope = scope.to_vec();
    let mut rest = path.as_str();
    if !rest.starts_with("super::") && !rest.starts_with("self::") {
        return path;
    }
    rest = rest.strip_prefix("self::").unwrap_or(rest);
    while let Some(shorter) = rest.strip_prefix("super::") {
        scope.pop();
        rest = shorter;
    }
    let above: String = scope.iter().map(|part| format!("{part}::")).collect();
    format!("crate::{above}{rest}")
}

/// Whether a path is another or something in it.
fn is_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The words of a text that is code.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Every path of at least two parts, with the groups of `use` spread out: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<String> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = is_name(tokens[at]) && (at == 0 || tokens[at - 1] != "::");
        if starts { at = path_at(&tokens, at, "", &mut found) } else { at += 1 }
    }
    found.retain(|path: &String| path.contains("::"));
    found
}

/// Reads one path with its groups; returns where it ends.
fn path_at(tokens: &[&str], mut at: usize, above: &str, found: &mut Vec<String>) -> usize {
    let mut path = format!("{above}{}", tokens[at]);
    at += 1;
    while tokens.get(at) == Some(&"::") {
        match tokens.get(at + 1) {
            Some(next) if is_name(next) => {
                path = format!("{path}::{next}");
                at += 2;
            }
            Some(&"{") => {
                at += 2;
                let above = format!("{path}::");
                while at < tokens.len() && tokens[at] != "}" {
                    if is_name(tokens[at]) { at = path_at(tokens, at, &above, found) } else { at += 1 }
                }
                return at + 1;
            }
            _ => {
                at += 1;
                break;
            }
        }
    }
    found.push(path);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Names, `::`, and single other characters.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_name(rest) {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

/// The same code with spaces for comments, strings and characters.
fn without_comments_and_strings(code: &str) -> String {
    let mut clean = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if first == '"' {
            quoted(rest, '"')
        } else if let Some(length) = raw_string(rest).filter(|_| !clean.ends_with(|c: char| c.is_alphanumeric())) {
            length
        } else if first == '\'' {
            character(rest)
        } else {
            0
        };
        if skip == 0 {
            clean.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            clean.push(' ');
            rest = &rest[skip..];
        }
    }
    clean
}

/// The length of a quoted text with backslash escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw string, if one starts here.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let from = text.len() - body.len();
    Some(body.find(&end).map_or(text.len(), |at| from + at + end.len()))
}

/// The length of a character literal, or 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut inner = text.chars().skip(1);
    match (inner.next(), inner.next()) {
        (Some('\\'), _) => quoted(text, '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

/// Where nothing of ours is: other people's bytes, results of builds, and the history.
const SKIPPED: &[&str] = &["target", ".git", "tests/conformance", "fuzz/target", "fuzz/corpus", "fuzz/artifacts"];

/// All files below a folder whose name ends so, sorted; all of them for none.
fn files_below(folder: &Path, extension: &str) -> BTreeSet<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if SKIPPED.contains(&relative(root, &path).as_str()) {
                continue;
            } else if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && (extension.is_empty() || path.extension().is_some_and(|e| e == extension)) {
                found.insert(path);
            }
        }
    }
    found
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().to_string_lossy().into_owned()
}

#[test]
fn finds_paths_in_code() {
    let check =
        |code: &str, expected: &[&str]| assert_eq!(paths(&without_comments_and_strings(code)), expected, "{code}");
    check(
        "use crate::{digest::Digest, oci::{A, b::C}};",
        &["crate::digest::Digest", "crate::oci::A", "crate::oci::b::C"],
    );
    check("let a = std::fs::read(x); // std::net::TcpStream", &["std::fs::read"]);
    check("f(\"std::fs\", r#\"std::env \" \"#, 'a', '\"', b'\\'', std::process::id())", &["std::process::id"]);
    check("fn f<'a>(a: &'a std::path::Path) /* std::fs */ {}", &["std::path::Path"]);
    check("Vec::<u8>::new(); use std::io::*; use a::{self, b};", &["std::io", "a::self", "a::b"]);
}

#[test]
fn finds_what_is_wrong() {
    let check = |name: &str, text: &str, expected: &[&str]| {
        let mut findings = Findings::default();
        check_source(name, text, &mut findings);
        let rules: Vec<&str> = findings.0.iter().map(|(rule, _, _)| *rule).collect();
        assert_eq!(rules, expected, "{name}: {text}\n{}", findings.lines());
    };
    check("src/graph/key.rs", "//! x\nuse crate::digest::Digest;\nuse super::op;\n", &[]);
    check("src/graph/key.rs", "use crate::digest::Digest;\n", &["header"]);
    check("src/graph/key.rs", "//! x\nuse crate::{store::Store, digest};\n", &["order"]);
    check("src/graph/key.rs", "//! x\nuse super::super::store::Store;\n", &["order"]);
    check("src/graph/key.rs", "//! x\nuse std::{fs, io};\n", &["pure"]);
    check("src/graph/key.rs", "//! x\n\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n", &[]);
    check("src/oci/platform.rs", "//! x\nfn f() { std::env::consts::ARCH; }\n", &[]);
    check("src/oci/platform.rs", "//! x\nfn f() { std::env::var(\"X\"); }\n", &["pure"]);
    check("src/store/mod.rs", "//! x\nuse std::fs;\n", &[]);
    check("src/store/mod.rs", "//! x\nuse std::env;\n", &["cli"]);
    check("src/frontend/dsl/mod.rs", "//! x\nuse crate::frontend::diagnostic::Diagnostic;\n", &[]);
    check("src/frontend/dsl/mod.rs", "//! x\nuse crate::frontend::dockerfile::parse;\n", &["siblings"]);
    check("src/frontend/dsl/mod.rs", "//! x\nuse super::buildfile::parse;\n", &["siblings"]);
    check("src/elsewhere.rs", "//! x\n", &["rooms"]);
    check("src/main.rs", &"fn f() {}\n".repeat(15), &["main"]);
    check("src/graph/key.rs", &format!("//! x\n{}", "fn f() {}\n".repeat(LONGEST)), &["size"]);
    check("src/graph/key.rs", concat!("//! x\nfn f() { to", "do!() }\n"), &["macros"]);
}
