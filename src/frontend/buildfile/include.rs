//! `include`: a build file in several files, so that each folder of a repository owns its part.
//!
//! All files are one: a name that one declares is known in all, and two of a name are a mistake that shows both. Only paths
//! are a file's own: they start at its folder. The texts are put one after another, and a span is a place in all of them,
//! so that a message can point at several files and nothing else has to know of files.
//!
//! No file is read here. [`Loading`] says which it needs, and is told what they hold.

use std::ops::Range;

use super::check::cycle_error;
use super::model::{BuildFile, Text};
use super::parse::{self, finish};
use crate::frontend::diagnostic::{Diagnostic, Part};

/// The most files. A pattern that finds more finds what was not meant.
pub const MOST: usize = 10_000;

/// A build file that is being read.
#[derive(Debug)]
pub struct Loading {
    file: BuildFile,
    found: Vec<Diagnostic>,
    needs: Vec<Need>,
    /// Whether every file could be read so far.
    is_whole: bool,
}

/// Files that are needed: those that fit a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// A path from the folder of the first file, with `/` between names, of which each may have wildcards. `**` is any number of folders.
    pub pattern: String,
    by: usize,
    span: Range<usize>,
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path from the folder of the first file, as the pattern has it.
    pub path: String,
    /// What messages call it.
    pub name: String,
    /// What it holds, or why it cannot be read.
    pub text: Result<String, String>,
}

/// A file of a build file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceFile {
    /// Its path from the folder of the first file.
    pub(super) path: String,
    /// The folder that its paths start at, from that of the first; empty if it is the same.
    pub(super) folder: String,
    /// Which file includes it, and where.
    by: Option<(usize, Range<usize>)>,
}

/// A build file that cannot be used: all of its text, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broken {
    /// The texts of all files, one after another.
    pub text: String,
    /// Where each begins.
    pub parts: Vec<Part>,
    /// The messages.
    pub list: Vec<Diagnostic>,
}

impl SourceFile {
    /// A file that nothing includes, all of whose paths start where its own does.
    pub(super) fn alone(path: &str) -> Self {
        Self { path: join("", path), folder: String::new(), by: None }
    }
}

impl Loading {
    /// Starts with the first file, of this name in its folder. `name` is what messages call it.
    pub fn new(path: &str, name: &str, text: &str) -> Self {
        let mut loading = Self { file: BuildFile::default(), found: Vec::new(), needs: Vec::new(), is_whole: true };
        loading.add(path.to_owned(), name.to_owned(), text, None);
        loading
    }

    /// What is needed before this can go on; each need is told once.
    pub fn needs(&mut self) -> Vec<Need> {
        std::mem::take(&mut self.needs)
    }

    /// Answers a need with all files that fit, in an order that does not change by itself.
    pub fn answer(&mut self, need: &Need, files: Vec<Found>) {
        let pattern = has_wildcards(&need.pattern);
        let before = self.file.files.len();
        let mut fits = false;
        for one in files {
            let path = join("", &one.path);
            // A pattern that finds the very file it stands in does not mean it.
            if pattern && path == self.file.files[need.by].path {
                continue;
            }
            fits = true;
            if let Some(error) = self.cycle(need, &path) {
                self.miss(error);
            } else if self.file.files.iter().any(|known| known.path == path) {
                // Two may need the same third one.
            } else if self.file.files.len() == MOST {
                self.miss(Diagnostic::error(need.span.clone(), format!("more than {MOST} build files")));
                return;
            } else {
                match one.text {
                    Ok(text) => self.add(path, one.name, &text, Some((need.by, need.span.clone()))),
                    Err(problem) => {
                        self.miss(Diagnostic::error(need.span.clone(), format!("{}: {problem}", one.name)));
                    }
                }
            }
        }
        if !fits && before == self.file.files.len() {
            let message = match pattern {
                true => format!("no file fits `{}`", need.pattern),
                false => format!("there is no build file at {}", need.pattern),
            };
            let help = "an include is a path from the folder of the file that it stands in";
            self.miss(Diagnostic::error(need.span.clone(), message).help(help));
        }
    }

    /// Notes that a file is missing.
    fn miss(&mut self, error: Diagnostic) {
        self.found.push(error);
        self.is_whole = false;
    }

    /// The whole, checked as far as that goes without the values of variables.
    pub fn finish(mut self) -> Result<BuildFile, Box<Broken>> {
        for need in self.needs() {
            let message = format!("`{}` cannot be included here: this build file is in no folder", need.pattern);
            self.miss(Diagnostic::error(need.span, message));
        }
        finish(self.file, self.found, self.is_whole)
    }

    fn add(&mut self, path: String, name: String, text: &str, by: Option<(usize, Range<usize>)>) {
        if !self.file.text.is_empty() {
            self.file.text.push('\n');
        }
        let start = self.file.text.len();
        self.file.text.push_str(text);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let index = self.file.files.len();
        self.file.parts.push(Part { start, name });
        self.file.files.push(SourceFile { path, folder: folder.clone(), by });
        let includes = parse::read(text, start, &mut self.file, &mut self.found);
        self.is_whole &= includes.is_some();
        for include in includes.into_iter().flatten() {
            let need = self.need(&folder, index, &include);
            self.needs.extend(need);
        }
    }

    fn need(&mut self, folder: &str, by: usize, include: &Text) -> Option<Need> {
        let span = include.place.span(None);
        let mut refuse = |message: &str| {
            let help = "write a path from the folder of this file, such as `services/*/build.toml`";
            self.miss(Diagnostic::error(span.clone(), message).help(help));
            None
        };
        match include.text.as_str() {
            "" => refuse("an include is empty"),
            text if text.starts_with('/') => {
                refuse("an include is an absolute path, which is another one in each checkout")
            }
            text if text.contains("${") => refuse("an include cannot depend on variables, which it may declare"),
            text => Some(Need { pattern: join(folder, text), by, span }),
        }
    }

    /// The message if a file includes one that it is included by.
    fn cycle(&self, need: &Need, path: &str) -> Option<Diagnostic> {
        let files = &self.file.files;
        let mut chain = vec![(files[need.by].path.as_str(), need.span.clone())];
        let mut at = need.by;
        while files[at].path != path {
            let (above, span) = files[at].by.as_ref()?;
            chain.push((files[*above].path.as_str(), span.clone()));
            at = *above;
        }
        chain.reverse();
        Some(cycle_error("a build file includes itself", &chain))
    }
}

/// A path from a folder as one from where the folder is. `..` is taken as it is written, whatever links there are.
pub(super) fn join(folder: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() { ".".into() } else { parts.join("/") }
}

/// Whether a path stands for several.
pub fn has_wildcards(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads the first of these files and what it includes.
    fn load(files: &[(&str, &str)]) -> Result<BuildFile, Box<Broken>> {
        let mut loading = Loading::new(files[0].0, files[0].0, files[0].1);
        loop {
            let needs = loading.needs();
            if needs.is_empty() {
                return loading.finish();
            }
            for need in needs {
                let fits = files.iter().filter(|(path, _)| super::super::glob::matches(&need.pattern, path));
                let found = fits.map(|(path, text)| Found {
                    path: (*path).into(),
                    name: (*path).into(),
                    text: if *text == "?" { Err("is not UTF-8".into()) } else { Ok((*text).into()) },
                });
                loading.answer(&need, found.collect());
            }
        }
    }

    #[test]
    fn joins_paths() {
        let check =
            |folder: &str, path: &str, expected: &str| assert_eq!(join(folder, path), expected, "{folder} {path}");
        check("", "a/./b/", "a/b");
        check("a/b", "../c", "a/c");
        check("a", "../../c", "../c");
        check("a", "..", ".");
        check("a", "/x", "/x");
    }

    #[test]
    fn files_are_one_and_paths_their_own() {
        let file = load(&[
            ("build.toml", "include = ['common.toml', 'services/*/build.toml']\ngroup.default = ['api', 'web']"),
            ("common.toml", "variable.TAG = '1'\n[target.base]\ncontext = 'base'\nargs.A = 'a'"),
            (
                "services/api/build.toml",
                "include = ['../../common.toml']\n[target.api]\ninherits = ['base']\nargs.B = '${TAG}'\ncontexts.lib = '../lib'\nsecrets = ['id=a,src=key']\nssh = ['b=sock']\noutput = ['type=oci,dest=out/a.tar']",
            ),
            ("services/web/build.toml", "[target.web]\ncontexts.api = 'target:api'"),
        ]);
        let file = file.unwrap_or_else(|broken| panic!("{broken:?}"));
        let plan =
            super::super::resolve(&file, &[], &Default::default(), &["api.contexts.x=y".parse().unwrap()]).unwrap();
        let (api, web) = (&plan.targets[0], &plan.targets[1]);
        assert_eq!(api.context.to_string(), "base");
        assert_eq!(web.context.to_string(), "services/web");
        assert_eq!(api.contexts["lib"].to_string(), "services/lib");
        assert_eq!(api.contexts["x"].to_string(), "y");
        assert_eq!(api.secrets[0].src.as_deref(), Some("services/api/key"));
        assert_eq!(api.ssh[0].paths, ["services/api/sock"]);
        assert_eq!(api.outputs[0].attributes["dest"], "services/api/out/a.tar");
        let affected = |path: &str| super::super::affected(&file, &plan, "/r", &[format!("/r/{path}")]);
        assert_eq!(affected("services/web/build.toml").into_iter().collect::<Vec<_>>(), ["web"]);
        assert_eq!(affected("services/api/build.toml").into_iter().collect::<Vec<_>>(), ["api", "web"]);
        assert_eq!(affected("common.toml").into_iter().collect::<Vec<_>>(), ["api", "web"]);
        assert_eq!(affected("build.toml").len(), 2);
        assert!(affected("services/other/build.toml").is_empty());
    }

    #[test]
    fn mistakes_point_into_the_right_files() {
        let check = |files: &[(&str, &str)], expected: &[&str]| {
            let broken = load(files).unwrap_err();
            let place = |span: &Range<usize>| {
                let part = Part::find(&broken.parts, span.start).unwrap();
                format!("{}:{}", part.name, &broken.text[span.clone()])
            };
            let shown: Vec<String> = broken
                .list
                .iter()
                .map(|one| {
                    let places: Vec<String> = one.annotations.iter().map(|at| place(&at.span)).collect();
                    format!("{} | {}", places.join(" "), one.message)
                })
                .collect();
            assert_eq!(shown, expected);
        };
        check(
            &[("a", "include = ['b']\ntarget.x = {}\nvariable.V = 1"), ("b", "\ntarget.x = {}\nvariable.V = 2")],
            &["b:x a:x | two targets are called `x`", "b:V a:V | two variables are called `V`"],
        );
        check(
            &[("a", "include = ['b', 'x/*']"), ("b", "target.x.tgas = 1")],
            &["a:'x/*' | no file fits `x/*`", "b:tgas | unknown key `tgas` in a target"],
        );
        check(
            &[("a", "include = ['b']"), ("b", "x = ")],
            &["b: | not TOML: string values must be quoted, expected literal string"],
        );
        check(
            &[("a", "include = ['b']"), ("b", "include = ['c']"), ("c", "include = ['a']")],
            &["a:'b' b:'c' c:'a' | a build file includes itself: a → b → c → a"],
        );
        check(
            &[("a", "include = ['b']\ntarget.x.tags = ['${V}', '${W}']"), ("b", "variable.V = '${unset()'")],
            &["a:${W} | no variable is called `W`", "b:${unset() | `${` without a `}`"],
        );
        check(&[("a", "include = ['a']")], &["a:'a' | a build file includes itself: a → a"]);
        check(
            &[("a", "include = ['b', '/x', 'c']"), ("b", "?")],
            &[
                "a:'b' | b: is not UTF-8",
                "a:'/x' | an include is an absolute path, which is another one in each checkout",
                "a:'c' | there is no build file at c",
            ],
        );
    }
}
