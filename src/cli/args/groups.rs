//! Docker's longer names, `image ls` for `images` and `buildx build` for `build`, so that scripts written for docker run
//! with `alias docker=imgbuild`.

use clap::Subcommand;

use super::{BakeArgs, BuildArgs, Command};
use crate::cli::commands::{self, prune::Kind};

/// Commands about images.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
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
    /// prune images
    Prune(commands::prune::Args),
    /// pull
    Pull(commands::pull::Args),
    /// push
    Push(commands::push::Args),
}

/// Commands about containers.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Container {
    /// run
    Run(Box<commands::run::Args>),
    /// ps
    #[command(aliases = ["ps", "list"])]
    Ls(commands::ps::Args),
    /// rm
    #[command(alias = "remove")]
    Rm(commands::rm::Args),
    /// inspect
    Inspect(commands::inspect::Args),
    /// diff
    Diff(commands::diff::Args),
    /// cp
    Cp(commands::cp::Args),
    /// commit
    Commit(commands::commit::Args),
    /// export
    Export(commands::export::Args),
    /// prune containers
    Prune(commands::prune::Args),
}

/// Commands about the store.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum System {
    /// df
    Df(commands::df::Args),
    /// info
    Info(commands::info::Args),
    /// prune
    Prune(commands::prune::Args),
}

/// Commands about the cache.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Builder {
    /// build
    Build(Box<BuildArgs>),
    /// prune the cache
    Prune(commands::prune::Args),
}

/// Commands that build.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Buildx {
    /// build
    #[command(alias = "b")]
    Build(Box<BuildArgs>),
    /// bake
    #[command(alias = "f")]
    Bake(Box<BakeArgs>),
    /// prune the cache
    Prune(commands::prune::Args),
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
            Image::Prune(args) => prune(args, Kind::Images),
            Image::Pull(args) => Self::Pull(args),
            Image::Push(args) => Self::Push(args),
        }
    }
}

/// `prune` of one kind.
fn prune(args: commands::prune::Args, kind: Kind) -> Command {
    Command::Prune(commands::prune::Args { kinds: vec![kind], ..args })
}

impl From<Container> for Command {
    fn from(container: Container) -> Self {
        match container {
            Container::Run(args) => Self::Run(args),
            Container::Ls(args) => Self::Ps(args),
            Container::Rm(args) => Self::Rm(args),
            Container::Inspect(args) => Self::Inspect(args),
            Container::Diff(args) => Self::Diff(args),
            Container::Cp(args) => Self::Cp(args),
            Container::Commit(args) => Self::Commit(args),
            Container::Export(args) => Self::Export(args),
            Container::Prune(args) => prune(args, Kind::Containers),
        }
    }
}

impl From<System> for Command {
    fn from(system: System) -> Self {
        match system {
            System::Df(args) => Self::Df(args),
            System::Info(args) => Self::Info(args),
            System::Prune(args) => Self::Prune(args),
        }
    }
}

impl From<Builder> for Command {
    fn from(builder: Builder) -> Self {
        match builder {
            Builder::Build(args) => Self::Build(args),
            Builder::Prune(args) => prune(args, Kind::Cache),
        }
    }
}

impl From<Buildx> for Command {
    fn from(buildx: Buildx) -> Self {
        match buildx {
            Buildx::Build(args) => Self::Build(args),
            Buildx::Bake(args) => Self::Bake(args),
            Buildx::Prune(args) => prune(args, Kind::Cache),
            Buildx::Version(args) => Self::Version(args),
        }
    }
}
