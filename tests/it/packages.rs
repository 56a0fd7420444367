//! Lists of packages of real things: databases that rpm made, and programs of Go.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Store, put, run, scratch, sh, text};

/// What rpm and the list both say of a package.
const FIELDS: &str = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{ARCH} from %{SOURCERPM}, %{LICENSE}, \
                      %|VENDOR?{%{VENDOR}}|\\n";

/// A database of a few packages, as rpm installs them; its folder.
fn database(folder: &Path) -> String {
    let top = folder.join("top").display().to_string();
    for (name, version, more) in [
        ("plain", "1.0", "License: MIT\nVendor: Somebody, Inc.\nBuildArch: noarch"),
        ("With-Epoch", "2.5~rc1+git^1", "License: GPLv2+ and LGPLv2+\nEpoch: 4"),
        ("long", "3", "License: BSD\nEpoch: 0\nBuildArch: noarch"),
    ] {
        let mut spec = format!("Name: {name}\nVersion: {version}\nRelease: 1.fc40\nSummary: x\n{more}\n");
        spec += "%description\nx\n%files\n%changelog\n";
        // Its header is on many pages.
        for day in 0..if name == "long" { 900 } else { 0 } {
            spec += &format!("* Thu Jan 01 2015 A <a@example.org> - {day}\n- what changed on day {day}\n");
        }
        let spec = put(folder, &format!("{name}.spec"), spec).display().to_string();
        sh(&["rpmbuild", "-bb", "--quiet", "--define", &format!("_topdir {top}"), &spec]);
    }
    let database = folder.join("rpm").display().to_string();
    let mut install = Command::new("rpm");
    install.args([
        "--dbpath",
        &database,
        "--define",
        "_db_backend sqlite",
        "-i",
        "--justdb",
        "--nodeps",
        "--ignorearch",
    ]);
    for rpms in fs::read_dir(folder.join("top/RPMS")).unwrap() {
        install.args(fs::read_dir(rpms.unwrap().path()).unwrap().map(|rpm| rpm.unwrap().path()));
    }
    run(&mut install);
    database
}

/// What rpm says is in a database.
fn asked(database: &str) -> Vec<String> {
    let said = sh(&["rpm", "--dbpath", database, "--define", "_db_backend sqlite", "-qa", "--qf", FIELDS]);
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The headers of a database, as rpm exports them.
fn headers(database: &str) -> Vec<Vec<u8>> {
    let exported = run(Command::new("rpmdb").args(["--dbpath", database, "--exportdb"])).stdout;
    let (mut rest, mut headers) = (exported.as_slice(), Vec::new());
    while let Some(header) = rest.strip_prefix(b"\x8e\xad\xe8\x01\0\0\0\0") {
        let count = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap()) as usize;
        let (header, after) = header.split_at(8 + 16 * count(0) + count(4));
        headers.push(header.to_owned());
        rest = after;
    }
    assert!(rest.is_empty());
    headers
}

/// The same in a hash of Berkeley DB, as rpm before 4.16 has it; its own program writes it.
fn berkeley(headers: &[Vec<u8>], path: &Path) {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut dump = String::from("VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END\n");
    dump += &format!(" {}\n {}\n", hex(&[0; 4]), hex(&[9, 0, 0, 0]));
    for (number, header) in (1_u32..).zip(headers) {
        dump += &format!(" {}\n {}\n", hex(&number.to_le_bytes()), hex(header));
    }
    let mut load = Command::new("db5.3_load").arg(path).stdin(Stdio::piped()).spawn().unwrap();
    load.stdin.take().unwrap().write_all((dump + "DATA=END\n").as_bytes()).unwrap();
    assert!(load.wait().unwrap().success());
}

/// The same in rpm's own format, which Debian's rpm does not write.
fn ndb(headers: &[Vec<u8>], path: &Path) {
    let words = |name: &[u8], words: &[usize]| {
        let words = words.iter().flat_map(|word| u32::try_from(*word).unwrap().to_le_bytes());
        name.iter().copied().chain(words).collect::<Vec<u8>>()
    };
    let mut file = words(b"RpmP", &[0, 1, 1, 9, 0, 0, 0]);
    let mut blobs = Vec::new();
    for (number, header) in (1..).zip(headers) {
        let block = (4096 + blobs.len()) / 16;
        blobs.extend([words(b"BlbS", &[number, 1, header.len()]), header.clone()].concat());
        blobs.resize((blobs.len() + 12).next_multiple_of(16) - 12, 0);
        blobs.extend([words(&[0; 4], &[header.len()]), b"BlbE".to_vec()].concat());
        file.extend(words(b"Slot", &[number, block, (4096 + blobs.len()) / 16 - block]));
    }
    while file.len() < 4096 {
        file.extend(words(b"Slot", &[0, 0, 0]));
    }
    fs::write(path, [file, blobs].concat()).unwrap();
}

/// The packages of an image that are listed.
fn listed(store: &Store, image: &str) -> Vec<Value> {
    let mut list: Value = serde_json::from_str(&store.run(&["sbom", image])).unwrap();
    let packages = list["packages"].as_array_mut().unwrap();
    packages.drain(1..).collect()
}

fn purl(package: &Value) -> &str {
    package["externalRefs"][0]["referenceLocator"].as_str().unwrap()
}

/// Builds an image of a folder with a database, and compares what is listed with what rpm says.
#[track_caller]
fn compare(folder: &Path, expected: &[String]) {
    put(folder, "Dockerfile", "FROM scratch\nCOPY root /\n");
    put(folder, "root/etc/os-release", "ID=fedora\nVERSION_ID=40\n");
    let store = Store::new();
    store.build(folder, &["-t", "app"]);
    let packages = listed(&store, "app");
    let line = |package: &Value| {
        let word = |key: &str| package[key].as_str().unwrap_or_default();
        let (_, architecture) = purl(package).split_once("?arch=").unwrap();
        let (_, source) = word("sourceInfo").split_once(", built from ").unwrap();
        format!(
            "{} {} {} from {source}, {}, {}",
            word("name"),
            word("versionInfo"),
            architecture.split('&').next().unwrap(),
            word("licenseComments").trim_start_matches("the package says: "),
            word("supplier").trim_start_matches("Organization: "),
        )
    };
    let mut lines: Vec<String> = packages.iter().map(line).collect();
    lines.sort();
    assert_eq!(lines, expected);
    let purls: Vec<&str> = packages.iter().map(purl).collect();
    assert!(purls.contains(&"pkg:rpm/fedora/plain@1.0-1.fc40?arch=noarch&distro=fedora-40"), "{purls:?}");
    assert!(purls.iter().any(|purl| purl.ends_with("&distro=fedora-40&epoch=4")), "{purls:?}");
}

#[test]
fn lists_what_rpm_installed() {
    let folder = scratch();
    let database = database(folder.path());
    let expected = asked(&database);
    assert_eq!(expected.len(), 3);
    let headers = headers(&database);
    let file = |place: &str| put(folder.path(), &format!("root/{place}"), "");
    let fresh = || fs::remove_dir_all(folder.path().join("root")).unwrap();

    let place = file("usr/lib/sysimage/rpm/rpmdb.sqlite");
    fs::copy(Path::new(&database).join("rpmdb.sqlite"), place).unwrap();
    compare(folder.path(), &expected);
    fresh();
    ndb(&headers, &file("usr/lib/sysimage/rpm/Packages.db"));
    compare(folder.path(), &expected);
    fresh();
    let place = file("var/lib/rpm/Packages");
    fs::remove_file(&place).unwrap();
    berkeley(&headers, &place);
    compare(folder.path(), &expected);
}

#[test]
fn lists_what_programs_of_go_say() {
    let (folder, store) = (scratch(), Store::new());
    put(folder.path(), "Dockerfile", "FROM scratch\nCOPY bin /bin\n");
    let which = text(&run(Command::new("sh").args(["-c", "command -v skopeo"])).stdout);
    let program = folder.path().join("bin/program");
    put(folder.path(), "bin/script", "#!/bin/sh\n");
    fs::copy(which.trim(), &program).unwrap();
    store.build(folder.path(), &["-t", "app"]);
    let packages = listed(&store, "app");
    let library = packages.iter().find(|package| package["name"] == "stdlib").unwrap_or_else(|| panic!("{packages:?}"));
    assert_eq!(library["sourceInfo"], "found in /bin/program");
    // The compiler writes its version in many places of a program.
    let version = library["versionInfo"].as_str().unwrap();
    assert_eq!(purl(library), format!("pkg:golang/stdlib@{version}"));
    let bytes = fs::read(&program).unwrap();
    let name = format!("go{version}");
    assert!(bytes.windows(name.len()).any(|window| window == name.as_bytes()), "{version}");
    // What nobody can run is data.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    store.build(folder.path(), &["-t", "data"]);
    assert_eq!(listed(&store, "data"), [Value::Null; 0]);
}
