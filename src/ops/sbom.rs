//! `sbom`: what is in an image, as its own files say it.

use std::io::{self, Cursor, Read};

use serde_json::Value;

use crate::attest::{Format, Inventory, MAX_ALL, MAX_FILE, MAX_PACKAGES, Pieces, ReadSeek, Subject, cyclonedx, spdx};
use crate::fstree::{Entry, Kind, Merged, TreePath};
use crate::ops::{Error, OpenedImage};
use crate::store::layers::{LayerError, LayerId, Layers};
use crate::store::snapshot::Source;

/// The form of a list of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SbomForm {
    /// SPDX 2.3, as JSON.
    Spdx,
    /// CycloneDX 1.5, as JSON.
    CycloneDx,
}

/// What is in an image. The same image gives the same document, whatever it is called and wherever it is.
pub fn sbom(image: &OpenedImage, form: SbomForm) -> Result<Value, Error> {
    let (layers, state) = image.parts();
    let inventory = inventory(layers, state)?;
    let subject = Subject { digest: image.image.manifest_digest(), created: image.image.config.created.clone() };
    Ok(match form {
        SbomForm::Spdx => spdx(&subject, &inventory),
        SbomForm::CycloneDx => cyclonedx(&subject, &inventory),
    })
}

/// Reads what the files of these layers, as a container sees them, say about packages.
pub(super) fn inventory(layers: &Layers, state: &[LayerId]) -> Result<Inventory, Error> {
    let merged = layers.merged(state)?;
    let mut inventory = Inventory::default();
    let mut total: u64 = 0;
    for (layer, entry) in merged.entries() {
        let Some(format) = Format::of(&entry.path, entry.meta.mode) else { continue };
        let Some((file, size)) = regular(&merged, layer, entry) else { continue };
        let too_large = || {
            let message = format!("{} is too large for a list of packages, so no SBOM can be made", entry.path);
            Error::build(message).help("leave out this file, or the SBOM")
        };
        if format.is_text() && size > MAX_FILE || format.is_database() && size > MAX_ALL {
            return Err(too_large());
        }
        let mut source = open(layers, state[layer], file)?;
        let mut beside = match format.beside() {
            Some(suffix) => beside(layers, state, &merged, entry, suffix)?,
            None => None,
        };
        let mut pieces = Pieces::new(&mut source, size);
        if let Some((source, size)) = &mut beside {
            pieces = pieces.with(Pieces::new(source, *size));
        }
        inventory.read(&String::from_utf8_lossy(entry.path.as_bytes()), format, &mut pieces);
        total = total.saturating_add(pieces.taken());
        pieces.finish().map_err(|error| LayerError::Read { path: entry.path.clone(), error })?;
        if total > MAX_ALL {
            return Err(too_large());
        }
        if inventory.packages().len() > MAX_PACKAGES {
            let message = format!("with {}, the image has more than {MAX_PACKAGES} packages", entry.path);
            return Err(Error::build(message).help("leave out this file, or the SBOM"));
        }
    }
    Ok(inventory)
}

/// The first name of a regular file, and its size; none for all else.
fn regular<'a>(merged: &'a Merged, layer: usize, entry: &'a Entry) -> Option<(&'a Entry, u64)> {
    let file = match &entry.kind {
        Kind::Hardlink(first) => merged.layers()[layer].get(first)?,
        _ => entry,
    };
    match file.kind {
        Kind::File { size, .. } => Some((file, size)),
        _ => None,
    }
}

/// A file to read from any place.
fn open(layers: &Layers, layer: LayerId, file: &Entry) -> Result<Box<dyn ReadSeek>, Error> {
    Ok(match layers.open_entry(layer, file)? {
        Source::File(file) => Box::new(file),
        // These are bytes in memory already.
        Source::Reader(reader) => {
            let failed = |error: io::Error| LayerError::Read { path: file.path.clone(), error };
            let mut bytes = Vec::new();
            reader.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
            Box::new(Cursor::new(bytes))
        }
    })
}

/// A file, and its size.
type Measured = (Box<dyn ReadSeek>, u64);

/// The file of which the name goes on with `suffix`, and its size, if there is one.
fn beside(
    layers: &Layers,
    state: &[LayerId],
    merged: &Merged,
    entry: &Entry,
    suffix: &str,
) -> Result<Option<Measured>, Error> {
    let path = TreePath::clean([entry.path.as_bytes(), suffix.as_bytes()].concat());
    let Some((layer, entry)) = merged.entry(&path) else { return Ok(None) };
    let Some((file, size)) = regular(merged, layer, entry) else { return Ok(None) };
    Ok(Some((open(layers, state[layer], file)?, size)))
}
