//! What image references stand for: by the lockfile if it says, else by what the store or the registry has now.

use std::ops::Range;

use crate::digest::Digest;
use crate::event::Event;
use crate::frontend::diagnostic::Diagnostic;
use crate::lockfile::{LockKey, LockedImage, Precise};
use crate::oci::{DEFAULT_REGISTRY, Platform, Reference};
use crate::ops::build::Session;
use crate::ops::build::locking::Lock;
use crate::ops::build::policy::Candidate;
use crate::ops::build::remote::TaskWatch;
use crate::ops::{Error, fetch_image};
use crate::registry::{RegistryError, origins};
use crate::store::ResolvedImage;
use crate::trust::Policy;

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
/// asked first, and the lockfile is not asked but told. One that a policy forbids is not found. Hundreds of targets may ask for one image; it is looked up once.
pub fn resolve(
    session: &Session<'_>,
    policies: &[Policy],
    lock: &mut Lock,
    written: &str,
    platform: &Platform,
    fresh: bool,
) -> Result<ResolvedImage, Unresolved> {
    if let Some(image) = lock.found_image(written, platform, fresh) {
        return Ok(image);
    }
    let image = look_up(session, policies, lock, written, platform, fresh)?;
    lock.remember_image(written, platform, fresh, &image);
    Ok(image)
}

fn look_up(
    session: &Session<'_>,
    policies: &[Policy],
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
    // Such an image came from a folder, and no registry has it.
    let local = reference.registry() == DEFAULT_REGISTRY && written.starts_with(OCI_LAYOUT);
    let all: Vec<&Policy> = session.policies.iter().chain(policies).collect();
    let candidate = Candidate { reference: &reference, policies: &all, offline: lock.offline(), local };
    candidate.permit(reference.digest().is_some() || lock.is_certain(&key, fresh))?;
    let store = &session.store;
    if let (Some(precise), false) = (lock.precise(&key), lock.used().contains(&key)) {
        let image = exactly(session, lock.offline(), precise, &reference, platform)?;
        candidate.signed(session, &image, None)?;
        lock.record_image(written, platform, pin(&image));
        return Ok(image);
    }
    let fresh = lock.anew(&key, fresh);
    let locked = lock.image(written, platform, fresh).cloned();
    let in_store = || match &locked {
        Some(locked) => store.resolve_digest(&locked.manifest, platform),
        None => store.resolve(&reference, platform),
    };
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
            (found, _) => found.map_err(|error| not_to_be_had(&reference, locked.as_ref(), platform, error)),
        },
        (_, stored) => stored.ok_or_else(|| not_asked(&reference, locked.as_ref(), platform, lock.offline())),
    };
    let image = found.map_err(|error| match error {
        Error::Build { message, help, .. } => Unresolved::Here(message, help),
        error => Unresolved::Fatal(error),
    })?;
    candidate.signed(session, &image, locked.as_ref().and_then(|locked| locked.index))?;
    if image.layers.iter().any(|(layer, _)| !store.has(&layer.digest)) && !local {
        for (layer, _) in &image.layers {
            origins::remember(store, &layer.digest, &reference.name());
        }
    }
    lock.record_image(written, platform, locked.unwrap_or_else(|| pin(&image)));
    Ok(image)
}

/// What is noted of an image.
fn pin(image: &ResolvedImage) -> LockedImage {
    LockedImage { index: image.index_digest, manifest: image.manifest_digest(), config: image.config_digest }
}

/// The image of just this digest, from the store or its registry.
fn exactly(
    session: &Session<'_>,
    offline: bool,
    precise: &Precise,
    reference: &Reference,
    platform: &Platform,
) -> Result<ResolvedImage, Unresolved> {
    let name = reference.familiar();
    let Precise::Digest(digest) = precise else {
        return Err(Unresolved::Here(format!("{name} is an image, which has no commit: give a digest"), Vec::new()));
    };
    let refused = |reason: &dyn std::fmt::Display| format!("{name} cannot be pinned to {digest}: {reason}");
    let image = match session.store.resolve_digest(digest, platform)? {
        Some(image) => image,
        None if offline => {
            let help = "build once without --offline, or bring it in with `imgbuild load`";
            return Err(Unresolved::Here(refused(&"the store has no such image"), vec![help.into()]));
        }
        None => match from_registry(session, reference, Some(*digest), platform) {
            Ok(image) => image,
            Err(RegistryError::Canceled) => return Err(Unresolved::Fatal(Error::Interrupted)),
            Err(error) => return Err(Unresolved::Here(refused(&error), Vec::new())),
        },
    };
    match platform.rank(&image.platform()) {
        Some(_) => Ok(image),
        None => Err(Unresolved::Here(refused(&format!("that is an image for {}", image.platform())), Vec::new())),
    }
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

/// That an image is neither in the store nor in its registry.
fn not_to_be_had(
    reference: &Reference,
    locked: Option<&LockedImage>,
    platform: &Platform,
    error: RegistryError,
) -> Error {
    let familiar = reference.familiar();
    let mut said: Error = error.into();
    if let Error::Build { message, help, .. } = &mut said {
        *message = format!("{}, nor can it be had: {message}", missing(reference, locked, platform));
        help.push(match locked {
            Some(_) => "load that image with `imgbuild load`, or lock what the name stands for now with --pull".into(),
            None => format!(
                "an image of this machine comes in with `imgbuild load -i ARCHIVE`, or `imgbuild import ROOTFS.tar {familiar}`"
            ),
        });
    }
    said
}

/// That the store does not have an image, where nobody else may be asked.
fn not_asked(reference: &Reference, locked: Option<&LockedImage>, platform: &Platform, offline: bool) -> Error {
    let missing = missing(reference, locked, platform);
    match offline {
        true => Error::build(format!("{missing}, and --offline forbids to ask {}", reference.registry())).help(
            format!("bring it in with `imgbuild pull {}`, or build once without --offline", reference.familiar()),
        ),
        false => Error::build(missing),
    }
}

fn missing(reference: &Reference, locked: Option<&LockedImage>, platform: &Platform) -> String {
    let familiar = reference.familiar();
    match locked {
        Some(locked) => format!("{familiar} is locked to {}, which is not in the store", locked.manifest),
        None => format!("there is no image {familiar} for {platform} in the store"),
    }
}
