//! Who may do what: passwords, tokens, helpers, certificates.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::server::Registry;
use super::tokens::{self, IDENTITY, USER};
use super::{context, digest_of};
use crate::support::{Store, outcome, put, run, scratch, text};

/// The program with a home folder.
fn at_home(store: &Store, home: &Path) -> Command {
    let mut command = store.command();
    command.env("HOME", home);
    command
}

/// Logs in; the exit code and what was said.
fn login(store: &Store, home: &Path, registry: &str, user: &str, password: &str) -> (i32, String) {
    let mut command = at_home(store, home);
    command.args(["login", "-u", user, "--password-stdin", registry]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
}

/// A registry that knows one user by the password.
fn with_password() -> Registry {
    let folder = scratch();
    let line = text(&run(Command::new("htpasswd").args(["-Bbn", "me", "pass:word"])).stdout);
    put(folder.path(), "htpasswd", line.trim());
    Registry::at(super::server::free_port(), folder, "auth: {htpasswd: {realm: r, path: FOLDER/htpasswd}}", "")
}

#[test]
fn a_password_is_checked_kept_and_forgotten() {
    let (registry, store, home) = (with_password(), Store::with_busybox(), scratch());
    let host = registry.host();
    let name = format!("{host}/a:1");
    store.run(&["tag", "busybox", &name]);
    let (code, _, said) = outcome(at_home(&store, home.path()).args(["push", &name]));
    assert_eq!(code, 1);
    assert!(said.contains("refuses access") && said.contains(&format!("imgbuild login {host}")), "{said}");

    let (code, said) = login(&store, home.path(), &host, "me", "wrong-secret");
    assert_eq!(code, 1);
    assert!(said.contains("does not accept") && !said.contains("wrong-secret"), "{said}");
    let file = home.path().join(".docker/config.json");
    assert!(!file.exists(), "what was refused is not kept");

    let (code, said) = login(&store, home.path(), &host, "me", "pass:word");
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("pass:word"), "{said}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    run(at_home(&store, home.path()).args(["push", &name]));
    // Others read what we wrote.
    run(Command::new("skopeo")
        .args(["inspect", "--tls-verify=false", "--authfile"])
        .arg(&file)
        .arg(format!("docker://{name}")));

    run(at_home(&store, home.path()).args(["logout", &host]));
    assert_eq!(outcome(at_home(&store, home.path()).args(["pull", &name])).0, 1);
    // And we what others wrote, wherever that is.
    let authfile = home.path().join("auth.json");
    run(Command::new("skopeo")
        .args(["login", "--tls-verify=false", "-u", "me", "-p", "pass:word", "--authfile"])
        .arg(&authfile)
        .arg(&host));
    run(at_home(&store, home.path()).env("REGISTRY_AUTH_FILE", &authfile).args(["pull", &name]));
}

#[test]
fn a_helper_keeps_the_password() {
    let (registry, store, home) = (with_password(), Store::with_busybox(), scratch());
    let (host, kept) = (registry.host(), home.path().join("kept"));
    let script = format!(
        "#!/bin/sh\ncase $1 in\nstore) cat > {0};;\nget) test -e {0} || {{ echo credentials not found in native keychain; exit 1; }}; cat {0};;\nerase) rm {0};;\nesac\n",
        kept.display()
    );
    let helper = put(home.path(), "bin/docker-credential-test", script);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let config = put(home.path(), ".docker/config.json", format!(r#"{{"credHelpers":{{"{host}":"test"}},"x":1}}"#));
    let path = format!("{}:{}", home.path().join("bin").display(), std::env::var("PATH").unwrap());
    let name = format!("{host}/a:1");
    store.run(&["tag", "busybox", &name]);
    let push = || outcome(at_home(&store, home.path()).env("PATH", &path).args(["push", &name]));
    assert_eq!(push().0, 1);
    let mut command = at_home(&store, home.path());
    command.env("PATH", &path).args(["login", "-u", "me", "-p", "pass:word", &host]);
    run(&mut command);
    assert!(!fs::read_to_string(&config).unwrap().contains("pass"));
    assert!(fs::read_to_string(&config).unwrap().contains("\"x\": 1"));
    assert_eq!(push().0, 0);
    run(at_home(&store, home.path()).env("PATH", &path).args(["logout", &host]));
    assert!(!kept.exists());
    // One that is not there is said to be missing.
    let (code, _, said) = outcome(at_home(&store, home.path()).args(["push", &name]));
    assert_eq!(code, 1);
    assert!(said.contains("docker-credential-test"), "{said}");
}

#[test]
fn tokens_are_fetched_for_what_is_done() {
    let (folder, home) = (scratch(), scratch());
    tokens::certificate(folder.path(), "token");
    let server = tokens::serve(folder.path());
    let registry = Registry::with(&tokens::configuration(folder.path(), &server));
    let (store, host) = (Store::with_busybox(), registry.host());
    let name = format!("{host}/team/a:1");
    store.run(&["tag", "busybox", &name]);
    // Nobody may read, but not write.
    let (code, _, said) = outcome(at_home(&store, home.path()).args(["push", &name]));
    assert_eq!(code, 1);
    assert!(said.contains("refuses access"), "{said}");
    assert_eq!(login(&store, home.path(), &host, USER.0, "no").0, 1);
    assert_eq!(login(&store, home.path(), &host, USER.0, USER.1).0, 0);
    run(at_home(&store, home.path()).args(["push", &name]));
    let other = Store::new();
    other.run(&["pull", &name]);
    assert_eq!(digest_of(&other, &name), digest_of(&store, "busybox"));
    // A link needs a token that may read there and write here.
    let linked = format!("{host}/other/b:1");
    store.run(&["tag", "busybox", &linked]);
    let printed = text(&run(at_home(&store, home.path()).args(["push", &linked])).stdout);
    assert!(printed.contains("0 sent, 2 linked"), "{printed}");
    let both = |path: &str| {
        path.contains("scope=repository%3Aother%2Fb%3Apull%2Cpush")
            && path.contains("scope=repository%3Ateam%2Fa%3Apull")
    };
    assert!(server.requests().iter().any(|request| both(&request.path)), "{:#?}", server.requests());
    // Without a password, by a token that gets others.
    put(home.path(), ".docker/config.json", format!(r#"{{"auths":{{"{host}":{{"identitytoken":"{IDENTITY}"}}}}}}"#));
    let third = format!("{host}/third:1");
    store.run(&["tag", "busybox", &third]);
    run(at_home(&store, home.path()).args(["push", &third]));
    assert!(server.requests().iter().any(|request| request.method == "POST"));
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named() {
    let (folder, store) = (scratch(), Store::with_busybox());
    tokens::issued(folder.path(), "server");
    tokens::issued(folder.path(), "client");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cert, key, authority) = (path("server.crt"), path("server.key"), path("authority.crt"));
    let http = format!("  tls: {{certificate: {cert}, key: {key}, clientcas: [{authority}]}}");
    let registry = Registry::with_http("", &http);
    let host = registry.host();
    let name = format!("{host}/a:1");
    store.run(&["tag", "busybox", &name]);
    let push = |config: &str| {
        let config = put(folder.path(), "imgbuild.toml", config);
        outcome(store.command().env("IMGBUILD_CONFIG", config).args(["push", &name]))
    };
    let (code, _, said) = push("");
    assert_eq!(code, 1);
    assert!(said.contains("certificate") && said.contains("docs/registries.md"), "{said}");
    let trusted = format!("[registry.\"{host}\"]\nca = \"{authority}\"\n");
    assert_eq!(push(&trusted).0, 1, "it wants to know who asks");
    let known = format!("{trusted}cert = \"client.crt\"\nkey = \"client.key\"\n");
    let (code, _, said) = push(&known);
    assert_eq!(code, 0, "{said}");
    let careless = format!("[registry.\"{host}\"]\ninsecure = true\ncert = \"client.crt\"\nkey = \"client.key\"\n");
    assert_eq!(push(&careless).0, 0);
    // A build says the same of it as a push.
    let other = scratch();
    let context = context(other.path(), &format!("FROM {host}/a:1\nCOPY --link hello /\n"));
    put(folder.path(), "imgbuild.toml", known);
    run(Store::new().command().env("IMGBUILD_CONFIG", folder.path().join("imgbuild.toml")).arg("build").arg(context));
}
