//! Fields, extended headers and maps of sparse files that lie.

use super::doors::{Case, Outcome, holds};
use super::pass;
use super::tar::{Header, Tar, large, record};

fn refused(words: &'static [&'static str]) -> Outcome {
    Outcome::Refused(words)
}

/// A file of one byte whose header has this in it.
fn with(at: usize, bytes: impl AsRef<[u8]>) -> Tar {
    Tar::new().raw(Header::new(b'0', "f").size(1).field(at, bytes), b"x")
}

fn pax(key: &str, value: &str) -> Tar {
    Tar::new().pax(&[(key, value)]).file("f", "x")
}

#[test]
fn fields() {
    let fine = |what: &str, tar: Tar| Case::new(what, tar, holds(&["f 1"]));
    pass(
        &[
            Case::new("a size that is none", with(124, "ninety-nine\0"), refused(&["size is not a number"])),
            Case::new("a negative size", with(124, [0xff; 12]), refused(&["size is out of range"])),
            Case::new("the largest size", with(124, large(i64::MAX as u64)), refused(&["more than the limit"])),
            Case::new("a size beyond", with(124, large(u64::MAX)), refused(&["size"])),
            Case::new("a size of twelve bytes", with(124, [0xbf; 12]), refused(&["size"])),
            Case::new(
                "an empty size",
                Tar::new().raw(Header::new(b'0', "f").field(124, [0; 12]), b""),
                holds(&["f 0"]),
            ),
            fine("a mode beyond", with(100, [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])),
            Case::new("a mode that is none", with(100, "rwxrwxr\0"), refused(&["mode is not a number"])),
            fine("all bits", with(100, "7777777\0")),
            Case::new("an owner that is none", with(108, "root\0\0\0\0"), refused(&["uid is not a number"])),
            Case::new("a negative owner", with(108, [0xff; 8]), refused(&["uid is out of range"])),
            Case::new(
                "the owner that means nobody",
                with(108, [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
                refused(&["uid is out of range"]),
            ),
            Case::new("an owner of 40 bits", with(116, [0x80, 0, 0, 1, 0, 0, 0, 0]), refused(&["gid is out of range"])),
            fine("a negative time", with(136, [0xff; 12])),
            fine("the last time", with(136, large(i64::MAX as u64))),
            Case::new("a time beyond", with(136, large(u64::MAX)), refused(&["mtime is not a number"])),
            fine("the first time", with(136, [0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0])),
            Case::new("no checksum", Tar::new().bytes([b'x'; 512]), refused(&[])).but(Outcome::Any),
            Case::new("a wrong checksum later", Tar::new().file("f", "x").bytes([b'x'; 512]), refused(&["checksum"])),
            Case::new("signed bytes", Tar::new().file("caf\u{e9}", "x"), holds(&["caf\u{e9} 1"])),
        ],
        20,
    );
}

#[test]
fn extended_headers() {
    let damaged = || refused(&["its extended (PAX) header is damaged"]);
    let broken = |bytes: &[u8]| Tar::new().pax_bytes(b'x', bytes).file("f", "x");
    let fine = |what: &str, tar: Tar| Case::new(what, tar, holds(&["f 1"]));
    let bad = |what: &str, tar: Tar| Case::new(what, tar, damaged());
    pass(
        &[
            bad("no length", broken(b"path=x\n")),
            bad("a length of zero", broken(b"0 path=x\n")),
            bad("a length too short", broken(b"3 path=x\n")),
            bad("a length too long", broken(b"99 path=x\n")),
            bad("an endless length", broken(b"99999999999999999999999 path=x\n")),
            bad("a negative length", broken(b"-9 path=x\n")),
            bad("no newline", broken(b"8 path=x")),
            bad("no equals sign", broken(b"7 path\n")),
            bad("something behind", broken(&[&record(b"a", b"b")[..], b"x"].concat())),
            fine("zeros behind", broken(&[&record(b"a", b"b")[..], &[0; 40]].concat())),
            fine("an empty one", broken(b"")),
            fine("no key", broken(&record(b"", b"value"))),
            fine("a key of any bytes", broken(&record(b"\xff\0\n", b"\xfe\0\n"))),
            bad("a size that is none", pax("size", "one")),
            bad("a negative size", pax("size", "-1")),
            bad("a size in hexadecimal", pax("size", "0x1")),
            Case::new("a size beyond", pax("size", "9223372036854775808"), refused(&["size is out of range"])),
            Case::new("the largest size", pax("size", "9223372036854775807"), refused(&["more than the limit"])),
            Case::new("a larger size", pax("size", "600").file("g", "x"), Outcome::Any),
            Case::new("a much larger size", pax("size", "100000"), refused(&["cut off"])),
            Case::new("a smaller size", Tar::new().pax(&[("size", "0")]).file("f", "x"), refused(&["checksum"])),
            fine("the same size", Tar::new().pax(&[("size", "1")]).raw(Header::new(b'0', "f").size(0), b"x")),
            Case::new("a size of a folder", Tar::new().pax(&[("size", "512")]).dir("d"), holds(&["d/"])),
            bad("an owner that is none", pax("uid", "root")),
            Case::new("an owner of 63 bits", pax("uid", "9223372036854775808"), refused(&["uid is out of range"])),
            Case::new("the owner that means nobody", pax("gid", "4294967295"), refused(&["gid is out of range"])),
            bad("a time that is none", pax("mtime", "NaN")),
            bad("an endless time", pax("mtime", "inf")),
            bad("a time in other digits", pax("mtime", "1e9")),
            bad("a time beyond", pax("mtime", "9223372036854775808")),
            fine("the last time", pax("mtime", "9223372036854775807.999999999")),
            fine("the first time", pax("mtime", "-9223372036854775807.5")),
            fine("a negative time", pax("mtime", "-0.5")),
            fine("a time of many digits", pax("mtime", &format!("1.{}", "9".repeat(4000)))),
            fine("twice the same", Tar::new().pax(&[("path", "e"), ("path", "f")]).file("x", "x")),
            fine("two headers", Tar::new().pax(&[("path", "e")]).pax(&[("path", "f")]).file("x", "x")),
            fine("for all that follow", Tar::new().pax_bytes(b'g', &record(b"path", b"escaped")).file("f", "x")),
            fine("damaged, for all that follow", Tar::new().pax_bytes(b'g', b"damaged").file("f", "x")),
            Case::new(
                "of a gigabyte",
                Tar::new().raw(Header::new(b'x', "x").size(1 << 30), b"").file("f", "x"),
                refused(&["more than the limit of 1048576"]),
            ),
            Case::new(
                "of a gigabyte, for all",
                Tar::new().raw(Header::new(b'g', "g").size(1 << 30), b"").file("f", "x"),
                refused(&["cut off"]),
            )
            .but(Outcome::Any),
            Case::new(
                "of eight exabytes",
                Tar::new().raw(Header::new(b'x', "x").size(i64::MAX as u64), b""),
                refused(&["more than the limit"]),
            ),
            Case::new(
                "many small ones",
                (0..3000).fold(Tar::new(), |tar, _| tar.pax(&[("comment", "c".repeat(400))])).file("f", "x"),
                refused(&["more than the limit"]),
            ),
            Case::new("one after the end", Tar::new().file("f", "x").pax(&[("path", "g")]), refused(&["cut off"])),
            fine("another language", Tar::new().pax(&[("hdrcharset", "BINARY"), ("path", "f")]).file("x", "x")),
        ],
        44,
    );
}

/// A sparse file in GNU's old header: its map, its length, and what is stored.
fn old(map: &[(&[u8], &[u8])], size: &[u8], stored: &[u8]) -> Tar {
    let header = Header::new(b'S', "s").gnu().size(stored.len() as u64).field(483, size);
    let header = map.iter().enumerate().fold(header, |header, (place, (offset, length))| {
        header.field(386 + place * 24, offset).field(398 + place * 24, length)
    });
    Tar::new().raw(header, stored)
}

/// The same in PAX 0.1.
fn mapped(map: &str, size: &str, stored: &[u8]) -> Tar {
    Tar::new().pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", size)]).file("s", stored)
}

/// The same in PAX 0.0: the numbers of the map in turn.
fn listed(numbers: &[(&str, &str)], size: &str, stored: &[u8]) -> Tar {
    Tar::new().pax(&[numbers, &[("GNU.sparse.size", size)]].concat()).file("s", stored)
}

/// The same in PAX 1.0: the map stands before the bytes.
fn inline(map: &[u8], size: &str, stored: &[u8]) -> Tar {
    let mut data = map.to_vec();
    data.resize(data.len().next_multiple_of(512), 0);
    data.extend(stored);
    let records =
        [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "s"), ("GNU.sparse.realsize", size)];
    Tar::new().pax(&records).file("x", data)
}

#[test]
fn sparse_files() {
    let damaged = || refused(&["its map of a sparse file is damaged"]);
    let limit = || refused(&["more than the limit"]);
    let (offset, numbytes) = ("GNU.sparse.offset", "GNU.sparse.numbytes");
    let big = large(i64::MAX as u64);
    let eleven = |number: u64| format!("{number:011o}").into_bytes();
    let check = |what: &str, tar: Tar, outcome: Outcome| Case::new(what, tar, outcome);
    pass(
        &[
            check("old", old(&[(&eleven(2), &eleven(1))], &eleven(9), b"x"), holds(&["s 9"])),
            check(
                "old, overlapping",
                old(&[(&eleven(2), &eleven(1)), (&eleven(2), &eleven(1))], &eleven(9), b"xy"),
                damaged(),
            ),
            check(
                "old, backwards",
                old(&[(&eleven(5), &eleven(1)), (&eleven(2), &eleven(1))], &eleven(9), b"xy"),
                damaged(),
            ),
            check("old, beyond the end", old(&[(&eleven(9), &eleven(1))], &eleven(9), b"x"), damaged()),
            check("old, less than is stored", old(&[(&eleven(2), &eleven(1))], &eleven(9), b"xy"), damaged()),
            check("old, more than is stored", old(&[(&eleven(2), &eleven(3))], &eleven(9), b"xy"), damaged()),
            check("old, of eight exabytes", old(&[(&eleven(2), &eleven(1))], &big, b"x"), limit()),
            check("old, at eight exabytes", old(&[(&big, &eleven(1))], &big, b"x"), refused(&[])),
            check("old, a length of eight exabytes", old(&[(&eleven(2), &big)], &big, b"x"), damaged()),
            check(
                "old, numbers that are none",
                old(&[(b"elevenchars\0", &eleven(1))], &eleven(9), b"x"),
                refused(&["sparse"]),
            ),
            check("old, negative", old(&[(&[0xff; 12], &eleven(1))], &eleven(9), b"x"), refused(&["sparse"])),
            check(
                "old, a map that goes on without end",
                {
                    let more = [[0; 504].as_slice(), &[1], &[0; 7]].concat().repeat(3000);
                    Tar::new().raw(Header::new(b'S', "s").gnu().field(482, [1]), &more)
                },
                refused(&["more than the limit of 1048576"]),
            ),
            check("old, in another header", Tar::new().raw(Header::new(b'S', "s"), b""), damaged()),
            check("0.1", mapped("2,1", "9", b"x"), holds(&["s 9"])),
            check("0.1, only a hole", mapped("", "9", b""), holds(&["s 9"])),
            check("0.1, overlapping", mapped("2,2,3,2", "9", b"abcd"), damaged()),
            check("0.1, half a pair", mapped("2,1,3", "9", b"x"), damaged()),
            check("0.1, no numbers", mapped("a,b", "9", b"x"), damaged()),
            check("0.1, commas", mapped(",,,", "9", b"x"), damaged()),
            check("0.1, of eight exabytes", mapped("0,1", "9223372036854775807", b"x"), limit()),
            check("0.1, of sixteen", mapped("0,1", "18446744073709551615", b"x"), limit()),
            check("0.1, an overflow", mapped("1,18446744073709551615", "9", b"x"), damaged()),
            check(
                "0.1, an overflow of the sum",
                mapped("0,9223372036854775807,9223372036854775807,9223372036854775807", "18446744073709551615", b"x"),
                damaged(),
            ),
            check("0.1, without a size", Tar::new().pax(&[("GNU.sparse.map", "0,1")]).file("s", "x"), damaged()),
            check(
                "0.1, many empty pieces",
                mapped("5,0,".repeat(20_000).trim_end_matches(','), "9", b""),
                holds(&["s 9"]),
            ),
            check("0.0", listed(&[(offset, "2"), (numbytes, "1")], "9", b"x"), holds(&["s 9"])),
            check("0.0, in another order", listed(&[(numbytes, "1"), (offset, "2")], "9", b"x"), damaged()),
            check(
                "0.0, an offset too many",
                listed(&[(offset, "2"), (numbytes, "1"), (offset, "9")], "9", b"x"),
                Outcome::Any,
            ),
            check(
                "0.0, overlapping",
                listed(&[(offset, "2"), (numbytes, "1"), (offset, "2"), (numbytes, "1")], "9", b"xy"),
                damaged(),
            ),
            check(
                "0.0, more than it says",
                listed(&[("GNU.sparse.numblocks", "9"), (offset, "2"), (numbytes, "1")], "9", b"x"),
                Outcome::Any,
            ),
            check(
                "0.0, of eight exabytes",
                listed(&[(offset, "0"), (numbytes, "1")], "9223372036854775807", b"x"),
                limit(),
            ),
            check("1.0", inline(b"1\n2\n1\n", "9", b"x"), holds(&["s 9"])),
            check("1.0, overlapping", inline(b"2\n2\n1\n2\n1\n", "9", b"xy"), damaged()),
            check("1.0, more than there are", inline(b"9\n2\n1\n", "9", b"x"), damaged()),
            check("1.0, without end", inline(b"18446744073709551615\n", "9", b"x"), damaged()),
            check("1.0, no newline", inline(&[b'1'; 512], "9", b""), damaged()),
            check("1.0, no numbers", inline(b"one\n", "9", b""), damaged()),
            check("1.0, empty", inline(b"", "9", b""), refused(&[])),
            check("1.0, of eight exabytes", inline(b"1\n0\n1\n", "9223372036854775807", b"x"), limit()),
            check("1.0, without a size", Tar::new().pax(&[("GNU.sparse.major", "1")]).file("s", "0\n"), damaged()),
            check(
                "1.0, a map without its padding",
                Tar::new().pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "1")]).file("s", "0\n"),
                damaged(),
            ),
            check(
                "1.0, under a name that leads out",
                {
                    let records =
                        [("GNU.sparse.map", "2,1"), ("GNU.sparse.size", "9"), ("GNU.sparse.name", "../../escaped")];
                    Tar::new().pax(&records).file("s", "x")
                },
                holds(&["escaped 9"]),
            ),
            check(
                "under no name",
                Tar::new()
                    .pax(&[("GNU.sparse.map", "2,1"), ("GNU.sparse.size", "9"), ("GNU.sparse.name", "")])
                    .file("s", "x"),
                refused(&["empty"]),
            ),
            check(
                "of another kind",
                Tar::new().pax(&[("GNU.sparse.map", "2,1"), ("GNU.sparse.size", "9")]).symlink("s", "/etc"),
                holds(&["s -> /etc"]),
            ),
            check("after one that is not", mapped("2,1", "9", b"x").file("t", "y"), holds(&["s 9", "t 1"])),
        ],
        45,
    );
}

#[test]
fn what_is_cut_off() {
    let whole = Tar::new()
        .pax(&[("mtime", "1")])
        .file("d/f", "x".repeat(700))
        .symlink("l", "d")
        .long_name(&[b'n'; 200])
        .file("x", "y")
        .end();
    // In the middle of every block, and where blocks end.
    let places: Vec<usize> = (1..whole.len() / 512)
        .flat_map(|block| [block * 512, block * 512 + 100])
        .filter(|place| *place < whole.len() - 1024)
        .collect();
    let cases: Vec<Case> = places
        .iter()
        .map(|&place| Case {
            tar: whole[..place].to_vec(),
            ..Case::new(&format!("after {place} bytes"), Tar::new(), Outcome::Any)
        })
        .collect();
    let number = cases.len();
    pass(&cases, number);
    assert!(number > 15, "{number}");
    let behind = Tar::new().file("f", "x").bytes([0; 1024]);
    pass(
        &[
            Case::new("another tar behind the end", behind.clone().file("escaped", "x"), holds(&["f 1"])),
            Case::new("something behind the end", behind.bytes(b"garbage".repeat(1000)), holds(&["f 1"])),
            Case::new(
                "one block of zeros",
                Tar::new().file("f", "x").bytes([0; 512]).file("escaped", "x"),
                holds(&["f 1"]),
            ),
        ],
        3,
    );
}
