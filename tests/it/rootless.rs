//! The program without root: as a user with a range of other users, and as one without.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::{self, Store, outcome, put, repository, run};

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

/// Users that are not root: one with a range of other users, and one without. They have numbers that no system gives.
#[derive(Clone, Copy)]
enum User {
    Mapped,
    Lone,
}

impl User {
    fn id(self) -> u32 {
        match self {
            Self::Mapped => 61_001,
            Self::Lone => 61_002,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mapped => "imgbuild-test-mapped",
            Self::Lone => "imgbuild-test-lone",
        }
    }
}

/// Makes the users where there are none, and a copy of the program that they can reach; none where this is not root.
fn program() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<TempDir>> = OnceLock::new();
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can become other users");
            return None;
        }
        for user in [User::Mapped, User::Lone] {
            let known = Command::new("id").arg(user.name()).output().unwrap().status.success();
            if !known {
                let id = user.id().to_string();
                run(Command::new("groupadd").args(["--gid", &id, user.name()]));
                run(Command::new("useradd").args(["--no-create-home", "--uid", &id, "--gid", &id, user.name()]));
            }
        }
        for file in ["/etc/subuid", "/etc/subgid"] {
            let text = fs::read_to_string(file).unwrap_or_default();
            let mut lines: Vec<String> =
                text.lines().filter(|line| !line.starts_with("imgbuild-test-")).map(str::to_owned).collect();
            lines.push(format!("{}:1879048192:65536", User::Mapped.name()));
            fs::write(file, lines.join("\n") + "\n").unwrap();
        }
        let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir_in("/var/tmp");
        let folder = folder.unwrap();
        fs::copy(env!("CARGO_BIN_EXE_imgbuild"), folder.path().join("imgbuild")).unwrap();
        Some(folder)
    });
    let folder = folder.as_ref()?;
    Some(PROGRAM.get_or_init(|| folder.path().join("imgbuild")))
}

/// A user's store, and a folder with what is built.
struct Home {
    user: User,
    folder: TempDir,
    program: &'static Path,
}

impl Home {
    fn of(user: User) -> Option<Self> {
        let program = program()?;
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let home = Self { user, folder, program };
        put(home.path(), "context/Dockerfile", DOCKERFILE);
        put(home.path(), "context/file", "content\n");
        put(home.path(), "word", "secret\n");
        fs::copy(repository("tests/conformance/busybox.oci.tar"), home.path().join("busybox.tar")).unwrap();
        home.give(home.path());
        Some(home)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn give(&self, path: &Path) {
        chown(path, Some(self.user.id()), Some(self.user.id())).unwrap();
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| self.give(&entry.unwrap().path()));
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path()).current_dir(self.path());
        command.uid(self.user.id()).gid(self.user.id());
        command
    }

    fn run(&self, words: &[&str]) -> String {
        support::text(&run(self.command().args(words)).stdout)
    }
}

#[test]
fn images_are_those_that_root_makes() {
    let Some(home) = Home::of(User::Mapped) else { return };
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
    let Some(home) = Home::of(User::Mapped) else { return };
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
    let Some(home) = Home::of(User::Lone) else { return };
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
    let Some(home) = Home::of(User::Mapped) else { return };
    home.run(&["images"]);
    let users = home.path().join(".local/share/imgbuild");
    let (code, _, stderr) =
        outcome(Command::new(env!("CARGO_BIN_EXE_imgbuild")).arg("--root").arg(&users).arg("images"));
    assert_eq!((code, stderr.contains("is that of a user without root")), (3, true), "{stderr}");
}
