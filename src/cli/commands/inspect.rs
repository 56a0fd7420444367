//! `imgbuild inspect`: everything about images and containers, as JSON.

use clap::ValueEnum;
use serde_json::Value;

use super::{each, json_line, json_pretty};
use crate::cli::Session;
use crate::cli::args::template::Template;
use crate::cli::args::values;
use crate::cli::library::network;
use crate::oci::Platform;
use crate::ops::{self, Error};
use crate::store::Store;

/// Show everything about images and containers, as JSON
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild inspect app:1.0
  imgbuild inspect --remote debian:bookworm
  imgbuild inspect --format '{{.Config.Cmd}}' app:1.0
  imgbuild inspect --format json app:1.0 | jq '.[0].Config.Env'

Of Docker's templates, paths are understood: {{.A.B}} and {{json .A.B}}.")]
pub struct Args {
    /// Names or IDs
    #[arg(value_name = "IMAGE|CONTAINER", required = true)]
    pub images: Vec<String>,
    /// The platform, of an image for several [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
    /// Look in the registry instead of the store, without pulling
    #[arg(long)]
    pub remote: bool,
    /// How to print: json for one line, or paths such as {{.Id}}
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// What to inspect, where a name could be either
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub kind: Option<Kind>,
}

/// What can be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Images
    Image,
    /// Containers
    Container,
}

/// Prints those that there are: as one array, or a line each.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let template = match args.format.as_deref() {
        None | Some("json") => None,
        Some(text) => Some(text.parse::<Template>().map_err(|message| Error::Usage(format!("--format: {message}")))?),
    };
    let mut found: Vec<Value> = Vec::new();
    let done = if args.remote {
        let registries = network::registries(session)?;
        each(&args.images, |image| {
            found.push(to_json(&ops::inspect_remote(&registries, image, args.platform.as_ref())?)?);
            Ok(())
        })
    } else {
        let store = session.open_store()?;
        each(&args.images, |name| {
            found.push(inspect(args, &store, name)?);
            Ok(())
        })
    };
    let text = match &template {
        Some(template) => found
            .iter()
            .map(|document| template.render(document).map(|text| text + "\n"))
            .collect::<Result<String, String>>()
            .map_err(|message| Error::Usage(format!("--format: {message}")))?,
        None if args.format.is_some() => json_line(&found)?,
        None => json_pretty(&found)?,
    };
    // What an image says of itself must not write to the terminal.
    let is_shown = session.env.stdout_is_terminal();
    let text = if is_shown { text.replace(|c: char| c.is_control() && c != '\n', "?") } else { text };
    session.print(text)?;
    done
}

/// A container if one is called so, as with docker, else an image.
fn inspect(args: &Args, store: &Store, name: &str) -> Result<Value, Error> {
    if args.kind != Some(Kind::Image) {
        match ops::container::inspect(store, name) {
            Err(_) if args.kind.is_none() => {}
            container => return to_json(&container?),
        }
    }
    to_json(&ops::inspect(store, name, args.platform.as_ref())?)
}

fn to_json(value: &impl serde::Serialize) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::build("the result cannot be written as JSON").caused_by(error))
}
