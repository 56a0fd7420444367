//! Steps and images that try to get out. Each known way is tried by a real build, as root and as a user without root, and
//! that it failed is seen from outside: by what the step reports, and by what is left of the machine.
//!
//! What needs system calls that no shell has is done by programs in C, which are compiled once for each run of the tests.

mod kernel;
mod layers;
mod mounts;
mod processes;
mod program;
mod races;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::{self, Store, outcome, put, repository, run};
use crate::users::{Home, User};

/// A builder with a store that has the image `busybox`, and a folder of its own with a context.
enum Jail {
    /// Of root.
    Root(Store, TempDir),
    /// Of a user with a range of other users.
    User(Home),
}

/// Both kinds of builders, as far as this machine lets there be any. Without root, the tests' own user is the only one.
fn jails() -> Vec<Jail> {
    let root = Jail::Root(Store::new(), support::scratch());
    let jails = [Some(root), Home::of(User::Mapped).map(Jail::User)];
    let jails: Vec<Jail> = jails.into_iter().flatten().collect();
    for jail in &jails {
        for name in ["attack", "loader"] {
            fs::copy(program(name), jail.put(&format!("context/{name}"), "")).unwrap();
        }
        fs::copy(repository("tests/conformance/busybox.oci.tar"), jail.put("busybox.tar", "")).unwrap();
        jail.run(&["load", "-q", "-i", "busybox.tar"]);
    }
    jails
}

/// A program that attacks, by its name, from its source beside this file.
fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let compile = || {
        let folder = tempfile::tempdir().unwrap();
        for (name, flags) in [("attack", "-Werror"), ("loader", "-nostdlib")] {
            let source = repository(&format!("tests/it/escape/{name}.c"));
            let mut compiler = Command::new("cc");
            compiler.args(["-static", "-O1", "-fno-stack-protector", "-Wall", flags, "-o"]);
            run(compiler.arg(folder.path().join(name)).arg(source));
        }
        folder
    };
    FOLDER.get_or_init(compile).path().join(name)
}

impl Jail {
    /// The builder's folder.
    fn path(&self) -> &Path {
        match self {
            Self::Root(_, folder) => folder.path(),
            Self::User(home) => home.path(),
        }
    }

    /// Where the builder's store is.
    fn store(&self) -> PathBuf {
        match self {
            Self::Root(store, _) => store.path().to_owned(),
            Self::User(home) => home.path().join(".local/share/imgbuild"),
        }
    }

    fn is_root(&self) -> bool {
        matches!(self, Self::Root(..))
    }

    /// Makes a file in the folder.
    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = put(self.path(), name, content);
        // With the folders above that were made for it.
        let top = name.split('/').next().unwrap_or_default();
        self.give(&self.path().join(top));
        path
    }

    /// Gives the builder a file, or a folder with all that is in it.
    fn give(&self, path: &Path) {
        if let Self::User(home) = self {
            home.give(path);
        }
    }

    /// The program as this builder.
    fn command(&self) -> Command {
        match self {
            Self::Root(store, folder) => {
                let mut command = store.command();
                command.current_dir(folder.path());
                command
            }
            Self::User(home) => home.command(),
        }
    }

    /// The program from another file.
    fn command_of(&self, program: &Path) -> Command {
        match self {
            Self::Root(store, folder) => {
                let mut command = Command::new(program);
                command.current_dir(folder.path()).arg("--root").arg(store.path());
                command
            }
            Self::User(home) => home.command_of(program),
        }
    }

    /// Any other program as this builder.
    fn command_of_any(&self, program: &Path) -> Command {
        match self {
            Self::Root(..) => {
                let mut command = Command::new(program);
                command.current_dir(self.path());
                command
            }
            Self::User(home) => home.command_of(program),
        }
    }

    fn run(&self, words: &[&str]) -> String {
        support::text(&run(self.command().args(words)).stdout)
    }

    /// Builds a Dockerfile; the exit code and what was said.
    fn build(&self, dockerfile: &str, arguments: &[&str]) -> (i32, String) {
        self.put("context/Dockerfile", dockerfile);
        let mut command = self.command();
        let (code, _, said) =
            outcome(command.args(["build", "--no-lock", "--progress", "plain"]).args(arguments).arg("context"));
        (code, said)
    }

    /// Runs a script as a step with these words after `RUN`, which must succeed; what it printed.
    #[track_caller]
    fn step(&self, options: &str, script: &str, arguments: &[&str]) -> String {
        self.put("context/script", script);
        let dockerfile = format!(
            "FROM busybox AS jail\nCOPY --chmod=755 attack script /\nRUN {options} sh /script > /report 2>&1; true\n\
             FROM scratch\nCOPY --from=jail /report /\n"
        );
        let mut all = vec!["-o", "out"];
        all.extend(arguments);
        let (code, said) = self.build(&dockerfile, &all);
        assert_eq!(code, 0, "{} {said}", self.name());
        fs::read_to_string(self.path().join("out/report")).unwrap()
    }

    /// Runs a script as a step and compares what it prints.
    #[track_caller]
    fn check(&self, options: &str, script: &str, expected: &str) {
        assert_eq!(self.step(options, script, &[]), expected, "{}", self.name());
    }

    fn name(&self) -> &'static str {
        if self.is_root() { "as root" } else { "without root" }
    }
}

/// A folder outside of all builds that everybody could write to, and whether something came of that.
struct Canary(TempDir);

impl Canary {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let file = put(folder.path(), "file", "untouched");
        fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
        Self(folder)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    #[track_caller]
    fn check(&self) {
        let names: Vec<_> = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["file"]);
        assert_eq!(fs::read_to_string(self.0.path().join("file")).unwrap(), "untouched");
    }
}
