//! What a step can do. An op names its inputs by number; the [`Graph`](crate::graph::Graph) knows which steps they are.
//!
//! Everything in here, but nothing else, enters a step's key. Fields that must not are marked and left out there.

use std::collections::BTreeSet;

use crate::digest::DiffId;
use crate::fstree::{Scrub, TreePath};
use crate::graph::Limits;

/// The number of one of a step's inputs.
pub type Input = usize;

/// What a step does. Each makes one file system state: a stack of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The empty file system. No inputs.
    Scratch,
    /// The root file system of an image. No inputs.
    Image(ImageOp),
    /// A folder of the host, as a build context. No inputs.
    Local(LocalOp),
    /// One file from a URL, named [`HttpOp::name`] in the root. No inputs.
    Http(HttpOp),
    /// A checkout of a git repository. No inputs.
    Git(GitOp),
    /// A process in a sandbox. Input 0 is its root file system; mounts name the others.
    Exec(Box<ExecOp>),
    /// Changes to files, which make one layer. Input 0 is what they change; copies name the others.
    File(FileOp),
    /// The layers of all inputs on top of each other, the first at the bottom.
    Merge,
    /// The layers of input 1 that input 0 does not have.
    Diff,
}

/// An image whose reference is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOp {
    /// What it is called in messages, with its digest. Not part of the key.
    pub reference: String,
    /// Its layers, bottom first: all that the key takes from it, not labels, not its creation time.
    pub layers: Vec<DiffId>,
}

/// A build context on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalOp {
    /// The name by which the caller of the solver knows the folder (`context` for the main one).
    pub name: String,
    /// The patterns of its `.dockerignore`, in order. They decide which files are there, and enter keys only so.
    pub ignore: Vec<String>,
}

/// A file to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOp {
    /// The URL as resolved.
    pub url: String,
    /// The name of the file that is made.
    pub name: String,
    /// The digest of its bytes, known after resolution.
    pub digest: crate::digest::Digest,
    /// The `Last-Modified` time in seconds since 1970, which becomes the file's time; the epoch if there was none.
    pub modified: Option<i64>,
}

/// A git checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitOp {
    /// The repository's URL.
    pub url: String,
    /// The commit, 40 or 64 hexadecimal digits, known after resolution.
    pub commit: String,
    /// Only this folder of it.
    pub subdir: String,
    /// Whether `.git` is kept.
    pub keep_git_dir: bool,
    /// Whether submodules are checked out.
    pub submodules: bool,
}

/// A process to run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecOp {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Its environment, complete and in order. `HOME` is added from the image's passwd if it is missing.
    pub env: Vec<(String, String)>,
    /// Its working folder, absolute.
    pub cwd: String,
    /// `user[:group]`, by name or number; empty for root.
    pub user: String,
    /// What is mounted, in order: of two on one target the later is seen.
    pub mounts: Vec<Mount>,
    /// Its network.
    pub network: Network,
    /// Whether it runs with all privileges.
    pub insecure: bool,
    /// Whether set-user-ID programs and capabilities of files give it nothing.
    pub no_new_privileges: bool,
    /// The host name it sees.
    pub hostname: String,
    /// What is taken away from its layer that only says when it ran.
    pub scrubs: BTreeSet<Scrub>,
    /// Lines for `/etc/hosts`, (name, address). Not part of the key.
    pub extra_hosts: Vec<(String, String)>,
    /// Proxy variables, added to the environment. Not part of the key.
    pub proxy: Vec<(String, String)>,
    /// What it may use. Not part of the key.
    pub limits: Limits,
}

/// The network of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Network {
    /// What the builder offers: the host's network unless told otherwise.
    #[default]
    Default,
    /// Only a loopback device.
    None,
    /// The host's network.
    Host,
    /// What the builder offers, and that is one which does not reach the host's own services. In keys it is the default: who
    /// carries packets does not change what a step makes.
    Private,
}

/// Something mounted into a process's file system, of which the layer sees nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where: absolute, cleaned.
    pub target: String,
    /// What.
    pub kind: MountKind,
}

/// What can be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Files of another step.
    Bind {
        /// Whose.
        input: Input,
        /// Which folder or file of it.
        source: String,
        /// Whether writes are allowed; they are thrown away.
        writable: bool,
    },
    /// A folder that stays between builds. Its content is not part of the key.
    Cache {
        /// Its name in the store.
        id: String,
        /// Who else may use it meanwhile.
        sharing: Sharing,
        /// Whose files it starts with, and which folder of them.
        seed: Option<(Input, String)>,
        /// Its permissions when it is made.
        mode: u32,
        /// Its owner when it is made.
        uid: u32,
        /// Its group when it is made.
        gid: u32,
        /// Whether it is mounted read-only.
        readonly: bool,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Its limit in bytes.
        size: Option<u64>,
    },
    /// A secret as a file, or nothing where there is no such secret. Its value is not part of the key.
    Secret(SecretMount),
    /// The socket of an ssh agent. Which one is not part of the key.
    Ssh(SecretMount),
    /// A file with these bytes, such as the script of a heredoc.
    File {
        /// Its bytes.
        data: Vec<u8>,
        /// Its permissions.
        mode: u32,
    },
}

/// How a secret or an agent socket is shown to a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMount {
    /// Which one.
    pub id: String,
    /// Whether the step fails without it.
    pub required: bool,
    /// Whether it is shown as a file at the mount's target.
    pub file: bool,
    /// The environment variable that holds it, if any (for secrets).
    pub env: Option<String>,
    /// The file's permissions.
    pub mode: u32,
    /// The file's owner.
    pub uid: u32,
    /// The file's group.
    pub gid: u32,
}

/// Who may use a cache mount at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// One step each; a second one gets a folder of its own.
    Private,
    /// One step; a second one waits.
    Locked,
}

/// Changes to files, in order, which together make one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOp {
    /// The changes.
    pub actions: Vec<FileAction>,
}

/// One change to files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileAction {
    /// Copies files of another input.
    Copy(Box<CopyAction>),
    /// Makes a folder with its parents, which are 0755 and its owner's. One that exists is left alone.
    Mkdir {
        /// Where.
        path: TreePath,
        /// Its permissions.
        mode: u32,
        /// Its owner; root's if none.
        owner: Option<Owner>,
    },
    /// Writes a file with these bytes.
    Mkfile {
        /// Where.
        path: TreePath,
        /// Its bytes.
        data: Vec<u8>,
        /// Its permissions.
        mode: u32,
        /// Its owner; root's if none.
        owner: Option<Owner>,
    },
    /// Makes a symbolic link.
    Symlink {
        /// Where.
        path: TreePath,
        /// To what, as it is.
        target: Vec<u8>,
        /// Its owner; root's if none.
        owner: Option<Owner>,
    },
    /// Removes a file or folder.
    Remove {
        /// Which; wildcards are those of `COPY`.
        path: String,
        /// Whether it is fine if there is none.
        allow_missing: bool,
    },
}

/// A copy, as `COPY` and `ADD` do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyAction {
    /// Whose files, in the order written; each with where they are.
    pub sources: Vec<CopySource>,
    /// Where to: absolute. A trailing slash says that it is a folder.
    pub dest: String,
    /// The owner of everything copied; kept (or root's, for contexts) if none.
    pub owner: Option<Owner>,
    /// The permissions of everything copied; kept if none.
    pub mode: Option<Chmod>,
    /// `--parents`: the folders above a source are copied too.
    pub parents: bool,
    /// `--exclude` patterns.
    pub exclude: Vec<String>,
    /// Whether archives are unpacked.
    pub unpack: Unpack,
}

/// A source of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// Files of an input that match a pattern.
    Path {
        /// Whose.
        input: Input,
        /// Which: a path, or a pattern with the wildcards of Go's `filepath.Match` if `wildcard`.
        path: String,
        /// Whether `path` is a pattern.
        wildcard: bool,
    },
    /// A file that the build file itself holds: a heredoc. Mode 0644.
    Inline {
        /// Its name.
        name: String,
        /// Its bytes.
        data: Vec<u8>,
    },
}

/// Whether a copy unpacks archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unpack {
    /// Never: `COPY`.
    #[default]
    Never,
    /// If the file is a tar, compressed or not: `ADD` of local files.
    Archives,
}

/// An owner as it was written: names are looked up in the image that is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Name or number.
    pub user: String,
    /// Name or number; the user's own number or group if none.
    pub group: Option<String>,
}

/// New permissions, already checked: octal, or symbolic as chmod(1) has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chmod {
    /// All bits.
    Octal(u32),
    /// Changes such as `u=rwX,go-w`, as written.
    Symbolic(String),
}
