//! Devices, pipes, sockets, types that nobody knows, and attributes that belong to the machine.

use super::doors::{Case, Outcome, holds};
use super::pass;
use super::tar::{Header, Tar};

#[test]
fn devices_and_pipes() {
    let check = |what: &str, tar: Tar, expected: &[&str]| Case::new(what, tar, holds(expected));
    let device = |major: &str, minor: &str| {
        Tar::new().pax(&[("SCHILY.devmajor", major), ("SCHILY.devminor", minor)]).node(b'4', "node", 1, 1)
    };
    let range = Outcome::Refused(&["device number is out of range"]);
    pass(
        &[
            check("a disk", Tar::new().node(b'4', "sda", 8, 0), &["sda b 8:0"]),
            check("the memory", Tar::new().node(b'3', "mem", 1, 1), &["mem c 1:1"]),
            check("zeros", Tar::new().node(b'3', "zero", 1, 5), &["zero c 1:5"]),
            check("a pipe", Tar::new().node(b'6', "pipe", 0, 0), &["pipe |"]),
            check(
                "many",
                Tar::new().node(b'4', "a/sda", 8, 0).node(b'6', "a/p", 0, 0),
                &["a/", "a/p |", "a/sda b 8:0"],
            ),
            check("of no number", Tar::new().node(b'4', "node", 0, 0), &["node b 0:0"]),
            Case::new("of a number that is none", device("-1", "0"), Outcome::Refused(&["PAX"])),
            Case::new("of a number beyond", device("4294967296", "0"), range.clone()),
            Case::new("of the last number", device("4294967295", "0"), range.clone()),
            Case::new("of a large number", Tar::new().raw(Header::new(b'3', "node").field(329, [0xff; 8]), b""), range),
            Case::new("of a number that the kernel has not", device("4294967294", "4294967294"), Outcome::Any),
            Case::new(
                "in an old header",
                Tar::new().raw(Header::new(b'3', "dev").field(257, [0; 8]), b""),
                Outcome::Refused(&["has the type '3'"]),
            ),
            Case::new(
                "with bytes",
                Tar::new().raw(Header::new(b'3', "dev").size(600), b"").file("f", "x"),
                Outcome::Any,
            ),
            Case::new(
                "with setuid",
                Tar::new().raw(Header::new(b'6', "p").field(100, "0006777"), b""),
                holds(&["p |"]),
            ),
        ],
        14,
    );
}

#[test]
fn types() {
    let of = |flag: u8| Tar::new().raw(Header::new(flag, "f").size(1), b"x");
    let check = |flag: u8, expected: &[&str]| Case::new(&format!("type {flag}"), of(flag), holds(expected));
    pass(
        &[
            check(0, &["f 1"]),
            check(b'7', &["f 1"]),
            check(b'Z', &["f 1"]),
            check(b's', &["f 1"]),
            check(0xff, &["f 1"]),
            check(b'D', &["f/"]),
            Case::new("M", of(b'M'), Outcome::Refused(&["has the type 'M'"])),
            Case::new("N", of(b'N'), Outcome::Refused(&["has the type 'N'"])),
            Case::new("a volume's name", of(b'V').file("g", "x"), holds(&["g 1"])),
            Case::new("a file that ends with a slash", Tar::new().file("f/", ""), holds(&["f/"])),
            Case::new("a link that ends with a slash", Tar::new().symlink("l/", "/etc"), holds(&["l -> /etc"])),
            Case::new("a pipe that ends with a slash", Tar::new().node(b'6', "p/", 0, 0), holds(&["p |"])),
        ],
        12,
    );
}

#[test]
fn attributes() {
    let with = |name: &str, value: &[u8]| {
        let key = format!("SCHILY.xattr.{name}");
        Tar::new().pax(&[(key.as_bytes(), value)]).file("f", "x")
    };
    let fine = |name: &str, value: &[u8]| Case::new(name, with(name, value), holds(&["f 1"]));
    let any = |what: &str, tar: Tar| Case::new(what, tar, Outcome::Any);
    pass(
        &[
            fine("security.selinux", b"system_u:object_r:etc_t:s0"),
            fine("security.ima", b"x"),
            fine("security.evm", b"x"),
            fine("trusted.overlay.opaque", b"y"),
            fine("trusted.escaped", b"y"),
            fine("user.overlay.opaque", b"y"),
            fine("user.overlay.origin", b"y"),
            fine("user.note", b"x"),
            fine("user.", b"x"),
            fine("system.nfs4_acl", b"x"),
            fine("", b"x"),
            any("a capability that is none", with("security.capability", b"x")),
            any("a capability", with("security.capability", b"\x01\0\0\x02\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
            any("an access list that is none", with("system.posix_acl_access", b"x")),
            any("a zero byte in a name", with("user.a\0b", b"x")),
            any("an equals sign in a name", with("user.a=b", b"x")),
            any("a long name", with(&format!("user.{}", "n".repeat(1000)), b"x")),
            any("a long value", with("user.n", &[b'v'; 70_000])),
            any("many of them", {
                let records: Vec<(String, &str)> =
                    (0..1000).map(|number| (format!("SCHILY.xattr.user.{number}"), "v")).collect();
                Tar::new().pax(&records).file("f", "x")
            }),
            any("on a link", Tar::new().pax(&[("SCHILY.xattr.user.n", "v")]).symlink("l", "/etc/passwd")),
            any("on a device", Tar::new().pax(&[("SCHILY.xattr.user.n", "v")]).node(b'3', "n", 1, 3)),
        ],
        21,
    );
}
