//! Puts what is said about an image beside it, as BuildKit does: a manifest of its own in the index, whose layers are
//! statements. It names the image as its subject, too, so that a registry lists it as a referrer.

use std::collections::BTreeMap;
use std::path::Path;

use crate::attest::{Build, Dependency, Predicate, Subject, provenance, spdx, statement};
use crate::digest::{DiffId, Digest};
use crate::export::{ExportError, ExportedImage};
use crate::frontend::dockerfile::is_proxy;
use crate::graph::{Graph, Op, StepId};
use crate::oci::manifest::{
    ANNOTATION_PREDICATE_TYPE, ANNOTATION_REFERENCE_DIGEST, ANNOTATION_REFERENCE_TYPE, ATTESTATION_MANIFEST,
};
use crate::oci::{Descriptor, ImageConfig, Manifest, Platform, media};
use crate::ops::Error;
use crate::ops::build::lowering::LoweredPlatform;
use crate::ops::build::target::{Dockerfile, Target};
use crate::ops::sbom::inventory;
use crate::source::http::shown;
use crate::store::layers::{LayerId, Layers};

/// Makes the manifest that describes an image; none if nothing was asked for.
pub(super) fn describe(
    layers: &Layers,
    graph: &Graph,
    (target, build): (&Target, &LoweredPlatform),
    state: &[LayerId],
    image: &ExportedImage,
) -> Result<Option<Descriptor>, Error> {
    let store = layers.store();
    let created = crate::export::rfc3339(build.times.epoch);
    let subject = Subject { digest: image.manifest.digest, created: Some(created) };
    let mut statements = Vec::new();
    if target.attestations.sbom {
        statements.push((Predicate::Spdx, spdx(&subject, &inventory(layers, state)?)));
    }
    if let Some(detail) = target.attestations.provenance {
        let args: BTreeMap<String, String> =
            target.args.iter().filter(|(name, _)| !is_proxy(name)).map(|(a, b)| (a.clone(), b.clone())).collect();
        let said = Build {
            definition: definition(target),
            context: target.remote_context.as_deref().map(shown),
            target: &target.lock_name(),
            platform: &build.platform,
            args: &args,
            labels: &target.labels,
            dependencies: dependencies(graph, build.step),
        };
        statements.push((Predicate::Provenance, provenance(&said, detail)));
    }
    if statements.is_empty() {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for (kind, predicate) in statements {
        let bytes = statement(&subject, kind, &predicate);
        store.put(&bytes).map_err(ExportError::from)?;
        let mut part = Descriptor::of(media::IN_TOTO, &bytes);
        part.annotations.insert(ANNOTATION_PREDICATE_TYPE.into(), kind.uri().into());
        parts.push(part);
    }
    let unknown = Platform { os: "unknown".into(), architecture: "unknown".into(), variant: None };
    let mut config =
        ImageConfig { os: unknown.os.clone(), architecture: unknown.architecture.clone(), ..ImageConfig::default() };
    config.rootfs.kind = "layers".into();
    config.rootfs.diff_ids = parts.iter().map(|part| DiffId::from_bytes(*part.digest.as_bytes())).collect();
    let json = config.to_json();
    store.put(&json).map_err(ExportError::from)?;
    let mut manifest = Manifest::new(Descriptor::of(media::CONFIG, &json), parts);
    manifest.subject = Some(Box::new(Descriptor { platform: None, ..image.manifest.clone() }));
    let json = manifest.to_json();
    store.put(&json).map_err(ExportError::from)?;
    let mut entry = Descriptor::of(media::MANIFEST, &json).for_platform(&unknown);
    entry.annotations.insert(ANNOTATION_REFERENCE_DIGEST.into(), image.manifest.digest.to_string());
    entry.annotations.insert(ANNOTATION_REFERENCE_TYPE.into(), ATTESTATION_MANIFEST.into());
    Ok(Some(entry))
}

/// Where the definition is, from its context: where the checkout is must not be said, or two of them would differ.
fn definition(target: &Target) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match &target.dockerfile {
        Dockerfile::InContext(path) => path.clone(),
        Dockerfile::Text { name: text, .. } | Dockerfile::Steps { name: text, .. } => name(Path::new(text)),
        Dockerfile::File(path) => {
            let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let context = target.context.as_ref().map(|context| whole(&context.path));
            match context.as_deref().and_then(|context| whole(path).strip_prefix(context).ok().map(Path::to_owned)) {
                Some(below) => below.display().to_string(),
                None => name(path),
            }
        }
    }
}

/// All that came from outside for a step.
fn dependencies(graph: &Graph, step: StepId) -> Vec<Dependency> {
    let dependency = |step: StepId| match &graph[step].op {
        Op::Image(image) => {
            let (name, digest) = image.reference.rsplit_once('@')?;
            Some(Dependency::Image(name.to_owned(), digest.parse::<Digest>().ok()?))
        }
        Op::Http(file) => Some(Dependency::File(shown(&file.url), file.digest)),
        Op::Git(git) => Some(Dependency::Commit(shown(&git.url), git.commit.clone())),
        _ => None,
    };
    graph.needed(&[step]).into_iter().filter_map(dependency).collect()
}
