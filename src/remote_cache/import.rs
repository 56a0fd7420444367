//! Caches that are read: found when the store first lacks something, then asked in their order.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use super::fetch::{Spot, Spots};
use super::format::{ARTIFACT, Cache, FormatError, MAX_CONFIG};
use super::place::{Place, Source};
use crate::digest::CacheKey;
use crate::event::{Event, Reporter};
use crate::oci::manifest::ManifestError;
use crate::oci::{DEFAULT_TAG, Descriptor, Document, Manifest, Reference};
use crate::registry::actions::{ActionsEnd, Service};
use crate::registry::s3::{Bucket, BucketEnd};
use crate::registry::transfer::{self, Layout};
use crate::registry::{Check, Registries, RegistryError, Which, origins};
use crate::solve::{Elsewhere, Found};
use crate::store::layers::{Claim, LayerId, Layers};

/// How many caches of one image are looked at.
const MOST_REFERRERS: usize = 8;

/// The media type of what BuildKit keeps as its cache.
const BUILDKIT: &str = "application/vnd.buildkit.cacheconfig.v0";

/// Why a cache is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("nothing is there yet")]
    Nothing,
    #[error("it is an image that no cache came along with; build it with --cache-to type=inline")]
    OnlyAnImage,
    #[error("it is a cache of BuildKit, whose keys mean nothing here")]
    BuildKit,
    #[error("--offline forbids to ask for it")]
    Offline,
}

/// The caches of a build.
pub struct Import<'a> {
    sources: Vec<Source>,
    registries: Option<&'a Registries>,
    layers: &'a Layers,
    spots: &'a Spots,
    reporter: &'a dyn Reporter,
    loaded: OnceLock<Vec<Loaded>>,
    told: Mutex<HashSet<LayerId>>,
}

/// A cache that was read.
struct Loaded {
    name: Arc<str>,
    at: At,
    /// Whether its cache mounts are wanted.
    mounts: bool,
    cache: Cache,
    by_key: HashMap<CacheKey, usize>,
}

/// Where its blobs are.
#[derive(Clone)]
enum At {
    Repository(String),
    Spot(Spot),
}

impl<'a> Import<'a> {
    /// Reads from these sources, once something is missing; from registries only if there are any. What is found
    /// becomes known to `layers`, which fetch from `spots`.
    pub fn new(
        sources: Vec<Source>,
        registries: Option<&'a Registries>,
        layers: &'a Layers,
        spots: &'a Spots,
        reporter: &'a dyn Reporter,
    ) -> Self {
        let (loaded, told) = (OnceLock::new(), Mutex::default());
        Self { sources, registries, layers, spots, reporter, loaded, told }
    }

    fn loaded(&self) -> &[Loaded] {
        self.loaded.get_or_init(|| {
            // A dead one is waited for; the others need not wait with it.
            let all: Vec<_> = thread::scope(|scope| {
                let begun: Vec<_> = self.sources.iter().map(|source| scope.spawn(|| self.load(source))).collect();
                let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                begun.into_iter().map(join).collect()
            });
            let mut usable = Vec::new();
            for (source, loaded) in self.sources.iter().zip(all) {
                match loaded {
                    Ok(loaded) => usable.extend(loaded),
                    Err(Unusable::Registry(RegistryError::Canceled)) => {}
                    Err(error) => {
                        let text = format!("the cache {} is not used: {error}", source.place);
                        self.reporter.report(Event::Warning(text));
                    }
                }
            }
            usable
        })
    }

    fn load(&self, source: &Source) -> Result<Vec<Loaded>, Unusable> {
        match &source.place {
            Place::Registry(reference) => self.in_registry(source, reference),
            Place::Folder { path, name } => {
                let layout = Layout::new(path);
                let found = layout.find(Some(name)).map_err(|error| match error {
                    RegistryError::NotFound { .. } => Unusable::Nothing,
                    error => error.into(),
                })?;
                let bytes = transfer::Source::document(&layout, &found)?.ok_or(Unusable::Nothing)?;
                match Document::parse(&bytes)? {
                    Document::Manifest(manifest) if is_cache(&manifest) => {
                        Ok(vec![read(&layout, &manifest, source, At::Spot(Spot::Folder(path.clone())))?])
                    }
                    other => Err(no_cache(&other)),
                }
            }
            Place::Bucket { bucket, name } => self.in_bucket(source, bucket, name),
            Place::Actions(service) => self.in_actions(source, service),
        }
    }

    fn in_bucket(&self, source: &Source, bucket: &Bucket, name: &str) -> Result<Vec<Loaded>, Unusable> {
        let end = BucketEnd::new(self.registries.ok_or(Unusable::Offline)?, bucket);
        let bytes = end.manifest(name)?.ok_or(Unusable::Nothing)?;
        match Document::parse(&bytes)? {
            Document::Manifest(manifest) if is_cache(&manifest) => {
                Ok(vec![read(&end, &manifest, source, At::Spot(Spot::Bucket(bucket.clone())))?])
            }
            other => Err(no_cache(&other)),
        }
    }

    fn in_actions(&self, source: &Source, service: &Service) -> Result<Vec<Loaded>, Unusable> {
        let end = ActionsEnd::new(self.registries.ok_or(Unusable::Offline)?, service);
        let at = At::Spot(Spot::Actions(service.clone()));
        let read = |bytes: &[u8]| match Document::parse(bytes)? {
            Document::Manifest(manifest) if is_cache(&manifest) => read(&end, &manifest, source, at.clone()),
            other => Err(no_cache(&other)),
        };
        let (mut all, mut failure) = (Vec::new(), None);
        for bytes in end.manifests()? {
            match read(&bytes) {
                Ok(loaded) => all.push(loaded),
                // That of one git reference is of no less use because that of another one is gone.
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        if all.is_empty() { Err(failure.unwrap_or(Unusable::Nothing)) } else { Ok(all) }
    }

    fn in_registry(&self, source: &Source, reference: &Reference) -> Result<Vec<Loaded>, Unusable> {
        let repository = self.registries.ok_or(Unusable::Offline)?.repository(reference);
        let at = At::Repository(repository.name().to_owned());
        let which = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Which::Digest(digest),
            (None, tag) => Which::Tag(tag.unwrap_or(DEFAULT_TAG)),
        };
        let found = repository.manifest(which)?.ok_or(Unusable::Nothing)?;
        if let Document::Manifest(manifest) = &found.document
            && is_cache(manifest)
        {
            return Ok(vec![read(&repository, manifest, source, at)?]);
        }
        let mut all = Vec::new();
        let referrers = repository.referrers(&found.descriptor.digest)?;
        // The last one that was added is the likeliest to fit.
        let caches = referrers.iter().rev().filter(|one| one.artifact_type.as_deref() == Some(ARTIFACT));
        for referrer in caches.take(MOST_REFERRERS) {
            let Some(fetched) = repository.manifest(Which::Digest(referrer.digest))? else { continue };
            match &fetched.document {
                Document::Manifest(manifest) if is_cache(manifest) => {
                    all.push(read(&repository, manifest, source, at.clone())?);
                }
                _ => {}
            }
        }
        if all.is_empty() { Err(no_cache(&found.document)) } else { Ok(all) }
    }

    /// Says where a blob can be had.
    fn place(&self, loaded: &Loaded, blob: &Descriptor) {
        match &loaded.at {
            At::Repository(name) => origins::remember(self.layers.store(), &blob.digest, name),
            At::Spot(spot) => self.spots.add(blob.digest, spot.clone()),
        }
    }

    /// Makes the layers of a result known.
    fn tell(&self, loaded: &Loaded, state: &[LayerId]) {
        // Held to the end: whoever comes second must find all of it.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for id in state {
            let LayerId::Made(tree) = id else { continue };
            let Some(layer) = loaded.cache.layers.get(tree) else { continue };
            if !told.insert(*id) {
                continue;
            }
            for blob in [Some(&layer.blob.descriptor), layer.toc.as_ref()].into_iter().flatten() {
                self.place(loaded, blob);
            }
            self.layers.claim(*id, || Claim {
                blob: layer.blob.clone(),
                profile: layer.profile.clone(),
                toc: layer.toc.clone(),
                source: loaded.name.clone(),
            });
        }
    }
}

impl Elsewhere for Import<'_> {
    fn find(&self, key: &CacheKey) -> Option<Found> {
        let (loaded, result) = self.loaded().iter().find_map(|loaded| {
            let number = loaded.by_key.get(key)?;
            Some((loaded, loaded.cache.results.get(*number)?))
        })?;
        self.tell(loaded, &result.state);
        Some(Found { state: result.state.clone(), keys: result.keys.iter().copied().collect() })
    }

    fn mount(&self, id: &str) -> Option<Descriptor> {
        // Who did not ask for them need not wait for a cache to be read.
        if !self.sources.iter().any(|source| source.mounts) {
            return None;
        }
        let mut with_mounts = self.loaded().iter().filter(|loaded| loaded.mounts);
        let (loaded, blob) = with_mounts.find_map(|loaded| Some((loaded, loaded.cache.mounts.get(id)?)))?;
        self.place(loaded, blob);
        Some(blob.clone())
    }
}

fn is_cache(manifest: &Manifest) -> bool {
    manifest.artifact_type.as_deref() == Some(ARTIFACT)
}

/// What is there instead of a cache.
fn no_cache(document: &Document) -> Unusable {
    let is_buildkits = |blob: &Descriptor| blob.media_type == BUILDKIT;
    match document {
        Document::Index(index) if index.manifests.iter().any(is_buildkits) => Unusable::BuildKit,
        Document::Manifest(manifest) if is_buildkits(&manifest.config) => Unusable::BuildKit,
        _ => Unusable::OnlyAnImage,
    }
}

/// Reads the configuration of a cache.
fn read(from: &dyn transfer::Source, manifest: &Manifest, source: &Source, at: At) -> Result<Loaded, Unusable> {
    let config = &manifest.config;
    let place = source.place.to_string();
    if config.size > MAX_CONFIG {
        let what = "the configuration of a cache".into();
        return Err(RegistryError::TooLarge { registry: place, what, limit: MAX_CONFIG }.into());
    }
    let mut bytes = Vec::new();
    let mut reader = from.open(config, 0, Check::Digest)?.ok_or(RegistryError::Missing(config.digest))?;
    let failed = |error| RegistryError::from_io(error, |error| RegistryError::File { path: place.clone(), error });
    // The digest is checked where the blob ends.
    reader.by_ref().take(MAX_CONFIG + 1).read_to_end(&mut bytes).map_err(failed)?;
    let cache = Cache::decode(manifest, &bytes)?;
    let mut by_key = HashMap::new();
    for (number, result) in cache.results.iter().enumerate() {
        by_key.extend(result.keys.iter().map(|key| (*key, number)));
    }
    Ok(Loaded { name: format!("the cache {place}").into(), at, mounts: source.mounts, cache, by_key })
}
