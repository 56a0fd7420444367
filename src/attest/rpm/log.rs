//! What SQLite has not yet brought into its file: pages in the log beside it (sqlite.org/fileformat2, "The Write-Ahead Log").
//! rpm closes its database without leaving one; a process that was killed, or an image of a running system, has it.

use std::collections::BTreeMap;

use crate::attest::pieces::{Order, Pieces};

const HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// The last bit says in which order checksums take their numbers; all else is the most significant byte first.
const MAGIC: u32 = 0x377f_0682;

/// Where in the log the last committed state of a page is.
#[derive(Default)]
pub struct Log {
    pages: BTreeMap<u32, u64>,
}

impl Log {
    /// Reads a log, up to where it was last committed. What is not whole, or left from before, does not count.
    pub fn read(file: &mut Pieces<'_>, page: u64) -> Self {
        let mut log = Self::default();
        // It ends where the next frame is not one of this log.
        let _ = log.fill(file, page);
        log
    }

    fn fill(&mut self, file: &mut Pieces<'_>, page: u64) -> Option<()> {
        let header = file.at(0, HEADER)?;
        let order = match Order::Big.u32(&header, 0)?.checked_sub(MAGIC)? {
            0 => Order::Little,
            1 => Order::Big,
            _ => return None,
        };
        let mut sum = Sum { order, state: (0, 0) };
        sum.add(&header[..24])?;
        if sum.state != pair(&header, 24)? || u64::from(Order::Big.u32(&header, 8)?) != page {
            return None;
        }
        let (salts, mut place, mut pending) = (pair(&header, 16)?, HEADER, Vec::new());
        loop {
            let frame = file.at(place, FRAME_HEADER + page)?;
            let (head, data) = frame.split_at(FRAME_HEADER as usize);
            sum.add(&head[..8])?;
            sum.add(data)?;
            if pair(head, 8)? != salts || pair(head, 16)? != sum.state {
                return None;
            }
            let (number, committed) = pair(head, 0)?;
            pending.push((number, place + FRAME_HEADER));
            if committed > 0 {
                self.pages.extend(pending.drain(..));
            }
            place += FRAME_HEADER + page;
        }
    }

    /// Where in the log a page is; none if the file has its last state.
    pub fn place(&self, page: u32) -> Option<u64> {
        self.pages.get(&page).copied()
    }
}

fn pair(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    Some((Order::Big.u32(bytes, at)?, Order::Big.u32(bytes, at + 4)?))
}

/// The checksum of everything so far ("Checksum Algorithm").
struct Sum {
    order: Order,
    state: (u32, u32),
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) -> Option<()> {
        let (first, second) = &mut self.state;
        for numbers in bytes.chunks_exact(8) {
            *first = first.wrapping_add(self.order.u32(numbers, 0)?).wrapping_add(*second);
            *second = second.wrapping_add(self.order.u32(numbers, 4)?).wrapping_add(*first);
        }
        Some(())
    }
}
