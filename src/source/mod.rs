//! Where files come from that no step made: folders of this machine, and (their resolution being pinned) images.

pub mod agent;
pub mod local;
mod statcache;

pub use local::LocalContext;
pub use statcache::StatCache;
