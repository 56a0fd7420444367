//! How far a transfer is, as a bar with sizes and speed. indicatif draws it and estimates the speed; it draws into
//! memory, because the place on the terminal is the painter's.

use std::io;
use std::sync::{Arc, Mutex};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::super::lock;

/// One transfer.
pub(super) struct Meter {
    bar: ProgressBar,
    page: Page,
    bytes: bool,
    done: u64,
}

impl Meter {
    /// A meter of bytes, or of things.
    pub(super) fn new(bytes: bool) -> Self {
        let page = Page::default();
        let target = ProgressDrawTarget::term_like(Box::new(page.clone()));
        Self { bar: ProgressBar::with_draw_target(None, target), page, bytes, done: 0 }
    }

    /// So much is done, out of so much if that is known. Draws nothing.
    pub(super) fn set(&mut self, done: u64, total: Option<u64>) {
        self.done = done;
        if self.bar.length() != total || self.bar.position() == 0 {
            match total {
                Some(total) => self.bar.set_length(total),
                None => self.bar.unset_length(),
            }
            let template = match (self.bytes, total) {
                (true, Some(_)) => "[{bar:24}] {decimal_bytes} / {decimal_total_bytes}  {decimal_bytes_per_sec}",
                (true, None) => "{decimal_bytes}  {decimal_bytes_per_sec}",
                (false, Some(_)) => "[{bar:24}] {pos} / {len}",
                (false, None) => "{pos}",
            };
            // The templates are right, as a test shows; a wrong one would leave the default.
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style.progress_chars("=> "));
            }
        }
    }

    /// The bar as one line.
    pub(super) fn draw(&self) -> String {
        self.bar.set_position(self.done);
        self.bar.force_draw();
        lock(&self.page.0).trim_end().to_owned()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.abandon();
    }
}

/// A terminal of one line, in memory.
#[derive(Debug, Clone, Default)]
struct Page(Arc<Mutex<String>>);

impl TermLike for Page {
    fn width(&self) -> u16 {
        80
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        lock(&self.0).push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        lock(&self.0).clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Speeds depend on the clock and are cut off.
    fn check(bytes: bool, done: u64, total: Option<u64>, expected: &str) {
        let mut meter = Meter::new(bytes);
        meter.set(done / 2, total);
        meter.draw();
        meter.set(done, total);
        assert_eq!(meter.draw().split("  ").last().is_some_and(|speed| speed.ends_with("/s")), bytes);
        let drawn = meter.draw();
        let drawn = if bytes { drawn.rsplit_once("  ").unwrap().0 } else { &drawn };
        assert_eq!(drawn, expected);
    }

    #[test]
    fn draws_a_line() {
        check(true, 12_000_000, Some(24_000_000), "[============>           ] 12.00 MB / 24.00 MB");
        check(true, 1500, None, "1.50 kB");
        check(false, 3, Some(4), "[==================>     ] 3 / 4");
        check(false, 3, None, "3");
    }
}
