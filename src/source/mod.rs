//! Where files come from that no step made: folders of this machine, URLs, git repositories, and (their resolution being
//! pinned) images.

pub mod agent;
pub mod git;
pub mod http;
pub mod local;
pub mod regular;
pub mod statcache;

pub use local::LocalContext;
pub use statcache::StatCache;

/// What brings files from the network.
#[derive(Debug)]
pub struct Sources {
    /// Files behind URLs.
    pub http: http::Client,
    /// How git repositories are reached.
    pub git: git::Settings,
}

impl Sources {
    /// With these settings.
    pub fn new(http: http::Settings, git: git::Settings) -> Self {
        Self { http: http::Client::new(http), git }
    }
}

/// Who waits for something that takes its time.
pub trait Watch {
    /// How far it is, in bytes, out of a total if it is known. Called often.
    fn progress(&mut self, done: u64, total: Option<u64>);
    /// Something that the user should know and that stops nothing.
    fn warn(&mut self, text: String);
    /// Whether it is not wanted any more.
    fn is_canceled(&self) -> bool;
}
