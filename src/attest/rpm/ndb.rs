//! `Packages.db`: rpm's own database of packages ("ndb"; the comments of rpm's `rpmpkg.c` are what describes it). Pages of
//! slots, each of which says in which blocks a header is.

use super::{Found, MAX_HEADER, Once};
use crate::attest::pieces::{Order, Pieces};

const PAGE: u64 = 4096;
/// A slot has as many bytes as a block.
const BLOCK: u64 = 16;
/// The file's header stands where the first slots would.
const FILE_HEADER: usize = 32;

/// Finds the packages.
pub fn read(database: &mut Pieces<'_>, found: &mut Found) -> Option<()> {
    let order = Order::Little;
    let header = database.at(0, FILE_HEADER as u64)?;
    if !header.starts_with(b"RpmP") || order.u32(&header, 4)? != 0 {
        return None;
    }
    let pages = u64::from(order.u32(&header, 12)?);
    let mut once = Once(database.size());
    for number in 0..pages {
        let page = once.at(database, number * PAGE, PAGE)?;
        let skipped = if number == 0 { FILE_HEADER } else { 0 };
        for slot in page[skipped..].chunks_exact(BLOCK as usize) {
            if slot.starts_with(b"Slot")
                && let Some(header) = blob(database, &mut once, slot)
            {
                found.add(&header)?;
            }
        }
    }
    Some(())
}

/// The header that a slot leads to; none if it is free.
fn blob(database: &mut Pieces<'_>, once: &mut Once, slot: &[u8]) -> Option<Vec<u8>> {
    let order = Order::Little;
    let (package, block) = (order.u32(slot, 4)?, order.u32(slot, 8)?);
    if block == 0 {
        return None;
    }
    let start = u64::from(block) * BLOCK;
    let head = once.at(database, start, BLOCK)?;
    if !head.starts_with(b"BlbS") || order.u32(&head, 4)? != package {
        return None;
    }
    let length = order.u32(&head, 12).map(u64::from).filter(|&length| length <= MAX_HEADER)?;
    once.at(database, start + BLOCK, length)
}
