//! The parts of a build for those who do not want its outputs: the images alone, or only what comes from the network.

use crate::compress::Compression;
use crate::export::{self, ExportedImage, ImageSpec};
use crate::graph::{Op, StepId};
use crate::oci::Platform;
use crate::ops::Error;
use crate::ops::build::lowering::Lowered;
use crate::ops::build::output::wants_image;
use crate::ops::build::target::Target;
use crate::ops::build::{Prepared, Session};
use crate::solve::Solved;
use crate::store::layers::Layers;

/// An image that was made, of one platform of a target.
pub struct TargetImage {
    /// What the lockfile calls the target.
    pub target: String,
    /// For what.
    pub platform: Platform,
    /// The step whose output is the file system.
    pub step: StepId,
    /// The image, in the store; no reference leads to it.
    pub image: ExportedImage,
}

/// Builds what was prepared, and makes the images that the user asked for. Nothing else is written.
pub fn make(session: &Session<'_>, prepared: &Prepared, targets: &[Target]) -> Result<Vec<TargetImage>, Error> {
    let Prepared { lowered, layers, .. } = prepared;
    let solved = prepared.run(session, targets, &prepared.wanted())?;
    let mut made = Vec::new();
    for (target, lowered) in targets.iter().zip(lowered).filter(|(target, _)| target.requested) {
        let images = images(target, lowered, &solved, layers, compression(target))
            .map_err(|error| if session.cancel.is_canceled() { Error::Interrupted } else { error })?;
        made.extend(lowered.platforms.iter().zip(images).map(|(build, image)| TargetImage {
            target: target.lock_name(),
            platform: build.platform.clone(),
            step: build.step,
            image,
        }));
    }
    Ok(made)
}

/// Brings what is pinned of URLs and repositories into the store; how many files and checkouts that are.
pub fn fetch(session: &Session<'_>, prepared: &Prepared, targets: &[Target]) -> Result<(usize, usize), Error> {
    let graph = &prepared.graph;
    let needed = graph.needed(&prepared.wanted()).into_iter();
    let remote: Vec<StepId> = needed.filter(|step| matches!(graph[*step].op, Op::Http(_) | Op::Git(_))).collect();
    prepared.run(session, targets, &remote)?;
    let files = remote.iter().filter(|step| matches!(graph[**step].op, Op::Http(_))).count();
    Ok((files, remote.len() - files))
}

/// The image of each platform of a target.
pub fn images(
    target: &Target,
    lowered: &Lowered,
    solved: &Solved,
    layers: &Layers,
    compression: Compression,
) -> Result<Vec<ExportedImage>, Error> {
    let one = |build: &super::lowering::LoweredPlatform| {
        let spec = ImageSpec {
            state: solved.state(build.step),
            config: &build.config,
            history: &build.config.history,
            platform: &build.platform,
            annotations: &target.annotations,
            times: build.times,
            compression,
        };
        Ok(export::assemble(layers, &spec)?)
    };
    lowered.platforms.iter().map(one).collect()
}

/// How the layers of a target's image are compressed: as its first output with an image has them.
pub fn compression(target: &Target) -> Compression {
    let mut images = target.outputs.iter().filter(|output| wants_image(&output.kind));
    images.next().map_or(Compression::GZIP, |output| output.compression)
}
