//! Files and repositories from the network, against real servers on the loopback, with the failures that networks have.

use std::fs;
use std::path::Path;

use imgbuild::digest::Digest;

use crate::repositories::{Repositories, git};
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
        build(store, more, self.path().to_str().unwrap())
    }

    /// Builds, which must fail; what the program says.
    fn fails(&self, store: &Store, more: &[&str]) -> String {
        fails(store, more, self.path().to_str().unwrap())
    }
}

/// Builds a context, and returns the files that came out by their paths.
fn build(store: &Store, more: &[&str], context: &str) -> std::collections::BTreeMap<String, File> {
    let archive = store.path().with_extension("out.tar");
    let output = format!("type=tar,dest={}", archive.display());
    let mut command = store.command();
    command.args(["build", "--progress", "plain", "-o", &output]).args(more).arg(context);
    run(&mut command);
    let files = files(&archive);
    fs::remove_file(archive).unwrap();
    files
}

/// Builds a context, which must fail; what the program says.
fn fails(store: &Store, more: &[&str], context: &str) -> String {
    let mut command = store.command();
    let output =
        command.args(["build", "--progress", "plain", "-o", "type=cacheonly"]).args(more).arg(context).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stderr)
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

/// What a Dockerfile's second line brings.
fn added(store: &Store, line: &str) -> std::collections::BTreeMap<String, File> {
    Project::new(&format!("FROM scratch\n{line}\n")).build(store, &[])
}

#[test]
fn a_repository_becomes_files() {
    let repositories = Repositories::new();
    let web = repositories.over_http();
    let (url, store) = (web.url("/app.git"), Store::new());
    let built = added(&store, &format!("ADD {url} /a/"));
    let file = |bytes: &str, mode| File { bytes: bytes.into(), mode, owner: (0, 0), mtime: 315_532_800 };
    assert_eq!(built["a/README"], file("second\n", 0o644));
    assert_eq!(built["a/run.sh"], file("#!/bin/sh\n", 0o755));
    assert_eq!(built["a/link"], file("README", 0o777));
    assert_eq!(built["a/docs/deep/"], file("", 0o755));
    assert_eq!(built["a/lib/lib.c"], file("int lib;\n", 0o644), "submodules are there");
    assert!(!built.keys().any(|path| path.contains("/.git/") || path.ends_with("/.git")), "{:?}", built.keys());

    let readme = |fragment: &str| text(&added(&store, &format!("ADD {url}{fragment} /a/"))["a/README"].bytes);
    let (first, dev) = (repositories.commit_of("v1"), repositories.commit_of("dev"));
    for (fragment, expected) in [
        ("#main", "second\n"),
        ("#dev", "dev\n"),
        ("#v1", "first\n"),
        ("#light", "first\n"),
        ("#refs/tags/v1", "first\n"),
        ("#heads/dev", "dev\n"),
        ("?branch=dev", "dev\n"),
        ("?tag=v1&submodules=0", "first\n"),
        (&format!("#{first}"), "first\n"),
        (&format!("#{}", &dev[..10]), "dev\n"),
        (&format!("?ref=dev&checksum={}", &dev[..12]), "dev\n"),
    ] {
        assert_eq!(readme(fragment), expected, "{fragment}");
    }
    let built = added(&store, &format!("ADD {url}#v1:docs /a/"));
    assert_eq!(built.keys().collect::<Vec<_>>(), ["a/", "a/deep/", "a/deep/page"]);
    let built = added(&store, &format!("ADD {url}?submodules=false /a/"));
    assert!(built.contains_key("a/lib/") && !built.contains_key("a/lib/lib.c"));
}

#[test]
fn what_a_repository_lacks_is_said_in_a_line() {
    let repositories = Repositories::new();
    let web = repositories.over_http();
    let check = |source: &str, expected: &str| {
        let project = Project::new(&format!("FROM scratch\nADD {source} /a/\n"));
        let message = project.fails(&Store::new(), &[]);
        assert!(message.contains(expected), "{expected:?} is not in {message}");
    };
    let url = web.url("/app.git");
    check(&format!("{url}#nope"), "has no branch, tag or commit \"nope\"");
    check(&format!("{url}#main:nope"), "has no folder \"nope\" at commit");
    check(&format!("{url}#main:docs-link"), "has no folder \"docs-link\" at commit");
    check(&format!("{url}#{}", "a".repeat(40)), "has no branch, tag or commit");
    check(&format!("{url}?ref=main&checksum=abcdef"), "not abcdef");
    check(&web.url("/none.git"), "`git ls-remote http://127.0.0.1");
    check("-x@host:x.git", "\"-x@host:x.git\" cannot be given to git");
}

#[test]
fn a_branch_stays_where_it_is_pinned() {
    let repositories = Repositories::new();
    let daemon = repositories.over_git();
    let project = Project::new(&format!("FROM scratch\nADD {}#main /a/\n", daemon.url("app.git")));
    let store = Store::new();
    let built = project.build(&store, &[]);
    let (first, asked) = (repositories.commit_of("main"), daemon.count());
    assert!(project.lock().contains(&first), "{}", project.lock());
    assert_eq!(project.build(&store, &["--frozen"]), built);
    assert_eq!(daemon.count(), asked, "nothing is asked for");

    repositories.change("third\n");
    assert_eq!(project.build(&store, &["--no-cache"]), built);
    assert_eq!(project.build(&Store::new(), &["--locked"]), built, "an older commit can still be had");
    assert_eq!(text(&project.build(&store, &["--pull"])["a/README"].bytes), "third\n");
    assert!(project.lock().contains(&repositories.commit_of("main")));
    drop(daemon);
    assert_eq!(text(&project.build(&store, &["--locked"])["a/README"].bytes), "third\n");
    let message = project.fails(&Store::new(), &["--frozen"]);
    assert!(message.contains("--offline forbids"), "{message}");
}

#[test]
fn a_git_folder_that_is_kept_is_the_same_each_time() {
    let repositories = Repositories::new();
    let web = repositories.over_http();
    let url = web.url("/app.git").replace("http://", "http://user:secret@");
    let project = Project::new(&format!("FROM scratch\nADD --keep-git-dir {url}#main /a/\n"));
    let first = project.build(&Store::new(), &[]);
    repositories.change("more\n");
    let again = project.build(&Store::new(), &[]);
    assert!(
        first == again,
        "{:?}",
        first.iter().filter(|(path, file)| again.get(*path) != Some(file)).collect::<Vec<_>>()
    );
    assert!(!first.values().any(|file| text(&file.bytes).contains("secret")), "the password is in the image");

    // Git finds nothing odd in it.
    let out = scratch();
    let folder = format!("type=local,dest={}", out.path().display());
    run(Store::new().command().args(["build", "--progress", "plain", "--locked", "-o", &folder]).arg(project.path()));
    let tree = out.path().join("a");
    let all = tree.display().to_string();
    for folder in [tree.clone(), tree.join("lib")] {
        let run = |arguments: &[&str]| {
            git(
                &folder,
                &[&["-c", &format!("safe.directory={all}"), "-c", &format!("safe.directory={all}/lib")], arguments]
                    .concat(),
            )
        };
        assert_eq!(run(&["status", "--porcelain"]), "");
        run(&["fsck", "--strict"]);
        assert_eq!(run(&["log", "--format=%s"]).lines().count(), 1);
    }
    assert_eq!(git(&tree, &["-c", &format!("safe.directory={all}"), "log", "--format=%s"]), "second\n");
    assert!(text(&first["a/.git/config"].bytes).contains(&web.url("/app.git")));
}

#[test]
fn a_repository_is_a_context() {
    let repositories = Repositories::new();
    let daemon = repositories.over_git();
    let (url, store) = (daemon.url("app.git"), Store::new());
    let built = build(&store, &[], &url);
    let file = |bytes: &str, mode| File { bytes: bytes.into(), mode, owner: (0, 0), mtime: 315_532_800 };
    assert_eq!(built["all/README"], file("second\n", 0o644), ".dockerignore is for folders of this machine");
    assert_eq!(built["all/run.sh"], file("#!/bin/sh\n", 0o755));
    assert!(built.contains_key("all/lib/lib.c") && !built.contains_key("all/.git/"));
    let built = build(&store, &["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"], &url);
    assert!(built.contains_key("all/.git/HEAD"), "{:?}", built.keys());
    assert_eq!(text(&build(&store, &[], &format!("{url}#dev"))["all/README"].bytes), "dev\n");
    let message = fails(&store, &[], &format!("{url}#main:docs"));
    assert!(message.contains("there is no Dockerfile in the build context git://"), "{message}");
    let message = fails(&store, &[], &format!("{url}#nope"));
    assert!(message.contains("has no branch, tag or commit \"nope\""), "{message}");

    // A Dockerfile of this machine has a lockfile.
    let project = Project::new("FROM scratch\nCOPY deep/page /\n");
    let dockerfile = project.path().join("Dockerfile");
    let built = build(&store, &["-f", dockerfile.to_str().unwrap()], &format!("{url}#main:docs"));
    assert_eq!(built["page"], file("page\n", 0o644));
    assert!(project.lock().contains(&repositories.commit_of("main")));
    assert_eq!(store.run(&["images", "-q"]), "");

    let project = Project::new("FROM scratch\nCOPY --from=code README /\nCOPY --from=code docs /docs\n");
    let built = project.build(&store, &["--build-context", &format!("code={url}#v1")]);
    assert_eq!(text(&built["README"].bytes), "first\n");
    let asked = daemon.count();
    assert_eq!(project.build(&store, &["--locked", "--build-context", &format!("code={url}#v1")]), built);
    assert_eq!(daemon.count(), asked);
}

#[test]
fn an_archive_is_a_context() {
    let folder = scratch();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY . /all/\n").unwrap();
    fs::write(folder.path().join("other"), "FROM scratch\nCOPY sub/file /\n").unwrap();
    fs::write(folder.path().join(".dockerignore"), "sub\n").unwrap();
    fs::write(folder.path().join("sub/file"), "content").unwrap();
    let archive = folder
        .path()
        .join("../context.tar.gz")
        .with_file_name(format!("{}.tar.gz", folder.path().file_name().unwrap().to_string_lossy()));
    let (from, to) = (folder.path().to_str().unwrap(), archive.to_str().unwrap());
    crate::support::sh(&["tar", "--owner=7", "--group=8", "--mtime=@1000", "-C", from, "-czf", to, "."]);
    let bytes = fs::read(&archive).unwrap();
    fs::remove_file(&archive).unwrap();
    let web = Web::serve(move |request, _| match request.path.as_str() {
        "/c.tar.gz" if request.header("if-none-match") == "\"v1\"" => Reply::status(304),
        "/c.tar.gz" => Reply::file(bytes.clone()).with("ETag", "\"v1\""),
        "/Dockerfile" => Reply::file("FROM scratch\nCOPY <<x /f\ntext\nx\n"),
        _ => Reply::status(404),
    });
    let (url, store) = (web.url("/c.tar.gz"), Store::new());
    let built = build(&store, &[], &url);
    assert_eq!(text(&built["all/sub/file"].bytes), "content", "{:?}", built.keys());
    assert_eq!(build(&store, &["-f", "other"], &url).keys().collect::<Vec<_>>(), ["file"]);
    let sent: Vec<String> = web.requests().iter().map(|request| request.header("if-none-match").into()).collect();
    assert_eq!(sent, ["", "\"v1\""], "the archive is sent once");
    assert_eq!(text(&build(&store, &[], &web.url("/Dockerfile"))["f"].bytes), "text\n");
    let message = fails(&store, &[], &web.url("/none"));
    assert!(message.contains("/none: the server answered 404"), "{message}");

    let project = Project::new("FROM scratch\nCOPY --from=ctx sub/file /\n");
    let context = format!("ctx={url}");
    assert_eq!(text(&project.build(&store, &["--build-context", &context])["file"].bytes), "content");
    assert!(project.lock().contains(&format!("url = \"{url}\"")));
}

#[test]
fn ctrl_c_does_not_wait_for_servers() {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    let (asked, heard) = std::sync::mpsc::channel();
    let web = Web::start(move |_, stream| {
        asked.send(()).unwrap();
        // The answer never comes; the end of the connection does.
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    let project = Project::new(&format!("FROM scratch\nADD {} /f\n", web.url("/f")));
    let store = Store::new();
    let mut command = store.command();
    command.args(["build", "-q"]).arg(project.path()).process_group(0).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    heard.recv().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn certificates_are_checked() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let folder = scratch();
    let mut request = Command::new("openssl");
    request.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    request.args(["-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost"]);
    request.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem"]);
    run(request.current_dir(folder.path()));
    fs::write(folder.path().join("file"), "over TLS").unwrap();
    let mut server = Command::new("openssl");
    server.args(["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem", "-WWW"]);
    let mut server = server.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines.find_map(|line| Some(line.strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.to_owned())).unwrap();
    let project = Project::new(&format!("FROM scratch\nADD https://localhost:{port}/file /f\n"));
    let build = |variables: &[(&str, &Path)]| {
        let store = Store::new();
        let mut command = store.command();
        command.args(["build", "-o", "type=cacheonly", "--no-lock"]).arg(project.path());
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let certificate = folder.path().join("cert.pem");
    let trusted = build(&[("SSL_CERT_FILE", &certificate)]);
    let unknown = build(&[]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(trusted.status.success(), "{}", text(&trusted.stderr));
    assert!(
        text(&unknown.stderr).contains("its certificate or encryption is not accepted"),
        "{}",
        text(&unknown.stderr)
    );
}
