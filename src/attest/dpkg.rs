//! Debian's packages: `/var/lib/dpkg/status`, and `status.d` of images without dpkg (deb-control(5), dpkg-query(1)).

use super::package::{Ecosystem, Package};
use super::stanza::stanzas;

/// The installed packages. One that was removed but for its configuration is not in the image.
pub fn parse(text: &str, installed_by_dpkg: bool) -> Vec<Package> {
    let package = |stanza: super::stanza::Stanza<'_>| {
        let installed = stanza.get("Status").is_some_and(|status| status.ends_with(" installed"));
        if installed_by_dpkg && !installed {
            return None;
        }
        let mut package = Package::new(Ecosystem::Debian, stanza.get("Package")?, stanza.get("Version")?);
        package.architecture = stanza.get("Architecture").map(str::to_owned);
        package.source = stanza.get("Source").map(str::to_owned);
        Some(package)
    };
    stanzas(text).filter_map(package).collect()
}
