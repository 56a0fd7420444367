//! An image as an OCI image layout in a folder (image-spec, image-layout.md).

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::export::ExportError;
use crate::oci::Index;
use crate::oci::manifest::{ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME};
use crate::store::ArchiveImage;
use crate::store::layers::Layers;
use crate::trust::Bundle;

/// Writes an image into `folder`, which is made if it is missing. Blobs that are there already stay; the index lists
/// just this image.
pub fn write_layout(layers: &Layers, image: &ArchiveImage, folder: &Path) -> Result<(), ExportError> {
    let store = layers.store();
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| ExportError::Write { path, error }
    };
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).map_err(failed(&blobs))?;
    for digest in store.blobs_of(&image.descriptor.digest)? {
        let path = blobs.join(digest.hex());
        if path.exists() {
            continue;
        }
        let part = blobs.join(format!(".{}.part", digest.hex()));
        let mut file = File::create(&part).map_err(failed(&part))?;
        let mut blob = layers.stop().watch(store.export_reader(&digest)?);
        let copied = io::copy(&mut blob, &mut file).and_then(|_| std::fs::rename(&part, &path));
        copied.inspect_err(|_| drop(std::fs::remove_file(&part))).map_err(failed(&path))?;
    }
    for (digest, bytes) in image.signatures.iter().flat_map(|signatures| &signatures.blobs) {
        let path = blobs.join(digest.hex());
        File::create(&path).and_then(|mut file| file.write_all(bytes)).map_err(failed(&path))?;
    }
    let mut plain = image.descriptor.clone();
    plain.annotations.extend(image.signatures.as_ref().map(Bundle::annotation));
    let mut entries = Vec::new();
    for reference in &image.references {
        let mut entry = plain.clone();
        entry.annotations.insert(ANNOTATION_IMAGE_NAME.into(), reference.to_string());
        entry.annotations.extend(reference.tag().map(|tag| (ANNOTATION_REF_NAME.to_owned(), tag.to_owned())));
        entries.push(entry);
    }
    if entries.is_empty() {
        entries.push(plain);
    }
    let files =
        [("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()), ("index.json", Index::new(entries).to_json())];
    for (name, bytes) in files {
        let path = folder.join(name);
        File::create(&path).and_then(|mut file| file.write_all(&bytes)).map_err(failed(&path))?;
    }
    Ok(())
}
