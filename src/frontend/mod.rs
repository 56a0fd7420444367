//! The languages that builds are written in. Each lowers to the one [`Graph`](crate::graph::Graph); none knows another.
//!
//! A front end is pure and works in two phases: it says which references it needs, and is lowered with their resolved
//! configurations as data.

pub mod buildfile;
pub mod diagnostic;
pub mod dockerfile;
pub mod dsl;
pub mod steps;
mod toml;
