//! Removing a tree of files that others made: steps of builds, with any permissions and any depth.
//!
//! Nothing outside the tree can be reached: every name is opened below a folder that is open already, symbolic links are
//! never followed and mount points are never entered. Folders without permissions are given some first (the kernel
//! itself leaves such a one in an overlay's work folder). Depth costs neither stack nor file descriptors: what lies too
//! deep is moved up and removed there.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How deep folders are entered before what is below them is moved up.
const MAX_DEPTH: usize = 64;

/// Removes a file, or a folder with everything in it. That there is nothing at `path` is success.
///
/// # Errors
/// A mount point in the tree, a file that is marked immutable or owned by somebody else. What could be removed is gone.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} cannot be removed", path.display())));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let parent = match rustix::fs::openat(CWD, parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let name = CString::new(name.as_bytes())?;
    let Some(top) = remove_or_open(parent.as_fd(), &name)? else { return Ok(()) };
    let mut tree = Tree { top: top.as_fd(), moved: Vec::new(), count: 0 };
    tree.empty(top.as_fd(), 0)?;
    while let Some(name) = tree.moved.pop() {
        if let Some(folder) = remove_or_open(top.as_fd(), &name)? {
            tree.empty(folder.as_fd(), 1)?;
            remove_folder(top.as_fd(), &name)?;
        }
    }
    Ok(remove_folder(parent.as_fd(), &name)?)
}

struct Tree<'a> {
    top: BorrowedFd<'a>,
    moved: Vec<CString>,
    count: u64,
}

impl Tree<'_> {
    /// Removes everything in an open folder, except for what is moved to the top.
    fn empty(&mut self, folder: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        let mut names: Vec<CString> = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        for name in names {
            let Some(below) = remove_or_open(folder, &name)? else { continue };
            if depth < MAX_DEPTH {
                self.empty(below.as_fd(), depth + 1)?;
                remove_folder(folder, &name)?;
            } else {
                self.move_up(folder, &name)?;
            }
        }
        Ok(())
    }

    fn move_up(&mut self, folder: BorrowedFd<'_>, name: &CString) -> io::Result<()> {
        loop {
            self.count += 1;
            let new = CString::new(format!(".deep-{}", self.count))?;
            match rustix::fs::renameat_with(folder, name, self.top, &new, rustix::fs::RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                moved => {
                    moved?;
                    self.moved.push(new);
                    return Ok(());
                }
            }
        }
    }
}

/// Removes a file or an empty folder; opens a folder that has something in it.
fn remove_or_open(folder: BorrowedFd<'_>, name: &CString) -> io::Result<Option<OwnedFd>> {
    let mut result = rustix::fs::unlinkat(folder, name, AtFlags::empty());
    if result == Err(Errno::ACCESS) {
        rustix::fs::fchmod(folder, Mode::RWXU)?;
        result = rustix::fs::unlinkat(folder, name, AtFlags::empty());
    }
    match result {
        Ok(()) | Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ISDIR) => {}
        // What POSIX says for folders, and what the kernel says for files that are immutable.
        Err(Errno::PERM) if is_folder(folder, name) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {}
        Err(error) => return Err(error.into()),
    }
    let mut opened = open_folder(folder, name);
    if opened.as_ref().is_err_and(|error| *error == Errno::ACCESS) {
        rustix::fs::chmodat(folder, name, Mode::RWXU, AtFlags::empty())?;
        opened = open_folder(folder, name);
    }
    let opened = match opened {
        Err(Errno::XDEV) => return Err(io::Error::other("something is mounted in it")),
        opened => opened?,
    };
    // Readable is not enough: names can be removed only from a folder that can be written and searched.
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        rustix::fs::fchmod(&opened, Mode::RWXU)?;
    }
    Ok(Some(opened))
}

fn open_folder(folder: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    match rustix::fs::openat2(folder, name, flags, Mode::empty(), inside) {
        Err(Errno::NOSYS) => {
            let opened = rustix::fs::openat(folder, name, flags, Mode::empty())?;
            let same = rustix::fs::fstat(&opened)?.st_dev == rustix::fs::fstat(folder)?.st_dev;
            if same { Ok(opened) } else { Err(Errno::XDEV) }
        }
        opened => opened,
    }
}

fn remove_folder(folder: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        // Something was moved up from below: the folder is empty now, so this is about its permissions.
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(folder, Mode::RWXU)?;
            rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
        }
        result => result,
    }
}

fn is_folder(folder: BorrowedFd<'_>, name: &CString) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn removes_files_folders_and_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        remove_tree(&path).unwrap();
        remove_tree(&path.join("b/c")).unwrap();
        fs::write(&path, "x").unwrap();
        remove_tree(&path).unwrap();
        fs::create_dir_all(path.join("b/c")).unwrap();
        fs::write(path.join("b/f"), "x").unwrap();
        remove_tree(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn never_follows_links() {
        let folder = tempfile::tempdir().unwrap();
        let [keep, tree] = ["keep", "tree"].map(|name| folder.path().join(name));
        fs::create_dir_all(&keep).unwrap();
        fs::create_dir_all(&tree).unwrap();
        fs::write(keep.join("f"), "x").unwrap();
        symlink(&keep, tree.join("link")).unwrap();
        remove_tree(&tree).unwrap();
        symlink(&keep, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(keep.join("f").exists() && !tree.is_symlink());
    }

    #[test]
    fn copes_with_missing_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/f"), "x").unwrap();
        fs::create_dir_all(tree.join("work/work")).unwrap();
        for path in ["a/b", "a", "work/work", ""] {
            fs::set_permissions(tree.join(path), Permissions::from_mode(0o0)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn any_depth_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        // Deeper than a path can be long: built from the inside out.
        for _ in 0..3000 {
            let outer = folder.path().join("outer");
            fs::create_dir(&outer).unwrap();
            fs::rename(&tree, outer.join("d")).unwrap();
            fs::rename(&outer, &tree).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
