//! The build contexts of a graph, opened once each.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use crate::fstree::View;
use crate::fstree::pattern::Matcher;
use crate::graph::{Graph, LocalOp, Op, Step, StepId, Times};
use crate::solve::{Environment, SolveError, StepError};
use crate::source::{LocalContext, StatCache};

/// With no more contexts than this, threads would cost more than they bring. A monorepo has hundreds.
const FEW: usize = 8;

/// Contexts, by the steps that they are.
pub(super) struct Contexts {
    by_step: HashMap<StepId, Arc<LocalContext>>,
}

/// What is one context, though several steps may be it.
#[derive(PartialEq, Eq, Hash)]
struct Key<'a> {
    op: &'a LocalOp,
    times: Times,
}

impl<'a> Key<'a> {
    fn of(step: &'a Step) -> Option<Self> {
        match &step.op {
            Op::Local(op) => Some(Self { op, times: step.times }),
            _ => None,
        }
    }
}

impl Contexts {
    /// Opens the contexts among `needed`.
    pub(super) fn open(graph: &Graph, needed: &[StepId], environment: &Environment<'_>) -> Result<Self, SolveError> {
        let (mut keys, mut places, mut steps) = (Vec::new(), HashMap::new(), Vec::new());
        for id in needed {
            let Some(key) = Key::of(&graph[*id]) else { continue };
            let place = *places.entry(key).or_insert_with_key(|key| {
                keys.push((key.op, key.times, *id));
                keys.len() - 1
            });
            steps.push((*id, place));
        }
        let open = |(op, times, id): (&LocalOp, Times, StepId)| open(environment, op, times, id);
        let opened: Vec<Arc<LocalContext>> = match keys.len() {
            0..=FEW => keys.into_iter().map(open).collect::<Result<_, _>>()?,
            // Of several errors, the first is told.
            _ => keys.into_par_iter().map(open).collect::<Vec<_>>().into_iter().collect::<Result<_, _>>()?,
        };
        let by_step = steps.into_iter().map(|(id, place)| (id, opened[place].clone())).collect();
        Ok(Self { by_step })
    }

    /// The context that a step is, if it is one.
    pub(super) fn get(&self, id: StepId) -> Option<&Arc<LocalContext>> {
        self.by_step.get(&id)
    }

    /// The same, to look at.
    pub(super) fn view(&self, id: StepId) -> Option<&dyn View> {
        Some(self.get(id)?.as_ref())
    }

    /// Keeps what was found out about their files.
    pub(super) fn save(&self) {
        for context in self.by_step.values() {
            // A cache that cannot be written only costs time.
            let _ = context.save_cache();
        }
    }
}

fn open(
    environment: &Environment<'_>,
    LocalOp { name, ignore }: &LocalOp,
    times: Times,
    id: StepId,
) -> Result<Arc<LocalContext>, SolveError> {
    let layers = &environment.layers;
    let failed = |error: String| SolveError { step: Some(id), error: StepError::Other(error) };
    let path = environment
        .contexts
        .get(name)
        .ok_or_else(|| failed(format!("there is no build context named {name:?}: add --build-context {name}=PATH")))?;
    let matcher = Matcher::new(ignore).map_err(|error| failed(error.to_string()))?;
    let cache = StatCache::open(&layers.store().stat_cache(path));
    let context = LocalContext::open(path, matcher, times.epoch, cache, layers.stop().clone())
        .map_err(|error| failed(format!("the build context {} cannot be read: {error}", path.display())))?;
    Ok(Arc::new(context))
}
