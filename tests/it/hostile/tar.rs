//! Tars by hand: every field can be anything. The checksums are right, or nothing behind them would be reached.

use std::io::Write;
use std::process::{Command, Stdio};

/// The size of a tar's unit, in bytes.
pub const BLOCK: usize = 512;

/// A tar that grows.
#[derive(Debug, Clone, Default)]
pub struct Tar(pub Vec<u8>);

/// A header that can say anything.
#[derive(Debug, Clone)]
pub struct Header(pub [u8; BLOCK]);

impl Header {
    /// An ustar header of this type and name, cut to what fits.
    pub fn new(flag: u8, name: impl AsRef<[u8]>) -> Self {
        let mut header = Self([0; BLOCK]);
        let name = name.as_ref();
        let fits = name.len().min(100);
        header.0[..fits].copy_from_slice(&name[..fits]);
        for (at, digits) in [(100, "0000755"), (108, "0000000"), (116, "0000000"), (136, "00000000007")] {
            header.0[at..at + digits.len()].copy_from_slice(digits.as_bytes());
        }
        header.0[156] = flag;
        header.0[257..265].copy_from_slice(b"ustar\x0000");
        header.size(0)
    }

    /// Overwrites a field.
    pub fn field(mut self, at: usize, bytes: impl AsRef<[u8]>) -> Self {
        self.0[at..at + bytes.as_ref().len()].copy_from_slice(bytes.as_ref());
        self
    }

    pub fn size(self, size: u64) -> Self {
        if size < 1 << 33 { self.field(124, format!("{size:011o}")) } else { self.field(124, large(size)) }
    }

    pub fn link(self, target: impl AsRef<[u8]>) -> Self {
        let target = target.as_ref();
        self.field(157, &target[..target.len().min(100)])
    }

    pub fn device(self, major: u32, minor: u32) -> Self {
        self.field(329, format!("{major:07o}")).field(337, format!("{minor:07o}"))
    }

    /// GNU's own magic, which has other fields behind it.
    pub fn gnu(self) -> Self {
        self.field(257, b"ustar  \0")
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|&byte| u32::from(byte)).sum();
        self.field(148, format!("{sum:06o}\0 ")).0
    }
}

/// A number of eleven bytes as GNU writes those that octal digits are too short for.
pub fn large(number: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[0] = 0x80;
    field[4..].copy_from_slice(&number.to_be_bytes());
    field
}

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    /// A header, and bytes that it need not agree with.
    pub fn raw(mut self, header: Header, data: &[u8]) -> Self {
        self.0.extend(header.finish());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    pub fn file(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        self.long(name.as_ref()).raw(Header::new(b'0', name).size(content.len() as u64), content)
    }

    pub fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.long(name.as_ref()).raw(Header::new(b'5', name), b"")
    }

    pub fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.long_link(target.as_ref()).long(name.as_ref()).raw(Header::new(b'2', name).link(target), b"")
    }

    pub fn hardlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.long_link(target.as_ref()).long(name.as_ref()).raw(Header::new(b'1', name).link(target), b"")
    }

    pub fn node(self, flag: u8, name: &str, major: u32, minor: u32) -> Self {
        self.raw(Header::new(flag, name).device(major, minor), b"")
    }

    /// What the next entry is called, whatever its header says.
    pub fn long_name(self, name: &[u8]) -> Self {
        self.raw(Header::new(b'L', "././@LongLink").size(name.len() as u64), name)
    }

    fn long(self, name: &[u8]) -> Self {
        if name.len() > 100 { self.long_name(name) } else { self }
    }

    fn long_link(self, target: &[u8]) -> Self {
        if target.len() > 100 {
            return self.raw(Header::new(b'K', "././@LongLink").size(target.len() as u64), target);
        }
        self
    }

    /// An extended header with these records, for the next entry.
    pub fn pax<K: AsRef<[u8]>, V: AsRef<[u8]>>(self, records: &[(K, V)]) -> Self {
        let records: Vec<u8> = records.iter().flat_map(|(key, value)| record(key.as_ref(), value.as_ref())).collect();
        self.pax_bytes(b'x', &records)
    }

    /// An extended header of any bytes.
    pub fn pax_bytes(self, flag: u8, bytes: &[u8]) -> Self {
        self.raw(Header::new(flag, "PaxHeaders/x").size(bytes.len() as u64), bytes)
    }

    /// Bytes that are no entry.
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend(bytes.as_ref());
        self
    }

    /// The entries of another one behind these.
    pub fn then(self, other: Self) -> Self {
        self.bytes(other.0)
    }

    /// The end mark.
    pub fn end(self) -> Vec<u8> {
        self.bytes([0; 2 * BLOCK]).0
    }
}

/// A record of an extended header. Its length counts itself.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key, b"=", value, b"\n"].concat();
    let length =
        (1..).map(|digits| rest.len() + digits).find(|length| rest.len() + length.to_string().len() == *length);
    [length.unwrap().to_string().as_bytes(), &rest].concat()
}

/// What a packer makes of these bytes; the bytes themselves without one.
pub fn packed(packer: &str, bytes: &[u8]) -> Vec<u8> {
    if packer.is_empty() {
        return bytes.to_vec();
    }
    let mut child = Command::new(packer).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{packer}");
        output.stdout
    })
}

#[test]
fn another_program_reads_what_is_written() {
    let bytes = Tar::new().dir("d").file("d/f", "text").symlink("l", "d/f").file("n".repeat(300), "").end();
    let folder = crate::support::scratch();
    let path = crate::support::put(folder.path(), "a.tar", bytes);
    let listed = crate::support::sh(&["tar", "-tvf", path.to_str().unwrap()]);
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert!(listed.contains("l -> d/f"), "{listed}");
}
