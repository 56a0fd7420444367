//! What becomes of a target that was solved: its image is made once for each compression that an output asks for, and the
//! outputs are written.

use std::time::Instant;

use crate::compress::Compression;
use crate::event::{Event, ImageSummary};
use crate::graph::Graph;
use crate::oci::Descriptor;
use crate::ops::Error;
use crate::ops::build::lowering::Lowered;
use crate::ops::build::{Built, Output, OutputKind, Session, Target, attest, caching, make, output};
use crate::registry::origins;
use crate::solve::Solved;
use crate::store::layers::Layers;

/// An image as one of the outputs wants it.
struct Made {
    compression: Compression,
    image: Descriptor,
    /// The layers of all platforms. Those of base images may not be in the store.
    blobs: Vec<Descriptor>,
}

/// A target whose outputs are written.
pub(super) struct Exported {
    pub done: Built,
    pub image: ImageSummary,
    /// The images that are in registries now.
    pub sent: Vec<caching::Pushed>,
}

/// Makes a target's image and writes its outputs. Its tasks are numbered from `first_task`.
pub(super) fn export(
    session: &Session<'_>,
    (graph, target, lowered): (&Graph, &Target, &Lowered),
    solved: &Solved,
    layers: &Layers,
    first_task: usize,
    listing: &mut output::Listing,
) -> Result<Exported, Error> {
    let exporting = match &*target.name {
        "" => "exporting the image".to_owned(),
        name => format!("exporting {name}"),
    };
    let default = [Output { kind: OutputKind::Store(Vec::new()), compression: Compression::GZIP }];
    // A target that another one is linked to is built for that one.
    let outputs: &[Output] = match (&target.outputs[..], target.requested) {
        ([], true) => &default,
        ([], false) => &[],
        (outputs, _) => outputs,
    };
    let states: Vec<_> =
        lowered.platforms.iter().map(|build| (build.platform.clone(), solved.state(build.step).to_vec())).collect();
    let warnings = lowered.warnings.clone();
    let mut built = Built { target: target.name.clone(), image: None, config: None, warnings };
    let mut summary = ImageSummary { target: target.name.clone(), ..ImageSummary::default() };
    let (mut made, mut sent): (Vec<Made>, Vec<caching::Pushed>) = Default::default();
    for (task, output) in (first_task..).zip(outputs) {
        if session.cancel.is_canceled() {
            return Err(Error::Interrupted);
        }
        if output::wants_image(&output.kind) && !made.iter().any(|made| made.compression == output.compression) {
            session.reporter.report(Event::TaskStarted(task, exporting.clone()));
            let started = Instant::now();
            let (mut manifests, mut described) = (Vec::new(), Vec::new());
            let mut blobs = Vec::new();
            let mut size = 0;
            let images = make::images(target, lowered, solved, layers, output.compression)?;
            for (build, image) in lowered.platforms.iter().zip(images) {
                let of = (target, build);
                described.extend(attest::describe(layers, graph, of, solved.state(build.step), &image)?);
                size += image.size();
                let parts: Vec<Descriptor> = image.layers.iter().map(|layer| layer.descriptor.clone()).collect();
                blobs.extend(parts);
                built.config = Some(image.config.clone());
                manifests.push(image.manifest);
            }
            let image = match (&manifests[..], lowered.multi_platform) {
                ([only], false) if described.is_empty() => only.clone(),
                _ => crate::export::index_of(layers, [manifests, described].concat())?,
            };
            if lowered.platforms.len() != 1 {
                built.config = None;
            }
            session.reporter.report(Event::TaskFinished(task, started.elapsed()));
            summary.digest = image.digest.to_string();
            summary.size = size;
            built.image = Some(image.clone());
            made.push(Made { compression: output.compression, image, blobs });
        }
        let made = made.iter().find(|made| made.compression == output.compression);
        if let Some(made) = made {
            if output::wants_layers(&output.kind) {
                // Base images are what their registries say; what a cache says is checked first.
                states.iter().try_for_each(|(_, state)| layers.secure(state))?;
                layers.bring(&made.blobs)?;
            } else {
                let elsewhere = |blob: &&Descriptor| !origins::known(layers.store(), &blob.digest).is_empty();
                let (_, only_here): (Vec<&Descriptor>, Vec<&Descriptor>) = made.blobs.iter().partition(elsewhere);
                layers.bring(&only_here.into_iter().cloned().collect::<Vec<_>>())?;
            }
        }
        let image = made.map(|made| &made.image);
        let signatures = match image {
            Some(image) => output::sign(layers.store(), &output.kind, target, image)?,
            None => None,
        };
        let finished = output::Finished { image, tags: &target.tags, signatures, states: &states };
        summary.outputs.extend(output::write(session, layers, &output.kind, &finished, listing)?);
        if let (OutputKind::Registry(names), Some(image)) = (&output.kind, image) {
            let names = target.tags.iter().chain(names).cloned().collect();
            sent.push(caching::Pushed { image: image.clone(), compression: output.compression, names });
        }
    }
    summary.tags = target.tags.iter().map(|tag| tag.familiar()).collect();
    Ok(Exported { done: built, image: summary, sent })
}
