//! No progress at all; at the end, the digest of every image on standard output, for scripts.

use std::sync::Mutex;

use super::{Sink, lock};
use crate::event::{Event, Reporter};

/// Prints only what was made.
pub struct Quiet {
    sink: Mutex<Sink>,
}

impl Quiet {
    /// Prints to `sink`.
    pub fn new(sink: Sink) -> Self {
        Self { sink: Mutex::new(sink) }
    }
}

impl Reporter for Quiet {
    fn report(&self, event: Event) {
        let Event::Summary(summary) = event else { return };
        let mut sink = lock(&self.sink);
        for image in summary.images.iter().filter(|image| !image.digest.is_empty()) {
            // The reader may have gone; the image is made all the same.
            let _ = writeln!(sink, "{}", image.digest);
        }
        let _ = sink.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Paper;
    use super::*;
    use crate::event::{ImageSummary, Summary};

    #[test]
    fn prints_digests_only() {
        let paper = Paper::default();
        let quiet = Quiet::new(paper.sink());
        quiet.report(Event::Warning("w".into()));
        let image = |digest: &str| ImageSummary { digest: digest.into(), ..ImageSummary::default() };
        let images = vec![image("sha256:1"), image(""), image("sha256:2")];
        quiet.report(Event::Summary(Summary { images, ..Summary::default() }));
        assert_eq!(paper.text(), "sha256:1\nsha256:2\n");
    }
}
