//! What is seen of stacked layers, against an independent model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::fstree::Flattened;

fn entry(path: &str, kind: Kind) -> Entry {
    Entry { path: TreePath::clean(path), meta: Meta { mode: 0o700, ..Meta::default() }, kind }
}

fn file(text: &str) -> Kind {
    Kind::File { size: text.len() as u64, content: ContentDigest::of(text.as_bytes()) }
}

const DIR: Kind = Kind::Dir { opaque: false };
const OPAQUE: Kind = Kind::Dir { opaque: true };

fn stack(layers: &[&[(&str, Kind)]]) -> Merged {
    let toc = |layer: &&[(&str, Kind)]| Arc::new(Toc::new(layer.iter().map(|(p, k)| entry(p, k.clone())).collect()));
    Merged::new(layers.iter().map(toc).collect())
}

fn seen(merged: &Merged) -> Vec<String> {
    merged.entries().map(|(layer, entry)| format!("{layer}{}", entry.path)).collect()
}

#[test]
fn upper_layers_hide_lower_ones() {
    let check = |layers: &[&[(&str, Kind)]], expected: &[&str]| assert_eq!(seen(&stack(layers)), expected);
    let base: &[(&str, Kind)] = &[("a", DIR), ("a/x", file("x")), ("a/y", file("y")), ("a.b", file("")), ("b", DIR)];
    check(&[base, &[("a", DIR)]], &["1/a", "0/a/x", "0/a/y", "0/a.b", "0/b"]);
    check(&[base, &[("a", OPAQUE), ("a/y", file(""))]], &["1/a", "1/a/y", "0/a.b", "0/b"]);
    check(&[base, &[("a", Kind::Whiteout)]], &["0/a.b", "0/b"]);
    check(&[base, &[("a", Kind::Whiteout)], &[("a", DIR)]], &["2/a", "0/a.b", "0/b"]);
    check(&[base, &[("a", file(""))], &[("a/new", file(""))]], &["2/a/new", "0/a.b", "0/b"]);
    check(&[base, &[("a/x", Kind::Whiteout)]], &["0/a", "0/a/y", "0/a.b", "0/b"]);
    check(&[base, &[("", OPAQUE)]], &["1/"]);
}

#[test]
fn hard_links_are_followed_in_their_layer() {
    let link = |target: &str| Kind::Hardlink(TreePath::clean(target));
    let merged = stack(&[
        &[("h", DIR), ("h/a", file("old")), ("h/b", link("h/a")), ("h/c", link("h/a"))],
        &[("h", DIR), ("h/a", file("new"))],
    ]);
    let path = |name: &str| TreePath::clean(name);
    let digests = merged.contents(&["h/a", "h/b", "h/c"].map(path)).unwrap();
    assert_eq!(digests, ["new", "old", "old"].map(|text| ContentDigest::of(text.as_bytes())));
    let links = ["h/a", "h/b", "h/c"].map(|name| merged.lookup(&path(name)).unwrap().unwrap().links.unwrap());
    assert!(links[0] != links[1] && links[1] == links[2]);
    let flat = Flattened::new(&merged);
    let kinds: Vec<&Kind> = flat.toc().entries().iter().map(|entry| &entry.kind).collect();
    assert_eq!(kinds, [&DIR, &file("new"), &file("old"), &link("h/b")]);
    assert_eq!(["h/a", "h/b", "none"].map(|name| flat.layer(&path(name))), [Some(1), Some(0), None]);
}

#[test]
fn folders_without_entries_are_there() {
    let merged = stack(&[&[("a/b/c", file(""))]]);
    let names = |path: &str| -> Vec<String> {
        let children = merged.children(&TreePath::clean(path)).unwrap();
        children.iter().map(|(name, node)| format!("{} {:?}", String::from_utf8_lossy(name), node.kind)).collect()
    };
    assert_eq!(merged.lookup(&TreePath::clean("a/b")).unwrap().unwrap().kind, NodeKind::Dir);
    assert_eq!(merged.lookup(&TreePath::root()).unwrap().unwrap().kind, NodeKind::Dir);
    assert!(merged.lookup(&TreePath::clean("a/c")).unwrap().is_none());
    assert_eq!((names(""), names("a/b"), names("x")), (vec!["a Dir".into()], vec!["c File(0)".into()], vec![]));
}

/// Applies layers one after another, as an unpacking tool does.
fn naive(layers: &[Arc<Toc>]) -> BTreeMap<TreePath, Kind> {
    let mut tree: BTreeMap<TreePath, Kind> = BTreeMap::new();
    for layer in layers {
        let mut added: BTreeSet<&TreePath> = BTreeSet::new();
        for entry in layer.entries() {
            let strictly_below = |path: &TreePath| path != &entry.path && path.starts_with(&entry.path);
            if entry.kind != Kind::Whiteout {
                for above in entry.path.ancestors() {
                    if tree.get(&above).is_some_and(|kind| !matches!(kind, Kind::Dir { .. })) {
                        tree.remove(&above);
                    }
                }
            }
            match &entry.kind {
                Kind::Whiteout => tree.retain(|path, _| added.contains(path) || !path.starts_with(&entry.path)),
                Kind::Dir { opaque: false } => {
                    if tree.get(&entry.path).is_some_and(|kind| !matches!(kind, Kind::Dir { .. })) {
                        tree.retain(|path, _| !strictly_below(path));
                    }
                }
                _ => tree.retain(|path, _| added.contains(path) || !strictly_below(path)),
            }
            if entry.kind != Kind::Whiteout {
                tree.insert(entry.path.clone(), entry.kind.clone());
                added.insert(&entry.path);
            }
        }
    }
    tree
}

fn any_layer() -> impl Strategy<Value = Arc<Toc>> {
    let path = prop::collection::vec("[ab]", 0..4).prop_map(|parts| parts.join("/"));
    let kind = prop_oneof![3 => Just(DIR), 1 => Just(OPAQUE), 2 => "[a-z]".prop_map(|text| file(&text)), 2 => Just(Kind::Whiteout)];
    prop::collection::vec((path, kind), 0..8).prop_map(|entries| {
        let mut kept: BTreeMap<TreePath, Kind> = BTreeMap::new();
        for (path, kind) in entries {
            let path = TreePath::clean(path);
            // A layer is a tree: only folders have something in them, and the root is one.
            let kind = if path.is_root() && !matches!(kind, Kind::Dir { .. }) { DIR } else { kind };
            let fits =
                path.ancestors().all(|above| kept.get(&above).is_none_or(|kind| matches!(kind, Kind::Dir { .. })));
            let leaf = !matches!(kind, Kind::Dir { .. }) && kept.keys().any(|other| other.starts_with(&path));
            if fits && !leaf {
                kept.insert(path, kind);
            }
        }
        Arc::new(Toc::new(kept.into_iter().map(|(path, kind)| Entry { path, meta: Meta::default(), kind }).collect()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_applying_layers_one_by_one(layers in prop::collection::vec(any_layer(), 0..5)) {
        let expected = naive(&layers);
        let indexed = Merged::new(layers.clone());
        let actual: BTreeMap<TreePath, Kind> =
            indexed.entries().map(|(_, entry)| (entry.path.clone(), entry.kind.clone())).collect();
        prop_assert_eq!(&actual, &expected);
        let flat = Flattened::new(&indexed);
        let plain = |kind: &Kind| if matches!(kind, Kind::Dir { .. }) { DIR } else { kind.clone() };
        prop_assert!(flat.toc().entries().iter().map(|e| (&e.path, e.kind.clone())).eq(expected.iter().map(|(p, k)| (p, plain(k)))));

        // The same answers with the index and without, for every path that could be there.
        let all: BTreeSet<TreePath> =
            layers.iter().flat_map(|layer| layer.entries()).flat_map(|e| e.path.ancestors().chain([e.path.clone()])).collect();
        for path in &all {
            let plain = Merged::new(layers.clone());
            let node = plain.lookup(path).unwrap();
            prop_assert_eq!(&node, &indexed.lookup(path).unwrap(), "{}", path);
            let there = path.is_root() || expected.keys().any(|other| other.starts_with(path));
            prop_assert_eq!(node.is_some(), there, "{}", path);
            for (name, child) in indexed.children(path).unwrap() {
                prop_assert_eq!(Some(child), indexed.lookup(&path.join(&name)).unwrap());
            }
            let direct = all.iter().filter(|p| p.parent().as_ref() == Some(path) && indexed.lookup(p).unwrap().is_some());
            prop_assert_eq!(direct.count(), indexed.children(path).unwrap().len());
        }
    }
}
