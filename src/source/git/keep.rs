//! A `.git` that is kept, in one form.
//!
//! What a clone holds depends on when and how it was made: logs, times in the index, how objects were packed on the way,
//! where branches were. All of that goes. What stays is enough for `git describe --always`, `git log -1`, `git diff` and a
//! `git fetch`: `HEAD` (detached), `config` with the remote (without its password), `shallow`, an index without file times,
//! and one pack of just what the commit needs, made with fixed settings by one thread; the same for each submodule. No
//! branches and no tags. It is the same bytes each time with one version of git; another one may pack differently.

use std::path::{Path, PathBuf};

use super::run::Git;
use super::{GitError, at};

/// All that stays of a git folder, besides submodules.
const KEPT: [&str; 6] = ["HEAD", "config", "index", "objects", "refs", "shallow"];

/// Puts the `.git` of a checkout, and those of its submodules, into one form.
pub(super) fn settle(git: &Git<'_>, tree: &Path) -> Result<(), GitError> {
    let main = tree.join(".git");
    let mut folders = vec![main.clone()];
    find_modules(&main.join("modules"), &mut folders)?;
    for folder in folders {
        settle_one(git, &folder)?;
    }
    Ok(())
}

fn settle_one(git: &Git<'_>, folder: &Path) -> Result<(), GitError> {
    let head = git.run_at(folder.as_os_str(), &["--git-dir=.", "rev-parse", "HEAD"])?;
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let name = entry.file_name();
        if name != "modules" && !KEPT.iter().any(|kept| name == *kept) {
            crate::store::remove_tree(&entry.path()).map_err(at(&entry.path()))?;
        }
    }
    let (path, refs) = (folder.join("HEAD"), folder.join("refs"));
    std::fs::write(&path, &head).map_err(at(&path))?;
    crate::store::remove_tree(&refs).map_err(at(&refs))?;
    for kind in ["heads", "tags"] {
        std::fs::create_dir_all(refs.join(kind)).map_err(at(&refs))?;
    }
    let index = folder.join("index");
    std::fs::remove_file(&index).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(at(&index)(error)),
    })?;
    let urls = git.run_at(folder.as_os_str(), &["config", "--file", "config", "--get-regexp", r"\.url$"])?;
    for (key, url) in urls.lines().filter_map(|line| line.split_once(' ')) {
        git.run_at(folder.as_os_str(), &["config", "--file", "config", key, &without_credentials(url)])?;
    }
    let run = |arguments: &[&str]| git.run_at(folder.as_os_str(), &[&["--git-dir=."], arguments].concat());
    run(&["read-tree", "HEAD"])?;
    let repack =
        ["repack", "-q", "-a", "-d", "-f", "-n", "--threads=1", "--window=10", "--depth=50", "--no-write-bitmap-index"];
    run(&repack)?;
    // Marks of commits that are gone go with them.
    run(&["prune", "--expire=now"])?;
    for name in ["objects/info", "info", "logs"] {
        let path = folder.join(name);
        crate::store::remove_tree(&path).map_err(at(&path))?;
    }
    Ok(())
}

/// The git folders of submodules, wherever below `modules` their names put them.
fn find_modules(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), GitError> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if path.join("HEAD").is_file() && path.join("objects").is_dir() {
            find_modules(&path.join("modules"), found)?;
            found.push(path);
        } else {
            find_modules(&path, found)?;
        }
    }
    Ok(())
}

fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| scheme.starts_with("http")) else {
        return url.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let place = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, place)| place);
    format!("{scheme}://{place}{}", &rest[end..])
}
