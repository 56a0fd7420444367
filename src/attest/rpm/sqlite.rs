//! `rpmdb.sqlite`: the second column of the table `Packages`, in SQLite's file format (sqlite.org/fileformat2).
//!
//! Only what that takes is known here: b-trees of tables with their overflow pages. Indexes, encodings and free pages are
//! not looked at.

use super::log::Log;
use super::{Found, MAX_HEADER, Once};
use crate::attest::pieces::{Order, Pieces};

/// More levels than a tree of SQLite can have.
const MAX_DEPTH: u32 = 20;
/// The table that says where the others are begins on the first page, behind the file's header.
const SCHEMA: u32 = 1;
const FILE_HEADER: usize = 100;

/// Finds the packages.
pub fn read(database: &mut Pieces<'_>, found: &mut Found) -> Option<()> {
    let mut pages = Pages::open(database)?;
    let mut root = None;
    let _ = pages.rows(SCHEMA, MAX_DEPTH, &mut |row| {
        root = Row::parse(row).and_then(|row| row.root_of("Packages"));
        root.is_none().then_some(())
    });
    pages.rows(root?, MAX_DEPTH, &mut |row| match Row::parse(row).and_then(|row| row.column(1)) {
        Some(header) => found.add(header),
        None => Some(()),
    })
}

/// The pages of a database.
struct Pages<'a, 'b> {
    file: &'a mut Pieces<'b>,
    log: Log,
    once: Once,
    /// How large a page is.
    size: u64,
    /// How much of it is used.
    usable: u64,
}

impl<'a, 'b> Pages<'a, 'b> {
    fn open(file: &'a mut Pieces<'b>) -> Option<Self> {
        let header = file.at(0, FILE_HEADER as u64)?;
        if !header.starts_with(b"SQLite format 3\0") {
            return None;
        }
        let size = match Order::Big.u16(&header, 16)? {
            1 => 1 << 16,
            size if size >= 512 && size.is_power_of_two() => u64::from(size),
            _ => return None,
        };
        let usable = size - u64::from(header[20]);
        // The least that there may be; the arithmetic of payloads relies on it.
        if usable < 480 {
            return None;
        }
        let (log, logged) = match file.beside() {
            Some(beside) => (Log::read(beside, size), beside.size()),
            None => (Log::default(), 0),
        };
        Some(Self { once: Once(file.size().saturating_add(logged)), file, log, size, usable })
    }

    /// The bytes of a page that are used. They are counted from one.
    fn page(&mut self, number: u32) -> Option<Vec<u8>> {
        let offset = u64::from(number.checked_sub(1)?) * self.size;
        let mut page = match (self.log.place(number), self.file.beside()) {
            (Some(place), Some(beside)) => self.once.at(beside, place, self.size)?,
            _ => self.once.at(self.file, offset, self.size)?,
        };
        page.truncate(usize::try_from(self.usable).ok()?);
        Some(page)
    }

    /// Gives each row of the table below a page to `each`, until that says none. Parts that are broken are passed over.
    fn rows(&mut self, number: u32, depth: u32, each: &mut dyn FnMut(&[u8]) -> Option<()>) -> Option<()> {
        let Some(page) = depth.checked_sub(1).and_then(|_| self.page(number)) else { return Some(()) };
        let start = if number == SCHEMA { FILE_HEADER } else { 0 };
        let cells = usize::from(Order::Big.u16(&page, start + 3)?);
        let (pointers, inner) = match page.get(start)? {
            0x0d => (start + 8, false),
            0x05 => (start + 12, true),
            _ => return Some(()),
        };
        for cell in 0..cells {
            let Some(cell) = Order::Big.u16(&page, pointers + 2 * cell).map(usize::from) else { break };
            if !inner {
                if let Some(row) = self.row(&page, cell) {
                    each(&row)?;
                }
            } else if let Some(child) = Order::Big.u32(&page, cell) {
                self.rows(child, depth - 1, each)?;
            }
        }
        match Order::Big.u32(&page, start + 8) {
            Some(last) if inner => self.rows(last, depth - 1, each),
            _ => Some(()),
        }
    }

    /// The row of a cell: what of it is in the page, and what follows on other pages.
    fn row(&mut self, page: &[u8], cell: usize) -> Option<Vec<u8>> {
        let mut rest = page.get(cell..)?;
        let length = varint(&mut rest)?;
        varint(&mut rest)?;
        if length > MAX_HEADER {
            return None;
        }
        // "Cell payload overflow pages", in the words of the specification: U, M and K.
        let usable = self.usable;
        let least = (usable - 12) * 32 / 255 - 23;
        let here = match length {
            _ if length <= usable - 35 => length,
            _ => match least + (length - least) % (usable - 4) {
                some if some <= usable - 35 => some,
                _ => least,
            },
        };
        let here_end = usize::try_from(here).ok()?;
        let mut row = rest.get(..here_end)?.to_vec();
        let mut next = if here < length { Order::Big.u32(rest, here_end)? } else { 0 };
        while (row.len() as u64) < length {
            let page = self.page(next)?;
            next = Order::Big.u32(&page, 0)?;
            let missing = usize::try_from(length).ok()? - row.len();
            let piece = page.get(4..)?;
            row.extend_from_slice(&piece[..missing.min(piece.len())]);
        }
        Some(row)
    }
}

/// A row's columns ("Record Format").
struct Row<'a> {
    types: &'a [u8],
    values: &'a [u8],
}

impl<'a> Row<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let header = usize::try_from(varint(&mut rest)?).ok()?;
        let (_, values) = bytes.split_at_checked(header)?;
        let types = rest.get(..header.checked_sub(bytes.len() - rest.len())?)?;
        Some(Self { types, values })
    }

    /// The bytes of a column, counted from none.
    fn column(&self, wanted: usize) -> Option<&'a [u8]> {
        let (mut types, mut values) = (self.types, self.values);
        for column in 0.. {
            let length = match varint(&mut types)? {
                kind @ 0..=4 => kind,
                5 => 6,
                6 | 7 => 8,
                8 | 9 => 0,
                10 | 11 => return None,
                kind => (kind - 12) / 2,
            };
            let (value, rest) = values.split_at_checked(usize::try_from(length).ok()?)?;
            if column == wanted {
                return Some(value);
            }
            values = rest;
        }
        None
    }

    /// The page on which a table begins, if this row of the schema is about that table.
    fn root_of(&self, table: &str) -> Option<u32> {
        if self.column(0)? != b"table" || self.column(1)? != table.as_bytes() {
            return None;
        }
        let bytes = self.column(3)?;
        let number = bytes.iter().try_fold(0_u64, |number, &byte| Some(number.checked_mul(256)? + u64::from(byte)))?;
        u32::try_from(number).ok()
    }
}

/// Takes a number from the beginning of bytes: seven bits in each of up to eight, and eight in a ninth.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for at in 0..9 {
        let byte = *bytes.get(at)?;
        if at == 8 {
            number = number << 8 | u64::from(byte);
        } else {
            number = number << 7 | u64::from(byte & 0x7f);
        }
        if at == 8 || byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}
