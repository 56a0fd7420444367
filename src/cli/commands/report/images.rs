//! What a build made, with the layers of each image as far as the store still knows it.

use crate::cli::progress::clean;
use crate::oci::Reference;
use crate::ops;
use crate::ops::record::Summary;
use crate::store::Store;

/// What a target came to.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// The target's name; may be empty.
    pub target: String,
    /// Its digest; empty if no image was made.
    pub digest: String,
    /// The names that it was given.
    pub tags: Vec<String>,
    /// The image for each platform; none if it is not in the store.
    pub platforms: Vec<PlatformImage>,
}

/// An image for one platform.
#[derive(Debug, Clone, Default)]
pub struct PlatformImage {
    /// For what.
    pub platform: String,
    /// The sum of the sizes of its layers, in bytes.
    pub size: u64,
    /// Its layers, the largest first.
    pub layers: Vec<Layer>,
}

/// A layer.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// Which one it is, counted from 1 at the bottom.
    pub number: usize,
    /// The instruction that made it; empty if nobody knows.
    pub instruction: String,
    /// The beginning of its digest.
    pub digest: String,
    /// How large it is as it is stored, in bytes.
    pub size: u64,
}

/// What a build made.
pub fn made(store: &Store, build: &Summary) -> Vec<Made> {
    let one = |image: &ops::record::Image| Made {
        target: image.target.clone(),
        digest: image.digest.clone(),
        tags: image.tags.iter().map(|tag| Reference::parse(tag).map_or(tag.clone(), |tag| tag.familiar())).collect(),
        platforms: platforms(store, &image.digest),
    };
    build.images.iter().map(one).collect()
}

fn platforms(store: &Store, digest: &str) -> Vec<PlatformImage> {
    let Ok(digest) = digest.parse() else { return Vec::new() };
    let images = store.resolve_all(&digest).unwrap_or_default();
    let platform = |image: &crate::store::ResolvedImage| {
        let history = image.config.history.iter().filter(|history| !history.empty_layer);
        let instructions: Vec<String> = history.map(|history| instruction(&history.created_by)).collect();
        // Builders that forget some instructions forget those of the base.
        let unknown = image.layers.len().saturating_sub(instructions.len());
        let layer = |(number, (descriptor, _)): (usize, &(crate::oci::Descriptor, _))| Layer {
            number: number + 1,
            instruction: number.checked_sub(unknown).and_then(|at| instructions.get(at)).cloned().unwrap_or_default(),
            digest: descriptor.digest.short(),
            size: descriptor.size,
        };
        let mut layers: Vec<Layer> = image.layers.iter().enumerate().map(layer).collect();
        layers.sort_by_key(|layer| (std::cmp::Reverse(layer.size), layer.number));
        PlatformImage {
            platform: image.platform().to_string(),
            size: layers.iter().map(|layer| layer.size).sum(),
            layers,
        }
    };
    images.iter().map(platform).collect()
}

/// An instruction as a history has it, without what only its machinery wants.
fn instruction(text: &str) -> String {
    let text = text.strip_prefix("/bin/sh -c #(nop) ").unwrap_or(text);
    let text = text.strip_suffix("# buildkit").unwrap_or(text);
    let run = text.strip_prefix("RUN /bin/sh -c ").map(|command| format!("RUN {command}"));
    let words: Vec<&str> = run.as_deref().unwrap_or(text).split_whitespace().collect();
    clean(words.join(" ").as_bytes(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_without_machinery() {
        let check = |text: &str, expected: &str| assert_eq!(instruction(text), expected);
        check("/bin/sh -c #(nop)  CMD [\"sh\"]", "CMD [\"sh\"]");
        check("RUN /bin/sh -c make # buildkit", "RUN make");
        check("COPY a\t b\x1b[2J", "COPY a b");
    }
}
