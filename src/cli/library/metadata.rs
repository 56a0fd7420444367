//! What `--metadata-file` holds, with docker's names.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::oci::Descriptor;
use crate::ops::build::Built;

/// What was built: by `build` one image, by `bake` the images of targets.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "imgbuild's --metadata-file", inline)]
pub(super) enum Metadata<'a> {
    /// The image of a Dockerfile.
    One(Facts<'a>),
    /// Images by target.
    Several(BTreeMap<&'a str, Facts<'a>>),
}

/// What there is to know of an image. Results that are no image have nothing.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts<'a> {
    /// The digest of the configuration; none of an index.
    #[serde(rename = "containerimage.config.digest", skip_serializing_if = "Option::is_none")]
    config: Option<String>,
    /// The digest of the manifest, or of the index of several platforms.
    #[serde(rename = "containerimage.digest", skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Its OCI descriptor.
    #[serde(rename = "containerimage.descriptor", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    descriptor: Option<&'a Descriptor>,
}

impl<'a> Metadata<'a> {
    pub(super) fn of(built: &'a [Built]) -> Self {
        match built {
            [only] if only.target.is_empty() => Self::One(Facts::of(only)),
            several => Self::Several(several.iter().map(|one| (one.target.as_str(), Facts::of(one))).collect()),
        }
    }
}

impl<'a> Facts<'a> {
    fn of(built: &'a Built) -> Self {
        Self {
            config: built.config.as_ref().map(|config| config.digest.to_string()),
            digest: built.image.as_ref().map(|image| image.digest.to_string()),
            descriptor: built.image.as_ref(),
        }
    }
}

/// The JSON Schema of the file.
pub(crate) fn schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<Metadata<'_>>().to_value()
}
