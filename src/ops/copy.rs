//! `copy`: images between registries, image layouts, archives and the store, without unpacking anything.
//!
//! Between registries and layouts a blob streams from one to the other. An archive can only be read and written from its
//! start to its end: its images pass through a store of their own that is removed afterwards.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::digest::Digest;
use crate::event::Reporter;
use crate::oci::{Descriptor, Platform, Reference};
use crate::ops::remote_image::{not_found, which};
use crate::ops::signatures::{Carried, fetch_signatures};
use crate::ops::{Error, LoadOptions, SaveError, load, write_file};
use crate::registry::transfer::{
    self, Layout, Moved, OpenedEnd, Options, Plan, Platforms, Source, StoreEnd, TagEnd, Target,
};
use crate::registry::{Registries, RegistryError};
use crate::store::{ArchiveFormat, ArchiveImage, Store, remove_tree};
use crate::trust::{Signature, Signed};

/// Where an image is, or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a registry.
    Registry(Reference),
    /// In the store.
    Store(Reference),
    /// In a folder that is an OCI layout, under a tag or digest if there are several.
    Layout(PathBuf, Option<String>),
    /// In an archive, under a name.
    Archive(ArchiveFormat, PathBuf, Option<String>),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let reference = |text: &str| Reference::parse(text).map_err(|error| error.to_string());
        let (kind, rest) = text.split_once(':').unwrap_or(("", text));
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) if !name.is_empty() => (path, Some(name.to_owned())),
            Some((path, _)) => (path, None),
            None => (rest, None),
        };
        let (path, name) = match path.split_once('@') {
            Some((path, digest)) if kind == "oci" => (path, name.map(|rest| format!("{digest}:{rest}"))),
            _ => (path, name),
        };
        if path.is_empty() && ["oci", "oci-archive", "docker-archive"].contains(&kind) {
            return Err(format!("{text:?} names no file or folder: write {kind}:PATH"));
        }
        Ok(match kind {
            "oci" => Self::Layout(path.into(), name),
            "oci-archive" => Self::Archive(ArchiveFormat::Oci, path.into(), name),
            "docker-archive" => Self::Archive(ArchiveFormat::Docker, path.into(), name),
            "store" => Self::Store(reference(rest)?),
            "docker" if rest.starts_with("//") => Self::Registry(reference(&rest[2..])?),
            _ => Self::Registry(reference(text)?),
        })
    }
}

/// What was copied.
#[derive(Debug, Clone, PartialEq)]
pub struct Copied {
    /// The manifest or index, as it is at the target.
    pub descriptor: Descriptor,
    /// What had to be done for that.
    pub moved: Moved,
}

/// How an image is copied.
#[derive(Clone, Copy)]
pub struct Copying<'a> {
    /// All platforms, or those that are asked for. One platform goes without its index.
    pub platforms: &'a Platforms,
    /// Whether its signatures go along.
    pub signatures: bool,
    /// Who hears of it.
    pub reporter: &'a dyn Reporter,
}

/// A store that lives as long as a copy.
pub(super) struct Scratch(pub(super) Arc<Store>);

impl Scratch {
    pub(super) fn new(store: &Store) -> Result<Self, Error> {
        Ok(Self(Arc::new(Store::open(&store.tmp_path("copy")?)?.accepting(store.archives()))))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_tree(self.0.root());
    }
}

/// Copies an image.
pub fn copy(
    store: &Store,
    registries: &Registries,
    from: &Place,
    to: &Place,
    how: Copying<'_>,
) -> Result<Copied, Error> {
    let job = Job { store, registries, to, how };
    match from {
        Place::Registry(reference) => {
            let repository = registries.repository(reference);
            let first = repository.manifest(which(reference))?.ok_or_else(|| not_found(reference))?;
            let root = first.descriptor.clone();
            let source = OpenedEnd { repository, first };
            job.from(&source, &root, &|image| Ok(fetch_signatures(&source.repository, image)?))
        }
        Place::Store(reference) => {
            let listed = store.find(&reference.familiar())?;
            let source = StoreEnd { store, registries: Some(registries) };
            job.from(&source, &listed.descriptor, &|image| Ok(store.signatures(image)?))
        }
        Place::Layout(folder, wanted) => {
            let layout = Layout::new(folder);
            let root = layout.find(wanted.as_deref())?;
            let signed = if how.signatures { layout.signatures()? } else { Signed::new() };
            job.from(&layout, &root, &|image| Ok(signed.get(image).cloned().unwrap_or_default()))
        }
        Place::Archive(_, path, wanted) => {
            let scratch = Scratch::new(store)?;
            let root = from_archive(&scratch.0, path, wanted.as_deref())?;
            let source = StoreEnd { store: &scratch.0, registries: None };
            job.from(&source, &root, &|image| Ok(scratch.0.signatures(image)?))
        }
    }
}

/// Reads an archive; the image of this name in it, or its only one.
fn from_archive(store: &Store, path: &Path, wanted: Option<&str>) -> Result<Descriptor, Error> {
    let unreadable = |error| Error::build(format!("cannot read {}", path.display())).caused_by(error);
    let file = File::open(path).map_err(unreadable)?;
    let mut images = load(store, file, &LoadOptions::default()).map_err(|error| Error::from(error).about(path))?;
    if let Some(wanted) = wanted {
        images.retain(|image| {
            let named = |name: &Reference| name.tag() == Some(wanted) || name.familiar() == wanted;
            image.references.iter().any(named) || image.descriptor.digest.to_string() == wanted
        });
    }
    match &images[..] {
        [image] => Ok(image.descriptor.clone()),
        [] => Err(Error::build(format!("{} has no image{}", path.display(), called(wanted)))),
        several => {
            let message = format!("{} has {} images{}", path.display(), several.len(), called(wanted));
            Err(Error::build(message).help("say which one by its name, as in oci-archive:FILE:NAME"))
        }
    }
}

fn called(name: Option<&str>) -> String {
    name.map(|name| format!(" called {name:?}")).unwrap_or_default()
}

struct Job<'a> {
    store: &'a Store,
    registries: &'a Registries,
    to: &'a Place,
    how: Copying<'a>,
}

/// Who knows the signatures of what is copied.
type Find<'a> = &'a dyn Fn(&Digest) -> Result<Vec<Signature>, Error>;

impl Job<'_> {
    fn from(&self, source: &dyn Source, root: &Descriptor, find: Find<'_>) -> Result<Copied, Error> {
        let mut plan = Plan::new(source, root, self.how.platforms)?;
        if let Platforms::Only(wanted) = self.how.platforms {
            plan = plan.without_index();
            if wanted.len() > 1 && plan.images.len() > 1 && !matches!(self.to, Place::Store(_)) {
                return Err(Error::Usage("either one platform is copied, or all of them".into()));
            }
        }
        // An index of a store may name platforms that were never fetched.
        if let Some(missing) = plan.missing.first() {
            return Err(RegistryError::Missing(missing.digest).into());
        }
        let carried = if self.how.signatures { Carried::find(&plan, find)? } else { Carried::default() };
        let moved = match self.to {
            Place::Registry(reference) => {
                let pinned = reference.digest().filter(|digest| *digest != plan.root.digest);
                if let Some(pinned) = pinned {
                    let message = format!("the image is {}, not {pinned} as the target says", plan.root.digest);
                    return Err(Error::build(message));
                }
                let repository = self.registries.repository(reference);
                let (root, tag) = (plan.root.digest, reference.tag().map(str::to_owned));
                let moved = self.run(source, &TagEnd { repository, root, tag, notes: None }, &plan)?;
                carried.into_repository(&self.registries.repository(reference))?;
                moved
            }
            Place::Store(reference) => {
                let moved = self.run(source, &StoreEnd { store: self.store, registries: None }, &plan)?;
                self.store.resolve_all(&plan.root.digest)?;
                carried.into_store(self.store)?;
                self.store.set_reference(reference, plan.root.clone())?;
                moved
            }
            Place::Layout(folder, tag) => {
                let layout = Layout::new(folder);
                let moved = self.run(source, &layout, &plan)?;
                layout.list(&plan.root, tag.as_deref(), carried.bundle().as_ref())?;
                moved
            }
            Place::Archive(format, path, name) => {
                let scratch = Scratch::new(self.store)?;
                let moved = self.run(source, &StoreEnd { store: &scratch.0, registries: None }, &plan)?;
                let references = name.as_deref().map(Reference::parse).transpose()?.into_iter().collect();
                let signatures = carried.bundle();
                let image = ArchiveImage { descriptor: plan.root.clone(), references, signatures };
                write_file(path, |out| {
                    let mut out = super::save::Remembering::new(out);
                    let written = scratch.0.write_archive(&[image], *format, &Platform::host(), &mut out);
                    match out.failed {
                        Some(error) => Err(SaveError::Write(error).into()),
                        None => Ok(written?),
                    }
                })?;
                moved
            }
        };
        Ok(Copied { descriptor: plan.root, moved })
    }

    fn run(&self, source: &dyn Source, target: &dyn Target, plan: &Plan) -> Result<Moved, RegistryError> {
        let options = Options { verb: "copying", jobs: self.registries.transfers(), reporter: self.how.reporter };
        transfer::run(source, target, plan, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_places() {
        let check = |text: &str, expected: Place| assert_eq!(text.parse(), Ok(expected), "{text}");
        let name = |text: &str| Reference::parse(text).unwrap();
        check("localhost:5000/a:b", Place::Registry(name("localhost:5000/a:b")));
        check("docker://a:b", Place::Registry(name("a:b")));
        check("docker:24", Place::Registry(name("docker:24")));
        check("store:a:b", Place::Store(name("a:b")));
        check("oci:/x/y", Place::Layout("/x/y".into(), None));
        check("oci:/x/y:1.0", Place::Layout("/x/y".into(), Some("1.0".into())));
        check("oci:x@sha256:ab", Place::Layout("x".into(), Some("sha256:ab".into())));
        check("oci-archive:a.tar", Place::Archive(ArchiveFormat::Oci, "a.tar".into(), None));
        check("docker-archive:a.tar:r:1", Place::Archive(ArchiveFormat::Docker, "a.tar".into(), Some("r:1".into())));
        for bad in ["oci:", "docker-archive::x", "A", "store:"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
