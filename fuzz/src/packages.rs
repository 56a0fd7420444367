//! What the files of an image say about the packages in it.

use std::io::Cursor;

use imgbuild::attest::{Format, Inventory, Pieces, Subject, cyclonedx, spdx};
use imgbuild::digest::Digest;

/// A file of an image, of the kind that its first byte says: there are no more packages than bytes (unless these are
/// compressed), and both documents can be made.
pub fn packages(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let format = match kind % 14 {
        0 => Format::OsRelease,
        1 => Format::DpkgStatus,
        2 => Format::DpkgPart,
        3 => Format::ApkInstalled,
        4 => Format::CargoLock,
        5 => Format::NpmLock,
        6 => Format::NpmPackage,
        7 => Format::PythonMetadata,
        8 => Format::Requirements,
        9 => Format::GoMod,
        10 => Format::RpmSqlite,
        11 => Format::RpmNdb,
        12 => Format::RpmBerkeley,
        _ => Format::Executable,
    };
    let mut inventory = Inventory::default();
    let mut file = Cursor::new(bytes);
    let mut pieces = Pieces::new(&mut file, bytes.len() as u64);
    inventory.read("a/b", format, &mut pieces);
    pieces.finish().expect("no piece is asked for that the file does not have");
    assert!(inventory.packages().len() <= bytes.len() || format == Format::Executable);
    let subject = Subject { digest: Digest::of(data), created: None };
    assert!(spdx(&subject, &inventory).is_object() && cyclonedx(&subject, &inventory).is_object());
}
