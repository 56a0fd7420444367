//! `verify`: a build is done again from nothing, and what comes out is compared with what came out before.
//!
//! It happens in stores of its own, which share the pinned sources with the real one and nothing else: no result of a step,
//! no cache mount. If the lockfile says what was expected, that is what counts, and the real store is asked for the layers
//! behind the digests. Else the build is done twice.

mod compare;
mod fresh;
mod report;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::digest::DiffId;
use crate::event::{Event, Reporter, Silent};
use crate::lockfile::Lockfile;
use crate::ops::Error;
use crate::ops::build::{self, Lock, LockMode, LockPlace, Prepared, Session, Target, TargetImage, Written};
use crate::ops::fetch::bring_images;
use crate::store::Store;
use crate::trust::Policy;
use compare::{Image, compare};
use fresh::Fresh;
pub use report::{Expectation, FileFinding, Finding, LayerFinding, Part, VerifiedImage, VerifyReport};

/// The number of the task that is the second build: one that no other has.
const TASK: usize = (1 << 21) - 1;

/// How far apart the starts of two builds are at least: what clocks are mostly printed to.
const SECOND: Duration = Duration::from_millis(1100);

/// Builds targets from nothing and compares.
pub fn verify(
    session: &Session<'_>,
    targets: &[Target],
    place: &LockPlace,
    mode: LockMode,
) -> Result<VerifyReport, Error> {
    let prepared = build::prepare(session, targets, place, mode)?;
    if mode.locked {
        prepared.lock.settle(session.reporter)?;
    }
    // Once, and not for each of the stores to come.
    bring_images(session, &prepared)?;
    let pinned = prepared.lock.pinned().clone();
    let started = Instant::now();
    let again = Rebuild::run(session, &prepared, targets, mode, session.reporter)?;
    let recorded = |made: &TargetImage| pinned.lookup_output(&made.target, &made.platform);
    if again.made.iter().all(|made| recorded(made).is_some()) {
        let images = again.made.iter().filter_map(|made| Some((made, recorded(made)?)));
        let images = images.map(|(made, output)| {
            let was = Image::recorded(&session.store, output.manifest, &output.layers)?;
            let image = compare(&again.prepared, made, &was, &Image::made(&again.fresh.store, made)?)?;
            let (name, platform) = (&made.target, &made.platform);
            let definition_changed =
                prepared.lock.recorded_by(name, platform) != prepared.lock.built_by(name, platform);
            Ok(VerifiedImage { definition_changed, ..image })
        });
        return Ok(VerifyReport { expectation: Expectation::Recorded, images: images.collect::<Result<_, Error>>()? });
    }
    session.reporter.report(Event::TaskStarted(TASK, "building a second time".into()));
    // In the same second, a step that writes the time would look reproducible.
    thread::sleep(SECOND.saturating_sub(started.elapsed()));
    let started = Instant::now();
    let second = Rebuild::run(session, &prepared, targets, mode, &Silent)?;
    session.reporter.report(Event::TaskFinished(TASK, started.elapsed()));
    let both = again.made.iter().zip(&second.made);
    let images = both.map(|(first, made)| {
        let was = Image::made(&again.fresh.store, first)?;
        compare(&second.prepared, made, &was, &Image::made(&second.fresh.store, made)?)
    });
    Ok(VerifyReport { expectation: Expectation::SecondBuild, images: images.collect::<Result<_, Error>>()? })
}

/// A build that was done in a store of its own.
struct Rebuild {
    prepared: Prepared,
    made: Vec<TargetImage>,
    // Last, because the rest holds it open.
    fresh: Fresh,
}

impl Rebuild {
    fn run(
        session: &Session<'_>,
        known: &Prepared,
        targets: &[Target],
        mode: LockMode,
        reporter: &dyn Reporter,
    ) -> Result<Self, Error> {
        let fresh = Fresh::beside(&session.store)?;
        let pinned: &Lockfile = known.lock.pinned();
        fresh.share(&session.store, pinned, known.lock.used())?;
        // Policies were asked when all of this was looked up, in the store that has the signatures.
        let session = Session { store: fresh.store.clone(), policies: &[], ..session.reporting_to(reporter) };
        let policies: Arc<[Policy]> = Arc::new([]);
        // What is pinned now counts, even where something else was asked for.
        let again = |target: &Target| Target {
            pull: false,
            policies: policies.clone(),
            written: Written::Same,
            ..target.clone()
        };
        let targets: Vec<Target> = targets.iter().map(again).collect();
        let prepared = build::prepare_with(&session, &targets, Lock::fixed(pinned.clone(), mode))?;
        fresh.share_checkouts(known, &prepared)?;
        let made = build::make(&session, &prepared, &targets)?;
        Ok(Self { prepared, made, fresh })
    }
}

impl Image<'_> {
    /// An image that was just made.
    fn made<'a>(store: &'a Store, made: &TargetImage) -> Result<Image<'a>, Error> {
        let diff_ids: Vec<DiffId> = made.image.layers.iter().map(|layer| layer.diff_id).collect();
        Image::recorded(store, made.image.manifest.digest, &diff_ids)
    }
}
