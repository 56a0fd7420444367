//! No two different ops have one key, and none have the same facts: ops are made up that are easily taken for one another.

use std::collections::{BTreeMap, HashMap};

use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::digest::DiffId;
use crate::fstree::TreePath;
use crate::graph::explain::{Fact, Facts};
use crate::graph::{GitOp, Graph, HttpOp, ImageOp, Label};

/// Texts that are easily taken for one another, or for a part of an encoding.
fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "ab", "0", "1", "true", "symbolic 0", "[", "/"]).prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = u32> {
    0u32..3
}

fn owner() -> impl Strategy<Value = Option<Owner>> {
    of((text(), of(text())).prop_map(|(user, group)| Owner { user, group }))
}

fn secret() -> impl Strategy<Value = SecretMount> {
    (text(), any::<bool>(), any::<bool>(), of(text()), [number(), number(), number()])
        .prop_map(|(id, required, file, env, [mode, uid, gid])| SecretMount { id, required, file, env, mode, uid, gid })
}

fn mount() -> impl Strategy<Value = Mount> {
    let sharing = prop::sample::select(vec![Sharing::Shared, Sharing::Private, Sharing::Locked]);
    let cache = (text(), sharing, of((0usize..2, text())), [number(), number(), number()], any::<bool>());
    let kind = prop_oneof![
        (0usize..2, text(), any::<bool>()).prop_map(|(input, source, writable)| MountKind::Bind {
            input,
            source,
            writable
        }),
        cache.prop_map(|(id, sharing, seed, [mode, uid, gid], readonly)| MountKind::Cache {
            id,
            sharing,
            seed,
            mode,
            uid,
            gid,
            readonly
        }),
        of(0u64..3).prop_map(|size| MountKind::Tmpfs { size }),
        secret().prop_map(MountKind::Secret),
        secret().prop_map(MountKind::Ssh),
        (text(), number()).prop_map(|(data, mode)| MountKind::File { data: data.into_bytes(), mode }),
    ];
    (text(), kind).prop_map(|(target, kind)| Mount { target, kind })
}

fn exec() -> impl Strategy<Value = Op> {
    let network = prop::sample::select(vec![Network::Default, Network::None, Network::Host]);
    let scrubs = btree_set(prop::sample::select(Scrub::EACH.to_vec()), 0..3);
    let lists = (vec(text(), 0..3), vec((text(), text()), 0..3), vec(mount(), 0..3), scrubs);
    (lists, [text(), text(), text()], network, any::<[bool; 2]>()).prop_map(
        |((args, env, mounts, scrubs), [cwd, user, hostname], network, [insecure, no_new_privileges])| {
            Op::Exec(Box::new(ExecOp {
                args,
                env,
                cwd,
                user,
                mounts,
                network,
                insecure,
                no_new_privileges,
                hostname,
                scrubs,
                ..ExecOp::default()
            }))
        },
    )
}

fn action() -> impl Strategy<Value = FileAction> {
    let path = || text().prop_map(TreePath::clean);
    let source = prop_oneof![
        (0usize..2, text(), any::<bool>()).prop_map(|(input, path, wildcard)| CopySource::Path {
            input,
            path,
            wildcard
        }),
        (text(), text()).prop_map(|(name, data)| CopySource::Inline { name, data: data.into_bytes() }),
    ];
    let chmod = of(prop_oneof![number().prop_map(Chmod::Octal), text().prop_map(Chmod::Symbolic)]);
    let unpack = prop::sample::select(vec![Unpack::Never, Unpack::Archives]);
    let copy = (vec(source, 0..3), text(), owner(), chmod, any::<bool>(), vec(text(), 0..3), unpack);
    prop_oneof![
        3 => copy.prop_map(|(sources, dest, owner, mode, parents, exclude, unpack)| {
            FileAction::Copy(Box::new(CopyAction { sources, dest, owner, mode, parents, exclude, unpack }))
        }),
        1 => (path(), number(), owner()).prop_map(|(path, mode, owner)| FileAction::Mkdir { path, mode, owner }),
        1 => (path(), text(), number(), owner()).prop_map(|(path, data, mode, owner)| FileAction::Mkfile {
            path,
            data: data.into_bytes(),
            mode,
            owner
        }),
        1 => (path(), text(), owner()).prop_map(|(path, target, owner)| FileAction::Symlink {
            path,
            target: target.into_bytes(),
            owner
        }),
        1 => (text(), any::<bool>()).prop_map(|(path, allow_missing)| FileAction::Remove { path, allow_missing }),
    ]
}

/// Ops that differ in nothing that is left out of keys on purpose.
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => prop::sample::select(vec![Op::Scratch, Op::Merge, Op::Diff]),
        1 => vec(any::<bool>(), 0..4).prop_map(|layers| {
            let layers = layers.into_iter().map(|one| DiffId::from_bytes([u8::from(one); 32])).collect();
            Op::Image(ImageOp { reference: String::new(), layers })
        }),
        1 => (text(), vec(text(), 0..4)).prop_map(|(name, ignore)| Op::Local(LocalOp { name, ignore })),
        1 => (text(), text(), of(-1i64..2)).prop_map(|(name, data, modified)| {
            let digest = Digest::of(data.as_bytes());
            Op::Http(HttpOp { url: String::new(), name, digest, modified })
        }),
        1 => (text(), text(), text(), any::<bool>(), any::<bool>()).prop_map(
            |(url, commit, subdir, keep_git_dir, submodules)| {
                let url = if keep_git_dir { url } else { String::new() };
                Op::Git(GitOp { url, commit, subdir, keep_git_dir, submodules })
            }
        ),
        // Little ones, so that many differ in one place only.
        8 => mount().prop_map(|mount| {
            Op::Exec(Box::new(ExecOp { mounts: vec![mount], ..ExecOp::default() }))
        }),
        8 => action().prop_map(|action| Op::File(FileOp { actions: vec![action] })),
        8 => exec(),
        8 => vec(action(), 0..4).prop_map(|actions| Op::File(FileOp { actions })),
    ]
}

proptest! {
    #[test]
    fn no_two_different_ops_have_one_key(ops in vec(op(), 100)) {
        let mut seen: HashMap<DefinitionDigest, Op> = HashMap::new();
        let mut explained: BTreeMap<Vec<Fact>, DefinitionDigest> = BTreeMap::new();
        for op in ops {
            let digest = key(&op);
            let mut graph = Graph::new();
            let id = graph.add(op.clone(), &[], "linux/amd64".parse().unwrap(), Label::default(), false);
            let other = explained.insert(Facts::of(&graph[id]).0, digest);
            prop_assert!(other.is_none_or(|other| other == digest), "two keys have the same facts: {:?}", op);
            prop_assert_eq!(digest, key(&op.clone()));
            let first = seen.entry(digest).or_insert_with(|| op.clone());
            prop_assert_eq!(&*first, &op);
        }
    }
}
