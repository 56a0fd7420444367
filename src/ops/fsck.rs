//! `fsck`: looks through a store for what is not whole, and removes that so that the next build makes it again.
//!
//! A store survives whatever its processes do or suffer. This is for what happens to it from outside: a disk that fails or
//! lies, a loss of power, people who change files. What is missing although something refers to it is a flaw only if it
//! could not be had otherwise: layers of base images are fetched when somebody reads them.

mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;

use crate::digest::{CacheKey, Digest};
use crate::oci::manifest::Document;
use crate::oci::{Descriptor, Reference, media};
use crate::registry::origins;
use crate::sandbox;
use crate::store::layers::{LayerId, recorded_blob};
use crate::store::{Exclusive, Flaw, ResolvedImage, Store, StoreError};

/// The deepest nesting of indexes that is looked into.
const MAX_NESTING: u32 = 4;

/// Something in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `index.json`.
    Index,
    /// An image: its names and what is listed of it.
    Image(Vec<Reference>, Digest),
    /// A blob.
    Blob(Digest),
    /// What is recorded for a key.
    Record(CacheKey),
    /// A layer's folder and table of contents.
    Layer(LayerId),
    /// A container or a mount of an image, by its folder.
    Container(PathBuf),
    /// The state of a failed step, by its folder.
    Scene(PathBuf),
    /// Something in the place of cache mounts.
    Mount(PathBuf),
    /// What is known of the files of a build context.
    Context(PathBuf),
    /// The record of a build, by its name.
    Build(String),
    /// What such records name.
    BuildObject(CacheKey),
    /// A temporary file or folder.
    Temporary(PathBuf),
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub subject: Subject,
    /// How so.
    pub flaw: Flaw,
}

impl Finding {
    /// What cannot be had again by building if this is removed.
    pub fn lost(&self) -> Option<&'static str> {
        match self.subject {
            Subject::Index => Some("the names of all images"),
            Subject::Image(..) => Some("the image; build, pull or load it again"),
            Subject::Container(_) => Some("the container; what it had changed is in the store's lost+found"),
            Subject::Scene(_) => Some("the state of the failed step; build again for it"),
            Subject::Build(_) | Subject::BuildObject(_) => Some("what `why`, `log` and `report` say of a past build"),
            Subject::Blob(_)
            | Subject::Record(_)
            | Subject::Layer(_)
            | Subject::Mount(_)
            | Subject::Context(_)
            | Subject::Temporary(_) => None,
        }
    }
}

/// What was found, and among how much.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Images that are listed.
    pub images: usize,
    /// Blobs.
    pub blobs: usize,
    /// Records of the action cache.
    pub records: usize,
    /// Unpacked layers.
    pub layers: usize,
    /// Containers and mounts of images.
    pub containers: usize,
    /// States of failed steps.
    pub scenes: usize,
    /// Cache mounts.
    pub mounts: usize,
    /// Contexts of whose files something is known.
    pub contexts: usize,
    /// Records of builds.
    pub builds: usize,
    /// What is wrong, in the order in which it is to be removed: what refers comes before what is referred to.
    pub findings: Vec<Finding>,
    /// What of it [`repair`] has left, since a container that runs needs it, or somebody looks around in it.
    pub in_use: Vec<Subject>,
}

/// Looks through a store. Sizes are compared, and small documents read; with `deep`, everything is hashed.
pub fn fsck(store: &Store, deep: bool) -> Result<Checked, StoreError> {
    let blobs: Vec<Digest> = store.blobs()?.into_iter().collect();
    let mut look = Look { store, bad: BTreeMap::new(), good: BTreeSet::new() };
    if deep {
        look.bad = blobs.par_iter().filter_map(|blob| Some((*blob, store.check_blob(blob)?))).collect();
    }
    let mut checked = Checked { blobs: blobs.len(), ..Checked::default() };
    match store.list_references() {
        Err(StoreError::Damaged { reason, .. }) => {
            checked.findings.push(Finding { subject: Subject::Index, flaw: Flaw::Unreadable(reason) });
        }
        listed => {
            let mut images: BTreeMap<Digest, (Vec<Reference>, Descriptor)> = BTreeMap::new();
            for entry in listed? {
                let image = images.entry(entry.descriptor.digest).or_insert((Vec::new(), entry.descriptor));
                image.0.extend(entry.reference);
            }
            checked.images = images.len();
            for (digest, (names, descriptor)) in images {
                let flaw = look.image(&descriptor, MAX_NESTING);
                checked.findings.extend(flaw.map(|flaw| Finding { subject: Subject::Image(names, digest), flaw }));
            }
        }
    }
    let records = store.actions()?;
    checked.records = records.len();
    for record in records {
        match store.peek_action(&record.key) {
            None => checked.findings.push(Finding { subject: Subject::Record(record.key), flaw: Flaw::Content }),
            Some(value) => drop(recorded_blob(&value).map(|blob| look.blob(&blob))),
        }
    }
    let layers = store.stored_layers()?;
    checked.layers = layers.len();
    let bad = layers.par_iter().filter_map(|layer| Some((layer.what, store.check_layer(layer.what, deep)?)));
    let mut bad: BTreeMap<LayerId, Flaw> = bad.collect();
    if deep {
        for image in look.whole_images()? {
            for layer in store.wrong_tables(&image.layers) {
                bad.entry(layer).or_insert(Flaw::NoTable);
            }
        }
    }
    rest::check(&mut look, &bad.keys().copied().collect(), &mut checked)?;
    checked.findings.extend(bad.into_iter().map(|(layer, flaw)| Finding { subject: Subject::Layer(layer), flaw }));
    checked
        .findings
        .extend(look.bad.into_iter().map(|(digest, flaw)| Finding { subject: Subject::Blob(digest), flaw }));
    let left = store.leftovers()?.into_iter();
    checked.findings.extend(left.map(|path| Finding { subject: Subject::Temporary(path), flaw: Flaw::Left }));
    Ok(checked)
}

/// Looks through a store and removes what is not whole. With `wait`, waits until nobody else uses the store.
///
/// # Errors
/// [`StoreError::Busy`] if somebody does; then nothing was removed.
pub fn repair(store: &mut Store, deep: bool, wait: bool) -> Result<Checked, StoreError> {
    let alone = if wait { store.exclusive()? } else { store.try_exclusive()? };
    let mut checked = fsck(&alone, deep)?;
    let busy = busy_layers(&alone)?;
    for finding in &checked.findings {
        let subject = &finding.subject;
        let mut leave = || checked.in_use.push(subject.clone());
        match subject {
            Subject::Index => alone.rewrite_index(unlisted(&alone)?)?,
            Subject::Image(_, digest) => drop(alone.update_index(|index| index.remove_digest(digest))?),
            Subject::Blob(digest) => drop(alone.remove_blob(digest)?),
            Subject::Record(key) => alone.remove_action(key)?,
            Subject::Layer(id) if busy.contains(id) => leave(),
            Subject::Layer(id) => alone.remove_layer(*id)?,
            Subject::Container(folder) => {
                if alone.set_container_aside(folder)?.is_none() {
                    leave();
                }
            }
            Subject::Build(name) => alone.remove_found(&alone.build_path(name))?,
            Subject::BuildObject(name) => alone.remove_found(&alone.build_object_path(name))?,
            // A shell in it holds no lock on the store, but one on the scene.
            Subject::Scene(folder) => {
                if !alone.remove_scene(folder)? {
                    leave();
                }
            }
            Subject::Mount(path) | Subject::Context(path) | Subject::Temporary(path) => alone.remove_found(path)?,
        }
    }
    alone.sweep()?;
    sandbox::sweep_groups();
    Ok(checked)
}

/// The layers that processes stand on which hold no lock on the store: containers that run, and shells in states of steps.
fn busy_layers(store: &Store) -> Result<BTreeSet<LayerId>, StoreError> {
    let containers = store.found_containers()?.into_iter().filter_map(|(_, found)| found.ok());
    let running = containers.filter(|container| container.is_running() || container.record.mounted.is_some());
    let mut busy: BTreeSet<LayerId> = running.flat_map(|container| container.record.layers).collect();
    for kept in store.scenes()?.iter().filter(|kept| kept.is_active()) {
        busy.extend(kept.scene.all_layers());
    }
    Ok(busy)
}

/// The images of a store that no other refers to, found by their blobs; those that lack something are left out.
fn unlisted(store: &Exclusive<'_>) -> Result<Vec<Descriptor>, StoreError> {
    let mut found = Vec::new();
    let mut inner: BTreeSet<Digest> = BTreeSet::new();
    for digest in store.blobs()? {
        let Ok(Some(document)) = store.document(&digest) else { continue };
        let media_type = match document {
            Document::Manifest(manifest) if manifest.is_image() => {
                manifest.media_type.unwrap_or(media::MANIFEST.into())
            }
            Document::Manifest(_) => continue,
            Document::Index(index) => {
                inner.extend(index.manifests.iter().map(|entry| entry.digest));
                media::INDEX.into()
            }
        };
        found.push(Descriptor::new(media_type, digest, store.size(&digest)?.unwrap_or_default()));
    }
    let mut look = Look { store, bad: BTreeMap::new(), good: BTreeSet::new() };
    found.retain(|image| !inner.contains(&image.digest) && look.image(image, MAX_NESTING).is_none());
    Ok(found)
}

struct Look<'a> {
    store: &'a Store,
    /// Blobs that are there and not what they should be.
    bad: BTreeMap<Digest, Flaw>,
    /// Manifests and indexes of which all is well, with their sizes: an index may name one thousands of times.
    good: BTreeSet<(Digest, u64)>,
}

impl Look<'_> {
    /// The images of all platforms that are listed, as far as they can be read.
    fn whole_images(&self) -> Result<Vec<ResolvedImage>, StoreError> {
        let listed = match self.store.list_references() {
            Err(StoreError::Damaged { .. }) => Vec::new(),
            listed => listed?,
        };
        let digests: BTreeSet<Digest> = listed.iter().map(|entry| entry.descriptor.digest).collect();
        Ok(digests.iter().flat_map(|digest| self.store.resolve_all(digest).unwrap_or_default()).collect())
    }

    /// What is wrong with an image, if anything.
    fn image(&mut self, descriptor: &Descriptor, depth: u32) -> Option<Flaw> {
        let known = (descriptor.digest, descriptor.size);
        if self.good.contains(&known) {
            return None;
        }
        let flaw = self.document(descriptor, depth);
        if flaw.is_none() {
            self.good.insert(known);
        }
        flaw
    }

    fn document(&mut self, descriptor: &Descriptor, depth: u32) -> Option<Flaw> {
        let document = match self.small(descriptor) {
            Some(flaw) => return Some(flaw),
            None => self.store.document(&descriptor.digest),
        };
        let needs = |(digest, flaw)| Flaw::Needs { digest, flaw: Box::new(flaw) };
        match document {
            Ok(Some(Document::Manifest(manifest))) => {
                let config = manifest.is_image().then(|| self.small(&manifest.config)).flatten();
                let config = config.map(|flaw| needs((manifest.config.digest, flaw)));
                config.or_else(|| manifest.layers.iter().find_map(|layer| self.layer(layer, manifest.is_image())))
            }
            // Of an index, only those that somebody wanted need be there.
            Ok(Some(Document::Index(index))) if depth > 0 => {
                let here = index.manifests.iter().filter(|entry| self.store.has(&entry.digest)).cloned();
                let here: Vec<Descriptor> = here.collect();
                here.iter().find_map(|entry| Some((entry.digest, self.image(entry, depth - 1)?))).map(needs)
            }
            Ok(_) => None,
            Err(error) => Some(Flaw::Unreadable(error.to_string())),
        }
    }

    /// What is wrong with a layer of an image, or of an artifact, whose layers need not be there.
    fn layer(&mut self, layer: &Descriptor, needed: bool) -> Option<Flaw> {
        let flaw = self.blob(layer).or_else(|| (!self.store.has(&layer.digest)).then_some(Flaw::Missing))?;
        let can_be_had = !needed || !origins::known(self.store, &layer.digest).is_empty();
        (!can_be_had).then(|| Flaw::Needs { digest: layer.digest, flaw: Box::new(flaw) })
    }

    /// What is wrong with a document, which is read.
    fn small(&mut self, descriptor: &Descriptor) -> Option<Flaw> {
        let digest = descriptor.digest;
        let flaw = self.blob(descriptor).or_else(|| self.store.check_blob(&digest))?;
        if flaw != Flaw::Missing {
            self.bad.insert(digest, flaw.clone());
        }
        Some(flaw)
    }

    /// What is wrong with a blob if it is there, as far as its size says.
    fn blob(&mut self, descriptor: &Descriptor) -> Option<Flaw> {
        if let Some(flaw) = self.bad.get(&descriptor.digest) {
            return Some(flaw.clone());
        }
        let flaw = match self.store.size(&descriptor.digest) {
            Ok(None) => return None,
            Ok(Some(found)) if found == descriptor.size => return None,
            Ok(Some(found)) => Flaw::Size { expected: descriptor.size, found },
            Err(error) => Flaw::Unreadable(error.to_string()),
        };
        self.bad.insert(descriptor.digest, flaw.clone());
        Some(flaw)
    }
}

#[cfg(test)]
mod tests;
