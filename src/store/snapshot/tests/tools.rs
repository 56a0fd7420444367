//! Other people's tools read what is written here, and the other way round.

use std::process::{Command, Stdio};

use super::*;

/// What a command says on standard output, given a file on standard input. None if there is no such program.
fn run(program: &str, arguments: &[&str], input: &Path) -> Option<String> {
    let output =
        Command::new(program).args(arguments).stdin(File::open(input).unwrap()).stderr(Stdio::inherit()).output();
    let output = output.ok().or_else(|| {
        eprintln!("skipped: there is no {program}");
        None
    })?;
    assert!(output.status.success(), "{program} {arguments:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Without what no tool knows: whiteouts and opaque folders.
fn plain() -> (Toc, Texts) {
    let (toc, mut texts) = sample();
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(120));
    let mut entries: Vec<Entry> = toc.entries().iter().filter(|entry| entry.kind != Kind::Whiteout).cloned().collect();
    for entry in &mut entries {
        if let Kind::Dir { opaque } = &mut entry.kind {
            *opaque = false;
        }
    }
    entries.push(entry(&"d".repeat(120), 0o755, DIR));
    entries.push(entry(&long, 0o644, file("long")));
    entries.push(Entry { path: path("zlink"), ..entry("", 0o644, Kind::Hardlink(path(&long))) });
    entries.push(entry("ztarget", 0, Kind::Symlink("t".repeat(140).into_bytes())));
    entries.push(Entry { path: TreePath::clean(b"caf\xe9"), ..entry("", 0o644, file("x")) });
    texts.0.extend(Texts::new(&["long"]).0);
    (Toc::new(entries), texts)
}

#[test]
fn gnu_tar_extracts_what_is_written() {
    if !is_root() {
        return;
    }
    let (toc, texts) = plain();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("layer.tar");
    fs::write(&archive, tar::write(&toc, &texts, Verify::Content, Vec::new()).unwrap()).unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let arguments =
        ["-xp", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", out.to_str().unwrap(), "-f", "-"];
    if run("tar", &arguments, &archive).is_none() {
        return;
    }
    assert_eq!(import(open(&out).as_fd(), &AS_IT_IS.settle).unwrap(), toc);
}

#[test]
fn python_lists_what_is_written() {
    let (toc, texts) = plain();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("layer.tar");
    fs::write(&archive, tar::write(&toc, &texts, Verify::Content, Vec::new()).unwrap()).unwrap();
    let script = "import sys,tarfile,os\n\
        for m in tarfile.open(fileobj=sys.stdin.buffer, mode='r|'):\n\
        \tsys.stdout.buffer.write(os.fsencode(m.name) + f' {m.mode:o} {m.uid}:{m.gid} {int(m.mtime)} {m.size}\\n'.encode())";
    let Some(listing) = run("python3", &["-c", script], &archive) else { return };
    let line = |entry: &Entry| {
        let name = if entry.path.is_root() { ".".into() } else { String::from_utf8_lossy(entry.path.as_bytes()) };
        let size = if let Kind::File { size, .. } = entry.kind { size } else { 0 };
        let Meta { mode, uid, gid, mtime, .. } = entry.meta;
        format!("{name} {mode:o} {uid}:{gid} {mtime} {size}")
    };
    assert_eq!(listing.lines().collect::<Vec<_>>(), toc.entries().iter().map(line).collect::<Vec<_>>());
}

#[test]
fn archives_of_gnu_tar_are_read_in_every_format() {
    if !is_root() {
        return;
    }
    let (toc, texts) = plain();
    // The oldest format knows neither devices nor pipes, and no format keeps attributes unless asked to.
    let simple = Toc::new(toc.entries().iter().filter(|entry| entry.path.as_bytes().len() < 90).cloned().collect());
    let old = simple.entries().iter().filter(|entry| {
        let special = matches!(entry.kind, Kind::Char(..) | Kind::Block(..) | Kind::Fifo) || entry.meta.mtime < 0;
        !special
            && entry.path != path("zlink")
            && entry.path != path("ztarget")
            && !entry.path.starts_with(&path("bin"))
    });
    let old = Toc::new(old.cloned().collect());
    let check = |toc: &Toc, arguments: &[&str]| {
        let folder = written(toc, &texts);
        // A file with holes.
        let hole = File::create(folder.path().join("hole")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&hole, b"middle", 200_000).unwrap();
        hole.set_len(500_000).unwrap();
        hole.set_modified(std::time::UNIX_EPOCH).unwrap();
        std::os::unix::fs::fchown(&hole, Some(0), Some(0)).unwrap();
        let expected = import(open(folder.path()).as_fd(), &AS_IT_IS.settle).unwrap();
        let archive = tempfile::NamedTempFile::new().unwrap();
        let common = ["--numeric-owner", "-C", folder.path().to_str().unwrap(), "-c", "."];
        let output = Command::new("tar").args(arguments).args(common).stdout(archive.reopen().unwrap()).status();
        let Ok(status) = output else { return };
        assert!(status.success(), "{arguments:?}");
        let bytes = fs::read(archive.path()).unwrap();
        let (read, _) = unpacked(&bytes, Dialect::Archive, "", &Merged::default()).unwrap();
        let strip = |toc: &Toc| {
            let entries = toc.entries().iter().cloned().map(|mut entry| {
                if !arguments.contains(&"--xattrs") {
                    entry.meta.xattrs.clear();
                }
                entry
            });
            Toc::new(entries.collect())
        };
        assert_eq!(strip(&read), strip(&expected), "{arguments:?}");
    };
    let holes = ["-S", "--hole-detection=raw"];
    check(&toc, &["--format=pax", "--xattrs", "--xattrs-include=*"]);
    for version in ["0.0", "0.1", "1.0"] {
        check(&toc, &["--format=pax", holes[0], holes[1], &format!("--sparse-version={version}")]);
    }
    check(&toc, &["--format=gnu", holes[0], holes[1]]);
    check(&old, &["--format=ustar"]);
    check(&old, &["--format=v7"]);
}
