//! A network of a sandbox's own that reaches what this machine reaches, but not this machine's own loopback services.
//!
//! Packets are carried by a program of others in user mode: `slirp4netns` or `pasta`. A [`helper`] makes a network namespace,
//! starts the program beside it and guards it, and the sandbox's first process is born into that network. Both programs shut
//! themselves in before they see a packet. Of root, the first is preferred, which keeps no privilege by which it could get out.
//!
//! The namespace belongs to the builder's user namespace, and not to one of its own, in which the program could be kept: whoever
//! is the owner of a user namespace has all rights in it, and that would be a step's root, which must not change its network.
//!
//! Everything looks the same on every machine and with either program: the address is 10.0.2.100, the gateway 10.0.2.2, the name
//! server 10.0.2.3. Only IPv4 is carried.
//!
//! The helper is process 1 of a pid namespace: killing it ends the program too, and the kernel kills it when the builder dies.

pub(super) mod helper;

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::libc;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::sandbox::attached::receive;
use crate::sandbox::error::Failure;
use crate::sandbox::run::{Birth, write_job};
use crate::sandbox::spawn::Child;
use crate::sandbox::spec::Bytes;
use crate::sandbox::{Namespaces, SandboxError, userns};
use helper::Job;

/// Where programs are looked for.
const FOLDERS: [&str; 5] = ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/sbin"];
/// The address at which name servers are asked.
const NAME_SERVER: &str = "10.0.2.3";

/// A program that carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Pasta,
    Slirp,
}

impl Tool {
    /// The better one first.
    fn all() -> [Self; 2] {
        if userns::inside() { [Self::Pasta, Self::Slirp] } else { [Self::Slirp, Self::Pasta] }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pasta => "pasta",
            Self::Slirp => "slirp4netns",
        }
    }

    /// Where it is, if it is installed.
    fn find(self) -> Option<PathBuf> {
        let can_run =
            |path: &PathBuf| path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
        FOLDERS.iter().map(|folder| Path::new(folder).join(self.name())).find(can_run)
    }

    /// How it is told to carry packets for the network namespace at `network`, and none between loopback devices.
    fn arguments(self, network: &str) -> Vec<String> {
        let text = match self {
            Self::Pasta => {
                "--quiet --config-net --ipv4-only --address 10.0.2.100 --netmask 24 --gateway 10.0.2.2 --no-map-gw \
                 --tcp-ports none --udp-ports none --tcp-ns none --udp-ns none --no-dhcp --dns-forward 10.0.2.3 --runas 0:0 \
                 --netns-only --no-netns-quit --netns"
            }
            Self::Slirp => {
                "--configure --mtu=65520 --disable-host-loopback --enable-sandbox --enable-seccomp --ready-fd=3 \
                 --netns-type=path"
            }
        };
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.push(network.to_owned());
        words.extend((self == Self::Slirp).then(|| "tap0".to_owned()));
        words
    }
}

/// A network that is there until this is dropped.
pub(super) struct Private {
    namespace: OwnedFd,
    /// Ends it when dropped.
    _helper: Child,
}

impl Private {
    /// The namespace, to be entered.
    pub(super) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

/// `/etc/resolv.conf` for such a network: the same, but for who is asked.
pub(super) fn resolv_conf(host: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(&host.0);
    let is_server = |line: &&str| line.split_whitespace().next() == Some("nameserver");
    if !text.lines().any(|line| is_server(&line)) {
        return host.clone();
    }
    let others = text.lines().filter(|line| !is_server(line)).map(|line| format!("{line}\n"));
    Bytes(others.chain([format!("nameserver {NAME_SERVER}\n")]).collect::<String>().into_bytes())
}

impl Namespaces {
    /// Makes such a network.
    pub(super) fn private_network(&self) -> Result<Private, SandboxError> {
        let tools: Vec<(Tool, PathBuf)> =
            Tool::all().into_iter().filter_map(|tool| Some((tool, tool.find()?))).collect();
        if tools.is_empty() {
            return Err(SandboxError::Network("neither pasta nor slirp4netns is installed".into()));
        }
        let mut reasons = Vec::new();
        for (tool, program) in tools {
            match self.carry(tool, program)? {
                Ok(network) => return Ok(network),
                Err(reason) => reasons.push(format!("{} says: {reason}", tool.name())),
            }
        }
        Err(SandboxError::Network(reasons.join("; ")))
    }

    /// Has a program carry packets; or says what it complains of.
    fn carry(&self, tool: Tool, program: PathBuf) -> Result<Result<Private, String>, SandboxError> {
        let failed = |action: &'static str| move |errno: Errno| SandboxError::here(action, errno);
        let (status, status_in) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make pipes"))?;
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (control, control_in) = pair.map_err(failed("make a socket"))?;
        let said = rustix::fs::memfd_create("imgbuild-network", rustix::fs::MemfdFlags::CLOEXEC);
        let said = said.map_err(failed("make a file in memory"))?;
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let null = null.map_err(failed("open /dev/null"))?;
        let job = Job { program, arguments: tool.arguments(helper::NETWORK), says_when: tool == Tool::Slirp };
        let job = write_job(&job).map_err(|error| SandboxError::here("describe the network", error))?;
        let birth = Birth { namespaces: libc::CLONE_NEWPID | libc::CLONE_NEWNS, network: None, group: None };
        let child = self.spawn(birth, helper::NAME, &[&null, &said, &said, &job, &status_in, &control_in])?;
        drop((status_in, control_in));
        match receive(&control).map_err(failed("talk to the network's helper"))? {
            Some((_, namespace)) => Ok(Ok(Private { namespace, _helper: child })),
            None => Ok(Err(reason(status, said).map_err(|error| SandboxError::here("hear of the network", error))?)),
        }
    }
}

/// What a helper that gave up reported, and what its program wrote.
fn reason(status: OwnedFd, said: OwnedFd) -> io::Result<String> {
    let mut report = Vec::new();
    File::from(status).read_to_end(&mut report)?;
    if let Ok(failure) = serde_json::from_slice::<Failure>(&report) {
        return Ok(SandboxError::from(failure).to_string());
    }
    let (mut text, mut file) = (Vec::new(), File::from(said));
    file.rewind()?;
    file.take(4096).read_to_end(&mut text)?;
    Ok(complaint(&String::from_utf8_lossy(&text)))
}

/// The lines that say something.
fn complaint(text: &str) -> String {
    // Without a system log, pasta complains of that with each line.
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.ends_with("bytes to syslog"));
    let lines: Vec<&str> = lines.collect();
    if lines.is_empty() { "nothing".into() } else { lines.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_asked_through_the_network() {
        let check = |host: &str, expected: &str| {
            assert_eq!(String::from_utf8(resolv_conf(&Bytes(host.into())).0).unwrap(), expected);
        };
        check(
            "search a.example\nnameserver 127.0.0.53\noptions edns0",
            "search a.example\noptions edns0\nnameserver 10.0.2.3\n",
        );
        check("nameserver 1.1.1.1\n\tnameserver ::1\n", "nameserver 10.0.2.3\n");
        check("# none\n", "# none\n");
        check("", "");
    }

    #[test]
    fn complaints_are_one_line() {
        let check = |text: &str, expected: &str| assert_eq!(complaint(text), expected);
        check("Failed to send 51 bytes to syslog\nCouldn't open tun\n\n", "Couldn't open tun");
        check("a\nb\n", "a, b");
        check("\n", "nothing");
    }
}
