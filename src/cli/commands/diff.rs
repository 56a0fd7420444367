//! `imgbuild diff`: what a container changed, or how two images differ.

mod images;

use clap::ValueEnum;
use serde::Serialize;

use super::{Format, json_line, with_layers};
use crate::cli::args::values;
use crate::cli::{Session, error};
use crate::oci::Platform;
use crate::ops::Error;
use crate::ops::container::{self, Change, ChangeKind};
use crate::ops::diff::Aspect;

/// Show what a container changed, or how two images differ
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild diff work                    what a container changed: A added, C changed, D deleted
  imgbuild diff --format json work      one JSON object on each line
  imgbuild diff app:1 app:2             how two images differ: files, configuration, sizes, platforms
  imgbuild diff --exit-code --ignore time,history app docker-archive:theirs.tar

Images are named as in the store, or by a place: oci:FOLDER, oci-archive:FILE, docker-archive:FILE, docker://NAME.")]
pub struct Args {
    /// A container, or an image
    #[arg(value_name = "CONTAINER|IMAGE")]
    pub first: String,
    /// The image that the first is compared with
    #[arg(value_name = "IMAGE")]
    pub second: Option<String>,
    /// Of images: exit with 1 if there are differences
    #[arg(long, requires = "second")]
    pub exit_code: bool,
    /// Of images: what does not count
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND", requires = "second")]
    pub ignore: Vec<Ignore>,
    /// Of images: the platform, where there are several [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform, requires = "second")]
    pub platform: Option<Platform>,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

/// What need not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ignore {
    /// Permissions
    Mode,
    /// Owner and group
    Owner,
    /// Modification times
    Time,
    /// Extended attributes
    Xattr,
    /// What the images say of how they were made
    History,
}

impl From<Ignore> for Aspect {
    fn from(ignore: Ignore) -> Self {
        match ignore {
            Ignore::Mode => Self::Mode,
            Ignore::Owner => Self::Owner,
            Ignore::Time => Self::Time,
            Ignore::Xattr => Self::Xattr,
            Ignore::History => Self::History,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    kind: char,
    path: String,
}

/// Prints the changes.
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    match &args.second {
        None => of_container(args, session).map(|()| error::OK),
        Some(second) => images::run(args, second, session),
    }
}

fn of_container(args: &Args, session: &Session) -> Result<(), Error> {
    let changes = with_layers(session, |layers| {
        let store = layers.store();
        container::changes(layers, &args.first).map_err(|error| match store.find(&args.first) {
            Ok(_) if store.find_container(&args.first).is_err() => Error::Usage(format!(
                "{:?} is an image: name the image that it is to be compared with as well",
                args.first
            )),
            _ => error,
        })
    })?;
    let mut text = String::new();
    for Change { path, kind } in changes {
        let kind = match kind {
            ChangeKind::Added => 'A',
            ChangeKind::Changed => 'C',
            ChangeKind::Deleted => 'D',
        };
        text += &match args.format {
            Format::Json => json_line(&Line { kind, path: path.to_string() })?,
            // A name from elsewhere must not write to the terminal.
            Format::Table => format!("{kind} {}\n", path.to_string().replace(char::is_control, "?")),
        };
    }
    session.print(text)
}
