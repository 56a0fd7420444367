//! `fetch`: everything that a build takes from outside is brought into the store, so that it can be built without a network.

use crate::lockfile::LockKey;
use crate::oci::Document;
use crate::ops::Error;
use crate::ops::build::{self, LockMode, LockPlace, Prepared, Session, Target};

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
    let images = bring_images(session, &prepared)?;
    let (files, checkouts) = build::fetch(session, &prepared, targets)?;
    Ok(Fetched { images, files, checkouts })
}

/// Brings the layers of all images that a build uses into the store; how many images that are.
pub(super) fn bring_images(session: &Session<'_>, prepared: &Prepared) -> Result<usize, Error> {
    let mut images = 0;
    let mut layers = Vec::new();
    for key in prepared.lock.used() {
        let LockKey::Image { reference, platform } = key else { continue };
        let Some(image) = prepared.lock.pinned().lookup_image(reference, platform) else { continue };
        images += 1;
        if let Some(Document::Manifest(manifest)) = session.store.document(&image.manifest)? {
            layers.extend(manifest.layers);
        }
    }
    prepared.layers.bring(&layers)?;
    Ok(images)
}
