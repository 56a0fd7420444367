//! The builder's own program, as the first process of a sandbox executes it: in a form that nobody can write through.
//!
//! For a moment, process 1 of a sandbox *is* this program, and a command such as `/proc/self/exe` is it for longer. Its
//! file can then be reached through `/proc/1/exe`, past all namespaces, by a process that may have root's power over
//! files: it could change its mode, give it capabilities, or write to it once nobody runs it any more (CVE-2019-5736).
//! So what is executed is the file in a mount of its own that is read-only, and that nobody in the sandbox can change;
//! or, where the file has no place any more, a copy in memory that is sealed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::{Errno, Result};
use rustix::mount::MountAttrFlags;

use crate::sandbox::sys;

/// A program to be executed in sandboxes.
pub(super) struct Program {
    /// The file itself, opened to name it only.
    file: OwnedFd,
    /// What is executed in its place; made when it is first wanted, since most builds run nothing.
    guarded: Mutex<Option<OwnedFd>>,
    /// What descriptors are above, so that none is one of those that a sandbox is given.
    first: i32,
}

impl Program {
    /// Opens one. All its descriptors are `first` or above.
    pub(super) fn open(path: &Path, first: i32) -> io::Result<Self> {
        let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { file: above(&file, first)?, guarded: Mutex::new(None), first })
    }

    /// A descriptor to execute it by.
    pub(super) fn guarded(&self) -> io::Result<OwnedFd> {
        let mut guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match guarded.take() {
            Some(made) => made,
            None => {
                let made = self.read_only().or_else(|_| self.sealed_copy())?;
                above(&made, self.first)?
            }
        };
        let copy = above(&made, self.first);
        *guarded = Some(made);
        copy
    }

    /// The file in a read-only mount that has no place.
    fn read_only(&self) -> Result<OwnedFd> {
        // By its name: it was opened in a mount namespace that may not be ours any more, as after becoming root without it.
        let file = rustix::fs::openat(CWD, self.name()?, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        if identity(&file)? != identity(&self.file)? {
            return Err(Errno::STALE);
        }
        let mount = sys::clone_mount(&file, false)?;
        sys::add_mount_attributes(&mount, MountAttrFlags::MOUNT_ATTR_RDONLY | sys::NOSUID_NODEV, false)?;
        Ok(mount)
    }

    /// Its bytes in memory, where nobody can change them.
    fn sealed_copy(&self) -> io::Result<OwnedFd> {
        let mut from = File::open(own_name(self.file.as_fd()))?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let copy = match rustix::fs::memfd_create("imgbuild", flags | MemfdFlags::EXEC) {
            // Linux before 6.3, where all of them can be executed.
            Err(Errno::INVAL) => rustix::fs::memfd_create("imgbuild", flags)?,
            copy => copy?,
        };
        let mut copy = File::from(copy);
        io::copy(&mut from, &mut copy)?;
        rustix::fs::fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
        Ok(copy.into())
    }

    /// What the kernel calls the file.
    fn name(&self) -> Result<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let name = rustix::fs::readlinkat(CWD, own_name(self.file.as_fd()), Vec::new())?;
        Ok(std::ffi::OsString::from_vec(name.into_bytes()).into())
    }
}

/// The name by which this process can open once more what it has open.
fn own_name(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Device and number: no two files have the same.
fn identity(file: &OwnedFd) -> Result<(u64, u64)> {
    let stat = rustix::fs::statat(file, c"", AtFlags::EMPTY_PATH)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// A copy of a descriptor from a number on.
fn above(file: impl AsFd, first: i32) -> io::Result<OwnedFd> {
    // So it is said that there may not be that many.
    let too_many = |errno| if errno == Errno::INVAL { Errno::MFILE } else { errno };
    Ok(rustix::io::fcntl_dupfd_cloexec(file, first).map_err(too_many)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Whether a file that is reached through a descriptor can be written to, as a process in a sandbox would try it.
    fn writable(file: &OwnedFd) -> bool {
        let name = own_name(file.as_fd());
        let Ok(file) = File::options().write(true).open(name) else { return false };
        io::Write::write_all(&mut &file, b"x").is_ok()
    }

    #[test]
    fn the_copy_has_the_same_bytes_and_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, "bytes").unwrap();
        let program = Program::open(&path, 16).unwrap();
        assert!(writable(&program.file));
        std::fs::write(&path, "bytes").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let copy = program.sealed_copy().unwrap();
        assert!(!writable(&copy));
        assert_eq!(std::fs::read_to_string(own_name(copy.as_fd())).unwrap(), "bytes");
        // One that has no name any more is copied.
        std::fs::remove_file(&path).unwrap();
        let guarded = program.guarded().unwrap();
        assert!(guarded.as_raw_fd() >= 16 && !writable(&guarded));
        assert_eq!(std::fs::read_to_string(own_name(guarded.as_fd())).unwrap(), "bytes");
    }
}
