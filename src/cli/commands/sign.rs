//! `imgbuild sign`: says, with a key, that an image is the one of its name.

use std::path::PathBuf;

use crate::cli::Session;
use crate::cli::library::{network, trust};
use crate::oci::Reference;
use crate::ops::signatures::{Signed, sign, sign_remote};
use crate::ops::{Error, ImageName, Place};

/// Sign images with a key
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild key generate release
  imgbuild sign --key release.key registry.example/app:1.0 && imgbuild push registry.example/app:1.0
      sign an image of the store; the signature goes along when it is pushed
  imgbuild sign --key release.key docker://registry.example/app:1.0
      sign an image where it is
  imgbuild sign --key release.key --as registry.example/app:1.0 app
      sign it as what it will be called

The password of a key is asked for, or taken from IMGBUILD_KEY_PASSWORD or COSIGN_PASSWORD.")]
pub struct Args {
    /// The images: names in the store, or docker://NAME
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// The file of the private key
    #[arg(short, long = "key", value_name = "FILE", required = true)]
    pub keys: Vec<PathBuf>,
    /// The name that is signed, of an image of the store [default: its own]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
}

/// Signs, and says what.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let keys = trust::private_keys(&args.keys, session)?;
    let name = args.name.as_deref().map(Reference::parse).transpose()?;
    for image in &args.images {
        let signed = match image.parse().map_err(Error::Usage)? {
            ImageName::Stored(image) => sign(&session.open_store()?, &image, name.as_ref(), &keys)?,
            ImageName::Elsewhere(Place::Registry(_), _) if name.is_some() => {
                return Err(Error::Usage("--as is for images of the store: one in a registry has its name".into()));
            }
            ImageName::Elsewhere(Place::Registry(reference), _) => {
                sign_remote(&network::registries(session)?, &reference, &keys)?
            }
            ImageName::Elsewhere(..) => {
                let message =
                    format!("{image} cannot be signed where it is: bring it into the store or a registry first");
                return Err(Error::Usage(message));
            }
        };
        session.print(render(&signed))?;
    }
    Ok(())
}

fn render(Signed { reference, digest, manifests }: &Signed) -> String {
    let more = if *manifests > 1 { format!(", and {} manifests behind it", manifests - 1) } else { String::new() };
    format!("Signed {digest}{more}\nas {reference}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn says_what_was_signed() {
        let (reference, digest) = (Reference::parse("h.x/a:1").unwrap(), Digest::of(b"x"));
        let check = |manifests, more: &str| {
            let signed = Signed { reference: reference.clone(), digest, manifests };
            assert_eq!(render(&signed), format!("Signed {digest}{more}\nas h.x/a:1\n"));
        };
        check(1, "");
        check(3, ", and 2 manifests behind it");
    }
}
