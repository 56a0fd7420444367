//! The sandbox in which `RUN` steps execute.
//!
//! A [`Spec`] says everything about one process: its layers, mounts, user, network. It is plain data, so that it can
//! be replayed or sent elsewhere. An [`Executor`] runs one; [`Namespaces`] does so on this machine:
//!
//! 1. `run` (parent side) makes pipes and starts a child in new namespaces with `clone3`, as `vfork` does, since the
//!    builder has many threads and must not be copied. The child executes the builder's own program once more.
//! 2. `init` (child side, one thread) leaves a process behind that dies with the builder and takes all others along,
//!    reads the spec from a descriptor, builds the root file system, gives up privileges and executes the command in
//!    its own place, as process 1. If a step of that fails, it says which one through a pipe.
//!
//! What keeps a step in: mount, pid, ipc, uts and perhaps network namespaces, a root that was pivoted into, Docker's
//! default capabilities ([`caps`]) and system calls ([`seccomp`]), and a control group that opens only harmless
//! devices ([`devices`]), or, where there is none, mounts without devices. What it may use is up to the spec: each process by
//! its own limits ([`limits`]), all of them by more control groups ([`cgroup`]), and for how long by the builder.
//!
//! Mount points that an image lacks come from an extra layer ([`stubs`]), so that none are made in the layer of the
//! step. So whoever runs a step
//!
//! 1. fills a [`Spec`], with empty folders for `upper` and `work`,
//! 2. has [`stubs::stubs`] say what the image lacks, writes the kept entries to `upper` and the hidden ones to a folder
//!    that becomes the first of `lower`,
//! 3. calls [`Executor::run`], and
//! 4. reads `upper` as a layer, but leaves out removals of what the image never had: a step may remove a stub's parents.
//!
//! A process that somebody sits in front of is run in another way, [`Attached`]: with the caller's own streams or with a
//! terminal of its own, and with signals.
//!
//! Nothing in here knows of steps, caches, Dockerfiles or the store; it needs Linux 5.12.

mod attached;
mod cancel;
pub mod caps;
mod cgroup;
mod devices;
mod error;
mod exec;
mod init;
mod keyring;
mod limits;
mod mounts;
mod network;
mod path;
mod program;
mod relay;
mod root;
mod run;
mod scope;
pub mod seccomp;
mod spawn;
mod spec;
mod standard;
pub mod stubs;
mod sys;
mod userns;
mod view;

pub use attached::{Attached, Streams};
pub use cancel::Cancel;
pub use error::{CommandProblem, SandboxError};
pub use init::init_if_asked;
pub use limits::Exceeded;
pub use run::{Executor, Namespaces, Simulated, sweep_groups};
pub use spawn::hand_on_no_descriptors;
pub use spec::{Bytes, Exit, MountKind, Network, SandboxMount, Spec};
pub use userns::{Privileges, UserNamespaceError, become_root};
pub use view::{mount_merged, open_merged};
