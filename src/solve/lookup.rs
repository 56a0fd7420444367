//! What is known of a step without running it: from the action cache, or from somebody elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use rayon::prelude::*;

use crate::digest::CacheKey;
use crate::event::{Event, Outcome};
use crate::graph::{Op, StepId};
use crate::solve::keys::DefinitionKeys;
use crate::solve::solver::Solver;
use crate::solve::{Solved, State, StepError, record};

/// With no more targets than this, threads would cost more than they bring.
const FEW_TARGETS: usize = 8;

impl Solver<'_, '_> {
    /// Whether there can be a record of what a step came to, and it counts.
    fn is_recorded(&self, id: StepId) -> bool {
        let step = &self.graph[id];
        let made = !matches!(step.op, Op::Scratch | Op::Local(_) | Op::Image(_) | Op::Merge | Op::Diff);
        made && !step.no_cache
    }

    /// Looks up targets side by side, if they are many: it is waiting for the kernel most of the time.
    pub(super) fn look_ahead(&self, keys: &DefinitionKeys, targets: &[StepId]) -> HashMap<StepId, Option<State>> {
        if targets.len() <= FEW_TARGETS {
            return HashMap::new();
        }
        let recorded = targets.par_iter().filter(|id| self.is_recorded(**id));
        recorded.map(|id| (*id, self.look_up(keys.key(*id), self.environment.unread.contains(id)))).collect()
    }

    /// Whether a step's result is at hand; if so it is noted.
    pub(super) fn known(
        &self,
        keys: &DefinitionKeys,
        id: StepId,
        solved: &mut Solved,
        outcomes: &mut HashMap<StepId, Outcome>,
    ) -> bool {
        let step = &self.graph[id];
        let state = match &step.op {
            Op::Scratch | Op::Local(_) => State::new(),
            Op::Image(image) => match self.environment.images.get(&image.layers) {
                Some(blobs) => self.environment.layers.add_image(blobs),
                None => return false,
            },
            _ if !self.is_recorded(id) => return false,
            _ => match self.recorded(keys, id) {
                Some(state) => {
                    self.environment.reporter.report(Event::Finished(id.index(), Outcome::Cached, Duration::ZERO));
                    outcomes.insert(id, Outcome::Cached);
                    state
                }
                None => return false,
            },
        };
        solved.states.insert(id, state);
        true
    }

    /// The recorded result of a step.
    fn recorded(&self, keys: &DefinitionKeys, id: StepId) -> Option<State> {
        match self.ahead.get(&id) {
            Some(found) => found.clone(),
            None => self.look_up(keys.key(id), self.environment.unread.contains(&id)),
        }
    }

    /// The recorded result of a key, if all of it is still there, or if nobody will look. What others have recorded counts
    /// as well, and from then on as if it were from here.
    pub(super) fn look_up(&self, key: CacheKey, unread: bool) -> Option<State> {
        let layers = &self.environment.layers;
        let whole = |state: &State| state.iter().all(|layer| layers.available(*layer));
        let own = layers.store().get_action(&key).and_then(|record| record::decode(&record));
        if let Some(state) = own.filter(|state| unread || whole(state)) {
            return Some(state);
        }
        let found = self.environment.elsewhere.find(&key)?;
        let state = Some(found.state).filter(whole)?;
        // A record that cannot be written only costs time.
        let _ = self.record(key, &state);
        Some(state)
    }

    pub(super) fn record(&self, key: CacheKey, state: &State) -> Result<(), StepError> {
        Ok(self.environment.layers.store().put_action(&key, &record::encode(state))?)
    }
}
