//! Copies, against a file system that is as simple as can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::digest::ContentDigest;
use crate::fstree::select::{Source, select};
use crate::fstree::{Kind, Merged, Toc, View};

/// What a name is in a file system that is only a table.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Dir(u32),
    /// Permissions and length.
    File(u32, u64),
    Link(String),
}

/// A file system that is only a table, without the root, which is always there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Naive(BTreeMap<TreePath, Thing>);

impl Naive {
    /// What the entries of a view are.
    fn of(merged: &Merged) -> Self {
        let things = merged.entries().filter(|(_, entry)| !entry.path.is_root()).map(|(_, entry)| {
            let thing = match &entry.kind {
                Kind::Dir { .. } => Thing::Dir(entry.meta.mode),
                Kind::File { size, .. } => Thing::File(entry.meta.mode, *size),
                Kind::Symlink(target) => Thing::Link(String::from_utf8_lossy(target).into_owned()),
                other => panic!("{other:?}"),
            };
            (entry.path.clone(), thing)
        });
        Self(things.collect())
    }

    fn is_dir(&self, path: &TreePath) -> bool {
        path.is_root() || matches!(self.0.get(path), Some(Thing::Dir(_)))
    }

    /// Links are followed by putting their target in place of them and starting again.
    fn follow(&self, path: &TreePath) -> Option<TreePath> {
        let mut path = path.clone();
        for _ in 0..300 {
            let prefixes: Vec<TreePath> = path.ancestors().chain([path.clone()]).collect();
            let link = prefixes.iter().find_map(|at| match self.0.get(at) {
                Some(Thing::Link(target)) => Some((at, target)),
                _ => None,
            });
            let Some((at, target)) = link else { return Some(path) };
            let from = if target.starts_with('/') { TreePath::root() } else { at.parent().unwrap_or_default() };
            let base = TreePath::clean(format!("{}/{target}", String::from_utf8_lossy(from.as_bytes())));
            path = base.join_path(&path.strip_prefix(at)?);
        }
        None
    }

    fn mkdir_all(&mut self, path: &TreePath, mode: u32) -> Result<(), ()> {
        for folder in path.ancestors().chain([path.clone()]) {
            match self.0.get(&folder) {
                _ if folder.is_root() => {}
                Some(Thing::Dir(_)) => {}
                Some(_) => return Err(()),
                None => {
                    self.0.insert(folder, Thing::Dir(mode));
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &TreePath, thing: Thing) {
        self.remove(path);
        self.0.insert(path.clone(), thing);
    }

    fn remove(&mut self, path: &TreePath) {
        self.0.retain(|at, _| !at.starts_with(path));
    }

    /// `COPY SOURCE DEST`: of a file to a name or into a folder, of what is in a folder into one.
    fn copy(&mut self, from: &Self, source: &TreePath, dest: &str) -> Result<(), ()> {
        let name = source.name().to_vec();
        let source = from.follow(source).ok_or(())?;
        let folder = dest.ends_with('/');
        let dest = TreePath::clean(dest);
        // All folders above are made before anything else, also those that a link only leads to.
        let above = if folder { dest.clone() } else { dest.parent().unwrap_or_default() };
        self.mkdir_all(&self.follow(&above).ok_or(())?, 0o755)?;
        let dest = self.follow(&dest).ok_or(())?;
        if !from.is_dir(&source) {
            let path = if self.is_dir(&dest) && !name.is_empty() { dest.join(&name) } else { dest };
            self.mkdir_all(&path.parent().unwrap_or_default(), 0o755)?;
            if self.is_dir(&path) {
                return Err(());
            }
            self.put(&path, from.0.get(&source).ok_or(())?.clone());
            return Ok(());
        }
        if !self.is_dir(&dest) {
            self.mkdir_all(&dest, 0o755)?;
        }
        for (path, thing) in from.0.iter().filter(|(path, _)| path.starts_with(&source) && **path != source) {
            let path = dest.join_path(&path.strip_prefix(&source).ok_or(())?);
            match (thing, self.0.get(&path)) {
                (Thing::Dir(_), None | Some(Thing::Dir(_))) => {
                    self.0.insert(path, thing.clone());
                }
                (Thing::Dir(_), Some(_)) | (_, Some(Thing::Dir(_))) => return Err(()),
                (_, _) => self.put(&path, thing.clone()),
            }
        }
        Ok(())
    }
}

fn any_path() -> impl Strategy<Value = TreePath> {
    prop::collection::vec("[abc]", 1..4).prop_map(|parts| TreePath::clean(parts.join("/")))
}

fn any_tree() -> impl Strategy<Value = Vec<Arc<Toc>>> {
    let kind = prop_oneof![
        3 => Just(Kind::Dir { opaque: false }),
        3 => (0u64..9).prop_map(|size| Kind::File { size, content: ContentDigest::of(&size.to_le_bytes()) }),
        1 => "/?([abc]|\\.\\.)(/[abc])?".prop_map(|target| Kind::Symlink(target.into_bytes())),
    ];
    let layer = prop::collection::vec((any_path(), kind, 0u32..0o1000), 0..8).prop_map(|entries| {
        let mut tree: BTreeMap<TreePath, Entry> = BTreeMap::new();
        for (path, kind, mode) in entries {
            let is_dir = |path: &TreePath| tree.get(path).is_none_or(|entry| matches!(entry.kind, Kind::Dir { .. }));
            if !path.ancestors().all(|above| is_dir(&above)) || tree.keys().any(|other| other.starts_with(&path)) {
                continue;
            }
            for above in path.ancestors().skip(1) {
                let meta = Meta { mode: 0o711, ..Meta::default() };
                let folder = Entry { path: above.clone(), meta, kind: Kind::Dir { opaque: false } };
                tree.entry(above).or_insert(folder);
            }
            let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { mode };
            tree.insert(path.clone(), Entry { path, meta: Meta { mode, ..Meta::default() }, kind });
        }
        Arc::new(Toc::new(tree.into_values().collect()))
    });
    prop::collection::vec(layer, 1..3)
}

#[derive(Debug, Clone)]
enum Change {
    MakeAll(TreePath, u32),
    Put(TreePath, u64),
    Remove(TreePath),
    Copy(TreePath, String),
}

fn any_change() -> impl Strategy<Value = Change> {
    let dest =
        (any_path(), any::<bool>()).prop_map(|(path, folder)| format!("{path}{}", if folder { "/" } else { "" }));
    prop_oneof![
        1 => (any_path(), 0u32..0o1000).prop_map(|(path, mode)| Change::MakeAll(path, mode)),
        1 => (any_path(), 0u64..9).prop_map(|(path, size)| Change::Put(path, size)),
        1 => any_path().prop_map(Change::Remove),
        4 => (any_path(), prop_oneof![9 => dest, 1 => Just("/".to_owned())]).prop_map(|(from, to)| Change::Copy(from, to)),
    ]
}

const ATTRIBUTES: Attributes = Attributes { owner: None, mode: None, epoch: 0 };

/// Makes the change both ways; they agree on whether it can be made.
fn apply(change: &Change, editor: &mut Editor<'_>, naive: &mut Naive, from: &Merged) -> Result<bool, TestCaseError> {
    let meta = |mode| Meta { mode, ..Meta::default() };
    Ok(match change {
        Change::MakeAll(path, mode) => {
            let Ok(path) = editor.follow(path) else { return Ok(true) };
            let expected = naive.mkdir_all(&path, *mode);
            let actual = editor.mkdir_all(&path, &meta(*mode));
            prop_assert_eq!(actual.is_ok(), expected.is_ok(), "{:?}", change);
            actual.is_ok()
        }
        Change::Put(path, size) => {
            // The folder above must be one.
            if !naive.is_dir(&path.parent().unwrap_or_default()) {
                return Ok(true);
            }
            let identity = editor.new_identity();
            let content = Some(ContentDigest::of(b""));
            let new = New::File { size: *size, content, bytes: Bytes::Inline(Arc::from(&b""[..])), identity };
            editor.put(path, meta(0o600), new);
            naive.put(path, Thing::File(0o600, *size));
            true
        }
        Change::Remove(path) => {
            editor.remove(path).unwrap();
            naive.remove(path);
            true
        }
        Change::Copy(source, dest) => {
            let text = source.to_string();
            let selected = select(from, Source { path: &text, wildcard: false, parents: false, exclude: &[] });
            let Ok(matches) = selected else { return Ok(true) };
            let expected = naive.copy(&Naive::of(from), source, dest);
            let copied = matches.iter().try_for_each(|found| copy(editor, 1, found, dest, false, &ATTRIBUTES));
            prop_assert_eq!(copied.is_ok(), expected.is_ok(), "{:?}: {:?}", change, copied.err());
            copied.is_ok()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn agrees_with_a_file_system_that_is_only_a_table(
        base in any_tree(),
        from in any_tree(),
        changes in prop::collection::vec(any_change(), 1..6),
    ) {
        let base = Merged::new(base);
        let from = Merged::new(from);
        let mut naive = Naive::of(&base);
        let mut editor = Editor::new(&base);
        for change in &changes {
            if !apply(change, &mut editor, &mut naive, &from)? {
                return Ok(());
            }
            for (path, thing) in &naive.0 {
                let there = editor.lookup(path).unwrap().map(|node| node.kind == NodeKind::Dir);
                prop_assert_eq!(there, Some(matches!(thing, Thing::Dir(_))), "{} after {:?}", path, change);
            }
        }
        let edited = editor.finish().unwrap();
        let result = base.with(Arc::new(edited.toc()));
        prop_assert_eq!(Naive::of(&result), naive);
        // The layer stands on its own: whatever is in it, so are the folders above.
        let toc = edited.toc();
        for entry in toc.entries() {
            for above in entry.path.ancestors().skip(1) {
                prop_assert!(toc.get(&above).is_some_and(|entry| matches!(entry.kind, Kind::Dir { .. })), "{}", above);
            }
        }
        for entry in result.layers().last().unwrap().entries().iter().filter(|entry| entry.kind != Kind::Whiteout) {
            prop_assert!(result.lookup(&entry.path).unwrap().is_some());
        }
    }
}
