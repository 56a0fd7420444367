//! Alpine's packages: `/lib/apk/db/installed` (apk-package(5), whose one-letter keys are those of its index).

use super::package::{Ecosystem, Package};
use super::stanza::stanzas;

/// The installed packages.
pub fn parse(text: &str) -> Vec<Package> {
    let package = |stanza: super::stanza::Stanza<'_>| {
        let mut package = Package::new(Ecosystem::Alpine, stanza.get("P")?, stanza.get("V")?);
        package.architecture = stanza.get("A").map(str::to_owned);
        package.license = stanza.get("L").map(str::to_owned);
        package.source = stanza.get("o").map(str::to_owned);
        Some(package)
    };
    stanzas(text).filter_map(package).collect()
}
