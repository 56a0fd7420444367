//! What goes by itself after a build, if the user has set a limit.
//!
//! It must not be noticed: a look at the whole store takes time that a build has better uses for, so there is at most one an
//! hour, and none while somebody else uses the store. Then the next build looks.

use std::time::{Duration, SystemTime};

use super::{Inventory, PruneKind, PruneOptions, Pruned, apply, plan};
use crate::store::{Store, StoreError};

/// How long there is no second look.
const PAUSE: Duration = Duration::from_secs(3600);

/// How much may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How large the cache and the cache mounts may stay, in bytes.
    pub keep_storage: u64,
    /// Only what was not used for so long goes, in seconds.
    pub until: Option<i64>,
}

impl Limit {
    /// What `prune` would be told. Images and containers do not go by themselves.
    fn options(self, now: i64) -> PruneOptions {
        PruneOptions {
            kinds: [PruneKind::Cache, PruneKind::Mounts].into(),
            keep_storage: Some(self.keep_storage),
            until: self.until.map(|age| now.saturating_sub(age)),
            ..PruneOptions::default()
        }
    }
}

/// Removes what is too much, the least recently used first, if it is time to look; none if it is not. `now` is in seconds
/// since 1970.
pub fn prune_if_due(store: &mut Store, limit: Limit, now: i64) -> Result<Option<Pruned>, StoreError> {
    if !is_due(store.last_pruned(), SystemTime::now()) {
        return Ok(None);
    }
    let alone = match store.try_exclusive() {
        Err(StoreError::Busy { .. }) => return Ok(None),
        alone => alone?,
    };
    alone.note_pruned()?;
    alone.sweep()?;
    let plan = plan(&Inventory::take(&alone)?, &limit.options(now));
    apply(&alone, plan).map(Some)
}

/// Whether it is time again. A clock that was turned back does not make anybody wait for years.
fn is_due(last: Option<SystemTime>, now: SystemTime) -> bool {
    last.is_none_or(|last| now.duration_since(last).map_or(true, |since| since >= PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_once_an_hour() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let check = |last: Option<u64>, now, expected| assert_eq!(is_due(last.map(at), at(now)), expected, "{last:?}");
        check(None, 0, true);
        check(Some(1000), 1000, false);
        check(Some(1000), 4599, false);
        check(Some(1000), 4600, true);
        check(Some(9000), 1000, true);
    }

    #[test]
    fn only_the_cache_goes_by_itself() {
        let options = Limit { keep_storage: 5, until: Some(100) }.options(1000);
        assert_eq!((options.all, options.keep_storage, options.until), (false, Some(5), Some(900)));
        assert!(!options.kinds.contains(&PruneKind::Images) && !options.kinds.contains(&PruneKind::Containers));
    }

    #[test]
    fn a_store_that_is_used_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let limit = Limit { keep_storage: 0, until: None };
        let other = Store::open(folder.path()).unwrap();
        assert_eq!(prune_if_due(&mut store, limit, 0).unwrap(), None);
        drop(other);
        assert_eq!(prune_if_due(&mut store, limit, 0).unwrap(), Some(Pruned::default()), "that look did not count");
        assert_eq!(prune_if_due(&mut store, limit, 0).unwrap(), None, "this one does");
    }
}
