//! Programs for other processors: Linux runs them if an emulator is registered for them (binfmt_misc), and the kernel's
//! answer if there is none says nothing of that. Here it becomes advice.
//!
//! Nothing is foreseen: whether a program can be run is asked of the kernel, by running it. So a step whose programs are
//! for this machine after all works, and so does an emulator of any name.

use std::path::Path;

use crate::oci::Platform;
use crate::sandbox::{CommandProblem, SandboxError};
use crate::solve::StepError;

/// Where the kernel shows what is registered.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// A step for a platform that this machine cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this machine is {host} and cannot run programs for {platform}: {reason}")]
pub struct NoEmulation {
    /// What the step is for.
    pub platform: Platform,
    /// What this machine is.
    pub host: Platform,
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Unmounted,
    Unregistered,
    OutOfSight,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unmounted => "no emulator can be registered, because binfmt_misc is not mounted",
            Self::Unregistered => "no emulator is registered for them",
            Self::OutOfSight => "the emulator that is registered for them is not in the image",
        })
    }
}

impl NoEmulation {
    /// What to do about it.
    pub fn advice(&self) -> String {
        let install = "install one: on Debian and Ubuntu `apt-get install qemu-user-static binfmt-support` installs and \
                       registers QEMU";
        match self.reason {
            Reason::Unmounted => {
                format!("`mount -t binfmt_misc binfmt_misc {REGISTERED}`, then {install}")
            }
            Reason::Unregistered => install.into(),
            Reason::OutOfSight => {
                "register it with flag F, as Debian's qemu-user-static does: then the kernel opens it once, outside of \
                 the image"
                    .into()
            }
        }
    }
}

/// What the failure to run a command means where it is for another machine; else the failure itself.
pub fn explain(error: SandboxError, platform: &Platform) -> StepError {
    let host = Platform::host();
    if let SandboxError::Command { problem, .. } = &error
        && host.rank(platform).is_none()
        && let Some(reason) = reason(*problem, platform, Path::new(REGISTERED))
    {
        return StepError::Emulation(Box::new(NoEmulation { platform: platform.clone(), host, reason }));
    }
    error.into()
}

fn reason(problem: CommandProblem, platform: &Platform, registered: &Path) -> Option<Reason> {
    let format = || handler(platform, registered);
    match problem {
        CommandProblem::ExecFormat if !registered.join("register").exists() => Some(Reason::Unmounted),
        // With an emulator, it is the program that has no format.
        CommandProblem::ExecFormat => format().is_none().then_some(Reason::Unregistered),
        CommandProblem::NoInterpreter => format().filter(|fixed| !fixed).map(|_| Reason::OutOfSight),
        _ => None,
    }
}

/// Whether there is a handler for programs of a platform, and then whether it has flag F.
fn handler(platform: &Platform, registered: &Path) -> Option<bool> {
    let entries = std::fs::read_dir(registered).ok()?.flatten();
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts.filter_map(|text| handles(&text, platform)).reduce(|one, other| one || other)
}

/// The same of one handler, as the kernel shows it.
fn handles(text: &str, platform: &Platform) -> Option<bool> {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    if !text.starts_with("enabled") || value("offset ")? != "0" {
        return None;
    }
    let magic = value("magic ")?;
    let byte = |at: usize| u8::from_str_radix(magic.get(2 * at..2 * at + 2)?, 16).ok();
    // The header of an ELF file: its class and byte order are at 4 and 5, its machine at 18.
    let (class, order) = (byte(4)?, byte(5)?);
    let machine = [byte(18)?, byte(19)?];
    let machine = if order == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    (elf(platform)? == (class, order, machine)).then(|| value("flags: ").is_some_and(|flags| flags.contains('F')))
}

/// Class, byte order and machine of a platform's programs, as elf(5) numbers them.
fn elf(platform: &Platform) -> Option<(u8, u8, u16)> {
    Some(match platform.architecture.as_str() {
        "386" => (1, 1, 3),
        "amd64" => (2, 1, 62),
        "arm" => (1, 1, 40),
        "arm64" => (2, 1, 183),
        "loong64" => (2, 1, 258),
        "mips64le" => (2, 1, 8),
        "ppc64le" => (2, 1, 21),
        "riscv64" => (2, 1, 243),
        "s390x" => (2, 2, 22),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM64: &str = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\n\
                         magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn knows_handlers_by_what_they_handle() {
        let check = |text: &str, platform: &str, expected: Option<bool>| {
            assert_eq!(handles(text, &platform.parse().unwrap()), expected, "{text}");
        };
        check(ARM64, "linux/arm64", Some(true));
        check(ARM64, "linux/arm64/v9", Some(true));
        check(ARM64, "linux/arm", None);
        check(&ARM64.replace("OCF", "OC"), "linux/arm64", Some(false));
        check(&ARM64.replace("enabled", "disabled"), "linux/arm64", None);
        check("enabled\ninterpreter /usr/bin/cli\nflags: \noffset 0\nmagic 4d5a\n", "linux/arm64", None);
        check("enabled\n", "linux/arm64", None);
    }

    #[test]
    fn says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let arm64 = "linux/arm64".parse().unwrap();
        let check = |problem, expected: Option<Reason>| assert_eq!(reason(problem, &arm64, folder.path()), expected);
        check(CommandProblem::ExecFormat, Some(Reason::Unmounted));
        std::fs::write(folder.path().join("register"), "").unwrap();
        check(CommandProblem::ExecFormat, Some(Reason::Unregistered));
        check(CommandProblem::NoInterpreter, None);
        std::fs::write(folder.path().join("any-name"), ARM64.replace("OCF", "OC")).unwrap();
        check(CommandProblem::ExecFormat, None);
        check(CommandProblem::NoInterpreter, Some(Reason::OutOfSight));
        check(CommandProblem::NotFound, None);
        std::fs::write(folder.path().join("any-name"), ARM64).unwrap();
        check(CommandProblem::NoInterpreter, None);
    }

    #[test]
    fn what_is_for_this_machine_is_no_matter_of_emulation() {
        let error = SandboxError::Command { command: "x".into(), problem: CommandProblem::ExecFormat };
        assert!(matches!(explain(error, &Platform::host()), StepError::Sandbox(_)));
    }
}
