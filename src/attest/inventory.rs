//! All packages of an image, put together from whatever says so.

use std::collections::BTreeMap;

use super::format::Format;
use super::package::{Distribution, Ecosystem, Package};
use super::pieces::Pieces;
use super::{apk, dpkg, executable, languages, rpm};

/// The longest name or version that a package is believed to have, in bytes.
const MAX_NAME: usize = 1024;

/// What is in an image, as far as its files say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    distribution: Distribution,
    packages: BTreeMap<(Ecosystem, String, String, Option<String>), Package>,
}

impl Inventory {
    /// Adds what a file says. Give the files in the order of their paths: the first that names a package is the one that
    /// the package is said to be found in.
    pub fn read(&mut self, path: &str, format: Format, file: &mut Pieces<'_>) {
        let bytes = match format.is_text() {
            true => file.at(0, file.size()).unwrap_or_default(),
            false => Vec::new(),
        };
        let text = String::from_utf8_lossy(&bytes);
        let found = match format {
            // `/etc` comes first, and is what the administrator says.
            Format::OsRelease => {
                if self.distribution.id.is_empty() {
                    self.distribution = Distribution::parse(&text);
                }
                return;
            }
            Format::DpkgStatus => dpkg::parse(&text, true),
            Format::DpkgPart => dpkg::parse(&text, false),
            Format::ApkInstalled => apk::parse(&text),
            Format::CargoLock => languages::cargo_lock(&text),
            Format::NpmLock => languages::npm_lock(&text),
            Format::NpmPackage => languages::npm_package(&text),
            Format::PythonMetadata => languages::python_metadata(&text),
            Format::Requirements => languages::requirements(&text),
            Format::GoMod => languages::go_mod(&text),
            Format::RpmSqlite | Format::RpmNdb | Format::RpmBerkeley => rpm::read(format, file),
            Format::Executable => executable::read(file),
        };
        for package in found {
            let fits = |text: &String| (1..=MAX_NAME).contains(&text.len());
            if !fits(&package.name) || !fits(&package.version) {
                continue;
            }
            let (name, architecture) = (package.canonical_name(), package.architecture.clone());
            let key = (package.ecosystem, name, package.version.clone(), architecture);
            self.packages.entry(key).or_insert(Package { found_in: path.to_owned(), ..package });
        }
    }

    /// The packages, by ecosystem, name and version.
    pub fn packages(&self) -> impl ExactSizeIterator<Item = &Package> {
        self.packages.values()
    }

    /// The distribution.
    pub fn distribution(&self) -> &Distribution {
        &self.distribution
    }
}
