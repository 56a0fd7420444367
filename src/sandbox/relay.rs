//! Sockets of the host for a step, such as an ssh agent's.
//!
//! The process may have any user, and the host's socket belongs to whoever builds. So it gets a socket of its own with
//! the owner and mode that were asked for, and the builder hands each connection on. What is said there is nobody's business here.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{Scope, ScopedJoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use crate::sandbox::SandboxError;
use crate::sandbox::path::chown;
use crate::sandbox::root::open_folder;
use crate::sandbox::spec::{MountKind, Spec};

/// Sockets that are served until this is dropped.
pub(super) struct Relays {
    /// Where they are, by the place of their mount in the spec.
    pub(super) paths: BTreeMap<usize, PathBuf>,
    stop: OwnedFd,
}

impl Relays {
    /// Makes a socket for each socket mount, in the spec's work folder, and serves it by threads of `scope`.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, spec: &Spec) -> Result<Self, SandboxError> {
        let failed = |error: io::Error| SandboxError::here("make a socket for the step", error);
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let mut relays = Self { paths: BTreeMap::new(), stop };
        for (index, mount) in spec.mounts.iter().enumerate() {
            let MountKind::Socket { path, mode, uid, gid } = &mount.kind else { continue };
            let name = format!("socket{index}");
            let listener = listen(&spec.work, &name, *mode, *uid, *gid).map_err(failed)?;
            relays.paths.insert(index, spec.work.join(name));
            let (target, stop) = (path.clone(), relays.stop.try_clone().map_err(failed)?);
            scope.spawn(move || serve(scope, &listener, &target, &stop));
        }
        Ok(relays)
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        // Every thread polls it, none reads it.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        for path in self.paths.values() {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn listen(folder: &Path, name: &str, mode: u32, uid: u32, gid: u32) -> io::Result<UnixListener> {
    let folder = open_folder(folder)?;
    // Through the descriptor, since an address has room for a short path only.
    let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    let listener = UnixListener::bind(&path)?;
    chown(folder.as_fd(), name.as_bytes(), uid, gid)?;
    std::fs::set_permissions(&path, Permissions::from_mode(mode & 0o777))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// One connection that is handed on: both ends, and the thread that does it.
type Connection<'scope> = (UnixStream, UnixStream, ScopedJoinHandle<'scope, ()>);

fn serve<'scope>(scope: &'scope Scope<'scope, '_>, listener: &UnixListener, target: &Path, stop: &OwnedFd) {
    let mut connections: Vec<Connection<'scope>> = Vec::new();
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            Err(_) => break,
            Ok(_) if !fds[1].revents().is_empty() => break,
            Ok(_) => {}
        }
        connections.retain(|(_, _, thread)| !thread.is_finished());
        // If the host's socket does not answer, neither does ours: the connection is closed.
        if let Ok((near, _)) = listener.accept()
            && let Ok(far) = UnixStream::connect(target)
            && let Ok(connection) = hand_on(scope, near, far)
        {
            connections.push(connection);
        }
    }
    for (near, far, _) in &connections {
        let _ = near.shutdown(Shutdown::Both);
        let _ = far.shutdown(Shutdown::Both);
    }
}

fn hand_on<'scope>(
    scope: &'scope Scope<'scope, '_>,
    near: UnixStream,
    far: UnixStream,
) -> io::Result<Connection<'scope>> {
    near.set_nonblocking(false)?;
    let (near_in, far_in) = (near.try_clone()?, far.try_clone()?);
    let (near_out, far_out) = (near.try_clone()?, far.try_clone()?);
    let thread = scope.spawn(move || {
        let back = scope.spawn(move || copy(far_in, near_out));
        copy(near_in, far_out);
        let _ = back.join();
    });
    Ok((near, far, thread))
}

fn copy(mut from: UnixStream, mut to: UnixStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn hands_on_what_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let agent = folder.path().join("agent");
        let listener = UnixListener::bind(&agent).unwrap();
        let own = std::fs::metadata(folder.path()).unwrap();
        let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&own), std::os::unix::fs::MetadataExt::gid(&own));
        let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let ours = listen(folder.path(), "ours", 0o600, uid, gid).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| serve(scope, &ours, &agent, &stop));
            let relays =
                Relays { paths: BTreeMap::from([(0, folder.path().join("ours"))]), stop: stop.try_clone().unwrap() };
            let talk = |question: &[u8]| {
                let mut near = UnixStream::connect(&relays.paths[&0]).unwrap();
                let (mut far, _) = listener.accept().unwrap();
                near.write_all(question).unwrap();
                let mut heard = vec![0; question.len()];
                far.read_exact(&mut heard).unwrap();
                far.write_all(b"answer").unwrap();
                drop(far);
                let mut answer = String::new();
                near.read_to_string(&mut answer).unwrap();
                assert_eq!((heard.as_slice(), answer.as_str()), (question, "answer"));
            };
            talk(b"one");
            talk(b"two");
            // One that is never closed does not keep the relay from ending.
            let _open = UnixStream::connect(&relays.paths[&0]).unwrap();
            let _far = listener.accept().unwrap();
            drop(relays);
        });
        assert!(!folder.path().join("ours").exists());
    }
}
