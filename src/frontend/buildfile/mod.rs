//! `build.toml`: the targets of a repository, and what they have in common, as data.
//!
//! Two steps, both pure. [`parse`] reads the text and checks everything that does not depend on values: keys, types,
//! names, cycles. [`resolve`] is told what is wanted, the environment and the `--set` options, and returns the targets to
//! build, fully spelt out, those that others link to first. Lowering to a graph happens elsewhere: a resolved target says which Dockerfile
//! to lower and with what.
//!
//! Why a tree walk and not derived deserialisation: a build file with three mistakes gets three messages, each at its
//! own bytes, and a `--set` option is understood by the very table that the file is ([`keys`]).
//!
//! The tables are named as docker-bake's JSON names them (`target`, `group`, `variable`). Paths are
//! kept as they were written; whoever reads files takes them relative to the folder of the build file. No file is opened here,
//! no environment read.

mod affected;
mod attributes;
mod check;
mod entries;
mod expand;
mod expression;
pub mod foreign;
pub mod functions;
mod glob;
mod include;
pub mod keys;
mod limits;
mod matrix;
mod model;
mod overrides;
mod parse;
mod print;
mod resolve;
mod schema;
mod steps;
mod suggest;
mod target;
#[cfg(test)]
mod tests;
mod variables;

pub use affected::affected;
pub use glob::matches;
pub use include::{Broken, Found, Loading, MOST as MOST_FILES, Need, has_wildcards};
pub use keys::OTHER_CACHES;
pub use limits::{pids, size, swap};
pub use model::{BuildFile, Group};
pub use overrides::{Override, OverrideError};
pub use parse::parse;
pub use print::{Listed, ListedVariable, Printed, list, variables};
pub use resolve::{Error, Plan, as_written, resolve};
pub use schema::schema;
pub use suggest::nearest;
pub use target::{Call, ContextSource, Dockerfile, Entitlement, Output, Secret, Ssh, Target};
pub use variables::{Type, Variable};
