//! `imgbuild pull`: images from a registry.

use super::with_progress;
use crate::cli::args::progress::ProgressArgs;
use crate::cli::args::values;
use crate::cli::library::network;
use crate::cli::{Session, error};
use crate::event::Reporter;
use crate::oci::{Platform, Reference};
use crate::ops::{self, Error, Pulled};
use crate::registry::transfer::Platforms;

/// Bring images from a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild pull debian:bookworm
  imgbuild pull --platform linux/arm64 registry.example/team/app:1.0
  imgbuild pull --all-platforms redis:7")]
pub struct Args {
    /// The images, such as redis:7 or host:5000/app@sha256:…
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// Pull these platforms of an image [default: this machine's]
    #[arg(long, value_name = "PLATFORM,…", value_delimiter = ',', value_parser = values::platform)]
    pub platform: Vec<Platform>,
    /// Pull all platforms of an image
    #[arg(long, conflicts_with = "platform")]
    pub all_platforms: bool,
    /// Pull all tags of a repository
    #[arg(short, long)]
    pub all_tags: bool,
    /// What is shown.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Pulls, and says what the images are.
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    let pulled = with_progress(args.progress, session, false, |progress| pull(args, session, &*progress.reporter()));
    match pulled {
        Ok(pulled) => session.print(render(&pulled, args.progress.quiet)).map(|()| error::OK),
        Err(code) => Ok(code),
    }
}

fn pull(args: &Args, session: &Session, reporter: &dyn Reporter) -> Result<Vec<Pulled>, Error> {
    let mut wanted = Vec::new();
    let registries = network::registries(session)?;
    for text in &args.images {
        let reference = Reference::parse(text)?;
        if !args.all_tags {
            wanted.push(reference);
            continue;
        }
        if reference.digest().is_some() || text.ends_with(&format!(":{}", reference.tag().unwrap_or_default())) {
            return Err(Error::Usage(format!("{text:?}: with --all-tags, name the repository only")));
        }
        for tag in ops::tags(&registries, &reference)? {
            wanted.push(reference.with_tag(&tag)?);
        }
    }
    let platforms = match (&args.platform[..], args.all_platforms) {
        (_, true) => Platforms::All,
        ([], false) => Platforms::Only(vec![Platform::host()]),
        (several, false) => Platforms::Only(several.to_vec()),
    };
    let store = session.open_store()?;
    wanted.iter().map(|reference| ops::pull(&store, &registries, reference, &platforms, reporter)).collect()
}

fn render(pulled: &[Pulled], quiet: bool) -> String {
    let mut text = String::new();
    for image in pulled {
        if !quiet {
            let what = if image.known { "Image is up to date" } else { "Pulled image" };
            text += &format!("{what}: {}\n", image.descriptor.digest);
        }
        text += &format!("{}\n", image.reference);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Descriptor;

    #[test]
    fn says_what_was_pulled() {
        let descriptor = Descriptor::of("", b"x");
        let digest = descriptor.digest;
        let pulled = [Pulled { reference: Reference::parse("a").unwrap(), descriptor, known: false }];
        let name = "docker.io/library/a:latest\n";
        assert_eq!(render(&pulled, false), format!("Pulled image: {digest}\n{name}"));
        assert_eq!(render(&pulled, true), name);
    }
}
