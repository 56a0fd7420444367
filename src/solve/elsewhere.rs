//! Results of steps that somebody else has recorded, and what their cache mounts held, for a loop that does not know who or
//! where.

use crate::digest::CacheKey;
use crate::oci::Descriptor;
use crate::solve::State;

/// What is known elsewhere of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it came to.
    pub state: State,
    /// All keys that this is recorded under.
    pub keys: Vec<CacheKey>,
}

/// Knows what steps came to elsewhere. Asked on any thread, and only for what the store does not have.
pub trait Elsewhere: Sync {
    /// What is recorded for a key. Its layers are known to the store from now on, as far as they can be had.
    fn find(&self, key: &CacheKey) -> Option<Found>;

    /// What a cache mount of this id held: a tar, which the layers of the build can bring into the store.
    fn mount(&self, id: &str) -> Option<Descriptor>;
}

/// Knows nothing.
impl Elsewhere for () {
    fn find(&self, _: &CacheKey) -> Option<Found> {
        None
    }

    fn mount(&self, _: &str) -> Option<Descriptor> {
        None
    }
}
