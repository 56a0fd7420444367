//! `push`: an image of the store in a registry.

use crate::event::{Event, Reporter};
use crate::oci::{Descriptor, Platform, Reference};
use crate::ops::Error;
use crate::ops::signatures::push_signatures;
use crate::registry::Registries;
use crate::registry::transfer::{self, Moved, Options, Plan, Platforms, StoreEnd, TagEnd};
use crate::store::{FindError, Store};

/// An image that was pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// Where it is now.
    pub reference: Reference,
    /// Its manifest or index.
    pub descriptor: Descriptor,
    /// What had to be done for that.
    pub moved: Moved,
    /// How many of its manifests have signatures there.
    pub signed: usize,
}

/// Sends an image that the store lists under this name to the registry that the name says: all of its platforms, or one.
pub fn push(
    store: &Store,
    registries: &Registries,
    reference: &Reference,
    platform: Option<&Platform>,
    reporter: &dyn Reporter,
) -> Result<Pushed, Error> {
    let listed = store.get_reference(reference)?.ok_or_else(|| FindError::NotFound(reference.familiar()))?;
    push_image(store, registries, &listed, reference, platform, reporter)
}

/// Sends an image of the store to where a reference says.
pub fn push_image(
    store: &Store,
    registries: &Registries,
    image: &Descriptor,
    reference: &Reference,
    platform: Option<&Platform>,
    reporter: &dyn Reporter,
) -> Result<Pushed, Error> {
    let source = StoreEnd { store, registries: Some(registries) };
    let repository = registries.repository(reference);
    let mut plan = match platform {
        Some(platform) => {
            let found = store.resolve_digest(&image.digest, platform)?;
            if found.is_none_or(|found| platform.rank(&found.platform()).is_none()) {
                let image = reference.familiar();
                return Err(FindError::NoPlatform { image, platform: platform.clone() }.into());
            }
            Plan::new(&source, image, &Platforms::Only(vec![platform.clone()]))?.without_index()
        }
        None => Plan::new(&source, image, &Platforms::All)?,
    };
    let mut lacking = Vec::new();
    for missing in &plan.missing {
        if !repository.has_manifest(missing.digest)? {
            lacking.push(missing.digest);
        }
    }
    if !lacking.is_empty() {
        plan = plan.without_index();
        if plan.root.digest == image.digest {
            let message = format!("of {}, {} platforms are not in the store", reference.familiar(), lacking.len());
            return Err(
                Error::build(message).help("pull it with --all-platforms, or push one with --platform PLATFORM")
            );
        }
        reporter.report(Event::Warning(format!(
            "not all platforms of {} are in the store: only the image that is there is pushed, without its index",
            reference.familiar()
        )));
    }
    let target =
        TagEnd { repository, root: plan.root.digest, tag: reference.tag().map(str::to_owned), notes: Some(store) };
    let options = Options { verb: "pushing", jobs: registries.transfers(), reporter };
    let moved = transfer::run(&source, &target, &plan, options)?;
    let signed = push_signatures(store, &target.repository, &plan, reporter)?;
    Ok(Pushed { reference: reference.clone(), descriptor: plan.root, moved, signed })
}
