//! `COPY` and `ADD`: the files of sources at a destination, as one layer.

use super::ContextSource;
use super::Lowering;
use super::remote::{self, GitReference};
use super::stage::{Current, one_line, owner};
use crate::digest::Digest;
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{Head, Transfer, Word};
use crate::frontend::dockerfile::expand::Expander;
use crate::frontend::dockerfile::lint::{Linter, rule};
use crate::fstree::TreePath;
use crate::fstree::pattern::{Glob, Matcher, has_wildcards};
use crate::graph::{Chmod, CopyAction, CopySource, FileAction, FileOp, Op, StepId, Unpack};

/// The inputs of a step, each once; none where one is not known yet.
#[derive(Default)]
pub(super) struct Inputs(Vec<Option<StepId>>);

impl Inputs {
    pub(super) fn new(first: Option<StepId>) -> Self {
        Self(vec![first])
    }

    /// The number of an input.
    pub(super) fn number(&mut self, step: Option<StepId>) -> usize {
        // The first input is what is changed; a source is one of its own even if it is the same step.
        match self.0.iter().skip(1).position(|known| *known == step) {
            Some(place) => place + 1,
            None => {
                self.0.push(step);
                self.0.len() - 1
            }
        }
    }

    /// All of them, if they are known.
    pub(super) fn known(self) -> Option<Vec<StepId>> {
        self.0.into_iter().collect()
    }
}

impl Lowering<'_> {
    /// `input` is the source of `COPY --from`, if there is one; it may not be known yet.
    pub(super) fn copy(
        &mut self,
        current: &mut Current<'_>,
        head: &Head,
        copy: &Transfer,
        input: Option<Option<StepId>>,
        add: bool,
    ) -> Result<(), Diagnostic> {
        let chown = self.flag(current, head, copy.chown.as_ref())?;
        let chmod = self.flag(current, head, copy.chmod.as_ref())?;
        let checksum = self.flag(current, head, copy.checksum.as_ref())?;
        let mode = match (&copy.chmod, chmod.as_str()) {
            (None, _) | (_, "") => None,
            (Some(word), text) => Some(parse_chmod(text).map_err(|reason| {
                Diagnostic::error(word.span.clone(), format!("`{text}` are no permissions: {reason}"))
                    .help("write octal digits such as 0755, or changes such as u=rwX,go=rX")
            })?),
        };
        let mut sources = Vec::new();
        for word in &copy.sources {
            sources.push((self.word(current, head, word)?, word));
        }
        let dest = self.word(current, head, &copy.dest)?;
        self.check_checksum(&copy.checksum, &checksum, &sources)?;
        for word in &copy.exclude {
            Matcher::new(&[&word.value]).map_err(|error| Diagnostic::error(word.span.clone(), error.to_string()))?;
        }

        let from_context = input.is_none();
        let keyword = if add { "ADD" } else { "COPY" };
        let mut history = keyword.to_owned();
        for (flag, value) in [("--chown=", &chown), ("--chmod=", &chmod)] {
            if flag == "--chown=" && copy.parents {
                history.push_str(" --parents");
            }
            if !value.is_empty() {
                history.push_str(&format!(" {flag}{value}"));
            }
        }

        // With a mode, `--link` does nothing.
        let link = copy.link && mode.is_none();
        let base = if link { Some(self.scratch(&current.platform)) } else { current.step };
        let mut inputs = Inputs::new(base);
        let unpack_local = copy.unpack.unwrap_or(add);
        let mut groups: Vec<(bool, Vec<CopySource>)> = Vec::new();
        let mut push = |unpack: bool, source: CopySource| match groups.last_mut() {
            Some((last, sources)) if *last == unpack => sources.push(source),
            _ => groups.push((unpack, vec![source])),
        };
        for (text, word) in &sources {
            history.push_str(&format!(" {text}"));
            let git = remote::parse_git(text).transpose().map_err(|reason| {
                Diagnostic::error(word.span.clone(), format!("`{text}` is no git reference: {reason}"))
            })?;
            if let Some(git) = git {
                let step = self.git_source(current, copy, word, git, &checksum, add)?;
                let path = String::new();
                push(false, CopySource::Path { input: inputs.number(step), path, wildcard: false });
            } else if remote::is_http(text) {
                let (step, path) = self.http_source(current, word, text, &checksum, add)?;
                let unpack = copy.unpack.unwrap_or(false);
                push(unpack, CopySource::Path { input: inputs.number(step), path, wildcard: false });
            } else {
                if from_context {
                    self.check_ignored(current, head, word, text, keyword);
                }
                let step = match input {
                    Some(step) => step,
                    None => self.main_context(current, &word.span)?,
                };
                let (path, wildcard) = source_path(text, copy.parents);
                check_pattern(&path, wildcard, word)?;
                push(unpack_local, CopySource::Path { input: inputs.number(step), path, wildcard });
            }
        }
        for heredoc in &copy.inline {
            if heredoc.name.contains('/') || matches!(heredoc.name.as_str(), "" | "." | "..") {
                let message = format!("`{}` cannot be the name of a file", heredoc.name);
                return Err(Diagnostic::error(heredoc.body.span.clone(), message)
                    .help("the word behind << names the file: use one without slashes"));
            }
            history.push_str(&format!(" <<{}", heredoc.name));
            let content = Word::new(heredoc.content(), heredoc.body.span.clone());
            let data = if heredoc.expand {
                // Always a backslash, and quotes mean nothing.
                let rules = Expander { ignore_quotes: true, ..Expander::new('\\') };
                self.expand(current, head, &content, rules, &current.variables)?.text
            } else {
                content.value
            };
            push(false, CopySource::Inline { name: heredoc.name.clone(), data: data.into_bytes() });
        }
        history.push_str(&format!(" {dest} # buildkit"));

        let dest = destination(&current.config.config.working_dir, &dest);
        let exclude: Vec<String> = copy.exclude.iter().map(|word| word.value.clone()).collect();
        let action = |(unpack, sources): (bool, Vec<CopySource>)| {
            FileAction::Copy(Box::new(CopyAction {
                sources,
                dest: dest.clone(),
                owner: owner(&chown),
                mode: mode.clone(),
                parents: copy.parents,
                exclude: exclude.clone(),
                unpack: if unpack { Unpack::Archives } else { Unpack::Never },
            }))
        };
        let op = Op::File(FileOp { actions: groups.into_iter().map(action).collect() });
        let label = self.step_label(current, &one_line(&head.text), &head.span);
        let platform = current.platform.clone();
        let no_cache = current.no_cache;
        let copied =
            inputs.known().map(|inputs| self.graph.add(op, &inputs, platform.clone(), label.clone(), no_cache));
        current.step = match (link, current.step, copied) {
            (false, _, copied) => copied,
            (true, Some(below), Some(copied)) => {
                Some(self.graph.add(Op::Merge, &[below, copied], platform, label, no_cache))
            }
            (true, ..) => None,
        };
        current.history(history, false);
        Ok(())
    }

    /// The value of a flag, empty if it is not given.
    pub(super) fn flag(
        &mut self,
        current: &Current<'_>,
        head: &Head,
        word: Option<&Word>,
    ) -> Result<String, Diagnostic> {
        word.map_or(Ok(String::new()), |word| self.word(current, head, word))
    }

    fn check_checksum(
        &self,
        flag: &Option<Word>,
        checksum: &str,
        sources: &[(String, &Word)],
    ) -> Result<(), Diagnostic> {
        let (Some(flag), false) = (flag, checksum.is_empty()) else { return Ok(()) };
        let error = |message: &str| Err(Diagnostic::error(flag.span.clone(), message));
        match sources {
            [(source, _)] if remote::is_http(source) || remote::parse_git(source).is_some() => Ok(()),
            [_] => error("`--checksum` is for URLs and git repositories")
                .map_err(|error| error.help("files of the build context need none: they are part of what is built")),
            _ => error("`--checksum` is for one source"),
        }
    }

    fn git_source(
        &mut self,
        current: &Current<'_>,
        copy: &Transfer,
        word: &Word,
        mut git: GitReference,
        checksum: &str,
        add: bool,
    ) -> Result<Option<StepId>, Diagnostic> {
        let error = |message: &str| Diagnostic::error(word.span.clone(), message);
        if !add {
            return Err(error("a git repository cannot be a source of `COPY`").help("use `ADD`"));
        }
        if let (Some(flag), Some(url)) = (copy.keep_git_dir, git.keep_git_dir)
            && flag != url
        {
            return Err(error("`--keep-git-dir` and the URL contradict each other"));
        }
        if !checksum.is_empty() {
            if git.checksum.as_deref().is_some_and(|other| other != checksum) {
                return Err(error("`--checksum` and the URL contradict each other"));
            }
            git.checksum = Some(checksum.to_owned());
        }
        let keep = git.keep_git_dir.or(copy.keep_git_dir).unwrap_or(false);
        let span = current.at(&word.span);
        let label = self.label(format!("fetch {}", git.url), Some(&span));
        let platform = self.target.clone();
        self.git_step(&git, keep, &platform, label, &span)
    }

    fn http_source(
        &mut self,
        current: &Current<'_>,
        word: &Word,
        url: &str,
        checksum: &str,
        add: bool,
    ) -> Result<(Option<StepId>, String), Diagnostic> {
        if !add {
            let error = Diagnostic::error(word.span.clone(), "a URL cannot be a source of `COPY`");
            return Err(error.help("use `ADD`"));
        }
        let wanted: Option<Digest> = match checksum {
            "" => None,
            text => Some(text.parse().map_err(|error: crate::digest::ParseDigestError| {
                Diagnostic::error(word.span.clone(), error.to_string()).help("write --checksum=sha256:…")
            })?),
        };
        let name = remote::file_name(url);
        let span = current.at(&word.span);
        let label = self.label(format!("fetch {url}"), Some(&span));
        let platform = self.target.clone();
        Ok((self.http_step(url, &name, wanted, &platform, label, &span)?, name))
    }

    /// Warns of a source that the ignore file keeps out of the context.
    fn check_ignored(&mut self, current: &Current<'_>, head: &Head, word: &Word, source: &str, keyword: &str) {
        let options = self.options;
        let ContextSource::Local { ignore, .. } = options.contexts.get("context").unwrap_or(&options.context) else {
            return;
        };
        let matcher = ignore.matcher();
        // Whether an exception takes something of a folder back cannot be told without looking at it.
        if matcher.has_exceptions() {
            return;
        }
        let path = TreePath::clean(source);
        let by = if path.is_root() {
            ignore.patterns().iter().position(|pattern| matches!(pattern.as_str(), "*" | "**" | "**/*"))
        } else {
            let verdict = matcher.decide(&path);
            verdict.decided_by.filter(|_| verdict.excluded)
        };
        let Some(pattern) = by.and_then(|index| ignore.patterns().get(index)) else { return };
        let message = format!("`{keyword}` of `{source}`, which .dockerignore excludes");
        let finding = Linter::finding(rule::CopyIgnoredFile, current.at(&word.span), message)
            .help(format!("the pattern `{pattern}` excludes it: change the pattern, or remove the source"));
        self.linter.report(&head.comments, finding);
    }
}

/// A source as the graph has it: cleaned, without a slash at either end; and whether it is a pattern.
///
/// With `--parents`, `/./` marks from where on folders are kept, and stays; elsewhere dots mean nothing.
fn source_path(text: &str, parents: bool) -> (String, bool) {
    let clean = |part: &str| String::from_utf8_lossy(TreePath::clean(part).as_bytes()).into_owned();
    let path = match text.split_once("/./").filter(|_| parents).map(|(above, below)| (clean(above), clean(below))) {
        Some((above, below)) if !above.is_empty() => format!("{above}/./{below}"),
        Some((_, below)) => below,
        None => clean(text),
    };
    let wildcard = has_wildcards(path.as_bytes());
    (path, wildcard)
}

fn check_pattern(path: &str, wildcard: bool, word: &Word) -> Result<(), Diagnostic> {
    if !wildcard {
        return Ok(());
    }
    for part in path.split('/') {
        Glob::parse(part.as_bytes()).map_err(|error| {
            let mut error = Diagnostic::error(word.span.clone(), error.to_string());
            if word.value.starts_with('[') {
                error =
                    error.help("if this is meant as a JSON array, it is no valid one: [\"source\", \"destination\"]");
            }
            error.help("for a `[` of a file name, write `[[]`")
        })?;
    }
    Ok(())
}

/// A destination: absolute, cleaned, with a slash at its end if it is to be a folder.
pub(super) fn destination(workdir: &str, dest: &str) -> String {
    let folder = matches!(dest, "" | ".") || dest.ends_with('/') || dest.ends_with("/.");
    let path = if dest.starts_with('/') { dest.to_owned() } else { format!("{workdir}/{dest}") };
    let path = TreePath::clean(path);
    let slash = if folder && !path.is_root() { "/" } else { "" };
    format!("{path}{slash}")
}

/// Permissions: octal, or symbolic as chmod(1) has them. The error says what is wrong.
pub(super) fn parse_chmod(text: &str) -> Result<Chmod, &'static str> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Chmod::Octal(mode)),
            _ => Err("they must be octal digits, 7777 at most"),
        };
    }
    let clause = |clause: &str| {
        let rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
        let mut actions = rest;
        while let Some(operation) = actions.strip_prefix(['+', '-', '=']) {
            let permissions = operation.trim_start_matches(['r', 'w', 'x', 'X', 's', 't']);
            actions = match operation.strip_prefix(['u', 'g', 'o']) {
                Some(after) => after,
                None => permissions,
            };
        }
        !rest.is_empty() && actions.is_empty()
    };
    if text.split(',').all(clause) {
        Ok(Chmod::Symbolic(text.to_owned()))
    } else {
        Err("they are neither octal digits nor changes such as u+x")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_permissions() {
        let check = |text: &str, expected: Chmod| assert_eq!(parse_chmod(text), Ok(expected), "{text}");
        check("640", Chmod::Octal(0o640));
        check("00644", Chmod::Octal(0o644));
        check("0", Chmod::Octal(0));
        for text in ["u=rwX,go=rX", "+x", "go-rwx", "g=u", "a+rw,u+s", "o+t", "ug=r,o=", "u=rw,go="] {
            check(text, Chmod::Symbolic(text.into()));
        }
        for text in ["888", "17777", "u~rw", "u", "+q", "u+r,", "x=u", "0x7", "99999999999"] {
            assert!(parse_chmod(text).is_err(), "{text}");
        }
    }

    #[test]
    fn finds_destinations() {
        let check = |dest: &str, expected: &str| assert_eq!(destination("/w//x/", dest), expected, "{dest}");
        check(".", "/w/x/");
        check("a", "/w/x/a");
        check("a/.", "/w/x/a/");
        check("../../../top", "/top");
        check("//double//slash//", "/double/slash/");
        check("/", "/");
        check("/abs/./name", "/abs/name");
    }

    #[test]
    fn cleans_sources() {
        let check = |text: &str, parents: bool, expected: &str, wildcard: bool| {
            assert_eq!(source_path(text, parents), (expected.to_owned(), wildcard), "{text}");
        };
        check("./a//b/", false, "a/b", false);
        check("../../x", false, "x", false);
        check("/", false, "", false);
        check("a/./b/*.txt", false, "a/b/*.txt", true);
        check("/src/./**/*.txt", true, "src/./**/*.txt", true);
        check("/./x", true, "x", false);
        check("./y/z", true, "y/z", false);
    }
}
