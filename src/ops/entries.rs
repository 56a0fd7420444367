//! The entries of an archive that nobody vouches for, one after the other, in bounded memory.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// How much may stand before the content of a tar's entry, in bytes: headers, a long name, extended attributes.
const MAX_HEADER: u64 = 8 << 20;

/// Lets so many bytes pass and then fails.
pub(super) struct Bounded<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other(format!("the header of an entry is larger than {MAX_HEADER} bytes")));
        }
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.inner.read(&mut buffer[..length])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}

/// Shows every entry of a tar with its number, or the error that ends it. What is not read of an entry is passed over.
///
/// The tar reader takes long names into memory whatever their size, and a few compressed bytes can be a name of many
/// gigabytes; so what it may read on its own is bounded.
pub(super) fn each_entry<R: Read, E>(
    reader: R,
    mut visit: impl FnMut(usize, io::Result<&mut tar::Entry<'_, Bounded<R>>>) -> Result<(), E>,
) -> Result<(), E> {
    let left = Rc::new(Cell::new(MAX_HEADER));
    let mut tar = tar::Archive::new(Bounded { inner: reader, left: Rc::clone(&left) });
    let mut entries = match tar.entries() {
        Ok(entries) => entries,
        Err(error) => return visit(0, Err(error)),
    };
    for count in 0.. {
        left.set(MAX_HEADER);
        let Some(entry) = entries.next() else { break };
        left.set(u64::MAX);
        match entry {
            Err(error) => return visit(count, Err(error)),
            Ok(mut entry) => {
                visit(count, Ok(&mut entry))?;
                if let Err(error) = io::copy(&mut entry, &mut io::sink()) {
                    return visit(count, Err(error));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_fill_the_memory() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(1 << 40);
        header.set_cksum();
        let endless = header.as_bytes().chain(io::repeat(b'a'));
        let error = each_entry(endless, |_, entry| entry.map(drop)).unwrap_err();
        assert!(error.to_string().contains("larger than"), "{error}");
    }
}
