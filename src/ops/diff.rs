//! `diff` of two images: files, configuration, platforms and sizes.
//!
//! Files are compared as a container would see them, so that it does not matter how they are spread over layers. What
//! differs only in how it is packed is therefore no difference; `verify` is for that.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::digest::{DiffId, Digest};
use crate::fstree::compare::{Change, Difference, compare as compare_layers};
use crate::fstree::{Flattened, Kind, Merged, Toc, TreePath};
use crate::oci::Platform;
use crate::oci::compare::{FieldDifference, compare as compare_fields};
use crate::oci::manifest::{MAX_CONFIG, MAX_MANIFEST};
use crate::ops::{Error, OpenedImage};

/// One of two images.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffSide {
    /// Its ID.
    pub id: Digest,
    /// The platform that was looked at.
    pub platform: Platform,
    /// All its platforms.
    pub platforms: Vec<Platform>,
    /// Its layers, bottom first.
    pub layers: Vec<DiffId>,
    /// The bytes of its layers as they are stored.
    pub stored: u64,
    /// The bytes of the files that a container sees.
    pub files: u64,
}

/// What differs at one path.
#[derive(Debug, Clone, PartialEq)]
pub struct FileDifference {
    /// Where.
    pub path: TreePath,
    /// What; at least one. A path that is new or gone has nothing else to say.
    pub changes: Vec<Change>,
    /// The size of the file that it was, in bytes; none if it was no regular file.
    pub was: Option<u64>,
    /// The size of the file that it is.
    pub is: Option<u64>,
}

/// What differs between two images.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageDiff {
    /// The first.
    pub was: DiffSide,
    /// The second.
    pub is: DiffSide,
    /// Files, in path order.
    pub files: Vec<FileDifference>,
    /// Fields of the configuration, the layers and the history left out.
    pub config: Vec<FieldDifference>,
    /// Fields of the history.
    pub history: Vec<FieldDifference>,
    /// The manifest's annotations.
    pub annotations: Vec<FieldDifference>,
}

/// A kind of change that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// Permissions.
    Mode,
    /// Owner and group.
    Owner,
    /// Modification times.
    Time,
    /// Extended attributes.
    Xattr,
    /// What the images say of how they were made.
    History,
}

impl ImageDiff {
    /// How many layers both begin with.
    pub fn shared_layers(&self) -> usize {
        self.was.layers.iter().zip(&self.is.layers).take_while(|(was, is)| was == is).count()
    }

    /// Platforms that only the second has, and that only the first has.
    pub fn platforms(&self) -> (Vec<&Platform>, Vec<&Platform>) {
        fn without<'a>(all: &'a [Platform], known: &[Platform]) -> Vec<&'a Platform> {
            all.iter().filter(|platform| !known.contains(platform)).collect()
        }
        (without(&self.is.platforms, &self.was.platforms), without(&self.was.platforms, &self.is.platforms))
    }

    /// Whether there is nothing to show. How layers are cut and packed does not count.
    pub fn is_empty(&self) -> bool {
        let fields = [&self.config, &self.history, &self.annotations];
        self.files.is_empty()
            && fields.iter().all(|fields| fields.is_empty())
            && self.was.platforms == self.is.platforms
    }
}

/// Compares two images.
pub fn diff(was: &OpenedImage, is: &OpenedImage, ignored: &BTreeSet<Aspect>) -> Result<ImageDiff, Error> {
    let (old, new) = (Flattened::new(&Merged::new(was.tables()?)), Flattened::new(&Merged::new(is.tables()?)));
    let (old_config, old_history) = config(was)?;
    let (new_config, new_history) = config(is)?;
    let history = match ignored.contains(&Aspect::History) {
        true => Vec::new(),
        false => compare_fields(&old_history, &new_history),
    };
    Ok(ImageDiff {
        was: side(was, old.toc()),
        is: side(is, new.toc()),
        files: files(old.toc(), new.toc(), ignored),
        config: compare_fields(&old_config, &new_config),
        history,
        annotations: compare_fields(&annotations(was)?, &annotations(is)?),
    })
}

fn side(image: &OpenedImage, seen: &Toc) -> DiffSide {
    let resolved = &image.image;
    DiffSide {
        id: resolved.config_digest,
        platform: resolved.platform(),
        platforms: image.platforms.clone(),
        layers: resolved.diff_ids(),
        stored: resolved.layers.iter().map(|(layer, _)| layer.size).sum(),
        files: seen.entries().iter().filter_map(|entry| size(&entry.kind)).sum(),
    }
}

fn size(kind: &Kind) -> Option<u64> {
    match kind {
        Kind::File { size, .. } => Some(*size),
        _ => None,
    }
}

/// What differs in the files, each path once.
fn files(was: &Toc, is: &Toc, ignored: &BTreeSet<Aspect>) -> Vec<FileDifference> {
    let behind = |toc: &Toc, path: &TreePath| match &toc.get(path)?.kind {
        Kind::Hardlink(first) => size(&toc.get(first)?.kind),
        kind => size(kind),
    };
    let mut found: Vec<FileDifference> = Vec::new();
    for Difference { path, change } in compare_layers(was, is) {
        if aspect(&change).is_some_and(|aspect| ignored.contains(&aspect)) {
            continue;
        }
        match found.last_mut().filter(|last| last.path == path) {
            Some(last) => last.changes.push(change),
            None => {
                let (was, is) = (behind(was, &path), behind(is, &path));
                found.push(FileDifference { path, changes: vec![change], was, is });
            }
        }
    }
    found
}

fn aspect(change: &Change) -> Option<Aspect> {
    match change {
        Change::Mode(..) => Some(Aspect::Mode),
        Change::Owner(..) => Some(Aspect::Owner),
        Change::Time(..) => Some(Aspect::Time),
        Change::Xattr(..) => Some(Aspect::Xattr),
        _ => None,
    }
}

/// The configuration without its layers, and the history of it.
fn config(image: &OpenedImage) -> Result<(Value, Value), Error> {
    let mut config = document(image, &image.image.config_digest, MAX_CONFIG)?;
    let mut history = Value::Null;
    if let Some(fields) = config.as_object_mut() {
        fields.remove("rootfs");
        history = serde_json::json!({"history": fields.remove("history").unwrap_or_else(|| Value::Array(Vec::new()))});
    }
    Ok((config, history))
}

fn annotations(image: &OpenedImage) -> Result<Value, Error> {
    let manifest = document(image, &image.image.manifest.digest, MAX_MANIFEST)?;
    Ok(
        serde_json::json!({"annotations": manifest.get("annotations").cloned().unwrap_or_else(|| serde_json::json!({}))}),
    )
}

fn document(image: &OpenedImage, digest: &Digest, limit: u64) -> Result<Value, Error> {
    let bytes = image.store().read(digest, limit)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::build(format!("{digest} is not JSON")).caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::ContentDigest;
    use crate::fstree::{Entry, Meta};

    fn file(path: &str, text: &str, mode: u32, mtime: i64) -> Entry {
        let kind = Kind::File { size: text.len() as u64, content: ContentDigest::of(text.as_bytes()) };
        Entry { path: TreePath::clean(path), meta: Meta { mode, mtime, ..Meta::default() }, kind }
    }

    #[test]
    fn a_path_is_told_once() {
        let was = Toc::new(vec![file("a", "1", 0o644, 1), file("b", "22", 0o644, 1), file("c", "3", 0o644, 1)]);
        let is = Toc::new(vec![file("a", "333", 0o600, 2), file("c", "3", 0o644, 2), file("d", "", 0o644, 1)]);
        let check = |ignored: &[Aspect], expected: &[&str]| {
            let found = files(&was, &is, &ignored.iter().copied().collect());
            let line = |found: &FileDifference| {
                let words: Vec<&str> = found.changes.iter().map(Change::word).collect();
                format!("{} {} {:?} {:?}", found.path, words.join("+"), found.was, found.is)
            };
            assert_eq!(found.iter().map(line).collect::<Vec<_>>(), expected);
        };
        let (b, d) = ("/b removed Some(2) None", "/d added None Some(0)");
        check(&[], &["/a content+mode+time Some(1) Some(3)", b, "/c time Some(1) Some(1)", d]);
        check(&[Aspect::Time], &["/a content+mode Some(1) Some(3)", b, d]);
        check(&[Aspect::Time, Aspect::Mode, Aspect::Owner], &["/a content Some(1) Some(3)", b, d]);
    }
}
