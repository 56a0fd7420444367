//! The command line: arguments, one file for each command, what is shown while a build runs, and errors.
//!
//! Flags are parsed into plain data, looked up in the environment where they say so, and handed to the library in one
//! call. Only this room reads the environment, knows the user's folders and writes to the terminal. Data goes to
//! standard output, everything else to standard error.

pub mod args;
pub mod attach;
pub mod choose;
pub mod commands;
pub mod config;
pub mod env;
pub mod error;
pub mod explain;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod human;
pub mod interrupt;
pub mod keychain;
pub mod library;
pub mod program;
pub mod progress;
pub mod records;
mod rootless;
pub mod table;
pub mod timeline;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use env::Env;
use library::Library;

use crate::ops::Error;
use crate::store::Store;

/// What every command needs to know.
pub struct Session {
    /// The surroundings.
    pub env: Env,
    /// The store's folder as given, if it was.
    pub root: Option<PathBuf>,
}

impl Session {
    /// The store's folder: as given, else as the user's file says, else the default.
    pub fn store(&self) -> Result<PathBuf, Error> {
        let given = self.root.clone().filter(|root| !root.as_os_str().is_empty());
        self.env.store(match given {
            None => config::Config::read(self)?.store,
            given => given,
        })
    }

    /// Opens that store, or makes it.
    pub fn open_store(&self) -> Result<Store, Error> {
        let limits = config::Config::read(self)?.archives();
        Ok(Store::open(&self.store()?)?.accepting(limits))
    }

    /// The same for a build, which lets those first who wait until no other build uses the store.
    pub fn open_store_in_turn(&self) -> Result<Store, Error> {
        let limits = config::Config::read(self)?.archives();
        Ok(Store::open_in_turn(&self.store()?)?.accepting(limits))
    }

    /// Writes data to standard output. Of a reader that has gone nobody is told.
    pub fn print(&self, text: impl AsRef<[u8]>) -> Result<(), Error> {
        self.stream(|out| {
            out.write_all(text.as_ref())
                .map_err(|error| Error::environment("cannot write to standard output").caused_by(error))
        })
    }

    /// The same for data that is made while it is written.
    pub fn stream(&self, fill: impl FnOnce(&mut dyn io::Write) -> Result<(), Error>) -> Result<(), Error> {
        crate::ops::write_stream(self.env.stdout(), fill)
    }

    /// Writes to standard error. If it is gone, there is nobody left to tell.
    pub fn complain(&self, text: &str) {
        let _ = self.env.stderr().write_all(text.as_bytes());
    }

    /// Tells of an error; its exit code.
    pub fn fail(&self, error: &Error) -> u8 {
        self.complain(&error::render(error, self.style()));
        error::exit_code(error)
    }

    /// How errors are drawn on standard error.
    pub fn style(&self) -> error::Style {
        let width = console::Term::stderr().size_checked().map(|(_, columns)| usize::from(columns));
        let style = error::Style::default();
        error::Style { colours: self.env.colours(), width: width.unwrap_or(style.width).max(40), ..style }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    crate::sandbox::hand_on_no_descriptors();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output and is no failure; clap knows which is which.
            let _ = error.print();
            return ExitCode::from(error.exit_code().try_into().unwrap_or(error::USAGE));
        }
    };
    let Cli { root, command, .. } = cli;
    let session = Session { env: Env::real(), root };
    let entered = if uses_store(&command) { rootless::enter(&session, runs_programs(&command)) } else { Ok(()) };
    ExitCode::from(match entered {
        Ok(()) => execute(command, &session, &library::Ops),
        Err(error) => session.fail(&error),
    })
}

/// Runs a command; its exit code.
fn execute(command: Command, session: &Session, library: &dyn Library) -> u8 {
    run(command, session, library).unwrap_or_else(|error| session.fail(&error))
}

/// Whether a command runs programs of images.
fn runs_programs(command: &Command) -> bool {
    matches!(command, Command::Build(_) | Command::Bake(_) | Command::Verify(_) | Command::Run(_) | Command::Debug(_))
}

/// Whether a command opens the store. The others do without the rights that this takes.
fn uses_store(command: &Command) -> bool {
    !matches!(
        command,
        Command::Man(_)
            | Command::Login(_)
            | Command::Logout(_)
            | Command::Key(_)
            | Command::Search(_)
            | Command::Tags(_)
            | Command::Schema(_)
            | Command::Version(_)
    )
}

/// Runs one command. Commands that show progress draw their errors themselves and return only an exit code.
fn run(command: Command, session: &Session, library: &dyn Library) -> Result<u8, Error> {
    let done = |()| error::OK;
    match command {
        Command::Build(args) => commands::build::run(*args, session, library),
        Command::Bake(args) => commands::bake::run(*args, session, library),
        Command::Check(args) => commands::check::run(&args, session, library),
        Command::Lock(args) => commands::lock::run(*args, session),
        Command::Update(args) => commands::update::run(*args, session),
        Command::Fetch(args) => commands::fetch::run(*args, session),
        Command::Verify(args) => commands::verify::run(*args, session),
        Command::Plan(args) => commands::plan::run(*args, session).map(done),
        Command::Why(args) => commands::why::run(*args, session).map(done),
        Command::Graph(args) => commands::graph::run(*args, session).map(done),
        Command::Debug(args) => commands::debug::run(*args, session),
        Command::Builds(args) => commands::builds::run(&args, session).map(done),
        Command::Log(args) => commands::log::run(&args, session).map(done),
        Command::Report(args) => commands::report::run(&args, session).map(done),
        Command::Images(args) => commands::images::run(&args, session).map(done),
        Command::Tag(args) => commands::tag::run(&args, session).map(done),
        Command::Rmi(args) => commands::rmi::run(&args, session).map(done),
        Command::Inspect(args) => commands::inspect::run(&args, session).map(done),
        Command::History(args) => commands::history::run(&args, session).map(done),
        Command::Save(args) => commands::save::run(&args, session),
        Command::Load(args) => commands::load::run(&args, session),
        Command::Import(args) => commands::import::run(&args, session),
        Command::Tree(args) => commands::tree::run(&args, session).map(done),
        Command::Export(args) => commands::export::run(&args, session).map(done),
        Command::Run(args) => commands::run::run(&args, session),
        Command::Ps(args) => commands::ps::run(&args, session).map(done),
        Command::Rm(args) => commands::rm::run(&args, session).map(done),
        Command::Explore(args) => commands::explore::run(&args, session),
        Command::Sbom(args) => commands::sbom::run(&args, session).map(done),
        Command::Key(args) => commands::key::run(&args, session).map(done),
        Command::Sign(args) => commands::sign::run(&args, session).map(done),
        Command::VerifyImage(args) => commands::verify_image::run(&args, session),
        Command::Diff(args) => commands::diff::run(&args, session),
        Command::Cp(args) => commands::cp::run(&args, session).map(done),
        Command::Commit(args) => commands::commit::run(&args, session).map(done),
        Command::Mount(args) => commands::mount::run(&args, session).map(done),
        Command::Umount(args) => commands::mount::umount(&args, session).map(done),
        Command::Df(args) => commands::df::run(&args, session).map(done),
        Command::Prune(args) => commands::prune::run(&args, session).map(done),
        Command::Fsck(args) => commands::fsck::run(&args, session),
        Command::Info(args) => commands::info::run(&args, session).map(done),
        Command::Completions(args) => commands::completions::run(&args, session).map(done),
        Command::Man(args) => commands::completions::man(&args, session).map(done),
        Command::Pull(args) => commands::pull::run(&args, session),
        Command::Push(args) => commands::push::run(&args, session),
        Command::Copy(args) => commands::copy::run(&args, session),
        Command::Tags(args) => commands::tags::run(&args, session).map(done),
        Command::Search(args) => commands::search::run(&args, session).map(done),
        Command::Login(args) => commands::login::run(&args, session).map(done),
        Command::Logout(args) => commands::logout::run(&args, session).map(done),
        Command::Schema(args) => commands::schema::run(&args, session).map(done),
        Command::Version(args) => commands::version::run(&args, session).map(done),
        Command::Container(command) => run(command.into(), session, library),
        Command::System(command) => run(command.into(), session, library),
        Command::Builder(command) => run(command.into(), session, library),
        Command::Image(command) => run(command.into(), session, library),
        Command::Buildx(command) => run(command.into(), session, library),
    }
}
