//! Policies: which images may be built on, wherever a definition names them and wherever they are found.

use std::fs;
use std::path::Path;

use crate::failures::is_root;
use crate::registry::Registry;
use crate::signatures::{file, keys};
use crate::support::{Store, edit, outcome, put, run, scratch};

/// Builds in a folder: the exit code, and what was said.
fn build(store: &Store, folder: &Path, arguments: &[&str]) -> (i32, String) {
    let (code, _, error) = outcome(store.command().current_dir(folder).args(arguments));
    (code, error)
}

#[track_caller]
fn refused((code, said): (i32, String), parts: &[&str]) {
    assert_eq!(code, 1, "{said}");
    for part in parts {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

#[track_caller]
fn fine((code, said): (i32, String)) {
    assert_eq!(code, 0, "{said}");
}

#[test]
fn every_way_to_name_an_image_is_looked_at() {
    let (folder, store) = (scratch(), Store::with_busybox());
    let policy = put(folder.path(), "policy.toml", "# No such thing.\ndeny = [\"busybox\"]\n").display().to_string();
    let denied = format!("busybox:latest is denied by the policy: `deny` has \"busybox\" ({policy}:2)");
    let check = |dockerfile: &str, arguments: &[&str], place: &str| {
        put(folder.path(), "Dockerfile", dockerfile);
        let arguments = [&["build", "."], arguments].concat();
        // What is cached is looked at as well.
        fine(build(&store, folder.path(), &arguments));
        refused(build(&store, folder.path(), &[&arguments[..], &["--policy", &policy]].concat()), &[&denied, place]);
    };
    check("FROM busybox\nRUN true\n", &[], "Dockerfile:1:6");
    check("FROM scratch\nCOPY --from=busybox /bin/busybox /\n", &[], "Dockerfile:2:");
    check("FROM busybox AS a\nFROM scratch\nCOPY --from=a /bin/busybox /\n", &[], "Dockerfile:1:6");
    check("ARG BASE=busybox\nFROM ${BASE}\n", &[], "Dockerfile:2:6");
    check("FROM base\n", &["--build-context", "base=docker-image://busybox"], "Dockerfile:1:6");
    let mount = "FROM busybox:other\nRUN --mount=type=bind,from=busybox,target=/m ls /m/bin\n";
    store.run(&["tag", "busybox", "busybox:other"]);
    check(mount, &[], "busybox");
    put(folder.path(), "build.toml", "[target.app]\nfrom = \"busybox\"\nsteps = [{ run = \"true\" }]\n");
    fine(build(&store, folder.path(), &["bake", "app"]));
    refused(build(&store, folder.path(), &["bake", "app", "--policy", &policy]), &[&denied, "build.toml:2:"]);
    // Of the build file itself, and for what only looks.
    put(
        folder.path(),
        "policy.toml",
        fs::read_to_string(folder.path().join("build.toml")).unwrap() + "[policy]\nallow = ['h.x/**']\n",
    );
    fs::rename(folder.path().join("policy.toml"), folder.path().join("build.toml")).unwrap();
    let message = "busybox:latest is not allowed by the policy: no pattern of `allow` fits (build.toml:5)";
    for command in ["bake", "plan", "lock", "verify"] {
        refused(build(&store, folder.path(), &[command, "app"]), &[message]);
    }
}

#[test]
fn signatures_are_demanded() {
    let (folder, keys, registry) = (scratch(), keys(), Registry::open());
    let maker = Store::with_busybox();
    let base = format!("{}/team/base:1", registry.host());
    put(folder.path(), "base/Dockerfile", "FROM busybox\nLABEL made=here\n");
    // With a statement it is an index, which is what is signed and found by way of the lockfile.
    maker.build(&folder.path().join("base"), &["-t", &base, "--sbom=true", "--push"]);
    put(folder.path(), "Dockerfile", format!("FROM {base}\nRUN true\n"));
    let demand = |key: &str| {
        let text = format!("[require-signature]\n\"{}/team/*\" = [\"{}\"]\n", registry.host(), file(&keys, key));
        put(folder.path(), "policy.toml", text);
    };
    demand("a.pub");
    let store = Store::new();
    let words = ["build", ".", "--policy", "policy.toml"];
    let unsigned = build(&store, folder.path(), &words);
    refused(
        unsigned,
        &["base:1 is not signed as the policy demands", "policy.toml:2", "Dockerfile:1:6", "it has no signature"],
    );
    maker.run(&["sign", "--key", &file(&keys, "a.key"), &format!("docker://{base}")]);
    fine(build(&store, folder.path(), &words));
    // The lockfile names it by now, and the store has the signature: nobody need be asked.
    fine(build(&store, folder.path(), &[&words[..], &["--frozen"]].concat()));
    demand("b.pub");
    refused(build(&store, folder.path(), &words), &["a signature is by none of these keys"]);
    refused(build(&store, folder.path(), &[&words[..], &["--frozen"]].concat()), &["--offline forbids"]);
    demand("a.pub");
    // Somebody puts another image there.
    edit(&folder.path().join("base/Dockerfile"), "here", "elsewhere");
    maker.build(&folder.path().join("base"), &["-t", &base, "--push"]);
    fine(build(&store, folder.path(), &words));
    refused(build(&store, folder.path(), &[&words[..], &["--pull"]].concat()), &["it has no signature"]);
    refused(build(&Store::new(), folder.path(), &[&words[..], &["--no-lock"]].concat()), &["it has no signature"]);
    // A key that cannot be read is no reason to let everything pass.
    demand("none.pub");
    refused(build(&store, folder.path(), &words), &["none.pub", "policy.toml names it"]);
}

#[test]
fn a_mirror_is_not_what_counts() {
    let (folder, keys, registry) = (scratch(), keys(), Registry::open());
    let maker = Store::with_busybox();
    let mirrored = format!("{}/team/base:1", registry.host());
    maker.run(&["tag", "busybox", "origin.example/team/base:1"]);
    maker.run(&["copy", "store:busybox", &mirrored]);
    let config = put(
        folder.path(),
        "imgbuild.toml",
        format!(
            "[network]\ntries = 1\n[registry.\"origin.example\"]\nmirrors = ['http://{}']\n[policy.require-signature]\n\"origin.example/**\" = [\"{}\"]\n",
            registry.host(),
            file(&keys, "a.pub")
        ),
    );
    put(folder.path(), "Dockerfile", "FROM origin.example/team/base:1\n");
    let store = || Store::new().set("IMGBUILD_CONFIG", config.to_str().unwrap());
    refused(build(&store(), folder.path(), &["build", "--no-lock", "."]), &["imgbuild.toml:6"]);
    // What is signed as the mirror's is not signed as the origin's.
    maker.run(&["sign", "--key", &file(&keys, "a.key"), &format!("docker://{mirrored}")]);
    refused(build(&store(), folder.path(), &["build", "--no-lock", "."]), &["calls it"]);
    maker.run(&["sign", "--key", &file(&keys, "a.key"), "origin.example/team/base:1"]);
    maker.run(&["copy", "--signatures", "store:origin.example/team/base:1", &mirrored]);
    fine(build(&store(), folder.path(), &["build", "--no-lock", "."]));
}

#[test]
fn a_digest_is_demanded() {
    let (folder, store) = (scratch(), Store::with_busybox());
    put(folder.path(), "Dockerfile", "FROM busybox\n");
    put(folder.path(), "policy.toml", "require-digest = true\n");
    let words = ["build", ".", "--policy", "policy.toml"];
    let message = "busybox:latest is pinned neither by a digest nor by the lockfile";
    refused(build(&store, folder.path(), &words), &[message, "Dockerfile:1:6", "policy.toml:1", "imgbuild lock"]);
    refused(build(&store, folder.path(), &[&words[..], &["--no-lock"]].concat()), &[message]);
    fine(build(&store, folder.path(), &["lock", ".", "--policy", "policy.toml"]));
    fine(build(&store, folder.path(), &words));
    refused(build(&store, folder.path(), &[&words[..], &["--pull"]].concat()), &[message]);
    let digest = store.run(&["images", "--digests", "--format", "{{.Digest}}", "busybox"]);
    put(folder.path(), "Dockerfile", format!("FROM busybox@{}\n", digest.trim()));
    fine(build(&store, folder.path(), &[&words[..], &["--no-lock"]].concat()));
}

#[test]
fn what_the_machine_demands_holds() {
    let (folder, store) = (scratch(), Store::with_busybox());
    let user = put(folder.path(), "user.toml", "[policy]\ndeny = ['h.x/**']\n");
    put(folder.path(), "build.toml", "[policy]\nallow = ['**']\n[target.app]\nfrom = 'busybox'\nsteps = []\n");
    let store = store.set("IMGBUILD_CONFIG", user.to_str().unwrap());
    fine(build(&store, folder.path(), &["bake", "app"]));
    edit(&user, "h.x/**", "busybox");
    refused(build(&store, folder.path(), &["bake", "app"]), &["busybox:latest is denied", "user.toml:2"]);
    edit(&user, "deny", "dney");
    refused(build(&store, folder.path(), &["bake", "app"]), &["user.toml:2", "unknown key `dney`"]);
    edit(&user, "[policy]\ndney = ['busybox']", "[store]");
    if !is_root() {
        return;
    }
    // The machine's file, also where the user's own is what counts otherwise.
    put(folder.path(), "etc/imgbuild/imgbuild.toml", "[policy]\ndeny = ['busybox']\n");
    let mut shell = store.command();
    let program = shell.get_program().to_owned();
    let variables: Vec<_> =
        shell.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    shell = std::process::Command::new("unshare");
    shell.env_clear();
    for (name, value) in variables {
        shell.env(name, value.unwrap_or_default());
    }
    let lower = format!("lowerdir={}:/etc", folder.path().join("etc").display());
    shell.args(["--mount", "sh", "-c", "mount -t overlay -o \"$0\" overlay /etc && exec \"$@\"", &lower]);
    shell.arg(program).arg("--root").arg(store.path()).args(["bake", "app"]).current_dir(folder.path());
    let (code, _, error) = outcome(&mut shell);
    refused((code, error), &["busybox:latest is denied", "/etc/imgbuild/imgbuild.toml:2"]);
    run(store.command().current_dir(folder.path()).args(["bake", "app"]));
}
