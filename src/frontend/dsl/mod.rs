//! Builds as Rust: images are values, and loops and functions are the template language.
//!
//! An [`Image`] is a base with steps on top. Methods take it by value and give back the longer one; a clone is a fork.
//! A [`Target`] says what is made of an image, a [`Project`] holds the targets. Everything that a Dockerfile can say is
//! here, and what it cannot say too: [`Image::merge`], [`Image::diff`], [`Image::mkdir`], [`Image::symlink`], [`Image::remove`].
//!
//! A project becomes the text of a build file ([`Project::to_toml`]), and takes the way of every build file from
//! there. So both have the same cache keys and make the same images, every message can point at a line, and a
//! program can be replaced by what it writes. Nothing is run here, no file is opened.
//!
//! As in a Dockerfile, `$NAME` and `${NAME:-default}` in the arguments of instructions are variables of the image, `\$`
//! is a dollar sign, and commands are left to their shell.

mod image;
mod project;
mod step;
#[cfg(test)]
mod tests;
mod toml;

pub use image::{Image, Source};
pub use project::{Error, Project, Target};
pub use step::{Cmd, Files, Folder, Health, Mount, Names, Run};
