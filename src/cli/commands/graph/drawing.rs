//! What is drawn, whatever the format: nodes in stages, edges, and which of them are on the critical path.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::Serialize;

use crate::cli::explain::{VERSION, is_work, place, state, target};
use crate::cli::human;
use crate::cli::progress::clean;
use crate::cli::timeline::critical_path;
use crate::graph::explain::StepKind;
use crate::ops::account::{Account, StepState};

/// A graph to draw.
#[derive(Debug, Default)]
pub struct Drawing {
    /// Steps, inputs before what uses them.
    pub nodes: Vec<Node>,
    /// From a step to what uses it.
    pub edges: Vec<Edge>,
    /// The stages.
    pub stages: Vec<String>,
    /// How long the critical path took; none if no time is known.
    pub critical: Option<Duration>,
}

/// A step.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Its number in the plan.
    pub step: usize,
    /// The instruction.
    pub name: String,
    /// What state it is in: a word for programs.
    pub state: &'static str,
    /// The stage that it is in.
    pub stage: Option<usize>,
    /// How long it took last.
    pub time: Option<Duration>,
    /// Where it was written.
    pub place: Option<String>,
    /// Why it would run.
    pub reason: Option<String>,
    /// Whether it is on the critical path.
    pub critical: bool,
}

/// An edge between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The input.
    pub from: usize,
    /// What uses it.
    pub to: usize,
    /// Whether it is on the critical path.
    pub critical: bool,
}

impl Drawing {
    /// That of a plan, with the times that steps took.
    pub fn new(account: &mut Account, timings: &[Option<Duration>]) -> Self {
        let snapshot = account.snapshot.clone();
        let owners = snapshot.owners();
        let on_path = critical_path(&snapshot.steps.iter().map(|step| &step.inputs[..]).collect::<Vec<_>>(), timings);
        let mut drawing = Self::default();
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        let mut stages: BTreeMap<(usize, String), usize> = BTreeMap::new();
        for (step, facts) in snapshot.steps.iter().enumerate().filter(|(_, facts)| facts.kind != StepKind::Scratch) {
            let stage = facts.slot().zip(owners[step]).map(|((name, _), owner)| {
                let next = drawing.stages.len();
                *stages.entry((owner, name.to_owned())).or_insert_with(|| {
                    let parts = [target(&snapshot, owner), clean(name.as_bytes(), false)];
                    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                    drawing.stages.push(if parts.is_empty() { "image".to_owned() } else { parts.join(": ") });
                    next
                })
            });
            let missed = account.states[step].is_miss();
            let state = match is_work(facts) {
                true => state(&account.states[step]),
                false if missed && account.states[step] != StepState::Run => state(&account.states[step]),
                false => "source",
            };
            numbers.insert(step, drawing.nodes.len());
            let words = facts.title();
            let words: Vec<&str> = words.split_whitespace().filter(|word| *word != "\\").collect();
            drawing.nodes.push(Node {
                step,
                name: clean(words.join(" ").as_bytes(), false),
                state,
                stage,
                time: timings.get(step).copied().flatten(),
                place: place(facts),
                reason: missed.then(|| clean(account.in_short(step).as_bytes(), false)),
                critical: on_path.contains(&step),
            });
        }
        let mut edges = BTreeSet::new();
        for (step, facts) in snapshot.steps.iter().enumerate() {
            for input in &facts.inputs {
                if let (Some(from), Some(to)) = (numbers.get(&input.step), numbers.get(&step)) {
                    let critical = on_path.contains(&input.step) && on_path.contains(&step);
                    edges.insert(Edge { from: *from, to: *to, critical });
                }
            }
        }
        drawing.edges = edges.into_iter().collect();
        let total: Duration = on_path.iter().filter_map(|step| timings.get(*step).copied().flatten()).sum();
        drawing.critical = (!on_path.is_empty()).then_some(total);
        drawing
    }

    /// The same for programs.
    pub fn document(&self) -> impl Serialize {
        let node = |node: &Node| {
            serde_json::json!({
                "step": node.step,
                "name": node.name,
                "state": node.state,
                "stage": node.stage.map(|stage| &self.stages[stage]),
                "seconds": node.time.map(|time| time.as_secs_f64()),
                "origin": node.place,
                "reason": node.reason,
                "critical": node.critical,
            })
        };
        let edge = |edge: &Edge| {
            let (from, to) = (self.nodes[edge.from].step, self.nodes[edge.to].step);
            serde_json::json!({ "from": from, "to": to, "critical": edge.critical })
        };
        serde_json::json!({
            "version": VERSION,
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
            "edges": self.edges.iter().map(edge).collect::<Vec<_>>(),
            "critical_seconds": self.critical.map(|time| time.as_secs_f64()),
        })
    }
}

impl Node {
    /// The state and the time, for people.
    pub fn note(&self) -> String {
        let state = match self.state {
            "source" => "",
            "run" => "would run",
            "depends" => "may run",
            "unneeded" => "not needed",
            other => other,
        };
        let time = self.time.map(human::elapsed);
        let parts = [Some(state.to_owned()), time, self.place.clone()];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
    }
}
