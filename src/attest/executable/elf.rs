//! ELF (the System V ABI, chapter 4), as far as it says where in the file a section is, and what is at an address.

use crate::attest::pieces::{Order, Pieces};

/// The most sections and segments that a program is believed to have. The linkers' make some dozens.
const MAX_PARTS: u16 = 4096;
/// The longest table of names, in bytes.
const MAX_NAMES: u64 = 1 << 20;

const EXECUTABLE: u16 = 2;
const SHARED: u16 = 3;
/// A section that has no bytes in the file.
const NO_BITS: u32 = 8;
/// A segment that becomes memory, and the flag of one that may be written to.
const LOAD: u32 = 1;
const WRITABLE: u32 = 2;

/// A program's parts.
pub struct Elf {
    /// In which order its numbers are.
    pub order: Order,
    /// Whether addresses have eight bytes, and not four.
    wide: bool,
    names: Vec<u8>,
    sections: Vec<Section>,
    segments: Vec<Segment>,
}

/// A part of the file with a name.
struct Section {
    name: usize,
    part: Part,
}

/// A part of the file that becomes memory.
struct Segment {
    address: u64,
    writable: bool,
    part: Part,
}

/// A part of the file.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Where it begins.
    pub offset: u64,
    /// How many bytes it has.
    pub size: u64,
}

impl Elf {
    /// Reads the headers.
    pub fn read(file: &mut Pieces<'_>) -> Option<Self> {
        let ident = file.at(0, 16)?;
        if !ident.starts_with(b"\x7fELF") {
            return None;
        }
        let wide = match ident[4] {
            1 => false,
            2 => true,
            _ => return None,
        };
        let order = match ident[5] {
            1 => Order::Little,
            2 => Order::Big,
            _ => return None,
        };
        let header = file.at(0, if wide { 64 } else { 52 })?;
        if !matches!(order.u16(&header, 16)?, EXECUTABLE | SHARED) {
            return None;
        }
        let mut elf = Self { order, wide, names: Vec::new(), sections: Vec::new(), segments: Vec::new() };
        let (segments, sections, counts) = if wide { (32, 40, 54) } else { (28, 32, 42) };
        let (segments, sections) = (elf.word(&header, segments)?, elf.word(&header, sections)?);
        let count = |place: usize| order.u16(&header, counts + 2 * place);
        // Either table may be missing, or end early.
        let _ = elf.read_segments(file, segments, count(0)?, count(1)?);
        let _ = elf.read_sections(file, sections, count(2)?, count(3)?, count(4)?);
        Some(elf)
    }

    fn read_segments(&mut self, file: &mut Pieces<'_>, offset: u64, size: u16, count: u16) -> Option<()> {
        let table = table(file, offset, size, count)?;
        for entry in table.chunks_exact(usize::from(size)) {
            let (flags, offset, address, length) = if self.wide { (4, 8, 16, 32) } else { (24, 4, 8, 16) };
            if self.order.u32(entry, 0)? == LOAD {
                self.segments.push(Segment {
                    address: self.word(entry, address)?,
                    writable: self.order.u32(entry, flags)? & WRITABLE != 0,
                    part: Part { offset: self.word(entry, offset)?, size: self.word(entry, length)? },
                });
            }
        }
        Some(())
    }

    fn read_sections(&mut self, file: &mut Pieces<'_>, offset: u64, size: u16, count: u16, names: u16) -> Option<()> {
        let table = table(file, offset, size, count)?;
        for entry in table.chunks_exact(usize::from(size)) {
            let (offset, length) = if self.wide { (24, 32) } else { (16, 20) };
            let size = match self.order.u32(entry, 4)? {
                NO_BITS => 0,
                _ => self.word(entry, length)?,
            };
            let part = Part { offset: self.word(entry, offset)?, size };
            self.sections.push(Section { name: usize::try_from(self.order.u32(entry, 0)?).ok()?, part });
        }
        let names = self.sections.get(usize::from(names))?.part;
        self.names = file.at(names.offset, names.size.min(MAX_NAMES))?;
        Some(())
    }

    /// Whether it is known which sections there are.
    pub fn has_sections(&self) -> bool {
        !self.sections.is_empty()
    }

    /// Where the section with this name is.
    pub fn section(&self, name: &str) -> Option<Part> {
        let named = |section: &&Section| {
            let rest = self.names.get(section.name..).and_then(|names| names.strip_prefix(name.as_bytes()));
            rest.is_some_and(|rest| rest.first() == Some(&0))
        };
        self.sections.iter().find(named).map(|section| section.part)
    }

    /// Where the first data are that the program may change.
    pub fn data(&self) -> Option<Part> {
        self.segments.iter().find(|segment| segment.writable).map(|segment| segment.part)
    }

    /// Reads what is at an address once the program runs.
    pub fn memory(&self, file: &mut Pieces<'_>, address: u64, length: u64) -> Option<Vec<u8>> {
        let (start, part) = self.segments.iter().find_map(|segment| {
            let start = address.checked_sub(segment.address)?;
            (start < segment.part.size).then_some((start, segment.part))
        })?;
        if start.checked_add(length)? > part.size {
            return None;
        }
        file.at(part.offset.checked_add(start)?, length)
    }

    /// A number that is as wide as addresses are.
    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.wide { self.order.u64(bytes, at) } else { self.order.u32(bytes, at).map(u64::from) }
    }
}

/// A table of headers. Those that are too short end where the first field is missing.
fn table(file: &mut Pieces<'_>, offset: u64, size: u16, count: u16) -> Option<Vec<u8>> {
    if size == 0 || size > 256 || count > MAX_PARTS {
        return None;
    }
    file.at(offset, u64::from(size) * u64::from(count))
}
