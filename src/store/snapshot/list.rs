//! What a tar holds, without making any of it: for a layer that was described before its bytes came.

use std::io::Read;

use super::plan::{Make, Plan};
use super::{At, SnapshotError};
use crate::digest::ContentDigest;
use crate::fstree::tar::TarReader;
use crate::fstree::{Merged, Meta, Toc, TreePath};

/// How much is read at once, in bytes.
const BUFFER: usize = 256 << 10;

/// Reads a layer that a step made to the end of its tar. What unpacking it would say is said here.
pub fn list<R: Read>(tar: &mut TarReader<R>, implied: &Meta) -> Result<Toc, SnapshotError> {
    let nothing = Merged::new(Vec::new());
    let mut plan = Plan::new(&nothing, TreePath::root(), implied.clone(), tar.dialect()).alone(true);
    let (mut steps, mut buffer) = (Vec::new(), vec![0; BUFFER]);
    while let Some((raw, mut content)) = tar.next()? {
        let make = plan.add(raw, &mut steps)?;
        steps.clear();
        let Make::File { path, inode } = make else { continue };
        let mut hasher = blake3::Hasher::new();
        loop {
            match content.read(&mut buffer).at(&path, "read it from the archive")? {
                0 => break,
                read => drop(hasher.update(&buffer[..read])),
            }
        }
        plan.set_content(inode, ContentDigest::from_bytes(*hasher.finalize().as_bytes()));
    }
    Ok(plan.finish())
}
