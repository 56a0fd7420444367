//! Scrubs on a real disk: what they touch, what they leave, and that data and folder still agree.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::fstree::{Scrub, scrub as table};

/// When the step of a test ran: nothing that [`entry`] makes has such a time.
const STEP: i64 = 2_000_000_000;

/// The times of a step that ran for ten seconds.
fn settle() -> Settle {
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
    Settle { clock: Some(Clock::new(at(STEP), at(STEP + 10))), ..AS_IT_IS.settle }
}

/// Scrubs a folder and commits it.
fn scrubbed(folder: &Path, below: &[(&Toc, &Path)], scrubs: &BTreeSet<Scrub>) -> Toc {
    let view = stack(&below.iter().map(|(toc, _)| *toc).collect::<Vec<_>>());
    let files: Vec<SnapshotFiles> = below.iter().map(|(_, folder)| SnapshotFiles::new(open(folder))).collect();
    let options = ScrubOptions {
        scrubs,
        view: &view,
        files: &files.as_slice(),
        overlay: Overlay::Trusted,
        settle: settle(),
        stop: crate::store::Stop::NEVER,
    };
    scrub(open(folder).as_fd(), &options).unwrap();
    commit(open(folder).as_fd(), &view, &CommitOptions { settle: settle(), ..AS_IT_IS }).unwrap()
}

fn all() -> BTreeSet<Scrub> {
    Scrub::EACH.into()
}

/// Folders for all that is in these entries, and the entries.
fn layer(entries: Vec<Entry>) -> Toc {
    let above = entries.iter().flat_map(|entry| entry.path.ancestors().collect::<Vec<_>>());
    let above = above.filter(|path| !path.is_root());
    let mut all: Vec<Entry> = above.map(|path| Entry { path, meta: meta(0o755), kind: DIR }).collect();
    all.extend(entries);
    Toc::new(all)
}

#[test]
fn takes_away_what_the_step_made_and_nothing_else() {
    if !is_root() {
        return;
    }
    let made = layer(vec![
        entry("var/log/dpkg.log", 0o640, file("lines")),
        entry("var/log/alternatives.log", 0, Kind::Symlink(b"/etc/passwd".to_vec())),
        entry("var/log/apt/history.log", 0o644, DIR),
        entry("var/cache/ldconfig/aux-cache", 0o600, file("times")),
        entry("var/cache/ldconfig/other", 0o600, file("times")),
        entry("root/.cache/pip/http/a/b", 0o600, file("times")),
        entry("root/.cache/pip/selfcheck/c", 0, Kind::Symlink(b"b".to_vec())),
    ]);
    let folder = written(&made, &Texts::new(&["lines", "times"]));
    let expected = layer(vec![
        entry("var/log/dpkg.log", 0o640, file("")),
        entry("var/log/alternatives.log", 0, Kind::Symlink(b"/etc/passwd".to_vec())),
        entry("var/log/apt/history.log", 0o644, DIR),
        entry("var/cache/ldconfig/other", 0o600, file("times")),
        entry("root/.cache/pip/selfcheck/c", 0, Kind::Symlink(b"b".to_vec())),
    ]);
    assert_eq!(scrubbed(folder.path(), &[], &all()), expected);
    assert_eq!(scrubbed(folder.path(), &[], &all()), expected, "twice is once");
    let none = written(&made, &Texts::new(&["lines", "times"]));
    assert_eq!(scrubbed(none.path(), &[], &BTreeSet::new()), made);
}

#[test]
fn what_was_there_before_the_step_stays_unless_the_step_changed_it() {
    if !is_root() {
        return;
    }
    let texts = Texts::new(&["old", "new", "same"]);
    let names = ["var/cache/ldconfig/aux-cache", "var/cache/apt/pkgcache.bin", "var/log/dpkg.log", "var/log/wtmp"];
    let of =
        |texts: [&str; 4]| layer(names.iter().zip(texts).map(|(name, text)| entry(name, 0o644, file(text))).collect());
    let below = of(["old", "same", "old", "same"]);
    let below_folder = written(&below, &texts);
    let folder = written(&of(["new", "same", "new", "same"]), &texts);
    let expected = layer(vec![
        entry("var/cache/ldconfig/aux-cache", 0, Kind::Whiteout),
        entry("var/log/dpkg.log", 0o644, file("")),
    ]);
    assert_eq!(scrubbed(folder.path(), &[(&below, below_folder.path())], &all()), expected);
    // Emptied, it is as below: then nothing changed.
    let below = layer(vec![entry("etc/machine-id", 0o444, file(""))]);
    let below_folder = written(&below, &texts);
    let folder = written(&layer(vec![entry("etc/machine-id", 0o444, file("new"))]), &texts);
    assert_eq!(scrubbed(folder.path(), &[(&below, below_folder.path())], &all()), Toc::default());
}

#[test]
fn names_of_one_file_are_touched_together_or_not_at_all() {
    if !is_root() {
        return;
    }
    let texts = Texts::new(&["lines"]);
    let link = |name: &str, target: &str| Entry { path: path(name), ..entry("", 0o644, Kind::Hardlink(path(target))) };
    let made = layer(vec![entry("keep/me", 0o644, file("lines")), link("var/log/dpkg.log", "keep/me")]);
    let folder = written(&made, &texts);
    assert_eq!(scrubbed(folder.path(), &[], &all()), made);
    let made = layer(vec![
        entry("var/log/alternatives.log", 0o644, file("lines")),
        link("var/log/dpkg.log", "var/log/alternatives.log"),
        entry("tmp/a", 0o644, file("lines")),
        link("tmp/b", "tmp/a"),
    ]);
    let folder = written(&made, &texts);
    let expected = layer(vec![
        entry("tmp", 0o755, DIR),
        entry("var/log/alternatives.log", 0o644, file("")),
        link("var/log/dpkg.log", "var/log/alternatives.log"),
    ]);
    assert_eq!(scrubbed(folder.path(), &[], &all()), expected);
}

#[test]
fn compiled_python_goes_by_its_source_if_it_was_valid() {
    if !is_root() {
        return;
    }
    let compiled =
        |time: i64| [b"\xa7\r\r\n\0\0\0\0", &(time as u32).to_le_bytes()[..], &6_u32.to_le_bytes(), b"code"].concat();
    let hashed = b"\xa7\r\r\n\x03\0\0\0\xc7\x23\x5d\x97\x6e\x2e\x06\x25code".to_vec();
    let at = |name: &str, bytes: &[u8], mtime| Entry {
        path: path(name),
        meta: Meta { mtime, ..meta(0o644) },
        kind: Kind::File { size: bytes.len() as u64, content: ContentDigest::of(bytes) },
    };
    let source = |mtime: i64| at("a.py", b"source", mtime);
    let compiled_at = |bytes: &[u8]| at("__pycache__/a.cpython-311.pyc", bytes, EPOCH);
    let check = |below: Option<i64>, made: Option<i64>, time: i64, expected: Vec<u8>| {
        let texts = Texts([b"source".to_vec(), compiled(time)].map(|text| (ContentDigest::of(&text), text)).into());
        let below = layer(below.map(source).into_iter().collect());
        let below_folder = written(&below, &texts);
        let folder =
            written(&layer(made.map(source).into_iter().chain([compiled_at(&compiled(time))]).collect()), &texts);
        let settled = made.map(|time| if time >= STEP { EPOCH } else { time });
        let expected = layer(settled.map(source).into_iter().chain([compiled_at(&expected)]).collect());
        for _ in 0..2 {
            let found = scrubbed(folder.path(), &[(&below, below_folder.path())], &[Scrub::Python].into());
            assert_eq!(found, expected, "{below:?} {made:?} {time}");
        }
    };
    // Made by the step, or by one before; from a package; out of date since the step; out of date before; of nothing.
    check(None, Some(STEP + 1), STEP + 1, hashed.clone());
    check(Some(EPOCH), None, EPOCH, hashed);
    check(None, Some(1000), 1000, compiled(1000));
    check(Some(1000), None, 1000, compiled(1000));
    check(None, Some(STEP + 1), STEP, compiled(0));
    check(None, Some(1000), 999, compiled(999));
    check(None, None, STEP, compiled(0));
}

#[test]
fn only_entries_of_the_step_get_another_day() {
    if !is_root() {
        return;
    }
    let before = "root:*:20000:0:99999:7:::\n";
    let [made, expected] = ["20782", "3652"].map(|day| format!("{before}app:!:{day}:0:99999:7:::\n"));
    let texts = Texts::new(&[before, &made, &expected]);
    let below = layer(vec![entry("etc/shadow", 0o640, file(before))]);
    let below_folder = written(&below, &texts);
    let both =
        |text: &str| layer(vec![entry("etc/shadow", 0o640, file(text)), entry("etc/shadow-", 0o600, file(text))]);
    let folder = written(&both(&made), &texts);
    assert_eq!(scrubbed(folder.path(), &[(&below, below_folder.path())], &all()), both(&expected));
}

const NAMES: [&str; 8] = [
    "var/log/dpkg.log",
    "var/log/apt/term.log",
    "var/cache/ldconfig/aux-cache",
    "etc/machine-id",
    "tmp/a/b",
    "tmp/c",
    "usr/bin/a",
    "root/.npm/_logs/x",
];

/// Some of a few files, with one of a few contents.
fn any_files() -> impl Strategy<Value = Toc> {
    let one = prop::option::of(0..3_usize);
    prop::collection::vec(one, NAMES.len()).prop_map(|texts| {
        let of = |(name, text): (&&str, Option<usize>)| Some(entry(name, 0o644, file(["", "one", "two"][text?])));
        layer(NAMES.iter().zip(texts).filter_map(of).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn scrubbing_touches_what_it_is_about_once(
        below in any_files(),
        made in any_files(),
        scrubs in prop::collection::btree_set(prop::sample::select(Scrub::EACH.to_vec()), 0..8),
    ) {
        if !is_root() {
            return Ok(());
        }
        let texts = Texts::new(&["one", "two"]);
        let (below_folder, folder, plain) = (written(&below, &texts), written(&made, &texts), written(&made, &texts));
        let lower = [(&below, below_folder.path())];
        let found = scrubbed(folder.path(), &lower, &scrubs);
        prop_assert_eq!(&scrubbed(folder.path(), &lower, &scrubs), &found);
        prop_assert_eq!(&commit_in(folder.path(), &stack(&[&below])), &found);
        // All else is as without.
        let without = scrubbed(plain.path(), &lower, &BTreeSet::new());
        let files = |toc: &Toc, about: bool| -> Vec<Entry> {
            let is_wanted = |entry: &&Entry| {
                !matches!(entry.kind, Kind::Dir { .. }) && table::action(&scrubs, &entry.path).is_some() == about
            };
            toc.entries().iter().filter(is_wanted).cloned().collect()
        };
        prop_assert_eq!(files(&found, false), files(&without, false));
        // Nothing that scrubs are about says anything.
        for entry in files(&found, true) {
            prop_assert!(matches!(entry.kind, Kind::Whiteout | Kind::File { size: 0, .. }), "{:?}", entry);
        }
    }
}
