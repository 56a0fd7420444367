//! What of a survey is to be seen with some layer on top.

use super::{Action, NodeId, Survey, What};

/// What is shown of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What it added, changed and removed.
    Layer,
    /// All that is seen up to it, and what it removed.
    All,
}

/// How a node stands to the layer on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mark {
    /// It is not there.
    #[default]
    Absent,
    /// It is as the layers below have it.
    Unchanged,
    /// The layer did this to it.
    Did(Action),
    /// The layer did something to what is in it.
    Inside,
}

/// A node in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// How it stands to the layer.
    pub mark: Mark,
    /// What it is; what it was, if it was removed.
    pub what: Option<What>,
    /// Its bytes, or those of all that is shown in it. What was removed counts as what it was, but not for the folder that
    /// stays.
    pub size: u64,
}

/// All nodes in figures.
#[derive(Debug, PartialEq, Eq)]
pub struct Projection(Vec<Shown>);

impl Projection {
    pub(super) fn new(survey: &Survey, layer: usize, scope: Scope) -> Self {
        let mut shown: Vec<Shown> = (0..survey.node_count()).map(|node| one(survey, node, layer, scope)).collect();
        // A folder has a lower number than what is in it.
        for node in (1..shown.len()).rev() {
            let below = shown[node];
            if below.mark == Mark::Absent {
                continue;
            }
            let Some(parent) = survey.parent(node) else { continue };
            let above = &mut shown[parent];
            if below.mark != Mark::Did(Action::Removed) || above.mark == Mark::Did(Action::Removed) {
                above.size += below.size;
            }
            if below.mark != Mark::Unchanged && matches!(above.mark, Mark::Absent | Mark::Unchanged) {
                above.mark = Mark::Inside;
                above.what = Some(What::Folder);
            }
        }
        Self(shown)
    }

    /// A node in figures.
    pub fn get(&self, node: NodeId) -> Shown {
        self.0.get(node).copied().unwrap_or_default()
    }

    /// Whether a node is to be seen.
    pub fn has(&self, node: NodeId) -> bool {
        self.get(node).mark != Mark::Absent
    }
}

fn one(survey: &Survey, node: NodeId, layer: usize, scope: Scope) -> Shown {
    let last = survey.history(node).iter().rev().find(|happened| happened.layer <= layer);
    let mark = match last {
        Some(last) if last.layer == layer => Mark::Did(last.action),
        Some(last) if scope == Scope::All && last.action != Action::Removed => Mark::Unchanged,
        None if scope == Scope::All && node == 0 => Mark::Unchanged,
        _ => return Shown::default(),
    };
    let what = last.map_or(What::Folder, |last| last.what);
    let size = if let What::File(size) = what { size } else { 0 };
    Shown { mark, what: Some(what), size }
}
