//! Sparse files: the map of what is stored, and where holes are.

use std::io::Read;

use tar::{GnuExtSparseHeader, Header};

use super::pax::{self, Extended};
use super::read::{TarReader, padding};
use super::{BLOCK, Reason, header};

/// A stretch of bytes that is stored; what lies between stretches is zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// Where a reader of the expanded file stands.
#[derive(Debug)]
pub(super) struct Expansion {
    /// In order, without overlap, within `size`.
    segments: std::vec::IntoIter<Segment>,
    current: Segment,
    at: u64,
    size: u64,
}

/// What comes next in the expanded file, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Zeros(u64),
    Stored(u64),
    End,
}

impl Expansion {
    /// Checks the map against the length of the expanded file and what is stored.
    pub(super) fn new(segments: Vec<Segment>, size: u64, stored: u64) -> Result<Self, Reason> {
        let (mut end, mut sum) = (0_u64, 0_u64);
        for segment in &segments {
            if segment.offset < end {
                return Err(Reason::Sparse);
            }
            end = segment.offset.checked_add(segment.length).ok_or(Reason::Sparse)?;
            sum += segment.length;
        }
        if end > size || sum != stored {
            return Err(Reason::Sparse);
        }
        Ok(Self { segments: segments.into_iter(), current: Segment { offset: 0, length: 0 }, at: 0, size })
    }

    /// One stretch: a file without holes.
    pub(super) fn plain(size: u64) -> Self {
        Self { segments: Vec::new().into_iter(), current: Segment { offset: 0, length: size }, at: 0, size }
    }

    pub(super) fn next(&mut self) -> Next {
        while self.at >= self.current.offset + self.current.length {
            match self.segments.next() {
                Some(segment) => self.current = segment,
                None if self.at < self.size => return Next::Zeros(self.size - self.at),
                None => return Next::End,
            }
        }
        if self.at < self.current.offset {
            return Next::Zeros(self.current.offset - self.at);
        }
        Next::Stored(self.current.offset + self.current.length - self.at)
    }

    pub(super) fn advance(&mut self, bytes: u64) {
        self.at += bytes;
    }
}

/// The segments in an old GNU header or its continuation; unused places are empty.
pub(super) fn gnu(places: &[tar::GnuSparseHeader], into: &mut Vec<Segment>) -> Result<(), Reason> {
    for place in places.iter().filter(|place| place.offset[0] != 0 && place.numbytes[0] != 0) {
        let offset = header::unsigned(&place.offset, "sparse offset")?;
        into.push(Segment { offset, length: header::unsigned(&place.numbytes, "sparse length")? });
    }
    Ok(())
}

impl<R: Read> TarReader<R> {
    /// The stored stretches and the full length of a sparse file. Takes what it reads off `self.stored`.
    pub(super) fn sparse_map(
        &mut self,
        header: &Header,
        extended: &Extended,
    ) -> Result<Option<(Vec<Segment>, u64)>, Reason> {
        let mut budget = self.limits.header_bytes;
        if header.as_old().linkflag[0] == b'S' {
            let head = header.as_gnu().ok_or(Reason::Sparse)?;
            let mut segments = Vec::new();
            gnu(&head.sparse, &mut segments)?;
            let mut more = head.isextended[0] != 0;
            while more {
                let mut block = GnuExtSparseHeader::new();
                self.spend(BLOCK as u64, &mut budget)?;
                if !self.block(block.as_mut_bytes())? {
                    return Err(Reason::CutOff);
                }
                gnu(&block.sparse, &mut segments)?;
                more = block.isextended[0] != 0;
            }
            return Ok(Some((segments, header::unsigned(&head.realsize, "size")?)));
        }
        let given = &extended.sparse;
        if given.major == Some(1) {
            let size = given.size.ok_or(Reason::Sparse)?;
            let count = self.map_number(&mut budget)?;
            let mut segments = Vec::new();
            for _ in 0..count {
                let offset = self.map_number(&mut budget)?;
                segments.push(Segment { offset, length: self.map_number(&mut budget)? });
            }
            // The map is padded to whole blocks.
            let read = self.limits.header_bytes - budget;
            self.take_stored(padding(read))?;
            return Ok(Some((segments, size)));
        }
        match (&given.map, given.size) {
            (Some(segments), Some(size)) => Ok(Some((segments.clone(), size))),
            (Some(_), None) => Err(Reason::Sparse),
            (None, _) => Ok(None),
        }
    }

    /// One decimal number and the newline behind it, from the head of the entry's data.
    fn map_number(&mut self, budget: &mut u64) -> Result<u64, Reason> {
        let mut digits = Vec::new();
        loop {
            self.spend(1, budget)?;
            if self.stored == 0 || digits.len() > 20 {
                return Err(Reason::Sparse);
            }
            let mut byte = [0];
            self.exact(&mut byte)?;
            self.stored -= 1;
            match byte[0] {
                b'\n' => return pax::decimal(&digits).ok_or(Reason::Sparse),
                digit => digits.push(digit),
            }
        }
    }

    fn take_stored(&mut self, bytes: u64) -> Result<(), Reason> {
        self.stored = self.stored.checked_sub(bytes).ok_or(Reason::Sparse)?;
        self.skip(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_a_map() {
        let segment = |offset, length| Segment { offset, length };
        let mut map = Expansion::new(vec![segment(2, 3), segment(5, 0), segment(9, 1)], 12, 4).unwrap();
        let mut seen = Vec::new();
        loop {
            let next = map.next();
            match next {
                Next::Zeros(bytes) | Next::Stored(bytes) => map.advance(bytes),
                Next::End => break,
            }
            seen.push(next);
        }
        assert_eq!(seen, [Next::Zeros(2), Next::Stored(3), Next::Zeros(4), Next::Stored(1), Next::Zeros(2)]);
        assert!(Expansion::new(vec![segment(2, 3), segment(4, 1)], 12, 4).is_err(), "overlap");
        assert!(Expansion::new(vec![segment(2, 3)], 4, 3).is_err(), "beyond the end");
        assert!(Expansion::new(vec![segment(2, 3)], 9, 4).is_err(), "stored bytes without a place");
        assert!(Expansion::new(vec![segment(2, u64::MAX)], 9, 4).is_err(), "overflow");
    }
}
