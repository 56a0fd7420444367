//! Containers and the store around them, driven as a user does: `run`, `ps`, `diff`, `cp`, `commit`, `export`, `mount`, `prune`.

mod debug;
mod life;
mod prune;
pub mod terminal;
mod trips;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::failures::is_root;
use crate::support::{Store, outcome, put, run, scratch, text};

/// The kinds of changes and their paths, as `diff` prints them.
fn diff(store: &Store, name: &str) -> Vec<String> {
    store.run(&["diff", name]).lines().map(str::to_owned).collect()
}

/// Runs the program, which must fail with this code and these words.
#[track_caller]
fn fails(store: &Store, arguments: &[&str], code: i32, words: &[&str]) {
    let (actual, out, err) = outcome(store.command().args(arguments).stdin(Stdio::null()));
    assert_eq!(actual, code, "{arguments:?}: {out}{err}");
    for word in words {
        assert!(err.contains(word), "{arguments:?}: {word:?} is not in {err}");
    }
}

#[test]
fn exit_codes_are_those_of_docker() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let run = |words: &[&str], code: i32, message: &str| {
        fails(&store, &[&["run", "--rm"], words].concat(), code, &[message]);
    };
    run(&["busybox", "sh", "-c", "exit 7"], 7, "");
    run(&["busybox", "sh", "-c", "kill -9 $$; true"], 0, "");
    run(&["busybox", "no-such-program"], 127, "no such program");
    run(&["busybox", "/etc"], 126, "it is a directory");
    run(&["busybox", "/etc/passwd"], 126, "permission denied");
    run(&["nothere", "true"], 125, "there is no image");
    run(&["-w", "relative", "busybox", "true"], 125, "not absolute");
    run(&["-u", "nobody-knows", "busybox", "true"], 125, "unable to find user");
    run(&["-v", "/no/such/place:/x", "busybox", "true"], 125, "cannot mount");
    run(&["--name", "a/b", "busybox", "true"], 125, "no name for a container");
    assert_eq!(store.run(&["ps", "-aq"]), "", "--rm leaves nothing, however it ended");
    assert_eq!(
        fs::read_dir(store.path().join("containers")).unwrap().count(),
        1,
        "but the file that names are locked by"
    );
}

#[test]
fn the_caller_decides_what_is_seen() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let folder = scratch();
    put(folder.path(), "in/f", "from here\n");
    put(folder.path(), "env", "# variables\nFROM_FILE=1\nBOTH=file\n");
    let source = folder.path().join("in").display().to_string();
    let env_file = folder.path().join("env").display().to_string();
    let out = |words: &[&str]| store.run(&[&["run", "--rm"], words].concat());
    let env =
        ["--env-file", &env_file, "-e", "BOTH=flag", "busybox", "sh", "-c", "echo $FROM_FILE $BOTH $HOME $HOSTNAME"];
    assert!(out(&env).starts_with("1 flag /root "));
    assert_eq!(out(&["-w", "/made/here", "busybox", "pwd"]), "/made/here\n");
    assert_eq!(out(&["-u", "7:8", "busybox", "sh", "-c", "echo $(id -u) $(id -g)"]), "7 8\n");
    assert_eq!(out(&["--hostname", "box", "busybox", "hostname"]), "box\n");
    let id = folder.path().join("id").display().to_string();
    let hosts = ["--add-host", "db:10.0.0.2", "--add-host", "here=host-gateway", "--cidfile", &id];
    let hosts = out(&[&hosts[..], &["busybox", "cat", "/etc/hosts"]].concat());
    assert!(hosts.ends_with("\n10.0.0.2\tdb\n127.0.0.1\there\n"), "{hosts}");
    assert_eq!(fs::read_to_string(&id).unwrap().len(), 64);
    // Of a flag that is given twice, the last counts.
    assert_eq!(out(&["--hostname", "box", "--hostname", "other", "busybox", "hostname"]), "other\n");
    fails(&store, &["run", "-d", "busybox", "true"], 125, &["in the foreground only"]);
    fails(&store, &["run", "-p", "80:80", "busybox", "true"], 125, &["-p 80:80: no ports are published"]);
    assert_eq!(out(&["-v", &format!("{source}:/x:ro"), "busybox", "cat", "/x/f"]), "from here\n");
    fails(&store, &["run", "--rm", "-v", &format!("{source}:/x:ro"), "busybox", "touch", "/x/g"], 1, &["Read-only"]);
    out(&["--mount", &format!("type=bind,src={source},dst=/x"), "busybox", "touch", "/x/g"]);
    assert!(folder.path().join("in/g").exists());
    fails(&store, &["run", "--rm", "--read-only", "busybox", "touch", "/f"], 1, &["Read-only"]);
    out(&["--read-only", "--tmpfs", "/t:size=1m", "busybox", "touch", "/t/f"]);
    let interfaces = ["--network", "none", "busybox", "sh", "-c", "ls /sys/class/net"];
    assert_eq!(out(&interfaces), "lo\n");
    assert_eq!(
        out(&["--entrypoint", "echo", "busybox", "-n", "--rm"]),
        "--rm",
        "flags behind the image are the command's"
    );
    // Standard input is empty unless it is asked for.
    let cat = |flag: &str| {
        let words = ["run", "--rm", flag, "busybox", "cat"];
        let mut child = store
            .command()
            .args(words.iter().filter(|word| !word.is_empty()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Nobody may be reading.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"typed");
        text(&child.wait_with_output().unwrap().stdout)
    };
    assert_eq!((cat("-i").as_str(), cat("").as_str()), ("typed", ""));
}

#[test]
fn only_the_upper_layer_is_ever_touched() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let before = tree(&store.path().join("blobs"));
    store.run(&["run", "--rm", "busybox", "true"]);
    let layers = tree(&store.path().join("snapshots"));
    let script = "mkdir /new && echo x >/new/f && cat /etc/passwd >/dev/null && echo y >>/etc/group && rm /bin/yes && chmod 700 /tmp";
    store.run(&["run", "--name", "work", "busybox", "sh", "-c", script]);
    assert_eq!(
        diff(&store, "work"),
        ["C /bin", "D /bin/yes", "C /etc", "C /etc/group", "A /new", "A /new/f", "C /tmp"]
    );
    assert_eq!(tree(&store.path().join("blobs")), before, "adding, reading, changing and deleting touch no blob");
    assert_eq!(tree(&store.path().join("snapshots")), layers, "and no layer");
    // The image is what it was for the next one.
    assert_eq!(store.run(&["run", "--rm", "busybox", "sh", "-c", "ls /bin/yes; ls -d /new || true"]), "/bin/yes\n");
}

/// Every path below a folder with inode, size and time.
fn tree(folder: &Path) -> String {
    text(&run(Command::new("find").arg(folder).args(["-printf", "%P %y %i %s %T@\n"])).stdout)
}

#[test]
fn the_running_can_be_seen_and_stopped() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let mut child = start(
        &store,
        &[
            "run",
            "-i",
            "--name",
            "work",
            "busybox",
            "sh",
            "-c",
            "trap 'echo got it; exit 3' TERM; echo ready; while read line; do echo $line; done",
        ],
    );
    let mut stdin = child.stdin.take().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line(&mut out), "ready\n");
    let row: serde_json::Value = serde_json::from_str(&store.run(&["ps", "--format", "json"])).unwrap();
    assert_eq!((&row["Names"], &row["State"]), (&"work".into(), &"running".into()));
    fails(&store, &["rm", "work"], 1, &["is running"]);
    fails(&store, &["run", "--name", "work", "busybox", "true"], 125, &["is taken"]);
    fails(&store, &["rmi", "busybox"], 1, &["work"]);
    // Files go in and out of it, by the paths that its processes would use.
    let folder = scratch();
    let copy = folder.path().join("passwd");
    store.run(&["cp", "work:/etc/passwd", copy.to_str().unwrap()]);
    assert!(fs::read_to_string(&copy).unwrap().contains("root"));
    signal(&child, "TERM");
    // The shell hears of it once it reads again.
    std::io::Write::write_all(&mut stdin, b"go\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let row: serde_json::Value = serde_json::from_str(&store.run(&["ps", "-a", "--format", "json"])).unwrap();
    assert_eq!((&row["State"], &row["ExitCode"]), (&"exited".into(), &3.into()));
    // One that is killed is not running, although nobody could say so.
    let mut child = start(&store, &["run", "--name", "lost", "busybox", "sh", "-c", "echo ready; sleep 1000"]);
    assert_eq!(line(&mut std::io::BufReader::new(child.stdout.take().unwrap())), "ready\n");
    child.kill().unwrap();
    child.wait().unwrap();
    // Its processes are killed by the kernel, which need not have happened yet.
    assert!((0..500).any(|_| store.run(&["ps", "-q"]).is_empty()));
    let mut child = start(&store, &["run", "--name", "forced", "busybox", "sh", "-c", "echo ready; sleep 1000"]);
    assert_eq!(line(&mut std::io::BufReader::new(child.stdout.take().unwrap())), "ready\n");
    store.run(&["rm", "-f", "forced", "lost", "work", "nothere"]);
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert_eq!(store.run(&["ps", "-aq"]), "");
}

fn start(store: &Store, arguments: &[&str]) -> std::process::Child {
    store.command().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn line(from: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}

fn signal(child: &std::process::Child, name: &str) {
    run(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]));
}

#[test]
fn hostile_names_lead_nowhere() {
    if !is_root() {
        return;
    }
    let store = Store::with_busybox();
    let folder = scratch();
    let here = |name: &str| folder.path().join(name).display().to_string();
    put(folder.path(), "secret", "the host's\n");
    put(folder.path(), "mine", "mine\n");
    // Links in a container that point at files of the host, and a folder that is a link.
    let script = format!("mkdir /d && ln -s {} /d/link && ln -s / /up && ln -s /d /e", here("secret"));
    store.run(&["run", "--name", "evil", "busybox", "sh", "-c", &script]);
    fs::create_dir(folder.path().join("out")).unwrap();
    store.run(&["cp", "evil:/d", &here("out")]);
    assert!(folder.path().join("out/d/link").is_symlink(), "a link is copied as a link");
    // Out of the container's root there is no way.
    fails(&store, &["cp", &format!("evil:/up/../../../..{}", here("secret")), &here("stolen")], 1, &["cannot read"]);
    assert!(!folder.path().join("stolen").exists());
    // What is copied over a link replaces the link and not the host's file.
    store.run(&["cp", &here("mine"), "evil:/d/link"]);
    assert_eq!(fs::read_to_string(folder.path().join("secret")).unwrap(), "the host's\n");
    // A link on the way to the target is followed in the container.
    store.run(&["cp", &here("mine"), "evil:/e/new"]);
    assert!(diff(&store, "evil").contains(&"A /d/new".to_owned()));
    // A folder in the target that is really a link is not written through.
    std::os::unix::fs::symlink(folder.path(), folder.path().join("out/d/sub")).unwrap();
    store.run(&["run", "--name", "sub", "busybox", "sh", "-c", "mkdir -p /d/sub && echo x >/d/sub/secret"]);
    fails(&store, &["cp", "sub:/d", &here("out")], 1, &["in the way"]);
    assert_eq!(fs::read_to_string(folder.path().join("secret")).unwrap(), "the host's\n");
    // Archives too.
    run(Command::new("tar").current_dir(folder.path()).args([
        "-cPf",
        "evil.tar",
        "--transform",
        "s,^mine,../../../escaped,",
        "mine",
    ]));
    let archive = fs::File::open(folder.path().join("evil.tar")).unwrap();
    run(store.command().args(["cp", "-", "evil:/d"]).stdin(archive));
    assert!(diff(&store, "evil").contains(&"A /d/escaped".to_owned()));
}

#[test]
fn shells_and_man_take_what_is_written_for_them() {
    let store = Store::new();
    let folder = scratch();
    for shell in ["bash", "zsh", "fish"] {
        let script = put(folder.path(), shell, store.run(&["completions", shell]));
        match Command::new(shell).arg("-n").arg(&script).output() {
            Err(_) => eprintln!("skipped: {shell} is not installed"),
            Ok(output) => assert!(output.status.success(), "{shell}: {}", text(&output.stderr)),
        }
    }
    // Names of images complete, also behind a colon, which bash takes for the end of a word.
    let busybox = Store::with_busybox();
    let program = busybox.command();
    let script = format!(
        "imgbuild() {{ {:?} --root {:?} \"$@\"; }}; source {:?}; COMP_WORDS=(imgbuild run busybox : l); COMP_CWORD=4; \
         _imgbuild_names imgbuild l :; echo \"${{COMPREPLY[*]}}\"",
        program.get_program(),
        busybox.path(),
        folder.path().join("bash")
    );
    let completed = text(&run(Command::new("bash").args(["-c", &script])).stdout);
    assert!(completed.split_whitespace().any(|word| word == "latest"), "{completed}");
    for page in [&["man"][..], &["man", "run"], &["man", "prune"]] {
        let page = store.run(page);
        assert!(page.starts_with(".ie") && page.contains(".SH NAME") && page.contains("imgbuild"), "{page}");
    }
    fails(&store, &["man", "nothere"], 2, &["there is no command"]);
}
