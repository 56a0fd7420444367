//! With the kernel's overlay: what a step did, committed, is what the step left.

use std::process::Command;
use std::time::SystemTime;

use super::*;
use crate::fstree::{Flattened, View};

/// All that can be seen, without times.
const LIST: &str = r#"find . ! -type s \( -type d -printf '%P d %m %U:%G\n' -o -type f -printf '%P f %m %U:%G %s ' -exec md5sum {} \; -o -printf '%P %y %m %U:%G %l\n' \) | sort"#;

/// The times, in seconds.
const TIMES: &str = r"find . -mindepth 1 ! -type s -printf '%T@ %P\n'";

/// Runs `script` in an overlay; layers bottom first. None where overlays cannot be mounted.
fn step(layers: &[&Path], upper: &Path, script: &str) -> Option<String> {
    let work = tempfile::tempdir().unwrap();
    let lower: Vec<String> = layers.iter().rev().map(|layer| layer.display().to_string()).collect();
    let (upper, work) = (upper.display(), work.path().display());
    let all = format!(
        "set -e; mkdir -p {work}/w {work}/m; \
         mount -t overlay overlay -o lowerdir={},upperdir={upper},workdir={work}/w,redirect_dir=off,metacopy=off,index=off {work}/m \
         || exit 77; cd {work}/m; {script}",
        lower.join(":"),
    );
    // Work and upper folder must be on one file system: temporary folders are.
    let output = Command::new("unshare").args(["-m", "sh", "-c", &all]).output().ok()?;
    if output.status.code() == Some(77) {
        eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs steps one after another, each on the layers before, and looks at everything after each.
fn check(steps: &[&str], expected: &[&str]) {
    if !is_root() {
        return;
    }
    let base = Toc::new(vec![
        entry("data", 0o755, DIR),
        entry("data/a", 0o644, file("a")),
        entry("data/b", 0o644, file("b")),
        entry("data/dir", 0o755, DIR),
        entry("data/dir/f", 0o644, file("f")),
        entry("data/dir/sub", 0o755, DIR),
        entry("data/dir/sub/g", 0o644, file("g")),
        entry("data/link", 0, Kind::Symlink(b"a".to_vec())),
        entry("h", 0o755, DIR),
        entry("h/a", 0o644, file("shared")),
        entry("h/b", 0o644, Kind::Hardlink(path("h/a"))),
    ]);
    let mut folders = vec![written(&base, &Texts::new(&["a", "b", "f", "g", "shared"]))];
    let mut view = stack(&[&base]);
    let mut layer = Toc::default();
    for script in steps {
        let upper = tempfile::tempdir().unwrap();
        fs::set_permissions(upper.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let layers: Vec<&Path> = folders.iter().map(tempfile::TempDir::path).collect();
        let start = SystemTime::now();
        let Some(left) = step(&layers, upper.path(), &format!("{script}\n{LIST}")) else { return };
        let clock = Some(Clock::new(start, SystemTime::now()));
        let settle = Settle { clock, ..AS_IT_IS.settle };
        layer = commit(open(upper.path()).as_fd(), &view, &CommitOptions { settle, ..AS_IT_IS }).unwrap();
        view = view.with(Arc::new(layer.clone()));
        let empty = tempfile::tempdir().unwrap();
        fs::set_permissions(empty.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let layers: Vec<&Path> = layers.into_iter().chain([upper.path()]).collect();
        let found = step(&layers, empty.path(), LIST).unwrap();
        assert_eq!(found, left, "after {script}");
        // Times are as the data says, and none is the clock's.
        for line in step(&layers, empty.path(), TIMES).unwrap().lines() {
            let (time, name) = line.split_once(' ').unwrap();
            let node = view.lookup(&path(name)).unwrap();
            let expected = node.unwrap_or_else(|| panic!("{name} is not in the data")).meta.mtime;
            assert_eq!(time, format!("{expected}.0000000000"), "{name} after {script}");
        }
        // The same as one flat folder.
        folders.push(upper);
        let files: Vec<SnapshotFiles> = folders.iter().map(|folder| SnapshotFiles::new(open(folder.path()))).collect();
        let flattened = Flattened::new(&view);
        let flat = tempfile::tempdir().unwrap();
        let source = StackedFiles::new(&files, &flattened);
        write(flattened.toc(), &source, open(flat.path()).as_fd(), &options()).unwrap();
        assert_eq!(step(&[flat.path()], empty.path(), LIST).unwrap(), left, "flattened after {script}");
    }
    let line = |entry: &Entry| match &entry.kind {
        Kind::Dir { opaque: true } => format!("{} opaque", entry.path),
        Kind::Whiteout => format!("{} gone", entry.path),
        Kind::Hardlink(target) => format!("{} = {target}", entry.path),
        _ => entry.path.to_string(),
    };
    assert_eq!(layer.entries().iter().map(line).collect::<Vec<_>>(), expected, "{steps:?}");
}

#[test]
fn nothing() {
    check(&["true"], &[]);
    check(&["touch x && rm x; mkdir data/y && rmdir data/y"], &[]);
}

#[test]
fn changes_of_files() {
    check(&["echo x > data/dir/sub/g"], &["/data", "/data/dir", "/data/dir/sub", "/data/dir/sub/g"]);
    check(&["chmod 600 data/a; chmod 644 data/a; chown 5 data/b; chown 0 data/b"], &[]);
    check(&["touch -d @1000000001 data/a; touch -d @1000000002 data/dir"], &["/data", "/data/a", "/data/dir"]);
    check(&["chown 7:8 data/a; chmod 4711 data/b"], &["/data", "/data/a", "/data/b"]);
    check(&["mkfifo p; mknod c c 1 3; ln -s nowhere l"], &["/c", "/l", "/p"]);
    check(&["touch -d @9000000000 late; touch -d @-86400 early"], &["/early", "/late"]);
}

#[test]
fn removals() {
    check(&["rm data/a"], &["/data", "/data/a gone"]);
    check(&["rm -r data"], &["/data gone"]);
    check(&["rm -r data/dir/*; chmod 700 data/dir"], &["/data", "/data/dir", "/data/dir/f gone", "/data/dir/sub gone"]);
    check(&["rm data/a", "echo a > data/a"], &["/data", "/data/a"]);
    check(&["rm data/a", "true"], &[]);
    check(&["rm -r data/dir", "mkdir data/dir; echo n > data/dir/n"], &["/data", "/data/dir", "/data/dir/n"]);
}

#[test]
fn recreated_and_replaced() {
    check(
        &["rm -r data/dir; mkdir -m 700 data/dir; echo n > data/dir/n"],
        &["/data", "/data/dir opaque", "/data/dir/n"],
    );
    check(&["rm -r data/dir; echo file > data/dir"], &["/data", "/data/dir"]);
    check(&["rm data/a; mkdir data/a; echo x > data/a/x"], &["/data", "/data/a", "/data/a/x"]);
    check(&["rm -r data/dir; ln -s b data/dir"], &["/data", "/data/dir"]);
    check(
        &["rm -r data/dir; echo x > data/dir", "rm data/dir; mkdir data/dir; echo y > data/dir/f"],
        &["/data", "/data/dir", "/data/dir/f"],
    );
}

#[test]
fn renames() {
    check(&["mv data/a data/c"], &["/data", "/data/a gone", "/data/c"]);
    check(&["mv data/a data/t; mv data/b data/a; mv data/t data/b"], &["/data", "/data/a", "/data/b"]);
    check(
        &["mkdir data/n; echo s > data/n/s", "mv data/dir data/t; mv data/n data/dir; mv data/t data/n"],
        &["/data", "/data/dir opaque", "/data/dir/s", "/data/n opaque", "/data/n/f", "/data/n/sub", "/data/n/sub/g"],
    );
    check(&["mkdir x; mkdir y; touch x/in; mv x y/z"], &["/y", "/y/z", "/y/z/in"]);
}

#[test]
fn hard_links() {
    check(&["ln h/a h/c"], &["/h", "/h/a", "/h/c = /h/a"]);
    check(&["echo own > h/t; mv h/t h/a"], &["/h", "/h/a"]);
    check(&["rm h/a"], &["/h", "/h/a gone"]);
    check(&["echo one > z; ln z a; ln z m"], &["/a", "/m = /a", "/z = /a"]);
    check(&["mkdir z; echo one > z/f; ln z/f b", "rm b"], &["/b gone"]);
}

#[test]
fn many_files() {
    check(
        &["mkdir n; i=0; while [ $i -lt 400 ]; do echo $i > n/$i; i=$((i+1)); done", "rm -r n; touch -d @1000000000 x"],
        &["/n gone", "/x"],
    );
}
