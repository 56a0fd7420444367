//! Manifests and indexes (OCI image-spec, manifest.md and image-index.md; Docker's schema 2 and manifest lists).
//!
//! One set of types reads what others wrote and writes what we write: fields in the order of the specification, maps
//! sorted, so that the bytes are the same every time. A manifest of others is never written again; its bytes are kept,
//! because its digest is its name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::null_is_default;
use crate::digest::{DiffId, Digest};
use crate::oci::{ImageConfig, Platform, media};

/// The largest manifest or index that is read, in bytes: what registries accept.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// The largest image configuration that is read, in bytes.
pub const MAX_CONFIG: u64 = 16 << 20;

/// The most layers that an image may have. Docker stops at 127.
pub const MAX_LAYERS: usize = 1024;

/// The annotation of an index entry that names it within an image layout.
pub const ANNOTATION_REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation of an index entry with the full name, as containerd and Docker write it.
pub const ANNOTATION_IMAGE_NAME: &str = "io.containerd.image.name";
/// The annotation by which BuildKit marks entries that describe another entry.
pub const ANNOTATION_REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// The annotation by which BuildKit says which entry that is.
pub const ANNOTATION_REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// The type of an entry whose layers are statements about another one.
pub const ATTESTATION_MANIFEST: &str = "attestation-manifest";
/// The annotation of a statement that says what it states.
pub const ANNOTATION_PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not JSON, or not what the specification says.
    #[error("it is not a manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// It is both an index and a manifest, or neither.
    #[error("it is neither an image manifest nor an index (media type {0:?})")]
    Unknown(String),
    /// It is an artifact of some other kind.
    #[error("it is not a container image: its configuration has the media type {0:?}")]
    NotAnImage(String),
    /// Indexes within indexes, too many.
    #[error("its indexes are nested too deeply")]
    Nested,
    /// More layers than any image has: what is done with them would take ever longer.
    #[error("it has {0} layers, more than the {MAX_LAYERS} that an image may have")]
    TooManyLayers(usize),
    /// Docker's first format, which registries have stopped serving.
    #[error("it has Docker's schema version 1, which is not supported; push the image again with a current tool")]
    Schema1,
    /// The configuration and the manifest do not fit each other.
    #[error("its manifest has {layers} layers but its configuration has {diff_ids} diff IDs")]
    LayerCount {
        /// Layers of the manifest.
        layers: usize,
        /// Diff IDs of the configuration.
        diff_ids: usize,
    },
}

/// What is at the other end of a link: a blob's media type, digest and size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Which blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where else it can be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    /// The platform, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<DescriptorPlatform>,
    /// What kind of artifact it is, if it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// The platform of an index entry as it is written there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorPlatform {
    /// Processor architecture, in Go's words.
    #[serde(default)]
    pub architecture: String,
    /// Operating system.
    #[serde(default)]
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system (Windows).
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type; other builders may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact it is, if it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, bottom first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// An index: manifests of one image for several platforms, or all images of a layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type; other builders may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact it is, if it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The entries, in an order that matters to some readers.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// What a digest in an index can stand for.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// One image, or an artifact.
    Manifest(Box<Manifest>),
    /// Several.
    Index(Index),
}

impl Descriptor {
    /// A descriptor of a blob, with nothing optional.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
            other: BTreeMap::new(),
        }
    }

    /// The descriptor of these bytes.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// The same for this platform.
    pub fn for_platform(mut self, platform: &Platform) -> Self {
        self.platform = Some(platform.into());
        self
    }

    /// Whether it describes another entry (an attestation, a signature) or is an artifact, so that no platform's image
    /// is behind it.
    pub fn is_no_image(&self) -> bool {
        self.artifact_type.is_some()
            || self.annotations.contains_key(ANNOTATION_REFERENCE_TYPE)
            || self.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
            || !(self.media_type.is_empty()
                || media::is_index(&self.media_type)
                || media::is_manifest(&self.media_type))
    }
}

impl From<&Platform> for DescriptorPlatform {
    fn from(platform: &Platform) -> Self {
        // Docker Hub's own indexes name the variant that arm64 has by default; readers accept both.
        Self {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            ..Self::default()
        }
    }
}

impl From<&DescriptorPlatform> for Platform {
    fn from(platform: &DescriptorPlatform) -> Self {
        Self::new(&platform.os, &platform.architecture, platform.variant.as_deref())
    }
}

impl Manifest {
    /// A manifest as we write it.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media::MANIFEST.into()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The bytes that are stored and hashed.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always serialise")
    }

    /// Whether it is an image and not some other artifact.
    pub fn is_image(&self) -> bool {
        self.artifact_type.is_none() && media::is_config(&self.config.media_type)
    }

    /// The layers, bottom first, each with its diff ID from the configuration.
    pub fn layers_with(&self, config: &ImageConfig) -> Result<Vec<(Descriptor, DiffId)>, ManifestError> {
        let diff_ids = &config.rootfs.diff_ids;
        check_layers(self.layers.len(), diff_ids.len())?;
        Ok(self.layers.iter().cloned().zip(diff_ids.iter().copied()).collect())
    }
}

/// Whether a manifest and a configuration with so many layers fit each other.
pub fn check_layers(layers: usize, diff_ids: usize) -> Result<(), ManifestError> {
    match layers {
        _ if layers != diff_ids => Err(ManifestError::LayerCount { layers, diff_ids }),
        0..=MAX_LAYERS => Ok(()),
        _ => Err(ManifestError::TooManyLayers(layers)),
    }
}

impl Index {
    /// An index as we write it.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media::INDEX.into()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The bytes that are stored and hashed.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always serialise")
    }

    /// The platforms that it has images for, for people.
    pub fn platforms(&self) -> String {
        let named =
            self.manifests.iter().filter(|entry| !entry.is_no_image()).filter_map(|entry| entry.platform.as_ref());
        let mut names: Vec<String> = named.map(|platform| Platform::from(platform).to_string()).collect();
        names.dedup();
        if names.is_empty() { "none that it names".into() } else { names.join(", ") }
    }

    /// The entries that can serve a platform, the best first.
    ///
    /// An entry that names no platform comes last: a nested index, or an image whose configuration must be looked at.
    pub fn candidates(&self, wanted: &Platform) -> Vec<&Descriptor> {
        let mut ranked: Vec<(usize, &Descriptor)> = self
            .manifests
            .iter()
            .filter(|entry| !entry.is_no_image())
            .filter_map(|entry| match &entry.platform {
                Some(platform) => Some((wanted.rank(&platform.into())?, entry)),
                None => Some((usize::MAX, entry)),
            })
            .collect();
        // Stable: of two equally good entries the first one counts, as it does for other tools.
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, entry)| entry).collect()
    }
}

impl Document {
    /// Reads a manifest or an index as any builder wrote it.
    ///
    /// What the bytes say decides, not what somebody else said about them; bytes that could be taken for both are
    /// refused, since two readers would see two images behind one digest.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            #[serde(default)]
            schema_version: u32,
            #[serde(default)]
            media_type: Option<String>,
            manifests: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
            config: Option<serde::de::IgnoredAny>,
        }
        let probe: Probe = serde_json::from_slice(json)?;
        if probe.schema_version == 1 {
            return Err(ManifestError::Schema1);
        }
        let media_type = probe.media_type.unwrap_or_default();
        let index = probe.manifests.is_some();
        let manifest = probe.layers.is_some() || probe.config.is_some();
        let fits = media_type.is_empty()
            || (index && media::is_index(&media_type))
            || (manifest && media::is_manifest(&media_type));
        match (index, manifest) {
            (true, false) if fits => Ok(Self::Index(serde_json::from_slice(json)?)),
            (false, true) if fits => Ok(Self::Manifest(serde_json::from_slice(json)?)),
            // An index may be empty and an artifact may leave its layers out; their media types tell.
            (false, false) if media::is_index(&media_type) => Ok(Self::Index(serde_json::from_slice(json)?)),
            _ => Err(ManifestError::Unknown(media_type)),
        }
    }

    /// Its media type, found out where it is not written.
    pub fn media_type(&self) -> &str {
        match self {
            Self::Index(index) => index.media_type.as_deref().unwrap_or(media::INDEX),
            Self::Manifest(manifest) => manifest.media_type.as_deref().unwrap_or(media::MANIFEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(platform: &str) -> Descriptor {
        let descriptor = Descriptor::of(media::MANIFEST, platform.as_bytes());
        if platform.is_empty() { descriptor } else { descriptor.for_platform(&platform.parse().unwrap()) }
    }

    #[track_caller]
    fn check(wanted: &str, offered: &[&str], expected: &[&str]) {
        let index = Index::new(offered.iter().map(|platform| entry(platform)).collect());
        let found: Vec<Digest> =
            index.candidates(&wanted.parse().unwrap()).into_iter().map(|entry| entry.digest).collect();
        let expected: Vec<Digest> = expected.iter().map(|platform| entry(platform).digest).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn chooses_the_best_platform() {
        check("linux/amd64", &["linux/arm64", "linux/amd64", "windows/amd64"], &["linux/amd64"]);
        check("linux/amd64", &["linux/amd64/v3", "linux/amd64"], &["linux/amd64"]);
        check("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2"], &["linux/amd64/v2", "linux/amd64"]);
        check("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6", "linux/arm64"], &["linux/arm/v6", "linux/arm/v5"]);
        check("linux/arm64", &["linux/arm/v7", "linux/arm64"], &["linux/arm64", "linux/arm/v7"]);
        check("linux/riscv64", &["linux/amd64"], &[]);
        check("linux/amd64", &["", "linux/amd64"], &["linux/amd64", ""]);
    }

    #[test]
    fn skips_what_is_no_image() {
        let mut attestation = entry("");
        attestation.annotations.insert(ANNOTATION_REFERENCE_TYPE.into(), "attestation-manifest".into());
        let unknown = DescriptorPlatform { os: "unknown".into(), architecture: "unknown".into(), ..Default::default() };
        let unknown = Descriptor { platform: Some(unknown), ..entry("") };
        let artifact = Descriptor { artifact_type: Some("text/plain".into()), ..entry("") };
        let other = Descriptor { media_type: "application/json".into(), ..entry("") };
        let index = Index::new(vec![attestation, unknown, artifact, other]);
        assert_eq!(index.candidates(&"linux/amd64".parse().unwrap()), Vec::<&Descriptor>::new());
    }

    #[test]
    fn numbers_of_others_stay_what_they_are() {
        let entry = format!(r#"{{"mediaType":"a/b","digest":"{}","size":1,"x":1e+25}}"#, Digest::of(b""));
        let json = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
        let Ok(Document::Index(index)) = Document::parse(json.as_bytes()) else { panic!("an index") };
        assert!(String::from_utf8(index.to_json()).unwrap().contains(r#""x":1e+25"#));
    }

    #[test]
    fn writes_the_same_bytes_every_time() {
        let mut manifest = Manifest::new(Descriptor::of(media::CONFIG, b"{}"), vec![]);
        manifest.annotations = [("b", "2"), ("a", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(
            String::from_utf8(manifest.to_json()).unwrap(),
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[],"annotations":{"a":"1","b":"2"}}"#
        );
    }

    #[test]
    fn reads_what_others_write() {
        let digest = Digest::of(b"");
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{digest}","size":1,"x":1}},"layers":null,"annotations":null}}"#,
            media::DOCKER_MANIFEST,
            media::DOCKER_CONFIG
        );
        let Document::Manifest(manifest) = Document::parse(manifest.as_bytes()).unwrap() else { panic!("an index") };
        assert!(manifest.is_image() && manifest.layers.is_empty());
        assert!(manifest.config.other.contains_key("x"));
        let Document::Index(index) = Document::parse(br#"{"schemaVersion":2,"manifests":[]}"#).unwrap() else {
            panic!("a manifest")
        };
        assert!(index.manifests.is_empty());
    }

    #[test]
    fn refuses_what_is_ambiguous_or_old() {
        let check = |json: &str, expected: &str| {
            let message = Document::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{json}: {message}");
        };
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema version 1");
        check(r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, "neither");
        check(&format!(r#"{{"schemaVersion":2,"mediaType":"{}","layers":[]}}"#, media::INDEX), "neither");
        check(r#"{"schemaVersion":2}"#, "neither");
        check("[]", "not a manifest");
        check("", "not a manifest");
        check(r#"{"schemaVersion":2,"config":{"digest":"sha256:00","size":0}}"#, "64 hexadecimal digits");
        check(
            &format!(r#"{{"schemaVersion":2,"config":{{"digest":"{}","size":-1}}}}"#, Digest::of(b"")),
            "not a manifest",
        );
    }

    #[test]
    fn pairs_layers_with_diff_ids() {
        let manifest = Manifest::new(Descriptor::of(media::CONFIG, b""), vec![Descriptor::of(media::LAYER, b"")]);
        let mut config = ImageConfig::default();
        assert!(manifest.layers_with(&config).is_err());
        config.rootfs.diff_ids = vec![DiffId::from_bytes([7; 32])];
        assert_eq!(manifest.layers_with(&config).unwrap()[0].1, DiffId::from_bytes([7; 32]));
    }

    /// A second opinion: the specification's own types read what we write, and see the same.
    #[test]
    fn the_specifications_types_read_it() {
        use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};
        let mut config = ImageConfig { architecture: "arm64".into(), os: "linux".into(), ..ImageConfig::default() };
        config.created = Some("1980-01-01T00:00:00Z".into());
        config.config.env = vec!["PATH=/bin".into()];
        config.config.cmd = Some(vec!["sh".into()]);
        config.rootfs.diff_ids = vec![DiffId::from_bytes([1; 32])];
        let json = config.to_json();
        let read = ImageConfiguration::from_reader(&json[..]).unwrap();
        assert_eq!(read.rootfs().diff_ids(), &[config.rootfs.diff_ids[0].to_string()]);
        assert_eq!(read.config().as_ref().unwrap().cmd(), &Some(vec!["sh".to_owned()]));
        let layer = Descriptor::new(media::LAYER_GZIP, Digest::of(b"layer"), 5);
        let manifest = Manifest::new(Descriptor::of(media::CONFIG, &json), vec![layer]).to_json();
        let read = ImageManifest::from_reader(&manifest[..]).unwrap();
        assert_eq!(read.layers()[0].digest().to_string(), Digest::of(b"layer").to_string());
        let platform = "linux/arm/v7".parse().unwrap();
        let entry = Descriptor::of(media::MANIFEST, &manifest).for_platform(&platform);
        let read = ImageIndex::from_reader(&Index::new(vec![entry]).to_json()[..]).unwrap();
        let found = read.manifests()[0].platform().clone().unwrap();
        assert_eq!((found.architecture().to_string().as_str(), found.variant().as_deref()), ("arm", Some("v7")));
    }
}
