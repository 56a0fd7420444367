//! Rust's programs, if cargo-auditable built them: the crates in them, as compressed JSON in a section of its own.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use super::MAX_SAID;
use super::elf::Elf;
use crate::attest::package::{Ecosystem, Package};
use crate::attest::pieces::Pieces;

/// How many times its size the section may unpack to. Lists of crates are far from it.
const MAX_RATIO: u64 = 64;

/// The crates of a program. Those that it was only built with are not in it, and its own are not from elsewhere.
pub fn read(elf: &Elf, file: &mut Pieces<'_>) -> Option<Vec<Package>> {
    #[derive(Deserialize)]
    struct Audit {
        packages: Vec<Crate>,
    }
    #[derive(Deserialize)]
    struct Crate {
        name: String,
        version: String,
        source: String,
        #[serde(default)]
        kind: String,
    }
    let part = elf.section(".dep-v0").filter(|part| part.size <= MAX_SAID)?;
    let packed = file.at(part.offset, part.size)?;
    let mut json = Vec::new();
    let limit = MAX_SAID.min(part.size.saturating_mul(MAX_RATIO));
    ZlibDecoder::new(packed.as_slice()).take(limit).read_to_end(&mut json).ok()?;
    let audit: Audit = serde_json::from_slice(&json).ok()?;
    let foreign = audit.packages.into_iter().filter(|found| found.source != "local" && found.kind != "build");
    Some(foreign.map(|found| Package::new(Ecosystem::Cargo, &found.name, &found.version)).collect())
}
