//! The program without root: as a user with a range of other users, and as one without.

use std::fs;
use std::process::Command;

use crate::support::{self, Store, outcome, put, repository, run};
use crate::users::{Home, User};

const DOCKERFILE: &str = r#"FROM busybox AS base
RUN mkdir -p /data/keep /data/drop /home/app && echo one > /data/keep/one && echo two > /data/drop/two && \
    chown -R 1000:1001 /data/keep && chown 65533:42 /data/drop/two && chmod 4755 /bin/busybox
RUN rm /data/drop/two && rm -r /data/keep && mkdir /data/keep && echo three > /data/keep/three && ln /data/keep/three /data/link
COPY --chown=1000:1000 --chmod=640 file /home/app/
RUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/run/x --mount=type=secret,id=word \
    mkfifo /pipe && cp /run/secrets/word /run/x/ && echo x >> /cache/count && ls /data/drop /data/keep > /listing
USER 1000:1000
WORKDIR /home/app/work
RUN id > id && touch mine
FROM base
COPY --from=base --chown=7 /data /copied
RUN [ "$(id -u)" = 1000 ] && [ "$(cat /home/app/file)" = content ]
USER 0
RUN stat -c '%u:%g %a %n' /copied/keep/three /home/app/file > /owners
"#;

/// A user's folder with a context to build.
fn home_of(user: User) -> Option<Home> {
    let home = Home::of(user)?;
    put(home.path(), "context/Dockerfile", DOCKERFILE);
    put(home.path(), "context/file", "content\n");
    put(home.path(), "word", "secret\n");
    fs::copy(repository("tests/conformance/busybox.oci.tar"), home.path().join("busybox.tar")).unwrap();
    home.give(home.path());
    Some(home)
}

#[test]
fn images_are_those_that_root_makes() {
    let Some(home) = home_of(User::Mapped) else { return };
    let arguments = ["build", "-q", "--no-lock", "--secret", "id=word,src=word", "-t", "app", "context"];
    home.run(&["load", "-q", "-i", "busybox.tar"]);
    let made = home.run(&arguments);
    let store = Store::with_busybox();
    let mut command = store.command();
    let by_root = support::text(&run(command.args(arguments).current_dir(home.path())).stdout);
    assert_eq!(made, by_root);
    assert_eq!(
        home.run(&["run", "--rm", "app", "cat", "/owners"]),
        "7:7 644 /copied/keep/three\n1000:1000 640 /home/app/file\n"
    );
    // Again, from what is unpacked, with nothing to do.
    assert_eq!(home.run(&arguments), made);
    assert_eq!(home.run(&["build", "-q", "--no-lock", "--no-cache", "--secret", "id=word,src=word", "context"]), made);
}

#[test]
fn containers_work() {
    let Some(home) = home_of(User::Mapped) else { return };
    home.run(&["load", "-q", "-i", "busybox.tar"]);
    home.run(&["run", "--name", "c", "busybox", "sh", "-c", "echo x > /new; chown 5:6 /new; rm -r /var; mkdir /var"]);
    assert_eq!(home.run(&["diff", "c"]), "A /new\nC /var\nD /var/spool\n");
    home.run(&["commit", "c", "changed"]);
    assert_eq!(home.run(&["run", "--rm", "changed", "stat", "-c", "%u:%g", "/new"]), "5:6\n");
    home.run(&["cp", "c:/new", "copied"]);
    assert_eq!(fs::read_to_string(home.path().join("copied")).unwrap(), "x\n");
    let (code, _, stderr) = outcome(home.command().args(["mount", "changed"]));
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("without root, a mount would be seen by nobody else"), "{stderr}");
    home.run(&["rm", "c"]);
    home.run(&["rmi", "changed", "busybox"]);
    home.run(&["prune", "--all", "--force"]);
    assert_eq!(home.run(&["images", "-q"]), "");
}

#[test]
fn without_a_range_there_is_only_root() {
    let Some(home) = home_of(User::Lone) else { return };
    home.run(&["load", "-q", "-i", "busybox.tar"]);
    put(
        home.path(),
        "one/Dockerfile",
        "FROM busybox\nCOPY --chown=5:6 file /\nRUN cat /file > /copy && stat -c %u:%g /file > /owner\n",
    );
    put(home.path(), "one/file", "content\n");
    let (code, made, stderr) = outcome(home.command().args(["build", "-q", "--no-lock", "-t", "one", "one"]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("has no range of other users"), "{stderr}");
    assert!(made.starts_with("sha256:"));
    assert_eq!(home.run(&["run", "--rm", "one", "cat", "/owner", "/copy"]), "0:0\ncontent\n");
    home.run(&["save", "-o", "one.tar", "one"]);
    let store = Store::new();
    store.run(&["load", "-q", "-i", home.path().join("one.tar").to_str().unwrap()]);
    // What the data says of owners is kept.
    assert_eq!(store.run(&["run", "--rm", "one", "stat", "-c", "%u:%g", "/file"]), "5:6\n");
    let (code, _, stderr) = outcome(home.command().args(["run", "--rm", "-u", "1000", "one", "true"]));
    assert_eq!(code, 125, "{stderr}");
    assert!(stderr.contains("subordinate ids"), "{stderr}");
}

#[test]
fn stores_are_not_shared_with_root() {
    let Some(home) = home_of(User::Mapped) else { return };
    home.run(&["images"]);
    let users = home.path().join(".local/share/imgbuild");
    let (code, _, stderr) =
        outcome(Command::new(env!("CARGO_BIN_EXE_imgbuild")).arg("--root").arg(&users).arg("images"));
    assert_eq!((code, stderr.contains("is that of a user without root")), (3, true), "{stderr}");
}
