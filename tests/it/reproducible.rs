//! Steps with scrubs, run on two days: every stage comes to the same digest.
//!
//! The second day is made by libfaketime, which the loader of the sandbox is told to preload by a file in a layer below
//! all others: it is in no key and reaches no layer. All programs that are linked dynamically see a clock that is
//! [`AHEAD`]; what the kernel stamps on files, and what static programs see, is the machine's own clock, minutes later.
//! Both builds take packages from the same mirror; that it did not change in between is checked first.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use imgbuild::compress::Compression;
use imgbuild::event::{Silent, Stream};
use imgbuild::fstree::Scrub;
use imgbuild::fstree::scrub::RECOMMENDED;
use imgbuild::ops::build::{
    Destination, Dockerfile, Folder, LockMode, LockPlace, Output, OutputKind, Session, Target, build,
};
use imgbuild::registry::{self, Registries};
use imgbuild::sandbox::{Cancel, Executor, Exit, Namespaces, SandboxError, Spec};
use imgbuild::source::{Sources, git, http};
use tempfile::TempDir;

use crate::debian::{differing, files_of, store_with_debian};
use crate::support::{Store, outcome, proxies, put, repository, run, scratch, text};

/// How far the clock of the second day is ahead.
const AHEAD: Duration = Duration::from_secs(40 * 24 * 60 * 60);

/// Where the layer of the second day has its files.
const PLACE: &str = "another-day";

/// Runs steps on another day.
struct AnotherDay {
    inner: Namespaces,
    layer: TempDir,
}

impl AnotherDay {
    fn new() -> Self {
        let layer = scratch();
        let library = fs::read(library()).unwrap();
        put(layer.path(), &format!("{PLACE}/libfaketime.so.1"), library);
        put(layer.path(), "etc/ld.so.preload", format!("/{PLACE}/libfaketime.so.1\n"));
        // For programs that are started without an environment.
        put(layer.path(), "etc/faketimerc", ahead());
        // Lists of packages are signed for some days only.
        put(layer.path(), &format!("{PLACE}/apt.conf"), "Acquire::Check-Valid-Until \"false\";\n");
        for folder in ["", "etc", PLACE] {
            fs::set_permissions(layer.path().join(folder), PermissionsExt::from_mode(0o755)).unwrap();
        }
        Self { inner: executor(), layer }
    }
}

impl Executor for AnotherDay {
    fn run(&self, spec: &Spec, output: &mut dyn FnMut(Stream, &[u8]), cancel: &Cancel) -> Result<Exit, SandboxError> {
        let mut spec = spec.clone();
        spec.lower.push(self.layer.path().into());
        let variables = [
            ("APT_CONFIG", format!("/{PLACE}/apt.conf")),
            ("FAKETIME", ahead()),
            // Times of files are those that the kernel has, and waiting takes as long as ever.
            ("NO_FAKE_STAT", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ];
        spec.env.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        let started = SystemTime::now();
        let exit = self.inner.run(&spec, output, cancel);
        put_back(&spec.upper, started + AHEAD, SystemTime::now() + AHEAD);
        exit
    }
}

/// Some programs read the clock and give that time to a file. To the builder, whose clock is not ahead, that would be
/// data, so it is what it would have been.
fn put_back(path: &Path, from: SystemTime, to: SystemTime) {
    let facts = fs::symlink_metadata(path).unwrap();
    if facts.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            put_back(&entry.unwrap().path(), from, to);
        }
    }
    // Stamps may be cut to seconds.
    let modified = facts.modified().unwrap();
    if (facts.is_dir() || facts.is_file()) && (from - Duration::from_secs(1)..=to).contains(&modified) {
        File::open(path).unwrap().set_modified(modified - AHEAD).unwrap();
    }
}

/// The same as libfaketime wants it.
fn ahead() -> String {
    format!("+{}", AHEAD.as_secs())
}

fn executor() -> Namespaces {
    Namespaces::with_init(Path::new(env!("CARGO_BIN_EXE_imgbuild"))).unwrap()
}

/// The library of Debian's package libfaketime.
fn library() -> PathBuf {
    let listed = text(&run(Command::new("dpkg").args(["-L", "libfaketime"])).stdout);
    listed.lines().find(|line| line.ends_with("/libfaketime.so.1")).expect("libfaketime has its library").into()
}

/// A day: a store that was empty, and a clock.
struct Day {
    store: Store,
    executor: Box<dyn Executor>,
}

fn two_days() -> [Day; 2] {
    let executors: [Box<dyn Executor>; 2] = [Box::new(executor()), Box::new(AnotherDay::new())];
    executors.map(|executor| Day { store: store_with_debian(), executor })
}

impl Day {
    /// Builds a stage; the digest of its image.
    fn build(&self, context: &Path, stage: Option<&str>, scrubs: &[&str], kind: OutputKind) -> Option<String> {
        let mut target = Target::new(Dockerfile::File(context.join("Dockerfile")));
        target.context = Some(Folder { name: "context".into(), path: context.into() });
        target.stage = stage.map(str::to_owned);
        target.scrubs = scrubs.iter().flat_map(|name| Scrub::named(name).unwrap()).collect();
        target.outputs = vec![Output { kind, compression: Compression::None }];
        let proxies =
            proxies().into_iter().filter_map(|argument| argument.split_once('=').map(|(n, v)| (n.into(), v.into())));
        target.args.extend(proxies.collect::<Vec<(String, String)>>());
        let sources = Sources::new(
            http::Settings::default(),
            git::Settings {
                path: std::env::var_os("PATH").unwrap_or_default(),
                proxies: http::Proxies::default(),
                ca_file: None,
                ca_folder: None,
            },
        );
        let session = Session {
            store: Arc::new(imgbuild::store::Store::open(self.store.path()).unwrap()),
            executor: self.executor.as_ref(),
            reporter: &Silent,
            cancel: &Cancel::new().unwrap(),
            jobs: 4,
            resolv_conf: fs::read("/etc/resolv.conf").unwrap_or_default(),
            sources: &sources,
            registries: Arc::new(Registries::new(registry::Settings::default(), Box::new(registry::NoCredentials))),
            command: &[],
            policies: &[],
        };
        let built = build(&session, &[target], &LockPlace::None, LockMode::default());
        let built = built.unwrap_or_else(|error| panic!("{}: {error:?}", context.display()));
        built[0].image.as_ref().map(|image| image.digest.to_string())
    }

    fn digest(&self, context: &Path, stage: Option<&str>, scrubs: &[&str]) -> String {
        self.build(context, stage, scrubs, OutputKind::Store(Vec::new())).unwrap()
    }
}

/// Builds stages on both days; where they differ, the message says in which files.
fn check(days: &[Day; 2], context: &Path, stages: &[Option<&str>], scrubs: &[&str]) {
    let mut found = Vec::new();
    for &stage in stages {
        let [first, second] = days.each_ref().map(|day| day.digest(context, stage, scrubs));
        if first == second {
            continue;
        }
        let work = scratch();
        let trees = [0, 1].map(|day: usize| {
            let tree = work.path().join(format!("{day}.tar"));
            days[day].build(context, stage, scrubs, OutputKind::Tar(Destination::File(tree.clone())));
            files_of(&tree)
        });
        let status = "var/lib/dpkg/status";
        assert!(trees[0].get(status) == trees[1].get(status), "the mirror changed between two builds: run this again");
        found.push(format!("stage {stage:?}: {first} and {second}: {:?}", differing(&trees[0], &trees[1])));
    }
    assert!(found.is_empty(), "{} differs on another day:\n{}", context.display(), found.join("\n"));
}

#[test]
fn all_front_ends_scrub_alike_and_a_later_step_sees_it() {
    let work = scratch();
    let steps = [
        "mkdir -p /var/log /var/cache/ldconfig && date +%s%N > /var/log/dpkg.log && cp /var/log/dpkg.log /var/cache/ldconfig/aux-cache",
        "[ -e /var/log/dpkg.log ] && [ ! -s /var/log/dpkg.log ] && [ ! -e /var/cache/ldconfig/aux-cache ]",
    ];
    let text = format!("FROM busybox\nRUN {}\nRUN {}\n", steps[0], steps[1]);
    put(work.path(), "Dockerfile", &text);
    put(work.path(), "commented.Dockerfile", format!("# imgbuild scrub=ldconfig,apt\n{text}"));
    let image = steps.into_iter().fold(imgbuild::dsl::Image::from("busybox"), |image, step| image.run(step));
    let target = imgbuild::dsl::Target::new("default", &image).scrub(["apt", "ldconfig"]);
    put(work.path(), "build.toml", imgbuild::dsl::Project::new().target(target).to_toml().unwrap());
    put(work.path(), "plain/build.toml", "[target.default]\ncontext = '..'\nreproducible.scrub = ['apt']\n");
    let store = Store::with_busybox();
    let first = store.build(work.path(), &["--scrub", "apt,ldconfig"]);
    assert_eq!(first.ran.len(), 2, "{first:?}");
    let commented = work.path().join("commented.Dockerfile");
    let others = [
        store.build(work.path(), &["-f", commented.to_str().unwrap()]),
        store.build(work.path(), &["-f", commented.to_str().unwrap(), "--scrub", "apt"]),
        store.bake(work.path(), &["default"]),
        store.bake(&work.path().join("plain"), &["--scrub", "ldconfig"]),
        store.bake(&work.path().join("plain"), &["--set", "*.reproducible.scrub+=ldconfig"]),
    ];
    for other in others {
        assert_eq!((other.executed, &other.digest), (0, &first.digest), "{other:?}");
    }
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let mut command = store.command();
        command.arg("build").args(arguments).arg(work.path());
        let (found, _, message) = outcome(&mut command);
        assert!(found == code && message.contains(expected), "{arguments:?}: {found}\n{message}");
    };
    // The second step fails unless both are scrubbed; a name that is none is a mistake.
    refused(&["--scrub", "apt"], 1, "[ -e /var/log/dpkg.log ]");
    refused(&[], 1, "[ -e /var/log/dpkg.log ]");
    refused(&["--scrub", "ldconfg"], 2, "'ldconfig'");
    put(work.path(), "Dockerfile", format!("# imgbuild scrub=atp\n{text}"));
    refused(&[], 1, "did you mean `apt`?");
}

#[test]
fn every_stage_of_the_debian_example_is_the_same_on_another_day() {
    let days = two_days();
    let context = repository("examples/debian");
    // A comment in it says what is scrubbed.
    check(&days, &context, &[Some("build"), None], &[]);
}

#[test]
fn users_and_python_and_what_else_writes_down_times_are_the_same_on_another_day() {
    let work = scratch();
    put(work.path(), "pkg/setup.py", "from setuptools import setup\nsetup(name='a', version='1', packages=['a'])\n");
    put(work.path(), "pkg/a/__init__.py", "NAMES = {'a', 'b', 'c'}\n\n\ndef f(x):\n    return x in {'a', 'b', 'c'}\n");
    put(
        work.path(),
        "Dockerfile",
        "\
FROM debian:bookworm AS day
RUN date +%F > /day

FROM debian:bookworm AS user
RUN useradd alice

FROM debian:bookworm AS users
RUN apt-get update && apt-get install -y --no-install-recommends adduser dbus fontconfig fonts-dejavu-core man-db systemd wget
RUN adduser --disabled-password --gecos '' alice && useradd -m bob && useradd carol && usermod -aG alice bob
RUN fc-cache -f && dbus-uuidgen --ensure && systemd-machine-id-setup && mandb
RUN HISTFILE=/root/.bash_history HISTTIMEFORMAT=%s bash -ic 'history -s true; history -w'

FROM debian:bookworm AS python
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip
COPY pkg /pkg
RUN pip install --break-system-packages --no-index --no-build-isolation /pkg
RUN mkdir /app && echo 'x = 1' > /app/one.py && python3 -m compileall -q /app && echo 'x = 2' > /app/two.py && python3 -m compileall -q /app
# What was compiled is still valid in a later step.
RUN python3 -v -c 'import sys; sys.path.insert(0, \"/app\"); import one, two, a' 2>&1 | grep -E 'matches .*/(one|two|a/__init__)\\.py' > /valid; cat /valid && [ $(wc -l < /valid) = 3 ]
# One that is changed later, to another text of the same length, is not: what it says now is what counts.
RUN sed -i 's/1/3/' /app/one.py
RUN cd /app && [ \"$(python3 -c 'import one; print(one.x)')\" = 3 ]
",
    );
    let days = two_days();
    check(&days, work.path(), &[Some("users"), Some("python")], &[RECOMMENDED, "apt-lists", "tmp"]);
    // It is another day, and the scrubs are what makes no difference of it.
    for (stage, scrubs) in [("day", &[RECOMMENDED][..]), ("user", &[])] {
        let [first, second] = days.each_ref().map(|day| day.digest(work.path(), Some(stage), scrubs));
        assert_ne!(first, second, "{stage}");
    }
}
