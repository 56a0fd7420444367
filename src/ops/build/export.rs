//! What becomes of a target that was solved: its image is made once for each compression that an output asks for, and the
//! outputs are written.

use std::time::Instant;

use crate::compress::Compression;
use crate::event::{Event, ImageSummary};
use crate::graph::Graph;
use crate::oci::{Descriptor, Platform};
use crate::ops::Error;
use crate::ops::build::lowering::Lowered;
use crate::ops::build::{Built, Output, OutputKind, Session, Target, attest, caching, make, output};
use crate::registry::origins;
use crate::solve::{Solved, State};
use crate::store::layers::Layers;

/// An image as one of the outputs wants it.
struct Made {
    compression: Compression,
    image: Descriptor,
    /// Its configuration, if it is for one platform.
    config: Option<Descriptor>,
    /// The layers of all platforms. Those of base images may not be in the store.
    blobs: Vec<Descriptor>,
    /// Its size in bytes, of all platforms.
    size: u64,
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
            let image = make_image(layers, (graph, target, lowered), solved, output.compression)?;
            session.reporter.report(Event::TaskFinished(task, started.elapsed()));
            summary.digest = image.image.digest.to_string();
            summary.size = image.size;
            built.image = Some(image.image.clone());
            built.config.clone_from(&image.config);
            made.push(image);
        }
        let made = made.iter().find(|made| made.compression == output.compression);
        if let Some(made) = made {
            bring(layers, &output.kind, &states, &made.blobs)?;
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

/// Makes the image of all platforms, with what is to be said about it.
fn make_image(
    layers: &Layers,
    (graph, target, lowered): (&Graph, &Target, &Lowered),
    solved: &Solved,
    compression: Compression,
) -> Result<Made, Error> {
    let (mut manifests, mut described, mut configs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut blobs, mut size) = (Vec::new(), 0);
    let images = make::images(target, lowered, solved, layers, compression)?;
    for (build, image) in lowered.platforms.iter().zip(images) {
        described.extend(attest::describe(layers, graph, (target, build), solved.state(build.step), &image)?);
        size += image.size();
        blobs.extend(image.layers.into_iter().map(|layer| layer.descriptor));
        configs.push(image.config);
        manifests.push(image.manifest);
    }
    let config = if configs.len() == 1 { configs.pop() } else { None };
    let image = match (&manifests[..], lowered.multi_platform) {
        ([only], false) if described.is_empty() => only.clone(),
        _ => crate::export::index_of(layers, [manifests, described].concat())?,
    };
    Ok(Made { compression, image, config, blobs, size })
}

/// Brings what an output needs of an image's layers: all, or only those that can be had nowhere else.
fn bring(layers: &Layers, kind: &OutputKind, states: &[(Platform, State)], blobs: &[Descriptor]) -> Result<(), Error> {
    if output::wants_layers(kind) {
        // Base images are what their registries say; what a cache says is checked first.
        states.iter().try_for_each(|(_, state)| layers.secure(state))?;
        return Ok(layers.bring(blobs)?);
    }
    let only_here = |blob: &&Descriptor| origins::known(layers.store(), &blob.digest).is_empty();
    Ok(layers.bring(&blobs.iter().filter(only_here).cloned().collect::<Vec<_>>())?)
}
