//! `Packages`: a hash of Berkeley DB, versions 8 to 10, as rpm wrote it before 4.16 (`db_page.h` there describes it). Buckets
//! of pages with keys and values; a header mostly is too long for a page, and follows on others.

use super::{Found, MAX_HEADER, Once};
use crate::attest::pieces::{Order, Pieces};

/// What a page begins with, in bytes.
const PAGE_HEADER: usize = 26;
/// The part of the first page that is looked at.
const META: u64 = 512;
const MAGIC: u32 = 0x0006_1561;

/// Types of pages.
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;
/// Types of items on a page of a hash.
const HERE: u8 = 1;
const ELSEWHERE: u8 = 3;

/// Finds the packages.
pub fn read(database: &mut Pieces<'_>, found: &mut Found) -> Option<()> {
    let meta = database.at(0, META)?;
    // It is written in the order of the machine that made it.
    let order = [Order::Little, Order::Big].into_iter().find(|order| order.u32(&meta, 12) == Some(MAGIC))?;
    let size = order.u32(&meta, 20).filter(|size| (512..=65536).contains(size) && size.is_power_of_two())?;
    if !matches!(order.u32(&meta, 16)?, 8..=10) {
        return None;
    }
    // There are no more of them than pages.
    let buckets = order.u32(&meta, 72).filter(|&last| u64::from(last) < database.size() / u64::from(size))?;
    let once = Once(database.size());
    let mut hash = Hash { file: database, once, order, size };
    for bucket in 0..=buckets {
        // Each time that the buckets became twice as many, they got pages elsewhere.
        let doublings = usize::try_from(u32::BITS - bucket.leading_zeros()).ok()?;
        let mut next = bucket.wrapping_add(order.u32(&meta, 96 + 4 * doublings)?);
        while let Some(page) = hash.page(next, &[HASH_UNSORTED, HASH]) {
            hash.values(&page, found)?;
            next = order.u32(&page, 16)?;
        }
    }
    Some(())
}

/// The pages of a hash.
struct Hash<'a, 'b> {
    file: &'a mut Pieces<'b>,
    once: Once,
    order: Order,
    size: u32,
}

impl Hash<'_, '_> {
    /// A page, if it is of one of these types. There is none with the number 0: that ends lists.
    fn page(&mut self, number: u32, types: &[u8]) -> Option<Vec<u8>> {
        let (number, size) = (Some(number).filter(|&number| number > 0)?, u64::from(self.size));
        let page = self.once.at(self.file, u64::from(number) * size, size)?;
        (self.order.u32(&page, 8)? == number && types.contains(&page[25])).then_some(page)
    }

    /// Takes what is on a page: keys and values by turns, from its end to its beginning.
    fn values(&mut self, page: &[u8], found: &mut Found) -> Option<()> {
        let items = usize::from(self.order.u16(page, 20)?);
        for key in (0..items).step_by(2) {
            let place = |item: usize| self.order.u16(page, PAGE_HEADER + 2 * item).map(usize::from);
            let (Some(end), Some(start)) = (place(key), place(key + 1)) else { break };
            if let Some(header) = page.get(start..end).and_then(|item| self.value(item)) {
                found.add(&header)?;
            }
        }
        Some(())
    }

    fn value(&mut self, item: &[u8]) -> Option<Vec<u8>> {
        match *item.first()? {
            HERE => Some(item[1..].to_vec()),
            ELSEWHERE => {
                let mut next = self.order.u32(item, 4)?;
                let length = self.order.u32(item, 8).filter(|&length| u64::from(length) <= MAX_HEADER)? as usize;
                let mut value = Vec::new();
                while value.len() < length {
                    let page = self.page(next, &[OVERFLOW])?;
                    let part = usize::from(self.order.u16(&page, 22)?);
                    value.extend_from_slice(page.get(PAGE_HEADER..PAGE_HEADER.checked_add(part)?)?);
                    next = self.order.u32(&page, 16)?;
                }
                value.truncate(length);
                Some(value)
            }
            _ => None,
        }
    }
}
