//! Whole images from one place to another: store, registry, or a folder that is an OCI layout.
//!
//! First everything is planned from the manifests, which are small; then blobs go side by side; then manifests, each after
//! those that it names, so that nowhere an image is listed of which something is missing. No blob is unpacked or compressed
//! anew. A blob streams from its source to its target; how much memory that takes does not depend on its size.

mod ends;
mod layout;
mod meter;
mod plan;

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

pub use ends::{OpenedEnd, StoreEnd, TagEnd};
pub use layout::Layout;
pub use plan::{Plan, Platforms};

use super::upload::{Content, Sent};
use super::{Check, RegistryError};
use crate::event::Reporter;
use crate::oci::Descriptor;
use meter::Meter;

/// Where images come from.
pub trait Source: Sync {
    /// The bytes of a manifest or index, which have the digest asked for; none if it is not there.
    fn document(&self, entry: &Descriptor) -> Result<Option<Vec<u8>>, RegistryError>;

    /// The bytes of a blob from `offset` on; none if it is not there. What is read to the end from the start is what the
    /// digest says if `check` demands it.
    fn open(
        &self,
        blob: &Descriptor,
        offset: u64,
        check: Check,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RegistryError>;

    /// Repositories (`registry/path`) that may have a blob as well.
    fn repositories(&self, blob: &Descriptor) -> Vec<String>;

    /// Whether a blob can be read without a network.
    fn has_at_hand(&self, blob: &Descriptor) -> Result<bool, RegistryError>;
}

/// Where images go.
pub trait Target: Sync {
    /// Whether a manifest is there with all that it needs.
    fn is_whole(&self, entry: &Descriptor) -> Result<bool, RegistryError>;

    /// Whether it checks digests itself.
    fn checks(&self) -> bool;

    /// Sees to it that a blob is there. `elsewhere` are repositories that may have it.
    fn put_blob(&self, blob: &Descriptor, content: &dyn Content, elsewhere: &[String]) -> Result<Sent, RegistryError>;

    /// Sees to it that a manifest is there. All that it names is.
    fn put_document(&self, entry: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError>;
}

/// How images are moved.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What is done, as a word such as `pulling`.
    pub verb: &'a str,
    /// How many blobs at the same time.
    pub jobs: usize,
    /// Who hears of it.
    pub reporter: &'a dyn Reporter,
}

/// What moving an image came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Blobs that were there already.
    pub existed: usize,
    /// Blobs that the registry only linked.
    pub mounted: usize,
    /// Blobs that were sent or received.
    pub moved: usize,
}

/// Moves what was planned.
pub fn run(
    source: &dyn Source,
    target: &dyn Target,
    plan: &Plan,
    options: Options<'_>,
) -> Result<Moved, RegistryError> {
    let mut moved = Moved::default();
    // A registry has everything that its manifests name.
    if !target.is_whole(&plan.root)? {
        let mut blobs: Vec<&Descriptor> = plan.blobs.iter().collect();
        // The largest first: the last one should not be the longest.
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        for sent in side_by_side(&blobs, options.jobs, |blob| one(source, target, blob, options))? {
            match sent {
                Some(Sent::Existed) => moved.existed += 1,
                Some(Sent::Mounted) => moved.mounted += 1,
                Some(Sent::Uploaded) => moved.moved += 1,
                None => {}
            }
        }
    }
    for (entry, bytes) in &plan.documents {
        target.put_document(entry, bytes)?;
    }
    Ok(moved)
}

/// Brings single blobs to a target, such as those that a build needs and the store lacks.
pub fn bring(
    source: &dyn Source,
    target: &dyn Target,
    blobs: &[Descriptor],
    options: Options<'_>,
) -> Result<(), RegistryError> {
    side_by_side(blobs, options.jobs, |blob| one(source, target, blob, options)).map(drop)
}

/// One blob; none if it may be missing and is.
fn one(
    source: &dyn Source,
    target: &dyn Target,
    blob: &Descriptor,
    options: Options<'_>,
) -> Result<Option<Sent>, RegistryError> {
    let check = if target.checks() { Check::SizeOnly } else { Check::Digest };
    let content = Metered { source, blob, check, meter: Meter::new(options.reporter, options.verb, blob) };
    match target.put_blob(blob, &content, &source.repositories(blob)) {
        Ok(sent) => {
            content.meter.finish();
            Ok(Some(sent))
        }
        // Layers that only stand at a URL need not be anywhere else.
        Err(RegistryError::Missing(digest)) if digest == blob.digest && plan::may_be_missing(blob) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A blob of a source, whose bytes are counted.
struct Metered<'a> {
    source: &'a dyn Source,
    blob: &'a Descriptor,
    check: Check,
    meter: Meter<'a>,
}

impl Content for Metered<'_> {
    fn open(&self, offset: u64) -> Result<Box<dyn Read + Send + '_>, RegistryError> {
        let reader = self.source.open(self.blob, offset, self.check)?;
        let reader = reader.ok_or(RegistryError::Missing(self.blob.digest))?;
        Ok(Box::new(self.meter.watch(reader, offset)))
    }
}

/// Does something with each of these, several at a time; the first failure ends it.
fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    action: impl Fn(&T) -> Result<R, RegistryError> + Sync,
) -> Result<Vec<R>, RegistryError> {
    let queue = Mutex::new(items.iter());
    let failed = AtomicBool::new(false);
    let work = || -> Result<Vec<R>, RegistryError> {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = next else { break };
            done.push(action(item).inspect_err(|_| failed.store(true, Ordering::Relaxed))?);
        }
        Ok(done)
    };
    thread::scope(|scope| {
        let helpers = jobs.min(items.len()).saturating_sub(1);
        let others: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            let done = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all = match (all, done) {
                (Ok(mut all), Ok(done)) => {
                    all.extend(done);
                    Ok(all)
                }
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            };
        }
        all
    })
}
