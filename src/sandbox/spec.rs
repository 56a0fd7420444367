//! What to run: plain data, complete in itself.
//!
//! The spec crosses a process boundary as JSON (the parent writes it, `init` reads it), which is why these types are
//! `Serialize`. It may hold secrets: it is passed in memory, and its `Debug` form leaves bytes out.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::fstree::TreePath;
use crate::graph::{self, Limits};
use crate::sandbox::Exceeded;

/// A process and the file system it sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Snapshots in the form that overlayfs reads, the topmost **first**: at least one, 500 at most.
    pub lower: Vec<PathBuf>,
    /// Where the changes go: an empty folder, or one with folders made before the command runs ([`stubs`](super::stubs)).
    /// Not synced to disk: after a crash of the machine its content is not to be trusted.
    pub upper: PathBuf,
    /// An empty folder for overlayfs's own use, on the same file system as `upper`. Not to be used twice.
    pub work: PathBuf,
    /// The program and its arguments. A program without a slash is looked up in the `PATH` of `env`.
    pub args: Vec<String>,
    /// The whole environment, in order.
    pub env: Vec<(String, String)>,
    /// The working folder, absolute. It is made (0755, owned by `uid` and `gid`) if it is missing.
    pub cwd: String,
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
    /// Further groups. Docker has `gid` among them.
    pub groups: Vec<u32>,
    /// The host name that the process sees; 64 bytes at most.
    pub hostname: String,
    /// What else is mounted. Parents come before what is in them; of two on one target, the later is seen.
    pub mounts: Vec<SandboxMount>,
    /// The network.
    pub network: Network,
    /// All capabilities and devices, no system call filter, nothing hidden: `--security=insecure`.
    pub privileged: bool,
    /// Whether set-user-ID programs and capabilities of files give it nothing.
    pub no_new_privileges: bool,
    /// What `/etc/hosts` holds. Read-only for the process.
    pub hosts: Bytes,
    /// What `/etc/resolv.conf` holds. Read-only for the process.
    pub resolv_conf: Bytes,
    /// What its processes may use. The builder sees to it; the sandbox is told what of it concerns it.
    #[serde(skip)]
    pub limits: Limits,
}

impl Spec {
    /// The mounts in the order in which they are made, with their places in [`mounts`](Self::mounts): parents first, and
    /// as written where the target is the same.
    pub fn ordered_mounts(&self) -> Vec<(usize, &SandboxMount)> {
        let mut mounts: Vec<(usize, &SandboxMount)> = self.mounts.iter().enumerate().collect();
        mounts.sort_by_cached_key(|(_, mount)| TreePath::clean(&mount.target));
        mounts
    }
}

/// Something that is mounted into the process's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxMount {
    /// Where: absolute. Symbolic links in it are followed inside the root; `..` goes up in the text, before that.
    pub target: String,
    /// What.
    pub kind: MountKind,
}

/// What can be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// A file or folder of the host, such as a cache mount.
    Bind {
        /// Which.
        source: PathBuf,
        /// Whether writing is refused.
        readonly: bool,
    },
    /// Files of stacked snapshots. With no snapshot at all, an empty folder.
    Overlay {
        /// The snapshots, the topmost **first**.
        lower: Vec<PathBuf>,
        /// Which file or folder of them; empty for all. Links are followed inside the snapshots.
        source: String,
        /// Whether `source` is no folder, so that the mount point has to be a file.
        is_file: bool,
        /// Whether it may be written to. What is written is thrown away.
        writable: bool,
        /// An empty folder for what is written; in memory if none.
        scratch: Option<PathBuf>,
    },
    /// An empty file system in memory, with the permissions of the folder it covers.
    Tmpfs {
        /// Its limit in bytes; half of the memory if none.
        size: Option<u64>,
    },
    /// A file in memory, read-only: a secret, the script of a heredoc. Never on a disk (but perhaps in swap).
    File {
        /// Its content.
        data: Bytes,
        /// Its permissions.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A socket of the host, such as an ssh agent's: connections are handed on to it by the builder.
    Socket {
        /// The host's socket.
        path: PathBuf,
        /// The permissions of the one that the process sees.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// The network of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Network {
    /// A loopback device of its own and nothing else.
    None,
    /// That of the builder.
    #[default]
    Host,
    /// One of its own that reaches what the builder reaches, but not the builder's loopback device.
    Private,
}

impl From<graph::Network> for Network {
    fn from(network: graph::Network) -> Self {
        match network {
            graph::Network::None => Self::None,
            graph::Network::Default | graph::Network::Host => Self::Host,
            graph::Network::Private => Self::Private,
        }
    }
}

/// Bytes which are text in JSON if they can be, and which `Debug` does not show.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Text", into = "Text")]
pub struct Bytes(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Binary(Vec<u8>),
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        match text {
            Text::Text(text) => Self(text.into_bytes()),
            Text::Binary(bytes) => Self(bytes),
        }
    }
}

impl From<Bytes> for Text {
    fn from(bytes: Bytes) -> Self {
        match String::from_utf8(bytes.0) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Binary(error.into_bytes()),
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code; 0 is success.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// By or after meeting this limit, with this exit code: 128 and its number for a signal, as a shell has it.
    Limit(Exceeded, i32),
}

impl Exit {
    /// The exit code that a shell would have for it.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) | Self::Limit(_, code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Limit(exceeded, code) => write!(f, "exit code {code} at {exceeded}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_json_and_stay_out_of_debug() {
        let check = |bytes: &[u8], json: &str| {
            let value = Bytes(bytes.to_vec());
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(text, json);
            assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap(), value);
        };
        check(b"", r#""""#);
        check(b"secret\n", r#""secret\n""#);
        check(b"\xff\0", "[255,0]");
        assert_eq!(format!("{:?}", Bytes(b"secret".to_vec())), "(6 bytes)");
    }
}
