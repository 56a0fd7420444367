//! From a tar to data alone: what [`unpack`](super::unpack()) would say of it, with nothing made on the disk.

use std::io::{self, Read};

use super::plan::{Make, Plan};
use super::{At, SnapshotError};
use crate::digest::ContentDigest;
use crate::fstree::tar::TarReader;
use crate::fstree::{Merged, Meta, Toc, TreePath};

/// Says what a tar makes of a layer on top of `lower`; without that, of a layer that a step made, whose marks hold whatever is
/// below. Folders that nobody describes get `implied`.
pub fn list<R: Read>(tar: &mut TarReader<R>, lower: Option<&Merged>, implied: &Meta) -> Result<Toc, SnapshotError> {
    let nothing = Merged::default();
    let plan = Plan::new(lower.unwrap_or(&nothing), TreePath::root(), implied.clone(), tar.dialect());
    let (mut plan, mut steps) = (plan.alone(lower.is_none()), Vec::new());
    while let Some((raw, mut content)) = tar.next()? {
        // They are for a disk.
        steps.clear();
        let Make::File { path, inode } = plan.add(raw, &mut steps)? else { continue };
        let mut hasher = blake3::Hasher::new();
        let size = io::copy(&mut content, &mut hasher).at(&path, "read it from the archive")?;
        if size != plan.file(inode).1 {
            return Err(SnapshotError::Changed { path });
        }
        plan.set_content(inode, ContentDigest::from_bytes(*hasher.finalize().as_bytes()));
    }
    Ok(plan.finish())
}
