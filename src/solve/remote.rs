//! Runs a step whose files come from the network, what they are being known already: fetched if the store has lost them,
//! and compared with what they must be.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::digest::{ContentDigest, Digest};
use crate::event::{Event, Reporter, StepNumber};
use crate::fstree::{Entry, Kind, Meta, Toc, TreePath};
use crate::graph::{HttpOp, Times};
use crate::sandbox::Cancel;
use crate::solve::error::StepError;
use crate::source::http::{HttpError, shown};
use crate::source::{Sources, Watch};
use crate::store::Store;
use crate::store::layers::{LayerId, Layers};
use crate::store::snapshot::{FileSource, Source as Opened};

/// How often it is told how far a step is.
const PACE: Duration = Duration::from_millis(100);

/// What such a step is run with.
pub struct RemoteStep<'a> {
    /// Its number in events.
    pub number: StepNumber,
    /// Where layers go.
    pub layers: &'a Layers,
    /// What fetches; none if nothing may be.
    pub sources: Option<&'a Sources>,
    /// Who is told.
    pub reporter: &'a dyn Reporter,
    /// Stops it.
    pub cancel: &'a Cancel,
}

impl RemoteStep<'_> {
    /// The layer of one file from a URL.
    pub fn http(&self, op: &HttpOp, times: Times) -> Result<LayerId, StepError> {
        let store = self.layers.store();
        if !store.has(&op.digest) {
            let url = shown(&op.url);
            let sources = self.sources.ok_or_else(|| {
                StepError::message(format!("{url} is not in the store, and --offline forbids to fetch it"))
            })?;
            let mut watch = StepWatch::new(self);
            let fetched = sources.http.fetch(store, &op.url, &mut watch).map_err(|error| match error {
                HttpError::Canceled => StepError::Canceled,
                HttpError::Store(error) => StepError::Store(error),
                error => StepError::other(&error),
            })?;
            if fetched.digest != op.digest {
                return Err(StepError::message(format!(
                    "the file at {url} has changed: it is locked to {}, but the server has {} now; build with --pull to \
                     take the new one",
                    op.digest, fetched.digest
                )));
            }
        }
        let mut blob = store.reader(&op.digest)?;
        let mut hasher = blake3::Hasher::new();
        let size = io::copy(&mut blob, &mut hasher).map_err(crate::store::StoreError::Input)?;
        let content = ContentDigest::from_bytes(*hasher.finalize().as_bytes());
        let mtime = op.modified.unwrap_or(times.epoch);
        let mtime = times.ceiling.map_or(mtime, |ceiling| mtime.min(ceiling));
        let entry = Entry {
            path: TreePath::root().join(op.name.as_bytes()),
            meta: Meta { mode: 0o600, mtime, ..Meta::default() },
            kind: Kind::File { size, content },
        };
        Ok(self.layers.promise(Toc::new(vec![entry]), Arc::new(BlobFile { store: store.clone(), digest: op.digest })))
    }
}

/// A layer's only file, whose bytes are a blob.
struct BlobFile {
    store: Arc<Store>,
    digest: Digest,
}

impl FileSource for BlobFile {
    fn open(&self, _: &Entry) -> io::Result<Opened> {
        self.store.open_blob(&self.digest).map(Opened::File).map_err(io::Error::other)
    }
}

/// Tells how far a step is.
struct StepWatch<'a> {
    step: &'a RemoteStep<'a>,
    told: Instant,
}

impl<'a> StepWatch<'a> {
    fn new(step: &'a RemoteStep<'a>) -> Self {
        Self { step, told: Instant::now() }
    }
}

impl Watch for StepWatch<'_> {
    fn progress(&mut self, done: u64, total: Option<u64>) {
        if self.told.elapsed() >= PACE {
            self.told = Instant::now();
            self.step.reporter.report(Event::Progress(self.step.number, done, total));
        }
    }

    fn warn(&mut self, text: String) {
        self.step.reporter.report(Event::Warning(text));
    }

    fn is_canceled(&self) -> bool {
        self.step.cancel.is_canceled()
    }
}
