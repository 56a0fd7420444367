//! `imgbuild rmi`: names taken away, and images that have none left.

use crate::cli::Session;
use crate::cli::library::Library;
use crate::ops::Error;

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild rmi app:1.0              take the name away, and the image if it was its last
  imgbuild rmi -f 3b1f0a5c2d4e      remove an image with all its names")]
pub struct Args {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// Remove an image that has several names by its ID; do not fail if there is none
    #[arg(short, long)]
    pub force: bool,
    /// Keep untagged parents (there are none here)
    #[arg(long, hide = true)]
    pub no_prune: bool,
}

/// Something that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name.
    Name(String),
    /// An image, by its identity.
    Image(String),
}

/// Removes and says what.
pub fn run(args: &Args, session: &Session, library: &dyn Library) -> Result<(), Error> {
    session.print(render(&library.remove(args, session)?))
}

fn render(removed: &[Removed]) -> String {
    let line = |removed: &Removed| match removed {
        Removed::Name(name) => format!("Untagged: {name}\n"),
        Removed::Image(id) => format!("Deleted: {id}\n"),
    };
    removed.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_removed() {
        let removed = [Removed::Name("a:1".into()), Removed::Image("sha256:12".into())];
        assert_eq!(render(&removed), "Untagged: a:1\nDeleted: sha256:12\n");
    }
}
