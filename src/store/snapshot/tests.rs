//! On a real disk. Owners, devices and overlay marks need root: without it, these tests say so and pass.

mod overlay;
mod property;
mod scrub;
mod tools;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::digest::ContentDigest;
use crate::fstree::tar::{self, Dialect, Limits, TarReader, Verify};
use crate::fstree::{Entry, Kind, Merged, Meta, Toc};

const EPOCH: i64 = 315_532_800;

/// No times are accidents.
const AS_IT_IS: CommitOptions = CommitOptions {
    overlay: Overlay::Trusted,
    settle: Settle { clock: None, epoch: EPOCH, ceiling: None },
    stop: crate::store::Stop::NEVER,
};

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

fn path(path: &str) -> TreePath {
    TreePath::clean(path)
}

fn meta(mode: u32) -> Meta {
    Meta { mode, mtime: 1_000_000_000, ..Meta::default() }
}

fn root_meta() -> Meta {
    meta(0o755)
}

/// An entry; mode 0777 for symbolic links, nothing for whiteouts.
fn entry(name: &str, mode: u32, kind: Kind) -> Entry {
    let meta = match kind {
        Kind::Whiteout => Meta::default(),
        Kind::Symlink(_) => meta(0o777),
        _ => meta(mode),
    };
    Entry { path: path(name), meta, kind }
}

const DIR: Kind = Kind::Dir { opaque: false };
const OPAQUE: Kind = Kind::Dir { opaque: true };

fn file(text: &str) -> Kind {
    Kind::File { size: text.len() as u64, content: ContentDigest::of(text.as_bytes()) }
}

/// Bytes of files by their hash: each file knows its own.
#[derive(Default, Clone)]
struct Texts(BTreeMap<ContentDigest, Vec<u8>>);

impl Texts {
    fn new(texts: &[&str]) -> Self {
        Self(
            texts
                .iter()
                .chain([&""])
                .map(|text| (ContentDigest::of(text.as_bytes()), text.as_bytes().to_vec()))
                .collect(),
        )
    }

    fn get(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        match &entry.kind {
            Kind::File { content, .. } => self.0.get(content).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl FileSource for Texts {
    fn open(&self, entry: &Entry) -> io::Result<Source> {
        Ok(Source::Reader(Box::new(io::Cursor::new(self.get(entry)?))))
    }
}

impl tar::Contents for Texts {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(io::Cursor::new(self.get(entry)?)))
    }
}

fn open(folder: &Path) -> OwnedFd {
    File::open(folder).unwrap().into()
}

fn options() -> WriteOptions {
    WriteOptions { overlay: Overlay::Trusted, root: root_meta(), verify: true }
}

fn written(toc: &Toc, texts: &Texts) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(toc, texts, open(folder.path()).as_fd(), &options()).unwrap();
    folder
}

/// Unpacks a tar over `lower`.
fn unpacked(
    bytes: &[u8],
    dialect: Dialect,
    base: &str,
    lower: &Merged,
) -> Result<(Toc, tempfile::TempDir), SnapshotError> {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = TarReader::new(bytes, dialect, Limits::default());
    let options = Unpack {
        lower,
        alone: false,
        files: &NoLowerFiles,
        base: path(base),
        implied: Meta { mtime: EPOCH, ..meta(0o755) },
        overlay: Overlay::Trusted,
        adjust: &|_| {},
    };
    let unpacked = unpack(&mut reader, open(folder.path()).as_fd(), &options);
    if base.is_empty() {
        let listed = list(&mut TarReader::new(bytes, dialect, Limits::default()), Some(lower), &options.implied);
        match (&unpacked, listed) {
            (Ok(toc), Ok(listed)) => assert_eq!(listed, *toc),
            (Err(SnapshotError::Io { .. }), _) => {}
            (Err(error), Err(listed)) => assert_eq!(listed.to_string(), error.to_string()),
            (unpacked, listed) => panic!("{listed:?} {unpacked:?}"),
        }
    }
    Ok((unpacked?, folder))
}

fn commit_in(folder: &Path, view: &Merged) -> Toc {
    commit(open(folder).as_fd(), view, &AS_IT_IS).unwrap()
}

fn stack(layers: &[&Toc]) -> Merged {
    Merged::new(layers.iter().map(|&toc| Arc::new(toc.clone())).collect())
}

fn names(toc: &Toc) -> Vec<String> {
    toc.entries().iter().map(|entry| entry.path.to_string()).collect()
}

fn sample() -> (Toc, Texts) {
    let xattrs =
        BTreeMap::from([(b"security.capability".to_vec(), b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec())]);
    let mut special = entry("bin/ping", 0o6755, file("ping"));
    special.meta = Meta { uid: 12, gid: 34, mtime: -86_400, xattrs, ..special.meta };
    let second = Entry { path: path("bin/ping6"), kind: Kind::Hardlink(path("bin/ping")), ..special.clone() };
    let toc = Toc::new(vec![
        entry("", 0o700, DIR),
        entry("bin", 0o1777, OPAQUE),
        special,
        second,
        entry("bin/sh", 0, Kind::Symlink(b"/usr/bin/\xff".to_vec())),
        entry("dev", 0o555, DIR),
        entry("dev/null", 0o666, Kind::Char(1, 3)),
        entry("dev/loop", 0o640, Kind::Block(7, 300)),
        entry("dev/pipe", 0o2600, Kind::Fifo),
        entry("empty", 0o000, file("")),
        entry("gone", 0, Kind::Whiteout),
        entry("late", 0o644, file("x")),
    ]);
    (toc, Texts::new(&["ping", "x"]))
}

#[test]
fn a_folder_equals_the_data_it_was_written_from() {
    if !is_root() {
        return;
    }
    let (toc, texts) = sample();
    let folder = written(&toc, &texts);
    let stat = fs::symlink_metadata(folder.path().join("bin/ping")).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid(), stat.mtime()), (0o6755, 12, 34, -86_400));
    assert_eq!((stat.nlink(), stat.mtime_nsec()), (2, 0));
    let gone = fs::symlink_metadata(folder.path().join("gone")).unwrap();
    assert_eq!((gone.mode() & 0o170_000, gone.rdev()), (0o020_000, 0));
    let below = Toc::new(vec![entry("bin", 0o755, DIR), entry("gone", 0o755, file("x"))]);
    assert_eq!(commit_in(folder.path(), &stack(&[&below])), toc);
    // A plain reading knows nothing of overlays.
    let plain = import(open(folder.path()).as_fd(), &AS_IT_IS.settle).unwrap();
    let expected = toc.entries().iter().filter(|entry| entry.kind != Kind::Whiteout).cloned().map(|mut entry| {
        if let Kind::Dir { opaque } = &mut entry.kind {
            *opaque = false;
        }
        entry
    });
    assert_eq!(plain, Toc::new(expected.collect()));
}

#[test]
fn overlays_without_privileges_keep_their_notes_elsewhere() {
    if !is_root() {
        return;
    }
    let (toc, texts) = sample();
    let folder = tempfile::tempdir().unwrap();
    let rootless = WriteOptions { overlay: Overlay::User, ..options() };
    write(&toc, &texts, open(folder.path()).as_fd(), &rootless).unwrap();
    let names = |name: &str| {
        let file = File::open(folder.path().join(name)).unwrap();
        attributes::read(&file, |_| true).unwrap().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names("bin"), [b"user.overlay.opaque".to_vec()]);
    let below = stack(&[&Toc::new(vec![entry("bin", 0o755, DIR), entry("gone", 0o755, file("x"))])]);
    let options = CommitOptions { overlay: Overlay::User, ..AS_IT_IS };
    assert_eq!(commit(open(folder.path()).as_fd(), &below, &options).unwrap(), toc);
}

#[test]
fn unpacking_a_tar_makes_what_was_written_to_it() {
    if !is_root() {
        return;
    }
    let (toc, texts) = sample();
    let bytes = tar::write(&toc, &texts, Verify::Content, Vec::new()).unwrap();
    let below = stack(&[&Toc::new(vec![entry("bin", 0o755, DIR), entry("gone", 0o755, file("x"))])]);
    let (read, folder) = unpacked(&bytes, Dialect::Layer, "", &below).unwrap();
    assert_eq!(read, toc);
    assert_eq!(commit_in(folder.path(), &below), toc);
    let again = tar::write(&read, &SnapshotFiles::new(open(folder.path())), Verify::Content, Vec::new()).unwrap();
    assert!(again == bytes);
}

#[test]
fn large_files_and_many_folders() {
    if !is_root() {
        return;
    }
    let large = "0123456789abcdef".repeat(100_000);
    let mut entries = vec![entry("large", 0o600, file(&large))];
    for at in 0..60 {
        entries.push(entry(&format!("d{at}"), 0o755, DIR));
        for name in 0..10 {
            entries.push(entry(&format!("d{at}/f{name}"), 0o644, file(["a", "b"][name % 2])));
        }
    }
    let (toc, texts) = (Toc::new(entries), Texts::new(&[&large, "a", "b"]));
    let folder = written(&toc, &texts);
    let files = SnapshotFiles::new(open(folder.path()));
    let bytes = tar::write(&toc, &files, Verify::Content, Vec::new()).unwrap();
    let (read, second) = unpacked(&bytes, Dialect::Layer, "", &Merged::default()).unwrap();
    assert_eq!(read, toc);
    // From file to file.
    let third = tempfile::tempdir().unwrap();
    let copying = WriteOptions { verify: false, ..options() };
    write(&toc, &files, open(third.path()).as_fd(), &copying).unwrap();
    for folder in [&folder, &second, &third] {
        assert_eq!(commit_in(folder.path(), &Merged::default()), toc);
    }
}

#[test]
fn notices_sources_that_change() {
    if !is_root() {
        return;
    }
    let mut texts = Texts::new(&["right"]);
    texts.0.insert(ContentDigest::of(b"right"), b"wrong".to_vec());
    let toc = Toc::new(vec![entry("f", 0o644, file("right"))]);
    let folder = tempfile::tempdir().unwrap();
    let error = write(&toc, &texts, open(folder.path()).as_fd(), &options()).unwrap_err();
    assert_eq!(error.to_string(), "/f: changed while it was read");
}

/// A tar from (name, kind, text or target), as tests need it: with Python's and GNU's liberties.
fn liberal(entries: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, flag, text) in entries {
        let mut header = ::tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkflag = [*flag];
        header.set_mode(if *flag == b'5' { 0o711 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        let has_data = *flag == b'0';
        header.set_size(if has_data { text.len() as u64 } else { 0 });
        if !has_data {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        if has_data {
            out.extend_from_slice(text.as_bytes());
            out.resize(out.len().next_multiple_of(512), 0);
        }
    }
    out
}

/// A layer that a step made says what it hides, and is the same wherever it is unpacked.
#[test]
fn made_layers_are_unpacked_alone() {
    if !is_root() {
        return;
    }
    let text = "text of a file";
    let toc = Toc::new(vec![
        entry("d", 0o701, Kind::Dir { opaque: true }),
        entry("d/e", 0o702, DIR),
        entry("d/e/gone", 0, Kind::Whiteout),
        entry("d/f", 0o640, file(text)),
        entry("g", 0o640, Kind::Hardlink(path("d/f"))),
        entry("gone", 0, Kind::Whiteout),
        entry("l", 0, Kind::Symlink("d".into())),
    ]);
    let bytes = tar::write(&toc, &Texts::new(&[text]), Verify::Content, Vec::new()).unwrap();
    let reader = || TarReader::new(&bytes[..], Dialect::Layer, Limits::default());
    assert_eq!(list(&mut reader(), None, &meta(0o755)).unwrap(), toc);
    let folder = tempfile::tempdir().unwrap();
    let nothing = Merged::new(Vec::new());
    let options = Unpack {
        lower: &nothing,
        alone: true,
        files: &NoLowerFiles,
        base: TreePath::root(),
        implied: meta(0o755),
        overlay: Overlay::Trusted,
        adjust: &|_| {},
    };
    assert_eq!(unpack(&mut reader(), open(folder.path()).as_fd(), &options).unwrap(), toc);
    let folder = tempfile::tempdir().unwrap();
    let options = Unpack { alone: false, ..options };
    let others = unpack(&mut reader(), open(folder.path()).as_fd(), &options).unwrap();
    assert_ne!(others, toc, "what is not below needs no mark");
}

fn check_unpack(
    dialect: Dialect,
    base: &str,
    lower: &[Entry],
    tar: &[(&str, u8, &str)],
    expected: Result<&[&str], &str>,
) {
    let lower = stack(&[&Toc::new(lower.to_vec())]);
    let result = unpacked(&liberal(tar), dialect, base, &lower).map(|(toc, folder)| {
        // What is on the disk is what is said, whatever way it came there.
        let found = import(open(folder.path()).as_fd(), &AS_IT_IS.settle).unwrap();
        let plain = |toc: &Toc| -> Vec<(TreePath, Meta)> {
            let gone = |entry: &&Entry| entry.kind != Kind::Whiteout;
            let kept = toc.entries().iter().filter(gone).filter(|entry| !entry.path.is_root());
            kept.map(|entry| (entry.path.clone(), entry.meta.clone())).collect()
        };
        assert_eq!(plain(&found), plain(&toc));
        let line = |entry: &Entry| match &entry.kind {
            Kind::Dir { opaque } => {
                format!("{} {:o}{}", entry.path, entry.meta.mode, if *opaque { " opaque" } else { "" })
            }
            Kind::File { size, .. } => format!("{} {size}", entry.path),
            Kind::Symlink(target) => format!("{} -> {}", entry.path, String::from_utf8_lossy(target)),
            Kind::Hardlink(target) => format!("{} = {target}", entry.path),
            kind => format!("{} {kind:?}", entry.path),
        };
        toc.entries().iter().map(line).collect::<Vec<_>>()
    });
    match (result, expected) {
        (Ok(actual), Ok(expected)) => assert_eq!(actual, expected),
        (Err(actual), Err(expected)) => assert_eq!(actual.to_string(), expected),
        (actual, _) => panic!("{actual:?}, not {expected:?}"),
    }
}

#[test]
fn archives_are_unpacked_below_their_destination() {
    if !is_root() {
        return;
    }
    let check = |base, lower: &[Entry], tar: &[(&str, u8, &str)], expected| {
        check_unpack(Dialect::Archive, base, lower, tar, expected);
    };
    let link = |name, target: &str| entry(name, 0, Kind::Symlink(target.into()));
    check(
        "deep/er",
        &[],
        &[("../../etc/passwd", b'0', "x"), ("/abs", b'0', "")],
        Ok(&["/deep 755", "/deep/er 755", "/deep/er/abs 0", "/deep/er/etc 755", "/deep/er/etc/passwd 1"]),
    );
    check(
        "out",
        &[],
        &[("l", b'2', "../../../tgt"), ("tgt", b'5', ""), ("l/f", b'0', "thru")],
        Ok(&["/out 755", "/out/l -> ../../../tgt", "/out/tgt 711", "/out/tgt/f 4"]),
    );
    check(
        "out",
        &[],
        &[("f", b'0', "first"), ("g", b'1', "f"), ("f", b'0', "second"), ("d/x", b'0', ""), ("d", b'5', "")],
        Ok(&["/out 755", "/out/d 711", "/out/d/x 0", "/out/f 6", "/out/g 5"]),
    );
    check(
        "",
        &[entry("bin", 0, Kind::Symlink("usr/bin".into()))],
        &[("bin", b'5', ""), ("bin/tool", b'0', "")],
        Ok(&["/bin 711", "/bin/tool 0"]),
    );
    check(
        "",
        &[link("bin", "usr/bin"), entry("usr", 0o755, DIR), entry("usr/bin", 0o750, DIR)],
        &[("bin/tool", b'0', "")],
        Ok(&["/usr 755", "/usr/bin 750", "/usr/bin/tool 0"]),
    );
    check(
        "out",
        &[entry("out", 0o755, DIR), link("out/l", "../tgt")],
        &[("l/f", b'0', "x")],
        Err("/out/l/f: the symbolic link /out/l above it does not lead to a folder"),
    );
    check(
        "",
        &[],
        &[("a", b'2', "b"), ("b", b'2', "a"), ("a/f", b'0', "")],
        Err("/a/f: the symbolic link /a above it does not lead to a folder"),
    );
    check("f", &[entry("f", 0o644, file(""))], &[("x", b'0', "")], Err("/f/x: /f is not a folder"));
    check("", &[], &[("f", b'0', ""), ("f/x", b'0', "")], Err("/f/x: /f is not a folder"));
    check("", &[], &[("h", b'1', "none")], Err("/h: it is a hard link to /none, which does not exist or is a folder"));
    check("", &[], &[("d/x/y", b'0', "a"), ("d/l", b'2', "x"), ("d", b'0', "b"), ("d", b'5', "")], Ok(&["/d 711"]));
    check("", &[], &[("b", b'0', "x"), ("a", b'1', "b")], Ok(&["/a 1", "/b = /a"]));
    // What others would take for whiteouts.
    let base = [entry("d", 0o755, DIR), entry("d/x", 0o644, file("")), entry("e", 0o755, DIR)];
    let marks = [("d/.wh.x", b'0', ""), ("d/.wh.none/y", b'0', ""), ("e/.wh..wh..opq", b'0', ""), ("e/.wh.", b'0', "")];
    check("", &base, &marks, Ok(&["/d 755", "/d/x Whiteout", "/e 755 opaque"]));
}

#[test]
fn several_archives_and_files_make_one_layer() {
    if !is_root() {
        return;
    }
    let lower = Merged::default();
    let options = Unpack {
        lower: &lower,
        alone: false,
        files: &NoLowerFiles,
        base: path("out"),
        implied: root_meta(),
        overlay: Overlay::Trusted,
        adjust: &|raw| raw.meta.uid = 7,
    };
    let folder = tempfile::tempdir().unwrap();
    let root = open(folder.path());
    let mut unpacker = Unpacker::new(root.as_fd(), Dialect::Archive, &options);
    for tar in
        [liberal(&[("one", b'0', "1"), ("same", b'0', "1")]), liberal(&[("same", b'0', "two"), ("two", b'0', "2")])]
    {
        unpacker.archive(&mut TarReader::new(&tar[..], Dialect::Archive, Limits::default())).unwrap();
    }
    let raw = |size| tar::RawEntry { path: path("two"), meta: meta(0o600), kind: tar::RawKind::File(size) };
    unpacker.entry(raw(5), &mut &b"three"[..]).unwrap();
    let owned = |entry: Entry| Entry { meta: Meta { uid: 7, ..entry.meta }, ..entry };
    let expected = Toc::new(vec![
        entry("out", 0o755, DIR),
        owned(entry("out/one", 0o644, file("1"))),
        owned(entry("out/same", 0o644, file("two"))),
        owned(entry("out/two", 0o600, file("three"))),
    ]);
    assert_eq!(unpacker.finish().unwrap(), expected);
    assert_eq!(commit_in(folder.path(), &lower), expected);
    let empty = tempfile::tempdir().unwrap();
    let root = open(empty.path());
    let mut unpacker = Unpacker::new(root.as_fd(), Dialect::Archive, &options);
    let error = unpacker.entry(raw(4), &mut &b"three"[..]).unwrap_err();
    assert_eq!(error.to_string(), "/out/two: changed while it was read");
}

#[test]
fn layers_are_unpacked_over_lower_ones() {
    if !is_root() {
        return;
    }
    let check =
        |lower: &[Entry], tar: &[(&str, u8, &str)], expected| check_unpack(Dialect::Layer, "", lower, tar, expected);
    let lower = [
        entry("d", 0o701, DIR),
        entry("d/e", 0o702, DIR),
        entry("d/e/f", 0o644, file("")),
        entry("l", 0, Kind::Symlink("d".into())),
    ];
    check(&lower, &[("d/e/g", b'0', "")], Ok(&["/d 701", "/d/e 702", "/d/e/g 0"]));
    check(&lower, &[("d/.wh.e", b'0', ""), (".wh.none", b'0', "")], Ok(&["/d 701", "/d/e Whiteout"]));
    check(&lower, &[("d/.wh.e", b'0', ""), ("d/e", b'5', "")], Ok(&["/d 701", "/d/e 711 opaque"]));
    check(&lower, &[("d/e", b'5', ""), ("d/.wh.e", b'0', "")], Ok(&["/d 701", "/d/e 711 opaque"]));
    check(&lower, &[("d/e", b'0', "x"), ("d/.wh.e", b'0', "")], Ok(&["/d 701", "/d/e 1"]));
    check(&lower, &[("d/e/.wh..wh..opq", b'0', "")], Ok(&["/d 701", "/d/e 702 opaque"]));
    check(
        &lower,
        &[("d/e/n", b'5', ""), ("d/.wh..wh..opq", b'0', "")],
        Ok(&["/d 701 opaque", "/d/e 702", "/d/e/n 711"]),
    );
    check(&lower, &[("new/.wh..wh..opq", b'0', ""), ("new/.wh.x", b'0', "")], Ok(&["/new 755"]));
    check(&lower, &[("l/x", b'0', "")], Ok(&["/l 755", "/l/x 0"]));
    check(&lower, &[("m", b'2', "d"), ("m/x", b'0', "")], Ok(&["/d 701", "/d/x 0", "/m -> d"]));
    check(&lower, &[("./", b'5', "")], Ok(&["/ 711"]));
}

#[test]
fn hard_links_to_lower_layers_are_copied() {
    if !is_root() {
        return;
    }
    let lower_toc = Toc::new(vec![entry("f", 0o640, file("text"))]);
    let lower_folder = written(&lower_toc, &Texts::new(&["text"]));
    let layers = [SnapshotFiles::new(open(lower_folder.path()))];
    let lower = stack(&[&lower_toc]);
    let folder = tempfile::tempdir().unwrap();
    let bytes = liberal(&[("g", b'1', "f")]);
    let mut reader = TarReader::new(&bytes[..], Dialect::Layer, Limits::default());
    let options = Unpack {
        lower: &lower,
        alone: false,
        files: &&layers[..],
        base: TreePath::root(),
        implied: root_meta(),
        overlay: Overlay::Trusted,
        adjust: &|_| {},
    };
    let toc = unpack(&mut reader, open(folder.path()).as_fd(), &options).unwrap();
    assert_eq!(toc, Toc::new(vec![entry("g", 0o640, file("text"))]));
    assert_eq!(fs::read(folder.path().join("g")).unwrap(), b"text");
}

#[test]
fn what_is_the_same_below_is_dropped() {
    if !is_root() {
        return;
    }
    let base = [
        entry("d", 0o755, DIR),
        entry("d/e", 0o755, DIR),
        entry("d/e/f", 0o644, file("f")),
        entry("d/e/h", 0o644, Kind::Hardlink(path("d/e/f"))),
        entry("g", 0o644, file("g")),
    ];
    let view = stack(&[&Toc::new(base.to_vec())]);
    let texts = Texts::new(&["f", "g", "n"]);
    let check = |layer: &[Entry], expected: &[&str]| {
        let folder = written(&Toc::new(layer.to_vec()), &texts);
        let toc = commit_in(folder.path(), &view);
        assert_eq!(names(&toc), expected);
        assert_eq!(names(&commit_in(folder.path(), &view)), expected, "the folder was not tidied");
        toc
    };
    check(&base, &[]);
    check(&[entry("d", 0o755, DIR), entry("d/n", 0o644, file("n"))], &["/d", "/d/n"]);
    check(&[entry("d", 0o700, DIR)], &["/d"]);
    check(&[entry("d", 0o755, DIR), entry("d/e", 0o755, DIR), entry("g", 0o644, file("n"))], &["/g"]);
    check(&[entry("none", 0, Kind::Whiteout), entry("g", 0, Kind::Whiteout)], &["/g"]);
    check(
        &[entry("d", 0o755, OPAQUE), entry("d/e", 0o755, OPAQUE), entry("d/none", 0, Kind::Whiteout)],
        &["/d", "/d/e"],
    );
    let toc = check(&[entry("new", 0o755, OPAQUE)], &["/new"]);
    assert_eq!(toc.entries()[0].kind, DIR);
    // One of two names, changed and changed back; and a name that was not one of that file's before.
    check(&[entry("d", 0o755, DIR), entry("d/e", 0o755, DIR), base[2].clone()], &[]);
    check(&[entry("g", 0o644, file("g")), entry("h", 0o644, Kind::Hardlink(path("g")))], &["/g", "/h"]);
    check(&base[..4], &[]);
}

#[test]
fn names_like_whiteouts_are_whiteouts() {
    if !is_root() {
        return;
    }
    let base = Toc::new(vec![
        entry("data", 0o755, DIR),
        entry("data/keep", 0o644, file("k")),
        entry("data/other", 0o644, file("o")),
        entry("more", 0o755, DIR),
        entry("more/x", 0o644, file("k")),
    ]);
    let view = stack(&[&base]);
    let layer = Toc::new(vec![
        entry("data", 0o755, DIR),
        entry("data/.wh.keep", 0o644, file("")),
        entry("data/.wh.nothing", 0o644, file("")),
        entry("data/.whx", 0o644, file("o")),
        entry("data/.wh.dir", 0o755, DIR),
        entry("data/.wh.dir/in", 0o644, file("")),
        entry("more", 0o755, DIR),
        entry("more/.wh..wh..opq", 0o644, file("")),
    ]);
    let folder = written(&layer, &Texts::new(&["k", "o"]));
    let toc = commit_in(folder.path(), &view);
    assert_eq!(names(&toc), ["/data", "/data/.whx", "/data/keep", "/more"]);
    assert_eq!(toc.get(&path("data/keep")).unwrap().kind, Kind::Whiteout);
    assert_eq!(toc.get(&path("more")).unwrap().kind, OPAQUE);
    assert_eq!(commit_in(folder.path(), &view), toc);
}

#[test]
fn sockets_go_and_what_they_replaced_too() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let listeners = ["a", "b"].map(|name| std::os::unix::net::UnixListener::bind(folder.path().join(name)).unwrap());
    let view = stack(&[&Toc::new(vec![entry("a", 0o644, file(""))])]);
    let toc = commit_in(folder.path(), &view);
    assert_eq!(toc, Toc::new(vec![entry("a", 0, Kind::Whiteout)]));
    assert_eq!(commit_in(folder.path(), &view), toc);
    drop(listeners);
}

#[test]
fn refuses_overlays_that_redirect() {
    if !is_root() {
        return;
    }
    let folder = written(&Toc::new(vec![entry("d", 0o755, DIR)]), &Texts::default());
    let d = File::open(folder.path().join("d")).unwrap();
    rustix::fs::fsetxattr(&d, "trusted.overlay.redirect", b"/x", rustix::fs::XattrFlags::empty()).unwrap();
    let error = commit(open(folder.path()).as_fd(), &Merged::default(), &AS_IT_IS).unwrap_err();
    assert!(error.to_string().starts_with("/d: it has trusted.overlay.redirect; the overlay must be mounted with"));
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::Mode::RUSR).unwrap();
    if is_root() {
        // `/dev/full` can be read without end.
        let (kind, device) = (rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 7));
        let made =
            rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("device"), kind, rustix::fs::Mode::RUSR, device);
        made.unwrap();
    }
    let files = SnapshotFiles::new(File::open(folder.path()).unwrap().into());
    let read = |name: &str| files.file(&TreePath::clean(name)).and_then(io::read_to_string);
    assert_eq!(read("file").unwrap(), "text");
    for name in ["link", "pipe", "device", "none"] {
        assert!(read(name).is_err(), "{name}");
        let root = File::open(folder.path()).unwrap();
        assert!(super::tree::open_file(&root, name.as_ref()).is_err(), "{name}");
    }
}
