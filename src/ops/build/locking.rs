//! The lockfile of a build: read before anything is looked up, written when everything was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::digest::CacheKey;
use crate::event::{Event, Reporter};
use crate::lockfile::{LockKey, LockedHttp, LockedImage, Lockfile};
use crate::oci::Platform;
use crate::ops::Error;
use crate::ops::build::target::LockMode;
use crate::store::ResolvedImage;

/// Where a build's lockfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockPlace {
    /// In this file, whether it exists or not.
    File(PathBuf),
    /// Nowhere: the definition has no place of its own, such as standard input.
    None,
}

impl LockPlace {
    /// The lockfile of a Dockerfile that is built on its own.
    pub fn beside(dockerfile: &Path) -> Self {
        let mut name = dockerfile.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        Self::File(dockerfile.with_file_name(name))
    }

    /// The file, if there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::None => None,
        }
    }
}

/// A lockfile in use.
pub struct Lock {
    place: LockPlace,
    mode: LockMode,
    text: Option<String>,
    old: Lockfile,
    new: Lockfile,
    /// What was looked up in this build.
    looked_up: BTreeSet<LockKey>,
    /// The images that were found in this build, by reference, platform and whether they were looked up anew.
    images: BTreeMap<(String, Platform, bool), ResolvedImage>,
}

impl Lock {
    /// Reads the lockfile, if there is one.
    pub fn open(place: &LockPlace, mode: LockMode) -> Result<Self, Error> {
        let place = if mode.ignored { LockPlace::None } else { place.clone() };
        let mut text = None;
        if let LockPlace::File(path) = &place {
            text = match std::fs::read_to_string(path) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => {
                    return Err(Error::build(format!("cannot read the lockfile {}", path.display())).caused_by(error));
                }
            };
        }
        let old = match (&text, &place) {
            (Some(text), LockPlace::File(path)) => Lockfile::parse(text).map_err(|error| {
                Error::build(format!("the lockfile {} cannot be used: {error}", path.display()))
                    .help("remove it to have everything looked up again")
            })?,
            _ => Lockfile::new(),
        };
        Ok(Self { place, mode, text, new: old.clone(), old, looked_up: BTreeSet::new(), images: BTreeMap::new() })
    }

    /// Where it is.
    pub fn path(&self) -> Option<&Path> {
        self.place.path()
    }

    /// Whether nothing may be fetched.
    pub fn offline(&self) -> bool {
        self.mode.offline
    }

    /// What an image was when it was locked.
    pub fn image(&self, reference: &str, platform: &Platform) -> Option<&LockedImage> {
        self.old.lookup_image(reference, platform)
    }

    /// An image that was found in this build.
    pub fn found_image(&self, reference: &str, platform: &Platform, fresh: bool) -> Option<ResolvedImage> {
        self.images.get(&(reference.to_owned(), platform.clone(), fresh)).cloned()
    }

    /// Keeps an image that was found.
    pub fn remember_image(&mut self, reference: &str, platform: &Platform, fresh: bool, image: &ResolvedImage) {
        self.images.insert((reference.to_owned(), platform.clone(), fresh), image.clone());
    }

    /// Notes what an image is.
    pub fn record_image(&mut self, reference: &str, platform: &Platform, image: LockedImage) {
        self.new.record_image(reference, platform, image);
    }

    /// What the file behind a URL was when it was locked, or is as of this build. With `fresh`, only the latter.
    pub fn http(&self, url: &str, fresh: bool) -> Option<&LockedHttp> {
        let key = LockKey::Http { url: url.to_owned() };
        match self.looked_up.contains(&key) {
            true => self.new.lookup_http(url),
            false => self.old.lookup_http(url).filter(|_| !fresh),
        }
    }

    /// Notes what the file behind a URL is.
    pub fn record_http(&mut self, url: &str, file: LockedHttp) {
        self.looked_up.insert(LockKey::Http { url: url.to_owned() });
        self.new.record_http(url, file);
    }

    /// The commit that a git reference stood for when it was locked, or does as of this build. With `fresh`, only the
    /// latter.
    pub fn git(&self, url: &str, reference: &str, fresh: bool) -> Option<&str> {
        let key = LockKey::Git { url: url.to_owned(), reference: reference.to_owned() };
        match self.looked_up.contains(&key) {
            true => self.new.lookup_git(url, reference),
            false => self.old.lookup_git(url, reference).filter(|_| !fresh),
        }
    }

    /// Notes the commit that a git reference stands for.
    pub fn record_git(&mut self, url: &str, reference: &str, commit: &str) {
        self.looked_up.insert(LockKey::Git { url: url.to_owned(), reference: reference.to_owned() });
        self.new.record_git(url, reference, commit);
    }

    /// Notes what a target is defined by.
    pub fn record_target(&mut self, name: &str, platform: &Platform, definition: CacheKey) {
        self.new.record_target(name, platform, definition);
    }

    /// Writes the lockfile if it changed, or fails if it must not.
    pub fn settle(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let LockPlace::File(path) = &self.place else { return Ok(()) };
        let text = self.new.to_string();
        if self.text.as_deref() == Some(text.as_str()) {
            return Ok(());
        }
        if self.mode.locked {
            if self.text.is_none() {
                let message = format!("there is no lockfile {}, and --locked forbids to make one", path.display());
                return Err(Error::build(message).help("build once without --locked, and commit the lockfile"));
            }
            let changes = Lockfile::diff(&self.old, &self.new);
            // A file that was only formatted differently says the same.
            if changes.is_empty() {
                return Ok(());
            }
            let list: Vec<String> = changes.iter().map(|change| format!("  {change}")).collect();
            let message = format!(
                "the lockfile {} would change, and --locked forbids that:\n{}",
                path.display(),
                list.join("\n")
            );
            return Err(Error::build(message).help("build once without --locked, and commit the lockfile"));
        }
        if let Err(error) = replace(path, &text) {
            let message = format!("the lockfile {} cannot be written: {error}", path.display());
            reporter.report(Event::Warning(message));
        }
        Ok(())
    }
}

/// Puts a new text in place of a file in one step.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}
