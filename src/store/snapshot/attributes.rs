//! Extended attributes of open files, as a map.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

use super::tree::os;

/// All attributes whose names satisfy `wanted`. None where the file system has no attributes at all.
pub(super) fn read(file: impl AsFd, wanted: impl Fn(&[u8]) -> bool) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut names = vec![0_u8; 256];
    let length = grow(&mut names, |buffer| flistxattr(&file, buffer));
    let length = match length {
        Err(Errno::NOTSUP) => return Ok(found),
        length => length?,
    };
    for name in names[..length].split(|&b| b == 0).filter(|name| !name.is_empty() && wanted(name)) {
        let mut value = vec![0_u8; 256];
        match grow(&mut value, |buffer| fgetxattr(&file, os(name), buffer)) {
            Ok(length) => {
                value.truncate(length);
                found.insert(name.to_vec(), value);
            }
            // Listed and yet not there for us: some file systems do that.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Calls with a buffer that grows to the kernel's limit of 64 KiB.
fn grow(buffer: &mut Vec<u8>, mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<usize, Errno> {
    match call(buffer) {
        Err(Errno::RANGE) => {
            buffer.resize(64 << 10, 0);
            call(buffer)
        }
        result => result,
    }
}

/// Sets attributes.
pub(super) fn write(file: impl AsFd, attributes: &BTreeMap<Vec<u8>, Vec<u8>>) -> io::Result<()> {
    for (name, value) in attributes {
        fsetxattr(&file, os(name), value, XattrFlags::empty()).map_err(|error| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("extended attribute {}: {error}", String::from_utf8_lossy(name)))
        })?;
    }
    Ok(())
}
