//! Dockerfiles: the language of `docker build`, as BuildKit's current stable front end reads it.
//!
//! Two steps, both pure. [`parse`] turns text into a [`Dockerfile`] and reports all errors at once; it knows nothing of
//! build arguments. [`lower`] turns that into steps of a [`Graph`](crate::graph::Graph) and an image configuration. It
//! may first answer with [`Need`]s: images, URLs and git references that somebody has to look up, after which it is
//! called again.
//!
//! Where BuildKit's documentation and its behaviour differ, its behaviour is followed: images must not change because
//! another program builds them.

mod ast;
#[cfg(test)]
mod conformance;
mod expand;
mod go;
mod lint;
mod lower;
mod parse;
mod steps;
mod suggest;
mod until;

pub use ast::*;
pub use lint::fix::{Fixed, apply_fixes};
pub use lint::{FixKind, Level, RULES, Rule, names_a_secret};
pub use lower::{
    Checked, ContextSource, ImageBuild, Lowered, Need, NoCache, Options, Resolved, ResolvedGit, ResolvedHttp,
    ResolvedImage, check, is_proxy, lower, remote_context,
};
pub use parse::{Parsed, parse};
pub use steps::from_steps;
pub use until::{NoSuchLine, Stop, Until};
