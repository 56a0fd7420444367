//! The graph that every front end lowers to: content-hashed steps and the edges between them.
//!
//! A [`Step`] is an [`Op`] on the outputs of other steps, for one platform. Equal steps are one node, so targets and
//! front ends share work by construction. What a step is *called* (its name, the line it came from) is kept beside it
//! and never enters its key ([`key`] has the table of what does).
//!
//! Pure: no files, no environment, no clock, no threads.

pub mod explain;
pub mod key;
pub mod limits;
mod op;

use std::collections::HashMap;
use std::ops::Range;

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

pub use key::DefinitionDigest;
pub use limits::Limits;
pub use op::*;

use crate::oci::Platform;

/// A step of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(NodeIndex);

impl StepId {
    /// A small number, dense from 0, in the order in which steps were added.
    pub fn index(self) -> usize {
        self.0.index()
    }
}

/// Where a step was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, as the user named it.
    pub file: String,
    /// The bytes of that file that make the step.
    pub span: Range<usize>,
    /// The first of its lines, counted from 1.
    pub line: u32,
}

/// What a step is called. Never part of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// The instruction as people know it, such as `RUN make test`.
    pub text: String,
    /// The stage it belongs to and its place in it, such as `build 3/7`; empty for what belongs to none.
    pub stage: String,
    /// Where it was written.
    pub origin: Option<Origin>,
}

/// The times that a step's files get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Times {
    /// The modification time, in seconds since 1970, of everything whose own time is an accident.
    pub epoch: i64,
    /// No time of a new file is later than this: set if the user set `SOURCE_DATE_EPOCH`.
    pub ceiling: Option<i64>,
}

impl Default for Times {
    /// 1980-01-01T00:00:00Z, the first moment that a zip can hold, and no ceiling.
    fn default() -> Self {
        Self { epoch: 315_532_800, ceiling: None }
    }
}

/// One node of the graph.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it does.
    pub op: Op,
    /// The platform it does it for.
    pub platform: Platform,
    /// What it is called.
    pub label: Label,
    /// The times of its files.
    pub times: Times,
    /// Whether a cached result must not be used.
    pub no_cache: bool,
    /// The digest of the definition alone: the op, the platform, and the same of its inputs.
    pub definition: DefinitionDigest,
}

/// Steps and their inputs. Acyclic by construction: a step can only name steps that are there already.
#[derive(Debug, Default)]
pub struct Graph {
    dag: DiGraph<Step, usize>,
    known: HashMap<(DefinitionDigest, Times, bool), StepId>,
    times: Times,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the times of all steps that are added from now on.
    pub fn set_times(&mut self, times: Times) {
        self.times = times;
    }

    /// Adds a step, or finds the one that does the same (whatever it is called).
    ///
    /// `inputs` are what the op's input numbers refer to.
    pub fn add(&mut self, op: Op, inputs: &[StepId], platform: Platform, label: Label, no_cache: bool) -> StepId {
        let definitions: Vec<DefinitionDigest> = inputs.iter().map(|id| self[*id].definition).collect();
        let definition = key::definition(&op, &platform, &definitions);
        let identity = (definition, self.times, no_cache);
        if let Some(id) = self.known.get(&identity) {
            return *id;
        }
        self.insert(identity, Step { op, platform, label, times: self.times, no_cache, definition }, inputs)
    }

    /// Adds a step of another graph, whose inputs are these here.
    pub fn adopt(&mut self, step: Step, inputs: &[StepId]) -> StepId {
        let identity = (step.definition, step.times, step.no_cache);
        if let Some(id) = self.known.get(&identity) {
            return *id;
        }
        self.insert(identity, step, inputs)
    }

    fn insert(&mut self, identity: (DefinitionDigest, Times, bool), step: Step, inputs: &[StepId]) -> StepId {
        let id = StepId(self.dag.add_node(step));
        for (place, input) in inputs.iter().enumerate() {
            self.dag.add_edge(input.0, id.0, place);
        }
        self.known.insert(identity, id);
        id
    }

    /// All steps with their inputs, inputs before what uses them.
    pub fn into_steps(self) -> impl Iterator<Item = (Step, Vec<StepId>)> {
        let (nodes, edges) = self.dag.into_nodes_edges();
        // A step's edges were added with it.
        let mut edges = edges.into_iter().peekable();
        nodes.into_iter().enumerate().map(move |(number, node)| {
            let own = std::iter::from_fn(|| edges.next_if(|edge| edge.target().index() == number));
            (node.weight, own.map(|edge| StepId(edge.source())).collect())
        })
    }

    /// The inputs of a step, in the order of its op's input numbers.
    pub fn inputs(&self, id: StepId) -> Vec<StepId> {
        let mut inputs: Vec<(usize, StepId)> = self
            .dag
            .edges_directed(id.0, petgraph::Direction::Incoming)
            .map(|edge| (*edge.weight(), StepId(edge.source())))
            .collect();
        inputs.sort_unstable();
        inputs.into_iter().map(|(_, id)| id).collect()
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.dag.node_count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All steps, inputs before what uses them.
    pub fn steps(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.dag.node_indices().map(|index| (StepId(index), &self.dag[index]))
    }

    /// The steps that `targets` need, themselves included, inputs before what uses them.
    pub fn needed(&self, targets: &[StepId]) -> Vec<StepId> {
        let mut wanted = vec![false; self.len()];
        let mut open: Vec<StepId> = targets.to_vec();
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut wanted[id.index()], true) {
                open.extend(self.inputs(id));
            }
        }
        self.dag.node_indices().filter(|index| wanted[index.index()]).map(StepId).collect()
    }
}

impl std::ops::Index<StepId> for Graph {
    type Output = Step;
    fn index(&self, id: StepId) -> &Step {
        &self.dag[id.0]
    }
}
