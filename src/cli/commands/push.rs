//! `imgbuild push`: images to a registry.

use super::with_progress;
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::values;
use crate::cli::library::network;
use crate::cli::{Session, error};
use crate::event::Reporter;
use crate::oci::{Platform, Reference};
use crate::ops::{self, Error, Pushed};

/// Send images to a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild tag app:1.0 registry.example/team/app:1.0
  imgbuild push registry.example/team/app:1.0
  imgbuild push --all-tags registry.example/team/app")]
pub struct Args {
    /// The images, by the names that say where they go
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// Push only this platform of an image [default: all that are in the store]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
    /// Push all tags of a repository that are in the store
    #[arg(short, long)]
    pub all_tags: bool,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Pushes, and says what the images are.
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    let pushed = with_progress(args.progress, session, false, |progress| push(args, session, &*progress.reporter()));
    match pushed {
        Ok(pushed) => session.print(render(&pushed, args.progress.quiet)).map(|()| error::OK),
        Err(code) => Ok(code),
    }
}

fn push(args: &Args, session: &Session, reporter: &dyn Reporter) -> Result<Vec<Pushed>, Error> {
    let store = session.open_store()?;
    let mut wanted = Vec::new();
    for text in &args.images {
        let reference = super::name_to_give(text)?;
        if !args.all_tags {
            wanted.push(reference);
            continue;
        }
        let all = store.list_references()?.into_iter().filter_map(|entry| entry.reference);
        let before = wanted.len();
        wanted.extend(all.filter(|name| name.name() == reference.name() && name.tag().is_some()));
        if wanted.len() == before {
            return Err(Error::build(format!("there is no tag of {} in the store", reference.familiar_name())));
        }
    }
    let registries = network::registries(session)?;
    let platform = args.platform.as_ref();
    let one = |reference: &Reference| ops::push(&store, &registries, reference, platform, reporter);
    wanted.iter().map(one).collect()
}

fn render(pushed: &[Pushed], quiet: bool) -> String {
    let mut text = String::new();
    for Pushed { reference, descriptor, moved, signed } in pushed {
        if quiet {
            text += &format!("{reference}\n");
            continue;
        }
        text += &format!("Pushed image: {}\n{reference}\n", descriptor.digest);
        if moved.existed + moved.mounted > 0 {
            let (sent, mounted, existed) = (moved.moved, moved.mounted, moved.existed);
            text += &format!("Blobs: {sent} sent, {mounted} linked, {existed} there already\n");
        }
        if *signed > 0 {
            text += &format!("Signed: {signed} of its manifests\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Descriptor;
    use crate::registry::transfer::Moved;

    #[test]
    fn says_what_was_pushed() {
        let descriptor = Descriptor::of("", b"x");
        let digest = descriptor.digest;
        let moved = Moved { existed: 1, mounted: 2, moved: 3 };
        let pushed = [Pushed { reference: Reference::parse("h:5/a").unwrap(), descriptor, moved, signed: 0 }];
        let expected = format!("Pushed image: {digest}\nh:5/a:latest\nBlobs: 3 sent, 2 linked, 1 there already\n");
        assert_eq!(render(&pushed, false), expected);
        assert_eq!(render(&pushed, true), "h:5/a:latest\n");
    }
}
