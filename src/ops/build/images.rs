//! What image references stand for: by the lockfile if it says, else by what the store or the registry has now.

use std::ops::Range;

use crate::digest::Digest;
use crate::event::Event;
use crate::frontend::diagnostic::Diagnostic;
use crate::lockfile::LockedImage;
use crate::oci::{DEFAULT_REGISTRY, Platform, Reference};
use crate::ops::build::Session;
use crate::ops::build::locking::Lock;
use crate::ops::build::remote::TaskWatch;
use crate::ops::{Error, fetch_image};
use crate::registry::{RegistryError, origins};
use crate::store::ResolvedImage;

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

/// Finds an image for a platform: as it is locked, else in the store, else in its registry. With `fresh`, the registry is
/// asked first, and the lockfile is not asked but told. Hundreds of targets may ask for one image; it is looked up once.
pub fn resolve(
    session: &Session<'_>,
    lock: &mut Lock,
    written: &str,
    platform: &Platform,
    fresh: bool,
) -> Result<ResolvedImage, Unresolved> {
    if let Some(image) = lock.found_image(written, platform, fresh) {
        return Ok(image);
    }
    let image = look_up(session, lock, written, platform, fresh)?;
    lock.remember_image(written, platform, fresh, &image);
    Ok(image)
}

fn look_up(
    session: &Session<'_>,
    lock: &mut Lock,
    written: &str,
    platform: &Platform,
    fresh: bool,
) -> Result<ResolvedImage, Unresolved> {
    let reference = Reference::parse(written).map_err(|error| Unresolved::Here(error.to_string(), Vec::new()))?;
    let store = &session.store;
    let locked = lock.image(written, platform).filter(|_| !fresh).cloned();
    let in_store = || match &locked {
        Some(locked) => store.resolve_digest(&locked.manifest, platform),
        None => store.resolve(&reference, platform),
    };
    // Such an image came from a folder, and no registry has it.
    let local = reference.registry() == DEFAULT_REGISTRY && written.starts_with(OCI_LAYOUT);
    let ask = !local && !lock.offline();
    let pinned = locked.as_ref().map(|locked| locked.manifest);
    let found = match (fresh && ask, in_store()?) {
        (false, Some(image)) => Ok(image),
        (_, stored) if ask => match (from_registry(session, &reference, pinned, platform), stored) {
            // What was only ever built here is in no registry.
            (Err(RegistryError::Canceled), _) => return Err(Unresolved::Fatal(Error::Interrupted)),
            (Err(error), Some(stored)) => {
                let familiar = reference.familiar();
                let text = format!("{familiar} is taken as the store has it, its registry cannot be asked: {error}");
                session.reporter.report(Event::Warning(text));
                Ok(stored)
            }
            (found, _) => found.map_err(|error| Error::from(error)),
        },
        (_, stored) => stored.ok_or_else(|| not_here(&reference, locked.as_ref(), platform, lock.offline())),
    };
    let image = found.map_err(|error| match error {
        Error::Build { message, help, .. } => {
            let mut help = help;
            if pinned.is_none() {
                let familiar = reference.familiar();
                help.push(format!(
                    "an image of this machine comes in by `imgbuild load` or `imgbuild import {familiar}`"
                ));
            }
            Unresolved::Here(message, help)
        }
        error => Unresolved::Fatal(error),
    })?;
    if image.layers.iter().any(|(layer, _)| !store.has(&layer.digest)) && !local {
        for (layer, _) in &image.layers {
            origins::remember(store, &layer.digest, &reference.name());
        }
    }
    let now = LockedImage { index: image.index_digest, manifest: image.manifest_digest(), config: image.config_digest };
    lock.record_image(written, platform, locked.unwrap_or(now));
    Ok(image)
}

/// What images of OCI layouts are called within a build.
pub const OCI_LAYOUT: &str = "oci-layout/";

/// Brings manifest and configuration into the store; the layers come when they are needed.
fn from_registry(
    session: &Session<'_>,
    reference: &Reference,
    pinned: Option<Digest>,
    platform: &Platform,
) -> Result<ResolvedImage, RegistryError> {
    let watch = TaskWatch::start(session.reporter, session.cancel, format!("asking for {}", reference.familiar()));
    let (manifest, index) = fetch_image(&session.store, &session.registries, reference, pinned, platform)?;
    watch.finish();
    let found = session.store.resolve_digest(&index.unwrap_or(manifest), platform)?;
    let found = found.ok_or(RegistryError::Missing(manifest))?;
    Ok(ResolvedImage { reference: Some(reference.clone()), ..found })
}

/// That the store does not have an image, where nobody else may be asked.
fn not_here(reference: &Reference, locked: Option<&LockedImage>, platform: &Platform, offline: bool) -> Error {
    let familiar = reference.familiar();
    let forbidden = match offline {
        true => format!(", and --offline forbids to ask {}", reference.registry()),
        false => String::new(),
    };
    match locked {
        Some(locked) => {
            Error::build(format!("{familiar} is locked to {}, which is not in the store{forbidden}", locked.manifest))
                .help("build once without --offline, or load that image with `imgbuild load`")
        }
        None => Error::build(format!("there is no image {familiar} for {platform} in the store{forbidden}"))
            .help(format!("bring it in with `imgbuild pull {familiar}`")),
    }
}
