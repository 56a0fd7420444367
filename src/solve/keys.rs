//! The keys of steps that are about to be looked up: contexts are selected from and hashed, chains of keys followed.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use crate::digest::CacheKey;
use crate::fstree::select::{Match, SelectError, Selected, Source, select_hashed, selection_key};
use crate::fstree::{NodeKind, View};
use crate::graph::explain::{FileFact, FileKind, FileList, Keys};
use crate::graph::key::{InputKey, KeyHasher, Visitor, cache_key};
use crate::graph::{CopySource, FileAction, Graph, MountKind, Op, StepId};
use crate::store::layers::LayerId;

/// What the sources of one input came to: for each use of it, the matches, with the digests of their regular files.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// In the order of the uses.
    pub uses: Vec<Vec<Match>>,
    /// Computed when it is first asked for: it takes as long as the selection is large.
    key: OnceLock<CacheKey>,
}

impl Selection {
    /// Hashes everything that the step can see of this input.
    pub fn key(&self) -> CacheKey {
        *self.key.get_or_init(|| selection_key(self.uses.iter().map(Vec::as_slice)))
    }

    /// The files, to be compared with those of another build.
    pub fn list(&self) -> FileList {
        let files = self.uses.iter().flatten().flat_map(|found| &found.files);
        FileList::new(files.map(fact).collect())
    }
}

fn fact(file: &Selected) -> FileFact {
    let start = |bytes: &[u8]| bytes.first_chunk().map_or(0, |start| u64::from_le_bytes(*start));
    let hashed = |bytes: &[u8]| start(blake3::hash(bytes).as_bytes());
    let meta = &file.node.meta;
    let (kind, content) = match &file.node.kind {
        NodeKind::File(_) => (FileKind::File, file.node.content.map_or(0, |content| start(content.as_bytes()))),
        NodeKind::Dir => (FileKind::Folder, 0),
        NodeKind::Symlink(target) => (FileKind::Symlink, hashed(target)),
        NodeKind::Char(major, minor) => (FileKind::Special, hashed(format!("char {major} {minor}").as_bytes())),
        NodeKind::Block(major, minor) => (FileKind::Special, hashed(format!("block {major} {minor}").as_bytes())),
        NodeKind::Fifo => (FileKind::Special, 1),
        NodeKind::Socket => (FileKind::Special, 2),
    };
    let xattrs = meta.xattrs.iter().flat_map(|(name, value)| [name.as_slice(), &[0], value, &[0]]);
    let xattrs: Vec<u8> = xattrs.flatten().copied().collect();
    FileFact {
        path: file.from.as_bytes().to_vec(),
        kind,
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        mtime: meta.mtime,
        content,
        xattrs: if xattrs.is_empty() { 0 } else { hashed(&xattrs) },
    }
}

/// The selections of a step's inputs, by input number.
pub type Selections = BTreeMap<usize, Arc<Selection>>;

/// The sources that an op reads of one of its inputs only in part, in order; none if it uses the whole of it.
pub fn partial_uses(op: &Op, input: usize) -> Option<Vec<Source<'_>>> {
    let mut uses = Vec::new();
    match op {
        Op::File(file) => {
            if input == 0 {
                return None;
            }
            for action in &file.actions {
                let FileAction::Copy(copy) = action else { continue };
                for source in &copy.sources {
                    match source {
                        CopySource::Path { input: of, path, wildcard } if *of == input => uses.push(Source {
                            path,
                            wildcard: *wildcard,
                            parents: copy.parents,
                            exclude: &copy.exclude,
                        }),
                        _ => {}
                    }
                }
            }
        }
        Op::Exec(exec) => {
            if input == 0 {
                return None;
            }
            for mount in &exec.mounts {
                let path = match &mount.kind {
                    MountKind::Bind { input: of, source, .. } if *of == input => source,
                    MountKind::Cache { seed: Some((of, source)), .. } if *of == input => source,
                    _ => continue,
                };
                uses.push(Source { path, wildcard: false, parents: false, exclude: &[] });
            }
        }
        _ => return None,
    }
    Some(uses)
}

/// Selects and hashes what a step uses of one input.
pub fn select_uses(view: &dyn View, uses: &[Source<'_>]) -> Result<Selection, SelectError> {
    let mut selection = Selection::default();
    for source in uses {
        selection.uses.push(select_hashed(view, *source)?);
    }
    Ok(selection)
}

/// What a stack of layers is, for the key of a step on top of it.
pub fn state_key(layers: &[LayerId]) -> CacheKey {
    let mut hasher = KeyHasher::new("state");
    hasher.list("layers", layers.len());
    for layer in layers {
        hasher.value("layer", layer.to_string().as_bytes());
    }
    hasher.finish()
}

/// So many selections are made one after another.
const FEW_USES: usize = 8;

/// The definition keys of steps, and what was selected from contexts on the way.
#[derive(Debug)]
pub struct DefinitionKeys {
    keys: Vec<Option<CacheKey>>,
    selections: Vec<Selections>,
}

/// A step whose key cannot be computed, as a file that it copies is missing.
#[derive(Debug)]
pub struct KeyError {
    /// Which step.
    pub step: StepId,
    /// Which of its inputs.
    pub input: usize,
    /// Why.
    pub error: SelectError,
}

impl DefinitionKeys {
    /// Computes the keys of `steps`, which come in the order of the graph. `context` gives the view of a local input.
    pub fn compute<'v>(
        graph: &Graph,
        steps: &[StepId],
        context: impl Fn(StepId) -> Option<&'v dyn View> + Sync,
    ) -> Result<Self, KeyError> {
        let uses: Vec<(StepId, usize, &dyn View, Vec<Source<'_>>)> = steps
            .iter()
            .flat_map(|id| {
                let inputs = graph.inputs(*id);
                let context = &context;
                inputs.into_iter().enumerate().filter_map(move |(number, input)| {
                    let view = context(input)?;
                    let whole = Source { path: "/", wildcard: false, parents: false, exclude: &[] };
                    let uses = partial_uses(&graph[*id].op, number).unwrap_or_else(|| vec![whole]);
                    Some((*id, number, view, uses))
                })
            })
            .collect();
        // Walking a context is waiting for the kernel most of the time, so all of it goes side by side. Within a large folder it
        // does so anyway, and for a few small things threads are not worth waking.
        let one = |(id, number, view, uses): &(StepId, usize, &dyn View, Vec<Source<'_>>)| {
            let selection = select_uses(*view, uses).map_err(|error| KeyError { step: *id, input: *number, error })?;
            Ok((*id, *number, Arc::new(selection)))
        };
        let selected: Vec<(StepId, usize, Arc<Selection>)> = if uses.len() <= FEW_USES {
            uses.iter().map(one).collect::<Result<_, _>>()?
        } else {
            uses.par_iter().map(one).collect::<Result<_, _>>()?
        };
        let mut selections = vec![Selections::new(); graph.len()];
        for (id, number, selection) in selected {
            selections[id.index()].insert(number, selection);
        }
        let mut keys: Vec<Option<CacheKey>> = vec![None; graph.len()];
        for id in steps {
            let inputs: Vec<InputKey> = graph
                .inputs(*id)
                .iter()
                .enumerate()
                .map(|(number, input)| match (selections[id.index()].get(&number), keys[input.index()]) {
                    (Some(selection), _) => InputKey::Files(selection.key()),
                    (None, Some(key)) => InputKey::Step(key),
                    (None, None) => InputKey::Step(graph[*input].definition),
                })
                .collect();
            keys[id.index()] = Some(cache_key(&graph[*id], &inputs));
        }
        Ok(Self { keys, selections })
    }

    /// The definition key of a step.
    pub fn key(&self, id: StepId) -> CacheKey {
        self.keys[id.index()].unwrap_or_else(|| CacheKey::from_bytes([0; 32]))
    }

    /// What a step uses of its local inputs.
    pub fn selections(&self, id: StepId) -> &Selections {
        &self.selections[id.index()]
    }
}

impl Keys for DefinitionKeys {
    fn key(&self, step: StepId) -> CacheKey {
        Self::key(self, step)
    }

    fn files(&self, step: StepId, input: usize) -> Option<CacheKey> {
        self.selections(step).get(&input).map(|selection| selection.key())
    }
}
