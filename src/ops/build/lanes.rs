//! Which targets are exported side by side.
//!
//! Compressing keeps the processors busy by itself, but bringing blobs to a disk or to a registry is waiting, so several
//! targets do it at once. Those that write to one place go one after another, in their order: what is there at the end must
//! not depend on who was faster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::oci::Reference;
use crate::ops::build::target::{Destination, OutputKind, Target};

/// How many targets are exported at once.
const MOST: usize = 4;

/// Somewhere that an output writes to. What goes to the store is listed at the end, by one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Stdout,
    Registry(&'a Reference),
    Files(PathBuf),
}

/// Exports targets by their numbers. What came of each that was begun, in their order; once one has failed, none is begun.
pub fn side_by_side<T: Send, E: Send>(
    targets: &[Target],
    export: impl Fn(usize) -> Result<T, E> + Sync,
) -> Vec<Result<T, E>> {
    let lanes = lanes(targets);
    let threads = lanes.len().min(MOST);
    let queue = Mutex::new(lanes.into_iter());
    let failed = AtomicBool::new(false);
    let work = || {
        let mut done = Vec::new();
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(lane) = next() {
            for number in lane {
                if failed.load(Ordering::Relaxed) {
                    return done;
                }
                let result = export(number);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                done.push((number, result));
            }
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The numbers of all targets: in one list those that must go one after another.
fn lanes(targets: &[Target]) -> Vec<Vec<usize>> {
    let mut lane_of: Vec<usize> = (0..targets.len()).collect();
    let mut taken: BTreeMap<Place<'_>, usize> = BTreeMap::new();
    for (number, target) in targets.iter().enumerate() {
        for place in places(target) {
            for other in overlapping(&taken, &place) {
                let (lane, other) = (lane_of[number], lane_of[other]);
                let (first, last) = (lane.min(other), lane.max(other));
                lane_of.iter_mut().filter(|lane| **lane == last).for_each(|lane| *lane = first);
            }
            taken.insert(place, number);
        }
    }
    let mut lanes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, lane) in lane_of.into_iter().enumerate() {
        lanes.entry(lane).or_default().push(number);
    }
    lanes.into_values().collect()
}

/// Who writes to the same place, above it, or below it.
fn overlapping(taken: &BTreeMap<Place<'_>, usize>, place: &Place<'_>) -> Vec<usize> {
    let Place::Files(path) = place else { return taken.get(place).copied().into_iter().collect() };
    let above = path.ancestors().skip(1).filter_map(|above| taken.get(&Place::Files(above.to_owned())));
    let below = taken.range(place..).take_while(|(other, _)| is_below(other, path));
    above.chain(below.map(|(_, number)| number)).copied().collect()
}

fn is_below(place: &Place<'_>, folder: &Path) -> bool {
    matches!(place, Place::Files(path) if path.starts_with(folder))
}

fn places(target: &Target) -> Vec<Place<'_>> {
    let files = |path: &Path| Place::Files(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let mut places = Vec::new();
    for output in &target.outputs {
        match &output.kind {
            OutputKind::Store(_) | OutputKind::CacheOnly => {}
            OutputKind::Registry(names) => places.extend(target.tags.iter().chain(names).map(Place::Registry)),
            OutputKind::Oci(Destination::Stdout)
            | OutputKind::Docker(Destination::Stdout)
            | OutputKind::Tar(Destination::Stdout) => places.push(Place::Stdout),
            OutputKind::Oci(Destination::File(path))
            | OutputKind::Docker(Destination::File(path))
            | OutputKind::Tar(Destination::File(path))
            | OutputKind::OciFolder(path)
            | OutputKind::Local(path) => places.push(files(path)),
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Compression;
    use crate::ops::build::{Dockerfile, Output};

    fn target(outputs: Vec<OutputKind>) -> Target {
        let mut target = Target::new(Dockerfile::Text { name: "Dockerfile".into(), text: String::new() });
        target.outputs = outputs.into_iter().map(|kind| Output { kind, compression: Compression::GZIP }).collect();
        target
    }

    #[test]
    fn those_with_a_place_in_common_go_one_after_another() {
        let local = |path: &str| OutputKind::Local(path.into());
        let tar = |path: &str| OutputKind::Tar(Destination::File(path.into()));
        let name = |name: &str| Reference::parse(name).unwrap();
        let check = |outputs: Vec<Vec<OutputKind>>, expected: &[&[usize]]| {
            let targets: Vec<Target> = outputs.into_iter().map(target).collect();
            assert_eq!(lanes(&targets), expected);
        };
        check(vec![], &[]);
        check(vec![vec![], vec![], vec![OutputKind::Store(vec![name("a")])]], &[&[0], &[1], &[2]]);
        check(vec![vec![local("/a")], vec![local("/b")], vec![local("/a/./")]], &[&[0, 2], &[1]]);
        check(vec![vec![local("/a/b/c")], vec![tar("/ab")], vec![local("/a")]], &[&[0, 2], &[1]]);
        check(vec![vec![local("/a")], vec![local("/ab")], vec![tar("/a/b/c")]], &[&[0, 2], &[1]]);
        check(vec![vec![local("/a")], vec![local("/b")], vec![local("/c"), tar("/")]], &[&[0, 1, 2]]);
        check(vec![vec![local("/a")], vec![local("/b")], vec![tar("/b/x"), tar("/a/x")], vec![]], &[&[0, 1, 2], &[3]]);
        let stdout = || OutputKind::Oci(Destination::Stdout);
        check(vec![vec![stdout()], vec![], vec![OutputKind::Tar(Destination::Stdout)]], &[&[0, 2], &[1]]);
        let push = |names: &[&str]| OutputKind::Registry(names.iter().map(|one| name(one)).collect());
        check(vec![vec![push(&["h/a"])], vec![push(&["h/b"])], vec![push(&["h/c", "h/b"])]], &[&[0], &[1, 2]]);
    }

    #[test]
    fn all_are_exported_and_told_in_their_order() {
        let targets: Vec<Target> =
            (0..50).map(|number| target(vec![OutputKind::Local(format!("/{}", number % 7).into())])).collect();
        let results = side_by_side(&targets, Ok::<_, ()>);
        let numbers: Vec<usize> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn after_a_failure_none_is_begun() {
        let targets: Vec<Target> = (0..50).map(|_| target(vec![OutputKind::Local("/a".into())])).collect();
        let results = side_by_side(&targets, |number| match number {
            3 => Err(()),
            other => Ok(other),
        });
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, true, false]);
    }
}
