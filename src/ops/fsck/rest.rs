//! What is in a store beside images and the cache: containers, states of failed steps, cache mounts, what is known of
//! contexts, records of builds.
//!
//! Most of it can be removed, since it is made again or missed by nobody. What a container has changed exists nowhere else,
//! so it is set aside instead.

use std::collections::BTreeSet;

use super::{Checked, Finding, Look, MAX_NESTING, Subject};
use crate::oci::{Descriptor, media};
use crate::ops::record;
use crate::source::statcache::StatCache;
use crate::store::containers::Container;
use crate::store::layers::{LayerId, layer_is_recorded};
use crate::store::{Flaw, Store, StoreError, target_of};

/// Looks at all of it. `bad` are layers that are unpacked and not whole.
pub(super) fn check(look: &mut Look<'_>, bad: &BTreeSet<LayerId>, checked: &mut Checked) -> Result<(), StoreError> {
    let store = look.store;
    for (folder, found) in store.found_containers()? {
        checked.containers += 1;
        let flaw = match found {
            Err(reason) => Some(Flaw::Unreadable(reason)),
            Ok(container) => lacking(look, &container),
        };
        checked.findings.extend(flaw.map(|flaw| Finding { subject: Subject::Container(folder), flaw }));
    }
    for kept in store.scenes()? {
        checked.scenes += 1;
        let missing = kept.scene.all_layers().find(|layer| bad.contains(layer) || !is_there(store, *layer));
        let flaw = missing.map(|layer| Flaw::Lacks(format!("the layer {layer}")));
        checked.findings.extend(flaw.map(|flaw| Finding { subject: Subject::Scene(kept.folder), flaw }));
    }
    checked.mounts = store.stored_mounts()?.len();
    for path in store.odd_mounts()? {
        checked.findings.push(Finding { subject: Subject::Mount(path), flaw: Flaw::NotThat("a cache mount") });
    }
    for context in store.stored_contexts()? {
        if context.what.file_name().and_then(target_of).is_some() {
            continue;
        }
        checked.contexts += 1;
        if !StatCache::is_whole(&context.what) {
            checked.findings.push(Finding { subject: Subject::Context(context.what), flaw: Flaw::Content });
        }
    }
    builds(store, checked);
    Ok(())
}

/// What a container needs and cannot have.
fn lacking(look: &mut Look<'_>, container: &Container) -> Option<Flaw> {
    let manifest = container.record.manifest;
    let size = look.store.size(&manifest).ok().flatten();
    let flaw = match size {
        None => Some(Flaw::Missing),
        Some(size) => look.image(&Descriptor::new(media::MANIFEST, manifest, size), MAX_NESTING),
    }?;
    // What is unpacked needs no blob.
    let unpacked = |layer: &LayerId| look.store.snapshots_dir().join(layer.to_string()).join("fs").exists();
    let layer = container.record.layers.iter().find(|layer| !unpacked(layer));
    layer.map(|_| Flaw::Needs { digest: manifest, flaw: Box::new(flaw) })
}

/// Whether a layer is unpacked, or there is a blob to unpack.
fn is_there(store: &Store, layer: LayerId) -> bool {
    store.snapshots_dir().join(layer.to_string()).join("fs").exists() || layer_is_recorded(store, layer)
}

fn builds(store: &Store, checked: &mut Checked) {
    let flaws = record::flaws(store);
    checked.builds = flaws.records;
    let unreadable = |subject| Finding { subject, flaw: Flaw::Unreadable("it is damaged".into()) };
    checked.findings.extend(flaws.unreadable.into_iter().map(|name| unreadable(Subject::Build(name))));
    checked.findings.extend(flaws.lacking.into_iter().map(|(name, object)| Finding {
        subject: Subject::Build(name),
        flaw: Flaw::Lacks(format!("the graph {}", object.hex())),
    }));
    checked.findings.extend(flaws.objects.into_iter().map(|object| unreadable(Subject::BuildObject(object))));
}
