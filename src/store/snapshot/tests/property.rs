//! Random layers over random layers, through tars and folders.

use proptest::prelude::*;

use super::*;
use crate::fstree::{Flattened, NodeKind, View};

const TEXTS: [&str; 3] = ["", "one", "two"];

/// A well-formed layer: a tree, with folders for everything.
fn any_layer() -> impl Strategy<Value = Toc> {
    let path = prop::collection::vec("[ab]", 1..4).prop_map(|parts| parts.join("/"));
    let kind = prop_oneof![
        3 => Just(DIR),
        1 => Just(OPAQUE),
        3 => (0..3_usize).prop_map(|text| file(TEXTS[text])),
        1 => Just(Kind::Symlink(b"a".to_vec())),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Hardlink(TreePath::root())),
        2 => Just(Kind::Whiteout),
    ];
    prop::collection::vec((path, kind, prop::sample::select(vec![0o644, 0o755])), 0..10).prop_map(|entries| {
        let mut kept: BTreeMap<TreePath, Entry> = BTreeMap::new();
        for (name, kind, mode) in entries {
            let path = TreePath::clean(&name);
            let folder = |entry: &Entry| matches!(entry.kind, Kind::Dir { .. });
            let blocked = path.ancestors().any(|above| kept.get(&above).is_some_and(|entry| !folder(entry)));
            let leaf = !matches!(kind, Kind::Dir { .. }) && kept.keys().any(|other| other.starts_with(&path));
            if blocked || leaf {
                continue;
            }
            for above in path.ancestors().filter(|above| !above.is_root()) {
                let implied = Entry { path: above.clone(), meta: meta(0o755), kind: DIR };
                kept.entry(above).or_insert(implied);
            }
            kept.insert(path, entry(&name, mode, kind));
        }
        // Hard links are to the first file there is.
        let first = kept.values().find(|entry| matches!(entry.kind, Kind::File { .. })).cloned();
        let entries = kept.into_values().filter_map(|mut entry| {
            if let Kind::Hardlink(_) = entry.kind {
                let first = first.as_ref().filter(|first| first.path < entry.path)?;
                entry.kind = Kind::Hardlink(first.path.clone());
                entry.meta = first.meta.clone();
            }
            Some(entry)
        });
        Toc::new(entries.collect())
    })
}

/// What is seen, names of one file noted by the first of them.
fn seen(merged: &Merged) -> Toc {
    Flattened::new(merged).toc().clone()
}

/// The layer without files that are as they were below, though they had more names there: that a file has a name less is
/// no change by itself, since an overlay takes it from its other names when it is merely opened for writing.
fn without_mere_splits(layer: &Toc, view: &Merged) -> Toc {
    let linked = |path: &TreePath| layer.entries().iter().any(|entry| entry.kind == Kind::Hardlink(path.clone()));
    let shown = |path: &TreePath| {
        let opaque = |above: TreePath| layer.get(&above).is_some_and(|entry| entry.kind == OPAQUE);
        !path.ancestors().any(opaque)
    };
    let same = |entry: &Entry| {
        matches!(entry.kind, Kind::File { .. })
            && !linked(&entry.path)
            && shown(&entry.path)
            && view.entry(&entry.path).is_some_and(|(_, below)| below.meta == entry.meta && below.kind == entry.kind)
    };
    Toc::new(layer.entries().iter().filter(|entry| !same(entry)).cloned().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn layers_survive_folders_and_tars(below in prop::collection::vec(any_layer(), 0..3), layer in any_layer()) {
        if !is_root() {
            return Ok(());
        }
        let texts = Texts::new(&TEXTS);
        let mut view = Merged::default();
        for toc in below {
            view = view.with(Arc::new(toc));
        }
        let folder = written(&layer, &texts);
        let committed = commit_in(folder.path(), &view);
        let after = view.with(Arc::new(committed.clone()));
        // Nothing that is seen changes...
        let layer = without_mere_splits(&layer, &view);
        prop_assert_eq!(seen(&after), seen(&view.with(Arc::new(layer))));
        // ...nothing is left to tidy, and all that is left says something.
        prop_assert_eq!(&commit_in(folder.path(), &view), &committed);
        for entry in committed.entries().iter().filter(|entry| entry.kind == Kind::Whiteout) {
            prop_assert!(view.lookup(&entry.path).unwrap().is_some(), "{}", entry.path);
        }
        for entry in committed.entries().iter().filter(|entry| entry.kind == OPAQUE) {
            prop_assert_eq!(view.lookup(&entry.path).unwrap().map(|node| node.kind), Some(NodeKind::Dir));
        }
        // A tar of it makes the same folder.
        let bytes = tar::write(&committed, &SnapshotFiles::new(open(folder.path())), Verify::Content, Vec::new()).unwrap();
        let (toc, second) = unpacked(&bytes, Dialect::Layer, "", &view).unwrap();
        prop_assert_eq!(&toc, &committed);
        prop_assert_eq!(&commit_in(second.path(), &view), &committed);
    }
}
