//! Why a step has to run: its facts and those of its inputs, compared with what is recorded of an earlier build.
//!
//! A miss is a value with reasons, not an error. [`Facts`] are what the writer of a key sees, by the same traversal. A
//! [`Snapshot`] is a whole graph as it was or is about to be built; [`Explainer`] finds for each step the one that it was
//! ([`align`]), says what is different ([`diff`], [`files`]), and follows what changed to the step where it began.
//!
//! Pure, like all of the graph: who calls brings the recorded builds and the lists of files.

mod align;
mod diff;
mod facts;
pub mod files;
mod reason;
mod snapshot;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::digest::CacheKey;

pub use facts::{Fact, Facts};
pub use files::{Difference, FileChange, FileFact, FileKind, FileList};
pub use reason::{Change, Reason};
pub use snapshot::{Input, Keys, Root, Snapshot, StepFacts, StepKind};

/// An earlier build.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// What it consisted of.
    pub snapshot: Snapshot,
    /// Steps that did not come to their end.
    pub unfinished: BTreeSet<usize>,
}

/// Gives the files behind the key of a selection, if they are known.
pub type Lists = Box<dyn Fn(&CacheKey) -> Option<FileList> + Send>;

/// An earlier build by its number, and which steps of the new one are which there.
type Aligned = (usize, HashMap<usize, usize>);

/// Explains the steps of a build by earlier ones.
pub struct Explainer {
    new: Arc<Snapshot>,
    past: Arc<[Past]>,
    lists: Lists,
    owners: Vec<Option<usize>>,
    /// For each root, which earlier build has it, and which of its steps are which there.
    aligned: HashMap<usize, Option<Aligned>>,
    /// Sources that are compared although they are in no stage: the earlier build, and the step there.
    paired: HashMap<usize, (usize, usize)>,
    told: HashMap<usize, Vec<Reason>>,
}

impl Explainer {
    /// Explains `new` by `past`, the latest build first.
    pub fn new(new: Arc<Snapshot>, past: Vec<Past>, lists: Lists) -> Self {
        Self {
            owners: new.owners(),
            new,
            past: past.into(),
            lists,
            aligned: HashMap::new(),
            paired: HashMap::new(),
            told: HashMap::new(),
        }
    }

    /// Why a step cannot be taken from the cache. Never empty.
    pub fn reasons(&mut self, step: usize) -> Vec<Reason> {
        if let Some(told) = self.told.get(&step) {
            return told.clone();
        }
        let reasons = self.find(step);
        self.told.insert(step, reasons.clone());
        reasons
    }

    /// The steps from this one to where the cause is: each is an input of the one before it.
    pub fn chain(&mut self, step: usize) -> Vec<usize> {
        let mut chain = vec![step];
        let mut at = step;
        loop {
            let reasons = self.reasons(at);
            if reasons.iter().any(|reason| reason.input().is_none()) {
                return chain;
            }
            match reasons.iter().find_map(Reason::input) {
                // Inputs come before what uses them, so this ends.
                Some(next) if next < at => at = next,
                _ => return chain,
            }
            chain.push(at);
        }
    }

    /// Why a step has to run, in one line: its own reasons, or those of the step where the cause is.
    pub fn in_short(&mut self, step: usize) -> String {
        let chain = self.chain(step);
        let cause = chain.last().copied().unwrap_or(step);
        let reasons = self.reasons(cause);
        let own: Vec<&Reason> = reasons.iter().filter(|reason| reason.input().is_none()).collect();
        let first = own.first().or(reasons.first().as_ref()).map(ToString::to_string).unwrap_or_default();
        let more = match own.len() {
            0 | 1 => String::new(),
            several => format!(" (and {} more)", several - 1),
        };
        // A source says in its reason what it is.
        let names_itself = cause == step || self.new.steps.get(cause).is_none_or(|facts| facts.kind.is_source());
        match names_itself {
            true => format!("{first}{more}"),
            false => format!("{first}{more}, for {}", self.new.steps[cause].title()),
        }
    }

    fn find(&mut self, step: usize) -> Vec<Reason> {
        let Some(facts) = self.new.steps.get(step) else { return vec![Reason::FirstTime] };
        if facts.no_cache {
            return vec![Reason::NoCache];
        }
        let Some((past, earlier)) = self.earlier(step) else {
            let known = self.owners[step].is_some_and(|root| self.root(root).is_some());
            return vec![if known { Reason::Inserted } else { Reason::FirstTime }];
        };
        let reasons = self.compare(step, past, earlier);
        if !reasons.is_empty() {
            return reasons;
        }
        let past = &self.past[past];
        vec![match past.snapshot.key_version {
            version if version != self.new.key_version => Reason::KeyFormat(version, self.new.key_version),
            _ if past.unfinished.contains(&earlier) => Reason::Unfinished,
            _ => Reason::Pruned,
        }]
    }

    /// Which step of which earlier build this one was.
    fn earlier(&mut self, step: usize) -> Option<(usize, usize)> {
        let root = self.owners[step]?;
        let aligned = self.root(root).and_then(|(past, pairs)| Some((*past, *pairs.get(&step)?)));
        aligned.or_else(|| self.paired.get(&step).copied())
    }

    /// The latest build that has a root's target, and how its steps are paired.
    fn root(&mut self, root: usize) -> Option<&(usize, HashMap<usize, usize>)> {
        if !self.aligned.contains_key(&root) {
            let found = self.align(root);
            self.aligned.insert(root, found);
        }
        self.aligned.get(&root)?.as_ref()
    }

    fn align(&self, root: usize) -> Option<(usize, HashMap<usize, usize>)> {
        let wanted = &self.new.roots[root];
        let of_target = |(number, past): (usize, &Past)| {
            let roots = || past.snapshot.roots.iter().filter(|other| other.target == wanted.target);
            let root = roots().find(|other| other.platform == wanted.platform).or_else(|| roots().next());
            root.map(|root| (number, root.step))
        };
        let (number, earlier) = self.past.iter().enumerate().find_map(of_target)?;
        let snapshot = &self.past[number].snapshot;
        // Of what several targets share, each step is told of once: with the first of them.
        let own: Vec<usize> = (0..self.new.steps.len()).filter(|step| self.owners[*step] == Some(root)).collect();
        Some((number, align::align(&self.new, &own, snapshot, &snapshot.closure(earlier))))
    }

    fn compare(&mut self, step: usize, past: usize, earlier: usize) -> Vec<Reason> {
        let (new, all) = (self.new.clone(), self.past.clone());
        let snapshot = &all[past].snapshot;
        let (facts, old) = (&new.steps[step], &snapshot.steps[earlier]);
        let mut reasons = diff::diff(old, facts);
        let mut inputs = Vec::new();
        for (number, input) in facts.inputs.iter().enumerate() {
            let Some(before) = old.inputs.get(number) else {
                // Which sources there are is told already.
                continue;
            };
            if let (Some(files), Some(other)) = (input.files, before.files) {
                if files != other {
                    let (source, old_source) = (&new.steps[input.step], &snapshot.steps[before.step]);
                    reasons.extend(diff::ignore(old_source, source));
                    let epoch = reasons.iter().any(|reason| matches!(reason, Reason::Epoch(_)));
                    reasons.extend(self.files(source.title(), &files, &other, epoch));
                }
                continue;
            }
            inputs.extend(self.input(input.step, past, before.step));
        }
        reasons.extend(inputs);
        reasons
    }

    /// Which files changed. If the epoch did, that all of them have another time is no news.
    fn files(&self, of: String, new: &CacheKey, old: &CacheKey, epoch: bool) -> Option<Reason> {
        let (mut changes, more) = match ((self.lists)(new), (self.lists)(old)) {
            (Some(new), Some(old)) => new.since(&old),
            _ => (Vec::new(), 0),
        };
        if epoch {
            changes.retain(|change| change.what != Difference::Time);
            if changes.is_empty() {
                return None;
            }
        }
        Some(Reason::Files { of, changes, more })
    }

    /// What is different about an input that counts as a whole.
    fn input(&mut self, step: usize, past: usize, earlier: usize) -> Option<Reason> {
        let (new, all) = (self.new.clone(), self.past.clone());
        let (facts, old) = (new.steps.get(step)?, all[past].snapshot.steps.get(earlier)?);
        if facts.key == old.key {
            return None;
        }
        match self.earlier(step) {
            // It stands elsewhere now, because what stood here is gone.
            Some((same, other)) if same == past && other != earlier && !self.survives(past, earlier) => {
                Some(Reason::Removed(old.title()))
            }
            Some(_) => Some(Reason::Input(step)),
            None => {
                if facts.kind.is_source() && old.kind.is_source() {
                    self.paired.insert(step, (past, earlier));
                }
                Some(Reason::Input(step))
            }
        }
    }

    /// Whether an earlier step is one of the present ones.
    fn survives(&self, past: usize, earlier: usize) -> bool {
        let paired =
            self.aligned.values().flatten().any(|(of, pairs)| *of == past && pairs.values().any(|old| *old == earlier));
        paired || self.new.steps.iter().any(|step| step.key == self.past[past].snapshot.steps[earlier].key)
    }
}

#[cfg(test)]
mod tests;
