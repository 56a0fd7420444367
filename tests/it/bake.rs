//! `bake` on build files: the real program, a store of its own, and busybox as the only image there is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Store, edit, put, repository, run, scratch, text};

/// Two targets on a third one, and a step that both have.
const SHOP: &str = r#"
[variable]
WHO = "world"

[variable.TAG]
default = "1"
description = "the version"

[group]
default = ["web", "worker"]

[target.base]
description = "what both are built on"
dockerfile-inline = """
FROM busybox
RUN echo base > /base
"""

[target.common]
args = { WHO = "${WHO}" }
contexts = { base = "target:base" }

[target.web]
inherits = ["common"]
tags = ["shop/web:${TAG}"]
dockerfile-inline = """
FROM base
ARG WHO
RUN echo "hello $WHO" > /greeting
COPY src/page /page
"""

[target.worker]
inherits = ["common"]
tags = ["shop/worker:${TAG}"]
output = ["type=image", "type=oci,dest=dist/archives/worker.tar"]
dockerfile-inline = """
FROM base
ARG WHO
RUN echo "hello $WHO" > /greeting
CMD ["worker"]
"""

[target.files]
output = ["dist/files"]
contexts = { web = "target:web" }
dockerfile-inline = """
FROM scratch
COPY --from=web /greeting /base /
"""
"#;

/// The folder of a shop, with a store that has busybox.
struct Shop {
    store: Store,
    folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        let folder = scratch();
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("src/page"), "page\n").unwrap();
        fs::write(folder.path().join("build.toml"), SHOP).unwrap();
        Self { store: Store::with_busybox(), folder }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.store.command();
        command.current_dir(self.folder.path()).arg("bake").args(arguments);
        command
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_slice(&run(&mut self.command(arguments)).stdout).unwrap()
    }

    /// What it complains about; it must fail with this code.
    fn complaint(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        stderr
    }
}

#[test]
fn targets_share_steps_and_go_where_they_are_told() {
    let shop = Shop::new();
    let built = shop.store.bake(shop.folder.path(), &[] as &[&str]);
    let mut ran = built.ran.clone();
    ran.sort();
    assert_eq!(ran, ["COPY src/page /page", "RUN echo \"hello $WHO\" > /greeting", "RUN echo base > /base"]);
    assert_eq!(built.images["base"], "", "what others are linked to is not written");
    assert!(built.images["web"].starts_with("sha256:") && built.images["worker"].starts_with("sha256:"));
    assert!(shop.file("dist/archives/worker.tar").is_file());

    let listed = shop.store.run(&["images", "--format", "json"]);
    let names: Vec<String> = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|image| format!("{}:{}", image["Repository"].as_str().unwrap(), image["Tag"].as_str().unwrap()))
        .collect();
    assert_eq!(names, ["busybox:latest", "shop/web:1", "shop/worker:1"], "{listed}");

    let again = shop.store.bake(shop.folder.path(), &["default", "files"]);
    assert_eq!(again.ran, ["COPY --from=web /greeting /base /"], "only what is new runs");
    assert_eq!(again.images["web"], built.images["web"]);
    assert_eq!(fs::read_to_string(shop.file("dist/files/greeting")).unwrap(), "hello world\n");

    let lock = fs::read_to_string(shop.file("build.lock")).unwrap();
    for part in ["reference = \"busybox\"", "name = \"base\"", "name = \"web\"", "name = \"worker\""] {
        assert!(lock.contains(part), "{part} is not in the lockfile:\n{lock}");
    }
    assert_eq!(shop.store.bake(shop.folder.path(), &["--frozen"]).executed, 0);
    edit(&shop.file("build.toml"), "echo base >", "echo bases >");
    assert!(shop.complaint(1, &["--locked"]).contains("--locked forbids that"));
}

#[test]
fn variables_and_options_change_targets() {
    let shop = Shop::new();
    let greeting = |command: &mut Command| {
        run(command);
        fs::read_to_string(shop.file("dist/files/greeting")).unwrap()
    };
    assert_eq!(greeting(&mut shop.command(&["files"])), "hello world\n");
    assert_eq!(greeting(shop.command(&["files"]).env("WHO", "moon")), "hello moon\n");
    assert_eq!(greeting(&mut shop.command(&["files", "--set", "web.args.WHO=sun"])), "hello sun\n");
    let printed = shop.json(&["--print", "--set", "w*.tags=dev", "--set", "*.platform=linux/arm64"]);
    for name in ["web", "worker"] {
        assert_eq!(printed["target"][name]["tags"], json!(["dev"]));
        assert_eq!(printed["target"][name]["platforms"], json!(["linux/arm64"]));
    }
    assert_eq!(printed["group"]["default"]["targets"], json!(["web", "worker"]));
    assert_eq!(printed["target"]["base"]["context"], ".");
    assert_eq!(printed["target"].as_object().unwrap().len(), 3, "no target that is not needed: {printed}");
}

#[test]
fn lists_what_there_is() {
    let shop = Shop::new();
    let listed = shop.json(&["--list"]);
    let base = json!({"kind": "target", "name": "base", "description": "what both are built on"});
    assert!(listed.as_array().unwrap().contains(&base), "{listed}");
    let variables = shop.json(&["--list=variables"]);
    let tag = json!({
        "name": "TAG", "description": "the version", "type": "string", "required": false,
        "default": "1", "value": "1", "source": "default",
    });
    assert_eq!(variables[1], tag, "{variables}");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let shop = Shop::new();
    assert!(shop.complaint(2, &["wev"]).contains("did you mean `web`?"));
    edit(
        &shop.file("build.toml"),
        "inherits = [\"common\"]\ntags = [\"shop/web",
        "inherit = [\"common\"]\ntags = [\"shop/web",
    );
    let error = shop.complaint(1, &["web"]);
    for part in ["unknown key `inherit`", "build.toml:24:1", "did you mean `inherits`?"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    fs::remove_file(shop.file("build.toml")).unwrap();
    assert!(shop.complaint(1, &[]).contains("there is no build file at build.toml"));
}

/// What the example of every key needs beside itself.
const BESIDE_THE_EXAMPLE: &[(&str, &str)] = &[
    ("docker/toolchain/toolchain.Dockerfile", "FROM busybox\nRUN mkdir -p /opt/tools && echo C > /opt/toolchain\n"),
    (
        "services/web/Dockerfile",
        "FROM toolchain AS check\nRUN --mount=type=secret,id=token test \"$(cat /run/secrets/token)\" = secret && \\\n\
         grep db.example /etc/hosts && test ! -e /sys/class/net/eth0\n\
         FROM debian:bookworm AS runtime\nARG NODE_MAJOR TRACE=none\nRUN echo \"$NODE_MAJOR $TRACE\" > /node\n\
         COPY --from=assets . /assets/\nCOPY --from=check /opt/toolchain /\n",
    ),
    (
        "services/worker/build.toml",
        "[target.worker]\ninherits = [\"common\"]\nsteps = [{ copy = \"worker\", to = \"/\" }]\n",
    ),
    ("services/worker/worker", "work\n"),
    ("shared/assets/logo.svg", "<svg/>\n"),
    ("secrets/token", "secret"),
    ("tools/bin/doctor", "#!/bin/sh\n"),
    ("tools/check.sh", "test \"$LANG\" = C && test -e bin/doctor && test -d /root/.cache\n"),
    ("tools/src/install.sh", "mkdir -p \"$1\" && echo compiled > \"$1/program\"\n"),
    ("themes/dark/page", "dark\n"),
    ("themes/light/page", "light\n"),
    ("docs/index.html", "<p>\n"),
    ("signing.pem", "signed"),
];

#[test]
fn the_example_of_every_key_builds() {
    let folder = scratch();
    for (path, content) in BESIDE_THE_EXAMPLE {
        put(folder.path(), path, content);
    }
    let doctor = folder.path().join("tools/bin/doctor");
    fs::set_permissions(doctor, fs::Permissions::from_mode(0o755)).unwrap();
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(folder.path().join("secrets/deploy_key")));
    run(Command::new("tar").current_dir(folder.path()).args(["-czf", "tools/data.tar.gz", "docs"]));
    fs::copy(repository("build.toml.example"), folder.path().join("build.toml")).unwrap();
    let store = Store::with_busybox();
    let command = |arguments: &[&str]| {
        let mut command = store.command();
        command
            .current_dir(folder.path())
            .arg("bake")
            .args(arguments)
            .env("SIGNING_KEY", "signing.pem")
            .env("NPMRC", "npm");
        run(&mut command)
    };
    let printed: Value = serde_json::from_slice(&command(&["--print", "everything"]).stdout).unwrap();
    assert_eq!(printed["target"]["release"]["tags"][0], "localhost:5000/shop/web:edge-latest");
    assert_eq!(printed["target"]["worker"]["context"], "services/worker");

    let log = text(&command(&["--progress=plain", "everything"]).stderr);
    assert!(!log.contains("has no effect"), "{log}");
    assert_eq!(fs::read_to_string(folder.path().join("dist/web/node")).unwrap(), "20 none\n");
    assert!(folder.path().join("dist/docs/linux_arm64/index.html").exists());
    assert!(folder.path().join(".cache/web/index.json").exists());
    assert!(folder.path().join("build.lock").exists());
}
