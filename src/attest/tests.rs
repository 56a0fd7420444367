//! Packages of made-up file systems, and what the statements about them say.

use std::io::Cursor;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::fstree::TreePath;
use crate::oci::Platform;

/// Reads bytes as a file.
pub(super) fn read(inventory: &mut Inventory, path: &str, format: Format, bytes: &[u8]) {
    let mut file = Cursor::new(bytes);
    let mut pieces = Pieces::new(&mut file, bytes.len() as u64);
    inventory.read(path, format, &mut pieces);
    pieces.finish().unwrap();
}

fn purls(files: &[(&str, &str)]) -> Vec<String> {
    let mut inventory = Inventory::default();
    for (path, text) in files {
        let format = Format::of(&TreePath::clean(path), 0o644).unwrap_or_else(|| panic!("{path} is of no interest"));
        read(&mut inventory, path, format, text.as_bytes());
    }
    inventory.packages().map(|package| package.purl(inventory.distribution())).collect()
}

#[track_caller]
fn check(files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(purls(files), expected);
}

const RELEASE: (&str, &str) = ("usr/lib/os-release", "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n");
const STATUS: (&str, &str) = (
    "var/lib/dpkg/status",
    "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9+deb12u10\n\
     Description: x\n Package: not-this\n .\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\n\
     Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:5.2\n",
);

#[test]
fn distributions() {
    check(
        &[RELEASE, STATUS],
        &[
            "pkg:deb/debian/bash@1:5.2?arch=amd64&distro=debian-12",
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12",
        ],
    );
    check(&[STATUS], &["pkg:deb/debian/bash@1:5.2?arch=amd64", "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64"]);
    check(
        &[("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n")],
        &["pkg:deb/debian/base-files@12.4?arch=amd64"],
    );
    check(
        &[
            ("etc/os-release", "ID=alpine\nVERSION_ID=3.20.1\n"),
            ("lib/apk/db/installed", "C:Q1=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\nF:lib\n\nP:no-version\n"),
        ],
        &["pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1"],
    );
}

#[test]
fn parts_of_urls() {
    let check = |ecosystem: Ecosystem, name: &str, version: &str, release: &str, expected: &str| {
        let package = Package { architecture: Some("noarch".into()), ..Package::new(ecosystem, name, version) };
        assert_eq!(package.purl(&Distribution::parse(release)), expected);
    };
    let fedora = "ID=fedora\nVERSION_ID=40\n";
    let expected = "pkg:rpm/fedora/Foo@1.0-1.fc40?arch=noarch&distro=fedora-40";
    check(Ecosystem::Rpm, "Foo", "1.0-1.fc40", fedora, expected);
    let expected = "pkg:rpm/opensuse-leap/Foo@1.0%2B1-1?arch=noarch&distro=opensuse-leap-15.6&epoch=2";
    check(Ecosystem::Rpm, "Foo", "2:1.0+1-1", "ID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"\n", expected);
    check(Ecosystem::Rpm, "Foo", "0:1-1", "", "pkg:rpm/Foo@1-1?arch=noarch&epoch=0");
    check(Ecosystem::Go, "example.org/A/b/v2", "v2.0.0", fedora, "pkg:golang/example.org/a/b/v2@v2.0.0?arch=noarch");
}

#[test]
fn languages() {
    let lock = "version = 4\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\
                [[package]]\nname = \"nix\"\nversion = \"0.31.0\"\nsource = \"registry+x\"\n";
    check(&[("src/Cargo.lock", lock)], &["pkg:cargo/nix@0.31.0"]);
    let v3 = r#"{"lockfileVersion": 3, "packages": {"": {"name": "own", "version": "1.0.0"},
        "node_modules/@types/node": {"version": "20.1.0", "license": "MIT", "dependencies": {"undici": "^5"}},
        "node_modules/a/node_modules/b": {"version": "2.0.0"}, "packages/x": {"version": "0.0.1"},
        "node_modules/x": {"link": true, "version": "1.0.0"}}}"#;
    check(&[("app/package-lock.json", v3)], &["pkg:npm/%40types/node@20.1.0", "pkg:npm/b@2.0.0"]);
    let v1 = r#"{"dependencies": {"a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}}}}"#;
    check(&[("package-lock.json", v1)], &["pkg:npm/a@1.0.0", "pkg:npm/b@2.0.0"]);
    check(
        &[(
            "srv/node_modules/@x/y/package.json",
            r#"{"name": "@x/y", "version": "3.0.0", "license": {"type": "MIT"}}"#,
        )],
        &["pkg:npm/%40x/y@3.0.0"],
    );
    check(
        &[(
            "usr/lib/python3/site-packages/PyYAML-6.0.dist-info/METADATA",
            "Name: Py_YAML\nVersion: 6.0\n\nVersion: 7\n",
        )],
        &["pkg:pypi/py-yaml@6.0"],
    );
    check(
        &[(
            "app/requirements.txt",
            "# x\nflask[async] == 3.0.0 ; python_version > '3'\nrequests>=2\nurllib3==2.0 --hash=x\n-r x\n",
        )],
        &["pkg:pypi/flask@3.0.0", "pkg:pypi/urllib3@2.0"],
    );
}

#[test]
fn modules_of_go() {
    let text = "module example.org/own\n\ngo 1.22\n\nrequire example.org/one v1.0.0 // indirect\nrequire (\n\t\
                github.com/BurntSushi/toml v1.2.0\n\t\"example.org/Fork/v2\" v2.0.0+incompatible // x\n\t// no v9.9.9\n\
                \texample.org/here v1.1.1\n)\nexclude example.org/one v0.9.0\nreplace (\n\texample.org/Fork/v2 => \
                example.org/new v2.1.0\n\texample.org/one v0.9.0 => example.org/no v1.0.0\n)\n\
                replace example.org/here => ./here\nretract [v1.0.0, v1.9.9]\n";
    check(
        &[("app/go.mod", text)],
        &[
            "pkg:golang/example.org/here@v1.1.1",
            "pkg:golang/example.org/new@v2.1.0",
            "pkg:golang/example.org/one@v1.0.0",
            "pkg:golang/github.com/burntsushi/toml@v1.2.0",
        ],
    );
}

#[test]
fn a_package_is_listed_once() {
    let metadata = ("a/x-1.dist-info/METADATA", "Name: Foo_Bar\nVersion: 1\n");
    check(&[metadata, ("b/requirements.txt", "foo-bar==1\n")], &["pkg:pypi/foo-bar@1"]);
}

#[test]
fn knows_which_files_to_read() {
    let check = |path: &str, expected: Option<Format>| {
        assert_eq!(Format::of(&TreePath::clean(path), 0o644), expected, "{path}");
        let executable = Format::of(&TreePath::clean(path), 0o755);
        assert_eq!(executable, expected.or(Some(Format::Executable)), "{path}");
    };
    check("var/lib/dpkg/status", Some(Format::DpkgStatus));
    check("srv/var/lib/dpkg/status", None);
    check("var/lib/dpkg/status.d/base.md5sums", None);
    check("package.json", None);
    check("app/src/x/package.json", None);
    check("node_modules/a/package.json", Some(Format::NpmPackage));
    check("node_modules/a/lib/package.json", None);
    check("node_modules/@a/b/package.json", Some(Format::NpmPackage));
    check("METADATA", None);
    check("var/lib/rpm/rpmdb.sqlite", Some(Format::RpmSqlite));
    check("usr/lib/sysimage/rpm/Packages.db", Some(Format::RpmNdb));
    check("var/lib/rpm/Packages", Some(Format::RpmBerkeley));
    check("srv/var/lib/rpm/Packages", None);
    check("Packages", None);
    check("src/go.mod", Some(Format::GoMod));
    check("root/go/pkg/mod/golang.org/x/sys@v0.1.0/go.mod", None);
}

fn subject() -> Subject {
    Subject { digest: Digest::of(b"image"), created: Some("2024-05-06T07:08:09.123Z".into()) }
}

fn inventory() -> Inventory {
    let mut inventory = Inventory::default();
    for (path, text) in [RELEASE, STATUS] {
        read(&mut inventory, path, Format::of(&TreePath::clean(path), 0o644).unwrap(), text.as_bytes());
    }
    inventory
}

/// Others compare digests of these. A change here is a change of every image that is built with statements.
#[test]
fn documents_stay_the_same() {
    let platform: Platform = "linux/amd64".parse().unwrap();
    let args = [("VERSION".to_owned(), "1".to_owned())].into();
    let build = Build {
        definition: "Dockerfile".into(),
        context: None,
        target: "web",
        platform: &platform,
        args: &args,
        labels: &args,
        dependencies: vec![
            Dependency::Commit("https://example.org/x.git".into(), "0".repeat(40)),
            Dependency::Image("docker.io/library/busybox:latest".into(), Digest::of(b"busybox")),
            Dependency::File("https://example.org/x".into(), Digest::of(b"x")),
        ],
    };
    let check = |document: Value, expected: &str| {
        let document = format!("{document:#}\n").replace(VERSION, "VERSION");
        assert_eq!(Digest::of(document.as_bytes()).short(), expected, "{document}");
    };
    check(spdx(&subject(), &inventory()), "1ff391e21ca9");
    check(cyclonedx(&subject(), &inventory()), "92bcd50e320b");
    check(provenance(&build, Detail::Min), "ee4bcc03b5c6");
    check(provenance(&build, Detail::Max), "9659e8bdab2f");
}

#[test]
fn values_of_arguments_are_told_only_on_request() {
    let platform: Platform = "linux/amd64".parse().unwrap();
    let args = [("TOKEN".to_owned(), "abc123".to_owned())].into();
    let labels = Default::default();
    let build = Build {
        definition: "Dockerfile".into(),
        context: None,
        target: "",
        platform: &platform,
        args: &args,
        labels: &labels,
        dependencies: Vec::new(),
    };
    let [min, max] = [Detail::Min, Detail::Max].map(|detail| provenance(&build, detail).to_string());
    assert!(min.contains("TOKEN") && !min.contains("abc123"), "{min}");
    assert!(max.contains("abc123"), "{max}");
}

#[test]
fn times_are_whole_seconds() {
    let check = |created: Option<&str>, expected: &str| {
        let subject = Subject { created: created.map(str::to_owned), ..subject() };
        assert_eq!(subject.time(), expected);
    };
    check(Some("2024-05-06T07:08:09.123Z"), "2024-05-06T07:08:09Z");
    check(Some("2024-05-06T07:08:09Z"), "2024-05-06T07:08:09Z");
    check(Some("2024-05-06T07:08:09+02:00"), "1980-01-01T00:00:00Z");
    check(Some("yesterday, I think, at ten Z"), "1980-01-01T00:00:00Z");
    check(None, "1980-01-01T00:00:00Z");
}

const FORMATS: [Format; 14] = [
    Format::OsRelease,
    Format::DpkgStatus,
    Format::DpkgPart,
    Format::ApkInstalled,
    Format::CargoLock,
    Format::NpmLock,
    Format::NpmPackage,
    Format::PythonMetadata,
    Format::Requirements,
    Format::GoMod,
    Format::RpmSqlite,
    Format::RpmNdb,
    Format::RpmBerkeley,
    Format::Executable,
];

proptest! {
    #[test]
    fn nothing_in_a_file_is_a_panic(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "(Package|Version|Status|P|V|Name|ID|[a-z]{1,3})?[:=]{0,2}[ \"\\[{}é]{0,2}(installed|[0-9.]{0,4})\n{0,2}".prop_map(String::into_bytes),
            proptest::collection::vec(prop_oneof![
                Just("{"), Just("}"), Just("\"packages\":"), Just("\"name\":\"x\""), Just(","), Just("\"version\":"),
                Just("\"1\""), Just("null"), Just("[[package]]\n"), Just("name = \"x\"\n"), Just("P:a\nV:1\n"), Just("\n"),
            ], 0..30).prop_map(|words| words.concat().into_bytes()),
        ],
    ) {
        for format in FORMATS {
            let mut inventory = Inventory::default();
            read(&mut inventory, "a/b", format, &bytes);
            prop_assert!(inventory.packages().len() <= bytes.len());
            let documents = [spdx(&subject(), &inventory), cyclonedx(&subject(), &inventory)];
            prop_assert!(documents.iter().all(Value::is_object));
        }
    }
}
