//! rpm's packages: the databases of its three backends, each of which keeps one header a package.
//!
//! The readers here know the formats as far as listing needs it, and look nothing up. SQLite's is read by code of our own,
//! too: what is wanted is all rows of one table, a small part of a format that does not change any more
//! (`ARCHITECTURE.md` says why not by SQLite).
//!
//! Nothing in a database is believed. A part of a file belongs to one thing only, so whoever has read more than the file
//! has goes in circles, and stops ([`Once`]).

mod berkeley;
mod header;
mod log;
mod ndb;
mod sqlite;

use super::format::{Format, MAX_PACKAGES};
use super::package::Package;
use super::pieces::Pieces;

/// The longest header that is read, in bytes: four times what was rpm's own limit for many years.
const MAX_HEADER: u64 = 64 << 20;

/// The installed packages; of a broken database, those that are found.
pub fn read(format: Format, database: &mut Pieces<'_>) -> Vec<Package> {
    let mut found = Found::default();
    // It ends early where the rest cannot be read.
    let _ = match format {
        Format::RpmSqlite => sqlite::read(database, &mut found),
        Format::RpmNdb => ndb::read(database, &mut found),
        _ => berkeley::read(database, &mut found),
    };
    found.packages
}

/// The packages so far.
#[derive(Default)]
struct Found {
    packages: Vec<Package>,
}

impl Found {
    /// Adds the package of a header, if it is one; none once there are so many that there is no use in going on.
    fn add(&mut self, header: &[u8]) -> Option<()> {
        self.packages.extend(header::package(header));
        (self.packages.len() <= MAX_PACKAGES).then_some(())
    }
}

/// How many more bytes there can be that were not read yet.
struct Once(u64);

impl Once {
    /// Reads a piece that nothing else has.
    fn at(&mut self, file: &mut Pieces<'_>, offset: u64, length: u64) -> Option<Vec<u8>> {
        self.0 = self.0.checked_sub(length)?;
        file.at(offset, length)
    }
}

#[cfg(test)]
mod tests;
