//! `index.json`: which images there are and what they are called.
//!
//! An entry's name is its annotation `io.containerd.image.name`, and the same text is its `…image.ref.name`: the full,
//! normalised reference. Entries without a name are images that lost theirs to a newer one. Whatever else other tools
//! put into the file is kept as it is.
//!
//! Changes hold the lock on `index.lock` and replace the file by rename, so readers need no lock.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::oci::manifest::{ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME};
use crate::oci::{Descriptor, Reference, media};
use crate::store::error::{Result, StoreError, io_error};
use crate::store::{Exclusive, Store, layout, locks, replace, sync_folder};

/// The images of a store, or of another image layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    schema_version: u32,
    #[serde(default = "index_type")]
    media_type: String,
    #[serde(default)]
    manifests: Vec<Entry>,
    #[serde(flatten)]
    other: serde_json::Map<String, Value>,
}

/// An entry, or something in its place that we do not understand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Image(Box<Descriptor>),
    Other(Value),
}

/// An image that is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageEntry {
    /// What it is called; none if it lost its name.
    pub reference: Option<Reference>,
    /// Its manifest or index.
    pub descriptor: Descriptor,
}

impl ImageIndex {
    /// Reads an `index.json`.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always serialise")
    }

    fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().filter_map(|entry| match entry {
            Entry::Image(descriptor) => Some(&**descriptor),
            Entry::Other(_) => None,
        })
    }

    /// All images, in the order of the file.
    pub fn list(&self) -> Vec<ImageEntry> {
        let entry =
            |descriptor: &Descriptor| ImageEntry { reference: name_of(descriptor), descriptor: descriptor.clone() };
        self.descriptors().map(entry).collect()
    }

    /// The image of exactly this name; or, for a reference with a digest, of this repository and digest.
    pub fn get(&self, reference: &Reference) -> Option<&Descriptor> {
        let named = |wanted: &dyn Fn(&Descriptor, &Reference) -> bool| {
            self.descriptors().find(|descriptor| name_of(descriptor).is_some_and(|name| wanted(descriptor, &name)))
        };
        named(&|_, name| name == reference).or_else(|| {
            let digest = reference.digest()?;
            named(&|descriptor, name| descriptor.digest == digest && name.name() == reference.name())
        })
    }

    /// Gives an image a name. An image that had the name before stays, without one if it has no other.
    pub fn set(&mut self, reference: &Reference, descriptor: Descriptor) {
        self.set_all([(reference.clone(), descriptor)]);
    }

    /// Gives images names, of which each counts once; of equal ones, the last. What has its name already stays as it is.
    ///
    /// Takes time for the list once, not for each name.
    pub fn set_all(&mut self, names: impl IntoIterator<Item = (Reference, Descriptor)>) {
        let mut order = Vec::new();
        let mut wanted: HashMap<Reference, Descriptor> = HashMap::new();
        for (reference, descriptor) in names {
            let named = named(descriptor, &reference);
            if wanted.insert(reference.clone(), named).is_none() {
                order.push(reference);
            }
        }
        let mut lost = Vec::new();
        self.retain(|entry| {
            let Some(reference) = name_of(entry) else { return true };
            match wanted.get(&reference) {
                None => true,
                Some(new) if new == entry => wanted.remove(&reference).is_some(),
                Some(_) => {
                    lost.push(unnamed(entry.clone()));
                    false
                }
            }
        });
        let new: HashSet<Digest> = wanted.values().map(|descriptor| descriptor.digest).collect();
        // A name is better than none: the same image without one need not be listed.
        self.retain(|entry| has_name(entry) || !new.contains(&entry.digest));
        let mut listed: HashSet<Digest> = self.descriptors().map(|entry| entry.digest).chain(new).collect();
        let lost = lost.into_iter().filter(|old| listed.insert(old.digest));
        let named = order.iter().filter_map(|reference| wanted.remove(reference));
        let added: Vec<Entry> = lost.chain(named).map(|one| Entry::Image(Box::new(one))).collect();
        self.manifests.extend(added);
    }

    /// Lists an image that has no name, unless it is listed already.
    pub fn add_untagged(&mut self, descriptor: Descriptor) {
        if !self.contains(&descriptor.digest) {
            self.manifests.push(Entry::Image(Box::new(unnamed(descriptor))));
        }
    }

    /// Takes a name away, and with it the entry. Returns what it named.
    pub fn remove(&mut self, reference: &Reference) -> Option<Descriptor> {
        let removed = self.descriptors().find(|entry| name_of(entry).as_ref() == Some(reference)).cloned();
        self.retain(|entry| name_of(entry).as_ref() != Some(reference));
        removed
    }

    /// Removes all entries of an image, whatever their names. Returns the names.
    pub fn remove_digest(&mut self, digest: &Digest) -> Vec<Reference> {
        let names = self.names(digest);
        self.retain(|entry| entry.digest != *digest);
        names
    }

    /// The names of an image.
    pub fn names(&self, digest: &Digest) -> Vec<Reference> {
        self.descriptors().filter(|entry| entry.digest == *digest).filter_map(name_of).collect()
    }

    /// Whether an image is listed, by any name or none.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.descriptors().any(|entry| entry.digest == *digest)
    }

    fn retain(&mut self, mut keep: impl FnMut(&Descriptor) -> bool) {
        self.manifests.retain(|entry| match entry {
            Entry::Image(descriptor) => keep(descriptor),
            Entry::Other(_) => true,
        });
    }
}

impl Default for ImageIndex {
    fn default() -> Self {
        Self { schema_version: 2, media_type: index_type(), manifests: Vec::new(), other: serde_json::Map::new() }
    }
}

fn index_type() -> String {
    media::INDEX.to_owned()
}

/// The name of an entry of any image layout.
///
/// `…image.ref.name` is a full name with some tools and only a tag with others; a tag alone names nothing.
pub(crate) fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let annotation = |key: &str| descriptor.annotations.get(key).map(String::as_str);
    let full = annotation(ANNOTATION_IMAGE_NAME)
        .or_else(|| annotation(ANNOTATION_REF_NAME).filter(|name| name.contains(['/', ':', '@'])))?;
    Reference::parse(full).ok()
}

fn has_name(descriptor: &Descriptor) -> bool {
    [ANNOTATION_REF_NAME, ANNOTATION_IMAGE_NAME].iter().any(|key| descriptor.annotations.contains_key(*key))
}

fn named(descriptor: Descriptor, reference: &Reference) -> Descriptor {
    let mut descriptor = unnamed(descriptor);
    for key in [ANNOTATION_REF_NAME, ANNOTATION_IMAGE_NAME] {
        descriptor.annotations.insert(key.into(), reference.to_string());
    }
    descriptor
}

fn unnamed(mut descriptor: Descriptor) -> Descriptor {
    descriptor.annotations.remove(ANNOTATION_REF_NAME);
    descriptor.annotations.remove(ANNOTATION_IMAGE_NAME);
    descriptor
}

impl Store {
    /// `index.json` as it is now.
    pub fn index(&self) -> Result<ImageIndex> {
        let path = self.path(layout::INDEX);
        match fs::read(&path) {
            Ok(json) => ImageIndex::parse(&json)
                .map_err(|error| StoreError::Damaged { path, reason: format!("it is no image index: {error}") }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ImageIndex::default()),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// Changes `index.json`, alone and durably. The blobs that new entries need must be in the store before.
    pub fn update_index<T>(&self, change: impl FnOnce(&mut ImageIndex) -> T) -> Result<T> {
        let path = self.path(layout::INDEX_LOCK);
        let mut options = OpenOptions::new();
        let lock = match options.write(true).create(true).truncate(false).mode(0o600).open(&path) {
            // Nothing can be changed. Whoever wants what is listed already need not know.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                Err(error)
            }
            opened => {
                let lock = opened.map_err(io_error("open", &path))?;
                locks::wait(|| lock.lock()).map_err(io_error("lock", &path))?;
                Ok(lock)
            }
        };
        let old = self.index()?;
        let mut new = old.clone();
        let result = change(&mut new);
        if new != old {
            let _lock = lock.map_err(io_error("open", &path))?;
            self.write_index(&new)?;
        }
        Ok(result)
    }

    fn write_index(&self, index: &ImageIndex) -> Result<()> {
        // Once for the names of all blobs that it lists, whoever wrote them.
        sync_folder(&self.path(layout::BLOBS))?;
        replace(&self.tmp_path("index")?, &self.path(layout::INDEX), &index.to_json())
    }

    /// All images that are listed.
    pub fn list_references(&self) -> Result<Vec<ImageEntry>> {
        Ok(self.index()?.list())
    }

    /// The manifest or index that a name stands for: see [`ImageIndex::get`].
    pub fn get_reference(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        Ok(self.index()?.get(reference).cloned())
    }

    /// Gives a name to an image whose blobs are in the store: see [`ImageIndex::set`].
    pub fn set_reference(&self, reference: &Reference, descriptor: Descriptor) -> Result<()> {
        self.update_index(|index| index.set(reference, descriptor))
    }

    /// Takes a name away: see [`ImageIndex::remove`]. No blob is deleted.
    pub fn remove_reference(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        self.update_index(|index| index.remove(reference))
    }
}

impl Exclusive<'_> {
    /// Writes `index.json` anew, in place of one that cannot be read: these images, without names.
    pub fn rewrite_index(&self, images: impl IntoIterator<Item = Descriptor>) -> Result<()> {
        let mut index = ImageIndex::default();
        images.into_iter().for_each(|image| index.add_untagged(image));
        self.write_index(&index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn image(name: &str) -> Descriptor {
        Descriptor::of(media::MANIFEST, name.as_bytes())
    }

    fn listing(index: &ImageIndex) -> Vec<(String, Digest)> {
        let name = |entry: &ImageEntry| entry.reference.as_ref().map_or("<none>".to_owned(), Reference::familiar);
        index.list().iter().map(|entry| (name(entry), entry.descriptor.digest)).collect()
    }

    #[test]
    fn a_name_moves_and_the_old_image_stays() {
        let mut index = ImageIndex::default();
        let [one, two] = ["one", "two"].map(image);
        index.set(&reference("a"), one.clone());
        index.set(&reference("b"), one.clone());
        index.set(&reference("a"), two.clone());
        assert_eq!(listing(&index), [("b:latest".into(), one.digest), ("a:latest".into(), two.digest)]);
        index.set(&reference("b"), two.clone());
        assert_eq!(
            listing(&index),
            [("a:latest".into(), two.digest), ("<none>".into(), one.digest), ("b:latest".into(), two.digest)]
        );
        index.set(&reference("c"), one.clone());
        assert!(listing(&index).iter().all(|(name, _)| name != "<none>"), "it has a name again");
        assert_eq!(index.get(&reference("c")).map(|entry| entry.digest), Some(one.digest));
        assert_eq!(index.remove_digest(&two.digest), [reference("a"), reference("b")]);
        assert_eq!(listing(&index), [("c:latest".into(), one.digest)]);
    }

    #[test]
    fn many_names_at_once_are_like_one_after_another() {
        let [one, two, three] = ["one", "two", "three"].map(image);
        let names = |list: &[(&str, &Descriptor)]| -> Vec<(Reference, Descriptor)> {
            list.iter().map(|(name, image)| (reference(name), (*image).clone())).collect()
        };
        let before = names(&[("a", &one), ("b", &two), ("c", &two)]);
        let check = |change: &[(&str, &Descriptor)], expected: &[(&str, &Descriptor)]| {
            let mut index = ImageIndex::default();
            index.set_all(before.clone());
            index.set_all(names(change));
            let expected: Vec<_> = expected.iter().map(|(name, image)| ((*name).to_owned(), image.digest)).collect();
            assert_eq!(listing(&index), expected);
        };
        check(&[], &[("a:latest", &one), ("b:latest", &two), ("c:latest", &two)]);
        check(&[("a", &one), ("b", &two)], &[("a:latest", &one), ("b:latest", &two), ("c:latest", &two)]);
        check(
            &[("a", &three), ("d", &three)],
            &[("b:latest", &two), ("c:latest", &two), ("<none>", &one), ("a:latest", &three), ("d:latest", &three)],
        );
        check(&[("b", &three), ("b", &one)], &[("a:latest", &one), ("c:latest", &two), ("b:latest", &one)]);
        check(
            &[("b", &one), ("c", &one)],
            &[("a:latest", &one), ("<none>", &two), ("b:latest", &one), ("c:latest", &one)],
        );
        check(
            &[("a", &two), ("x", &one)],
            &[("b:latest", &two), ("c:latest", &two), ("a:latest", &two), ("x:latest", &one)],
        );
    }

    #[test]
    fn finds_by_digest_within_a_repository() {
        let mut index = ImageIndex::default();
        let one = image("one");
        index.set(&reference("a:1"), one.clone());
        assert!(index.get(&reference("a").by_digest(one.digest)).is_some());
        assert!(index.get(&reference("a:2").with_digest(one.digest)).is_some());
        assert!(index.get(&reference("b").by_digest(one.digest)).is_none());
        assert!(index.get(&reference("a:1").with_digest(Digest::of(b"x"))).is_none());
    }

    #[test]
    fn keeps_what_others_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let path = folder.path().join(layout::INDEX);
        let digest = Digest::of(b"");
        let json = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"x/y","digest":"sha512:00","size":1}},{{"mediaType":"{}","digest":"{digest}","size":2,"annotations":{{"org.opencontainers.image.ref.name":"latest","k":"v"}},"extra":[1]}}],"annotations":{{"a":"b"}}}}"#,
            media::MANIFEST
        );
        fs::write(&path, json).unwrap();
        store.set_reference(&reference("a"), image("one")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for part in ["sha512:00", r#""k":"v""#, r#""extra":[1]"#, r#""annotations":{"a":"b"}"#, r#":"latest""#] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(store.list_references().unwrap()[0].reference, None, "a tag alone is no name");
    }

    #[test]
    fn concurrent_changes_all_arrive() {
        let folder = tempfile::tempdir().unwrap();
        let stores: Vec<Store> = (0..4).map(|_| Store::open(folder.path()).unwrap()).collect();
        std::thread::scope(|scope| {
            for (number, store) in stores.iter().enumerate() {
                scope.spawn(move || {
                    for tag in 0..8 {
                        let name = format!("image{number}:{tag}");
                        store.set_reference(&reference(&name), image(&name)).unwrap();
                    }
                });
            }
        });
        assert_eq!(stores[0].list_references().unwrap().len(), 32);
    }

    #[test]
    fn says_what_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        fs::write(folder.path().join(layout::INDEX), "{").unwrap();
        let message = store.list_references().unwrap_err().to_string();
        assert!(message.contains("index.json is damaged"), "{message}");
        assert!(store.set_reference(&reference("a"), image("one")).is_err(), "it is not overwritten");
    }
}
