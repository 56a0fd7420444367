//! `save`: images of the store as one archive.

use std::io::{self, Write};

use crate::oci::{Descriptor, Platform};
use crate::ops::signatures::kept;
use crate::registry::RegistryError;
use crate::store::layers::{LayerError, Layers};
use crate::store::{ArchiveFormat, ArchiveImage, FindError, Store, StoreError};

/// Why images were not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// One of them was not found, or is not whole.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A layer of one is not in the store, and cannot be brought.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The signatures of one could not be read.
    #[error("the signatures of the image cannot be read: {0}")]
    Signatures(#[source] RegistryError),
    /// The archive could not be written.
    #[error("cannot write the archive: {0}")]
    Write(#[source] io::Error),
}

/// How an archive is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveOptions {
    /// For whom.
    pub format: ArchiveFormat,
    /// Only this platform of each image; all that are in the store if none.
    pub platform: Option<Platform>,
}

/// Brings the layers of images that the store lacks, so that [`save`] finds them.
pub fn complete(layers: &Layers, names: &[String], platform: Option<&Platform>) -> Result<(), SaveError> {
    let store = layers.store();
    let mut blobs: Vec<Descriptor> = Vec::new();
    for name in names {
        let images = match platform {
            Some(_) => vec![store.find_image(name, platform)?.1],
            None => store.resolve_all(&store.find(name)?.descriptor.digest).map_err(FindError::from)?,
        };
        for (layer, _) in images.into_iter().flat_map(|image| image.layers) {
            if !blobs.iter().any(|known| known.digest == layer.digest) {
                blobs.push(layer);
            }
        }
    }
    Ok(layers.bring(&blobs)?)
}

/// Writes images to an uncompressed tar. The same images give the same bytes. Their signatures go along.
///
/// An image that is named by ID keeps no name, as with Docker.
pub fn save(store: &Store, names: &[String], options: &SaveOptions, out: impl Write) -> Result<(), SaveError> {
    let mut images: Vec<ArchiveImage> = Vec::new();
    for name in names {
        let found = store.find(name)?;
        let descriptor = match &options.platform {
            None => found.descriptor,
            Some(platform) => one_platform(store, name, &found.descriptor, platform)?,
        };
        let image = match images.iter_mut().find(|image| image.descriptor.digest == descriptor.digest) {
            Some(image) => image,
            None => {
                let signatures = kept(store, &descriptor).map_err(SaveError::Signatures)?;
                images.push(ArchiveImage { descriptor, references: Vec::new(), signatures });
                let last = images.len() - 1;
                &mut images[last]
            }
        };
        image.references.extend(found.reference.filter(|reference| !image.references.contains(reference)));
    }
    for image in &mut images {
        image.references.sort();
    }
    images.sort_by(|a, b| (&a.references, a.descriptor.digest).cmp(&(&b.references, b.descriptor.digest)));
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let mut out = Remembering::new(out);
    let written = store.write_archive(&images, options.format, &platform, &mut out);
    match out.failed {
        Some(error) => Err(SaveError::Write(error)),
        None => Ok(written.map_err(FindError::from)?),
    }
}

/// A writer that remembers why it failed: that is not the store's fault.
pub(super) struct Remembering<W> {
    out: W,
    /// The last failure.
    pub(super) failed: Option<io::Error>,
}

impl<W> Remembering<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, failed: None }
    }

    fn told<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }
}

impl<W: Write> Write for Remembering<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let result = self.out.write(buffer);
        self.told(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.told(result)
    }
}

fn one_platform(
    store: &Store,
    name: &str,
    descriptor: &Descriptor,
    platform: &Platform,
) -> Result<Descriptor, FindError> {
    let found = store.resolve_digest(&descriptor.digest, platform)?;
    let found = found.filter(|image| platform.rank(&image.platform()).is_some());
    let found = found.ok_or_else(|| FindError::NoPlatform { image: name.to_owned(), platform: platform.clone() })?;
    let size = store.size(&found.manifest.digest)?.ok_or(StoreError::Missing(found.manifest.digest))?;
    Ok(Descriptor::new(found.manifest.media_type.clone(), found.manifest.digest, size).for_platform(&found.platform()))
}
