//! Writes a finished target wherever it is to go.

use std::io::{self, Write};
use std::path::Path;

use crate::export::{self, ExportError};
use crate::oci::{Descriptor, Platform, Reference};
use crate::ops::build::Session;
use crate::ops::build::target::{Destination, OutputKind, Target};
use crate::ops::error::{is_machine, system_error};
use crate::ops::push::push_image;
use crate::ops::save::Remembering;
use crate::ops::signatures::{sign_stored, signed_as};
use crate::ops::{Error, write_file, write_stream};
use crate::store::layers::{LayerId, Layers};
use crate::store::{ArchiveFormat, ArchiveImage, Store};
use crate::trust::Bundle;

/// A target that is done.
pub struct Finished<'a> {
    /// Its manifest or index, in the store, if an output wants an image.
    pub image: Option<&'a Descriptor>,
    /// What it is called.
    pub tags: &'a [Reference],
    /// The signatures that go along with it.
    pub signatures: Option<Bundle>,
    /// The layers of each of its platforms.
    pub states: &'a [(Platform, Vec<LayerId>)],
}

/// Whether an output needs manifest and blobs, and not only files.
pub fn wants_image(kind: &OutputKind) -> bool {
    match kind {
        OutputKind::Store(_)
        | OutputKind::Registry(_)
        | OutputKind::Oci(_)
        | OutputKind::OciFolder(_)
        | OutputKind::Docker(_) => true,
        OutputKind::Tar(_) | OutputKind::Local(_) | OutputKind::CacheOnly => false,
    }
}

/// Whether an output needs the layers of base images as blobs. A registry may have them already.
pub fn wants_layers(kind: &OutputKind) -> bool {
    wants_image(kind) && !matches!(kind, OutputKind::Registry(_))
}

/// The images of a build that the store will list. They are listed together, since each change writes the whole list.
#[derive(Default)]
pub struct Listing {
    named: Vec<(Reference, Descriptor)>,
    unnamed: Vec<Descriptor>,
}

impl Listing {
    /// Adds what another one has, behind its own.
    pub fn append(&mut self, other: Self) {
        self.named.extend(other.named);
        self.unnamed.extend(other.unnamed);
    }

    /// Lists them.
    pub fn write(self, store: &Store) -> Result<(), Error> {
        if self.named.is_empty() && self.unnamed.is_empty() {
            return Ok(());
        }
        store.update_index(|index| {
            index.set_all(self.named);
            for descriptor in self.unnamed {
                index.add_untagged(descriptor);
            }
        })?;
        Ok(())
    }
}

/// Signs an image as what an output calls it, before it leaves. Signatures that go along with it are returned: only those
/// of this build, whatever the store has.
pub fn sign(store: &Store, kind: &OutputKind, target: &Target, image: &Descriptor) -> Result<Option<Bundle>, Error> {
    if target.sign.is_empty() {
        return Ok(None);
    }
    match kind {
        OutputKind::Store(names) | OutputKind::Registry(names) => {
            let mut names = target.tags.iter().chain(names);
            names.try_for_each(|name| sign_stored(store, image, name, &target.sign).map(drop)).map(|()| None)
        }
        OutputKind::Oci(_) | OutputKind::OciFolder(_) | OutputKind::Docker(_) => {
            signed_as(store, image, &target.tags, &target.sign)
        }
        OutputKind::Tar(_) | OutputKind::Local(_) | OutputKind::CacheOnly => Ok(None),
    }
}

/// Writes one output; what it wrote, as the user named it. An image for the store is only added to `listing`.
pub fn write(
    session: &Session<'_>,
    layers: &Layers,
    kind: &OutputKind,
    finished: &Finished<'_>,
    listing: &mut Listing,
) -> Result<Option<String>, Error> {
    match kind {
        OutputKind::Store(names) => {
            let Some(image) = finished.image else { return Ok(None) };
            let tags: Vec<&Reference> = finished.tags.iter().chain(names).collect();
            let listed = Descriptor { platform: None, ..image.clone() };
            if tags.is_empty() {
                listing.unnamed.push(listed.clone());
            }
            listing.named.extend(tags.into_iter().map(|tag| (tag.clone(), listed.clone())));
            Ok(None)
        }
        OutputKind::Registry(names) => {
            let Some(image) = finished.image else { return Ok(None) };
            let names: Vec<&Reference> = finished.tags.iter().chain(names).collect();
            if names.is_empty() {
                return Err(Error::Usage("an image is pushed by its name: give one with -t HOST/NAME".into()));
            }
            let listed = Descriptor { platform: None, ..image.clone() };
            let (store, registries) = (layers.store(), &session.registries);
            for name in &names {
                push_image(store, registries, &listed, name, None, session.reporter)?;
            }
            Ok(Some(names.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")))
        }
        OutputKind::Oci(to) => archive(layers, ArchiveFormat::Oci, to, finished),
        OutputKind::Docker(to) => archive(layers, ArchiveFormat::Docker, to, finished),
        OutputKind::OciFolder(folder) => {
            if let Some(image) = finished.image {
                let image = archived(image, finished);
                export::write_layout(layers, &image, folder).map_err(failed(folder))?;
            }
            Ok(Some(folder.display().to_string()))
        }
        OutputKind::Tar(to) => to_destination(layers, to, |out| {
            let state = only(finished)?;
            export::write_tar(layers, state, out).map(drop).map_err(Error::from)
        }),
        OutputKind::Local(folder) => {
            match finished.states {
                [(_, state)] => export::write_folder(layers, state, folder)?,
                // As other builders do it, each platform gets a folder of its own.
                several => {
                    for (platform, state) in several {
                        let below = folder.join(platform.to_string().replace('/', "_"));
                        export::write_folder(layers, state, &below)?;
                    }
                }
            }
            Ok(Some(folder.display().to_string()))
        }
        OutputKind::CacheOnly => Ok(None),
    }
}

fn only<'a>(finished: &Finished<'a>) -> Result<&'a [LayerId], Error> {
    match finished.states {
        [(_, state)] => Ok(state),
        _ => Err(Error::Usage("type=tar holds one platform: give one --platform, or use type=oci".into())),
    }
}

fn archived(image: &Descriptor, finished: &Finished<'_>) -> ArchiveImage {
    ArchiveImage {
        descriptor: image.clone(),
        references: finished.tags.to_vec(),
        signatures: finished.signatures.clone(),
    }
}

fn archive(
    layers: &Layers,
    format: ArchiveFormat,
    to: &Destination,
    finished: &Finished<'_>,
) -> Result<Option<String>, Error> {
    let Some(image) = finished.image else { return Ok(None) };
    let images = [archived(image, finished)];
    let platform = finished.states.first().map_or_else(Platform::host, |(platform, _)| platform.clone());
    to_destination(layers, to, |out| {
        let mut out = Remembering::new(out);
        let written = layers.store().write_archive(&images, format, &platform, &mut out);
        match out.failed {
            Some(error) => Err(failure("cannot write the archive", error)),
            None => Ok(written?),
        }
    })
}

/// Opens a destination, has it filled, and puts a file in place only when it is whole.
fn to_destination(
    layers: &Layers,
    to: &Destination,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<Option<String>, Error> {
    match to {
        Destination::Stdout => {
            write_stream(io::stdout().lock(), |out| fill(&mut layers.stop().watch(out)))?;
            Ok(Some("-".into()))
        }
        Destination::File(path) => {
            write_file(path, |out| fill(&mut layers.stop().watch(out))).map(|()| Some(path.display().to_string()))
        }
    }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(path: &Path) -> impl FnOnce(E) -> Error {
    let message = format!("cannot write {}", path.display());
    move |error| failure(&message, error)
}

fn failure(message: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let machine = system_error(&error).is_some_and(is_machine);
    if machine { Error::environment(message) } else { Error::build(message) }.caused_by(error)
}

impl From<ExportError> for Error {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => error.into(),
            ExportError::Layer(error) => error.into(),
            ExportError::Registry(error) => (*error).into(),
            error => failure("the result cannot be written", error),
        }
    }
}
