//! Caches in a bucket: `moto_server` on the loopback, which checks signatures as Amazon's servers do.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::assert_sound;
use super::cache::{assert_nothing_ran, context, layers_of, told};
use super::cuts::noise;
use super::server::{Proxy, free_port, gate};
use crate::support::{Store, edit, put, scratch, sh};
use crate::web::Reply;

/// A server with the bucket `cache`; ends when it is dropped.
struct Moto {
    child: Child,
    port: u16,
    id: String,
    secret: String,
}

impl Moto {
    /// None where it is not installed.
    fn start() -> Option<Self> {
        let program = std::env::var("IMGBUILD_MOTO").unwrap_or_else(|_| "moto_server".into());
        let port = free_port();
        let mut command = Command::new(program);
        // A user, its key, its policy and the bucket: from then on, it looks at signatures.
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", "4").env("PYTHONUNBUFFERED", "1");
        command.args(["-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            eprintln!("skipped: moto_server is not installed, which `pip install 'moto[server]'` does");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("moto_server has ended: {said:#?}")).unwrap();
            if line.contains("Running on") {
                break;
            }
            said.push(line);
        }
        // It must not wait for somebody to read what it says.
        std::thread::spawn(move || lines.for_each(drop));
        let mut moto = Self { child, port, id: String::new(), secret: String::new() };
        moto.administer("CreateUser", &[]);
        let key = moto.administer("CreateAccessKey", &[]);
        let element =
            |name: &str| key.split(&format!("<{name}>")).nth(1).unwrap().split('<').next().unwrap().to_owned();
        (moto.id, moto.secret) = (element("AccessKeyId"), element("SecretAccessKey"));
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
        moto.administer("PutUserPolicy", &["PolicyName=all", &format!("PolicyDocument={policy}")]);
        sh(&["curl", "-sf", "-X", "PUT", &format!("http://127.0.0.1:{port}/cache")]);
        Some(moto)
    }

    /// Asks its user management for something.
    fn administer(&self, action: &str, more: &[&str]) -> String {
        let service = "Authorization: AWS4-HMAC-SHA256 Credential=x/20240101/us-east-1/iam/aws4_request, \
            SignedHeaders=host, Signature=0";
        let (action, url) = (format!("Action={action}"), format!("http://127.0.0.1:{}/", self.port));
        let mut words = vec!["curl", "-sf", "-H", service];
        for field in ["Version=2010-05-08", "UserName=builder", &action].iter().chain(more) {
            words.extend(["--data-urlencode", field]);
        }
        sh(&[&words[..], &[&url]].concat())
    }

    /// A store that knows the key.
    fn store(&self) -> Store {
        self.store_with(&self.secret)
    }

    fn store_with(&self, secret: &str) -> Store {
        Store::with_busybox().set("AWS_ACCESS_KEY_ID", &self.id).set("AWS_SECRET_ACCESS_KEY", secret)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bucket of a server as `--cache-from` has it.
fn at(host: &str) -> String {
    format!("type=s3,bucket=cache,region=us-east-1,prefix=ci/,endpoint_url=http://{host},use_path_style=true")
}

/// What was asked since some request with this method, without the bucket's path.
fn asked(proxy: &Proxy, since: usize, method: &str) -> Vec<String> {
    let of_method = |request: &String| Some(request.strip_prefix(method)?.trim().replace("/cache/ci/", ""));
    proxy.requests()[since..].iter().filter_map(of_method).collect()
}

/// The sizes of an image's blobs that a store has, by digest.
fn sizes(store: &Store, digests: &[String]) -> HashMap<String, usize> {
    let hex = |digest: &String| digest.trim_start_matches("sha256:").to_owned();
    let size = |hex: &String| fs::metadata(store.path().join("blobs/sha256").join(hex)).unwrap().len() as usize;
    digests.iter().map(hex).map(|hex| (hex.clone(), size(&hex))).collect()
}

#[test]
fn a_bucket_is_a_cache_too() {
    let Some(moto) = Moto::start() else { return };
    let folder = scratch();
    let context = context(folder.path());
    let proxy = Proxy::before(moto.port);
    let cache = at(&proxy.host());
    let to = format!("{cache},mode=max");
    // For the first time, there is nothing.
    let one = moto.store();
    let (code, said) = told(&one, &context, &["-t", "app", "--cache-from", &cache, "--cache-to", &to]);
    assert!(code == 0 && said.contains("the cache s3://cache/ci/ is not used: nothing is there yet"), "{said}");
    let sent = asked(&proxy, 0, "PUT ");
    assert_eq!(sent.len(), 12 + 1 + 1, "six layers, what is in them, a configuration and a manifest: {sent:#?}");
    let digest = super::digest_of(&one, "app");
    // Once more: nothing is new but the manifest's name.
    let since = proxy.requests().len();
    one.build(&context, &["-t", "app", "--cache-to", &to]);
    assert_eq!(asked(&proxy, since, "PUT "), ["manifests/latest"]);
    // Without an output, nothing is read but the manifest and the configuration.
    let (two, since) = (moto.store(), proxy.requests().len());
    assert_eq!(two.build(&context, &["-o", "type=cacheonly", "--cache-from", &cache]).executed, 0);
    let read = asked(&proxy, since, "GET ");
    assert!(read.len() == 2 && read[0] == "manifests/latest", "{read:#?}");
    // What the store is to list has its layers, and no others.
    let (three, since) = (moto.store(), proxy.requests().len());
    assert_nothing_ran(&three.build(&context, &["-t", "app", "--cache-from", &cache]), &digest);
    let mut layers: Vec<String> = sizes(&three, &layers_of(&three, "app").split_off(1)).into_keys().collect();
    let mut read = asked(&proxy, since, "GET ").split_off(2);
    read.iter_mut().for_each(|object| *object = object.replace("blobs/sha256/", ""));
    layers.sort();
    read.sort();
    assert_eq!(read, layers);
    assert_sound(&three);
    // After a change, the rest is there.
    edit(&context.join("Dockerfile"), "/both\n", "/all\n");
    let ran = moto.store().build(&context, &["-t", "app", "--cache-from", &cache]).ran;
    assert_eq!(ran, ["RUN cat /base /made > /all"]);
    // Under another name, there is another cache.
    let (code, said) = told(&moto.store(), &context, &["-t", "app", "--cache-from", &format!("{cache},name=other")]);
    assert!(code == 0 && said.contains("nothing is there yet"), "{said}");
}

#[test]
fn a_bucket_that_refuses_or_lies_is_passed_over() {
    let Some(moto) = Moto::start() else { return };
    let folder = scratch();
    let context = context(&folder.path().join("context"));
    let config = put(folder.path(), "imgbuild.toml", super::HURRIED);
    let config = config.to_str().unwrap();
    let host = format!("localhost:{}", moto.port);
    let one = moto.store();
    let digest = one.build(&context, &["-t", "app", "--cache-to", &format!("{},mode=max", at(&host))]).digest;
    let check = |store: Store, cache: &str, expected: &str| {
        let store = store.set("IMGBUILD_CONFIG", config);
        let (code, said) = told(&store, &context, &["-t", "app", "--cache-from", cache]);
        assert!(code == 0 && said.contains("WARNING: the cache s3://") && said.contains(expected), "{said}");
        assert_eq!(super::digest_of(&store, "app"), digest);
        assert!(!said.contains(&moto.secret), "{said}");
        assert_sound(&store);
    };
    check(moto.store_with("wrong"), &at(&host), "(SignatureDoesNotMatch)");
    check(Store::with_busybox(), &at(&host), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
    check(moto.store(), &at(&host).replace("bucket=cache", "bucket=none"), "(NoSuchBucket)");
    check(moto.store(), &at(&format!("localhost:{}", free_port())), "is not used: s3://cache/ci/: manifests/latest: ");
    // A layer that is not what its name says.
    let sizes = sizes(&one, &layers_of(&one, "app"));
    let liar = gate(moto.port, move |request| {
        let size = sizes.get(request.path.rsplit('/').next()?)?;
        (request.method == "GET").then(|| Reply::file(vec![b'x'; *size]))
    });
    check(moto.store(), &at(&format!("localhost:{}", liar.port())), "with the digest");
    writes_nothing(&moto, &context, &at(&host));
}

/// What cannot be written is an error, unless it need not be.
fn writes_nothing(moto: &Moto, context: &Path, cache: &str) {
    let refused = moto.store_with("wrong");
    let (code, said) = told(&refused, context, &["-t", "app", "--cache-to", cache]);
    assert!(code == 1 && said.contains("the cache s3://cache/ci/ cannot be written: "), "{said}");
    let (code, said) = told(&refused, context, &["-t", "app", "--cache-to", &format!("{cache},ignore-error=true")]);
    assert!(code == 0 && said.contains("(SignatureDoesNotMatch)"), "{said}");
    let (code, said) = told(&refused, context, &["--offline", "-t", "app", "--cache-to", cache]);
    assert!(code == 2 && said.contains("--offline forbids to send the cache"), "{said}");
}

#[test]
fn a_cut_connection_goes_on() {
    let Some(moto) = Moto::start() else { return };
    let folder = scratch();
    put(folder.path(), "Dockerfile", "FROM busybox\nCOPY noise /noise\n");
    put(folder.path(), "noise", noise(3 << 20));
    let direct = at(&format!("localhost:{}", moto.port));
    let digest = moto.store().build(folder.path(), &["-t", "app", "--cache-to", &direct]).digest;
    let proxy = Proxy::cutting(moto.port, 1, 1 << 20);
    let two = moto.store();
    assert_nothing_ran(&two.build(folder.path(), &["-t", "app", "--cache-from", &at(&proxy.host())]), &digest);
    assert_eq!(proxy.left(), 0, "it was cut");
    assert_sound(&two);
}
