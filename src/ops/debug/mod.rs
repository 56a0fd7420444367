//! Looking around in a build: a process in the state that a step failed in, or that any place of a definition has.
//!
//! What a failed step left is kept by [`keep`]; [`Standing`] says where somebody wants to be, [`enter`] makes what a sandbox
//! needs for a process there. Whatever that process changes is in a folder of its own, over everything else, and goes with it: the
//! layers, the cache mounts and what was kept stay as they are.

mod enter;
mod lent;

use crate::graph::StepId;
use crate::ops::Error;
use crate::ops::build::{LockMode, LockPlace, Session, Target};
use crate::solve::{Failure, Observer};
use crate::store::Store;
use crate::store::scenes::{KeptScene, Scene, SceneStep};

pub use enter::{EnterOptions, Visit, enter};

/// Where somebody stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What there is to see.
    pub scene: Scene,
    /// The failure that is looked at.
    pub failure: Option<KeptScene>,
    /// Whether it is the state before the step, or before what the step changed until it failed.
    pub before: bool,
}

impl Standing {
    /// In the last failure, or in the one with this ID.
    pub fn failed(store: &Store, id: Option<&str>) -> Result<Self, Error> {
        let failure = match id {
            None => store.last_failure()?.ok_or_else(|| {
                Error::build("there is no failed step to look at").help(
                    "the state of the last RUN that failed is kept until the next one fails or `imgbuild prune` removes it; \
                     `imgbuild debug LINE` opens a shell at any line of a Dockerfile",
                )
            })?,
            Some(id) => {
                let kept = store.scenes()?.into_iter().find(|kept| kept.id == id);
                kept.ok_or_else(|| Error::build("the state of the failed step is not kept any more"))?
            }
        };
        Ok(Self { scene: failure.scene.clone(), failure: Some(failure), before: false })
    }
}

/// At the line at which `targets[which]` stops, once everything up to there is built.
pub fn stand(
    session: &Session<'_>,
    targets: &[Target],
    which: usize,
    place: &LockPlace,
    mode: LockMode,
) -> Result<Standing, Error> {
    crate::ops::build::scene(session, targets, which, place, mode)
}

/// Keeps what a failed step left; its ID. Failing to do so must not hide why the step failed.
pub(super) fn keep(store: &Store, failure: Failure<'_>) -> Option<String> {
    let Failure { scene, exit, upper } = failure;
    let step = SceneStep { outcome: exit.to_string(), ..scene.step };
    store.keep_failure(Scene { step, ..scene }, upper).ok()
}

/// Keeps what steps leave that fail, and hears nothing else.
pub(super) struct Keeper<'a> {
    /// Where.
    pub store: &'a Store,
}

impl Observer for Keeper<'_> {
    fn failed(&self, _: StepId, failure: Failure<'_>) -> Option<String> {
        keep(self.store, failure)
    }
}
