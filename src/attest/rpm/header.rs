//! A package's header (rpm's manual, "RPM V4 package format"): an index of tags, and the values that it points to. In a
//! database it has neither the magic number nor the padding that it has in a package's file.

use crate::attest::package::{Ecosystem, Package};
use crate::attest::pieces::Order;

/// The longest value that is taken, in bytes. Licences of large packages have some thousands.
const MAX_TEXT: usize = 16 << 10;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const VENDOR: u32 = 1011;
const LICENSE: u32 = 1014;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;

const INT32: u32 = 4;
const STRING: u32 = 6;
/// As many strings as there are languages, the first of which is in none of them.
const I18N_STRING: u32 = 9;

/// The package that a header is of. The keys that rpm keeps as if they were packages are none.
pub fn package(header: &[u8]) -> Option<Package> {
    let header = Header::parse(header)?;
    let name = header.text(NAME).filter(|name| name != "gpg-pubkey")?;
    let (version, release) = (header.text(VERSION)?, header.text(RELEASE)?);
    let version = match header.number(EPOCH) {
        Some(epoch) => format!("{epoch}:{version}-{release}"),
        None => format!("{version}-{release}"),
    };
    let mut package = Package::new(Ecosystem::Rpm, &name, &version);
    package.architecture = header.text(ARCH);
    package.source = header.text(SOURCE_RPM);
    package.license = header.text(LICENSE);
    package.supplier = header.text(VENDOR);
    Some(package)
}

/// A header whose two parts are within it.
struct Header<'a> {
    index: &'a [u8],
    values: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let entries = usize::try_from(Order::Big.u32(bytes, 0)?).ok()?;
        let length = usize::try_from(Order::Big.u32(bytes, 4)?).ok()?;
        let (index, values) = bytes.get(8..)?.split_at_checked(entries.checked_mul(16)?)?;
        Some(Self { index, values: values.get(..length)? })
    }

    /// The type of a tag's value, and what begins with it.
    fn value(&self, tag: u32) -> Option<(u32, &'a [u8])> {
        let entry = self.index.chunks_exact(16).find(|entry| Order::Big.u32(entry, 0) == Some(tag))?;
        let offset = usize::try_from(Order::Big.u32(entry, 8)?).ok()?;
        Some((Order::Big.u32(entry, 4)?, self.values.get(offset..)?))
    }

    /// A string, if it is not empty.
    fn text(&self, tag: u32) -> Option<String> {
        let (STRING | I18N_STRING, value) = self.value(tag)? else { return None };
        let end = value.iter().take(MAX_TEXT).position(|&byte| byte == 0).filter(|&end| end > 0)?;
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    }

    fn number(&self, tag: u32) -> Option<u32> {
        let (INT32, value) = self.value(tag)? else { return None };
        Order::Big.u32(value, 0)
    }
}
