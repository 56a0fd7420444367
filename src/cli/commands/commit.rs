//! `imgbuild commit`: an image of what a container changed.

use super::{name_to_give, now, with_layers};
use crate::cli::Session;
use crate::graph::Times;
use crate::ops::Error;
use crate::ops::container::{self, Commit};

/// Make an image of what a container changed
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild commit work app:fixed
  imgbuild commit -m 'with curl' -c 'CMD [\"curl\"]' work app:curl")]
pub struct Args {
    /// The container: a name or an ID
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    pub name: Option<String>,
    /// A remark for the history
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub message: String,
    /// Who is responsible for the image
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub author: String,
    /// Apply a Dockerfile instruction, such as CMD or ENV
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// Stop a container that runs meanwhile; --pause=false does not
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    #[arg(value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub pause: bool,
}

/// Makes the image and prints its ID.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let times = match session.env.source_date_epoch()? {
        Some(epoch) => Times { epoch, ceiling: Some(epoch) },
        None => Times::default(),
    };
    let options = Commit {
        references: args.name.iter().map(|name| name_to_give(name)).collect::<Result<_, _>>()?,
        message: args.message.clone(),
        author: args.author.clone(),
        changes: args.change.clone(),
        pause: args.pause,
        times,
        now: now(),
    };
    let image = with_layers(session, |layers| container::commit(layers, &args.container, &options))?;
    session.print(format!("{}\n", image.id))
}
