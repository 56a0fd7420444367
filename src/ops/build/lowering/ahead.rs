//! Targets that are lowered side by side, before it is their turn.
//!
//! Lowering is pure but for what has to be looked up. So targets are lowered with what is known already, some on each
//! processor, into graphs of their own; what needs nothing else is taken over when its turn comes, in the order in which
//! it would have been made, and the rest is forgotten and lowered then. The result is the same either way.

use std::vec::IntoIter;

use rayon::prelude::*;

use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::{self, ContextSource, Need};
use crate::graph::{Graph, Step, StepId};
use crate::oci::Platform;
use crate::ops::Error;
use crate::ops::build::lowering::definition::{Definition, Outcome, Outside, Shared};
use crate::ops::build::lowering::{Known, Lowered};
use crate::ops::build::target::{NamedContext, Target};

/// With fewer targets than this it is not worth it.
const FEWEST: usize = 8;
/// How many targets are lowered on one processor before another may have the next ones.
const CHUNK: usize = 8;
/// How many are lowered at once at first, and at most. It doubles for as long as most of them can be used.
const WAVE: std::ops::Range<usize> = 16..256;

/// What was lowered ahead and not taken over yet.
pub(super) struct Ahead {
    /// How many targets the next wave has.
    wave: usize,
    chunks: IntoIter<Chunk>,
    current: Option<Chunk>,
    /// How many targets of this wave could be taken over.
    used: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { wave: WAVE.start, chunks: Vec::new().into_iter(), current: None, used: 0 }
    }
}

impl Ahead {
    /// Lowers a wave of targets from this one on, if there is none under way and the targets before left something known.
    pub(super) fn advance(&mut self, targets: &[Target], number: usize, shared: &Shared, known: &Known) {
        let done = self.current.as_ref().is_none_or(|chunk| chunk.outcomes.len() == 0) && self.chunks.len() == 0;
        if !done || number == 0 || targets.len() < FEWEST {
            return;
        }
        if self.current.is_some() {
            let grown = if self.used * 2 > self.wave { self.wave * 2 } else { self.wave / 2 };
            self.wave = grown.clamp(WAVE.start, WAVE.end);
        }
        let wave = &targets[number..targets.len().min(number + self.wave)];
        let chunks: Vec<Chunk> = wave.par_chunks(CHUNK).map(|targets| Chunk::of(targets, shared, known)).collect();
        (self.chunks, self.current, self.used) = (chunks.into_iter(), None, 0);
    }

    /// The next target with its steps in `graph`; none if it has to be lowered now.
    pub(super) fn take(&mut self, graph: &mut Graph) -> Option<Outcome> {
        if self.current.as_ref().is_none_or(|chunk| chunk.outcomes.len() == 0) {
            self.current = Some(self.chunks.next()?);
        }
        let outcome = self.current.as_mut()?.take(graph)?;
        self.used += 1;
        Some(outcome)
    }
}

/// A few targets, in a graph of their own.
struct Chunk {
    outcomes: IntoIter<Option<Outcome>>,
    /// The steps that were not taken over yet.
    steps: IntoIter<(Step, Vec<StepId>)>,
    /// What those that were are called in the graph of all targets.
    ids: Vec<StepId>,
}

impl Chunk {
    fn of(targets: &[Target], shared: &Shared, known: &Known) -> Self {
        let mut graph = Graph::new();
        let lower = |target: &Target| -> Option<Outcome> {
            let definition = Definition { target, shared };
            let (name, text) = definition.read().ok()??;
            // What is wrong is found again, and told, when its turn comes.
            definition.lower(name, text, known, &mut Nobody, &mut graph).ok()
        };
        let outcomes: Vec<_> = targets.iter().map(lower).collect();
        let steps: Vec<_> = graph.into_steps().collect();
        Self { outcomes: outcomes.into_iter(), steps: steps.into_iter(), ids: Vec::new() }
    }

    fn take(&mut self, graph: &mut Graph) -> Option<Outcome> {
        let mut outcome = self.outcomes.next()??;
        for build in &mut outcome.lowered.platforms {
            let missing = (build.step.index() + 1).saturating_sub(self.ids.len());
            for (step, inputs) in self.steps.by_ref().take(missing) {
                let inputs: Vec<StepId> = inputs.iter().map(|input| self.ids[input.index()]).collect();
                self.ids.push(graph.adopt(step, &inputs));
            }
            build.step = self.ids[build.step.index()];
        }
        Some(outcome)
    }
}

/// Whoever is asked by a target that is lowered ahead: it has to wait.
struct Nobody;

impl Nobody {
    fn error() -> Error {
        Error::build("a target that is lowered ahead asks for something that has to be looked up")
    }
}

impl Outside for Nobody {
    fn context(&mut self, _: &str, _: &NamedContext, _: Option<&Platform>) -> Result<ContextSource, Error> {
        Err(Self::error())
    }

    fn resolve(
        &mut self,
        _: &dockerfile::Dockerfile,
        _: &[Need],
        _: &mut dockerfile::Resolved,
        _: &mut Lowered,
    ) -> Result<Vec<Diagnostic>, Error> {
        Err(Self::error())
    }
}
