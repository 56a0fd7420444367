//! More of what servers may try: challenges and tokens that make no sense, answers without an end, bytes that grow when they
//! are unpacked, uploads and names that lead elsewhere.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use imgbuild::digest::Digest;
use serde_json::json;

use super::hostile::{IMPATIENT, Image, SECRET, check, fails_to_pull, fails_to_pull_with, layer};
use super::{HURRIED, assert_sound, context, keep_password};
use crate::support::{Store, outcome, put, run, scratch};
use crate::web::{Reply, Request, Web};

/// A registry that wants a token, which is had from itself: as `token` answers.
fn wants_token(token: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Web {
    let realm: Arc<OnceLock<String>> = Arc::default();
    let own = realm.clone();
    let image = Image::new();
    let web = Web::serve(move |request, _| match request.header("authorization") {
        _ if request.path.starts_with("/token") => token(request),
        "Bearer good" => image.answer(request),
        _ => Reply::status(401).with("WWW-Authenticate", &format!("Bearer realm=\"{}\"", realm.get().unwrap())),
    });
    own.set(web.url("/token")).unwrap();
    web
}

#[test]
fn tokens_that_make_no_sense_are_refused() {
    let fails = |body: Vec<u8>, expected: &str| {
        let said = fails_to_pull(&wants_token(move |_| Reply::file(&body[..])));
        assert!(said.contains(expected), "{expected:?}: {said}");
    };
    let honest = wants_token(|_| Reply::file(r#"{"token":"good"}"#));
    Store::new().run(&["pull", &format!("127.0.0.1:{}/a:1", honest.port())]);
    fails([&br#"{"token":""#[..], &vec![b'x'; 2 << 20], br#""}"#].concat(), "more than 1048576 bytes");
    fails(b"<html>".to_vec(), "its token server");
    fails(b"{}".to_vec(), "without a token");
    fails(br#"{"token":""}"#.to_vec(), "without a token");
    fails(br#"{"token":"a\r\nX-Evil: 1"}"#.to_vec(), "characters that none can have");
    fails(br#"{"token":7}"#.to_vec(), "its token server");
    fails(br#"{"token":"bad","expires_in":-1}"#.to_vec(), "refuses access");
    fails(br#"{"token":"bad","expires_in":1e999}"#.to_vec(), "its token server");
    // A server that never says yes is not asked for ever.
    let web = wants_token(|_| Reply::file(r#"{"token":"bad","expires_in":300}"#));
    fails_to_pull(&web);
    assert!(web.count() < 20, "{}", web.count());
}

#[test]
fn a_token_server_gets_the_password_alone() {
    // It sends the client on to somebody else.
    let elsewhere = Web::serve(|_, _| Reply::file(r#"{"token":"bad"}"#));
    let target = elsewhere.url("/token");
    let said = fails_to_pull(&wants_token(move |_| Reply::to(&target)));
    assert!(said.contains("refuses access"), "{said}");
    assert!(elsewhere.count() > 0);
    for request in elsewhere.requests() {
        assert_eq!(request.header("authorization"), "");
        assert!(!request.path.contains(SECRET));
    }
}

#[test]
fn challenges_that_make_no_sense_get_no_password() {
    let long = format!("Bearer realm=\"http://127.0.0.1:1/{}\"", "x".repeat(60_000));
    let all = [
        "",
        "Bearer",
        "Bearer realm",
        "Bearer realm=",
        "Bearer realm=\"\"",
        "Bearer realm=\"::\"",
        "Bearer realm=\"http://\"",
        "Bearer realm=\"javascript:alert(1)\"",
        "Bearer realm=\"http://user:pass@\"",
        "Bearer realm=\"http://127.0.0.1:99999/\"",
        "Digest realm=\"x\", nonce=\"y\"",
        "Negotiate",
        "NTLM",
        "Basi\" realm=x",
        "=,=,\"\\\\\",,,",
        &long,
    ];
    for challenge in all {
        let given = challenge.to_owned();
        let web = Web::serve(move |_, _| Reply::status(401).with("WWW-Authenticate", &given));
        fails_to_pull(&web);
        assert!(web.count() < 20, "{challenge:.40}: {}", web.count());
        for request in web.requests() {
            assert_eq!(request.header("authorization"), "", "{challenge:.40}");
        }
    }
    // Of several, one that is understood will do.
    let image = Image::new();
    let web = Web::serve(move |request, _| match request.header("authorization") {
        "" => Reply::status(401)
            .with("WWW-Authenticate", "Negotiate, Digest realm=\"x\"")
            .with("WWW-Authenticate", "Basic realm=\"x\""),
        _ => image.answer(request),
    });
    let (store, home, host) = (Store::new(), scratch(), format!("127.0.0.1:{}", web.port()));
    keep_password(home.path(), &host, SECRET);
    run(store.command().env("HOME", home.path()).args(["pull", &format!("{host}/a:1")]));
}

/// A registry that writes something else than an answer where the layer is asked for.
fn writes(what: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Web {
    let image = Image::new();
    Web::start(move |request, stream| match image.is_layer(request) {
        true => what(stream),
        false => image.answer(request).write(stream),
    })
}

#[test]
fn answers_that_are_none_end() {
    let repeat = |start: &'static str, piece: &'static str| {
        writes(move |stream| {
            stream.write_all(start.as_bytes())?;
            loop {
                stream.write_all(piece.as_bytes())?;
            }
        })
    };
    for web in [
        repeat("HTTP/1.1 200 OK\r\n", "X-Header: x\r\n"),
        repeat("HTTP/1.1 200 OK\r\nX-Header: ", "xxxxxxxxxxxxxxxx"),
        repeat("", "HTTP/1.1 100 Continue\r\n\r\n"),
        repeat("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        repeat("", "\0\0\0\0\0\0\0\0"),
        repeat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "fffffffffffffffffff"),
        repeat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1;x=y\r\nx\r\n"),
        writes(|stream| stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")),
        writes(|stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")),
        writes(|stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")),
        writes(|_| Ok(())),
    ] {
        fails_to_pull_with(&web, IMPATIENT);
    }
}

/// A gzip stream of these bytes.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let folder = scratch();
    let file = put(folder.path(), "bytes", bytes);
    run(Command::new("gzip").arg("-nc").arg(file)).stdout
}

/// The header of a tar entry of this many bytes, which need not come.
fn header(size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("hello").unwrap();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A sparse file of which nothing is stored.
fn sparse(size: u64) -> Vec<u8> {
    let size = size.to_string();
    let mut builder = tar::Builder::new(Vec::new());
    builder
        .append_pax_extensions([
            ("GNU.sparse.major", &b"0"[..]),
            ("GNU.sparse.minor", b"1"),
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.numblocks", b"0"),
            ("GNU.sparse.map", b""),
        ])
        .unwrap();
    let mut entry = tar::Header::new_ustar();
    entry.set_size(0);
    entry.set_mode(0o644);
    builder.append_data(&mut entry, "hello", &b""[..]).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn layers_that_grow_without_measure_are_refused() {
    let bombs = [
        ("more than it has", [header(1 << 40), vec![0; 1 << 20]].concat(), "cut off"),
        ("holes", sparse(1 << 60), "more than the limit"),
        (
            "extended headers",
            {
                let mut extended = header(1 << 30);
                extended[156] = b'x';
                let sum: u32 = extended
                    .iter()
                    .enumerate()
                    .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
                    .sum();
                extended[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                [extended, vec![0; 1 << 20]].concat()
            },
            "more than the limit",
        ),
        ("a stream that is cut", gzip(&vec![0; 1 << 20])[..500].to_vec(), ""),
    ];
    for (name, tar, expected) in bombs {
        let blob = if name == "a stream that is cut" { tar.clone() } else { gzip(&tar) };
        let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": {
            "type": "layers", "diff_ids": [Digest::of(&tar).to_string()],
        } });
        let image = Image::of(config.to_string().into_bytes(), blob);
        let web = Web::serve(move |request, _| image.answer(request));
        let (store, folder) = (Store::new(), scratch());
        for instruction in ["COPY hello /there", "RUN [\"/hello\"]"] {
            let base = format!("127.0.0.1:{}/a:1", web.port());
            let context = context(folder.path(), &format!("FROM {base}\n{instruction}\n"));
            let (code, _, said) = outcome(store.command().args(["build", "--no-lock"]).arg(&context));
            assert_eq!(code, 1, "{name}: {said}");
            assert!(said.contains("cannot be unpacked") && said.contains(expected), "{name}: {said}");
            assert_eq!(std::fs::read_dir(store.path().join("snapshots")).unwrap().count(), 0, "{name}");
            assert_sound(&store);
        }
    }
}

#[test]
fn an_answer_that_is_compressed_is_not_unpacked() {
    // Nobody asked for that. As it is, it is not what the digest says.
    check(
        |image, request| {
            image.is_layer(request).then(|| Reply::file(gzip(&image.layer)).with("Content-Encoding", "gzip"))
        },
        &["error: "],
    );
    let huge = gzip(&vec![b' '; 64 << 20]);
    check(
        move |_, request| {
            let is_manifest = request.path.contains("/manifests/");
            is_manifest.then(|| Reply::file(&huge[..]).with("Content-Encoding", "gzip"))
        },
        &["error: "],
    );
}

#[test]
fn names_in_layers_stay_where_they_belong() {
    let folder = scratch();
    let target = folder.path().join("target");
    std::fs::create_dir(&target).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, link: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        // The library would not write such names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    };
    add("../../../../escaped", tar::EntryType::Regular, "", b"1");
    add("/escaped-too", tar::EntryType::Regular, "", b"2");
    add("out", tar::EntryType::Symlink, target.to_str().unwrap(), b"");
    add("out/through", tar::EntryType::Regular, "", b"3");
    add("up", tar::EntryType::Symlink, "../../../../../..", b"");
    add("up/above", tar::EntryType::Regular, "", b"4");
    let layer = builder.into_inner().unwrap();
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": {
        "type": "layers", "diff_ids": [Digest::of(&layer).to_string()],
    } });
    let image = Image::of(config.to_string().into_bytes(), layer);
    let web = Web::serve(move |request, _| image.answer(request));
    let (store, out) = (Store::new(), folder.path().join("deep/er/out"));
    let dockerfile = format!("FROM 127.0.0.1:{}/a:1\nCOPY hello /out/copied\n", web.port());
    let context = context(&folder.path().join("context"), &dockerfile);
    store.build(&context, &["--no-lock", "-o", out.to_str().unwrap()]);
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0);
    for name in ["escaped", "escaped-too", "above"] {
        assert!(out.join(name).is_file(), "{name}");
        for place in ["/", folder.path().to_str().unwrap(), store.path().to_str().unwrap()] {
            assert!(!std::path::Path::new(place).join(name).exists(), "{place} {name}");
        }
    }
    assert_sound(&store);
}

/// Pushes with a password for the registry, which must fail; what was said.
fn fails_to_push(web: &Web) -> String {
    let (store, home, host) = (Store::with_busybox(), scratch(), format!("127.0.0.1:{}", web.port()));
    keep_password(home.path(), &host, SECRET);
    let config = put(home.path(), "imgbuild.toml", HURRIED);
    let name = format!("{host}/a:1");
    store.run(&["tag", "busybox", &name]);
    let (code, _, said) =
        outcome(store.command().env("HOME", home.path()).env("IMGBUILD_CONFIG", config).args(["push", &name]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("error: ") && !said.contains(SECRET), "{said}");
    assert_sound(&store);
    said
}

/// A registry that knows a password and has nothing, and begins and ends uploads like this.
fn receives(
    begun: impl Fn() -> Reply + Send + Sync + 'static,
    manifest: impl Fn() -> Reply + Send + Sync + 'static,
) -> Web {
    Web::serve(move |request, _| match (request.header("authorization"), request.method.as_str()) {
        ("", _) if request.path != "/v2/" => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""),
        (_, "PUT") if request.path.contains("/manifests/") => manifest(),
        (_, "POST") => begun(),
        (_, "HEAD") => Reply::status(404),
        (_, "PUT") => Reply::status(201),
        _ => Reply::file("{}"),
    })
}

#[test]
fn uploads_that_lead_astray_are_not_sent() {
    let fails = |reply: Reply, expected: &str| {
        let reply = Arc::new(reply);
        let said = fails_to_push(&receives(move || Reply::clone(&reply), || Reply::status(201)));
        assert!(said.contains(expected), "{expected:?}: {said}");
    };
    let at = |location: &str| Reply::status(202).with("Location", location);
    fails(at("file:///etc/passwd"), "file://");
    fails(at("gopher://127.0.0.1/"), "gopher://");
    fails(at("http://"), "no host");
    fails(Reply::status(202), "does not say where to");
    // The start of an upload, and a manifest, are for this registry only.
    let elsewhere = Web::serve(|_, _| Reply::status(201));
    let target = elsewhere.url("/x");
    fails(Reply::to(&target).with_status(307), "where this is not sent");
    let said = fails_to_push(&receives(
        || Reply::status(202).with("Location", "/upload"),
        move || Reply::to(&target).with_status(307),
    ));
    assert!(said.contains("where this is not sent"), "{said}");
    assert_eq!(elsewhere.count(), 0);
    // One that says that it has taken something else.
    let said = fails_to_push(&receives(
        || Reply::status(202).with("Location", "/upload"),
        || Reply::status(201).with("Docker-Content-Digest", &Digest::of(b"x").to_string()),
    ));
    assert!(said.contains("digest"), "{said}");
}

#[test]
fn catalogues_are_read_to_their_end_and_no_further() {
    let search = |web: &Web| outcome(Store::new().command().args(["search", &format!("127.0.0.1:{}", web.port())]));
    let fails = |body: &'static str, link: &'static str, expected: &str| {
        let web = Web::serve(move |_, _| Reply::file(body).with("Link", link));
        let (code, _, said) = search(&web);
        assert_eq!(code, 1);
        assert!(said.contains(expected), "{said}");
        assert!(web.count() <= 1002, "{}", web.count());
    };
    fails(r#"{"repositories":["a"]}"#, r#"</same>; rel="next""#, "more than 1000 pages");
    fails(r#"{"repositories":["a"]}"#, r#"<file:///etc/passwd>; rel="next""#, "next page");
    fails(r#"{"repositories":["a"]}"#, r#"<http://192.0.2.1/>; rel="next""#, "at another server");
    fails(r#"{"repositories":["../../a"]}"#, "", "is no repository");
    fails(r#"{"repositories":["a\u001b[2J"]}"#, "", "is no repository");
    fails("[", "", "list of its repositories");
    let large = Web::serve(|_, _| Reply::file(vec![b' '; (4 << 20) + 1]));
    let (code, _, said) = search(&large);
    assert_eq!(code, 1);
    assert!(said.contains("more than 4194304 bytes"), "{said}");
}

#[test]
fn an_honest_layer_of_the_same_kind_is_built_on() {
    // What the others here differ from: the tests fail for the right reasons.
    let tar = layer(b"hello\n");
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": {
        "type": "layers", "diff_ids": [Digest::of(&tar).to_string()],
    } });
    let image = Image::of(config.to_string().into_bytes(), gzip(&tar));
    let web = Web::serve(move |request, _| image.answer(request));
    let (store, folder) = (Store::new(), scratch());
    let context = context(folder.path(), &format!("FROM 127.0.0.1:{}/a:1\nCOPY hello /there\n", web.port()));
    store.build(&context, &["--no-lock"]);
}
