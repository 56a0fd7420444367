//! Files of git repositories, by way of the `git` program.
//!
//! It is run so that the result depends on the repository alone: no configuration, no hooks, no credentials of this
//! machine, no question to anybody. Only the protocols that leave the machine are allowed, for submodules too. What comes
//! out is a folder as a commit has it, without the accidents of a checkout: permissions are those that git knows, times
//! are the caller's, and a `.git` that is kept is put into one form ([`keep`]).
//!
//! Which commit a branch is, is asked once; whether that may have changed is the lockfile's business.

mod keep;
mod run;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::source::Watch;
use crate::source::http::{Proxies, shown};
use run::Git;

/// How repositories are reached.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where programs are looked for (`PATH`): `git`, and what it calls.
    pub path: OsString,
    /// Through whom servers are reached.
    pub proxies: Proxies,
    /// A file of certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// A folder of such files.
    pub ca_folder: Option<PathBuf>,
}

/// What is wanted of a repository.
#[derive(Debug, Clone, Copy)]
pub struct Checkout<'a> {
    /// Its URL.
    pub url: &'a str,
    /// The commit: 40 or 64 hexadecimal digits.
    pub commit: &'a str,
    /// Only this folder of it; empty for all.
    pub subdir: &'a str,
    /// Whether `.git` stays. With a folder there is none to stay.
    pub keep_git_dir: bool,
    /// Whether submodules are fetched.
    pub submodules: bool,
    /// The time of all files, in seconds since 1970.
    pub mtime: i64,
}

/// A repository that is not as asked for. Messages are single lines.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no such program.
    #[error("git sources need the program git, which is not in PATH: install it")]
    NoGit,
    /// It failed.
    #[error("`git {command}` failed: {said}")]
    Failed {
        /// What it was asked to do.
        command: String,
        /// The line in which it says why.
        said: String,
    },
    /// The repository lacks a reference.
    #[error("{url} has no branch, tag or commit {reference:?}")]
    NoReference {
        /// The repository.
        url: String,
        /// What was asked for.
        reference: String,
    },
    /// Several commits begin so.
    #[error("{reference:?} is the beginning of several commits of {url}: write more of it")]
    Ambiguous {
        /// The repository.
        url: String,
        /// What was asked for.
        reference: String,
    },
    /// The folder is not there.
    #[error("{url} has no folder {subdir:?} at commit {commit}")]
    NoFolder {
        /// The repository.
        url: String,
        /// What was asked for.
        subdir: String,
        /// Where it was looked for.
        commit: String,
    },
    /// The URL or reference is none that git may be given.
    #[error("{0:?} cannot be given to git")]
    Refused(String),
    /// A file cannot be written.
    #[error("{path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Somebody stopped it.
    #[error("it was canceled")]
    Canceled,
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> GitError + '_ {
    move |error| GitError::Io { path: path.to_owned(), error }
}

/// Whether this is a whole commit and not the beginning of one.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The commit that a branch, a tag, a full reference or the beginning of a commit stands for; of the default branch for
/// an empty one. Of a branch and a tag of one name it is the branch, as `git checkout` has it.
///
/// `work` is a folder that does not exist yet; it is left to the caller to remove.
pub fn resolve(
    settings: &Settings,
    agent: Option<&Path>,
    work: &Path,
    url: &str,
    reference: &str,
    watch: &dyn Watch,
) -> Result<String, GitError> {
    check(url)?;
    check(reference)?;
    if is_commit(reference) {
        return Ok(reference.to_owned());
    }
    let git = Git::new(settings, agent, work, watch)?;
    let name = reference.strip_prefix("refs/").unwrap_or(reference);
    let wanted = if reference.is_empty() { "HEAD" } else { reference };
    let listed = git.run(&["ls-remote", "--", url, wanted, &format!("{wanted}^{{}}")])?;
    let refs: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
    let find = |name: &str| {
        // An annotated tag comes a second time with what it points at.
        let peeled = format!("{name}^{{}}");
        let of = |name: &str| refs.iter().find(|(_, found)| *found == name).map(|(commit, _)| *commit);
        of(&peeled).or_else(|| of(name))
    };
    let found = match reference {
        "" => find("HEAD"),
        _ => [format!("refs/heads/{name}"), format!("refs/tags/{name}"), format!("refs/{name}"), reference.to_owned()]
            .iter()
            .find_map(|name| find(name)),
    };
    if let Some(commit) = found.filter(|commit| is_commit(commit)) {
        return Ok(commit.to_owned());
    }
    let short = (4..40).contains(&reference.len()) && reference.bytes().all(|b| b.is_ascii_hexdigit());
    if short {
        return expand(&git, url, &reference.to_ascii_lowercase());
    }
    Err(GitError::NoReference { url: shown(url), reference: wanted.to_owned() })
}

/// The commit that begins so. Servers do not answer that, so everything is fetched.
fn expand(git: &Git<'_>, url: &str, short: &str) -> Result<String, GitError> {
    let bare = git.work.join("all");
    let folder = bare.as_os_str();
    clone_all(git, url, &bare)?;
    let wanted = format!("{short}^{{commit}}");
    let found = git.run_at(folder, &["rev-parse", "--verify", "--end-of-options", &wanted]);
    match found {
        Ok(commit) => Ok(commit.trim().to_owned()),
        Err(GitError::Failed { said, .. }) if said.contains("ambiguous") => {
            Err(GitError::Ambiguous { url: shown(url), reference: short.to_owned() })
        }
        Err(GitError::Failed { .. }) => Err(GitError::NoReference { url: shown(url), reference: short.to_owned() }),
        Err(error) => Err(error),
    }
}

/// Fetches all branches and tags with their history into a new bare repository.
fn clone_all(git: &Git<'_>, url: &str, folder: &Path) -> Result<(), GitError> {
    let path = folder.to_string_lossy();
    git.run(&["clone", "--quiet", "--mirror", "--template=", "--", url, &path]).map(drop)
}

/// Whether the repository has a commit: an error if it has not.
///
/// `work` is a folder that does not exist yet; it is left to the caller to remove.
pub fn find(
    settings: &Settings,
    agent: Option<&Path>,
    work: &Path,
    url: &str,
    commit: &str,
    watch: &dyn Watch,
) -> Result<(), GitError> {
    let git = Git::new(settings, agent, work, watch)?;
    let tree = fetch(&git, work, url, commit)?;
    let is_commit =
        git.run_at(tree.as_os_str(), &["rev-parse", "--verify", "--end-of-options", &format!("{commit}^{{commit}}")]);
    is_commit.map(drop).map_err(|error| missing(error, url, commit))
}

/// Fetches a commit into a new repository below `work`; where that is.
fn fetch(git: &Git<'_>, work: &Path, url: &str, commit: &str) -> Result<PathBuf, GitError> {
    check(url)?;
    if !is_commit(commit) {
        return Err(GitError::Refused(commit.to_owned()));
    }
    let tree = work.join("tree");
    let folder = tree.as_os_str();
    let format = if commit.len() == 40 { "--object-format=sha1" } else { "--object-format=sha256" };
    let path = tree.to_string_lossy();
    git.run(&["init", "--quiet", "--template=", "--initial-branch=main", format, "--", &path])?;
    git.run_at(folder, &["remote", "add", "--", "origin", url])?;
    let fetch = ["fetch", "--quiet", "--no-tags", "--depth=1", "--no-recurse-submodules", "--", "origin", commit];
    match git.run_at(folder, &fetch) {
        Ok(_) => {}
        Err(GitError::Failed { .. }) => {
            // The server does not give single commits. What all of it leads to is the same.
            let all = work.join("all");
            clone_all(git, url, &all)?;
            let all = format!("file://{}", all.display());
            let fetch = ["fetch", "--quiet", "--no-tags", "--depth=1", "--no-recurse-submodules", "--", &all, commit];
            git.run_locally(folder, &fetch).map_err(|error| missing(error, url, commit))?;
        }
        Err(error) => return Err(error),
    }
    Ok(tree)
}

/// What it means that git failed to get a commit from all that a repository has.
fn missing(error: GitError, url: &str, commit: &str) -> GitError {
    match error {
        GitError::Failed { .. } => GitError::NoReference { url: shown(url), reference: commit.to_owned() },
        error => error,
    }
}

/// Makes the folder that a commit holds in `work`, which does not exist yet, and returns its path there.
pub fn check_out(
    settings: &Settings,
    agent: Option<&Path>,
    work: &Path,
    wanted: &Checkout<'_>,
    watch: &dyn Watch,
) -> Result<PathBuf, GitError> {
    let Checkout { url, commit, .. } = *wanted;
    let git = Git::new(settings, agent, work, watch)?;
    let tree = fetch(&git, work, url, commit)?;
    let folder = tree.as_os_str();
    git.run_at(folder, &["checkout", "--quiet", "--force", "--detach", &format!("{commit}^{{commit}}"), "--"])?;
    if wanted.submodules && tree.join(".gitmodules").is_file() {
        let update = ["submodule", "--quiet", "update", "--init", "--recursive", "--force"];
        let shallow = [&update[..], &["--depth=1"]].concat();
        match git.run_at(folder, &shallow) {
            Err(GitError::Failed { .. }) => git.run_at(folder, &update)?,
            result => result?,
        };
    }
    let subdir = wanted.subdir.trim_matches('/');
    if wanted.keep_git_dir && matches!(subdir, "" | ".") {
        keep::settle(&git, &tree)?;
    } else {
        remove_git(&tree)?;
    }
    let root = below(&tree, subdir).ok_or_else(|| GitError::NoFolder {
        url: shown(url),
        subdir: wanted.subdir.to_owned(),
        commit: commit.to_owned(),
    })?;
    settle(&root, wanted.mtime)?;
    Ok(root)
}

/// What git must not take for an option or a command of its own.
fn check(text: &str) -> Result<(), GitError> {
    let bad = text.starts_with('-') || text.contains("::") || text.bytes().any(|b| b.is_ascii_control());
    if bad { Err(GitError::Refused(text.to_owned())) } else { Ok(()) }
}

/// A folder in a folder, no part of the way being a symbolic link; none if there is no such one.
fn below(folder: &Path, path: &str) -> Option<PathBuf> {
    let mut at = folder.to_owned();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            return None;
        }
        at.push(part);
        if !at.symlink_metadata().ok()?.is_dir() {
            return None;
        }
    }
    Some(at)
}

/// Removes what git keeps for itself, everywhere in a checkout.
fn remove_git(folder: &Path) -> Result<(), GitError> {
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(at(folder))?);
        if entry.file_name() == ".git" {
            crate::store::remove_tree(&path).map_err(at(&path))?;
        } else if kind.is_dir() {
            remove_git(&path)?;
        }
    }
    Ok(())
}

/// Gives everything the permissions that git knows, and one time.
fn settle(folder: &Path, mtime: i64) -> Result<(), GitError> {
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let (path, metadata) = (entry.path(), entry.metadata().map_err(at(folder))?);
        if metadata.is_dir() {
            settle(&path, mtime)?;
            continue;
        }
        if metadata.is_file() {
            let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).map_err(at(&path))?;
        }
        stamp(&path, mtime)?;
    }
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).map_err(at(folder))?;
    stamp(folder, mtime)
}

fn stamp(path: &Path, mtime: i64) -> Result<(), GitError> {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path.as_os_str().as_bytes(), &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| at(path)(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_commits_from_names() {
        let check = |text: &str, expected: bool| assert_eq!(is_commit(text), expected, "{text}");
        check(&"a1".repeat(20), true);
        check(&"a1".repeat(32), true);
        check(&"A1".repeat(20), false);
        check(&"a1".repeat(19), false);
        check("main", false);
    }

    #[test]
    fn refuses_what_git_would_take_for_something_else() {
        for text in ["--upload-pack=x", "-x@h:p", "ext::sh -c x", "https://h/\n.git"] {
            assert!(check(text).is_err(), "{text}");
        }
        for text in ["https://h/x.git", "git@h:x", "ssh://git@[fe80:0:0:1]/x", "v1.0", ""] {
            assert!(check(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn folders_are_folders_and_no_links() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("l")).unwrap();
        std::fs::write(root.path().join("f"), "").unwrap();
        for (path, expected) in
            [("a/./b/", true), ("", true), ("l", false), ("f", false), ("a/../a", false), ("c", false)]
        {
            assert_eq!(below(root.path(), path).is_some(), expected, "{path}");
        }
    }
}
