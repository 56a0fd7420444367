//! Two machines: network namespaces with a store each, and a wire between them.

use std::process::{Child, Command, Stdio};

use super::cuts::noise;
use super::{assert_sound, context, digest_of, is_root};
use crate::support::{Store, outcome, put, run, scratch, sh};

/// A namespace; goes with its processes' sockets when it is dropped.
struct Machine {
    name: String,
}

impl Machine {
    fn new(name: &str) -> Option<Self> {
        // Two runs of the tests must not meet.
        let name = format!("imgbuild-{name}-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).stderr(Stdio::null()).status();
        made.is_ok_and(|status| status.success()).then_some(Self { name })
    }

    /// Gives its end of the wire an address.
    fn connect(&self, device: &str, address: &str) {
        sh(&["ip", "link", "set", device, "netns", &self.name]);
        for words in
            [&["addr", "add", address, "dev", device][..], &["link", "set", device, "up"], &["link", "set", "lo", "up"]]
        {
            run(Command::new("ip").args(["-n", &self.name]).args(words));
        }
    }

    /// The same command there.
    fn on(&self, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there.args(["netns", "exec", &self.name]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            there.env(name, value.unwrap_or_default());
        }
        there
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn one_machine_pushes_and_another_builds_on_it() {
    let machines = if is_root() { (Machine::new("one"), Machine::new("two")) } else { (None, None) };
    let (Some(one), Some(two)) = machines else {
        eprintln!("skipped: this needs root and `ip netns`");
        return;
    };
    let (here, there) = (format!("ib{}a", std::process::id()), format!("ib{}b", std::process::id()));
    sh(&["ip", "link", "add", &here, "type", "veth", "peer", "name", &there]);
    one.connect(&here, "192.0.2.1/24");
    two.connect(&there, "192.0.2.2/24");
    let netem = ["tc", "qdisc", "add", "dev", &there, "root", "netem", "delay", "2ms", "loss", "2%"];
    let mut shaped = Command::new("ip");
    shaped.args(["netns", "exec", &two.name]).args(netem);
    if outcome(&mut shaped).0 != 0 {
        eprintln!("this kernel has no netem: the wire loses nothing");
    }

    // The first machine has the registry, which is not on the loopback of the second one.
    let folder = scratch();
    let own = folder.path().to_str().unwrap();
    let text = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {own}/data}}\n\
         http:\n  addr: 192.0.2.1:5000\n"
    );
    let config = put(folder.path(), "config.yml", text);
    let mut serve = Command::new("docker-registry");
    serve.arg("serve").arg(config);
    let mut child = one.on(&serve).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("listening on")));
    std::thread::spawn(move || lines.for_each(drop));
    let _server = Server(child);

    let name = "192.0.2.1:5000/team/base:1";
    let config = put(folder.path(), "imgbuild.toml", "[registry.\"192.0.2.1:5000\"]\ninsecure = true\n");
    let (first, second) = (Store::with_busybox(), Store::new());
    let dockerfile = context(folder.path(), "FROM busybox\nCOPY noise /\n");
    put(&dockerfile, "noise", noise(2 << 20));
    first.build(&dockerfile, &["--no-lock", "-t", name]);
    let with = |store: &Store, machine: &Machine, words: &[&str]| {
        let mut command = store.command();
        command.env("IMGBUILD_CONFIG", &config).args(words);
        outcome(&mut machine.on(&command))
    };
    // Plain text over a wire is for who says so.
    let (code, _, said) = outcome(&mut two.on(second.command().args(["pull", name])));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("docs/registries.md"), "{said}");
    let (code, _, said) = with(&first, &one, &["push", name]);
    assert_eq!(code, 0, "{said}");
    let (code, _, said) = with(&second, &two, &["pull", name]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(digest_of(&second, name), digest_of(&first, name));
    assert_sound(&second);

    // What the second one adds goes back, and the layers that are there do not.
    let own = scratch();
    let added = context(own.path(), &format!("FROM {name}\nCOPY hello /hello\n"));
    let built = "192.0.2.1:5000/team/app:1";
    let words = ["build", "--push", "-t", built, added.to_str().unwrap()];
    let (code, _, said) = with(&second, &two, &words);
    assert_eq!(code, 0, "{said}");
    let (code, _, said) = with(&first, &one, &["pull", built]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(first.run(&["run", "--rm", "--network=none", built, "cat", "/hello"]), "hello\n");

    // The wire is cut: it is said who cannot be reached, and nothing else happens.
    sh(&["ip", "-n", &one.name, "addr", "del", "192.0.2.1/24", "dev", &here]);
    sh(&["ip", "-n", &two.name, "route", "add", "unreachable", "192.0.2.1/32"]);
    put(
        folder.path(),
        "imgbuild.toml",
        "[network]\ntries = 2\npause = 0.001\n[registry.\"192.0.2.1:5000\"]\ninsecure = true\n",
    );
    let empty = Store::new();
    let (code, _, said) = with(&empty, &two, &["pull", name]);
    assert_eq!(code, 1);
    assert!(said.contains("192.0.2.1:5000"), "{said}");
    assert_sound(&empty);
}
