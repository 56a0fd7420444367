//! Whether the saved tables of contents of an image's layers say what the layers hold.
//!
//! The table of a layer that a step made is named by its own hash. That of an image's layer is named by the image, so damage
//! that still reads as a table would show only here: by reading the blob again.

use std::fs;
use std::sync::Arc;

use crate::compress;
use crate::digest::{ChainId, DiffId};
use crate::fstree::tar::{Dialect, Limits, TarReader};
use crate::fstree::{Merged, Toc};
use crate::oci::Descriptor;
use crate::store::Store;
use crate::store::layers::{LayerId, decode_toc, implied_root};
use crate::store::snapshot;

impl Store {
    /// The layers of an image, bottom first, whose saved tables are not what their blobs hold. Where a blob is not there, or
    /// does not read, the table is taken as it is.
    pub fn wrong_tables(&self, layers: &[(Descriptor, DiffId)]) -> Vec<LayerId> {
        let diff_ids: Vec<DiffId> = layers.iter().map(|(_, diff_id)| *diff_id).collect();
        let mut below: Vec<Arc<Toc>> = Vec::new();
        let mut wrong = Vec::new();
        for (chain, (blob, _)) in ChainId::stack(&diff_ids).into_iter().zip(layers) {
            let id = LayerId::Image(chain);
            let saved = fs::read(self.snapshots_dir().join(id.to_string()).join("toc")).ok();
            let saved = saved.and_then(|bytes| decode_toc(id, &bytes));
            let listed = saved.is_some().then(|| self.listed(blob, &below)).flatten();
            match (saved, listed) {
                (Some(saved), Some(listed)) => {
                    if saved.digest() != listed.digest() {
                        wrong.push(id);
                    }
                    below.push(Arc::new(listed));
                }
                (Some(saved), None) => below.push(Arc::new(saved)),
                // What comes above cannot be told without it.
                (None, _) => break,
            }
        }
        wrong
    }

    fn listed(&self, blob: &Descriptor, below: &[Arc<Toc>]) -> Option<Toc> {
        let reader = self.reader(&blob.digest).ok()?;
        let list = || {
            let (_, reader) = compress::reader(reader).ok()?;
            let mut tar = TarReader::new(reader, Dialect::Layer, Limits::default());
            snapshot::list(&mut tar, Some(&Merged::new(below.to_vec())), &implied_root()).ok()
        };
        self.confined(list).ok()?
    }
}
