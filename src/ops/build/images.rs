//! What image references stand for: by the lockfile if it says, else by what the store has now.

use std::ops::Range;

use crate::frontend::diagnostic::Diagnostic;
use crate::lockfile::{LockKey, LockedImage, Precise};
use crate::oci::{Platform, Reference};
use crate::ops::Error;
use crate::ops::build::locking::Lock;
use crate::store::{ResolvedImage, Store};

/// Why a reference stands for nothing.
pub enum Unresolved {
    /// To be told at the place in the definition that names it: what is wrong, and what to do.
    Here(String, Vec<String>),
    /// Something else is broken.
    Fatal(Error),
}

impl Unresolved {
    /// The message at its place, unless it is something else that is broken.
    pub fn told(self, span: &Range<usize>) -> Result<Diagnostic, Error> {
        match self {
            Self::Fatal(error) => Err(error),
            Self::Here(message, help) => {
                Ok(help.into_iter().fold(Diagnostic::error(span.clone(), message), Diagnostic::help))
            }
        }
    }
}

impl<E: Into<Error>> From<E> for Unresolved {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

/// Finds an image for a platform. With `fresh`, the lockfile is not asked but told.
pub fn resolve(
    store: &Store,
    lock: &mut Lock,
    written: &str,
    platform: &Platform,
    fresh: bool,
) -> Result<ResolvedImage, Unresolved> {
    let reference = Reference::parse(written).map_err(|error| Unresolved::Here(error.to_string(), Vec::new()))?;
    let key = LockKey::Image { reference: written.to_owned(), platform: platform.clone() };
    if let Some(reason) = lock.denied(&key) {
        return Err(Unresolved::Here(reason, Vec::new()));
    }
    if let (Some(precise), false) = (lock.precise(&key), lock.used().contains(&key)) {
        let image = exactly(store, precise, &reference, platform)?;
        lock.record_image(written, platform, pin(&image));
        return Ok(image);
    }
    let locked = lock.image(written, platform, fresh).cloned();
    let found = match &locked {
        Some(locked) => store.resolve_digest(&locked.manifest, platform)?,
        None => store.resolve(&reference, platform)?,
    };
    let Some(image) = found else {
        return Err(match locked {
            Some(locked) => Unresolved::Here(
                format!("{} is locked to {}, which is not in the store", reference.familiar(), locked.manifest),
                vec![
                    "load that image with `imgbuild load`".into(),
                    "or build with --pull to lock what the store has under this name now".into(),
                ],
            ),
            None => Unresolved::Here(
                format!("there is no image {} for {platform} in the store", reference.familiar()),
                vec![format!(
                    "bring it in with `imgbuild load -i ARCHIVE`, or `imgbuild import ROOTFS.tar {}`",
                    reference.familiar()
                )],
            ),
        });
    };
    lock.record_image(written, platform, locked.unwrap_or_else(|| pin(&image)));
    Ok(image)
}

/// The image of just this digest, which must be in the store.
fn exactly(
    store: &Store,
    precise: &Precise,
    reference: &Reference,
    platform: &Platform,
) -> Result<ResolvedImage, Unresolved> {
    let name = reference.familiar();
    let Precise::Digest(digest) = precise else {
        return Err(Unresolved::Here(format!("{name} is an image, which has no commit: give a digest"), Vec::new()));
    };
    let found = store.resolve_digest(digest, platform)?;
    found.filter(|image| platform.rank(&image.platform()).is_some()).ok_or_else(|| {
        let message = format!("{name} cannot be pinned to {digest}: the store has no such image for {platform}");
        Unresolved::Here(message, vec!["bring it in with `imgbuild load -i ARCHIVE`".into()])
    })
}

/// What is noted of an image.
fn pin(image: &ResolvedImage) -> LockedImage {
    LockedImage { index: image.index_digest, manifest: image.manifest_digest(), config: image.config_digest }
}
