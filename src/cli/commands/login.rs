//! `imgbuild login`: a password for a registry, checked and kept.

use std::io::Read as _;
use std::path::PathBuf;

use console::Term;

use crate::cli::Session;
use crate::cli::keychain::{self, Files};
use crate::cli::library::network;
use crate::oci::{DEFAULT_REGISTRY, Reference};
use crate::ops::Error;
use crate::registry::{Credentials, RegistryError, Secret};

/// The longest password that is read from standard input, in bytes.
const LONGEST: u64 = 64 << 10;

/// Keep a password for a registry
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild login registry.example
  echo \"$TOKEN\" | imgbuild login -u ci --password-stdin registry.example")]
pub struct Args {
    /// The registry [default: Docker Hub]
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,
    /// The user name
    #[arg(short, long, value_name = "NAME")]
    pub username: Option<String>,
    /// The password; it is safer on stdin
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// Read the password from stdin
    #[arg(long)]
    pub password_stdin: bool,
    /// The file to keep it in [default: $REGISTRY_AUTH_FILE, or Docker's config.json]
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
}

/// Passwords are for nobody's eyes.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Asks for what is missing, asks the registry, and keeps it.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let registry = registry(args.registry.as_deref())?;
    let user = match &args.username {
        Some(user) => user.clone(),
        None if args.password_stdin => return Err(Error::Usage("--password-stdin needs --username".into())),
        None => ask(session, "Username: ", false)?,
    };
    let password = match &args.password {
        Some(password) => password.clone(),
        None if args.password_stdin => from_stdin()?,
        None => ask(session, "Password: ", true)?,
    };
    if user.is_empty() || password.is_empty() {
        return Err(Error::Usage("neither the user name nor the password may be empty".into()));
    }
    if args.password.is_some() {
        session.complain("warning: others on this machine can see --password; --password-stdin is safer\n");
    }
    let password = Secret(password);
    let registries = network::registries_with(session, Files::of(&session.env))?;
    let credentials = Credentials::Password { user: user.clone(), password: password.clone() };
    registries.check_credentials(&registry, credentials).map_err(|error| match error {
        RegistryError::Denied { said, .. } => {
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            Error::build(format!("{registry} does not accept this user name and password{said}"))
        }
        error => error.into(),
    })?;
    let place = keychain::keep(session, args.authfile.as_deref(), &registry, &user, &password)?;
    session.print(format!("Login succeeded: {registry}, kept in {place}\n"))
}

/// A registry as people write it: a host, or a URL of one.
pub(super) fn registry(text: Option<&str>) -> Result<String, Error> {
    let text = text.unwrap_or(DEFAULT_REGISTRY);
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    // Any host will do here: nothing else can be meant.
    let host = if host.contains(['.', ':']) || host == "localhost" { host.to_owned() } else { format!("{host}:443") };
    match Reference::parse(&format!("{host}/x")) {
        Ok(parsed) => Ok(parsed.registry().to_owned()),
        Err(_) => Err(Error::Usage(format!("{text:?} is no registry: write HOST or HOST:PORT"))),
    }
}

fn from_stdin() -> Result<String, Error> {
    let failed = |error| Error::build("cannot read the password from standard input").caused_by(error);
    let mut text = String::new();
    std::io::stdin().take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask(session: &Session, what: &str, secretly: bool) -> Result<String, Error> {
    if !session.env.stdin_is_terminal() {
        return Err(Error::Usage("there is no terminal to ask: use --username with --password-stdin".into()));
    }
    session.complain(what);
    let term = Term::stderr();
    let line = if secretly { term.read_secure_line() } else { term.read_line() };
    line.map(|line| line.trim().to_owned())
        .map_err(|error| Error::environment("cannot read from the terminal").caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_registries() {
        let check = |text: Option<&str>, expected: &str| assert_eq!(registry(text).unwrap(), expected);
        check(None, "docker.io");
        check(Some("https://index.docker.io/v1/"), "docker.io");
        check(Some("http://localhost:5000"), "localhost:5000");
        check(Some("ghcr.io/team"), "ghcr.io");
        check(Some("[::1]:5000"), "[::1]:5000");
        assert!(registry(Some("a b")).is_err());
        assert!(registry(Some("")).is_err());
    }
}
