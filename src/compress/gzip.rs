//! Gzip in independent members, compressed in parallel, written in order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, sync_channel};

use libdeflater::{CompressionLvl, Compressor};

/// The encoder, as it stands in the profile. The dependency is pinned to it in `Cargo.toml`.
pub(super) const ENCODER: &str = "libdeflate-1.26.1";

/// Bytes of input in each member but the last.
const MEMBER: usize = 1 << 20;

/// Cuts its input into members.
///
/// The encoder writes the same ten bytes of header before each: no time, no name, system 255 (unknown).
pub(super) struct Writer<W> {
    out: W,
    level: u8,
    block: Vec<u8>,
    /// Members that are being compressed, in order.
    pending: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    most_pending: usize,
    any: bool,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, level: u8) -> Self {
        // In a worker thread of the pool, waiting for other workers could wait for ever: compress here instead.
        let in_pool = rayon::current_thread_index().is_some();
        let most_pending = if in_pool { 0 } else { rayon::current_num_threads() + 2 };
        Self { out, level, block: Vec::new(), pending: VecDeque::new(), most_pending, any: false }
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        // A stream without any member would be no gzip at all.
        if !self.block.is_empty() || !self.any {
            self.send()?;
        }
        self.settle(0)?;
        Ok(self.out)
    }

    fn send(&mut self) -> io::Result<()> {
        self.any = true;
        let level = self.level;
        if self.most_pending == 0 {
            let member = compress(&self.block, level)?;
            self.block.clear();
            return self.out.write_all(&member);
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(MEMBER));
        let (sender, receiver) = sync_channel(1);
        rayon::spawn(move || {
            // If nobody waits for it any more, the writer failed and is gone.
            let _ = sender.send(compress(&block, level));
        });
        self.pending.push_back(receiver);
        self.settle(self.most_pending)
    }

    /// Writes members until no more than `most` are pending.
    fn settle(&mut self, most: usize) -> io::Result<()> {
        while self.pending.len() > most
            && let Some(member) = self.pending.pop_front()
        {
            let member = member.recv().map_err(|_| io::Error::other("a compressing thread died"))??;
            self.out.write_all(&member)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let fit = buffer.len().min(MEMBER - self.block.len());
        self.block.extend_from_slice(&buffer[..fit]);
        if self.block.len() == MEMBER {
            self.send()?;
        }
        Ok(fit)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// The compressor that a thread used last, with its level: making one costs as much as compressing a small file.
    static COMPRESSOR: RefCell<Option<(u8, Compressor)>> = const { RefCell::new(None) };
}

fn compress(block: &[u8], level: u8) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some((known, compressor)) if *known == level => compressor,
            _ => {
                let wanted =
                    CompressionLvl::new(i32::from(level)).map_err(|_| io::Error::other("no such gzip level"))?;
                &mut slot.insert((level, Compressor::new(wanted))).1
            }
        };
        let mut member = vec![0; compressor.gzip_compress_bound(block.len())];
        let length = compressor.gzip_compress(block, &mut member).map_err(io::Error::other)?;
        member.truncate(length);
        Ok(member)
    })
}
