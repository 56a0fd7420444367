//! What goes wrong: bad input, a machine that lacks something, Ctrl-C, and a program that is killed.
//!
//! Each case wants a message with the file, the line or the value in question, the right exit code, and nothing left
//! behind: no process, no mount, no temporary file, and a store in which the next build succeeds.

mod cancel;
mod crash;
mod faults;
mod input;
mod machine;
mod many;
mod stores;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{repository, run, scratch, text};

/// A store with busybox, a build context, and a copy of the program whose processes can be told from all others.
pub struct World {
    folder: TempDir,
}

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl World {
    pub fn new() -> Self {
        let world = Self { folder: scratch() };
        // As a link, since it is large. Its path is its name in /proc.
        fs::hard_link(env!("CARGO_BIN_EXE_imgbuild"), world.program()).unwrap();
        fs::create_dir(world.context()).unwrap();
        run(world.command(&["load", "-q", "-i"]).arg(busybox()));
        world
    }

    /// A place for whatever a test needs.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn program(&self) -> PathBuf {
        self.path("imgbuild")
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub fn context(&self) -> PathBuf {
        self.path("context")
    }

    /// Writes a file of the context.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.context().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub fn dockerfile(&self, text: &str) -> &Self {
        self.file("Dockerfile", text)
    }

    /// The program with this store, beside the context.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(self.program());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(self.folder.path()).arg("--root").arg(self.store()).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// `build` of the context.
    pub fn build_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["build"]);
        command.args(arguments).arg("context");
        command
    }

    pub fn build(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.build_command(arguments))
    }

    /// A build that must fail in this way, with all these words, and leave nothing behind.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
        self.build(arguments).failed(code, words);
        self.is_clean();
    }

    /// The digest of a build that must succeed.
    #[track_caller]
    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let built = self.build(&[&["--progress", "json"], arguments].concat());
        assert_eq!(built.code, 0, "{}", built.err);
        let last = built.err.lines().rfind(|line| line.contains(r#""event":"summary""#)).unwrap();
        let summary: serde_json::Value = serde_json::from_str(last).unwrap();
        summary["images"][0]["digest"].as_str().unwrap_or_default().to_owned()
    }

    /// Nothing of a build is left: no process, mount or temporary file; and the store can be listed.
    #[track_caller]
    pub fn is_clean(&self) {
        self.is_quiet();
        let left: Vec<String> = names(&self.store().join("tmp")).into_iter().filter(|name| name != "locks").collect();
        assert!(left.is_empty(), "left in tmp: {left:?}");
        assert!(names(&self.store().join("tmp/locks")).is_empty());
        for folder in [self.folder.path(), &self.context(), &self.store()] {
            let stray: Vec<String> = names(folder)
                .into_iter()
                .filter(|name| name.ends_with(".part") || name.ends_with(".new") || name.starts_with("core"))
                .collect();
            assert!(stray.is_empty(), "left in {}: {stray:?}", folder.display());
        }
        let listed = ended(&mut self.command(&["images"]));
        assert_eq!(listed.code, 0, "{}", listed.err);
        assert!(listed.out.contains("busybox"), "{}", listed.out);
    }

    /// Waits until no process of a build is left; then there is no mount either.
    #[track_caller]
    pub fn is_quiet(&self) {
        while !self.processes().is_empty() {
            pause();
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.folder.path().display().to_string();
        assert!(!mounts.contains(&own), "{mounts}");
    }

    /// The processes that run the program, and those that it runs in a sandbox if they have the [mark](Self::mark).
    pub fn processes(&self) -> Vec<String> {
        let program = self.program();
        let marked = format!("WORLD={}", self.mark()).into_bytes();
        let mut found = Vec::new();
        for name in names(Path::new("/proc")) {
            let process = Path::new("/proc").join(&name);
            let ours = fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program);
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            if ours || environment.split(|&byte| byte == 0).any(|variable| variable == marked) {
                found.push(name);
            }
        }
        found
    }

    /// What tells this world's processes from all others: `ENV WORLD=…` puts it in a Dockerfile.
    pub fn mark(&self) -> String {
        self.folder.path().file_name().unwrap().to_string_lossy().into_owned()
    }

    /// Starts a build whose standard error can be read.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.build_command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

impl Ended {
    /// It failed with this code, and said all this.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// Reads what a build says until one of its commands says `ready`, on a line of its own.
pub fn wait_for_ready(child: &mut Child) -> BufReader<ChildStderr> {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.lines().any(|line| line.ends_with(" ready")) {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended early: {said}");
    }
    lines
}

/// Between two looks at whether something happened.
pub fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

/// Runs a command to its end.
pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let code = output.status.code().unwrap_or_else(|| panic!("{command:?}: {}", output.status));
    Ended { code, out: text(&output.stdout), err: text(&output.stderr) }
}

pub fn busybox() -> PathBuf {
    repository("tests/conformance/busybox.oci.tar")
}

/// The names in a folder, in order; none if it is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Whether sandboxes can run here; says so if not.
#[must_use]
pub fn is_root() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}
