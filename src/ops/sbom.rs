//! `sbom`: what is in an image, as its own files say it.

use std::io::{self, Read};

use serde_json::Value;

use crate::attest::{Format, Inventory, MAX_FILE, MAX_PACKAGES, Subject, cyclonedx, spdx};
use crate::fstree::Kind;
use crate::ops::{Error, OpenedImage};
use crate::store::layers::{LayerError, LayerId, Layers};
use crate::store::snapshot::Source;

/// The most that is read of an image in all, in bytes.
const MAX_ALL: u64 = 16 * MAX_FILE;

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
        let Some(format) = Format::of(&entry.path) else { continue };
        let file = match &entry.kind {
            Kind::Hardlink(first) => merged.layers()[layer].get(first),
            _ => Some(entry),
        };
        let Some((file, size)) = file.and_then(|file| match file.kind {
            Kind::File { size, .. } => Some((file, size)),
            _ => None,
        }) else {
            continue;
        };
        total = total.saturating_add(size);
        if size > MAX_FILE || total > MAX_ALL {
            let message = format!("{} is too large for a list of packages, so no SBOM can be made", entry.path);
            return Err(Error::build(message).help("leave out this file, or the SBOM"));
        }
        let failed = |error: io::Error| LayerError::Read { path: entry.path.clone(), error };
        let mut bytes = Vec::new();
        match layers.open_entry(state[layer], file)? {
            Source::File(file) => file.take(MAX_FILE).read_to_end(&mut bytes),
            Source::Reader(reader) => reader.take(MAX_FILE).read_to_end(&mut bytes),
        }
        .map_err(failed)?;
        inventory.read(&String::from_utf8_lossy(entry.path.as_bytes()), format, &bytes);
        if inventory.packages().len() > MAX_PACKAGES {
            let message = format!("with {}, the image has more than {MAX_PACKAGES} packages", entry.path);
            return Err(Error::build(message).help("leave out this file, or the SBOM"));
        }
    }
    Ok(inventory)
}
