//! Files that appear whole where they belong: written beside it under another name, and renamed.
//!
//! That name ends in the number of the writing process and `.new` or `.part`. The writer holds a lock on it, so whoever
//! comes later can tell what is being written from what a killed process left, and remove the latter. Not by way of
//! `tmp/`: the file may belong to the user, on another file system, and a build that runs nothing needs no folder there.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::store::locks;

/// What the other names of files of the user end with.
pub const PART: &str = "part";
/// What those of small files and of files of the store end with.
pub const NEW: &str = "new";

/// A file that is being written. Dropped without [`Unfinished::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Unfinished {
    /// Begins a file that is to become `target`. `kind` is [`PART`] or [`NEW`].
    pub fn create(target: &Path, kind: &str) -> io::Result<Self> {
        let process = std::process::id();
        let mut number = 0u32;
        loop {
            let mut name = target.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{process}-{number}.{kind}"));
            let path = target.with_file_name(name);
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW);
            let file = options.open(&path)?;
            // Else it is another thread's, that of a process with this number in another namespace, or just swept away.
            // Where there are no locks, nothing is ever swept.
            if locks::try_lock(&file).unwrap_or(true) && locks::leads_to(&path, &file)? {
                // From here on it goes if anything fails.
                let unfinished = Self { file, path, target: target.to_owned(), finished: false };
                unfinished.file.set_len(0)?;
                return Ok(unfinished);
            }
            number += 1;
        }
    }

    /// The same; what killed processes left of earlier ones of this target goes.
    pub fn replace(target: &Path, kind: &str) -> io::Result<Self> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sweep(folder, |of| Some(of) == target.file_name());
        Self::create(target, kind)
    }

    /// Puts it in its place, where there may be an older one.
    pub fn finish(mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        // From now on its name may be that of another thread's file.
        self.finished = true;
        Ok(())
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What killed processes left unfinished in a folder; nothing if that cannot be read.
pub fn abandoned(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = unfinished(folder, |_| true).filter(|path| take(path).is_some()).collect();
    all.sort();
    all
}

/// Removes what killed processes left in a folder of the files that are `wanted` by the names of what they were to become.
pub fn sweep(folder: &Path, wanted: impl Fn(&OsStr) -> bool) {
    for path in unfinished(folder, wanted) {
        if let Some(_lock) = take(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// What a file with this name was to become, if it is an unfinished one.
pub fn target_of(name: &OsStr) -> Option<&OsStr> {
    let name = name.as_bytes();
    let rest = [PART, NEW].iter().find_map(|kind| name.strip_suffix(kind.as_bytes())?.strip_suffix(b"."))?;
    let dot = rest.iter().rposition(|byte| *byte == b'.')?;
    let number = &rest[dot + 1..];
    let is_number = !number.is_empty() && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
    (dot > 0 && is_number).then(|| OsStr::from_bytes(&rest[..dot]))
}

fn unfinished(folder: &Path, wanted: impl Fn(&OsStr) -> bool) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(move |entry| target_of(&entry.file_name()).is_some_and(&wanted)).map(|entry| entry.path())
}

/// Takes the lock on an unfinished file; none if its writer has it.
fn take(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
    (matches!(locks::try_lock(&file), Ok(true)) && locks::leads_to(path, &file).unwrap_or(false)).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        let mut one = Unfinished::replace(&target, NEW).unwrap();
        let mut two = Unfinished::replace(&target, NEW).unwrap();
        one.write_all(b"one").unwrap();
        two.write_all(b"two").unwrap();
        assert_eq!(names(folder.path()).len(), 2, "neither took the other for left behind");
        one.finish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");
        drop(two);
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn what_the_dead_left_goes_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let left = ["a.1.new", "a.1-0.part", "b.1-0.new"];
        let others = ["a", "a.new", "a.x.new", "a.1.old", ".1.new"];
        for name in left.iter().chain(&others) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let alive = Unfinished::create(&folder.path().join("a"), PART).unwrap();
        assert_eq!(
            abandoned(folder.path()),
            ["a.1-0.part", "a.1.new", "b.1-0.new"].map(|name| folder.path().join(name))
        );
        drop(Unfinished::replace(&folder.path().join("a"), NEW).unwrap());
        assert_eq!(abandoned(folder.path()), [folder.path().join("b.1-0.new")]);
        sweep(folder.path(), |_| true);
        assert!(alive.path.exists());
        drop(alive);
        let mut expected = others.to_vec();
        expected.sort_unstable();
        assert_eq!(names(folder.path()), expected);
    }
}
