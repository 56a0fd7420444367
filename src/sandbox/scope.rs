//! Abstract sockets of the machine, which have names in no file system: a step that has the machine's network would see them.
//!
//! Programs let whoever has their user in there, which the root of a step may be (CVE-2020-15257), and so may that of a
//! build without root. Landlock draws the line from Linux 6.12 on; on an older kernel, only a network of its own keeps a
//! step from them.

use landlock::{RulesetAttr, RulesetCreatedAttr, RulesetError, Scope};

/// Cuts this process, and all that it will start, off from abstract sockets that others have made. Paths, files and
/// everything else stay as they are. Where the kernel cannot, nothing happens. Needs `CAP_SYS_ADMIN`.
pub(super) fn cut_off() -> Result<(), RulesetError> {
    let rules = landlock::Ruleset::default().scope(Scope::AbstractUnixSocket)?.create()?;
    rules.no_new_privs(false).restrict_self().map(drop)
}
