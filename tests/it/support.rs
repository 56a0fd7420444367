//! What tests need to drive the real program and other people's: stores, commands with readable failures, builds as facts.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder on a real disk that is removed with everything in it. `/tmp` may be in memory, and overlayfs has its wishes.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A file or folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a command; returns what it printed. Panics with all its output if it fails, and with the package to install
/// if it is not there.
pub fn run(command: &mut Command) -> Output {
    let shown = format!("{command:?}");
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            panic!("{shown}: {error}; `sh tests/run.sh` as root installs what tests need")
        }
        Err(error) => panic!("{shown}: {error}"),
    };
    if !output.status.success() {
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        panic!("{shown}: {}\n--- standard output\n{out}\n--- standard error\n{err}", output.status);
    }
    output
}

/// The same, for a command as words.
pub fn sh(words: &[&str]) -> String {
    text(&run(Command::new(words[0]).args(&words[1..])).stdout)
}

/// Runs a command that may fail: its exit code, standard output and standard error.
pub fn outcome(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let code = output.status.code().unwrap_or_else(|| panic!("{command:?}: {}", output.status));
    (code, text(&output.stdout), text(&output.stderr))
}

/// Makes a file in a folder, and the folders above it.
pub fn put(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// Bytes as text, for people.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Changes a file, which must hold the old text exactly once.
pub fn edit(file: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(text.matches(old).count(), 1, "{old:?} in {}", file.display());
    fs::write(file, text.replace(old, new)).unwrap();
}

/// A store of its own for the program.
pub struct Store {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// What a build came to.
#[derive(Debug)]
pub struct Built {
    /// The manifest's digest.
    pub digest: String,
    /// The digests of all targets, by their names; empty for one that made no image.
    pub images: BTreeMap<String, String>,
    /// How many steps ran, by the program's own count.
    pub executed: u64,
    /// The names of the instructions that ran, in the order in which they ended.
    pub ran: Vec<String>,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self { folder: scratch(), variables: Vec::new() }
    }

    /// A store that has the image `busybox`.
    pub fn with_busybox() -> Self {
        let store = Self::new();
        store.run(&["load", "--quiet", "-i", repository("tests/conformance/busybox.oci.tar").to_str().unwrap()]);
        store
    }

    /// The same for a program whose environment says this, too.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The program with this store, and an environment that says nothing else than what was set.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgbuild"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("RUST_BACKTRACE", "1").arg("--root").arg(self.path());
        command
    }

    /// Runs the program; returns what it printed.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        text(&run(self.command().args(arguments)).stdout)
    }

    /// Builds, and reads from the events what happened.
    pub fn build<S: AsRef<OsStr>>(&self, context: &Path, arguments: &[S]) -> Built {
        let mut command = self.command();
        command.args(["build", "--progress", "json"]).args(arguments).args(proxies()).arg(context);
        Built::from_events(&text(&run(&mut command).stderr))
    }

    /// The same for targets of the build file in a folder.
    pub fn bake<S: AsRef<OsStr>>(&self, folder: &Path, arguments: &[S]) -> Built {
        let mut command = self.command();
        command.current_dir(folder).args(["bake", "--progress", "json"]).args(arguments);
        Built::from_events(&text(&run(&mut command).stderr))
    }
}

impl Built {
    fn from_events(stderr: &str) -> Self {
        let events: Vec<Value> = stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let of = |kind: &'static str| events.iter().filter(move |event| event["event"] == kind);
        let steps: Vec<&Value> = of("planned").flat_map(|event| event["steps"].as_array().unwrap()).collect();
        let name = |number: &Value| {
            steps.iter().find(|step| step["step"] == *number).unwrap()["name"].as_str().unwrap().to_owned()
        };
        let ended = of("step_finished").filter(|event| event["outcome"] == "done");
        let summary = of("summary").next_back().unwrap_or_else(|| panic!("no summary in {events:?}"));
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let images = summary["images"].as_array().unwrap();
        let images: BTreeMap<String, String> =
            images.iter().map(|image| (word(&image["target"]), word(&image["digest"]))).collect();
        Built {
            digest: word(&summary["images"][0]["digest"]),
            images,
            executed: summary["executed"].as_u64().unwrap(),
            ran: ended.map(|event| name(&event["step"])).filter(|name| is_instruction(name)).collect(),
        }
    }
}

/// Whether a step changes files; the others only bring contexts and images.
fn is_instruction(name: &str) -> bool {
    ["RUN ", "COPY ", "ADD ", "WORKDIR "].iter().any(|start| name.starts_with(start))
}

/// The proxy of this machine, if it has one, for steps that use the network.
pub fn proxies() -> Vec<String> {
    let names = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
    let set = names.iter().filter(|name| std::env::var_os(name).is_some());
    set.flat_map(|name| ["--build-arg".to_owned(), format!("{name}={}", std::env::var(name).unwrap())]).collect()
}
