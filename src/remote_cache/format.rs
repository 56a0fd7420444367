//! What a cache is as bytes: a manifest and a configuration. Versioned, and the same bytes for the same content.
//!
//! The manifest is an OCI artifact, so registries and their garbage collectors know what belongs to it. The configuration
//! names blobs only by digest: what they are and how large is in the manifest, and a digest that is not there is an error,
//! so that nothing can be placed that the manifest does not own up to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::digest::{CacheKey, DiffId, Digest, TreeDigest};
use crate::oci::{Descriptor, Manifest, media};
use crate::solve::State;
use crate::store::layers::{LayerBlob, LayerId};

/// What the manifest is.
pub const ARTIFACT: &str = "application/vnd.imgbuild.cache.v1";
/// Its configuration.
pub const CONFIG: &str = "application/vnd.imgbuild.cache.config.v1+json";
/// The list of what is in a layer, compressed with zstd.
pub const TOC: &str = "application/vnd.imgbuild.layer.toc.v1+zstd";
/// The largest configuration that is read, in bytes.
pub const MAX_CONFIG: u64 = 16 << 20;

const VERSION: u32 = 1;

/// A cache that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Another version wrote it.
    #[error("it has version {0} of the format, and this program knows {VERSION}")]
    Version(u32),
    /// It is not JSON, or not what it should be.
    #[error("it is damaged: {0}")]
    Json(#[from] serde_json::Error),
    /// A blob that the manifest does not have.
    #[error("it names the blob {0}, which its manifest does not list")]
    Unlisted(Digest),
    /// A layer without a blob.
    #[error("it has no blob of the layer {0}")]
    NoBlob(LayerId),
    /// A blob that is none of a layer.
    #[error("the blob {0} is not a layer but {1:?}")]
    NotALayer(Digest, String),
    /// A result with a layer that there is not.
    #[error("a result has the layer number {0}, which there is not")]
    NoLayer(usize),
    /// An identity that does not parse.
    #[error(transparent)]
    Digest(#[from] crate::digest::ParseDigestError),
}

/// What a cache holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cache {
    /// The layers that steps made.
    pub layers: BTreeMap<TreeDigest, CachedLayer>,
    /// What keys lead to.
    pub results: Vec<CachedResult>,
    /// What cache mounts held, as layers, by their ids.
    pub mounts: BTreeMap<String, Descriptor>,
}

/// A layer that a step made.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedLayer {
    /// Its blob.
    pub blob: LayerBlob,
    /// What made the blob.
    pub profile: String,
    /// What is in it.
    pub toc: Option<Descriptor>,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedResult {
    /// The keys that lead to it.
    pub keys: BTreeSet<CacheKey>,
    /// The layers, bottom first.
    pub state: State,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    version: u32,
    layers: Vec<Layer>,
    results: Vec<Outcome>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mounts: Vec<Mount>,
}

#[derive(Serialize, Deserialize)]
struct Mount {
    id: String,
    blob: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff_id: Option<DiffId>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    profile: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    toc: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct Outcome {
    keys: BTreeSet<CacheKey>,
    layers: Vec<usize>,
}

impl Cache {
    /// The manifest and the configuration. With a `subject`, the cache belongs to that image.
    pub fn encode(&self, subject: Option<Descriptor>) -> (Manifest, Vec<u8>) {
        let ids: BTreeSet<LayerId> = self.results.iter().flat_map(|result| result.state.iter().copied()).collect();
        let places: HashMap<LayerId, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let (mut blobs, mut tocs) = (Vec::new(), Vec::new());
        let layer = |id: &LayerId| {
            let known = match id {
                LayerId::Image(_) => None,
                LayerId::Made(tree) => self.layers.get(tree),
            };
            if let Some(known) = known {
                blobs.push(known.blob.descriptor.clone());
                tocs.extend(known.toc.clone());
            }
            Layer {
                id: id.to_string(),
                blob: known.map(|known| known.blob.descriptor.digest),
                diff_id: known.map(|known| known.blob.diff_id),
                profile: known.map(|known| known.profile.clone()).unwrap_or_default(),
                toc: known.and_then(|known| Some(known.toc.as_ref()?.digest)),
            }
        };
        let layers = ids.iter().map(layer).collect();
        let place = |id: &LayerId| places.get(id).copied().unwrap_or_default();
        let mut results: Vec<Outcome> = self
            .results
            .iter()
            .map(|result| Outcome { keys: result.keys.clone(), layers: result.state.iter().map(place).collect() })
            .collect();
        results.sort_by(|a, b| a.keys.cmp(&b.keys));
        let mounts = self.mounts.iter().map(|(id, blob)| Mount { id: id.clone(), blob: blob.digest }).collect();
        let config = serde_json::to_vec(&Config { version: VERSION, layers, results, mounts })
            .expect("strings and numbers always serialise");
        blobs.append(&mut tocs);
        blobs.extend(self.mounts.values().cloned());
        let mut seen = BTreeSet::new();
        blobs.retain(|blob| seen.insert(blob.digest));
        let mut manifest = Manifest::new(Descriptor::of(CONFIG, &config), blobs);
        manifest.artifact_type = Some(ARTIFACT.into());
        manifest.subject = subject.map(Box::new);
        (manifest, config)
    }

    /// Reads a cache, whoever wrote it.
    pub fn decode(manifest: &Manifest, config: &[u8]) -> Result<Self, FormatError> {
        #[derive(Deserialize)]
        struct Probe {
            version: u32,
        }
        match serde_json::from_slice(config)? {
            Probe { version: VERSION } => {}
            Probe { version } => return Err(FormatError::Version(version)),
        }
        let config: Config = serde_json::from_slice(config)?;
        let listed: HashMap<Digest, &Descriptor> = manifest.layers.iter().map(|blob| (blob.digest, blob)).collect();
        let blob = |digest: Digest| match listed.get(&digest) {
            Some(blob) => Ok(Descriptor::new(&blob.media_type, digest, blob.size)),
            None => Err(FormatError::Unlisted(digest)),
        };
        let layer_blob = |digest: Digest| match blob(digest)? {
            blob if media::Compression::of_layer(&blob.media_type).is_some() => Ok(blob),
            other => Err(FormatError::NotALayer(digest, other.media_type)),
        };
        let (mut cache, mut ids) = (Self::default(), Vec::new());
        for layer in config.layers {
            let id: LayerId = layer.id.parse()?;
            ids.push(id);
            let LayerId::Made(tree) = id else { continue };
            let (Some(digest), Some(diff_id)) = (layer.blob, layer.diff_id) else {
                return Err(FormatError::NoBlob(id));
            };
            let descriptor = layer_blob(digest)?;
            let toc = layer.toc.map(blob).transpose()?.filter(|toc| toc.media_type == TOC);
            let blob = LayerBlob { descriptor, diff_id };
            cache.layers.insert(tree, CachedLayer { blob, profile: layer.profile, toc });
        }
        for result in config.results {
            let id = |place: usize| ids.get(place).copied().ok_or(FormatError::NoLayer(place));
            let state = result.layers.into_iter().map(id).collect::<Result<_, _>>()?;
            cache.results.push(CachedResult { keys: result.keys, state });
        }
        for mount in config.mounts {
            cache.mounts.insert(mount.id, layer_blob(mount.blob)?);
        }
        Ok(cache)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::ChainId;

    fn sample() -> Cache {
        let base = LayerId::Image(ChainId::from_bytes([1; 32]));
        let tree = TreeDigest::from_bytes([2; 32]);
        let layer = CachedLayer {
            blob: LayerBlob {
                descriptor: Descriptor::of(media::LAYER_GZIP, b"layer"),
                diff_id: DiffId::from_bytes([3; 32]),
            },
            profile: "tar-1/gzip".into(),
            toc: Some(Descriptor::of(TOC, b"toc")),
        };
        let key = |byte| CacheKey::from_bytes([byte; 32]);
        let results = vec![
            CachedResult { keys: [key(4), key(5)].into(), state: vec![base, LayerId::Made(tree)] },
            CachedResult { keys: [key(6)].into(), state: vec![base] },
        ];
        let mounts = [("go-build".to_owned(), Descriptor::of(media::LAYER_ZSTD, b"mount"))].into();
        Cache { layers: [(tree, layer)].into(), results, mounts }
    }

    #[test]
    fn decodes_what_it_encodes() {
        let (manifest, config) = sample().encode(None);
        assert_eq!(Cache::decode(&manifest, &config).unwrap(), sample());
        let (manifest, config) = Cache::default().encode(None);
        assert_eq!(Cache::decode(&manifest, &config).unwrap(), Cache::default());
    }

    /// A change here is a new version, or other machines misread what this one writes.
    #[test]
    fn the_bytes_are_pinned() {
        let (manifest, config) = sample().encode(Some(Descriptor::of(media::MANIFEST, b"image")));
        let (one, two, three) = ("01".repeat(32), "02".repeat(32), "03".repeat(32));
        let (blob, toc, mount) = (Digest::of(b"layer"), Digest::of(b"toc"), Digest::of(b"mount"));
        let key = |byte: &str| format!(r#""key:{}""#, byte.repeat(32));
        let expected = [
            format!(r#"{{"version":1,"layers":[{{"id":"chain-{one}"}},"#),
            format!(r#"{{"id":"tree-{two}","blob":"{blob}","diffId":"sha256:{three}","#),
            format!(r#""profile":"tar-1/gzip","toc":"{toc}"}}],"#),
            format!(r#""results":[{{"keys":[{},{}],"layers":[0,1]}},"#, key("04"), key("05")),
            format!(r#"{{"keys":[{}],"layers":[0]}}],"#, key("06")),
            format!(r#""mounts":[{{"id":"go-build","blob":"{mount}"}}]}}"#),
        ];
        assert_eq!(String::from_utf8(config.clone()).unwrap(), expected.concat());
        let expected = [
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#.to_owned(),
            r#""artifactType":"application/vnd.imgbuild.cache.v1","#.to_owned(),
            r#""config":{"mediaType":"application/vnd.imgbuild.cache.config.v1+json","#.to_owned(),
            format!(r#""digest":"{}","size":{}}},"#, Digest::of(&config), config.len()),
            format!(r#""layers":[{{"mediaType":"{}","digest":"{blob}","size":5}},"#, media::LAYER_GZIP),
            format!(r#"{{"mediaType":"application/vnd.imgbuild.layer.toc.v1+zstd","digest":"{toc}","size":3}},"#),
            format!(r#"{{"mediaType":"{}","digest":"{mount}","size":5}}],"#, media::LAYER_ZSTD),
            format!(
                r#""subject":{{"mediaType":"{}","digest":"{}","size":5}}}}"#,
                media::MANIFEST,
                Digest::of(b"image")
            ),
        ];
        assert_eq!(String::from_utf8(manifest.to_json()).unwrap(), expected.concat());
        assert!(!manifest.is_image());
    }

    #[test]
    fn refuses_what_does_not_fit_together() {
        let (manifest, config) = sample().encode(None);
        let config = String::from_utf8(config).unwrap();
        let check = |manifest: &Manifest, from: &str, to: &str, expected: &str| {
            assert!(config.contains(from), "{from}");
            let error = Cache::decode(manifest, config.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&manifest, r#""version":1"#, r#""version":2"#, "it has version 2");
        check(&manifest, r#""layers":[0,1]"#, r#""layers":[0,2]"#, "the layer number 2");
        check(&manifest, "chain-", "tree-", "it has no blob of the layer tree-0101");
        check(&manifest, "chain-0", "chain-x", "is not a digest");
        check(&manifest, "key:04", "04", "it is damaged");
        check(&manifest, &Digest::of(b"toc").hex(), &Digest::of(b"other").hex(), "its manifest does not list");
        check(&Manifest { layers: Vec::new(), ..manifest.clone() }, "[0]", "[0]", "its manifest does not list");
        let mut odd = manifest.clone();
        odd.layers[0].media_type = "text/plain".into();
        check(&odd, "[0]", "[0]", r#"is not a layer but "text/plain""#);
        check(&manifest, &config, "[]", "it is damaged");
    }
}
