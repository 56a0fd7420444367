//! The command line of a Rust program that describes builds with the [DSL](crate::frontend::dsl).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use super::args::BakeArgs;
use super::env::Env;
use super::library::Ops;
use super::{Session, commands, error, rootless};
use crate::frontend::dsl::Project;
use crate::ops::Error;

/// Build what this program describes.
#[derive(Debug, clap::Parser)]
#[command(max_term_width = 100, disable_help_subcommand = true, arg_required_else_help = true)]
struct Program {
    /// The folder of the store [default: $XDG_DATA_HOME/imgbuild, or /var/lib/imgbuild for root]
    #[arg(long, global = true, env = "IMGBUILD_ROOT", hide_env_values = true, value_name = "FOLDER")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Build targets, or with --print or --list show them
    #[command(visible_alias = "bake")]
    Build(Box<BakeArgs>),
    /// Write the build file that says the same
    Toml,
}

/// A build file that no file holds.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its text.
    pub text: Arc<str>,
    /// Where relative paths start.
    pub folder: PathBuf,
}

/// Runs the command line of this process for a project.
pub fn main(project: &Project) -> ExitCode {
    crate::sandbox::hand_on_no_descriptors();
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(error.exit_code().try_into().unwrap_or(error::USAGE));
        }
    };
    let session = Session { env: Env::real(), root: program.root };
    let done = rootless::enter(&session, true).and_then(|()| run(project, program.command, &session));
    ExitCode::from(done.unwrap_or_else(|error| session.fail(&error)))
}

fn run(project: &Project, command: Command, session: &Session) -> Result<u8, Error> {
    let text = project.to_toml().map_err(|error| Error::build(error.to_string()))?;
    match command {
        Command::Toml => session.print(text).map(|()| error::OK),
        Command::Build(mut args) => {
            if !args.files.is_empty() {
                return Err(Error::Usage("--file: this program is the build file".into()));
            }
            args.program = Some(Source { text: text.into(), folder: project.folder().to_owned() });
            commands::bake::run(*args, session, &Ops)
        }
    }
}
