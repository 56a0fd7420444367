//! Lockfiles as they are written, read, compared and refused.

use super::*;

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn image(byte: u8) -> LockedImage {
    LockedImage {
        index: Some(Digest::from_bytes([byte; 32])),
        manifest: Digest::from_bytes([byte + 1; 32]),
        config: Digest::from_bytes([byte + 2; 32]),
    }
}

fn sample() -> Lockfile {
    let amd = platform("linux/amd64");
    let mut lock = Lockfile::new();
    lock.record_target("", &amd, DefinitionDigest::from_bytes([9; 32]));
    lock.record_image("redis:7", &platform("linux/arm64"), LockedImage { index: None, ..image(4) });
    lock.record_image("redis:7", &amd, image(1));
    lock.record_image("alpine", &amd, image(1));
    lock.record_git("https://example.org/a.git", "main", &"a".repeat(40));
    lock.record_http(
        "https://example.org/\"x\"\u{1}",
        LockedHttp { sha256: Digest::of(b"x"), size: 1, last_modified: Some(315_532_800) },
    );
    let output =
        LockedOutput { manifest: Digest::of(b""), layers: vec![DiffId::from_bytes([7; 32]); 2], definition: None };
    let definition = Some(DefinitionDigest::from_bytes([8; 32]));
    lock.record_output("web", &amd, LockedOutput { layers: Vec::new(), definition, ..output.clone() });
    lock.record_output("", &amd, output);
    lock
}

const TEXT: &str = r#"# What the build takes from outside, pinned so that it comes out the same every time.
# Written by imgbuild. Commit this file; renew what is pinned with `imgbuild update`.

version = 1

[[image]]
reference = "alpine"
platform = "linux/amd64"
index = "sha256:0101010101010101010101010101010101010101010101010101010101010101"
manifest = "sha256:0202020202020202020202020202020202020202020202020202020202020202"
config = "sha256:0303030303030303030303030303030303030303030303030303030303030303"

[[image]]
reference = "redis:7"
platform = "linux/amd64"
index = "sha256:0101010101010101010101010101010101010101010101010101010101010101"
manifest = "sha256:0202020202020202020202020202020202020202020202020202020202020202"
config = "sha256:0303030303030303030303030303030303030303030303030303030303030303"

[[image]]
reference = "redis:7"
platform = "linux/arm64"
manifest = "sha256:0505050505050505050505050505050505050505050505050505050505050505"
config = "sha256:0606060606060606060606060606060606060606060606060606060606060606"

[[http]]
url = "https://example.org/\"x\"\u0001"
sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
size = 1
last-modified = 1980-01-01T00:00:00Z

[[git]]
url = "https://example.org/a.git"
ref = "main"
commit = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

[[target]]
platform = "linux/amd64"
definition = "key:0909090909090909090909090909090909090909090909090909090909090909"

[[output]]
platform = "linux/amd64"
manifest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
layers = [
    "sha256:0707070707070707070707070707070707070707070707070707070707070707",
    "sha256:0707070707070707070707070707070707070707070707070707070707070707",
]

[[output]]
target = "web"
platform = "linux/amd64"
definition = "key:0808080808080808080808080808080808080808080808080808080808080808"
manifest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
layers = []
"#;

#[test]
fn is_written_so() {
    assert_eq!(sample().to_string(), TEXT);
}

#[test]
fn reads_what_it_wrote() {
    assert_eq!(Lockfile::parse(TEXT).unwrap(), sample());
    assert_eq!(Lockfile::parse(&TEXT.replace('\n', "\r\n")).unwrap(), sample(), "as some checkouts have it");
    assert_eq!(Lockfile::parse(&Lockfile::new().to_string()).unwrap(), Lockfile::new());
    let older = TEXT
        .replace("[[target]]\n", "[[target]]\nname = \"\"\n")
        .replace("[[output]]\nplatform", "[[output]]\ntarget = \"\"\nplatform");
    assert_eq!(Lockfile::parse(&older).unwrap(), sample(), "as earlier versions wrote what has no name");
}

#[test]
fn finds_what_was_pinned() {
    let lock = sample();
    let amd = platform("linux/amd64");
    assert_eq!(lock.lookup_image("redis:7", &amd), Some(&image(1)));
    assert_eq!(lock.lookup_image("redis", &amd), None);
    assert_eq!(lock.lookup_image("alpine", &platform("linux/arm64")), None);
    assert_eq!(lock.lookup_git("https://example.org/a.git", "main"), Some("a".repeat(40).as_str()));
    assert_eq!(lock.lookup_http("https://example.org"), None);
    assert_eq!(lock.lookup_target("", &amd), Some(DefinitionDigest::from_bytes([9; 32])));
    assert_eq!(lock.lookup_output("", &amd).map(|output| output.layers.len()), Some(2));
}

#[test]
fn errors_name_the_line() {
    #[track_caller]
    fn check(text: &str, line: usize, expected: &str) {
        let error = Lockfile::parse(text).unwrap_err();
        assert!(error.message.contains(expected), "{error}");
        assert_eq!(error.line, line, "{error}");
    }
    check("", 1, "no version");
    check("version = 2\nnew = true\n", 1, "version 2");
    check("version = \"1\"", 1, "version \"1\"");
    check("version = 1\n\n[[image]\n", 3, "");
    check("version = 1\n[[imagine]]\n", 2, "unknown field `imagine`");
    check(&TEXT.replacen("index =", "idx =", 1), 9, "unknown field `idx`");
    check(&TEXT.replacen("sha256:01", "sha256:0x", 1), 9, "0-9 and a-f");
    check(&TEXT.replacen("linux/amd64", "linux", 1).replacen("linux\"", "a b\"", 1), 8, "is not a platform");
    check(&TEXT.replacen("= 1\nlast", "= -1\nlast", 1), 29, "");
    check(&TEXT.replacen("00:00:00Z", "00:00:00", 1), 30, "UTC");
    check(&TEXT.replacen("aaaaaa\"", "\"", 1), 35, "40 or 64");
    check(&TEXT.replacen("alpine", "redis:7", 1), 14, "\"redis:7\" is pinned twice");
    check(&TEXT.replacen("[[git]]", "<<<<<<< HEAD\n[[git]]", 1), 32, "conflict markers");
    check("version = 1\n[[target]]\nname = \"a\"\n", 2, "missing field");
}

#[test]
fn drops_what_is_not_used() {
    let mut lock = sample();
    lock.retain(|key| matches!(key, LockKey::Image { reference, .. } if reference == "redis:7"));
    assert_eq!(
        lock.keys().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["image redis:7 (linux/amd64)", "image redis:7 (linux/arm64)"]
    );
    lock.retain(|_| false);
    assert!(lock.is_empty());
}

#[test]
fn tells_what_changed() {
    let old = sample();
    assert_eq!(Lockfile::diff(&old, &old), []);
    let mut new = old.clone();
    let amd = platform("linux/amd64");
    new.record_image("redis:7", &amd, LockedImage { index: None, manifest: Digest::of(b""), ..image(1) });
    new.record_git("https://example.org/b.git", "", &"b".repeat(40));
    new.retain(|key| !matches!(key, LockKey::Http { .. }));
    let lines: Vec<String> = Lockfile::diff(&old, &new).iter().map(ToString::to_string).collect();
    let manifest = image(1).manifest;
    assert_eq!(
        lines,
        [
            format!("image redis:7 (linux/amd64): index is gone, manifest {manifest} is now {}", Digest::of(b"")),
            "URL https://example.org/\"x\"\u{1}: is not used any more".to_owned(),
            "git https://example.org/b.git: is not pinned yet".to_owned(),
        ]
    );
}

#[test]
fn no_text_makes_it_panic() {
    // Every cut and every changed byte of a good file.
    for at in 0..TEXT.len() {
        let _ = Lockfile::parse(&TEXT[..at]);
        let _ = Lockfile::parse(&format!("{}é{}", &TEXT[..at], &TEXT[at + 1..]));
    }
}

proptest::proptest! {
    #[test]
    fn any_name_survives(reference in ".{0,20}", url in "\\PC{0,20}", seconds in -62_167_219_200i64..=253_402_300_799) {
        let mut lock = sample();
        lock.record_image(&reference, &platform("linux/arm/v6"), image(1));
        lock.record_http(&url, LockedHttp { sha256: Digest::of(b""), size: 0, last_modified: Some(seconds) });
        lock.record_git(&url, &reference, &"0".repeat(64));
        let text = lock.to_string();
        let again = Lockfile::parse(&text).unwrap();
        assert_eq!(again.to_string(), text);
        assert_eq!(again, lock);
    }
}
