//! The command line as typed: one struct of flags for each command, with values parsed but nothing looked up.
//!
//! Names and meanings are those of `docker` and `docker buildx` wherever they have one. A value that does not parse is
//! reported by clap together with what is allowed, with exit code 2. The flags of `build` and `bake` are in
//! [`build`], [`bake`] and [`shared`]; those of a short command stand in that command's file.

pub mod attest;
pub mod bake;
pub mod build;
pub mod cache;
pub mod csv;
pub mod filter;
mod groups;
pub mod limits;
pub mod output;
pub mod progress;
pub mod shared;
pub mod subject;
pub mod template;
pub mod values;

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Effects, Styles};

pub use bake::BakeArgs;
pub use build::BuildArgs;

use super::commands;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default());

/// Build container images: declaratively, reproducibly, without a daemon.
#[derive(Debug, clap::Parser)]
#[command(name = "imgbuild", version, styles = STYLES, max_term_width = 100, disable_help_subcommand = true)]
#[command(disable_help_flag = true, arg_required_else_help = true, args_override_self = true)]
#[command(after_help = "\
Examples:
  imgbuild build -t app .                          build ./Dockerfile and name the image
  imgbuild build -o type=oci,dest=app.tar .        write the image to a file
  imgbuild images                                  list what is in the store

`imgbuild COMMAND --help` shows a command's flags and examples.
Exit codes: 0 done, 1 the build failed, 2 wrong usage, 3 this machine lacks something, 130 Ctrl-C.")]
pub struct Cli {
    /// The folder of the store [default: $XDG_DATA_HOME/imgbuild, or /var/lib/imgbuild for root]
    #[arg(long, global = true, env = "IMGBUILD_ROOT", hide_env_values = true, value_name = "FOLDER")]
    #[arg(help_heading = "Global options", display_order = 900)]
    pub root: Option<PathBuf>,
    /// Show this
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort)]
    #[arg(help_heading = "Global options", display_order = 901)]
    pub help: Option<bool>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do. The flags of a command are put together only if it is the one, since a build that has nothing to do is as fast
/// as this. Then what is said of the command comes from its flags, so both say the same.
#[derive(Debug, clap::Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Build an image from a Dockerfile
    #[command(visible_alias = "b")]
    Build(Box<BuildArgs>),
    /// Build the targets of a build file
    Bake(Box<BakeArgs>),
    /// Check Dockerfiles, and mend some of what is found
    Check(Box<commands::check::Args>),
    /// Pin what a build takes from outside, without building
    Lock(Box<commands::lock::Args>),
    /// Look up anew what is pinned
    Update(Box<commands::update::Args>),
    /// Bring everything that is pinned into the store
    Fetch(Box<commands::fetch::Args>),
    /// Build again from nothing, and say what differs
    Verify(Box<commands::verify::Args>),
    /// Show what a build would do, without doing it
    Plan(Box<commands::plan::Args>),
    /// Explain why steps would run, or ran
    Why(Box<commands::why::Args>),
    /// Draw the graph of a build
    Graph(Box<commands::graph::Args>),
    /// Open a shell in the state of a failed step, or at any step
    Debug(Box<commands::debug::Args>),
    /// List the builds that are recorded
    Builds(commands::builds::Args),
    /// Show again what a build showed
    Log(commands::log::Args),
    /// Write a page about a build
    Report(commands::report::Args),
    /// List images
    Images(commands::images::Args),
    /// Give an image another name
    Tag(commands::tag::Args),
    /// Remove images
    Rmi(commands::rmi::Args),
    /// Show everything about images and containers, as JSON
    Inspect(commands::inspect::Args),
    /// Show how an image came to be, newest step first
    History(commands::history::Args),
    /// Show which images share which layers
    Tree(commands::tree::Args),
    /// Look into the layers of an image, and for what they store in vain
    Explore(commands::explore::Args),
    /// Write images to an archive
    Save(commands::save::Args),
    /// Read images from an archive
    Load(commands::load::Args),
    /// Make an image of one layer from a tar file
    Import(commands::import::Args),
    /// Write the files of a container or an image to a tar file
    Export(commands::export::Args),
    /// Run a command in a container, in the foreground
    Run(Box<commands::run::Args>),
    /// List containers
    Ps(commands::ps::Args),
    /// Remove containers
    Rm(commands::rm::Args),
    /// Show what a container changed, or how two images differ
    Diff(commands::diff::Args),
    /// Copy files into a container or out of it
    Cp(commands::cp::Args),
    /// Make an image of what a container changed
    Commit(commands::commit::Args),
    /// Mount the files of an image or a container
    Mount(commands::mount::Args),
    /// Take such mounts away
    Umount(commands::mount::UmountArgs),
    /// Show how much of the disk the store takes
    Df(commands::df::Args),
    /// Remove what is not needed
    Prune(commands::prune::Args),
    /// Look whether everything in the store is whole, and remove what is not
    Fsck(commands::fsck::Args),
    /// Show the store and the machine
    Info(commands::info::Args),
    /// Write a shell's completion script
    Completions(commands::completions::Args),
    /// Write a manual page
    Man(commands::completions::ManArgs),
    /// Bring images from a registry
    Pull(commands::pull::Args),
    /// Send images to a registry
    Push(commands::push::Args),
    /// Copy an image between registries, layouts, archives and the store
    Copy(commands::copy::Args),
    /// List the tags of a repository
    Tags(commands::tags::Args),
    /// List the repositories of a registry
    Search(commands::search::Args),
    /// Keep a password for a registry
    Login(commands::login::Args),
    /// Forget the password for a registry
    Logout(commands::logout::Args),
    /// List the packages in an image, as SPDX or CycloneDX
    Sbom(commands::sbom::Args),
    /// Make a key pair that images are signed with
    Key(commands::key::Args),
    /// Sign images with a key
    Sign(commands::sign::Args),
    /// Look who signed an image, and whether it is whole
    VerifyImage(commands::verify_image::Args),
    /// Print the JSON Schemas of build files, lockfiles, progress and metadata
    Schema(commands::schema::Args),
    /// Show the version
    Version(commands::version::Args),
    /// Docker's names for commands about images
    #[command(subcommand, hide = true)]
    Image(groups::Image),
    /// Docker's names for commands about containers
    #[command(subcommand, hide = true)]
    Container(groups::Container),
    /// Docker's names for commands about the store
    #[command(subcommand, hide = true)]
    System(groups::System),
    /// Docker's names for commands about the cache
    #[command(subcommand, hide = true)]
    Builder(groups::Builder),
    /// Docker's names for commands that build
    #[command(subcommand, hide = true)]
    Buildx(groups::Buildx),
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself() {
        let (listed, mut built) = (Cli::command(), Cli::command());
        built.build();
        for command in built.get_subcommands().filter(|command| !command.is_hide_set()) {
            let about = |command: &clap::Command| command.get_about().map(ToString::to_string);
            let in_list = listed.find_subcommand(command.get_name()).and_then(about);
            assert!(in_list.is_some(), "{}", command.get_name());
            assert_eq!(about(command), in_list, "{}", command.get_name());
            assert!(command.get_after_help().is_some(), "{} has no examples", command.get_name());
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn takes_the_root_anywhere() {
        for words in [["imgbuild", "--root", "r", "images"], ["imgbuild", "images", "--root", "r"]] {
            assert_eq!(Cli::try_parse_from(words).unwrap().root, Some("r".into()));
        }
    }

    #[test]
    fn knows_longer_names() {
        let check = |words: &str, expected: fn(&Command) -> bool| {
            let words = ["imgbuild"].into_iter().chain(words.split_whitespace());
            let command = match Cli::try_parse_from(words).unwrap().command {
                Command::Image(command) => command.into(),
                Command::Buildx(command) => command.into(),
                command => command,
            };
            assert!(expected(&command), "{command:?}");
        };
        check("buildx build -t a .", |command| matches!(command, Command::Build(args) if args.image.tags == ["a"]));
        check("buildx bake web", |command| matches!(command, Command::Bake(_)));
        check("image ls -q", |command| matches!(command, Command::Images(args) if args.quiet));
        check("image rm a", |command| matches!(command, Command::Rmi(_)));
        check("image build .", |command| matches!(command, Command::Build(_)));
    }

    #[test]
    fn refuses_with_exit_code_2() {
        for words in [&["imgbuild", "nope"][..], &["imgbuild", "build", "a", "b"], &["imgbuild", "tag", "a"]] {
            assert_eq!(Cli::try_parse_from(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }
}
