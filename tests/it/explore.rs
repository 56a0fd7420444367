//! `explore` and `diff` of images, and what all commands do when nobody reads what they write.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::containers::terminal::{self, Terminal};
use crate::failures::is_root;
use crate::support::{Store, outcome, put, run, scratch, text};

/// Three layers: a file of a million bytes, one of a hundred, and the first one gone with the second one changed.
fn image(store: &Store, folder: &Path, tag: &str, word: &str) {
    put(folder, "large", vec![b'x'; 1_000_000]);
    put(folder, "small", vec![b'y'; 100]);
    let script = format!("rm /data/large && chmod 600 /data/small && echo {word} >/data/new");
    put(folder, "Dockerfile", format!("FROM busybox\nCOPY large /data/\nCOPY small /data/\nRUN {script}\n"));
    store.run(&["build", "-q", "--no-lock", "-t", tag, folder.to_str().unwrap()]);
}

#[test]
fn figures_and_limits() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    image(&store, folder.path(), "app", "one");
    let explored: Value = serde_json::from_str(&store.run(&["explore", "--format", "json", "app"])).unwrap();
    let wasted: Vec<(&str, u64, u64, bool)> = explored["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            let number = |name: &str| file[name].as_u64().unwrap();
            (file["path"].as_str().unwrap(), number("wasted"), number("copies"), file["removed"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(wasted, [("/data/large", 1_000_000, 1, true), ("/data/small", 100, 2, false)]);
    assert_eq!(explored["wasted"], 1_000_100);
    let layers = explored["layers"].as_array().unwrap();
    assert_eq!((layers.len(), &layers[1]["wasted"], &layers[3]["removed"]), (4, &1_000_000.into(), &1.into()));
    let ci = |arguments: &[&str]| outcome(store.command().args(["explore", "--ci"]).args(arguments).arg("app"));
    let (code, out, err) = ci(&["--min-efficiency", "1%", "--max-wasted", "1m"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("1MB      1        deleted       /data/large"), "{out}");
    let (code, _, err) = ci(&["--min-efficiency", "0.999"]);
    assert!(code == 1 && err.contains("99.9% is the least"), "{err}");
    let (code, out, err) = ci(&["--min-efficiency", "0.01", "--max-wasted", "1000", "--format", "json"]);
    assert!(code == 1 && err.contains("1MB are wasted, and 1kB is the most") && out.starts_with('{'), "{err}");
    // The limits of the file count where no flag says otherwise.
    let config = put(folder.path(), "imgbuild.toml", "[explore]\nmin-efficiency = 0.01\nmax-wasted = '10'\n");
    let mut command = store.command();
    command.env("IMGBUILD_CONFIG", config).args(["explore", "--ci", "app"]);
    let (code, _, err) = outcome(&mut command);
    assert!(code == 1 && err.contains("10B is the most"), "{err}");
    assert_eq!(outcome(command.args(["--max-wasted", "1g"])).0, 0);
    // So does its store.
    let config = put(folder.path(), "imgbuild.toml", format!("[store]\nroot = {:?}\n", store.path()));
    let mut command = Command::new(store.command().get_program());
    command.env_clear().env("IMGBUILD_CONFIG", config).args(["images", "--format", "{{.Repository}}"]);
    let (code, out, err) = outcome(&mut command);
    assert_eq!((code, out.as_str()), (0, "app\nbusybox\n"), "{err}");
    let (code, _, err) = outcome(store.command().args(["explore", "app"]).stdin(Stdio::null()));
    assert!(code == 2 && err.contains("--ci"), "{err}");
}

#[test]
fn looks_into_archives_and_layouts() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    image(&store, folder.path(), "app", "one");
    let place = |name: &str| folder.path().join(name).display().to_string();
    store.run(&["save", "-o", &place("app.tar"), "app"]);
    store.run(&["copy", "store:app", &format!("oci:{}", place("layout"))]);
    let other = Store::new();
    for name in [format!("docker-archive:{}", place("app.tar")), format!("oci:{}", place("layout"))] {
        let explored: Value = serde_json::from_str(&other.run(&["explore", "--format", "json", &name])).unwrap();
        assert_eq!(explored["wasted"], 1_000_100, "{name}");
        store.run(&["diff", "--exit-code", "app", &name]);
    }
    assert_eq!(other.run(&["images", "-q"]), "", "looking lists nothing");
    let left = fs::read_dir(other.path().join("blobs/sha256")).unwrap().count();
    assert_eq!(left, 0, "and leaves nothing");
}

#[test]
fn images_are_compared() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    image(&store, folder.path(), "app:1", "one");
    image(&store, folder.path(), "app:2", "other");
    let words = ["diff", "--exit-code", "--ignore", "history,time", "app:1", "app:2"];
    let (code, out, err) = outcome(store.command().args(words));
    assert!(code == 1 && err.is_empty(), "{err}");
    assert!(out.contains("3 layers shared") && out.contains("\nC /data/new  content: 6 bytes, was 4\n"), "{out}");
    assert_eq!(outcome(store.command().args(["diff", "app:1", "app:2"])).0, 0, "without the flag it only tells");
    let found: Value = serde_json::from_str(&store.run(&["diff", "--format", "json", "busybox", "app:1"])).unwrap();
    let files: Vec<String> = found["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| format!("{} {}", file["change"].as_str().unwrap(), file["path"].as_str().unwrap()))
        .collect();
    assert_eq!(files, ["A /data", "A /data/new", "A /data/small"]);
    let (code, out, _) = outcome(store.command().args(["diff", "--exit-code", "app:1", "app:1"]));
    assert!(code == 0 && out.ends_with("These are the same image.\n"), "{out}");
    let (code, _, err) = outcome(store.command().args(["diff", "app:1"]));
    assert!(code == 2 && err.contains("is an image"), "{err}");
}

/// What is to be seen on a terminal, as far as `explore` writes to it: only cells that change.
struct Screen {
    terminal: Terminal,
    rows: Vec<Vec<char>>,
    at: (usize, usize),
    /// What has come and is not whole yet.
    rest: Vec<u8>,
    /// All that has come.
    seen: String,
}

impl Screen {
    fn new(terminal: Terminal) -> Self {
        Self { terminal, rows: vec![vec![' '; 200]; 60], at: (0, 0), rest: Vec::new(), seen: String::new() }
    }

    /// Reads until the screen has this in one of its rows, or all that came has it as a sequence.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        while !self.rows.iter().any(|row| row.iter().collect::<String>().contains(text)) && !self.seen.contains(text) {
            let bytes = self.terminal.reads();
            self.rest.extend(bytes);
            while self.step() {}
        }
    }

    /// Takes one character or sequence; false if none is whole.
    fn step(&mut self) -> bool {
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&self.rest[..error.valid_up_to()]).unwrap(),
        };
        let Some(first) = whole.chars().next() else { return false };
        let length = match first {
            '\x1b' => match whole[1..].find(|c: char| c.is_ascii_alphabetic()) {
                Some(end) => end + 2,
                None => return false,
            },
            first => first.len_utf8(),
        };
        let taken = whole[..length].to_owned();
        self.rest.drain(..length);
        self.seen += &taken;
        match (first, taken.chars().last()) {
            ('\x1b', Some('H')) => {
                let mut numbers = taken[2..taken.len() - 1].split(';').map(|number| number.parse().unwrap_or(1));
                self.at = (numbers.next().unwrap_or(1) - 1, numbers.next().unwrap_or(1) - 1);
            }
            ('\x1b', Some('J')) => self.rows.iter_mut().for_each(|row| row.fill(' ')),
            ('\x1b', _) => {}
            (character, _) => {
                let (row, column) = self.at;
                self.rows[row][column] = character;
                self.at.1 += 1;
            }
        }
        true
    }
}

/// Ends the program that has this store, and not `setsid` above it.
fn signal_explorer(store: &Path) {
    let is_it = |folder: &Path| {
        let words = fs::read(folder.join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
        !words[0].ends_with(b"setsid") && words.contains(&store.as_os_str().as_encoded_bytes())
    };
    let mut all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let found = all.find(|folder| is_it(folder)).expect("it runs");
    run(Command::new("kill").arg(found.file_name().unwrap()));
}

#[test]
fn a_terminal_is_explored_and_left_as_it_was() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    image(&store, folder.path(), "app", "one");
    // By a key, by Ctrl-C, and by a signal of somebody else.
    for (colours, end, code) in [(true, "q", 0), (false, "\x03", 130), (true, "", 130)] {
        let (terminal, inner) = terminal::open();
        terminal.resize(24, 80);
        let before = rustix::termios::tcgetattr(&inner).unwrap();
        let program = store.command();
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(program.get_program()).args(program.get_args());
        command.args(["explore", "app"]).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        if !colours {
            command.env("NO_COLOR", "1");
        }
        let stream = || Stdio::from(inner.try_clone().unwrap());
        let mut child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        let mut screen = Screen::new(terminal);
        screen.shows("Layer 1: changes");
        // The last layer, and of its files the one that it deleted.
        screen.terminal.types("\x1b[B\x1b[B\x1b[B");
        screen.shows("Layer 4: changes");
        screen.terminal.types("/large\r");
        screen.shows("/data/large: 1MB in 2, deleted in 4");
        // All is drawn again at another size: the rule above the files ends further to the right.
        screen.terminal.resize(30, 100);
        screen.shows(&format!("changes◀{}", "─".repeat(30)));
        screen.shows("/data/large: 1MB in 2, deleted in 4");
        match end {
            "" => signal_explorer(store.path()),
            end => screen.terminal.types(end),
        }
        screen.shows("\x1b[?1049l");
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(screen.seen.contains("\x1b[38;5;"), colours, "{:?}", screen.seen);
        let after = rustix::termios::tcgetattr(&inner).unwrap();
        assert_eq!((after.local_modes, after.input_modes), (before.local_modes, before.input_modes));
    }
}

#[test]
fn nobody_is_told_of_a_reader_that_has_gone() {
    if !is_root() {
        return;
    }
    let (store, folder) = (Store::with_busybox(), scratch());
    put(folder.path(), "Dockerfile", "FROM busybox\n");
    store.run(&["run", "--name", "box", "busybox", "true"]);
    for words in [
        "export box",
        "export busybox",
        "save -q busybox",
        "cp box:/bin -",
        "build --progress quiet --no-lock -o - .",
        "images --no-trunc",
        "completions bash",
        "man",
    ] {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        drop(reader);
        let mut command = store.command();
        command.args(words.split(' ')).current_dir(folder.path()).stdout(writer).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(141), ""), "{words}");
    }
}
