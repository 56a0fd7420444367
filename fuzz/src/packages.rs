//! What the files of an image say about the packages in it.

use imgbuild::attest::{Format, Inventory, Subject, cyclonedx, spdx};
use imgbuild::digest::Digest;

/// A file of an image, of the kind that its first byte says: there are no more packages than bytes, and both documents
/// can be made.
pub fn packages(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let format = match kind % 9 {
        0 => Format::OsRelease,
        1 => Format::DpkgStatus,
        2 => Format::DpkgPart,
        3 => Format::ApkInstalled,
        4 => Format::CargoLock,
        5 => Format::NpmLock,
        6 => Format::NpmPackage,
        7 => Format::PythonMetadata,
        _ => Format::Requirements,
    };
    let mut inventory = Inventory::default();
    inventory.read("a/b", format, bytes);
    assert!(inventory.packages().len() <= bytes.len());
    let subject = Subject { digest: Digest::of(data), created: None };
    assert!(spdx(&subject, &inventory).is_object() && cyclonedx(&subject, &inventory).is_object());
}
