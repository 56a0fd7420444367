//! The ways by which an archive of somebody else comes in, and what must be so behind each of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use imgbuild::digest::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::tar::{Tar, packed};
use crate::support::{put, repository, scratch, text};
use crate::users::{Home, User};

/// What is to come of an archive.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A file system of just these: see [`listed`].
    Holds(Vec<String>),
    /// An error that has all of these words in it.
    Refused(&'static [&'static str]),
    /// One or the other.
    Any,
}

/// A file system of just these files.
pub fn holds(files: &[&str]) -> Outcome {
    Outcome::Holds(files.iter().map(|&file| file.to_owned()).collect())
}

/// An archive, and what is to come of it.
pub struct Case {
    pub what: String,
    /// A layer below, if the case needs one.
    pub lower: Option<Vec<u8>>,
    pub tar: Vec<u8>,
    /// As a layer of an image.
    pub layer: Outcome,
    /// As any other archive.
    pub archive: Outcome,
}

impl Case {
    /// The same is to come of it everywhere.
    pub fn new(what: &str, tar: Tar, outcome: Outcome) -> Self {
        Self { what: what.into(), lower: None, tar: tar.end(), layer: outcome.clone(), archive: outcome }
    }

    /// As an archive that is no layer, something else is to come of it.
    pub fn but(self, archive: Outcome) -> Self {
        Self { archive, ..self }
    }

    pub fn above(self, lower: Tar) -> Self {
        Self { lower: Some(lower.end()), ..self }
    }
}

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A layer in an archive of Docker, by `load`.
    Docker,
    /// A compressed layer in an archive of an OCI layout, by `load`.
    Oci,
    /// A compressed layer of a base image that is a folder.
    Layout,
    Import,
    Add,
    /// A context from standard input.
    Context,
}

impl Door {
    const ALL: [Self; 6] = [Self::Docker, Self::Oci, Self::Layout, Self::Import, Self::Add, Self::Context];

    /// Whether something can come in on top of something else.
    fn takes_lower(self) -> bool {
        !matches!(self, Self::Import | Self::Context)
    }

    fn is_for_layers(self) -> bool {
        !matches!(self, Self::Add | Self::Context)
    }
}

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

/// Whose a world is.
enum Ground {
    /// The tests' own user's.
    Own(TempDir),
    /// A user's who is not root.
    User(Home),
}

/// A store, files around it that nobody may touch, and a place for archives.
pub struct World {
    ground: Ground,
    before: BTreeMap<PathBuf, String>,
}

impl World {
    /// One of the tests' own user, who is root where all is tested.
    pub fn new() -> Self {
        Self::on(Ground::Own(scratch()))
    }

    /// One of each user: that one, and one who is not root, as far as this machine lets there be any.
    pub fn each() -> Vec<Self> {
        let user = Home::of(User::Mapped).map(Ground::User);
        [Some(Ground::Own(scratch())), user].into_iter().flatten().map(Self::on).collect()
    }

    fn on(ground: Ground) -> Self {
        let mut world = Self { ground, before: BTreeMap::new() };
        for name in ["canary/file", "canary/deep/er/file", "work/here/file"] {
            put(world.folder(), name, "sings");
        }
        if let Ground::User(home) = &world.ground {
            home.give(&world.folder().join("work"));
            // Nothing but the builder itself keeps this user from these.
            for (name, mode) in
                [("file", 0o666), ("deep/er/file", 0o666), ("deep/er", 0o777), ("deep", 0o777), ("", 0o777)]
            {
                let path = world.folder().join("canary").join(name);
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        world.before = tree(world.folder());
        let busybox = fs::read(repository("tests/conformance/busybox.oci.tar")).unwrap();
        assert_eq!(world.run(&["load", "-q"], &busybox).code, 0);
        world
    }

    fn folder(&self) -> &Path {
        match &self.ground {
            Ground::Own(folder) => folder.path(),
            Ground::User(home) => home.path(),
        }
    }

    /// Whose it is, for people.
    pub fn name(&self) -> &'static str {
        match self.ground {
            Ground::Own(_) => "as the tests' own user",
            Ground::User(_) => "as a user without root",
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join("work").join(name)
    }

    /// Gives the user what the test has made.
    pub fn give(&self, path: &Path) {
        if let Ground::User(home) = &self.ground {
            home.give(path);
        }
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// The program, from a folder beside the store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.ground {
            Ground::Own(_) => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_imgbuild"));
                command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
                command
            }
            Ground::User(home) => home.command(),
        };
        command.current_dir(self.path("here")).arg("--root").arg(self.store()).args(arguments);
        command
    }

    /// Runs it with this on standard input. However it ends, it is by itself and with words.
    #[track_caller]
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // Whoever refuses something need not read all of it.
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output().unwrap()
        });
        let err = text(&output.stderr);
        let code = output.status.code().unwrap_or_else(|| panic!("{arguments:?}: {}\n{err}", output.status));
        let ended = Ended { code, out: output.stdout, err };
        ended.is_orderly();
        ended
    }

    /// Passes a case through the doors that are for it; how many there were. What is not as expected is added to `wrong`.
    pub fn pass(&self, number: usize, case: &Case, wrong: &mut Vec<String>) -> usize {
        let doors = self.doors(number, case);
        for &door in &doors {
            let told = format!("{} through {door:?}, {}", case.what, self.name());
            let (outcome, expected) = self.enter(case, door);
            let expected = match (expected, &self.ground, door) {
                // A context is unpacked, and no user namespace may make devices.
                (Outcome::Holds(files), Ground::User(_), Door::Context) => {
                    let is_device = |file: &&String| file.contains(" c ") || file.contains(" b ");
                    Outcome::Holds(files.iter().filter(|file| !is_device(file)).cloned().collect())
                }
                (expected, ..) => expected.clone(),
            };
            wrong.extend(judge(outcome, &expected).map(|judged| format!("{told}: {judged}")));
            self.is_untouched(&told);
        }
        doors.len()
    }

    /// All doors into which a case fits. Without root everything takes longer, and what happens behind them is mostly the same;
    /// so there each case has one as a layer and one as another archive, in turn.
    fn doors(&self, number: usize, case: &Case) -> Vec<Door> {
        let all = Door::ALL.into_iter().filter(|door| case.lower.is_none() || door.takes_lower());
        match self.ground {
            Ground::Own(_) => all.collect(),
            Ground::User(_) => {
                let (layers, others): (Vec<Door>, Vec<Door>) = all.partition(|door| door.is_for_layers());
                vec![layers[number % layers.len()], others[number % others.len()]]
            }
        }
    }

    /// What comes of a case behind a door, and what should.
    fn enter<'c>(&self, case: &'c Case, door: Door) -> (Result<Vec<String>, Ended>, &'c Outcome) {
        let bytes = case.tar.as_slice();
        let lower: Vec<&[u8]> = case.lower.as_deref().into_iter().collect();
        let layers: Vec<&[u8]> = lower.iter().copied().chain([bytes]).collect();
        let from = |base: &str| format!("FROM {base}\n");
        match door {
            Door::Docker => (self.unpack_and_run(&docker_archive(&layers)), &case.layer),
            Door::Oci => (self.load_and_build(&Layout::new(&layers, "gzip").archive()), &case.layer),
            Door::Layout => {
                let folder = self.path("layout");
                let _ = fs::remove_dir_all(&folder);
                Layout::new(&layers, "zstd").write(&folder);
                let base = format!("base=oci-layout://{}", folder.display());
                (self.build(&from("base"), &["--build-context", &base]), &case.layer)
            }
            Door::Import => {
                let imported = self.run(&["import", "-", "evil"], bytes);
                let built = if imported.code == 0 { self.build(&from("evil"), &[]) } else { Err(imported) };
                (built, &case.layer)
            }
            Door::Add => {
                let base = if lower.is_empty() {
                    "scratch"
                } else {
                    assert_eq!(self.run(&["load", "-q"], &docker_archive(&lower)).code, 0);
                    "evil"
                };
                let context = self.path("context");
                // The archive's own bytes decide what it is, not its name.
                let packers = ["", "gzip", "zstd", "xz", "bzip2"];
                let packer = packers[case.what.len() % packers.len()];
                put(&context, "archive", packed(packer, bytes));
                let dockerfile = format!("FROM {base}\nADD archive /\n");
                let arguments = ["build", "-q", "--no-lock", "-o", "type=tar,dest=-", "-f", "-", "../context"];
                (self.written(&arguments, dockerfile.as_bytes()), &case.archive)
            }
            Door::Context => {
                let dockerfile = Tar::new().file("Dockerfile", "FROM scratch\nCOPY . /\nWORKDIR /\n");
                let context = [dockerfile.0.as_slice(), bytes].concat();
                (self.written(&["build", "-q", "-o", "type=tar,dest=-", "-"], &context), &case.archive)
            }
        }
    }

    fn load_and_build(&self, archive: &[u8]) -> Result<Vec<String>, Ended> {
        let loaded = self.run(&["load", "-q"], archive);
        if loaded.code == 0 { self.build("FROM evil\n", &[]) } else { Err(loaded) }
    }

    /// All of it on disks, and a process in it.
    fn unpack_and_run(&self, archive: &[u8]) -> Result<Vec<String>, Ended> {
        let out = self.path("out");
        let _ = fs::remove_dir_all(&out);
        let local = format!("type=local,dest={}", out.display());
        let loaded = self.run(&["load", "-q"], archive);
        if loaded.code != 0 {
            return Err(loaded);
        }
        let built = self.build("FROM evil\n", &["-o", &local])?;
        if is_root() || matches!(self.ground, Ground::User(_)) {
            let run = "FROM evil\nRUN --mount=type=bind,from=busybox,target=/.b [\"/.b/bin/busybox\", \"true\"]\n";
            let ran = self.run(&["build", "-q", "-"], run.as_bytes());
            if ran.code != 0 {
                return Err(ran);
            }
        }
        Ok(built)
    }

    /// What a build of this Dockerfile holds.
    pub fn build(&self, dockerfile: &str, arguments: &[&str]) -> Result<Vec<String>, Ended> {
        let all = [&["build", "-q", "-o", "type=tar,dest=-"], arguments, &["-"]].concat();
        self.written(&all, dockerfile.as_bytes())
    }

    fn written(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<String>, Ended> {
        let ended = self.run(arguments, input);
        if ended.code == 0 { Ok(listed(&ended.out)) } else { Err(ended) }
    }

    /// Nothing around the store was made or changed.
    #[track_caller]
    pub fn is_untouched(&self, told: &str) {
        let ours = ["store", "out", "context", "layout"].map(|name| self.path(name));
        let mut now = tree(self.folder());
        now.retain(|path, _| !ours.iter().any(|folder| path.starts_with(folder)));
        assert_eq!(now, self.before, "{told}");
        for folder in ["/", "/etc", "/tmp", "/root"] {
            let names = crate::failures::names(folder.as_ref());
            let escaped: Vec<&String> = names.iter().filter(|name| name.contains("escaped")).collect();
            assert!(escaped.is_empty(), "{told}: {escaped:?} in {folder}");
        }
    }

    /// The store is whole, and nothing is left of what came in.
    #[track_caller]
    pub fn is_sound(&self) {
        let checked = self.run(&["fsck", "--deep"], b"");
        assert_eq!(checked.code, 0, "{}{}", text(&checked.out), checked.err);
        let left = crate::failures::names(&self.store().join("tmp"));
        assert_eq!(left, ["locks"]);
    }
}

/// What is not as expected.
fn judge(outcome: Result<Vec<String>, Ended>, expected: &Outcome) -> Option<String> {
    match (expected, outcome) {
        (Outcome::Holds(files), Ok(found)) => {
            let mut files = files.clone();
            files.sort();
            (found != files).then(|| format!("it holds {found:?} and not {files:?}"))
        }
        (Outcome::Refused(words), Err(ended)) => {
            let missing: Vec<&&str> = words.iter().filter(|word| !ended.err.contains(**word)).collect();
            (!missing.is_empty()).then(|| format!("{missing:?} is not in {}", ended.err))
        }
        (Outcome::Any, _) => None,
        (Outcome::Holds(_), Err(ended)) => Some(format!("it is refused: {}", ended.err)),
        (Outcome::Refused(_), Ok(found)) => Some(format!("it is not refused, and holds {found:?}")),
    }
}

impl Ended {
    #[track_caller]
    pub fn is_orderly(&self) {
        assert!((0..=3).contains(&self.code), "{}: {}", self.code, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        assert!(self.code == 0 || self.err.contains("error: "), "{}", self.err);
        let harmless = |character: char| character == '\n' || !character.is_control();
        assert!(self.err.chars().all(harmless), "{:?}", self.err);
        assert!(self.err.len() < 64 << 10, "{} bytes of words", self.err.len());
    }
}

/// An image with these layers, as an OCI layout.
pub struct Layout {
    /// The files below `blobs/sha256`, and beside it.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Layout {
    pub fn new(layers: &[&[u8]], packer: &str) -> Self {
        let mut layout = Self { files: BTreeMap::new() };
        let plus = if packer.is_empty() { "" } else { "+" };
        let kind = format!("application/vnd.oci.image.layer.v1.tar{plus}{packer}");
        let blobs: Vec<Value> = layers.iter().map(|layer| layout.blob(&kind, packed(packer, layer))).collect();
        layout.image(&config(layers), &blobs);
        layout
    }

    /// Adds a blob; its descriptor.
    pub fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let descriptor = json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() });
        self.files.insert(format!("blobs/sha256/{}", digest.hex()), bytes);
        descriptor
    }

    /// Adds an image that is called `evil`, and lists it.
    pub fn image(&mut self, config: &Value, layers: &[Value]) {
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": layers,
        });
        let entry = self.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into_bytes());
        self.list(entry);
    }

    /// Makes this the one entry of the index, called `evil`.
    pub fn list(&mut self, mut entry: Value) {
        let name = "docker.io/library/evil:latest";
        entry["annotations"] =
            json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "latest" });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        self.files.insert("index.json".into(), index.to_string().into_bytes());
        self.files.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    }

    pub fn archive(&self) -> Vec<u8> {
        self.files.iter().fold(Tar::new(), |tar, (name, bytes)| tar.file(name, bytes)).end()
    }

    pub fn write(&self, folder: &Path) {
        for (name, bytes) in &self.files {
            put(folder, name, bytes);
        }
    }
}

/// The configuration of an image with these layers.
pub fn config(layers: &[&[u8]]) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } })
}

/// An archive as `docker save` writes it, of an image called `evil`.
pub fn docker_archive(layers: &[&[u8]]) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": ["evil:latest"], "Layers": names }]);
    let tar = Tar::new().file("config.json", config(layers).to_string()).file("manifest.json", manifest.to_string());
    layers.iter().zip(&names).fold(tar, |tar, (layer, name)| tar.file(name, layer)).end()
}

/// What a tar holds, in order of names: `d/`, `f 3` with its size, `l -> target`, `h = f`, `c 1:3`, `p |`. Without the root and
/// the Dockerfile of a context.
fn listed(tar: &[u8]) -> Vec<String> {
    let mut archive = ::tar::Archive::new(tar);
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let name = text(&entry.path_bytes()).trim_matches('/').to_owned();
        let target = entry.link_name_bytes().map(|target| text(&target)).unwrap_or_default();
        let kind = entry.header().entry_type();
        let device = || {
            let [major, minor] = [entry.header().device_major(), entry.header().device_minor()];
            format!("{}:{}", major.unwrap().unwrap(), minor.unwrap().unwrap())
        };
        if ["", ".", "Dockerfile"].contains(&name.as_str()) {
            continue;
        }
        found.push(match kind {
            ::tar::EntryType::Directory => format!("{name}/"),
            ::tar::EntryType::Symlink => format!("{name} -> {target}"),
            ::tar::EntryType::Link => format!("{name} = {target}"),
            ::tar::EntryType::Fifo => format!("{name} |"),
            ::tar::EntryType::Char => format!("{name} c {}", device()),
            ::tar::EntryType::Block => format!("{name} b {}", device()),
            _ => format!("{name} {}", entry.size()),
        });
    }
    found.sort();
    found
}

/// Everything below a folder, with what it is and, of files, what is in it.
fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = match kind.is_file() {
                true => format!("{} {}", metadata.nlink(), text(&fs::read(&path).unwrap_or_default())),
                false => String::new(),
            };
            found.insert(path.clone(), format!("{:o} {} {content}", metadata.mode(), metadata.uid()));
            // What a store holds is looked at otherwise.
            if kind.is_dir() && !path.join("oci-layout").exists() {
                folders.push(path);
            }
        }
    }
    found
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
