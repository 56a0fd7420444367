//! What comes in: streams in any compression, layers on top of others, and archives on top of what an image has.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use imgbuild::fstree::edit::{Bytes, Editor};
use imgbuild::fstree::tar::{Dialect, Limits, TarReader, list};
use imgbuild::fstree::{Kind, Merged, Meta, Toc, TreePath, View, copy};
use imgbuild::store::intake::{self, ArchiveLimits};
use imgbuild::store::snapshot;

use crate::archive::with_checksums;

const LIMITS: Limits = Limits { header_bytes: 1 << 16, entries: 1000, content_bytes: 1 << 22, name_bytes: 1 << 22 };

/// A stream in whatever compression it claims: no more comes out than the limit says.
pub fn compressed(data: &[u8]) {
    let limits = ArchiveLimits { unpacked: 1 << 20, ratio: 200 };
    let Ok((_, mut reader, _)) = intake::open(data, limits) else { return };
    let (mut buffer, mut total) = (vec![0; 64 << 10], 0);
    while let Ok(read @ 1..) = reader.read(&mut buffer) {
        total += read;
    }
    assert!(total <= 1 << 20);
}

/// Two tars, of which the first one has as many blocks as the first byte says: the second as a layer on top of the first, and
/// as an archive that is added to it.
pub fn unpack(data: &[u8]) {
    let Some((blocks, data)) = data.split_first() else { return };
    let data = with_checksums(data);
    let (lower, upper) = data.split_at(data.len().min(usize::from(*blocks) * 512));
    let reader = |bytes| TarReader::new(bytes, Dialect::Layer, LIMITS);
    let implied = Meta { mode: 0o755, ..Meta::default() };
    let Ok(below) = snapshot::list(&mut reader(lower), Some(&Merged::default()), &implied) else { return };
    check(&below);
    let view = Merged::new(vec![Arc::new(below)]);
    if let Ok(layer) = snapshot::list(&mut reader(upper), Some(&view), &implied) {
        check(&layer);
        let both = view.with(Arc::new(layer));
        let root = TreePath::root();
        for (name, node) in both.children(&root).expect("data can be read") {
            assert_eq!(both.lookup(&root.join(&name)).expect("data can be read"), Some(node));
        }
    }
    let mut archive = TarReader::new(upper, Dialect::Archive, LIMITS);
    let Ok(listing) = list(&mut archive) else { return };
    let mut editor = Editor::new(&view);
    let attributes = copy::Attributes { owner: None, mode: None, epoch: 0 };
    let bytes = |_| Bytes::Inline(Arc::from(&b""[..]));
    if copy::unpack(&mut editor, listing.toc.entries(), &bytes, "/d/e", &attributes).is_ok() {
        let made = editor.finish().expect("data can be read").toc();
        check(&made);
        // What is added below a folder stays there.
        let place = TreePath::clean("d/e");
        let link = view.layers()[0].entries().iter().any(|entry| matches!(entry.kind, Kind::Symlink(_)));
        assert!(link || made.entries().iter().all(|entry| entry.path.starts_with(&place) || place.starts_with(&entry.path)));
    }
}

/// A layer makes sense: it is encoded canonically, folders come with what is in them, and links lead to what is there.
fn check(toc: &Toc) {
    assert_eq!(Toc::decode(&toc.encode()).as_ref(), Ok(toc));
    let mut folders = BTreeSet::from([TreePath::root()]);
    for entry in toc.entries() {
        if let Some(parent) = entry.path.parent() {
            assert!(folders.contains(&parent), "{} stands in nothing", entry.path);
        }
        match &entry.kind {
            Kind::Dir { .. } => drop(folders.insert(entry.path.clone())),
            Kind::Hardlink(first) => {
                let first = toc.get(first).expect("a hard link leads to something");
                assert!(first.path < entry.path && !matches!(first.kind, Kind::Hardlink(_) | Kind::Dir { .. } | Kind::Whiteout));
            }
            _ => {}
        }
    }
}
