//! `fetch`: everything that a build takes from outside is brought into the store, so that it can be built without a network.

use crate::lockfile::LockKey;
use crate::oci::Document;
use crate::ops::Error;
use crate::ops::build::{self, LockMode, LockPlace, Session, Target};

/// What is in the store now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Images, each platform counted.
    pub images: usize,
    /// Files behind URLs.
    pub files: usize,
    /// Checkouts of git repositories.
    pub checkouts: usize,
}

/// Fetches what is pinned; what is not pinned yet is looked up and pinned first.
pub fn fetch(session: &Session<'_>, targets: &[Target], place: &LockPlace, mode: LockMode) -> Result<Fetched, Error> {
    let prepared = build::prepare(session, targets, place, mode)?;
    prepared.lock.settle(session.reporter)?;
    let store = &session.store;
    let mut images = 0;
    let mut incomplete = Vec::new();
    for key in prepared.lock.used() {
        let LockKey::Image { reference, platform } = key else { continue };
        let Some(image) = prepared.lock.pinned().lookup_image(reference, platform) else { continue };
        images += 1;
        if let Some(Document::Manifest(manifest)) = store.document(&image.manifest)? {
            let missing = manifest.layers.iter().filter(|layer| !store.has(&layer.digest)).count();
            if missing > 0 {
                let total = manifest.layers.len();
                incomplete
                    .push(format!("{reference} ({platform}): {missing} of {total} layers, of {}", image.manifest));
            }
        }
    }
    if !incomplete.is_empty() {
        let message = format!("images are in the store without their layers:\n  {}", incomplete.join("\n  "));
        return Err(Error::build(message).help("bring them in with `imgbuild load -i ARCHIVE`"));
    }
    let (files, checkouts) = build::fetch(session, &prepared, targets)?;
    Ok(Fetched { images, files, checkouts })
}
