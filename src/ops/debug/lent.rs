//! A shell for images that have none: this machine's, if it has a static one.
//!
//! Only a program that needs nothing of the file system it comes from can run in another one.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where distributions put static shells. All but those called busybox are nothing but a shell.
const PLACES: [&str; 8] = [
    "/bin/busybox",
    "/usr/bin/busybox",
    "/bin/busybox.static",
    "/usr/sbin/busybox",
    "/bin/bash-static",
    "/usr/bin/bash-static",
    "/bin/sash",
    "/usr/bin/sash",
];
/// The largest program header table that is looked at, in bytes.
const MAX_HEADERS: usize = 64 << 10;
/// The type of the program header that names an interpreter: the dynamic linker.
const PT_INTERP: u32 = 3;

/// A static shell of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LentShell {
    /// The program.
    pub program: PathBuf,
    /// Whether it is busybox, which is many programs.
    pub is_busybox: bool,
}

impl LentShell {
    /// The first one that there is.
    pub fn find() -> Option<Self> {
        let found = PLACES.iter().map(Path::new).find(|place| is_static(place))?;
        let is_busybox = found.file_name().is_some_and(|name| name.to_string_lossy().starts_with("busybox"));
        Some(Self { program: found.to_owned(), is_busybox })
    }

    /// Fills a new folder with the shell, as `sh`, and with everything else that it is.
    pub fn fill(&self, folder: &Path) -> std::io::Result<()> {
        let program = folder.join("sh");
        fs::copy(&self.program, &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        for name in self.others() {
            // What is there already is the shell.
            let _ = std::os::unix::fs::symlink("sh", folder.join(name));
        }
        Ok(())
    }

    fn others(&self) -> Vec<String> {
        if !self.is_busybox {
            return Vec::new();
        }
        let listed = Command::new(&self.program).arg("--list").output();
        let listed = listed.ok().filter(|output| output.status.success()).map(|output| output.stdout);
        let text = String::from_utf8_lossy(&listed.unwrap_or_default()).into_owned();
        let names = text.lines().filter(|name| !name.is_empty() && !name.contains('/'));
        names.map(str::to_owned).collect()
    }
}

/// Whether this is a program of 64 bits for this machine's byte order that needs no dynamic linker.
fn is_static(path: &Path) -> bool {
    let read = || {
        let mut start = Vec::new();
        fs::File::open(path)?.take(MAX_HEADERS as u64).read_to_end(&mut start)?;
        Ok::<_, std::io::Error>(start)
    };
    read().is_ok_and(|start| needs_no_linker(&start) == Some(true))
}

/// The same of the first bytes of a file; none if it is no such program.
fn needs_no_linker(elf: &[u8]) -> Option<bool> {
    let native = if cfg!(target_endian = "little") { 1 } else { 2 };
    if elf.get(..6)? != [0x7f, b'E', b'L', b'F', 2, native] {
        return None;
    }
    let half = |at: usize| Some(u16::from_ne_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let table = usize::try_from(u64::from_ne_bytes(elf.get(32..40)?.try_into().ok()?)).ok()?;
    let (size, count) = (usize::from(half(54)?), usize::from(half(56)?));
    if count == 0 {
        return None;
    }
    for number in 0..count {
        let at = table.checked_add(number.checked_mul(size)?)?;
        let kind = u32::from_ne_bytes(elf.get(at..at.checked_add(4)?)?.try_into().ok()?);
        if kind == PT_INTERP {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program with headers of these types.
    fn elf(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56 * kinds.len()];
        let native = if cfg!(target_endian = "little") { 1 } else { 2 };
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, native]);
        bytes[32..40].copy_from_slice(&64u64.to_ne_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_ne_bytes());
        bytes[56..58].copy_from_slice(&u16::try_from(kinds.len()).unwrap().to_ne_bytes());
        for (number, kind) in kinds.iter().enumerate() {
            bytes[64 + 56 * number..][..4].copy_from_slice(&kind.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn tells_static_programs_from_others() {
        let check = |bytes: &[u8], expected| assert_eq!(needs_no_linker(bytes), expected);
        check(&elf(&[1, 1, 6]), Some(true));
        check(&elf(&[6, PT_INTERP, 1]), Some(false));
        check(&elf(&[]), None);
        check(&elf(&[1, 1])[..100], None);
        check(b"#!/bin/sh\n", None);
        check(b"", None);
    }
}
