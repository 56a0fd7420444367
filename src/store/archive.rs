//! Images of the store as one tar: an OCI image layout, with Docker's `manifest.json` beside it if Docker is to read it.
//!
//! The bytes depend on the images alone: entries are sorted, owners and times are zero.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read, Write};

use serde::Serialize;

use crate::digest::Digest;
use crate::oci::manifest::{ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME};
use crate::oci::{Descriptor, Index, Platform, Reference, media};
use crate::store::error::{Result, StoreError, io_error};
use crate::store::{Store, layout};
use crate::trust::{ANNOTATION_SIGNATURES, Bundle};

/// Who is to read an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArchiveFormat {
    /// `docker load`, of any version; also everything that reads OCI archives.
    #[default]
    Docker,
    /// Only what reads OCI archives.
    Oci,
}

/// An image that goes into an archive.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveImage {
    /// Its manifest or index.
    pub descriptor: Descriptor,
    /// What it is to be called; may be empty.
    pub references: Vec<Reference>,
    /// Its signatures, if they go along.
    pub signatures: Option<Bundle>,
}

/// What is written of a blob.
enum Body<'a> {
    /// What the store has of it, so many bytes.
    Stored(u64),
    /// These bytes.
    Made(&'a [u8]),
}

/// An entry of Docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Store {
    /// Writes an archive of images, uncompressed.
    ///
    /// Of an index, the manifests that are in the store go along. Docker's `manifest.json` knows one platform per image:
    /// `platform`, or the first one where that is not there.
    ///
    /// # Errors
    /// A blob that an image needs is missing; `out` failing, as [`StoreError::Io`].
    pub fn write_archive(
        &self,
        images: &[ArchiveImage],
        format: ArchiveFormat,
        platform: &Platform,
        out: impl Write,
    ) -> Result<()> {
        let mut blobs: BTreeMap<Digest, Body<'_>> = BTreeMap::new();
        let mut docker = Vec::new();
        for image in images {
            self.gather(&image.descriptor.digest, &mut blobs)?;
            let made = image.signatures.iter().flat_map(|signatures| &signatures.blobs);
            blobs.extend(made.map(|(digest, bytes)| (*digest, Body::Made(bytes))));
            if format == ArchiveFormat::Docker {
                docker.extend(self.docker_entry(image, platform)?);
            }
        }
        let mut files = vec![
            (layout::INDEX, layout_index(images).to_json()),
            (layout::OCI_LAYOUT, layout::OCI_LAYOUT_CONTENT.to_vec()),
        ];
        if format == ArchiveFormat::Docker {
            files.insert(1, ("manifest.json", serde_json::to_vec(&docker).expect("strings always serialise")));
        }
        let told = |error| io_error("write the archive from", self.root())(error);
        let mut tar = TarWriter(out);
        for folder in ["blobs/", "blobs/sha256/"] {
            tar.header(folder, 0).map_err(told)?;
        }
        for (digest, body) in &blobs {
            match body {
                Body::Stored(size) => {
                    tar.header(&blob_name(digest), *size).map_err(told)?;
                    tar.body(&mut self.export_reader(digest)?, *size).map_err(told)?;
                }
                Body::Made(bytes) => tar.file(&blob_name(digest), bytes).map_err(told)?,
            }
        }
        for (name, bytes) in files {
            tar.file(name, &bytes).map_err(told)?;
        }
        tar.finish().map_err(told)
    }

    /// All blobs of an image with their sizes; an error if one is missing that must be there.
    fn gather(&self, digest: &Digest, blobs: &mut BTreeMap<Digest, Body<'_>>) -> Result<()> {
        let complete = self.resolve_all(digest)?;
        if complete.is_empty() {
            return Err(StoreError::Missing(*digest));
        }
        let mut needed = BTreeSet::new();
        for image in &complete {
            let layers = image.layers.iter().map(|(layer, _)| layer);
            needed.extend(layers.filter(|layer| !media::is_foreign(&layer.media_type)).map(|layer| layer.digest));
        }
        for blob in self.blobs_of(digest)? {
            match self.size(&blob)? {
                Some(size) => drop(blobs.insert(blob, Body::Stored(size))),
                None if needed.contains(&blob) => return Err(StoreError::Missing(blob)),
                // Another platform's, or kept at a URL.
                None => {}
            }
        }
        Ok(())
    }

    fn docker_entry(&self, image: &ArchiveImage, platform: &Platform) -> Result<Option<DockerEntry>> {
        let found = match self.resolve_digest(&image.descriptor.digest, platform)? {
            None => self.resolve_all(&image.descriptor.digest)?.into_iter().next(),
            found => found,
        };
        Ok(found.map(|found| DockerEntry {
            config: blob_name(&found.config_digest),
            repo_tags: (!image.references.is_empty()).then(|| {
                image.references.iter().filter(|name| name.tag().is_some()).map(Reference::familiar).collect()
            }),
            layers: found.layers.iter().map(|(layer, _)| blob_name(&layer.digest)).collect(),
        }))
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("{}/{}", layout::BLOBS, digest.hex())
}

/// The index of an archive: an entry per name, as containerd and Docker write it.
fn layout_index(images: &[ArchiveImage]) -> Index {
    let mut entries = Vec::new();
    for image in images {
        let mut plain = image.descriptor.clone();
        for key in [ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, ANNOTATION_SIGNATURES] {
            plain.annotations.remove(key);
        }
        plain.annotations.extend(image.signatures.as_ref().map(Bundle::annotation));
        for reference in &image.references {
            let mut entry = plain.clone();
            entry.annotations.insert(ANNOTATION_IMAGE_NAME.into(), reference.to_string());
            if let Some(tag) = reference.tag() {
                entry.annotations.insert(ANNOTATION_REF_NAME.into(), tag.to_owned());
            }
            entries.push(entry);
        }
        if image.references.is_empty() {
            entries.push(plain);
        }
    }
    Index::new(entries)
}

/// Writes tar entries whose names are short: all that an image layout needs.
struct TarWriter<W>(W);

impl<W: Write> TarWriter<W> {
    /// A file's header, or a folder's if the name ends with a slash.
    fn header(&mut self, name: &str, size: u64) -> io::Result<()> {
        let folder = name.ends_with('/');
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(if folder { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(if folder { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.0.write_all(header.as_bytes())
    }

    /// A file's bytes; an error if there are not exactly `size`.
    fn body(&mut self, reader: &mut impl Read, size: u64) -> io::Result<()> {
        // Past the end as well: there the reader says whether its bytes were good.
        // In pieces that are worth a call.
        let mut pieces = BufReader::with_capacity(256 << 10, Read::by_ref(reader).take(size));
        let copied = io::copy(&mut pieces, &mut self.0)?;
        if copied != size || reader.read(&mut [0])? != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a blob changed its size while it was read"));
        }
        let padding = size.next_multiple_of(512) - size;
        io::copy(&mut io::repeat(0).take(padding), &mut self.0).map(drop)
    }

    /// A file with these bytes.
    fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.header(name, bytes.len() as u64)?;
        self.body(&mut &*bytes, bytes.len() as u64)
    }

    fn finish(mut self) -> io::Result<()> {
        self.0.write_all(&[0; 1024])?;
        self.0.flush()
    }
}
