//! What programs say that they were made of: those of Go, and those of Rust that cargo-auditable built. Only a few pieces of
//! a file are read, however large it is, and of most only the first.

mod elf;
mod go;
mod rust;

use elf::Elf;

use super::package::Package;
use super::pieces::Pieces;

/// The most that a program is believed to say, in bytes. What Go writes has some ten thousand.
const MAX_SAID: u64 = 8 << 20;

/// The packages in a program; none if it is not one, or does not say.
pub fn read(file: &mut Pieces<'_>) -> Vec<Package> {
    let Some(elf) = Elf::read(file) else { return Vec::new() };
    let mut found = go::read(&elf, file).unwrap_or_default();
    found.extend(rust::read(&elf, file).unwrap_or_default());
    found
}

#[cfg(test)]
mod tests;
