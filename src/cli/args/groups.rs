//! Docker's longer names, `image ls` for `images` and `buildx build` for `build`, so that scripts written for docker run
//! with `alias docker=imgbuild`.

use clap::Subcommand;

use super::{BakeArgs, BuildArgs, Command};
use crate::cli::commands;

/// Commands about images.
#[derive(Debug, Subcommand)]
pub enum Image {
    /// build
    Build(Box<BuildArgs>),
    /// images
    #[command(alias = "list")]
    Ls(commands::images::Args),
    /// tag
    Tag(commands::tag::Args),
    /// rmi
    #[command(alias = "remove")]
    Rm(commands::rmi::Args),
    /// inspect
    Inspect(commands::inspect::Args),
    /// history
    History(commands::history::Args),
    /// save
    Save(commands::save::Args),
    /// load
    Load(commands::load::Args),
    /// import
    Import(commands::import::Args),
    /// pull
    Pull(commands::pull::Args),
    /// push
    Push(commands::push::Args),
}

/// Commands that build.
#[derive(Debug, Subcommand)]
pub enum Buildx {
    /// build
    #[command(alias = "b")]
    Build(Box<BuildArgs>),
    /// bake
    #[command(alias = "f")]
    Bake(Box<BakeArgs>),
    /// version
    Version(commands::version::Args),
}

impl From<Image> for Command {
    fn from(image: Image) -> Self {
        match image {
            Image::Build(args) => Self::Build(args),
            Image::Ls(args) => Self::Images(args),
            Image::Tag(args) => Self::Tag(args),
            Image::Rm(args) => Self::Rmi(args),
            Image::Inspect(args) => Self::Inspect(args),
            Image::History(args) => Self::History(args),
            Image::Save(args) => Self::Save(args),
            Image::Load(args) => Self::Load(args),
            Image::Import(args) => Self::Import(args),
            Image::Pull(args) => Self::Pull(args),
            Image::Push(args) => Self::Push(args),
        }
    }
}

impl From<Buildx> for Command {
    fn from(buildx: Buildx) -> Self {
        match buildx {
            Buildx::Build(args) => Self::Build(args),
            Buildx::Bake(args) => Self::Bake(args),
            Buildx::Version(args) => Self::Version(args),
        }
    }
}
