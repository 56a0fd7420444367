//! Working without root: whoever is not root becomes it in a user namespace, before anything else happens.

use super::Session;
use crate::ops::Error;
use crate::sandbox::{Privileges, UserNamespaceError, become_root};

/// What to do where users are not mapped.
const RANGES: &str = "give this user a range in /etc/subuid and /etc/subgid (`usermod --add-subuids 100000-165535 \
                      --add-subgids 100000-165535 USER`, as root), and install newuidmap and newgidmap (package uidmap)";

/// Enters the namespace, if this is not root. To be called while there is one thread. What steps will miss there is said if
/// there will be steps.
pub(super) fn enter(session: &Session, steps: bool) -> Result<(), Error> {
    let path = session.env.variable("PATH").unwrap_or_default();
    let installed = |program| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    match become_root(["newuidmap", "newgidmap"].into_iter().all(installed)) {
        Ok(Privileges::Root | Privileges::Mapped) => {}
        Ok(Privileges::Single) if !steps => {}
        Ok(Privileges::Single) => session.complain(&format!(
            "warning: this user has no range of other users, so what images say of owners cannot be kept\nhelp: {RANGES}\n"
        )),
        Err(error) => return Err(explained(error)),
    }
    Ok(())
}

fn explained(error: UserNamespaceError) -> Error {
    let message = error.to_string();
    let help = match &error {
        UserNamespaceError::Refused(_) => {
            "allow it (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, \
             kernel.apparmor_restrict_unprivileged_userns), or run as root"
        }
        UserNamespaceError::Mapping { .. } => RANGES,
        UserNamespaceError::Io(_) => "run as root",
    };
    Error::environment(message).caused_by(error).help(help)
}
