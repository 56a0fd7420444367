//! An image to look into, wherever it is: in the store, or in a layout, an archive or a registry.
//!
//! What is elsewhere is brought into a store of its own, which goes with it: looking must not change what is listed.

use std::str::FromStr;
use std::sync::Arc;

use crate::event::Reporter;
use crate::fstree::Toc;
use crate::oci::{Platform, Reference};
use crate::ops::Error;
use crate::ops::copy::{Copying, Place, Scratch, copy};
use crate::registry::transfer::Platforms;
use crate::registry::{FetchOnNeed, Registries};
use crate::store::layers::{LayerBlob, LayerId, Layers};
use crate::store::{ResolvedImage, Store};

/// What a person calls an image that is to be looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageName {
    /// A name or an ID in the store.
    Stored(String),
    /// A place outside of it, with how it was written.
    Elsewhere(Place, String),
}

impl FromStr for ImageName {
    type Err = String;

    /// As for `copy`, but that a name without more is one of the store.
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or_default();
        match kind {
            "store" => Ok(Self::Stored(rest.to_owned())),
            "oci" | "oci-archive" | "docker-archive" => Ok(Self::Elsewhere(text.parse()?, text.to_owned())),
            "docker" if rest.starts_with("//") => Ok(Self::Elsewhere(text.parse()?, text.to_owned())),
            _ => Ok(Self::Stored(text.to_owned())),
        }
    }
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stored(name) | Self::Elsewhere(_, name) => f.write_str(name),
        }
    }
}

/// An image that can be looked into.
pub struct OpenedImage {
    /// The image, of one platform.
    pub image: ResolvedImage,
    /// All platforms for which it is there.
    pub platforms: Vec<Platform>,
    layers: Layers,
    state: Vec<LayerId>,
    // Last, because the rest holds it open.
    scratch: Option<Scratch>,
}

impl OpenedImage {
    /// Finds an image: `platform` if given, else this machine's, else the first.
    pub fn open(
        store: &Arc<Store>,
        registries: &Arc<Registries>,
        name: &ImageName,
        platform: Option<&Platform>,
        reporter: &dyn Reporter,
    ) -> Result<Self, Error> {
        let (found_in, text, scratch) = match name {
            ImageName::Stored(text) => (store.clone(), text.clone(), None),
            ImageName::Elsewhere(place, _) => {
                let scratch = Scratch::new(store)?;
                let here: Reference = "looked-into".parse()?;
                let how = Copying { platforms: &Platforms::All, signatures: false, reporter };
                copy(&scratch.0, registries, place, &Place::Store(here.clone()), how)?;
                (scratch.0.clone(), here.familiar(), Some(scratch))
            }
        };
        let (found, image) = found_in.find_image(&text, platform)?;
        let mut platforms: Vec<Platform> =
            found_in.resolve_all(&found.descriptor.digest)?.iter().map(ResolvedImage::platform).collect();
        platforms.sort_by_key(ToString::to_string);
        let blob = |(descriptor, diff_id): &(crate::oci::Descriptor, crate::digest::DiffId)| LayerBlob {
            descriptor: descriptor.clone(),
            diff_id: *diff_id,
        };
        let layers = Layers::new(found_in).fetching(Arc::new(FetchOnNeed(registries.clone())));
        let state = layers.add_image(&image.layers.iter().map(blob).collect::<Vec<_>>());
        Ok(Self { image, platforms, layers, state, scratch })
    }

    /// What its layers hold, bottom first.
    pub fn tables(&self) -> Result<Vec<Arc<Toc>>, Error> {
        Ok(self.layers.merged(&self.state)?.layers().to_vec())
    }

    /// Its layers, and where they are.
    pub(super) fn parts(&self) -> (&Layers, &[LayerId]) {
        (&self.layers, &self.state)
    }

    /// The store that has it.
    pub fn store(&self) -> &Store {
        self.layers.store()
    }

    /// Whether it is in the store that a user sees.
    pub fn is_stored(&self) -> bool {
        self.scratch.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names() {
        let check = |text: &str, elsewhere: bool| {
            let name: ImageName = text.parse().unwrap();
            assert_eq!(matches!(name, ImageName::Elsewhere(..)), elsewhere, "{text}");
        };
        check("app:1.0", false);
        check("docker:24", false);
        check("host:5000/app", false);
        check("0123456789ab", false);
        check("oci:out", true);
        check("docker-archive:app.tar:app:1", true);
        check("docker://app", true);
        assert_eq!("store:a:b".parse(), Ok(ImageName::Stored("a:b".into())));
        assert!("oci:".parse::<ImageName>().is_err());
    }
}
