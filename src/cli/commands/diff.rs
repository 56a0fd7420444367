//! `imgbuild diff`: what a container changed.

use serde::Serialize;

use super::{Format, json_line, with_layers};
use crate::cli::Session;
use crate::ops::Error;
use crate::ops::container::{self, Change, ChangeKind};

/// The flags.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild diff work                    A for what was added, C for what was changed, D for what was deleted
  imgbuild diff --format json work      one JSON object on each line")]
pub struct Args {
    /// The container: a name or an ID
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    kind: char,
    path: String,
}

/// Prints the changes.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let changes = with_layers(session, |layers| container::changes(layers, &args.container))?;
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
