//! Sources of `ADD` that are not files of the context: URLs and git repositories.

use super::ContextSource;
use crate::fstree::TreePath;

/// A git repository and what of it is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GitReference {
    /// Where it is, without query and fragment.
    pub url: String,
    /// A branch, a tag, a full reference or a commit; empty for the default branch.
    pub reference: String,
    /// Only this folder of it.
    pub subdir: String,
    /// The commit, or its start, that must be found.
    pub checksum: Option<String>,
    /// Whether `.git` is kept, if it says so.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are fetched, if it says so.
    pub submodules: Option<bool>,
}

/// What the URL of a context stands for: a git repository, or a file that is unpacked if it is an archive.
///
/// `github.com/USER/REPOSITORY` without a scheme is a repository, as `docker build` has it.
pub fn remote_context(url: &str) -> Result<ContextSource, String> {
    let mut url = url.to_owned();
    if url.starts_with("github.com/") {
        let end = url.find(['#', '?']).unwrap_or(url.len());
        let (path, rest) = url.split_at(end);
        let path = path.trim_end_matches('/').trim_end_matches(".git");
        url = format!("https://{path}.git{rest}");
    }
    match parse_git(&url) {
        Some(Ok(_)) => Ok(ContextSource::Git(url)),
        Some(Err(error)) => Err(error),
        None if is_http(&url) => Ok(ContextSource::Http(url)),
        None => Err("it is neither a git repository nor an http or https URL".into()),
    }
}

/// Whether a source is a URL to be fetched, given that it is no git repository.
pub(super) fn is_http(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// The name of the file that a URL makes: the last part of its path.
pub(super) fn file_name(url: &str) -> String {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    // Slashes count once they are decoded; what cannot be decoded has no name.
    let path = path.split_once('/').map_or("", |(_, path)| path);
    let broken =
        path.split('%').skip(1).any(|code| code.get(..2).is_none_or(|code| u8::from_str_radix(code, 16).is_err()));
    let path = percent_decode(path);
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if broken || matches!(name, "" | "." | "..") { "__unnamed__".into() } else { name.to_owned() }
}

/// Reads a source as a git repository; none if it is none, an error if it is one with something wrong.
///
/// `git://`, `ssh://` and `user@host:path` always are; `http(s)://` if the path ends in `.git`.
pub(super) fn parse_git(source: &str) -> Option<Result<GitReference, String>> {
    let (location, fragment) = source.split_once('#').unwrap_or((source, ""));
    let (url, query) = location.split_once('?').unwrap_or((location, ""));
    let is_git = match url.split_once("://") {
        Some(("git" | "ssh", _)) => true,
        Some(("http" | "https", rest)) => rest.contains('/') && rest.ends_with(".git"),
        Some(_) => false,
        None => url.split_once('@').is_some_and(|(user, rest)| {
            let word = |text: &str, more: &[u8]| {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
            };
            rest.split_once(':').is_some_and(|(host, path)| word(user, b"-_") && word(host, b"-.") && !path.is_empty())
        }),
    };
    if !is_git {
        return None;
    }
    let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
    // Of a fragment the folder is cleaned; what a query says is taken as it is.
    let subdir = String::from_utf8_lossy(TreePath::clean(subdir).as_bytes()).into_owned();
    let git = GitReference { url: url.to_owned(), reference: reference.to_owned(), subdir, ..GitReference::default() };
    Some(with_query(git, query))
}

fn with_query(mut git: GitReference, query: &str) -> Result<GitReference, String> {
    let mut seen: Vec<String> = Vec::new();
    let mut tagged = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (percent_decode(key), percent_decode(value));
        if seen.contains(&key) {
            return Err(format!("`{key}` is there twice"));
        }
        if value.is_empty() && !matches!(key.as_str(), "submodules" | "keep-git-dir" | "fetch-by-commit") {
            return Err(format!("`{key}` has no value"));
        }
        let full = |prefix: &str| if value.starts_with(prefix) { value.clone() } else { format!("{prefix}{value}") };
        match key.as_str() {
            "ref" => set(&mut git.reference, value, "ref")?,
            "tag" => {
                tagged = true;
                set(&mut git.reference, full("refs/tags/"), "tag")?;
            }
            "branch" if tagged => {
                return Err("`branch` and `tag` exclude each other".into());
            }
            "branch" => set(&mut git.reference, full("refs/heads/"), "branch")?,
            "subdir" => set(&mut git.subdir, value, "subdir")?,
            "checksum" | "commit" => git.checksum = Some(value),
            "keep-git-dir" => git.keep_git_dir = Some(boolean(&value)?),
            "submodules" => git.submodules = Some(boolean(&value)?),
            // A commit that is known is always fetched as such.
            "fetch-by-commit" => drop(boolean(&value)?),
            // Files have the time of all files that have none of their own.
            "mtime" if value == "checkout" => {}
            other => return Err(format!("`{other}` is no parameter of a git URL")),
        }
        seen.push(key);
    }
    Ok(git)
}

fn set(field: &mut String, value: String, what: &str) -> Result<(), String> {
    if !field.is_empty() && *field != value {
        return Err(format!("`{what}` says `{value}`, but `{field}` is asked for already"));
    }
    *field = value;
    Ok(())
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("`{other}` is neither true nor false")),
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'%').then(|| tail.get(..2)).flatten();
        let code = code
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(url: &str, reference: &str, subdir: &str) -> GitReference {
        GitReference { url: url.into(), reference: reference.into(), subdir: subdir.into(), ..GitReference::default() }
    }

    #[test]
    fn tells_git_from_files() {
        for source in
            ["repo.git", "./x.git", "github.com/a/b", "https://h/x.tar", "a@b", "ftp://h/x.git", "https://h.git"]
        {
            assert_eq!(parse_git(source), None, "{source}");
        }
        let check =
            |source: &str, expected: GitReference| assert_eq!(parse_git(source), Some(Ok(expected)), "{source}");
        check("https://h/a.git#v1:docs", git("https://h/a.git", "v1", "docs"));
        check("https://h/a.git#v1:../a/./b/", git("https://h/a.git", "v1", "a/b"));
        check("https://h/a.git?fetch-by-commit&mtime=checkout#:d", git("https://h/a.git", "", "d"));
        check("git@h:a/b.git#main", git("git@h:a/b.git", "main", ""));
        check("ssh://git@h/a", git("ssh://git@h/a", "", ""));
        check("https://h/a.git?tag=v1&subdir=x", git("https://h/a.git", "refs/tags/v1", "x"));
        let query = "https://h/a.git?branch=b&commit=abc&keep-git-dir&submodules=false";
        let expected = GitReference {
            checksum: Some("abc".into()),
            keep_git_dir: Some(true),
            submodules: Some(false),
            ..git("https://h/a.git", "refs/heads/b", "")
        };
        check(query, expected);
    }

    #[test]
    fn tells_contexts_apart() {
        let check = |url: &str, expected: &str| {
            let shown = match remote_context(url) {
                Ok(ContextSource::Git(url)) => format!("git {url}"),
                Ok(ContextSource::Http(url)) => format!("http {url}"),
                other => format!("{:?}", other.err()),
            };
            assert_eq!(shown, expected);
        };
        check("https://h/a.git#main:d", "git https://h/a.git#main:d");
        check("git@h:a", "git git@h:a");
        check("github.com/u/r", "git https://github.com/u/r.git");
        check("github.com/u/r.git#v1:d", "git https://github.com/u/r.git#v1:d");
        check("https://h/a.tar.gz", "http https://h/a.tar.gz");
        check("https://h/a.git?x=1", "Some(\"`x` is no parameter of a git URL\")");
    }

    #[test]
    fn refuses_contradictions() {
        for query in [
            "x=1",
            "mtime=never",
            "fetch-by-commit=x",
            "ref=a&ref=b",
            "tag=a&branch=b",
            "branch=b&tag=a",
            "ref=",
            "submodules=x",
        ] {
            assert!(matches!(parse_git(&format!("https://h/a.git?{query}")), Some(Err(_))), "{query}");
        }
        assert!(matches!(parse_git("https://h/a.git?ref=b#a"), Some(Err(_))));
    }

    #[test]
    fn names_files() {
        let check = |url: &str, expected: &str| assert_eq!(file_name(url), expected, "{url}");
        check("https://h/a/b.txt?x=1#y", "b.txt");
        check("https://h/a%20b/", "a b");
        check("https://h/", "__unnamed__");
        check("https://h", "__unnamed__");
        check("https://h/..%2fx", "x");
        check("https://h/a/..", "__unnamed__");
        check("https://h/100%", "__unnamed__");
    }
}
