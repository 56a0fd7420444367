//! Reading and writing together, and against archives made by hand.

use std::collections::BTreeMap;
use std::io::{self, Read};

use proptest::prelude::*;

use super::*;
use crate::digest::{ContentDigest, Digest};
use crate::fstree::{Entry, Kind, Meta, Toc, TreePath};

/// Bytes of files by their path.
pub(crate) struct Memory(BTreeMap<Vec<u8>, Vec<u8>>);

impl Contents for Memory {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        let bytes = self.0.get(entry.path.as_bytes()).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(&bytes[..]))
    }
}

/// A tar by hand: (type, name, link or content) with ustar headers.
fn archive(entries: &[(u8, &str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (flag, name, data) in entries {
        let mut header = ::tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkflag = [*flag];
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(7);
        let link = matches!(flag, b'1' | b'2');
        if link {
            header.as_old_mut().linkname[..data.len()].copy_from_slice(data);
        }
        header.set_size(if link { 0 } else { data.len() as u64 });
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        if !link {
            out.extend_from_slice(data);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
    }
    out
}

fn read_all(bytes: &[u8], dialect: Dialect) -> Result<Vec<(RawEntry, Vec<u8>)>, TarError> {
    let mut reader = TarReader::new(bytes, dialect, Limits { content_bytes: 1 << 24, ..Limits::default() });
    let mut all = Vec::new();
    while let Some((entry, mut content)) = reader.next()? {
        let mut data = Vec::new();
        if let Err(error) = content.read_to_end(&mut data) {
            let reason = Reason::Io(error);
            return Err(TarError { entry: None, offset: 0, reason });
        }
        all.push((entry, data));
    }
    Ok(all)
}

fn listing(bytes: &[u8], dialect: Dialect) -> Vec<String> {
    let all = read_all(bytes, dialect).unwrap();
    all.iter()
        .map(|(entry, data)| format!("{} {:?} {}", entry.path, entry.kind, String::from_utf8_lossy(data)))
        .collect()
}

fn pax_records(records: &[(&str, &str)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        pax::write(key.as_bytes(), value.as_bytes(), &mut data);
    }
    data
}

#[test]
fn clamps_names_and_keeps_links() {
    let tar = archive(&[
        (b'0', "../../etc/passwd", b"x"),
        (b'0', "/abs", b""),
        (b'2', "l", b"../../../out"),
        (b'1', "h", b"/../abs"),
        (b'5', "./", b""),
        (0, "old/", b""),
    ]);
    assert_eq!(
        listing(&tar, Dialect::Archive),
        [
            "/etc/passwd File(1) x",
            "/abs File(0) ",
            "/l Symlink([46, 46, 47, 46, 46, 47, 46, 46, 47, 111, 117, 116]) ",
            "/h Hardlink(/abs) ",
            "/ Dir ",
            "/old Dir ",
        ]
    );
}

#[test]
fn whiteouts_are_marks_in_layers_only() {
    let tar = archive(&[
        (b'0', "d/.wh.gone", b""),
        (b'0', "d/.wh..wh..opq", b""),
        (b'0', ".wh..wh.plnk", b""),
        (b'0', ".wh.d/under", b""),
    ]);
    assert_eq!(listing(&tar, Dialect::Layer), ["/d/gone Whiteout ", "/d Opaque "]);
    assert_eq!(read_all(&tar, Dialect::Archive).unwrap().len(), 4);
}

#[test]
fn the_first_block_of_zeros_ends_it() {
    let mut tar = archive(&[(b'0', "a", b"1")]);
    assert_eq!(listing(&tar, Dialect::Archive).len(), 1, "no end at all");
    tar.extend_from_slice(&[0; 1024]);
    tar.extend_from_slice(b"garbage");
    assert_eq!(listing(&tar, Dialect::Archive).len(), 1);
    let mut reader = TarReader::new(&tar[..], Dialect::Archive, Limits::default());
    while reader.next().unwrap().is_some() {}
    reader.drain().unwrap();
    assert!(reader.into_inner().is_empty());
}

#[test]
fn errors_name_the_entry() {
    let check = |tar: &[u8], expected: &str| {
        assert_eq!(read_all(tar, Dialect::Archive).unwrap_err().to_string(), expected);
    };
    check(&[b'x'; 512], "tar archive, at byte 0: this is not a tar header (its checksum is wrong)");
    check(&archive(&[(b'0', "a", b"")])[..100], "tar archive, at byte 0: the archive is cut off here");
    check(&archive(&[(b'0', ".", b"1")]), "tar entry \".\" at byte 0: it would replace the root folder");
    check(
        &archive(&[(b'0', "a", b""), (b'M', "part", b"")]),
        "tar entry \"part\" at byte 512: it has the type 'M', which cannot be unpacked",
    );
    check(&archive(&[(b'x', "p", b"9 broken\n")]), "tar archive, at byte 0: its extended (PAX) header is damaged");
    let huge = archive(&[(b'x', "p", &pax_records(&[("size", "99999999999")])), (b'0', "big", b"")]);
    check(&huge, "tar entry \"big\" at byte 0: the bytes of its files are more than the limit of 16777216");
    let owner = archive(&[(b'x', "p", &pax_records(&[("uid", "4294967295")])), (b'0', "f", b"")]);
    check(&owner, "tar entry \"f\" at byte 0: the header's uid is out of range");
    let name = archive(&[(b'L', "x", &[b'/'; 4096]), (b'0', "f", b"")]);
    assert!(read_all(&name, Dialect::Archive).unwrap_err().to_string().ends_with("more than the limit of 4095"));
    let long = archive(&[(b'L', "x", &[b'n'; 2 << 20]), (b'0', "f", b"")]);
    check(&long, "tar archive, at byte 0: the bytes of its headers are more than the limit of 1048576");
}

#[test]
fn what_a_list_holds_in_memory_has_a_limit() {
    let limits = Limits { name_bytes: 20, ..Limits::default() };
    let last = |tar: &[u8]| {
        let mut reader = TarReader::new(tar, Dialect::Archive, limits);
        loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => return String::new(),
                Err(error) => return error.to_string(),
            }
        }
    };
    let expected = "its names and attributes are more than the limit of 20";
    let fits = [(b'0', "0123456789", &b""[..]), (b'2', "01234", b"56789")];
    assert_eq!(last(&archive(&fits)), "");
    assert!(last(&archive(&[&fits[..], &[(b'0', "x", b"")]].concat())).contains(expected));
    let records = pax_records(&[("SCHILY.xattr.user.a", "0123456789abcdef")]);
    assert!(last(&archive(&[(b'x', "p", &records), (b'0', "f", b"")])).contains(expected));
}

#[test]
fn holes_are_told_and_can_be_refused() {
    let map = pax_records(&[("GNU.sparse.size", "1000"), ("GNU.sparse.map", "0,1")]);
    let tar = archive(&[(b'0', "plain", b"xyz"), (b'x', "p", &map), (b'0', "s", b"x")]);
    let reader = TarReader::new(&tar[..], Dialect::Archive, Limits::default());
    let mut reader = reader.telling_holes(|bytes| Err(io::Error::other(format!("{bytes} bytes"))));
    assert!(reader.next().unwrap().is_some());
    let error = reader.next().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("999 bytes"), "{error}");
}

#[test]
fn later_headers_override() {
    let records = pax_records(&[
        ("path", "long/näme"),
        ("mtime", "-1.5"),
        ("SCHILY.xattr.user.note", "v"),
        ("SCHILY.xattr.trusted.overlay.opaque", "y"),
        ("uid", "3000000"),
    ]);
    let tar =
        archive(&[(b'g', "global", &pax_records(&[("path", "no")])), (b'x', "p", &records), (b'0', "short", b"c")]);
    let all = read_all(&tar, Dialect::Archive).unwrap();
    let (entry, data) = &all[0];
    assert_eq!((entry.path.to_string().as_str(), &data[..], all.len()), ("/long/näme", &b"c"[..], 1));
    assert_eq!((entry.meta.mtime, entry.meta.uid), (-2, 3_000_000));
    assert_eq!(entry.meta.xattrs, BTreeMap::from([(b"user.note".to_vec(), b"v".to_vec())]));
    let gnu = archive(&[(b'L', "@", b"a/long/name\0"), (b'K', "@", b"the/target\0"), (b'2', "short", b"x")]);
    assert_eq!(listing(&gnu, Dialect::Archive)[0].split(' ').next(), Some("/a/long/name"));
}

#[test]
fn expands_every_kind_of_sparse_file() {
    let expected = b"\0\0ab\0\0\0\0c\0".to_vec();
    let check = |tar: &[u8], what: &str| {
        let tar = [tar, &archive(&[(b'0', "after", b"x")])].concat();
        let all = read_all(&tar, Dialect::Archive).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((all[0].0.path.to_string().as_str(), &all[0].1), ("/s", &expected), "{what}");
        assert_eq!(all[0].0.kind, RawKind::File(10), "{what}");
        assert_eq!(all[1].1, b"x", "{what}");
    };
    let old = pax_records(&[
        ("GNU.sparse.size", "10"),
        ("GNU.sparse.numblocks", "2"),
        ("GNU.sparse.offset", "2"),
        ("GNU.sparse.numbytes", "2"),
        ("GNU.sparse.offset", "8"),
        ("GNU.sparse.numbytes", "1"),
    ]);
    check(&archive(&[(b'x', "p", &old), (b'0', "s", b"abc")]), "PAX 0.0");
    let middle = pax_records(&[("GNU.sparse.size", "10"), ("GNU.sparse.name", "s"), ("GNU.sparse.map", "2,2,8,1")]);
    check(&archive(&[(b'x', "p", &middle), (b'0', "GNUSparseFile.1/s", b"abc")]), "PAX 0.1");
    let new = pax_records(&[
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "s"),
        ("GNU.sparse.realsize", "10"),
    ]);
    let mut data = b"3\n2\n2\n8\n1\n10\n0\n".to_vec();
    data.resize(BLOCK, 0);
    data.extend_from_slice(b"abc");
    check(&archive(&[(b'x', "p", &new), (b'0', "GNUSparseFile.1/s", &data)]), "PAX 1.0");
    let mut header = ::tar::Header::new_gnu();
    header.set_path("s").unwrap();
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(3);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.typeflag = [b'S'];
    gnu.sparse[0].offset.copy_from_slice(b"00000000002\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000002\0");
    gnu.realsize.copy_from_slice(b"00000000012\0");
    gnu.isextended = [1];
    let mut more = ::tar::GnuExtSparseHeader::new();
    more.sparse[0].offset.copy_from_slice(b"00000000010\0");
    more.sparse[0].numbytes.copy_from_slice(b"00000000001\0");
    header.set_cksum();
    let mut tar = [&header.as_bytes()[..], more.as_bytes(), b"abc"].concat();
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    check(&tar, "GNU");
    let lying = pax_records(&[("GNU.sparse.size", "10"), ("GNU.sparse.map", "2,2,8,9")]);
    assert!(read_all(&archive(&[(b'x', "p", &lying), (b'0', "s", b"abc")]), Dialect::Archive).is_err());
}

/// What the writer makes, as entries again.
fn round_trip(toc: &Toc, contents: &Memory) -> (Toc, Vec<u8>) {
    let tar = write(toc, contents, Verify::Content, Vec::new()).unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    for (raw, data) in read_all(&tar, Dialect::Layer).unwrap() {
        let kind = match raw.kind {
            RawKind::Dir => Kind::Dir { opaque: false },
            RawKind::File(size) => Kind::File { size, content: ContentDigest::of(&data) },
            RawKind::Symlink(target) => Kind::Symlink(target),
            RawKind::Hardlink(target) => Kind::Hardlink(target),
            RawKind::Char(major, minor) => Kind::Char(major, minor),
            RawKind::Block(major, minor) => Kind::Block(major, minor),
            RawKind::Fifo => Kind::Fifo,
            RawKind::Whiteout => Kind::Whiteout,
            RawKind::Opaque => {
                let folder = entries.last_mut().unwrap();
                assert_eq!(folder.path, raw.path);
                folder.kind = Kind::Dir { opaque: true };
                continue;
            }
        };
        entries.push(Entry { path: raw.path, meta: raw.meta, kind });
    }
    assert!(entries.is_sorted_by(|a, b| a.path < b.path));
    (Toc::new(entries), tar)
}

fn sample() -> (Toc, Memory) {
    let long = |byte: &str, count| byte.repeat(count);
    let meta = Meta { mode: 0o4755, uid: 1, gid: 2, mtime: 315_532_800, xattrs: BTreeMap::new() };
    let strange = Meta {
        mode: 0o644,
        uid: 3_000_000,
        gid: u32::MAX - 1,
        mtime: -86_400,
        xattrs: BTreeMap::from([(b"security.capability".to_vec(), b"\0\n=x".to_vec())]),
    };
    let late = Meta { mtime: 9_000_000_000, ..meta.clone() };
    let split = format!("{}/{}", long("p", 140), long("n", 90));
    let unsplit = format!("{}/{}/x", long("p", 140), long("n", 190));
    let file = |data: &[u8]| Kind::File { size: data.len() as u64, content: ContentDigest::of(data) };
    let all = [
        ("", &meta, Kind::Dir { opaque: false }),
        ("d", &late, Kind::Dir { opaque: true }),
        ("d/f", &strange, file(b"content")),
        ("d/h", &strange, Kind::Hardlink(TreePath::clean("d/f"))),
        ("d/gone", &Meta::default(), Kind::Whiteout),
        ("d/.whx", &late, file(b"")),
        (&long("g", 99), &Meta::default(), Kind::Whiteout),
        (&long("s", 100), &meta, Kind::Symlink(long("t", 101).into_bytes())),
        (&split, &meta, file(&[7; 512])),
        (&unsplit, &meta, Kind::Hardlink(TreePath::clean(&split))),
        ("dev", &meta, Kind::Char(1, 3)),
        ("loop", &meta, Kind::Block(7, 3_000_000)),
        ("pipe", &meta, Kind::Fifo),
    ];
    let entries = all.into_iter().map(|(path, meta, kind)| Entry {
        path: TreePath::clean(path),
        meta: Meta { mode: if matches!(kind, Kind::Symlink(_)) { 0o777 } else { meta.mode }, ..meta.clone() },
        kind,
    });
    let mut entries: Vec<Entry> = entries.collect();
    entries.push(Entry { path: TreePath::clean(b"caf\xe9"), meta, kind: file(b"latin") });
    let contents = BTreeMap::from([
        (b"d/f".to_vec(), b"content".to_vec()),
        (b"caf\xe9".to_vec(), b"latin".to_vec()),
        (split.into_bytes(), vec![7; 512]),
    ]);
    (Toc::new(entries), Memory(contents))
}

#[test]
fn reads_back_what_it_writes() {
    let (toc, contents) = sample();
    let (read, tar) = round_trip(&toc, &contents);
    assert_eq!(read, toc);
    assert!(tar.ends_with(&[0; 1024]));
    assert!(tar.starts_with(b"./\0"));
}

/// A change here is a new [`PROFILE_VERSION`].
#[test]
fn the_profile_is_pinned() {
    let (toc, contents) = sample();
    let tar = write(&toc, &contents, Verify::Size, Vec::new()).unwrap();
    assert_eq!((PROFILE_VERSION, Digest::of(&tar).short().as_str()), (1, "5015aa029229"));
}

#[test]
fn only_capabilities_leave() {
    let mut entry = Entry { path: TreePath::clean("f"), meta: Meta::default(), kind: Kind::Fifo };
    entry.meta.xattrs.insert(b"user.note".to_vec(), b"x".to_vec());
    assert!(!super::holds_all_of(&entry));
    let (read, _) = round_trip(&Toc::new(vec![entry.clone()]), &Memory(BTreeMap::new()));
    entry.meta.xattrs.clear();
    assert!(super::holds_all_of(&entry));
    assert_eq!(read.entries(), [entry]);
}

#[test]
fn notices_files_that_change() {
    let toc = |size, content: &[u8]| {
        let kind = Kind::File { size, content: ContentDigest::of(content) };
        Toc::new(vec![Entry { path: TreePath::clean("f"), meta: Meta::default(), kind }])
    };
    let memory = Memory(BTreeMap::from([(b"f".to_vec(), b"12345".to_vec())]));
    let check = |toc: &Toc, verify, fine: bool| {
        let result = write(toc, &memory, verify, Vec::new()).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(result, if fine { Ok(()) } else { Err("/f: changed while it was read".into()) });
    };
    check(&toc(5, b"12345"), Verify::Content, true);
    check(&toc(5, b"other"), Verify::Content, false);
    check(&toc(5, b"other"), Verify::Size, true);
    check(&toc(4, b"1234"), Verify::Size, false);
    check(&toc(6, b"123456"), Verify::Size, false);
}

#[test]
fn tells_tars_from_other_files() {
    let block = |bytes: &[u8]| {
        let mut block = [0; BLOCK];
        block[..bytes.len().min(BLOCK)].copy_from_slice(&bytes[..bytes.len().min(BLOCK)]);
        looks_like_tar(&block)
    };
    assert!(block(&archive(&[(b'0', "a", b"")])));
    assert!(!block(&[]));
    assert!(!block(b"#!/bin/sh\n"));
}

fn any_meta() -> impl Strategy<Value = Meta> {
    let xattrs = prop::collection::btree_map(Just(b"security.capability".to_vec()), any::<Vec<u8>>(), 0..2);
    let id = prop_oneof![0..2000_u32, 2_097_150..2_097_155_u32, Just(u32::MAX - 1)];
    let mtime = prop_oneof![-5..5_i64, 8_589_934_590..8_589_934_595_i64, any::<i32>().prop_map(i64::from)];
    (0..0o10000_u32, id.clone(), id, mtime, xattrs).prop_map(|(mode, uid, gid, mtime, xattrs)| Meta {
        mode,
        uid,
        gid,
        mtime,
        xattrs,
    })
}

fn any_path() -> impl Strategy<Value = TreePath> {
    let name = prop_oneof![
        "[a-c]{1,2}".prop_map(String::into_bytes),
        "[a-c.]{60,120}x".prop_map(String::into_bytes),
        prop::collection::vec(128..=255_u8, 1..4),
    ];
    prop::collection::vec(name, 1..4).prop_map(|parts| TreePath::clean(parts.join(&b'/')))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_layer_survives_a_tar(
        entries in prop::collection::vec((any_path(), any_meta(), 0..8_u8, prop::collection::vec(any::<u8>(), 0..1500)), 0..20),
    ) {
        let mut contents = BTreeMap::new();
        let entries = entries.into_iter().map(|(path, mut meta, kind, data)| {
            let kind = match kind {
                0 => Kind::Dir { opaque: data.len() % 2 == 0 },
                1 | 2 => {
                    let kind = Kind::File { size: data.len() as u64, content: ContentDigest::of(&data) };
                    contents.insert(path.as_bytes().to_vec(), data);
                    kind
                }
                3 => {
                    meta.mode = 0o777;
                    let target: Vec<u8> = data.into_iter().map(|byte| byte.max(1)).chain([b'x']).collect();
                    Kind::Symlink(target)
                }
                4 => Kind::Char(data.len() as u32, 1 << 20),
                5 => Kind::Fifo,
                6 => Kind::Hardlink(TreePath::clean("target").join_path(&path)),
                _ => {
                    meta = Meta::default();
                    Kind::Whiteout
                }
            };
            Entry { path, meta, kind }
        }).collect();
        let toc = Toc::new(entries);
        let (read, _) = round_trip(&toc, &Memory(contents));
        prop_assert_eq!(read, toc);
    }

    #[test]
    fn no_bytes_make_it_panic(
        mut tar in Just(archive(&[
            (b'x', "p", &pax_records(&[("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "10")])),
            (b'0', "s", b"1\n2\n3\n"),
            (b'L', "l", b"name"),
            (b'S', "f", b"1"),
        ])),
        changes in prop::collection::vec((0..4096_usize, any::<u8>(), any::<bool>()), 0..8),
        cut in 0..4096_usize,
    ) {
        for (at, byte, fix) in changes {
            let at = at % tar.len();
            tar[at] = byte;
            let start = at / BLOCK * BLOCK;
            if fix {
                let mut header = ::tar::Header::new_old();
                header.as_mut_bytes().copy_from_slice(&tar[start..start + BLOCK]);
                header.set_cksum();
                tar[start..start + BLOCK].copy_from_slice(header.as_bytes());
            }
        }
        for dialect in [Dialect::Layer, Dialect::Archive] {
            let _ = read_all(&tar, dialect);
            let _ = read_all(&tar[..cut.min(tar.len())], dialect);
        }
    }
}
