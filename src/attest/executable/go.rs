//! Go's programs: the modules that they were linked of, and the version of the standard library, as the linker writes them
//! (Go's `debug/buildinfo` describes it, and `go version -m` shows it).
//!
//! Debian builds its programs without modules, so those name the standard library only.

use super::MAX_SAID;
use super::elf::{Elf, Part};
use crate::attest::package::{Ecosystem, Package};
use crate::attest::pieces::{Order, Pieces};

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// It stands at a multiple of this.
const ALIGNMENT: usize = 16;
/// What stands before the two texts, or instead of them says where they are.
const HEADER: u64 = 32;
/// How much of the data is looked through where somebody took the table of sections away.
const SEARCHED: u64 = 64 << 10;
/// What is around the list of modules, in bytes.
const MARK: usize = 16;

/// The modules of a program.
pub fn read(elf: &Elf, file: &mut Pieces<'_>) -> Option<Vec<Package>> {
    let part = if elf.has_sections() { elf.section(".go.buildinfo") } else { elf.data() }?;
    let start = find(part, file)?;
    let header = file.at(start, HEADER)?;
    let (version, modules) = match header[15] {
        flags if flags & 2 != 0 => {
            let mut place = start + HEADER;
            (counted(&mut place, file)?, counted(&mut place, file).unwrap_or_default())
        }
        flags => {
            // Before Go 1.18: the addresses of two strings, each of which is an address and a length.
            let order = if flags & 1 != 0 { Order::Big } else { Order::Little };
            let size = header[14];
            let first = number(&header[16..], order, size)?;
            let second = number(header.get(16 + usize::from(size)..)?, order, size)?;
            let mut string = |address| pointed(elf, file, address, order, size);
            (string(first)?, string(second).unwrap_or_default())
        }
    };
    let mut found = modules_in(&String::from_utf8_lossy(unmarked(&modules)));
    let version = String::from_utf8_lossy(&version);
    if let Some(version) = version.split_whitespace().next().and_then(|version| version.strip_prefix("go")) {
        found.push(Package::new(Ecosystem::Go, "stdlib", version));
    }
    Some(found)
}

/// Where the magic is.
fn find(part: Part, file: &mut Pieces<'_>) -> Option<u64> {
    let data = file.at(part.offset, part.size.min(SEARCHED))?;
    let place = data.chunks(ALIGNMENT).position(|chunk| chunk.starts_with(MAGIC))?;
    part.offset.checked_add((place * ALIGNMENT) as u64)
}

/// A text with its length before it, seven bits a byte, the lowest first.
fn counted(place: &mut u64, file: &mut Pieces<'_>) -> Option<Vec<u8>> {
    let mut length = 0_u64;
    for shift in (0..28).step_by(7) {
        let byte = *file.at(*place, 1)?.first()?;
        *place += 1;
        length |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let text = file.at(*place, Some(length).filter(|&length| length <= MAX_SAID)?)?;
            *place += length;
            return Some(text);
        }
    }
    None
}

/// The text of a string at an address.
fn pointed(elf: &Elf, file: &mut Pieces<'_>, address: u64, order: Order, size: u8) -> Option<Vec<u8>> {
    let string = elf.memory(file, address, 2 * u64::from(size))?;
    let (start, length) = string.split_at_checked(usize::from(size))?;
    let length = number(length, order, size).filter(|&length| length <= MAX_SAID)?;
    elf.memory(file, number(start, order, size)?, length)
}

fn number(bytes: &[u8], order: Order, size: u8) -> Option<u64> {
    match size {
        4 => order.u32(bytes, 0).map(u64::from),
        8 => order.u64(bytes, 0),
        _ => None,
    }
}

/// The list without what the linker puts around it, so that it can be found in any program.
fn unmarked(modules: &[u8]) -> &[u8] {
    match modules.len().checked_sub(MARK) {
        Some(end) if end > MARK && modules[end - 1] == b'\n' => &modules[MARK..end],
        _ => &[],
    }
}

/// What the lines of the list name: the program's own module, those that it depends on, and what replaced them.
fn modules_in(text: &str) -> Vec<Package> {
    let mut found: Vec<Package> = Vec::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        match (fields.next(), fields.next(), fields.next()) {
            (Some("mod" | "dep"), Some(path), Some(version)) => found.push(Package::new(Ecosystem::Go, path, version)),
            // What is replaced by a folder has no version there, and is called by its name.
            (Some("=>"), Some(path), Some(version)) if is_version(version) => {
                found.pop();
                found.push(Package::new(Ecosystem::Go, path, version));
            }
            // The first one is the program's own.
            (Some("build"), Some(setting), _) => {
                if let (Some(commit), Some(own)) = (setting.strip_prefix("vcs.revision="), found.first_mut())
                    && !is_version(&own.version)
                {
                    own.version = commit.to_owned();
                }
            }
            _ => {}
        }
    }
    found
}

fn is_version(text: &str) -> bool {
    !text.is_empty() && text != "(devel)"
}
