//! The files that a step uses of one input, as a list that can be compared with an earlier one.

use std::cmp::Ordering;

/// The most changes that are named; the others are counted.
pub const NAMED: usize = 10;

/// One file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileFact {
    /// Where it is in the input.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Its settled time, in seconds since 1970.
    pub mtime: i64,
    /// The beginning of a hash of its content, target or number: enough to tell, not to prove, that two are the same.
    pub content: u64,
    /// The same of its extended attributes; zero if there are none.
    pub xattrs: u64,
}

/// What a file can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Special,
}

/// The files of one selection, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileList(Vec<FileFact>);

impl FileList {
    /// A list of these, in any order; what is there twice is once in it.
    pub fn new(mut files: Vec<FileFact>) -> Self {
        files.sort_unstable();
        files.dedup_by(|a, b| a.path == b.path);
        Self(files)
    }

    /// The files.
    pub fn files(&self) -> &[FileFact] {
        &self.0
    }

    /// What happened between `old` and this, and how many changes were not named.
    pub fn since(&self, old: &Self) -> (Vec<FileChange>, usize) {
        let (mut named, mut more) = (Vec::new(), 0);
        let mut tell = |path: &[u8], kind: FileKind, what: Difference| {
            // That a folder's time moved is told by what is in it.
            if kind == FileKind::Folder && what == Difference::Time {
                return;
            }
            match named.len() < NAMED {
                true => named.push(FileChange { path: String::from_utf8_lossy(path).into_owned(), what }),
                false => more += 1,
            }
        };
        let (mut left, mut right) = (old.0.iter().peekable(), self.0.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.path.cmp(&new.path),
            };
            match order {
                Ordering::Less => {
                    left.next().into_iter().for_each(|old| tell(&old.path, old.kind, Difference::Removed))
                }
                Ordering::Greater => {
                    right.next().into_iter().for_each(|new| tell(&new.path, new.kind, Difference::Added));
                }
                Ordering::Equal => {
                    if let (Some(old), Some(new)) = (left.next(), right.next())
                        && let Some(what) = difference(old, new)
                    {
                        tell(&new.path, new.kind, what);
                    }
                }
            }
        }
        (named, more)
    }
}

/// What happened to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Which one.
    pub path: String,
    /// What.
    pub what: Difference,
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has other content, or leads elsewhere.
    Content,
    /// It is something else.
    Kind,
    /// Its permissions: from, to.
    Mode(u32, u32),
    /// Its owner: from, to.
    Owner((u32, u32), (u32, u32)),
    /// Its time, which is data in a stage.
    Time,
    /// Its extended attributes.
    Xattrs,
}

fn difference(old: &FileFact, new: &FileFact) -> Option<Difference> {
    match () {
        () if old.kind != new.kind => Some(Difference::Kind),
        () if old.content != new.content => Some(Difference::Content),
        () if old.mode != new.mode => Some(Difference::Mode(old.mode, new.mode)),
        () if (old.uid, old.gid) != (new.uid, new.gid) => {
            Some(Difference::Owner((old.uid, old.gid), (new.uid, new.gid)))
        }
        () if old.xattrs != new.xattrs => Some(Difference::Xattrs),
        () if old.mtime != new.mtime => Some(Difference::Time),
        () => None,
    }
}

impl std::fmt::Display for FileChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        match self.what {
            Difference::Added => write!(f, "{path} is new"),
            Difference::Removed => write!(f, "{path} is gone"),
            Difference::Content => write!(f, "{path} changed"),
            Difference::Kind => write!(f, "{path} is another kind of file"),
            Difference::Mode(from, to) => write!(f, "{path} has the mode {to:04o}, not {from:04o}"),
            Difference::Owner(from, to) => {
                write!(f, "{path} is owned by {}:{}, not {}:{}", to.0, to.1, from.0, from.1)
            }
            Difference::Time => write!(f, "{path} has another time"),
            Difference::Xattrs => write!(f, "{path} has other extended attributes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: u64) -> FileFact {
        let kind = if path.ends_with('/') { FileKind::Folder } else { FileKind::File };
        let path = path.trim_end_matches('/').as_bytes().to_vec();
        FileFact { path, kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, content, xattrs: 0 }
    }

    #[track_caller]
    fn check(old: Vec<FileFact>, new: Vec<FileFact>, expected: &[&str]) {
        let (changes, more) = FileList::new(new).since(&FileList::new(old));
        assert_eq!(changes.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        assert_eq!(more, 0);
    }

    #[test]
    fn names_what_happened() {
        let base = || vec![file("src/", 0), file("src/a", 1), file("src/b", 2)];
        check(base(), base(), &[]);
        check(
            base(),
            vec![file("src/", 0), file("src/b", 3), file("src/c", 1)],
            &["src/a is gone", "src/b changed", "src/c is new"],
        );
        let moved = |change: fn(&mut FileFact)| {
            let mut files = base();
            change(&mut files[1]);
            files
        };
        check(base(), moved(|file| file.mode = 0o755), &["src/a has the mode 0755, not 0644"]);
        check(base(), moved(|file| file.uid = 7), &["src/a is owned by 7:0, not 0:0"]);
        check(base(), moved(|file| file.mtime = 7), &["src/a has another time"]);
        check(base(), moved(|file| file.xattrs = 7), &["src/a has other extended attributes"]);
        check(base(), moved(|file| file.kind = FileKind::Symlink), &["src/a is another kind of file"]);
    }

    #[test]
    fn names_some_and_counts_the_rest() {
        let many = (0..25).map(|number| file(&format!("{number:02}"), 0)).collect();
        let (changes, more) = FileList::new(many).since(&FileList::default());
        assert_eq!((changes.len(), more), (NAMED, 15));
        assert_eq!(changes[0].to_string(), "00 is new");
    }
}
