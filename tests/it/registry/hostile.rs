//! Servers that lie, stall, and try to get what is not for them. All of it must end in words that a person understands,
//! with nothing wrong in the store and no password at the wrong place.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use imgbuild::digest::Digest;
use serde_json::{Value, json};

use super::{HURRIED, assert_sound, context};
use crate::support::{Store, outcome, put, scratch};
use crate::web::{Reply, Request, Web};

/// Limits by which whoever says nothing is given up.
pub(super) const IMPATIENT: &str = "[network]\ntimeout = 0.3\ntries = 2\npause = 0.001\nslowest = 0\n";
/// Limits by which whoever is slow is given up.
const DEMANDING: &str = "[network]\ntries = 2\npause = 0.001\nslowest = 100000000\nwindow = 0.05\n";

/// The password that no server may see whom it is not for.
pub(super) const SECRET: &str = "the-secret";

/// An image of one file, as a registry has it.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) manifest: Vec<u8>,
    pub(super) config: Vec<u8>,
    pub(super) layer: Vec<u8>,
}

impl Image {
    pub(super) fn new() -> Self {
        let layer = layer(b"hello\n");
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer).to_string()] },
        });
        Self::of(config.to_string().into_bytes(), layer)
    }

    pub(super) fn of(config: Vec<u8>, layer: Vec<u8>) -> Self {
        let part = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len() });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": part("application/vnd.oci.image.config.v1+json", &config),
            "layers": [part("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        Self { manifest: manifest.to_string().into_bytes(), config, layer }
    }

    /// What an honest registry answers.
    pub(super) fn answer(&self, request: &Request) -> Reply {
        let path = request.path.split('?').next().unwrap();
        let found = [&self.manifest, &self.config, &self.layer]
            .into_iter()
            .find(|bytes| path.ends_with(&Digest::of(bytes).to_string()));
        match (path, found) {
            ("/v2/", _) => Reply::file("{}"),
            (_, Some(bytes)) => Reply::file(&bytes[..]),
            (path, None) if path.ends_with("/manifests/1") => {
                Reply::file(&self.manifest[..]).with("Docker-Content-Digest", &Digest::of(&self.manifest).to_string())
            }
            _ => Reply::status(404),
        }
    }

    pub(super) fn is_layer(&self, request: &Request) -> bool {
        request.path.ends_with(&Digest::of(&self.layer).to_string())
    }
}

/// A tar with one file.
pub(super) fn layer(content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "hello", content).unwrap();
    builder.into_inner().unwrap()
}

/// A registry that does what a test says, and else what an honest one does.
pub(super) fn registry(does: impl Fn(&Image, &Request) -> Option<Reply> + Send + Sync + 'static) -> Web {
    let image = Image::new();
    Web::serve(move |request, _| does(&image, request).unwrap_or_else(|| image.answer(request)))
}

/// Pulls from it with a password for it, which must fail; what was said. Nothing may be left of it in the store.
pub(super) fn fails_to_pull(web: &Web) -> String {
    fails_to_pull_with(web, HURRIED)
}

/// The same with these limits.
pub(super) fn fails_to_pull_with(web: &Web, limits: &str) -> String {
    let (store, home) = (Store::new(), scratch());
    let host = format!("127.0.0.1:{}", web.port());
    let auth = super::tokens::base64(format!("me:{SECRET}").as_bytes());
    put(home.path(), ".docker/config.json", format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#));
    let config = put(home.path(), "imgbuild.toml", limits);
    let mut command = store.command();
    command.env("HOME", home.path()).env("IMGBUILD_CONFIG", config).args(["pull", &format!("{host}/a:1")]);
    let (code, printed, said) = outcome(&mut command);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("error: "), "{said}");
    for text in [&printed, &said] {
        assert!(!text.contains(SECRET) && !text.contains(&auth), "{text}");
    }
    assert_eq!(store.run(&["images"]).lines().count(), 1);
    assert_sound(&store);
    said
}

#[track_caller]
pub(super) fn check(does: impl Fn(&Image, &Request) -> Option<Reply> + Send + Sync + 'static, expected: &[&str]) {
    let said = fails_to_pull(&registry(does));
    expected.iter().for_each(|part| assert!(said.contains(part), "{part:?}: {said}"));
}

#[test]
fn an_honest_one_is_pulled_from() {
    let web = registry(|_, _| None);
    Store::new().run(&["pull", &format!("127.0.0.1:{}/a:1", web.port())]);
}

#[test]
fn other_bytes_than_promised_are_refused() {
    // Another layer of the same size.
    check(
        |image, request| image.is_layer(request).then(|| Reply::file(vec![0; image.layer.len()])),
        &["digest", "expected"],
    );
    // More and less of it.
    check(
        |image, request| image.is_layer(request).then(|| Reply::file([&image.layer[..], &[0]].concat())),
        &["more than"],
    );
    check(|image, request| image.is_layer(request).then(|| Reply::file(&image.layer[1..])), &["ended after"]);
    check(
        |image, request| {
            image.is_layer(request).then(|| Reply::file(&image.layer[1..]).pretending(image.layer.len() as u64))
        },
        &["ended e"],
    );
    // A manifest and a configuration that are not what was asked for.
    check(
        |_, request| {
            request
                .path
                .ends_with("/manifests/1")
                .then(|| Reply::file("{}").with("Docker-Content-Digest", &Digest::of(b"x").to_string()))
        },
        &["digest"],
    );
    check(
        |image, request| {
            request
                .path
                .ends_with(&Digest::of(&image.config).to_string())
                .then(|| Reply::file(vec![b' '; image.config.len()]))
        },
        &["digest"],
    );
}

#[test]
fn manifests_that_make_no_sense_are_refused() {
    let manifest = |bytes: Vec<u8>| {
        move |_: &Image, request: &Request| request.path.contains("/manifests/").then(|| Reply::file(&bytes[..]))
    };
    let mut good: Value = serde_json::from_slice(&Image::new().manifest).unwrap();
    check(manifest(b"<html>".to_vec()), &["cannot be used"]);
    check(manifest(vec![b' '; (4 << 20) + 1]), &["more than 4194304 bytes"]);
    check(manifest(br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec()), &["schema version 1"]);
    check(manifest(br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.to_vec()), &["neither"]);
    good["layers"][0]["digest"] = json!("sha256:../../../../etc/passwd");
    check(manifest(good.to_string().into_bytes()), &["64 hexadecimal digits"]);
    good["layers"][0]["digest"] = json!("../../etc/passwd");
    check(manifest(good.to_string().into_bytes()), &["cannot be used"]);
    // An index that leads to itself cannot be made, but one that leads to nothing can.
    let lost = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": Digest::of(b"?").to_string(), "size": 1,
        "platform": { "os": "linux", "architecture": "amd64" },
    }] });
    let lost = lost.to_string().into_bytes();
    check(move |_, request| request.path.ends_with("/manifests/1").then(|| Reply::file(&lost[..])), &["although"]);
}

#[test]
fn a_configuration_that_lies_is_refused() {
    // One diff ID too many: they do not fit each other.
    let layer = layer(b"x");
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [
        Digest::of(&layer).to_string(), Digest::of(b"more").to_string(),
    ] } });
    let image = Image::of(config.to_string().into_bytes(), layer);
    let web = Web::serve(move |request, _| image.answer(request));
    let said = fails_to_pull(&web);
    assert!(said.contains("1 layers") && said.contains("2 diff IDs"), "{said}");
}

#[test]
fn a_layer_is_not_taken_for_that_of_another_image() {
    // Its configuration says that the layer is one of somebody else's.
    let (honest, mine) = (Image::new(), layer(b"evil\n"));
    let lie = Image::of(honest.config.clone(), mine);
    let web = Web::serve(move |request, _| lie.answer(request));
    let (store, folder) = (Store::new(), scratch());
    let context = context(folder.path(), &format!("FROM 127.0.0.1:{}/a:1\nCOPY hello /there\n", web.port()));
    let (code, _, said) = outcome(store.command().args(["build", "--no-lock"]).arg(&context));
    assert_eq!(code, 1);
    assert!(said.contains("its image says that it unpacks to"), "{said}");
    // The honest one comes out as if nothing had been.
    let web = Web::serve(move |request, _| honest.answer(request));
    let output = folder.path().join("out");
    put(&context, "Dockerfile", format!("FROM 127.0.0.1:{}/a:1\n", web.port()));
    store.build(&context, &["--no-lock", "-o", output.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(output.join("hello")).unwrap(), "hello\n");
}

#[test]
fn a_body_without_end_is_cut_off() {
    let image = Arc::new(Image::new());
    let endless = move |request: &Request, stream: &mut std::net::TcpStream| {
        if !image.is_layer(request) {
            return image.answer(request).write(stream);
        }
        stream.write_all(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n")?;
        loop {
            stream.write_all(&[0; 4096])?;
        }
    };
    let said = fails_to_pull(&Web::start(endless));
    assert!(said.contains("more than"), "{said}");
}

#[test]
fn nobody_is_waited_for_for_ever() {
    let image = Arc::new(Image::new());
    // One that says nothing at all, one that sends single bytes, and one whose answer has no end.
    let silent = {
        let image = image.clone();
        move |request: &Request, stream: &mut std::net::TcpStream| {
            if !image.is_layer(request) {
                return image.answer(request).write(stream);
            }
            // Until the client has had enough.
            stream.read(&mut [0]).map(drop)
        }
    };
    let said = fails_to_pull_with(&Web::start(silent), IMPATIENT);
    assert!(said.contains("sent nothing for 0.3 s"), "{said}");
    let large = layer(&vec![0; 16 << 20]);
    let config =
        json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": [Digest::of(&large).to_string()] } });
    let image = Image::of(config.to_string().into_bytes(), large);
    let dripping = move |request: &Request, stream: &mut std::net::TcpStream| {
        if !image.is_layer(request) {
            return image.answer(request).write(stream);
        }
        stream.set_nodelay(true)?;
        write!(stream, "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", image.layer.len())?;
        image.layer.iter().try_for_each(|byte| stream.write_all(&[*byte]))
    };
    let said = fails_to_pull_with(&Web::start(dripping), DEMANDING);
    assert!(said.contains("slower than"), "{said}");
}

#[test]
fn a_busy_server_is_asked_again_but_not_for_ever() {
    for status in [429, 500, 502, 503] {
        let image = Image::new();
        let patient = Web::serve(move |request, count| match count % 2 {
            0 => Reply::status(status).with("Retry-After", "0"),
            _ => image.answer(request),
        });
        let (store, home) = (Store::new(), scratch());
        let config = put(home.path(), "imgbuild.toml", HURRIED.replace("tries = 3", "tries = 6"));
        let mut command = store.command();
        command.env("IMGBUILD_CONFIG", config).args(["pull", &format!("127.0.0.1:{}/a:1", patient.port())]);
        crate::support::run(&mut command);
        let web = Web::serve(move |_, _| Reply::status(status));
        let said = fails_to_pull(&web);
        assert!(said.contains(&status.to_string()), "{said}");
        assert!(web.count() <= 5, "{}", web.count());
    }
}

/// Demands a password with every request.
fn demanding(image: &Image, request: &Request) -> Reply {
    match request.header("authorization") {
        "" => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""),
        _ => image.answer(request),
    }
}

#[test]
fn a_token_that_ends_on_the_way_is_renewed() {
    // Each token is good for two requests, whatever is said of it.
    let image = Image::new();
    let own = Arc::new(std::sync::OnceLock::new());
    let realm = own.clone();
    let given = std::sync::Mutex::new((0, 0));
    let web = Web::serve(move |request, _| {
        let (token, uses) = &mut *given.lock().unwrap();
        if request.path.starts_with("/token") {
            (*token, *uses) = (*token + 1, 0);
            return Reply::file(json!({ "token": format!("t{token}"), "expires_in": 300 }).to_string());
        }
        *uses += 1;
        match request.header("authorization") == format!("Bearer t{token}") && *uses <= 2 {
            true => image.answer(request),
            false => Reply::status(401).with("WWW-Authenticate", &format!("Bearer realm=\"{}\"", realm.get().unwrap())),
        }
    });
    own.set(web.url("/token")).unwrap();
    Store::new().run(&["pull", &format!("127.0.0.1:{}/a:1", web.port())]);
    let tokens = web.requests().iter().filter(|request| request.path.starts_with("/token")).count();
    assert!(tokens >= 2, "{:#?}", web.requests());
}

#[test]
fn a_password_does_not_follow_to_another_server() {
    let image = Image::new();
    let elsewhere = {
        let image = image.clone();
        Web::serve(move |request, _| image.answer(request))
    };
    let target = elsewhere.url("");
    let web =
        Web::serve(move |request, _| match image.is_layer(request) && !request.header("authorization").is_empty() {
            true => Reply::to(&format!("{target}{}?signature=abc", request.path)),
            false => demanding(&image, request),
        });
    let (store, home) = (Store::new(), scratch());
    let host = format!("127.0.0.1:{}", web.port());
    let auth = super::tokens::base64(format!("me:{SECRET}").as_bytes());
    put(home.path(), ".docker/config.json", format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#));
    let mut command = store.command();
    crate::support::run(command.env("HOME", home.path()).args(["pull", &format!("{host}/a:1")]));
    assert!(web.requests().iter().any(|request| request.header("authorization").contains(&auth)));
    assert_eq!(elsewhere.count(), 1);
    for request in elsewhere.requests() {
        assert_eq!(request.header("authorization"), "");
    }
}

#[test]
fn redirects_that_lead_astray_are_not_followed() {
    let astray = |location: &'static str| {
        move |image: &Image, request: &Request| image.is_layer(request).then(|| Reply::to(location))
    };
    check(astray("file:///etc/passwd"), &["file://"]);
    check(astray("gopher://127.0.0.1/"), &["gopher://"]);
    check(astray("http://"), &["no host"]);
    check(|image, request| image.is_layer(request).then(|| Reply::to(&request.path)), &["more than 10 redirects"]);
    // A token server that would have the password in plain text, from somebody who is not on this machine.
    let realm = r#"Bearer realm="http://192.0.2.1/token",service="x""#;
    check(
        move |_, request| (request.path != "/v2/").then(|| Reply::status(401).with("WWW-Authenticate", realm)),
        &["not https://"],
    );
    let realm = r#"Bearer realm="file:///etc/passwd",service="x""#;
    check(
        move |_, request| (request.path != "/v2/").then(|| Reply::status(401).with("WWW-Authenticate", realm)),
        &["file://"],
    );
}

#[test]
fn uploads_stay_at_the_server() {
    // It sends the upload, and with it the password, somewhere else.
    let elsewhere = Web::serve(|_, _| Reply::status(201));
    let target = elsewhere.url("/upload?x=../../y");
    let web = Web::serve(move |request, _| match (request.header("authorization"), request.method.as_str()) {
        ("", _) if request.path != "/v2/" => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""),
        (_, "POST") => Reply::status(202).with("Location", &target),
        (_, "HEAD") => Reply::status(404),
        (_, "PUT") => Reply::status(201),
        _ => Reply::file("{}"),
    });
    let (store, home) = (Store::with_busybox(), scratch());
    let host = format!("127.0.0.1:{}", web.port());
    let auth = super::tokens::base64(format!("me:{SECRET}").as_bytes());
    put(home.path(), ".docker/config.json", format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#));
    let name = format!("{host}/a:1");
    store.run(&["tag", "busybox", &name]);
    crate::support::run(store.command().env("HOME", home.path()).args(["push", &name]));
    // Some registries take uploads elsewhere, but nobody there need know who we are.
    assert_eq!(elsewhere.count(), 2);
    for request in elsewhere.requests() {
        assert_eq!(request.header("authorization"), "");
    }
}

#[test]
fn pieces_are_sent_where_they_are_wanted() {
    // One request may have so much and no more; what came is put together.
    let received = Arc::new(std::sync::Mutex::new(Vec::<Vec<u8>>::new()));
    let kept = received.clone();
    let web = Web::serve(move |request, _| {
        let mut kept = kept.lock().unwrap();
        let number = request.path.rsplit('/').next().unwrap().split('?').next().unwrap().parse::<usize>();
        match (request.method.as_str(), number) {
            ("HEAD", _) => Reply::status(404),
            ("PUT", _) if request.path.contains("/manifests/") => Reply::status(201),
            ("POST", _) => {
                kept.push(Vec::new());
                Reply::status(202).with("Location", &format!("/v2/a/blobs/uploads/{}", kept.len() - 1))
            }
            ("PUT", Ok(number)) if !request.body.is_empty() => {
                kept[number].clear();
                Reply::status(413)
            }
            ("PUT", Ok(number)) => {
                let wanted = request.path.split_once("digest=").unwrap().1;
                Reply::status(if Digest::of(&kept[number]).to_string() == wanted { 201 } else { 400 })
            }
            ("PATCH", Ok(number)) => {
                let range = format!("{}-{}", kept[number].len(), kept[number].len() + request.body.len() - 1);
                assert_eq!(request.header("content-range"), range);
                kept[number].extend_from_slice(&request.body);
                Reply::status(202).with("Location", &request.path)
            }
            _ => Reply::file("{}"),
        }
    });
    let store = Store::with_busybox();
    let name = format!("127.0.0.1:{}/a:1", web.port());
    store.run(&["tag", "busybox", &name]);
    store.run(&["push", &name]);
    assert!(web.requests().iter().any(|request| request.method == "PATCH"));
}

#[test]
fn lists_are_read_to_their_end_and_no_further() {
    let tags = |web: &Web| outcome(Store::new().command().args(["tags", &format!("127.0.0.1:{}/a", web.port())]));
    let paged = Web::serve(|request, _| match request.path.as_str() {
        "/v2/" => Reply::file("{}"),
        "/next?last=b" => Reply::file(r#"{"name":"a","tags":["c"]}"#),
        _ => Reply::file(r#"{"name":"a","tags":["b","a"]}"#).with("Link", r#"</next?last=b>; rel="next""#),
    });
    assert_eq!(tags(&paged), (0, "b\na\nc\n".into(), String::new()));
    let fails = |body: &'static str, link: &'static str, expected: &str| {
        let web = Web::serve(move |_, _| Reply::file(body).with("Link", link));
        let (code, _, said) = tags(&web);
        assert_eq!(code, 1);
        assert!(said.contains(expected), "{said}");
    };
    fails(r#"{"tags":["a"]}"#, r#"</same>; rel="next""#, "more than 1000 pages");
    fails(r#"{"tags":["a"]}"#, r#"<http://192.0.2.1/>; rel="next""#, "at another server");
    fails(r#"{"tags":["a\u001b[2J"]}"#, "", "is no tag");
    fails("nonsense", "", "tags of a");
}
