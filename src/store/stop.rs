//! A way to end long reads and writes early, for the parts that may not know who asks for it.
//!
//! Whoever hands one out says when to stop; whoever moves many bytes moves them through [`Stop::watch`].

use std::io::{self, Read, Write};
use std::sync::Arc;

/// Says whether to go on. Clones are the same.
#[derive(Clone)]
pub struct Stop(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Stop {
    /// Nothing is ever stopped.
    pub const NEVER: Self = Self(None);

    /// Everything is stopped once `asked` says true. It is called for each piece that is moved, so it should be cheap.
    pub fn when(asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(asked)))
    }

    /// Fails if everything is to stop.
    pub fn check(&self) -> io::Result<()> {
        match &self.0 {
            Some(asked) if asked() => Err(io::Error::other("stopped on request")),
            _ => Ok(()),
        }
    }

    /// A reader or writer that fails once everything is to stop.
    pub fn watch<T>(&self, inner: T) -> Watched<T> {
        Watched { inner, stop: self.clone() }
    }
}

/// See [`Stop::watch`].
pub struct Watched<T> {
    inner: T,
    stop: Stop,
}

impl<T> Watched<T> {
    /// What was watched.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.inner.read(buffer)
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.inner.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn stops_in_the_middle() {
        let asked = Arc::new(AtomicBool::new(false));
        let stop = Stop::when({
            let asked = asked.clone();
            move || asked.load(Ordering::SeqCst)
        });
        let mut reader = stop.watch(&b"abcd"[..]);
        let mut writer = Stop::NEVER.watch(Vec::new());
        let mut half = [0; 2];
        reader.read_exact(&mut half).unwrap();
        writer.write_all(&half).unwrap();
        asked.store(true, Ordering::SeqCst);
        assert!(reader.read(&mut half).is_err());
        writer.write_all(b"!").unwrap();
        assert_eq!(writer.into_inner(), b"ab!");
    }
}
