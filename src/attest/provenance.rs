//! How an image was made, as SLSA provenance v1.
//!
//! It says nothing of the machine, the user, the folder or the clock, so that the same build has the same provenance
//! everywhere. Secrets and proxies are no part of a build's definition, and are not in it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{TOOL, VERSION};
use crate::digest::Digest;
use crate::oci::Platform;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Of arguments the names only: their values may be nobody else's business.
    #[default]
    Min,
    /// Everything.
    Max,
}

/// A build, for one platform of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build<'a> {
    /// Where its definition is, in its context or beside it.
    pub definition: String,
    /// The URL of its context, if that is remote, without credentials.
    pub context: Option<String>,
    /// The name of the target, or of the stage; empty for a whole Dockerfile.
    pub target: &'a str,
    /// For what.
    pub platform: &'a Platform,
    /// Its arguments.
    pub args: &'a BTreeMap<String, String>,
    /// Labels that were asked for besides.
    pub labels: &'a BTreeMap<String, String>,
    /// Everything that came from outside.
    pub dependencies: Vec<Dependency>,
}

/// Something that came from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// An image, as written, with the digest of its manifest.
    Image(String, Digest),
    /// A file behind a URL.
    File(String, Digest),
    /// A commit of a repository.
    Commit(String, String),
}

/// The predicate.
pub fn provenance(build: &Build<'_>, detail: Detail) -> Value {
    let args = match detail {
        Detail::Max => json!(build.args),
        Detail::Min => json!(build.args.keys().collect::<Vec<_>>()),
    };
    let mut parameters = json!({
        "definition": build.definition,
        "platform": build.platform.to_string(),
        "args": args,
    });
    if let Some(context) = &build.context {
        parameters["context"] = json!(context);
    }
    if !build.target.is_empty() {
        parameters["target"] = json!(build.target);
    }
    if detail == Detail::Max && !build.labels.is_empty() {
        parameters["labels"] = json!(build.labels);
    }
    let mut dependencies = build.dependencies.clone();
    dependencies.sort();
    dependencies.dedup();
    let dependency = |dependency: &Dependency| match dependency {
        Dependency::Image(name, digest) => {
            json!({"name": name, "uri": format!("docker-image://{name}"), "digest": {"sha256": digest.hex()}})
        }
        Dependency::File(url, digest) => json!({"uri": url, "digest": {"sha256": digest.hex()}}),
        Dependency::Commit(url, commit) => json!({"uri": format!("git+{url}"), "digest": {"gitCommit": commit}}),
    };
    json!({
        "buildDefinition": {
            "buildType": "urn:imgbuild:build:v1",
            "externalParameters": parameters,
            "resolvedDependencies": dependencies.iter().map(dependency).collect::<Vec<_>>(),
        },
        "runDetails": {"builder": {"id": "urn:imgbuild", "version": {TOOL: VERSION}}},
    })
}
