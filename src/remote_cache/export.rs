//! Caches that are written: what was reached becomes blobs, and those go where they are not yet.

use std::collections::{BTreeMap, BTreeSet};

use super::fetch::{Anywhere, Spots};
use super::format::{ARTIFACT, Cache, CachedLayer, CachedResult, TOC};
use super::place::{Mode, Place};
use crate::compress::{self, Compression};
use crate::digest::CacheKey;
use crate::event::Reporter;
use crate::export::{ExportError, blobs_of};
use crate::fstree::tar;
use crate::graph::Sharing;
use crate::oci::{Descriptor, media};
use crate::registry::actions::ActionsEnd;
use crate::registry::s3::BucketEnd;
use crate::registry::transfer::{self, Layout, Options, Plan, Platforms, StoreEnd, TagEnd};
use crate::registry::{Registries, Repository};
use crate::solve::{Reached, State};
use crate::store::cache_mount;
use crate::store::layers::{Claim, LayerId, Layers};

/// What goes into a cache.
pub struct Export<'a> {
    /// The steps whose results are known.
    pub reached: &'a [Reached],
    /// The layers of the results.
    pub results: &'a [State],
    /// How much of that.
    pub mode: Mode,
    /// How layers are compressed that are no blobs yet.
    pub compression: Compression,
    /// The cache mounts that go along, by id: those of the store, else what others have of them.
    pub mounts: &'a BTreeMap<String, Option<Descriptor>>,
}

/// Writes caches.
pub struct Writer<'a> {
    /// Where layers are.
    pub layers: &'a Layers,
    /// Where those are that came from elsewhere than registries.
    pub spots: &'a Spots,
    /// What sends them.
    pub registries: &'a Registries,
    /// Who is told.
    pub reporter: &'a dyn Reporter,
}

impl Writer<'_> {
    /// Writes a cache to a place, instead of the one that is there. What is there of it already is not sent again.
    pub fn write(&self, export: &Export<'_>, place: &Place) -> Result<(), ExportError> {
        if let Place::Actions(service) = place {
            // Machines that are no runners need not compress anything to know it.
            ActionsEnd::new(self.registries, service).check()?;
        }
        let store = self.layers.store();
        let (manifest, config) = gather(export, self.layers)?.encode(None);
        let json = manifest.to_json();
        store.put(&config)?;
        store.put(&json)?;
        let root = Descriptor::of(media::MANIFEST, &json);
        let source = self.source();
        let plan = Plan::new(&source, &root, &Platforms::All)?;
        match place {
            Place::Registry(reference) => {
                let target = TagEnd {
                    repository: self.registries.repository(reference),
                    root: root.digest,
                    tag: reference.tag().map(str::to_owned),
                    notes: Some(store),
                };
                transfer::run(&source, &target, &plan, self.options())?;
            }
            Place::Folder { path, name } => {
                let layout = Layout::new(path);
                transfer::run(&source, &layout, &plan, self.options())?;
                layout.list(&root, Some(name), None)?;
            }
            Place::Bucket { bucket, name } => {
                let end = BucketEnd::new(self.registries, bucket);
                end.check(name)?;
                let blobs: Vec<Descriptor> = manifest.layers.iter().chain([&manifest.config]).cloned().collect();
                transfer::bring(&source, &end, &blobs, self.options())?;
                end.put_manifest(name, &json)?;
            }
            Place::Actions(service) => {
                let end = ActionsEnd::new(self.registries, service);
                let blobs: Vec<Descriptor> = manifest.layers.iter().chain([&manifest.config]).cloned().collect();
                transfer::bring(&source, &end, &blobs, self.options())?;
                end.put_manifest(&json)?;
            }
        }
        Ok(())
    }

    /// Adds a cache to an image that is in a repository: the image stays as it is, and its digest leads to the cache.
    pub fn refer(
        &self,
        export: &Export<'_>,
        image: &Descriptor,
        repository: &Repository<'_>,
    ) -> Result<(), ExportError> {
        let store = self.layers.store();
        let subject = Descriptor::new(&image.media_type, image.digest, image.size);
        let (manifest, config) = gather(export, self.layers)?.encode(Some(subject));
        store.put(&config)?;
        let json = manifest.to_json();
        let own = Descriptor { artifact_type: Some(ARTIFACT.into()), ..Descriptor::of(media::MANIFEST, &json) };
        let target = TagEnd { repository: repository.clone(), root: own.digest, tag: None, notes: Some(store) };
        let blobs: Vec<Descriptor> = manifest.layers.iter().chain([&manifest.config]).cloned().collect();
        transfer::bring(&self.source(), &target, &blobs, self.options())?;
        Ok(repository.put_referrer(&image.digest, own, &json)?)
    }

    fn source(&self) -> Anywhere<'_> {
        let store = StoreEnd { store: self.layers.store(), registries: Some(self.registries) };
        Anywhere::new(store, self.registries, self.spots)
    }

    fn options(&self) -> Options<'_> {
        Options { verb: "caching", jobs: self.registries.transfers(), reporter: self.reporter }
    }
}

/// Makes the blobs of what is wanted, and lists what leads to them.
fn gather(export: &Export<'_>, layers: &Layers) -> Result<Cache, ExportError> {
    let of_results: BTreeSet<LayerId> = export.results.iter().flatten().copied().collect();
    let is_wanted = |state: &State| export.mode == Mode::Max || state.iter().all(|id| of_results.contains(id));
    let mut by_state: BTreeMap<&State, BTreeSet<CacheKey>> = BTreeMap::new();
    for reached in export.reached.iter().filter(|reached| is_wanted(&reached.state)) {
        by_state.entry(&reached.state).or_default().extend(reached.keys.iter().copied());
    }
    let ids: BTreeSet<LayerId> = by_state.keys().flat_map(|state| state.iter().copied()).collect();
    let mut portable = BTreeSet::new();
    for id in ids {
        if is_portable(layers, id)? {
            portable.insert(id);
        }
    }
    by_state.retain(|state, _| state.iter().all(|id| portable.contains(id)));
    let kept: BTreeSet<LayerId> = by_state.keys().flat_map(|state| state.iter().copied()).collect();
    let made: Vec<LayerId> = kept.into_iter().filter(|id| matches!(id, LayerId::Made(_))).collect();
    let mut cache = Cache::default();
    let own: Vec<LayerId> = made.iter().filter(|id| layers.claim_of(**id).is_none()).copied().collect();
    let blobs = blobs_of(layers, &own, export.compression)?;
    for (id, blob) in own.iter().zip(blobs) {
        let LayerId::Made(tree) = id else { continue };
        let packed = Layers::pack_toc(&*layers.toc(*id)?).map_err(tar::WriteError::Out)?;
        layers.store().put(&packed)?;
        let toc = Some(Descriptor::of(TOC, &packed));
        cache.layers.insert(*tree, CachedLayer { blob, profile: Claim::profile_of(export.compression), toc });
    }
    for id in &made {
        let (LayerId::Made(tree), Some(claim)) = (id, layers.claim_of(*id)) else { continue };
        let Claim { blob, profile, toc, .. } = (*claim).clone();
        cache.layers.entry(*tree).or_insert(CachedLayer { blob, profile, toc });
    }
    cache.mounts = gather_mounts(export, layers)?;
    cache.results = by_state.into_iter().map(|(state, keys)| CachedResult { keys, state: state.clone() }).collect();
    Ok(cache)
}

/// Makes blobs of cache mounts.
fn gather_mounts(export: &Export<'_>, layers: &Layers) -> Result<BTreeMap<String, Descriptor>, ExportError> {
    let (store, stop) = (layers.store(), layers.stop());
    let mut mounts = BTreeMap::new();
    for (id, elsewhere) in export.mounts {
        let mount = cache_mount::acquire(store, id, Sharing::Shared, &|| stop.check().is_err())?;
        let descriptor = match mount.filter(|mount| !mount.fresh) {
            Some(mount) => {
                let out = compress::writer(store.writer()?, Compression::ZSTD).map_err(tar::WriteError::Out)?;
                let written = mount.write_tar(stop.watch(out))?.into_inner();
                let blob = written.finish().map_err(tar::WriteError::Out)?.commit(None)?;
                Some(Descriptor::new(media::LAYER_ZSTD, blob.digest, blob.size))
            }
            None => elsewhere.clone(),
        };
        mounts.extend(descriptor.map(|descriptor| (id.clone(), descriptor)));
    }
    Ok(mounts)
}

/// Whether a tar holds all of a layer. Another machine could not make the same of what a tar leaves out.
fn is_portable(layers: &Layers, id: LayerId) -> Result<bool, ExportError> {
    if matches!(id, LayerId::Image(_)) || layers.claim_of(id).is_some() {
        return Ok(true);
    }
    Ok(layers.toc(id)?.entries().iter().all(tar::holds_all_of))
}
