//! All packages of an image, put together from whatever says so.

use std::collections::BTreeMap;

use super::format::Format;
use super::package::{Distribution, Ecosystem, Package};
use super::{apk, dpkg, languages};

/// What is in an image, as far as its files say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    distribution: Distribution,
    packages: BTreeMap<(Ecosystem, String, String, Option<String>), Package>,
}

impl Inventory {
    /// Adds what a file says. Give the files in the order of their paths: the first that names a package is the one that
    /// the package is said to be found in.
    pub fn read(&mut self, path: &str, format: Format, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
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
        };
        for package in found {
            if package.name.is_empty() || package.version.is_empty() {
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
