//! `imgbuild key`: key pairs that images are signed with.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::Session;
use crate::cli::library::trust;
use crate::ops::Error;
use crate::trust::{KeyError, PrivateKey};

/// Make a key pair that images are signed with
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild key generate release
      write release.key, under a password, and release.pub
  imgbuild key show release.key > release.pub
      write the public key again")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Make a key pair: NAME.key signs, NAME.pub checks
    Generate(GenerateArgs),
    /// Print the public key of a private one
    Show(ShowArgs),
}

/// Make a key pair
#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// Where it goes, without the ending
    #[arg(value_name = "NAME", default_value = "imgbuild")]
    pub name: PathBuf,
    /// Keep the private key without a password, for machines that keep it safe in other ways
    #[arg(long)]
    pub no_password: bool,
}

/// Print a public key
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The file of the private key
    #[arg(value_name = "KEY")]
    pub key: PathBuf,
}

/// Makes or shows a key.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    match &args.command {
        KeyCommand::Generate(args) => generate(args, session),
        KeyCommand::Show(ShowArgs { key }) => {
            let keys = trust::private_keys(std::slice::from_ref(key), session)?;
            keys.iter().try_for_each(|key| session.print(key.public().to_pem()))
        }
    }
}

fn generate(args: &GenerateArgs, session: &Session) -> Result<(), Error> {
    let [private, public] = ["key", "pub"].map(|ending| {
        let mut name = args.name.clone().into_os_string();
        name.push(".");
        name.push(ending);
        PathBuf::from(name)
    });
    // Before anybody is asked for a password.
    if let Some(there) = [&private, &public].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        let message = format!("{} is there already, and keys are not overwritten", there.display());
        return Err(Error::build(message).help("choose another name, or remove it"));
    }
    let failed = |error: KeyError| Error::build(format!("no key can be made: {error}"));
    let key = loop {
        if let Some(key) = PrivateKey::from_random(&random()?) {
            break key;
        }
    };
    let text = match args.no_password {
        true => key.to_pem().map_err(failed)?,
        false => key.to_sealed(&new_password(session)?, &random()?).map_err(failed)?,
    };
    write(&private, 0o600, &text)?;
    write(&public, 0o644, key.public().to_pem())?;
    session.print(format!("{} signs: keep it\n{} checks: give it away\n", private.display(), public.display()))
}

fn new_password(session: &Session) -> Result<Vec<u8>, Error> {
    let password = trust::password(session, "Password for the new key: ")?;
    if trust::password(session, "The same again: ")? == password {
        return Ok(password);
    }
    Err(Error::Usage("the two passwords differ: try again".into()))
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let got = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
        filled += got.map_err(|error| Error::environment("the kernel has no random numbers").caused_by(error))?;
    }
    Ok(bytes)
}

/// Writes a new file. One that is there already stays.
fn write(path: &Path, mode: u32, text: &str) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| Error::build(format!("cannot write {}", path.display())).caused_by(error))
}
