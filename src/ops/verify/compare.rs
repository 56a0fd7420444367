//! Compares two images that should be the same, down to the byte.

use std::io::Read;

use serde_json::Value;

use super::report::{FileFinding, Finding, LayerFinding, Part, VerifiedImage};
use crate::digest::{DiffId, Digest};
use crate::fstree::compare::{Change, Difference, Spot, compare as compare_layers, order, spot};
use crate::fstree::tar::{Dialect, Listing, TarError, TarReader, list};
use crate::fstree::{Scrub, TreePath, scrub};
use crate::graph::{Graph, Op, StepId};
use crate::oci::compare::{FieldDifference, compare as compare_fields};
use crate::oci::manifest::{MAX_CONFIG, MAX_MANIFEST};
use crate::oci::{Descriptor, Document};
use crate::ops::Error;
use crate::ops::build::{Prepared, TargetImage};
use crate::store::{Store, StoreError, intake};

/// How many files of a layer are looked into.
const MOST_FILES: usize = 1000;

/// An image as far as it is known.
pub struct Image<'a> {
    store: &'a Store,
    manifest: Digest,
    diff_ids: Vec<DiffId>,
    /// The manifest and the configuration as documents, and the layers' blobs.
    whole: Option<Whole>,
}

struct Whole {
    manifest: Value,
    config: Value,
    layers: Vec<Descriptor>,
}

impl<'a> Image<'a> {
    /// The image with this manifest, if the store has it; else only the digests are known.
    pub fn recorded(store: &'a Store, manifest: Digest, diff_ids: &[DiffId]) -> Result<Self, Error> {
        let whole = match store.document(&manifest)? {
            Some(Document::Manifest(document)) if store.has(&document.config.digest) => Some(Whole {
                manifest: json(store, &manifest, MAX_MANIFEST)?,
                config: json(store, &document.config.digest, MAX_CONFIG)?,
                layers: document.layers,
            }),
            _ => None,
        };
        Ok(Self { store, manifest, diff_ids: diff_ids.to_vec(), whole })
    }

    /// The blob of a layer, if it is there.
    fn blob(&self, place: usize) -> Option<Digest> {
        let digest = self.whole.as_ref()?.layers.get(place)?.digest;
        self.store.has(&digest).then_some(digest)
    }
}

fn json(store: &Store, digest: &Digest, limit: u64) -> Result<Value, Error> {
    let bytes = store.read(digest, limit)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::build(format!("{digest} is not JSON")).caused_by(error))
}

/// Compares what a target came to with what it was.
pub fn compare(
    prepared: &Prepared,
    made: &TargetImage,
    was: &Image<'_>,
    is: &Image<'_>,
) -> Result<VerifiedImage, Error> {
    let mut image = VerifiedImage {
        target: made.target.clone(),
        platform: made.platform.clone(),
        was: was.manifest,
        is: is.manifest,
        definition_changed: false,
        findings: Vec::new(),
    };
    if was.manifest == is.manifest {
        return Ok(image);
    }
    let findings = &mut image.findings;
    if was.diff_ids.len() != is.diff_ids.len() {
        findings.push(Finding::Layers(was.diff_ids.len(), is.diff_ids.len()));
    }
    let makers = makers(&prepared.graph, made.step);
    for (place, (old, new)) in was.diff_ids.iter().zip(&is.diff_ids).enumerate() {
        let part = || part(&prepared.graph, &makers, place);
        let blobs = (was.blob(place), is.blob(place));
        match blobs {
            _ if old != new => {
                let files = match blobs {
                    (Some(a), Some(b)) => {
                        let read = || layers((was.store, a), (is.store, b));
                        Some(was.store.confined(read).map_err(unreadable)??)
                    }
                    _ => None,
                };
                let mut finding = LayerFinding { part: part(), was: *old, is: *new, files };
                let maker = makers.get(place).copied().flatten();
                if !maker.is_some_and(|step| matches!(prepared.graph[step].op, Op::Exec(_))) {
                    // Nothing else is ever scrubbed.
                    finding.files.iter_mut().flatten().for_each(|file| file.scrub = None);
                }
                findings.push(Finding::Layer(finding));
            }
            (Some(was), Some(is)) if was != is => findings.push(Finding::Compression { part: part(), was, is }),
            _ => {}
        }
    }
    if let (Some(was), Some(is)) = (&was.whole, &is.whole) {
        findings.extend(fields(was, is));
    }
    if findings.is_empty() {
        findings.push(Finding::OnlyDigest);
    }
    Ok(image)
}

/// What differs in two images besides their layers.
fn fields(was: &Whole, is: &Whole) -> Vec<Finding> {
    let without = |document: &Value, names: &[&str]| {
        let mut document = document.clone();
        if let Some(fields) = document.as_object_mut() {
            names.iter().for_each(|name| drop(fields.remove(*name)));
        }
        document
    };
    // The layers were compared by themselves, and the configuration's digest follows from what is in it.
    let config = compare_fields(&without(&was.config, &["rootfs"]), &without(&is.config, &["rootfs"]));
    let own = ["layers", "config"];
    let manifest = compare_fields(&without(&was.manifest, &own), &without(&is.manifest, &own));
    let of_config = |field: FieldDifference| match field.path.starts_with("history") {
        true => Finding::History(field),
        false => Finding::Config(field),
    };
    config.into_iter().map(of_config).chain(manifest.into_iter().map(Finding::Manifest)).collect()
}

/// The steps that made the layers of a state, bottom first; none for those of a base image.
fn makers(graph: &Graph, step: StepId) -> Vec<Option<StepId>> {
    let inputs = graph.inputs(step);
    let below = |place: usize| inputs.get(place).map(|input| makers(graph, *input)).unwrap_or_default();
    match &graph[step].op {
        Op::Scratch | Op::Local(_) => Vec::new(),
        Op::Image(image) => vec![None; image.layers.len()],
        Op::Merge => (0..inputs.len()).flat_map(below).collect(),
        Op::Diff => below(1).into_iter().skip(below(0).len()).collect(),
        Op::Exec(_) | Op::File(_) => {
            let mut makers = below(0);
            makers.push(Some(step));
            makers
        }
        Op::Http(_) | Op::Git(_) => vec![Some(step)],
    }
}

fn part(graph: &Graph, makers: &[Option<StepId>], place: usize) -> Part {
    let maker = makers.get(place).copied().flatten();
    let label = maker.map(|step| &graph[step].label);
    Part {
        number: place + 1,
        instruction: label.map_or_else(|| "a layer of the base image".into(), |label| label.text.clone()),
        place: label.and_then(|label| label.origin.as_ref()).map(|origin| (origin.file.clone(), origin.line)),
    }
}

type Blob<'a> = (&'a Store, Digest);

/// Compares two layers by their archives.
fn layers(was: Blob<'_>, is: Blob<'_>) -> Result<Vec<FileFinding>, Error> {
    let (old, new) = (listing(was)?, listing(is)?);
    let differences = compare_layers(&old.toc, &new.toc);
    if differences.is_empty() {
        let moved = order(&old.order, &new.order).unwrap_or(Difference {
            path: TreePath::root(),
            // Nothing that an archive says differs, so it is how it says it.
            change: Change::Order,
        });
        return Ok(vec![FileFinding { difference: moved, spot: None, scrub: None }]);
    }
    let mut readers = (Walk::new(was), Walk::new(is));
    let mut looked = 0;
    let mut found = Vec::new();
    for difference in differences {
        let mut spot = None;
        if matches!(difference.change, Change::Content(..)) && looked < MOST_FILES {
            looked += 1;
            spot = differing(&mut readers, &old, &new, &difference.path)?;
        }
        let scrub = remedy(&difference);
        found.push(FileFinding { difference, spot, scrub });
    }
    Ok(found)
}

/// The scrub that would make a file the same, if there is one.
fn remedy(difference: &Difference) -> Option<Scrub> {
    let kind = match difference.change {
        Change::Content(..) => scrub::Difference::Content,
        Change::Added | Change::Removed => scrub::Difference::Presence,
        _ => scrub::Difference::Attributes,
    };
    scrub::suggest(&difference.path, kind)
}

fn differing(
    (was, is): &mut (Walk<'_>, Walk<'_>),
    old: &Listing,
    new: &Listing,
    path: &TreePath,
) -> Result<Option<Spot>, Error> {
    let first = |listing: &Listing| match listing.toc.get(path).map(|entry| &entry.kind) {
        Some(crate::fstree::Kind::Hardlink(first)) => first.clone(),
        _ => path.clone(),
    };
    let (old, new) = (first(old), first(new));
    was.with(&old, &mut |was| is.with(&new, &mut |is| spot(was, is).map_err(unreadable)).map(Option::flatten))
        .map(Option::flatten)
}

fn unreadable(error: std::io::Error) -> Error {
    Error::from(StoreError::Input(error))
}

fn broken(error: TarError) -> Error {
    Error::build("a layer cannot be read").caused_by(error)
}

type Reader<'a> = TarReader<intake::Reader<'a>>;

fn open<'a>((store, digest): Blob<'a>) -> Result<Reader<'a>, Error> {
    intake::tar(store.reader(&digest)?, Dialect::Layer, store.archives()).map_err(unreadable)
}

fn listing(blob: Blob<'_>) -> Result<Listing, Error> {
    list(&mut open(blob)?).map_err(broken)
}

/// Goes through an archive for some of its files, which mostly are asked for in its own order.
struct Walk<'a> {
    blob: Blob<'a>,
    reader: Option<Reader<'a>>,
}

impl<'a> Walk<'a> {
    fn new(blob: Blob<'a>) -> Self {
        Self { blob, reader: None }
    }

    /// Calls `look` with the bytes of a file; none if there is no such file.
    fn with<T>(
        &mut self,
        path: &TreePath,
        look: &mut dyn FnMut(&mut dyn Read) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        // Once from where it stands, and once more from the start.
        for _ in 0..2 {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => open(self.blob)?,
            };
            while let Some((entry, mut content)) = reader.next().map_err(broken)? {
                if entry.path == *path {
                    let seen = look(&mut content)?;
                    self.reader = Some(reader);
                    return Ok(Some(seen));
                }
            }
        }
        Ok(None)
    }
}
