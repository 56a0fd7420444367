//! The store and registries as places that images come from and go to.

use std::io::{Read, Seek, SeekFrom};

use super::{Source, Target};
use crate::digest::Digest;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Descriptor, Reference};
use crate::registry::upload::{Content, Sent};
use crate::registry::{Check, Fetched, Registries, RegistryError, Repository, Which, origins};
use crate::store::{Store, StoreError};

/// The store.
#[derive(Clone, Copy)]
pub struct StoreEnd<'a> {
    /// The store.
    pub store: &'a Store,
    /// Where blobs are read that the store lacks: from the repositories that they are known to be in.
    pub registries: Option<&'a Registries>,
}

impl Source for StoreEnd<'_> {
    fn document(&self, entry: &Descriptor) -> Result<Option<Vec<u8>>, RegistryError> {
        match self.store.read(&entry.digest, MAX_MANIFEST) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open(
        &self,
        blob: &Descriptor,
        offset: u64,
        check: Check,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RegistryError> {
        if self.store.size(&blob.digest)?.is_none() {
            let Some(registries) = self.registries else { return Ok(None) };
            return open_elsewhere(registries, self.store, blob, offset, check);
        }
        if offset == 0 {
            return Ok(Some(Box::new(self.store.reader(&blob.digest)?)));
        }
        let mut file = self.store.open_blob(&blob.digest)?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| RegistryError::File {
            path: self.store.blob_path(&blob.digest).display().to_string(),
            error,
        })?;
        Ok(Some(Box::new(file)))
    }

    fn repositories(&self, blob: &Descriptor) -> Vec<String> {
        origins::known(self.store, &blob.digest)
    }

    fn has_at_hand(&self, blob: &Descriptor) -> Result<bool, RegistryError> {
        Ok(self.store.size(&blob.digest)?.is_some())
    }
}

/// Opens a blob where it is known to be; the newest place first.
fn open_elsewhere<'r>(
    registries: &'r Registries,
    store: &Store,
    blob: &Descriptor,
    offset: u64,
    check: Check,
) -> Result<Option<Box<dyn Read + Send + 'r>>, RegistryError> {
    let mut failure = None;
    for name in origins::known(store, &blob.digest).iter().rev() {
        let Ok(reference) = Reference::parse(name) else { continue };
        match registries.repository(&reference).blob(blob, offset, check) {
            Ok(Some(download)) => return Ok(Some(Box::new(download))),
            Ok(None) => {}
            Err(error) => drop(failure.get_or_insert(error)),
        }
    }
    failure.map_or(Ok(None), Err)
}

impl Target for StoreEnd<'_> {
    /// Manifests can be in the store before their layers are.
    fn is_whole(&self, _: &Descriptor) -> Result<bool, RegistryError> {
        Ok(false)
    }

    fn checks(&self) -> bool {
        true
    }

    fn put_blob(&self, blob: &Descriptor, content: &dyn Content, _: &[String]) -> Result<Sent, RegistryError> {
        if self.store.size(&blob.digest)? == Some(blob.size) {
            return Ok(Sent::Existed);
        }
        let mut writer = self.store.writer()?;
        let size = writer.copy_from(&mut content.open(0)?).map_err(RegistryError::of_store)?;
        let what = format!("the blob {}", blob.digest.short());
        if size != blob.size {
            return Err(RegistryError::Malformed {
                registry: "the source".into(),
                what,
                reason: format!("it has {size} bytes, not {}", blob.size),
            });
        }
        match writer.commit(Some(blob.digest)) {
            Err(StoreError::Mismatch { expected, actual, .. }) => {
                Err(RegistryError::Digest { registry: "the source".into(), what, expected, actual })
            }
            committed => Ok(committed.map(|_| Sent::Uploaded)?),
        }
    }

    fn put_document(&self, _: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        Ok(self.store.put(bytes).map(drop)?)
    }
}

impl Source for Repository<'_> {
    fn document(&self, entry: &Descriptor) -> Result<Option<Vec<u8>>, RegistryError> {
        Ok(self.manifest(Which::Digest(entry.digest))?.map(|fetched| fetched.bytes))
    }

    fn open(
        &self,
        blob: &Descriptor,
        offset: u64,
        check: Check,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RegistryError> {
        Ok(self.blob(blob, offset, check)?.map(|download| Box::new(download) as _))
    }

    fn repositories(&self, _: &Descriptor) -> Vec<String> {
        vec![self.name().to_owned()]
    }

    fn has_at_hand(&self, _: &Descriptor) -> Result<bool, RegistryError> {
        Ok(false)
    }
}

/// A repository as a target: everything by digest, and the last manifest under a tag as well.
pub struct TagEnd<'r> {
    /// The repository.
    pub repository: Repository<'r>,
    /// The manifest that gets the tag.
    pub root: Digest,
    /// The tag; none to have it by digest only.
    pub tag: Option<String>,
    /// Where it is noted what the repository has by now.
    pub notes: Option<&'r Store>,
}

impl Target for TagEnd<'_> {
    fn is_whole(&self, entry: &Descriptor) -> Result<bool, RegistryError> {
        match self.repository.has_manifest(entry.digest) {
            // Some registries refuse to say anything of a repository that does not exist yet; writing will tell.
            Err(RegistryError::Denied { .. }) => Ok(false),
            known => known,
        }
    }

    fn checks(&self) -> bool {
        false
    }

    fn put_blob(&self, blob: &Descriptor, content: &dyn Content, elsewhere: &[String]) -> Result<Sent, RegistryError> {
        let own = format!("{}/", self.repository.registry());
        // The newest is the likeliest to be still there.
        let near = elsewhere.iter().rev().filter_map(|name| name.strip_prefix(&own)).map(str::to_owned);
        let sent = self.repository.put_blob(blob, content, &near.collect::<Vec<_>>())?;
        if let Some(store) = self.notes {
            origins::remember(store, &blob.digest, self.repository.name());
        }
        Ok(sent)
    }

    fn put_document(&self, entry: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        let which = match &self.tag {
            Some(tag) if entry.digest == self.root => Which::Tag(tag),
            _ => Which::Digest(entry.digest),
        };
        if !self.repository.put_manifest(which, &entry.media_type, bytes)? {
            self.repository.announce(bytes)?;
        }
        Ok(())
    }
}

/// A repository of which one manifest was read already.
pub struct OpenedEnd<'r> {
    /// The repository.
    pub repository: Repository<'r>,
    /// That manifest.
    pub first: Fetched,
}

impl Source for OpenedEnd<'_> {
    fn document(&self, entry: &Descriptor) -> Result<Option<Vec<u8>>, RegistryError> {
        if entry.digest == self.first.descriptor.digest {
            return Ok(Some(self.first.bytes.clone()));
        }
        self.repository.document(entry)
    }

    fn open(
        &self,
        blob: &Descriptor,
        offset: u64,
        check: Check,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RegistryError> {
        self.repository.open(blob, offset, check)
    }

    fn repositories(&self, blob: &Descriptor) -> Vec<String> {
        self.repository.repositories(blob)
    }

    fn has_at_hand(&self, blob: &Descriptor) -> Result<bool, RegistryError> {
        self.repository.has_at_hand(blob)
    }
}
