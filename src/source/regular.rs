//! Files that somebody else may have put where they are: build files, ignore files, lockfiles, blobs of a layout.
//!
//! In a folder that comes from elsewhere, each can be a pipe that nobody writes to, a device that never ends, or grow while it
//! is read. So only regular files are opened, and what is read whole is read within a limit. A pipe is fine where a shell made
//! it for a person who named it, as with `-f <(…)`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// The most bytes of a file that is read whole.
pub const LARGEST: u64 = 16 << 20;

/// Opens a regular file. Never waits.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a device can have effects of its own.
    check(&std::fs::metadata(path)?)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    check(&file.metadata()?)?;
    Ok(file)
}

/// All of a file, of at most [`LARGEST`] bytes.
pub fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let made_by_shell = ["/dev/fd", "/proc/self/fd", "/dev/stdin"].iter().any(|start| path.starts_with(start));
    within(if made_by_shell { File::open(path)? } else { open(path)? })
}

/// The same as text.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if it is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    as_text(bytes(path)?)
}

/// All that a reader has, which must be text of at most [`LARGEST`] bytes.
pub fn read_text(reader: impl Read) -> io::Result<String> {
    as_text(within(reader)?)
}

fn as_text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

fn within(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {LARGEST} bytes")));
    }
    Ok(bytes)
}

fn check(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = if metadata.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
    Err(io::Error::new(kind, if metadata.is_dir() { "it is a folder" } else { "it is not a regular file" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_only_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("text"), "abc").unwrap();
        std::fs::write(path("bytes"), b"\xff").unwrap();
        File::create(path("large")).unwrap().set_len(LARGEST + 1).unwrap();
        File::create(path("largest")).unwrap().set_len(LARGEST).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zeros")).unwrap();
        let check = |path: &Path, expected: Result<usize, io::ErrorKind>| {
            assert_eq!(text(path).map(|text| text.len()).map_err(|error| error.kind()), expected, "{}", path.display());
        };
        check(&path("text"), Ok(3));
        check(&path("bytes"), Err(io::ErrorKind::InvalidData));
        check(&path("large"), Err(io::ErrorKind::FileTooLarge));
        check(&path("largest"), Ok(LARGEST as usize));
        check(&path("pipe"), Err(io::ErrorKind::InvalidInput));
        check(&path("zeros"), Err(io::ErrorKind::InvalidInput));
        check(folder.path(), Err(io::ErrorKind::IsADirectory));
        check(&path("none"), Err(io::ErrorKind::NotFound));
        assert_eq!(read_text(io::repeat(b'a')).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
