//! Networks of steps and containers: what they reach and what not. Needs root, and pasta or slirp4netns.
//!
//! Each test has a machine of its own, as a network namespace: with an interface that has a default route, so that it looks
//! like one that reaches the outside, and with somebody who listens on that interface and on the loopback device. Who uses it is
//! root, or a user who is not.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

use tempfile::TempDir;

use crate::support::{Store, outcome, put, repository, run, scratch};
use crate::users::{Home, User};

/// The address of the machine.
const OUTSIDE: &str = "10.77.0.1";

/// A network that stands for a machine's, and where its namespace is.
struct Machine {
    namespace: PathBuf,
    /// Keeps the namespace.
    holder: std::process::Child,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Says where the test is skipped, and why.
fn machine() -> Option<Machine> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return None;
    }
    if !["pasta", "slirp4netns"].iter().any(|name| Path::new("/usr/bin").join(name).exists()) {
        println!("skipped: needs pasta or slirp4netns");
        return None;
    }
    if !Path::new("/dev/net/tun").exists() {
        println!("skipped: needs /dev/net/tun");
        return None;
    }
    let mut holder = Command::new("unshare");
    holder.args(["--net", "sh", "-c", "echo ready; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    let machine = Machine { namespace: format!("/proc/{}/ns/net", holder.id()).into(), holder };
    let net = format!("--net={}", machine.namespace.display());
    let script = format!(
        "ip link set lo up; ip link add eth0 type veth peer name eth1; ip address add {OUTSIDE}/24 dev eth0; \
         ip link set eth0 up; ip link set eth1 up; ip route add default via 10.77.0.2"
    );
    run(Command::new("nsenter").args([&net, "sh", "-ec", &script]));
    Some(machine)
}

impl Machine {
    /// The program as it is on this machine.
    fn command(&self, store: &Store, arguments: &[&str]) -> Command {
        self.command_without(&[], store, arguments)
    }

    /// The same where these programs are not installed.
    fn command_without(&self, hidden: &[&str], store: &Store, arguments: &[&str]) -> Command {
        let mut command = store.command();
        command.args(arguments);
        self.entered(hidden, &[], &command)
    }

    /// A command on this machine, through another one that is put before it.
    fn entered(&self, hidden: &[&str], through: &[&str], command: &Command) -> Command {
        let hide: String = hidden
            .iter()
            .map(|name| format!("[ ! -e /usr/bin/{name} ] || mount --bind /dev/null $(readlink -f /usr/bin/{name}); "))
            .collect();
        // Everybody may open it, as udev has it.
        let tun = "mount -t tmpfs tun /mnt; mknod -m 666 /mnt/tun c 10 200; mount --bind /mnt/tun /dev/net/tun; umount -l /mnt;";
        let mut entered = Command::new("nsenter");
        entered.arg(format!("--net={}", self.namespace.display()));
        entered.args(["unshare", "--mount", "sh", "-c", &format!("{tun} {hide} exec \"$@\""), "sh"]).args(through);
        entered.arg(command.get_program()).args(command.get_args());
        entered
    }

    /// Somebody who greets whoever connects to this address; the port. It ends with the test.
    fn listen(&self, address: &str) -> u16 {
        let (namespace, address) = (fs::File::open(&self.namespace).unwrap(), address.to_owned());
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Of this thread only.
            unshare(CloneFlags::CLONE_FS).unwrap();
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            let listener = TcpListener::bind((address.as_str(), 0)).unwrap();
            sender.send(listener.local_addr().unwrap().port()).unwrap();
            listener.incoming().for_each(|guest| drop(guest.unwrap().write_all(b"welcome\n")));
        });
        receiver.recv().unwrap()
    }
}

/// Somebody who builds on a machine, with a folder: root, or a user who is not.
enum Builder {
    Root(Store, TempDir),
    User(Home),
}

impl Builder {
    /// Both, each with the image `busybox`.
    fn each() -> Vec<Self> {
        let home = Home::of(User::Mapped);
        if let Some(home) = &home {
            let archive = home.path().join("busybox.tar");
            fs::copy(repository("tests/conformance/busybox.oci.tar"), &archive).unwrap();
            home.run(&["load", "-q", "-i", archive.to_str().unwrap()]);
        }
        let root = Self::Root(Store::with_busybox(), scratch());
        [Some(root), home.map(Self::User)].into_iter().flatten().collect()
    }

    fn path(&self) -> &Path {
        match self {
            Self::Root(_, folder) => folder.path(),
            Self::User(home) => home.path(),
        }
    }

    /// The program on a machine where these programs are not installed.
    fn command(&self, machine: &Machine, hidden: &[&str], words: &[&str]) -> Command {
        match self {
            Self::Root(store, _) => machine.command_without(hidden, store, words),
            Self::User(home) => {
                let id = User::Mapped.id().to_string();
                let mut command = home.command();
                command.args(words);
                // Only root can enter the machine's network.
                let through = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"];
                let mut command = machine.entered(hidden, &through, &command);
                command.env("HOME", home.path()).current_dir(home.path());
                command
            }
        }
    }
}

/// Processes that carry packets for this builder.
fn carriers() -> Vec<String> {
    let names = ["pasta", "pasta.avx2", "passt.avx2", "slirp4netns"];
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let found = entries.filter_map(|entry| {
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        names.contains(&name.trim()).then(|| entry.file_name().to_string_lossy().into_owned())
    });
    found.collect()
}

#[test]
fn a_private_network_reaches_the_outside_and_not_the_loopback_device() {
    let Some(machine) = machine() else { return };
    for builder in Builder::each() {
        reaches_the_outside_only(&machine, &builder);
    }
}

fn reaches_the_outside_only(machine: &Machine, builder: &Builder) {
    let (outside, inside) = (machine.listen(OUTSIDE), machine.listen("127.0.0.1"));
    // With an input that does not end: a carrier may lose the end of a connection of which one half was closed before.
    let ask = |address: &str, port: u16| {
        format!("echo {address} $(timeout -s KILL 20 nc -w 3 {address} {port} <>/endless || echo refused)")
    };
    let dockerfile = format!(
        "FROM busybox\nARG ROUND\nRUN mkfifo /endless; {}; {}; {}; ip -o -4 address; ip link set lo down || true\n",
        ask(OUTSIDE, outside),
        ask("127.0.0.1", inside),
        ask("10.0.2.2", inside),
    );
    let folder = builder.path().join("context");
    put(&folder, "Dockerfile", dockerfile);
    let build = |hidden: &[&str], flags: &[&str]| {
        let folder = folder.to_str().unwrap();
        let words = [&["build", "--progress=plain", "--no-lock", "-o", "type=cacheonly"], flags, &[folder]].concat();
        let (code, _, said) = outcome(&mut builder.command(machine, hidden, &words));
        assert_eq!(code, 0, "{said}");
        said
    };
    for carrier in ["pasta", "slirp4netns"].into_iter().filter(|name| Path::new("/usr/bin").join(name).exists()) {
        let other = if carrier == "pasta" { "slirp4netns" } else { "pasta" };
        let said = build(&[other], &["--network=private", "--build-arg", &format!("ROUND={carrier}")]);
        for expected in [&format!("{OUTSIDE} welcome"), "127.0.0.1 refused", "10.0.2.2 refused", "10.0.2.100/24"] {
            assert!(said.contains(expected), "{carrier}, {expected}: {said}");
        }
        // Root in there cannot change it.
        assert!(said.contains("Operation not permitted"), "{carrier}: {said}");
        // It is no part of the key.
        let said = build(&[], &["--build-arg", &format!("ROUND={carrier}")]);
        assert!(said.contains("1 step cached"), "{said}");
    }
    // The same with the machine's own network, so that the two listeners are known to be there.
    let said = build(&[], &["--build-arg=ROUND=none"]);
    assert!(said.contains(&format!("{OUTSIDE} welcome")) && said.contains("127.0.0.1 welcome"), "{said}");
}

#[test]
fn a_debug_shell_has_the_network_of_its_step() {
    let Some(machine) = machine() else { return };
    let inside = machine.listen("127.0.0.1");
    let (store, folder) = (Store::with_busybox(), scratch());
    put(folder.path(), "Dockerfile", "FROM busybox\nRUN exit 3\n");
    let path = folder.path().to_str().unwrap();
    let mut build = machine.command(&store, &["build", "--no-lock", "--network=private", path]);
    let (code, _, said) = outcome(&mut build);
    assert!(code == 1 && said.contains("exit code 3"), "{said}");
    let script = format!("ip -o -4 address; nc -w 3 127.0.0.1 {inside} || echo refused");
    let (code, said, errors) = outcome(&mut machine.command(&store, &["debug", "--", "sh", "-c", &script]));
    assert_eq!(code, 0, "{errors}");
    assert!(said.contains("10.0.2.100/24") && said.contains("refused"), "{said}{errors}");
}

#[test]
fn a_container_has_one_too_and_who_carries_its_packets_goes_with_it() {
    let Some(machine) = machine() else { return };
    let outside = machine.listen(OUTSIDE);
    let store = Store::with_busybox();
    let script = format!("mkfifo /endless; nc -w 3 {OUTSIDE} {outside} <>/endless");
    let words = ["run", "--rm", "--network=private", "busybox", "sh", "-c", &script];
    let (code, said, errors) = outcome(&mut machine.command(&store, &words));
    assert_eq!((code, said.as_str()), (0, "welcome\n"), "{errors}");

    let words = ["run", "--rm", "--network=private", "busybox", "sh", "-c", "echo ready; sleep 7263551"];
    let mut builder = machine.command(&store, &words).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(builder.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let own: Vec<String> = carriers().into_iter().filter(|process| is_below(process, builder.id())).collect();
    assert!(!own.is_empty());
    builder.kill().unwrap();
    builder.wait().unwrap();
    lines.for_each(drop);
    // The kernel has sent the signal; it may take it a moment.
    while own.iter().any(|process| carriers().contains(process)) {
        std::thread::yield_now();
    }
}

/// Whether a process descends from another, or did so before its parent ended.
fn is_below(process: &str, ancestor: u32) -> bool {
    let mut process = process.to_owned();
    while process != "0" {
        if process == ancestor.to_string() {
            return true;
        }
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        process = parent.map_or("0", str::trim).to_owned();
    }
    false
}

#[test]
fn without_a_program_for_it_the_error_says_which_to_install() {
    let Some(machine) = machine() else { return };
    let (store, folder) = (Store::with_busybox(), scratch());
    put(folder.path(), "Dockerfile", "FROM busybox\nRUN true\n");
    let words = ["build", "--no-lock", "--network=private", folder.path().to_str().unwrap()];
    let (code, _, said) = outcome(&mut machine.command_without(&["pasta", "slirp4netns"], &store, &words));
    assert!(code == 3 && said.contains("neither pasta nor slirp4netns is installed"), "{said}");
    assert!(said.contains("apt-get install passt"), "{said}");
}
