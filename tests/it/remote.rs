//! Files and repositories from the network, against real servers on the loopback, with the failures that networks have.

use std::fs;
use std::path::Path;

use imgbuild::digest::Digest;

use crate::support::{Store, run, scratch, text};
use crate::web::{Reply, Web};

/// A folder with a Dockerfile.
struct Project {
    folder: tempfile::TempDir,
}

/// A file of an image.
#[derive(Debug, PartialEq, Eq)]
struct File {
    bytes: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
}

impl Project {
    fn new(dockerfile: &str) -> Self {
        let folder = scratch();
        fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn lock(&self) -> String {
        fs::read_to_string(self.path().join("Dockerfile.lock")).unwrap()
    }

    /// Builds, and returns the files that came out by their paths.
    fn build(&self, store: &Store, more: &[&str]) -> std::collections::BTreeMap<String, File> {
        let archive = self.path().join(".out.tar");
        let output = format!("type=tar,dest={}", archive.display());
        let mut command = store.command();
        command.args(["build", "--progress", "plain", "-o", &output]).args(more).arg(self.path());
        run(&mut command);
        files(&archive)
    }

    /// Builds, which must fail; what the program says.
    fn fails(&self, store: &Store, more: &[&str]) -> String {
        let mut command = store.command();
        let output =
            command.args(["build", "--progress", "plain", "-o", "type=cacheonly"]).args(more).arg(self.path()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        text(&output.stderr)
    }
}

/// The files, links and folders of a tar. Folders end in a slash; a link's bytes are its target.
fn files(archive: &Path) -> std::collections::BTreeMap<String, File> {
    use std::io::Read;
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, fs::File>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if let Some(target) = entry.link_name_bytes() {
            bytes = target.into_owned();
        }
        let header = entry.header();
        let file = File {
            bytes,
            mode: header.mode().unwrap(),
            owner: (header.uid().unwrap(), header.gid().unwrap()),
            mtime: header.mtime().unwrap(),
        };
        (entry.path().unwrap().to_string_lossy().into_owned(), file)
    };
    archive.entries().unwrap().map(read).collect()
}

/// The bytes of many different blocks.
fn large() -> Vec<u8> {
    (0..300_000u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_url_becomes_a_file_and_a_pin() {
    let web = Web::serve(|request, _| match request.path.as_str() {
        "/a/dated.txt?x=1" => Reply::file("dated").with("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        "/undated" => Reply::file("undated").dripping(1),
        _ => Reply::status(404),
    });
    let (dated, undated) = (web.url("/a/dated.txt?x=1"), web.url("/undated"));
    let project = Project::new(&format!("FROM scratch\nADD {dated} /d/\nADD --chmod=755 --chown=1:2 {undated} /u\n"));
    let store = Store::new();
    let built = project.build(&store, &[]);
    let file = |bytes: &str, mode, owner, mtime| File { bytes: bytes.into(), mode, owner, mtime };
    assert_eq!(built["d/dated.txt"], file("dated", 0o600, (0, 0), 784_111_777));
    assert_eq!(built["u"], file("undated", 0o755, (1, 2), 315_532_800));
    let lock = project.lock();
    for pin in [
        format!("url = \"{dated}\""),
        format!("sha256 = \"{}\"", Digest::of(b"dated").hex()),
        "size = 5".into(),
        "1994-11-06T08:49:37Z".into(),
    ] {
        assert!(lock.contains(&pin), "{pin} is not in\n{lock}");
    }

    assert_eq!(web.count(), 2);
    assert_eq!(project.build(&store, &["--locked"]), built);
    assert_eq!(project.build(&store, &["--frozen", "--no-cache"]), built);
    assert_eq!(web.count(), 2, "what is pinned and there is not asked for");
    assert_eq!(project.lock(), lock);

    // Another machine, with the lockfile.
    assert_eq!(project.build(&Store::new(), &["--locked"]), built);
    assert_eq!(web.count(), 4);
    drop(web);
    assert_eq!(project.build(&store, &["--locked", "--no-cache"]), built, "the server is gone");
    let message = project.fails(&Store::new(), &["--locked"]);
    assert!(message.contains("refuses the connection"), "{message}");
}

#[test]
fn a_file_that_changed_is_told_from_the_pinned_one() {
    let web = Web::serve(|_, before| Reply::file(if before == 0 { "old" } else { "new" }));
    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/f")));
    let store = Store::new();
    assert_eq!(project.build(&store, &[])["f"].bytes, b"old");
    assert_eq!(project.build(&store, &["--no-cache"])["f"].bytes, b"old");
    let message = project.fails(&Store::new(), &[]);
    let digests = [Digest::of(b"old").to_string(), Digest::of(b"new").to_string()];
    for part in ["has changed", &digests[0], &digests[1], "--pull"] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    let message = project.fails(&store, &["--pull", "--locked"]);
    assert!(message.contains("--locked forbids"), "{message}");
    assert_eq!(project.build(&store, &["--pull"])["f"].bytes, b"new");
    assert!(project.lock().contains(&Digest::of(b"new").hex()));
}

#[test]
fn an_unchanged_file_is_not_sent_again() {
    let web = Web::serve(|request, _| match request.header("if-none-match") {
        "\"v1\"" => Reply::status(304),
        _ => Reply::file("same").with("ETag", "\"v1\""),
    });
    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/f")));
    let store = Store::new();
    let built = project.build(&store, &["--no-lock"]);
    assert_eq!(project.build(&store, &["--no-lock"]), built);
    let asked: Vec<String> = web.requests().iter().map(|request| request.header("if-none-match").into()).collect();
    assert_eq!(asked, ["", "\"v1\""]);
}

#[test]
fn a_cut_connection_is_taken_up_again() {
    let web = Web::serve(|request, before| {
        let (body, reply) = (large(), Reply::ranged(request, &large(), "\"v1\""));
        match before {
            0 => Reply::file(&body[..500_000]).with("ETag", "\"v1\"").pretending(body.len() as u64),
            1 => Reply::status(503).with("Retry-After", "0"),
            _ => reply,
        }
    });
    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/f")));
    assert!(project.build(&Store::new(), &[])["f"].bytes == large());
    let ranges: Vec<String> = web.requests().iter().map(|request| request.header("range").into()).collect();
    assert_eq!(ranges, ["", "bytes=500000-", "bytes=500000-"]);
}

#[test]
fn a_file_that_changed_meanwhile_begins_anew() {
    let web = Web::serve(|request, before| match before {
        0 => Reply::file(vec![0; 1000]).with("ETag", "\"v1\"").pretending(2000),
        _ => Reply::ranged(request, &large(), "\"v2\""),
    });
    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/f")));
    assert!(project.build(&Store::new(), &[])["f"].bytes == large());
    assert_eq!(web.count(), 2);
}

#[test]
fn a_busy_server_is_asked_again_and_a_missing_file_is_not() {
    let web = Web::serve(|request, before| match (request.path.as_str(), before) {
        ("/busy", 0) => Reply::status(500),
        ("/busy", _) => Reply::file("at last"),
        _ => Reply::status(404),
    });
    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/busy")));
    assert_eq!(project.build(&Store::new(), &[])["f"].bytes, b"at last");
    assert_eq!(web.count(), 2);
    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/missing")));
    let message = project.fails(&Store::new(), &[]);
    for part in ["/missing: the server answered 404 Not Found", "Dockerfile:2"] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    assert_eq!(web.count(), 3);
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let other = Web::serve(|_, _| Reply::file("elsewhere"));
    let target = other.url("/else");
    let web = Web::serve(move |request, _| match request.path.as_str() {
        "/a" => Reply::to("b?c"),
        "/b?c" => Reply::to(&target),
        "/file" => Reply::to("file:///etc/passwd"),
        _ => Reply::to("/loop"),
    });
    let with_password = web.url("/a").replace("http://", "http://user:secret@");
    let project = Project::new(&format!("FROM scratch\nADD {with_password} /f\n"));
    assert_eq!(project.build(&Store::new(), &[])["f"].bytes, b"elsewhere");
    let asked: Vec<String> = web.requests().iter().map(|request| request.header("authorization").into()).collect();
    assert_eq!(asked, ["Basic dXNlcjpzZWNyZXQ=", "Basic dXNlcjpzZWNyZXQ="]);
    assert_eq!(other.requests()[0].header("authorization"), "", "a password is for one server");

    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/loop")));
    let message = project.fails(&Store::new(), &[]);
    assert!(message.contains("more than 10 redirects"), "{message}");
    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/file")));
    let message = project.fails(&Store::new(), &[]);
    assert!(message.contains("file:// is not fetched"), "{message}");
}

#[test]
fn checksums_and_sizes_are_kept() {
    let web = Web::serve(|request, _| match request.path.as_str() {
        "/huge" => Reply::file("x").pretending(1 << 50),
        _ => Reply::file("content"),
    });
    let store = Store::new();
    let url = web.url("/f");
    let add = |digest: Digest| Project::new(&format!("FROM scratch\nADD --checksum={digest} {url} /f\n"));
    assert_eq!(add(Digest::of(b"content")).build(&store, &[])["f"].bytes, b"content");
    let message = add(Digest::of(b"other")).fails(&store, &[]);
    assert!(message.contains("not what was expected"), "{message}");
    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/huge")));
    let message = project.fails(&store, &[]);
    assert!(message.contains("larger than") && message.contains("IMGBUILD_MAX_DOWNLOAD"), "{message}");
}

#[test]
fn offline_means_offline() {
    let web = Web::serve(|_, _| Reply::file("content"));
    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/f")));
    let store = Store::new();
    let message = project.fails(&store, &["--offline"]);
    assert!(message.contains("--offline forbids"), "{message}");
    assert_eq!(web.count(), 0);
    let built = project.build(&store, &[]);
    let message = project.fails(&Store::new(), &["--frozen"]);
    assert!(message.contains("--offline forbids"), "{message}");
    fs::remove_file(project.path().join("Dockerfile.lock")).unwrap();
    assert_eq!(project.build(&store, &["--offline"]), built, "what was fetched before will do");
    assert_eq!(web.count(), 1);
}

#[test]
fn names_are_looked_up_and_proxies_used() {
    let web = Web::serve(|_, _| Reply::file("by name"));
    let url = format!("http://localhost:{}/f", web.port());
    let project = Project::new(&format!("FROM scratch\nADD {url} /f\n"));
    assert_eq!(project.build(&Store::new(), &[])["f"].bytes, b"by name");

    // A proxy is asked for the name as it is.
    let proxy = Web::serve(|request, _| {
        assert_eq!(request.method, "CONNECT");
        Reply::status(407)
    });
    let project = Project::new("FROM scratch\nADD http://nowhere.invalid/f /f\n");
    let store = Store::new();
    let mut command = store.command();
    command.env("http_proxy", proxy.url("")).args(["build", "-o", "type=cacheonly"]).arg(project.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(proxy.requests()[0].path, "nowhere.invalid:80");
}
