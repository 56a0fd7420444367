//! Marks that something is gone, of what must not go, and in places where they mean nothing.

use super::doors::{Case, Outcome, holds};
use super::pass;
use super::tar::Tar;

fn mark(name: &str) -> Tar {
    Tar::new().file(name, "")
}

fn lower() -> Tar {
    Tar::new().dir("d").file("d/f", "x").file("f", "x").symlink("l", "/d").file("canary/file", "x")
}

const ALL: &[&str] = &["canary/", "canary/file 1", "d/", "d/f 1", "f 1", "l -> /d"];

/// What is left below without these.
fn without(gone: &[&str]) -> Outcome {
    holds(&ALL.iter().copied().filter(|file| !gone.contains(file)).collect::<Vec<_>>())
}

#[test]
fn of_what_must_not_go() {
    // An archive that is no layer may have such names, and they come to be marks in the image that it makes.
    let check = |name: &str, gone: &[&str]| Case::new(name, mark(name), without(gone)).above(lower()).but(Outcome::Any);
    // Folders that nobody has are made for marks as well.
    let made = |name: &str, gone: &str, folder: &str| {
        let left = ALL.iter().filter(|file| **file != gone).map(|&file| file.to_owned());
        Case { layer: Outcome::Holds(left.chain([folder.to_owned()]).collect()), ..check(name, &[]) }
    };
    pass(
        &[
            check(".wh.f", &["f 1"]),
            check(".wh.d", &["d/", "d/f 1"]),
            check(".wh.l", &["l -> /d"]),
            check("d/.wh.f", &["d/f 1"]),
            check("./d/../.wh.f", &["f 1"]),
            check("/../../.wh.f", &["f 1"]),
            check("d/.wh..wh..opq", &["d/f 1"]),
            // The roots of all layers are one folder.
            check(".wh..wh..opq", &[]),
            check("/.wh..wh..opq", &[]),
            check("../.wh..wh..opq", &[]),
            check(".wh.", &[]),
            check(".wh..", &[]),
            check(".wh...", &[]),
            check("d/.wh..", &[]),
            check("d/.wh...", &[]),
            check(".wh..wh.", &[]),
            check(".wh..wh.f", &[]),
            check(".wh..wh..opq.f", &[]),
            check(".wh..wh.plnk/x", &[]),
            check(".wh..wh.aufs", &[]),
            check(".wh.d/f", &[]),
            check(".wh.d/../.wh.f", &["f 1"]),
            check(".wh.nothing", &[]),
            made("nothing/.wh.f", "", "nothing/"),
            made("nothing/.wh..wh..opq", "", "nothing/"),
            made("f/.wh.f", "f 1", "f/"),
            made("f/.wh..wh..opq", "f 1", "f/"),
        ],
        27,
    );
}

#[test]
fn through_links() {
    let check = |what: &str, tar: Tar, outcome: Outcome| Case::new(what, tar, outcome).above(lower()).but(Outcome::Any);
    pass(
        &[
            check("of a lower layer", mark("l/.wh.f"), Outcome::Any),
            check("of a lower layer, all", mark("l/.wh..wh..opq"), Outcome::Any),
            check("of this layer", Tar::new().symlink("m", "/d").file("m/.wh.f", ""), Outcome::Any),
            check(
                "of this layer, out",
                Tar::new().symlink("m", "../../../../../canary").file("m/.wh.file", ""),
                Outcome::Any,
            ),
            check(
                "of this layer, out, all",
                Tar::new().symlink("m", "/canary").file("m/.wh..wh..opq", ""),
                Outcome::Any,
            ),
            check("to nowhere", Tar::new().symlink("m", "/nowhere").file("m/.wh.f", ""), Outcome::Any),
            check("in a circle", Tar::new().symlink("m", "m").file("m/.wh.f", ""), Outcome::Any),
        ],
        7,
    );
}

#[test]
fn that_are_no_files() {
    let check =
        |what: &str, tar: Tar, gone: &[&str]| Case::new(what, tar, without(gone)).above(lower()).but(Outcome::Any);
    pass(
        &[
            check("folder", Tar::new().dir(".wh.f"), &["f 1"]),
            check("folder with files", Tar::new().dir(".wh.f").file(".wh.f/g", "x"), &["f 1"]),
            check("link", Tar::new().symlink(".wh.f", "/etc"), &["f 1"]),
            check("link with files below", Tar::new().symlink(".wh.f", "/").file(".wh.f/escaped", "x"), &["f 1"]),
            check("hard link", Tar::new().hardlink(".wh.f", "f"), &["f 1"]),
            check("device", Tar::new().node(b'3', ".wh.f", 0, 0), &["f 1"]),
            check("pipe", Tar::new().node(b'6', ".wh.f", 0, 0), &["f 1"]),
            check("with bytes", Tar::new().file(".wh.f", "bytes"), &["f 1"]),
            check("opaque folder", Tar::new().dir("d/.wh..wh..opq"), &["d/f 1"]),
            check("opaque root, which has an entry", Tar::new().dir("./").then(mark(".wh..wh..opq")), &[]),
            check("an overlay's own", Tar::new().node(b'3', "f", 0, 0), &["f 1"]),
            check(
                "an overlay's own attribute",
                Tar::new().pax(&[("SCHILY.xattr.trusted.overlay.opaque", "y")]).dir("d"),
                &[],
            ),
            check("the same for users", Tar::new().pax(&[("SCHILY.xattr.user.overlay.opaque", "y")]).dir("d"), &[]),
            check(
                "a redirection",
                Tar::new().pax(&[("SCHILY.xattr.trusted.overlay.redirect", "/canary")]).dir("d"),
                &[],
            ),
            check(
                "a file that is elsewhere",
                Tar::new()
                    .pax(&[("SCHILY.xattr.user.overlay.metacopy", ""), ("SCHILY.xattr.user.overlay.redirect", "/d/f")])
                    .file("f", "x"),
                &[],
            ),
            check(
                "a whiteout by attribute",
                Tar::new().pax(&[("SCHILY.xattr.user.overlay.whiteout", "y")]).file("f", "x"),
                &[],
            ),
            check(
                "the other way to say so",
                Tar::new().pax(&[("LIBARCHIVE.xattr.trusted.overlay.opaque", "eQ==")]).dir("d"),
                &[],
            ),
        ],
        17,
    );
}

#[test]
fn of_the_layers_own() {
    let check = |what: &str, tar: Tar, expected: &[&str]| Case::new(what, tar, holds(expected)).but(Outcome::Any);
    pass(
        &[
            check("before", mark(".wh.f").file("f", "xyz"), &["f 3"]),
            check("after", Tar::new().file("f", "xyz").then(mark(".wh.f")), &["f 3"]),
            check("of a folder after it", Tar::new().file("d/f", "xyz").then(mark(".wh.d")), &["d/", "d/f 3"]),
            check("all, after it", Tar::new().file("d/f", "xyz").then(mark("d/.wh..wh..opq")), &["d/", "d/f 3"]),
            check("all of the root", Tar::new().file("f", "xyz").then(mark(".wh..wh..opq")), &["f 3"]),
            Case::new("a hard link to one", mark(".wh.f").hardlink("h", ".wh.f"), Outcome::Refused(&["hard link"]))
                .but(Outcome::Any),
        ],
        6,
    );
}
