//! `imgbuild rmi`: names taken away, and images that have none left.

use std::io::Write as _;

use super::each;
use crate::cli::Session;
use crate::ops::{self, Error, Removed, RmiError};
use crate::store::FindError;

/// Remove images
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

/// Removes and says what.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let mut store = session.open_store()?;
    let mut deferred = false;
    let done = each(&args.images, |image| match ops::rmi(&mut store, image, args.force) {
        Err(RmiError::Find(FindError::NotFound(_))) if args.force => Ok(()),
        removed => {
            let removed = removed?;
            deferred |= removed.deferred;
            session.print(render(&removed))
        }
    });
    if deferred {
        let note = "note: another imgbuild is using the store, so nothing was deleted yet; `imgbuild prune` does it\n";
        // There is nobody to tell if standard error is gone.
        let _ = std::io::stderr().lock().write_all(note.as_bytes());
    }
    done
}

fn render(removed: &Removed) -> String {
    let names = removed.untagged.iter().map(|name| format!("Untagged: {}\n", name.familiar()));
    names.chain(removed.deleted.iter().map(|digest| format!("Deleted: {digest}\n"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn says_what_was_removed() {
        let digest = Digest::of(b"blob");
        let removed = Removed { untagged: vec!["a:1".parse().unwrap()], deleted: vec![digest], ..Removed::default() };
        assert_eq!(render(&removed), format!("Untagged: a:1\nDeleted: {digest}\n"));
    }
}
