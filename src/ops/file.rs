//! What the user asked for, written: files appear whole or not at all, and a stream ends quietly if nobody reads it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::Error;
use super::error::is_machine;
use crate::store::{PART, Unfinished};

/// Has a file written and puts it in place only when it is whole. What was there before stays until then, and if it fails.
///
/// Devices and pipes are written directly.
pub fn write_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<(), Error>) -> Result<(), Error> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return write(File::create(path).map_err(failed(path))?, path, fill).map(drop);
    }
    let part = Unfinished::replace(path, PART).map_err(failed(path))?;
    write(part, path, fill)?.finish().map_err(failed(path))
}

/// Writes to a stream, such as standard output. If its reader has gone, that is [`Error::ReaderGone`], whatever became of it
/// on its way through `fill`.
pub fn write_stream(out: impl Write, fill: impl FnOnce(&mut dyn Write) -> Result<(), Error>) -> Result<(), Error> {
    let mut noticing = Noticing { out, gone: false };
    let mut out = BufWriter::with_capacity(256 << 10, &mut noticing);
    let failed = |error: io::Error| {
        let message = "cannot write to standard output";
        if is_machine(&error) { Error::environment(message) } else { Error::build(message) }.caused_by(error)
    };
    let written = fill(&mut out).and_then(|()| out.flush().map_err(failed));
    // What could not be written cannot be written later either.
    let _ = out.into_parts();
    if noticing.gone { Err(Error::ReaderGone) } else { written }
}

/// Notices that nobody reads.
struct Noticing<W> {
    out: W,
    gone: bool,
}

impl<W> Noticing<W> {
    fn told<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.gone |= result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        result
    }
}

impl<W: Write> Write for Noticing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let result = self.out.write(buffer);
        self.told(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.told(result)
    }
}

fn write<W: Write>(file: W, named: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<(), Error>) -> Result<W, Error> {
    let mut out = BufWriter::with_capacity(256 << 10, file);
    fill(&mut out)?;
    out.into_inner().map_err(|error| failed(named)(error.into_error()))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let message = format!("cannot write {}", path.display());
    move |error| if is_machine(&error) { Error::environment(message) } else { Error::build(message) }.caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_failure_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let put = |bytes: &'static [u8], result: Result<(), Error>| {
            write_file(&path, |out| {
                out.write_all(bytes).unwrap();
                result
            })
        };
        put(b"half", Err(Error::build("no"))).unwrap_err();
        assert!(!path.exists());
        put(b"whole", Ok(())).unwrap();
        put(b"half", Err(Error::build("no"))).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        struct Gone(io::ErrorKind);
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let check = |kind, bytes: usize, expected: &str| {
            let fill = |out: &mut dyn Write| match out.write_all(&vec![0; bytes]) {
                Ok(()) => Ok(()),
                Err(error) => Err(Error::build(format!("in the middle: {error}"))),
            };
            assert_eq!(write_stream(Gone(kind), fill).unwrap_err().to_string(), expected);
        };
        for bytes in [1, 1 << 20] {
            check(io::ErrorKind::BrokenPipe, bytes, "nobody reads standard output any more");
        }
        check(io::ErrorKind::StorageFull, 1, "cannot write to standard output");
    }

    #[test]
    fn says_which_file() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none/a.tar")] {
            let message = write_file(&path, |_| Ok(())).unwrap_err().to_string();
            assert_eq!(message, format!("cannot write {}", path.display()));
        }
        let gone = |out: &mut dyn Write| {
            out.write_all(b"gone").unwrap();
            Ok(())
        };
        write_file(Path::new("/dev/null"), gone).unwrap();
        assert!(Path::new("/dev/null").exists());
    }
}
