//! Names that lead out, are no names, or are two at once.

use super::doors::{Case, Outcome, holds};
use super::pass;
use super::tar::{Header, Tar};

fn file(name: impl AsRef<[u8]>) -> Tar {
    Tar::new().file(name, "x")
}

#[test]
fn that_lead_out() {
    let check = |name: &str, expected: &str| Case::new(name, file(name), holds(&[expected]));
    let nested = |name: &str, expected: &[&str]| Case::new(name, file(name), holds(expected));
    pass(
        &[
            check("../escaped", "escaped 1"),
            check("../../../../../../../../../../escaped", "escaped 1"),
            check("/escaped", "escaped 1"),
            check("//escaped", "escaped 1"),
            check("./escaped", "escaped 1"),
            check("./../escaped", "escaped 1"),
            check("/../../escaped", "escaped 1"),
            check("d/../../escaped", "escaped 1"),
            check("/tmp/../escaped", "escaped 1"),
            nested("a/./b/../../../c/escaped", &["c/", "c/escaped 1"]),
            nested("/proc/self/root/escaped", &["proc/", "proc/self/", "proc/self/root/", "proc/self/root/escaped 1"]),
            nested("../../../../canary/file", &["canary/", "canary/file 1"]),
            nested("..escaped", &["..escaped 1"]),
            nested(".../escaped", &[".../", ".../escaped 1"]),
            nested("... /escaped", &["... /", "... /escaped 1"]),
            nested("..\\escaped", &["..\\escaped 1"]),
            nested("C:\\escaped", &["C:\\escaped 1"]),
        ],
        17,
    );
}

#[test]
fn of_the_root() {
    let root = |name: &str| Case::new(name, file(name), Outcome::Refused(&["it would replace the root folder"]));
    let folder =
        |name: &str| Case::new(&format!("folder {name:?}"), Tar::new().dir(name).then(file("f")), holds(&["f 1"]));
    let link = |name: &str| {
        Case::new(&format!("link {name:?}"), Tar::new().symlink(name, "/etc"), Outcome::Refused(&["root folder"]))
    };
    pass(
        &[
            root("."),
            root(".."),
            root("../.."),
            root("a/.."),
            root("/."),
            folder("."),
            folder("./"),
            folder("/"),
            folder(".."),
            folder("../../"),
            folder("a/../"),
            link("."),
            link("../.."),
            Case::new("device", Tar::new().node(b'3', ".", 1, 3), Outcome::Refused(&["root folder"])),
            Case::new("pipe", Tar::new().node(b'6', "..", 0, 0), Outcome::Refused(&["root folder"])),
            Case::new("hard link", file("f").hardlink(".", "f"), Outcome::Refused(&["root folder"])),
        ],
        16,
    );
}

#[test]
fn that_are_none() {
    let refused = Outcome::Refused(&["its name has a zero byte in it, or is empty"]);
    let long = Outcome::Refused(&["more than the limit of 4095"]);
    let pax = |name: &[u8]| Tar::new().pax(&[("path", name)]).file("short", "x");
    let gnu = |name: &[u8]| Tar::new().long_name(name).raw(Header::new(b'0', "short").size(1), b"x");
    pass(
        &[
            Case::new("empty", file(""), refused.clone()),
            Case::new("empty after all", gnu(b"\0\0"), refused.clone()),
            Case::new("a zero byte in a record", pax(b"a\0b"), refused.clone()),
            Case::new("only a zero byte", pax(b"\0"), refused),
            Case::new("cut at a zero byte", gnu(b"a\0b"), holds(&["a 1"])),
            Case::new("taken back", pax(b""), holds(&["short 1"])),
            Case::new("4096 bytes", gnu(&[b'n'; 4096]), long.clone()),
            Case::new("4096 bytes of slashes", gnu(&[b'/'; 4096]), long.clone()),
            Case::new("4096 bytes in a record", pax(&[b'n'; 4096]), long),
            Case::new("a megabyte", gnu(&vec![b'n'; 1 << 20]), Outcome::Refused(&["more than the limit of"])),
            Case::new(
                "more than a megabyte",
                gnu(&vec![b'n'; 2 << 20]),
                Outcome::Refused(&["more than the limit of 1048576"]),
            ),
            Case::new("a component of 256 bytes", gnu(&[b'n'; 256]), Outcome::Any),
            // A file that is no tar is copied.
            Case::new("a name without its entry", Tar::new().long_name(b"x"), Outcome::Refused(&["cut off"]))
                .but(Outcome::Any),
            Case::new("a link without its entry", Tar::new().pax(&[("linkpath", "x")]), Outcome::Refused(&["cut off"]))
                .but(Outcome::Any),
        ],
        14,
    );
}

#[test]
fn of_any_bytes() {
    let check = |name: &[u8]| {
        let shown = format!("{} 1", String::from_utf8_lossy(name));
        Case::new(&shown.clone().escape_debug().to_string(), file(name), Outcome::Holds(vec![shown]))
    };
    pass(
        &[
            check(b"a\nb"),
            check(b"\x1b[2J\x1b]0;title\x07"),
            check(b"a\rb"),
            check(b"\x7f\x08\x01"),
            check(b"\xff\xfe"),
            check("\u{202e}gnp.exe".as_bytes()),
            check("é".as_bytes()),
            check("e\u{301}".as_bytes()),
            check(b" "),
            check(b"-rf"),
            check(b"*"),
            check(b"$(touch escaped)"),
            check(b"%s%n"),
            Case::new(
                "in words",
                file("\x1b[2J\n").raw(Header::new(b'M', "\x1b[2J\nM"), b""),
                Outcome::Refused(&["\\u{1b}[2J\\nM"]),
            ),
            Case::new("in a link", Tar::new().hardlink("\x1b[31m\nh", "\x1b[2J"), Outcome::Refused(&["hard link"])),
        ],
        15,
    );
}

#[test]
fn that_are_there_twice() {
    let check = |what: &str, tar: Tar, expected: &[&str]| Case::new(what, tar, holds(expected));
    pass(
        &[
            check("two files", file("f").file("f", "xyz"), &["f 3"]),
            check("two spellings", file("d/f").file("./d//x/../f", "xyz"), &["d/", "d/f 3"]),
            check("cases", file("f").file("F", "xyz").file("D/f", "").dir("d"), &["D/", "D/f 0", "F 3", "d/", "f 1"]),
            check("a file, then a folder", file("a").dir("a").file("a/f", "x"), &["a/", "a/f 1"]),
            check("a folder, then a file", Tar::new().dir("a").file("a/f", "x").then(file("a")), &["a 1"]),
            check("in turn", Tar::new().dir("a").then(file("a")).dir("a").symlink("a", "b").then(file("a")), &["a 1"]),
            check(
                "a folder in place of a link",
                Tar::new().symlink("a", "/etc").dir("a").file("a/f", "x"),
                &["a/", "a/f 1"],
            ),
            check("a link in place of an empty folder", Tar::new().dir("a").symlink("a", "b"), &["a -> b"]),
            check("a pipe in place of all", file("a").node(b'6', "a", 0, 0), &["a |"]),
            check(
                "files below a file that was replaced",
                file("a").dir("a").file("a/b", "").dir("a/b").file("a/b/c", "x"),
                &["a/", "a/b/", "a/b/c 1"],
            ),
            Case::new("below a file", file("a").file("a/f", "x"), Outcome::Refused(&["a/f"])),
            Case::new("below a pipe", Tar::new().node(b'6', "a", 0, 0).file("a/f", "x"), Outcome::Refused(&["a/f"])),
            Case::new("below a file of a lower layer", file("a/f"), holds(&["a/", "a/f 1"]))
                .above(file("a"))
                .but(Outcome::Refused(&["/a"])),
            check("a folder in place of a file of a lower layer", Tar::new().dir("a"), &["a/"]).above(file("a")),
            check("a file in place of a folder of a lower layer", file("a"), &["a 1"]).above(file("a/f")),
            check("1000 times", (0..1000).fold(Tar::new(), |tar, size| tar.file("f", "x".repeat(size))), &["f 999"]),
        ],
        16,
    );
}

#[test]
fn that_go_deep() {
    let deep = |depth: usize| "d/".repeat(depth);
    let folders = |depth: usize| (1..=depth).map(deep).collect::<Vec<_>>();
    let all = |depth: usize| {
        let mut all = folders(depth);
        all.push(format!("{}f 1", deep(depth)));
        Outcome::Holds(all)
    };
    // A link that leads down, and more below it: no name is long, but the paths are.
    let through = |links: usize| {
        (0..links).fold(Tar::new().file(deep(1000) + "f", "x").symlink("l", deep(1000)), |tar, _| {
            tar.symlink("l/l", deep(1000))
                .file(format!("l/{}f", deep(1000)), "x")
                .symlink("l", format!("l/{}", deep(900)))
        })
    };
    pass(
        &[
            Case::new("500 folders", file(deep(500) + "f"), all(500)),
            Case::new("10000 folders", file(deep(10_000) + "f"), Outcome::Refused(&["more than the limit of 4095"])),
            Case::new(
                "up again",
                file(deep(1000) + &"../".repeat(1000) + "f"),
                Outcome::Refused(&["more than the limit of 4095"]),
            ),
            Case::new("through links", through(4), Outcome::Any),
        ],
        4,
    );
}
