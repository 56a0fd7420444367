//! Other processes, and what is shared with them without a file: signals, memory, terminals, sockets, keys.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Canary, Jail, jails, program};
use crate::support::{outcome, sh, text};

#[test]
fn other_processes_are_out_of_reach() {
    let canary = Canary::new();
    let script = format!("/attack processes {} {}/file", std::process::id(), canary.path());
    let expected = "kill the builder: ESRCH\npidfd of the builder: ESRCH\ntrace the builder: ESRCH\nread the builder: ESRCH\n\
         root of process 1: ENOENT\nfolder of process 1: ENOENT\nprocesses: ours\nend\n";
    for jail in jails() {
        jail.check("", &script, expected);
        jail.build("FROM busybox\nCOPY --chmod=755 attack /attack\n", &["-t", "jail"]);
        assert_eq!(jail.run(&["run", "--rm", "jail", "sh", "-c", &script]), expected, "{}", jail.name());
        // Not even of the sandbox itself.
        jail.check("", "{ kill -9 1; kill -9 -1; kill -9 $PPID; } 2> /dev/null; echo still here", "still here\n");
    }
}

#[test]
fn nothing_outlives_its_step() {
    for jail in jails() {
        jail.check("--mount=type=cache,target=/cache", "/attack daemon /cache/lock", "daemon: done\n");
        let mounts = fs::read_dir(jail.store().join("mounts")).unwrap();
        let lock = mounts.map(|entry| entry.unwrap().path().join("0/lock")).find(|path| path.exists()).unwrap();
        // It held this lock as long as it lived.
        let file = fs::File::options().write(true).open(lock).unwrap();
        let taken = rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        assert_eq!(taken, Ok(()), "{}", jail.name());
    }
}

#[test]
fn memory_that_processes_share_is_not_shared_with_steps() {
    let made = sh(&["ipcmk", "-M", "4096", "-p", "0666"]);
    let id = made.trim().rsplit(' ').next().unwrap().to_owned();
    let (_, listed, _) = outcome(Command::new("ipcs").arg("-m"));
    for jail in jails() {
        jail.check("", "tail -n +2 /proc/sysvipc/shm | wc -l; ls /dev/mqueue /dev/shm | grep -v :", "0\n\n");
    }
    sh(&["ipcrm", "-m", &id]);
    assert!(listed.contains("4096"), "{listed}");
}

/// Runs a command line with a terminal of its own.
fn at_a_terminal(jail: &Jail, line: &str) -> String {
    let mut command = match jail {
        Jail::Root(..) => Command::new("script"),
        Jail::User(home) => home.command_of("script"),
    };
    command.args(["-qec", line, "/dev/null"]).current_dir(jail.path()).env("SHELL", "/bin/sh");
    // Nothing is typed, and that does not end either.
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let _typing = child.stdin.take();
    text(&child.wait_with_output().unwrap().stdout).replace('\r', "")
}

#[test]
fn the_callers_terminal_is_not_handed_in() {
    for jail in jails() {
        jail.build("FROM busybox\nCOPY --chmod=755 attack /attack\n", &["-t", "jail"]);
        let program = jail.command();
        let words: Vec<_> = std::iter::once(program.get_program()).chain(program.get_args()).collect();
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let own = words.join(" ");
        let refused = "type: ENOTTY\n".repeat(3) + &"take: ENOTTY\n".repeat(3);
        let pipes = "stream: device\nstream: pipe\nstream: pipe\nterminal: ENXIO\n";
        // What was typed by somebody else than the user would be found last.
        let after = "stat -c %a $(tty); stty -icanon min 0 time 0; dd bs=64 count=1 2> /dev/null | od -c | tail -n 1";
        let shown = at_a_terminal(&jail, &format!("stat -c %a $(tty); {own} run --rm jail /attack terminals; {after}"));
        let (mode, rest) = shown.split_once('\n').unwrap();
        assert_eq!(rest, format!("{refused}{pipes}{mode}\n0000000\n"), "{}", jail.name());
        // One of its own is its own.
        let shown = at_a_terminal(
            &jail,
            &format!("stat -c %a $(tty); {own} run --rm -t jail /attack terminals | tail -n 1; {after}"),
        );
        let (mode, rest) = shown.split_once('\n').unwrap();
        assert_eq!(rest, format!("terminal: done\n{mode}\n0000000\n"), "{}", jail.name());
    }
}

#[test]
fn abstract_sockets_of_the_machine_are_out_of_reach() {
    use landlock::{CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let is_guarded = ruleset.scope(Scope::AbstractUnixSocket).is_ok();
    let name = format!("imgbuild-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let script = format!("/attack abstract {name}");
    for jail in jails() {
        jail.check("--network=none", &script, "abstract socket: ECONNREFUSED\nown abstract socket: done\n");
        // With the machine's network they are there, and only a kernel from 6.12 on guards them. SECURITY.md says so.
        let answer = if is_guarded { "EPERM" } else { "done" };
        jail.check("", &script, &format!("abstract socket: {answer}\nown abstract socket: done\n"));
    }
}

#[test]
fn keys_of_the_session_stay_outside() {
    let name = format!("imgbuild-test-{}", std::process::id());
    let attack = program("attack");
    for jail in jails() {
        let attack: PathBuf = match &jail {
            Jail::Root(..) => attack.clone(),
            Jail::User(_) => jail.path().join("context/attack"),
        };
        fs::set_permissions(&attack, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let with_key = |words: &[&str]| {
            let program = jail.command();
            let mut command = jail.command_of_any(&attack);
            command.args(["with-key", &name]);
            match words {
                [] => command.arg(&attack).args(["key", &name]),
                words => command.arg(program.get_program()).args(program.get_args()).args(words),
            };
            outcome(&mut command)
        };
        assert_eq!(with_key(&[]).1, "key: done\ntreasure\n", "{}", jail.name());
        // No filter keeps this step from asking.
        jail.put(
            "context/Dockerfile",
            format!("FROM busybox\nCOPY --chmod=755 attack /attack\nRUN --security=insecure /attack key {name}\nRUN /attack key {name}\n"),
        );
        let arguments = ["build", "--no-lock", "--progress", "plain", "--allow", "security.insecure", "context"];
        let (code, _, said) = with_key(&arguments);
        assert_eq!(code, 0, "{} {said}", jail.name());
        assert!(said.contains("key: ENOKEY") && said.contains("key: EPERM") && !said.contains("treasure"), "{said}");
    }
}
