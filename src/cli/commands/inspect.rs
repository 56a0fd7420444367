//! `imgbuild inspect`: everything about images, as JSON.

use serde::Serialize;
use serde_json::Value;

use super::{json_line, json_pretty};
use crate::cli::Session;
use crate::cli::human;
use crate::cli::library::Library;
use crate::ops::Error;

/// The flags.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild inspect app:1.0
  imgbuild inspect --format json app:1.0 | jq '.[0].Config.Env'")]
pub struct Args {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// How to print: json for one line
    #[arg(short, long, value_parser = ["json"], value_name = "FORMAT")]
    pub format: Option<String>,
    /// What to inspect
    #[arg(long = "type", value_parser = ["image"], hide = true)]
    pub kind: Option<String>,
}

/// An image, with docker's names for its parts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// The configuration's digest.
    pub id: String,
    /// The manifest's or index's digest.
    pub digest: String,
    /// The names with tags.
    pub repo_tags: Vec<String>,
    /// The names with digests.
    pub repo_digests: Vec<String>,
    /// When it was created, in seconds since 1970; printed as RFC 3339.
    #[serde(serialize_with = "moment")]
    pub created: Option<i64>,
    /// Who made it.
    pub author: String,
    /// The processor architecture.
    pub architecture: String,
    /// The architecture's variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system.
    pub os: String,
    /// The sum of the layers' sizes in bytes.
    pub size: u64,
    /// The runtime configuration as it stands in the image.
    pub config: Value,
    /// The layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// The manifest's annotations.
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// An image's layers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// Diff IDs, bottom first.
    pub layers: Vec<String>,
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn moment<S: serde::Serializer>(moment: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    moment.map(human::rfc3339).serialize(serializer)
}

/// Prints the images as one array.
pub fn run(args: &Args, session: &Session, library: &dyn Library) -> Result<(), Error> {
    let images = library.inspect(args, session)?;
    session.print(if args.format.is_some() { json_line(&images)? } else { json_pretty(&images)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_docker_names() {
        let image = Image {
            id: "sha256:1".into(),
            repo_tags: vec!["a:1".into()],
            created: Some(0),
            config: serde_json::json!({"Env": ["A=1"]}),
            root_fs: RootFs { kind: "layers", layers: vec!["sha256:2".into()] },
            ..Image::default()
        };
        let expected = r#"[{"Id":"sha256:1","Digest":"","RepoTags":["a:1"],"RepoDigests":[],"Created":"1970-01-01T00:00:00Z","Author":"","Architecture":"","Os":"","Size":0,"Config":{"Env":["A=1"]},"RootFS":{"Type":"layers","Layers":["sha256:2"]},"Annotations":{}}]"#;
        assert_eq!(json_line(&[image]).unwrap().trim_end(), expected);
    }
}
