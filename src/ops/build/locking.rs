//! The lockfile of a build: read before anything is looked up, written when everything was.
//!
//! What it pinned is used; what is to be looked up anew is treated as if it were not pinned, once. Everything that a build
//! names is noted on the way, so that it is known afterwards what nothing uses any more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::digest::CacheKey;
use crate::event::{Event, Reporter};
use crate::lockfile::{Change, LockKey, LockedHttp, LockedImage, LockedOutput, Lockfile, Precise, SourcePolicy};
use crate::oci::Platform;
use crate::ops::Error;
use crate::ops::build::target::LockMode;
use crate::source::regular;
use crate::store::{NEW, ResolvedImage, Unfinished};

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
    used: BTreeSet<LockKey>,
    /// What only the files lead to, where flags or the environment led somewhere else.
    aside: BTreeSet<LockKey>,
    /// What those targets are defined by that flags or the environment made others.
    changed: BTreeMap<(String, Platform), CacheKey>,
    /// Definitions that could not be compared, and why.
    doubts: Vec<String>,
    /// What is to be looked up anew, whatever is pinned.
    stale: BTreeSet<LockKey>,
    /// What the stale ones must be.
    precise: Option<Precise>,
    /// What others want it to be.
    policy: SourcePolicy,
    /// Whether this is for pinning, so that nothing need be pinned before.
    pins: bool,
    /// The images that were found in this build, by reference, platform and whether they were looked up anew.
    images: BTreeMap<(String, Platform, bool), ResolvedImage>,
}

impl Lock {
    /// Reads the lockfile, if there is one.
    pub fn open(place: &LockPlace, mode: LockMode) -> Result<Self, Error> {
        let place = if mode.ignored { LockPlace::None } else { place.clone() };
        let mut text = None;
        if let LockPlace::File(path) = &place {
            text = match regular::text(path) {
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
        Ok(Self { place, text, ..Self::fixed(old, mode) })
    }

    /// What is pinned elsewhere; never written.
    pub fn fixed(pinned: Lockfile, mode: LockMode) -> Self {
        Self {
            place: LockPlace::None,
            mode,
            text: None,
            new: pinned.clone(),
            old: pinned,
            used: BTreeSet::new(),
            aside: BTreeSet::new(),
            changed: BTreeMap::new(),
            doubts: Vec::new(),
            stale: BTreeSet::new(),
            precise: None,
            policy: SourcePolicy::default(),
            pins: false,
            images: BTreeMap::new(),
        }
    }

    /// Has these looked up anew; if `precise` says what they must be, they are that or it is an error.
    pub fn renew(&mut self, stale: BTreeSet<LockKey>, precise: Option<Precise>) {
        (self.stale, self.precise) = (stale, precise);
    }

    /// Has everything looked up anew that a policy pins, and pinned as it says.
    pub fn follow(&mut self, policy: SourcePolicy) {
        self.policy = policy;
    }

    /// Says that somebody pins things, and does not build on them yet.
    pub fn pinning(&mut self) {
        self.pins = true;
    }

    /// Whether it is certain what something is before it is looked up, or that is what is wanted to know.
    pub fn is_certain(&self, key: &LockKey, fresh: bool) -> bool {
        self.pins || (!fresh && self.old.keys().contains(key))
    }

    /// Where it is.
    pub fn path(&self) -> Option<&Path> {
        self.place.path()
    }

    /// How it is used.
    pub fn mode(&self) -> LockMode {
        self.mode
    }

    /// Whether nothing may be fetched.
    pub fn offline(&self) -> bool {
        self.mode.offline
    }

    /// What is pinned as of now.
    pub fn pinned(&self) -> &Lockfile {
        &self.new
    }

    /// What was looked up so far.
    pub fn used(&self) -> &BTreeSet<LockKey> {
        &self.used
    }

    /// What was looked up so far, also what only the files lead to.
    pub fn mentioned(&self) -> BTreeSet<LockKey> {
        self.used.union(&self.aside).cloned().collect()
    }

    /// Looks up what only the files lead to: none of it is needed to build.
    pub fn aside<T>(&mut self, look_up: impl FnOnce(&mut Self) -> T) -> T {
        let used = self.used.clone();
        let found = look_up(self);
        let all = std::mem::replace(&mut self.used, used);
        self.aside.extend(all.difference(&self.used).cloned());
        found
    }

    /// What something must be, if that was said and it is to be looked up anew.
    pub fn precise(&self, key: &LockKey) -> Option<&Precise> {
        self.precise.as_ref().filter(|_| self.stale.contains(key)).or_else(|| self.policy.pin(key))
    }

    /// Why something may not be used, if a policy forbids it.
    pub fn denied(&self, key: &LockKey) -> Option<String> {
        self.policy.denies(key).then(|| format!("{} is denied by the source policy", key.name()))
    }

    /// Whether something is to be looked up now, whatever the file says: because the caller wants it (`fresh`), or because it
    /// is to be renewed. Once it was looked up in this build, it is not any more.
    pub fn anew(&self, key: &LockKey, fresh: bool) -> bool {
        !self.used.contains(key) && (fresh || self.stale.contains(key) || self.policy.pin(key).is_some())
    }

    /// The pins that count for something: those of this build once it was looked up, else those of the file unless it
    /// is to be looked up anew.
    fn pins(&self, key: &LockKey, fresh: bool) -> Option<&Lockfile> {
        match (self.used.contains(key), self.anew(key, fresh)) {
            (true, _) => Some(&self.new),
            (false, true) => None,
            (false, false) => Some(&self.old),
        }
    }

    /// What an image was when it was locked, or is as of this build. With `fresh`, only the latter.
    pub fn image(&self, reference: &str, platform: &Platform, fresh: bool) -> Option<&LockedImage> {
        let key = LockKey::Image { reference: reference.to_owned(), platform: platform.clone() };
        self.pins(&key, fresh)?.lookup_image(reference, platform)
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
        self.used.insert(LockKey::Image { reference: reference.to_owned(), platform: platform.clone() });
        self.new.record_image(reference, platform, image);
    }

    /// What the file behind a URL was when it was locked, or is as of this build. With `fresh`, only the latter.
    pub fn http(&self, url: &str, fresh: bool) -> Option<&LockedHttp> {
        self.pins(&LockKey::Http { url: url.to_owned() }, fresh)?.lookup_http(url)
    }

    /// Notes what the file behind a URL is.
    pub fn record_http(&mut self, url: &str, file: LockedHttp) {
        self.used.insert(LockKey::Http { url: url.to_owned() });
        self.new.record_http(url, file);
    }

    /// The commit that a git reference stood for when it was locked, or does as of this build. With `fresh`, only the
    /// latter.
    pub fn git(&self, url: &str, reference: &str, fresh: bool) -> Option<&str> {
        let key = LockKey::Git { url: url.to_owned(), reference: reference.to_owned() };
        self.pins(&key, fresh)?.lookup_git(url, reference)
    }

    /// Notes the commit that a git reference stands for.
    pub fn record_git(&mut self, url: &str, reference: &str, commit: &str) {
        self.used.insert(LockKey::Git { url: url.to_owned(), reference: reference.to_owned() });
        self.new.record_git(url, reference, commit);
    }

    /// Notes what a target is defined by.
    pub fn record_target(&mut self, name: &str, platform: &Platform, definition: CacheKey) {
        self.used.insert(LockKey::Target { name: name.to_owned(), platform: platform.clone() });
        self.new.record_target(name, platform, definition);
    }

    /// Notes what a target is defined by as it is built, and as the files alone define it: by nothing if they define none.
    pub fn record_changed(&mut self, name: &str, platform: &Platform, built: CacheKey, written: Option<CacheKey>) {
        match written {
            Some(definition) => self.record_target(name, platform, definition),
            None => drop(self.new.remove(LockKey::Target { name: name.to_owned(), platform: platform.clone() })),
        }
        self.changed.insert((name.to_owned(), platform.clone()), built);
    }

    /// The same if it cannot be told what the files alone define: then that stays as it is.
    pub fn doubt(&mut self, name: &str, platform: &Platform, built: CacheKey, why: &str) {
        let key = LockKey::Target { name: name.to_owned(), platform: platform.clone() };
        if self.new.lookup_target(name, platform).is_some() {
            self.doubts.push(format!("the {key} could not be compared: {why}"));
            self.used.insert(key);
        }
        self.changed.insert((name.to_owned(), platform.clone()), built);
    }

    /// What a target is defined by as it is built.
    pub fn built_by(&self, name: &str, platform: &Platform) -> Option<CacheKey> {
        self.built_otherwise(name, platform).or_else(|| self.new.lookup_target(name, platform))
    }

    /// The same if that is not what the files alone define.
    pub fn built_otherwise(&self, name: &str, platform: &Platform) -> Option<CacheKey> {
        let built = self.changed.get(&(name.to_owned(), platform.clone())).copied();
        built.filter(|built| self.new.lookup_target(name, platform) != Some(*built))
    }

    /// What a target was defined by when it was built for its recorded output.
    pub fn recorded_by(&self, name: &str, platform: &Platform) -> Option<CacheKey> {
        let output = self.old.lookup_output(name, platform)?;
        output.definition.or_else(|| self.old.lookup_target(name, platform))
    }

    /// Notes what a target came to.
    pub fn record_output(&mut self, name: &str, platform: &Platform, output: LockedOutput) {
        self.new.record_output(name, platform, output);
    }

    /// Drops what this build did not look up, unless it is to be kept.
    pub fn drop_unused(&mut self, keep: impl Fn(&LockKey) -> bool) {
        let used = self.mentioned();
        self.new.retain(|key| used.contains(key) || keep(key));
    }

    /// What would change in the file.
    pub fn changes(&self) -> Vec<Change> {
        Lockfile::diff(&self.old, &self.new)
    }

    /// Writes the lockfile if it changed, or fails if it must not.
    pub fn settle(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let LockPlace::File(path) = &self.place else { return Ok(()) };
        if self.mode.locked {
            if self.text.is_none() {
                let message = format!("there is no lockfile {}, and --locked forbids to make one", path.display());
                return Err(Error::build(message).help("build once without --locked, and commit the lockfile"));
            }
            self.doubts.iter().for_each(|doubt| reporter.report(Event::Warning(doubt.clone())));
            let changes = self.changes();
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
        // A build that went well is worth more than its lockfile.
        if let Err(error) = self.write() {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            reporter.report(Event::Warning(format!("{error}{cause}")));
        }
        Ok(())
    }

    /// Writes the lockfile if its text changed.
    pub fn write(&self) -> Result<(), Error> {
        let LockPlace::File(path) = &self.place else { return Ok(()) };
        let text = self.new.to_string();
        if self.text.as_deref() == Some(text.as_str()) {
            return Ok(());
        }
        let failed =
            |error| Error::build(format!("the lockfile {} cannot be written", path.display())).caused_by(error);
        replace(path, &text).map_err(failed)
    }
}

/// Puts a new text in place of a file in one step.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = Unfinished::replace(path, NEW)?;
    file.write_all(text.as_bytes())?;
    file.finish()
}
