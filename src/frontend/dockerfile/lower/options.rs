//! What a build depends on besides the file: what a user asks for, and what the contexts are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::frontend::diagnostic::Part;
use crate::frontend::dockerfile::ast::CheckOptions;
use crate::fstree::Scrub;
use crate::fstree::pattern::IgnoreList;
use crate::graph::{Limits, Network, StepId};
use crate::oci::{ImageConfig, Platform};

/// Everything that a build depends on besides the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the file is called in messages.
    pub file: String,
    /// The files that it is made of, if they are several: those of a build file.
    pub parts: Vec<Part>,
    /// `--build-arg`
    pub build_args: BTreeMap<String, String>,
    /// `--target`
    pub target: Option<String>,
    /// `--platform`: what the image is for. If none, it is the build platform, and the base image may differ from it.
    pub platform: Option<Platform>,
    /// The platform of the builder.
    pub build_platform: Platform,
    /// The build context.
    pub context: ContextSource,
    /// `--build-context`, by name
    pub contexts: BTreeMap<String, ContextSource>,
    /// `--label`: added to the image's own.
    pub labels: BTreeMap<String, String>,
    /// `--no-cache`, `--no-cache-filter`
    pub no_cache: NoCache,
    /// The network of steps that do not choose one.
    pub network: Network,
    /// Whether steps may ask for the host's network (`--allow network.host`).
    pub allow_host_network: bool,
    /// Whether steps may ask for all privileges (`--allow security.insecure`).
    pub allow_insecure: bool,
    /// Whether no step may gain privileges by set-user-ID programs (`--security-opt no-new-privileges`).
    pub no_new_privileges: bool,
    /// `--add-host`: (name, address)
    pub extra_hosts: Vec<(String, String)>,
    /// What steps may use of the machine.
    pub limits: Limits,
    /// `--scrub`: what is taken away from the layers of all steps.
    pub scrubs: BTreeSet<Scrub>,
    /// Whether steps are called by their platform too: because there are several.
    pub name_platforms: bool,
    /// Whether all stages are lowered and checked, not just those that the target needs.
    pub all_stages: bool,
    /// What is to be checked, whatever the file says.
    pub check: Option<CheckOptions>,
}

impl Options {
    /// The options of a build without any, of the file of this name, with the folder `context` as its context.
    pub fn new(file: impl Into<String>, build_platform: Platform) -> Self {
        Self {
            file: file.into(),
            parts: Vec::new(),
            build_args: BTreeMap::new(),
            target: None,
            platform: None,
            build_platform,
            context: ContextSource::Local { name: "context".into(), ignore: Arc::default() },
            contexts: BTreeMap::new(),
            labels: BTreeMap::new(),
            no_cache: NoCache::None,
            network: Network::Default,
            allow_host_network: false,
            allow_insecure: false,
            no_new_privileges: false,
            extra_hosts: Vec::new(),
            limits: Limits::default(),
            scrubs: BTreeSet::new(),
            name_platforms: false,
            all_stages: false,
            check: None,
        }
    }
}

/// What a context is.
#[derive(Debug, Clone)]
pub enum ContextSource {
    /// A folder of this machine.
    Local {
        /// The name by which the solver knows it.
        name: String,
        /// The patterns of its ignore file.
        ignore: Arc<IgnoreList>,
    },
    /// An image, by reference; `scratch` is an empty one.
    Image(String),
    /// A git reference, such as `https://host/repo.git#ref:folder`.
    Git(String),
    /// A file from a URL, called `context`; what it holds, if it is an archive.
    Http(String),
    /// The result of another build.
    State {
        /// Its step, in the same graph.
        step: StepId,
        /// Its configuration, all history included.
        config: Box<ImageConfig>,
    },
}

/// For which steps a cached result is not used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those of these stages.
    Stages(BTreeSet<String>),
}
