//! Links that lead out, in circles, to what comes later, to nothing, or to what was just exchanged.

use super::doors::{Case, Outcome, holds};
use super::pass;
use super::tar::Tar;

fn link(name: &str, target: &str) -> Tar {
    Tar::new().symlink(name, target)
}

#[test]
fn symbolic_links_are_data() {
    let check = |target: &str| Case::new(target, link("l", target), Outcome::Holds(vec![format!("l -> {target}")]));
    let long = "t".repeat(4095);
    let beyond = "t".repeat(4096);
    pass(
        &[
            check("/etc/passwd"),
            check("../../../../../../etc"),
            check("/proc/self/root"),
            check("/proc/self/fd/0"),
            check("/dev/zero"),
            check("l"),
            check("."),
            check("/"),
            check("a//b/"),
            check("\u{1b}[2J"),
            check(&long),
            Case::new("too long", link("l", &beyond), Outcome::Refused(&["more than the limit of 4095"])),
            Case::new(
                "empty",
                link("l", ""),
                Outcome::Refused(&["its link target has a zero byte in it, or is empty"]),
            ),
            Case::new(
                "a zero byte",
                Tar::new().pax(&[("linkpath", "a\0b")]).symlink("l", "x"),
                Outcome::Refused(&["link target"]),
            ),
        ],
        14,
    );
}

#[test]
fn symbolic_links_lead_nowhere_else() {
    let refused = Outcome::Refused(&["l"]);
    let inside = |target: &str, expected: &[&str]| {
        let mut all = vec![format!("l -> {target}")];
        all.extend(expected.iter().map(|&file| file.to_owned()));
        let exists = expected[..expected.len() - 1].iter().fold(Tar::new(), |tar, folder| tar.dir(folder));
        let tar = exists.symlink("l", target).file("l/escaped", "x");
        Case::new(&format!("through {target}"), tar, Outcome::Holds(all))
    };
    let swap = Tar::new().dir("d").file("d/f", "1").symlink("e", "../../../../../canary");
    pass(
        &[
            inside("../../../../..", &["escaped 1"]),
            inside("/", &["escaped 1"]),
            inside("/canary", &["canary/", "canary/escaped 1"]),
            inside("../../canary", &["canary/", "canary/escaped 1"]),
            inside("../../../../../../tmp", &["tmp/", "tmp/escaped 1"]),
            // Where such a link leads, nothing is.
            Case::new("to what is not there", link("l", "/nowhere").file("l/escaped", "x"), Outcome::Any)
                .but(refused.clone()),
            Case::new("circles", link("l", "m").symlink("m", "l").file("l/escaped", "x"), refused.clone()),
            Case::new("itself", link("l", "l").file("l/escaped", "x"), refused.clone()),
            Case::new("into itself", link("l", "l/l/l/l").file("l/escaped", "x"), refused.clone()),
            Case::new(
                "below itself",
                Tar::new().dir("d").symlink("d/l", "..").file("d/l/d/l/d/l/f", "x"),
                holds(&["d/", "d/l -> ..", "f 1"]),
            ),
            Case::new(
                "a folder that becomes a link",
                swap.clone().symlink("d", "../../../../../../canary").file("d/escaped", "x"),
                Outcome::Any,
            )
            .but(refused.clone()),
            Case::new(
                "a folder that becomes a link and a folder again",
                swap.clone().symlink("d", "/canary").dir("d").file("d/escaped", "x"),
                holds(&["d/", "d/escaped 1", "e -> ../../../../../canary"]),
            ),
            Case::new(
                "a folder below a link",
                link("l", "/").dir("l/escaped").dir("l/escaped/d"),
                holds(&["escaped/", "escaped/d/", "l -> /"]),
            ),
            Case::new(
                "a link below a link",
                link("l", "/").symlink("l/escaped", "/etc"),
                holds(&["escaped -> /etc", "l -> /"]),
            ),
            Case::new(
                "a device below a link",
                link("l", "/").node(b'3', "l/escaped", 1, 3),
                holds(&["escaped c 1:3", "l -> /"]),
            ),
            Case::new("itself below itself", link("l", "/").symlink("l/l", "/etc"), holds(&["l -> /etc"])),
            Case::new("of a lower layer", Tar::new().file("l/escaped", "x"), holds(&["l/", "l/escaped 1"]))
                .above(link("l", "/canary"))
                .but(refused.clone()),
            Case::new(
                "of a lower layer, to what is there",
                Tar::new().file("l/escaped", "x"),
                holds(&["d/", "l/", "l/escaped 1"]),
            )
            .above(Tar::new().dir("d").symlink("l", "/d"))
            .but(holds(&["d/", "d/escaped 1", "l -> /d"])),
            Case::new("of a lower layer, up", Tar::new().file("l/escaped", "x"), holds(&["l/", "l/escaped 1"]))
                .above(link("l", "../../../.."))
                .but(holds(&["escaped 1", "l -> ../../../.."])),
            Case::new("forty of them", chain(39), chained(39)),
            Case::new("too many of them", chain(300), refused),
            Case::new(
                "a file through a link to it",
                Tar::new().file("f", "1").symlink("l", "f").file("l", "xyz"),
                holds(&["f 1", "l 3"]),
            ),
        ],
        22,
    );
}

/// A folder, and links to links to it.
fn chain(links: usize) -> Tar {
    let start = Tar::new().dir("l0");
    (1..=links)
        .fold(start, |tar, number| tar.symlink(format!("l{number}"), format!("l{}", number - 1)))
        .file(format!("l{links}/f"), "x")
}

fn chained(links: usize) -> Outcome {
    let named = (1..=links).map(|number| format!("l{number} -> l{}", number - 1));
    Outcome::Holds(named.chain(["l0/".to_owned(), "l0/f 1".to_owned()]).collect())
}

#[test]
fn hard_links_stay_inside() {
    let missing = Outcome::Refused(&["/h: "]);
    let file = || Tar::new().file("f", "x");
    let check = |what: &str, tar: Tar, expected: &[&str]| Case::new(what, tar, holds(expected));
    let refused = |target: &str| Case::new(target, file().hardlink("h", target), missing.clone());
    pass(
        &[
            refused("/etc/passwd"),
            refused("../../../../../../etc/passwd"),
            refused("../../canary/file"),
            refused("/proc/self/exe"),
            refused("missing"),
            refused("/"),
            refused("."),
            refused("h"),
            refused("f/f"),
            check("clamped", file().hardlink("h", "/../../f"), &["f 1", "h = f"]),
            Case::new("to what comes later", Tar::new().hardlink("h", "f").file("f", "x"), missing.clone()),
            Case::new("to each other", Tar::new().hardlink("h", "g").hardlink("g", "h"), missing.clone()),
            Case::new("to a folder", Tar::new().dir("d").hardlink("h", "d"), missing.clone()),
            Case::new("to what was replaced by a folder", file().dir("f").hardlink("h", "f"), missing.clone()),
            check("itself", file().hardlink("f", "f"), &["f 1"]),
            check("twice", file().hardlink("h", "f").hardlink("h", "f"), &["f 1", "h = f"]),
            check("a chain", file().hardlink("g", "f").hardlink("h", "g"), &["f 1", "g = f", "h = f"]),
            check("of what is replaced then", file().hardlink("h", "f").file("f", "new"), &["f 3", "h 1"]),
            check("in place of a folder", file().dir("h").file("h/x", "").hardlink("h", "f"), &["f 1", "h = f"]),
            check("to a link", link("l", "/etc/passwd").hardlink("h", "l"), &["h -> /etc/passwd", "l = h"])
                .but(holds(&["h -> /etc/passwd", "l -> /etc/passwd"])),
            check("to a link to itself", link("l", "l").hardlink("h", "l"), &["h -> l", "l = h"])
                .but(holds(&["h -> l", "l -> l"])),
            check("to a pipe", Tar::new().node(b'6', "p", 0, 0).hardlink("h", "p"), &["h |", "p = h"])
                .but(holds(&["h |", "p |"])),
            check("to a device", Tar::new().node(b'3', "c", 1, 3).hardlink("h", "c"), &["c c 1:3", "h = c"])
                .but(holds(&["c c 1:3", "h c 1:3"])),
            Case::new("through a link that leads out", link("l", "/etc").hardlink("h", "l/passwd"), missing.clone()),
            Case::new(
                "through a link that leads up",
                link("l", "../../../../../canary").hardlink("h", "l/file"),
                missing.clone(),
            ),
            check(
                "through a link inside",
                Tar::new().file("d/f", "x").symlink("l", "/d").hardlink("h", "l/f"),
                &["d/", "d/f 1", "h = d/f", "l -> /d"],
            ),
            Case::new(
                "through a folder that became a link",
                Tar::new().file("d/f", "x").dir("e").symlink("e", "/etc").hardlink("h", "e/passwd"),
                missing.clone(),
            ),
            Case::new("through a circle", link("l", "l").hardlink("h", "l/f"), missing.clone()),
            Case::new("to a whiteout", Tar::new().file(".wh.f", "").hardlink("h", "f"), missing.clone())
                .above(file())
                .but(Outcome::Any),
            Case::new("to what a lower layer has", Tar::new().hardlink("h", "f"), holds(&["f 1", "h 1"]))
                .above(file())
                .but(Outcome::Any),
            Case::new(
                "to a link of a lower layer",
                Tar::new().hardlink("h", "l"),
                holds(&["h -> /etc/passwd", "l -> /etc/passwd"]),
            )
            .above(link("l", "/etc/passwd"))
            .but(Outcome::Any),
            Case::new("through a link of a lower layer", Tar::new().hardlink("h", "l/passwd"), missing.clone())
                .above(link("l", "/etc"))
                .but(Outcome::Any),
            Case::new(
                "with bytes",
                Tar::new().file("f", "x").raw(super::tar::Header::new(b'1', "h").link("f").size(1), b""),
                holds(&["f 1", "h = f"]),
            ),
            Case::new(
                "1000 of them",
                (0..1000).fold(file(), |tar, number| tar.hardlink(format!("h{number:03}"), "f")),
                Outcome::Holds(
                    ["f 1".to_owned()].into_iter().chain((0..1000).map(|number| format!("h{number:03} = f"))).collect(),
                ),
            ),
        ],
        34,
    );
}
