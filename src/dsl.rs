//! The Rust DSL: a program that describes builds, and is a build command.
//!
//! ```no_run
//! use imgbuild::dsl::{Image, Project, Target};
//!
//! fn project() -> Project {
//!     let image = Image::from("busybox").copy(("site", "/www/")).cmd(["httpd", "-f", "-h", "/www"]);
//!     Project::new().target(Target::new("site", &image).tag("site:1")).group("default", ["site"])
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     imgbuild::dsl::main(project)
//! }
//! ```
//!
//! `cargo run -- build` builds the group `default`, `cargo run -- build site --print` shows what that comes to, and all
//! other flags of `imgbuild bake` are there too. `cargo run -- toml` writes the build file that says the same.

use std::process::ExitCode;

pub use crate::frontend::dsl::*;

/// Makes this process a build command for a project. To be called first in `main`.
///
/// The project is a function because a sandboxed step starts as a process of this same program, which must not get
/// as far as describing builds.
pub fn main(project: impl FnOnce() -> Project) -> ExitCode {
    crate::sandbox::init_if_asked();
    crate::cli::program::main(&project())
}
