//! What is to be built, in full: every flag and every key of a build file resolved, paths against the caller's folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::attest::Detail;
use crate::compress::Compression;
use crate::frontend::diagnostic::Part;
use crate::frontend::dockerfile::LineStarts;
use crate::frontend::steps::Definition;
use crate::fstree::Scrub;
use crate::graph::{Limits, Network};
use crate::oci::{Platform, Reference};
use crate::remote_cache::{self, Source};
use crate::solve::Credentials;
use crate::trust::{Policy, PrivateKey};

/// One thing to build: an image, or files.
#[derive(Debug, Clone)]
pub struct Target {
    /// What it is called; empty for a Dockerfile that is built on its own.
    pub name: String,
    /// Its instructions.
    pub dockerfile: Dockerfile,
    /// Its build context. None if it has none, or a remote one: then nothing can be copied from it.
    pub context: Option<Folder>,
    /// The URL of its build context, if that is a git repository or a file.
    pub remote_context: Option<String>,
    /// Contexts by name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// The stage that is built; the last if none.
    pub stage: Option<String>,
    /// Where the build stops, if not at the end of a stage.
    pub until: Option<Line>,
    /// `--build-arg`.
    pub args: BTreeMap<String, String>,
    /// Labels of the image, over those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The platforms; this machine's if empty.
    pub platforms: Vec<Platform>,
    /// What the image is called.
    pub tags: Vec<Reference>,
    /// Which cached results are not used.
    pub no_cache: NoCache,
    /// Whether images are looked up anew, whatever the lockfile says.
    pub pull: bool,
    /// The network of steps that do not say.
    pub network: Network,
    /// What steps may ask for.
    pub allow: BTreeSet<Entitlement>,
    /// Whether set-user-ID programs give steps nothing.
    pub no_new_privileges: bool,
    /// Lines for `/etc/hosts`: (name, address).
    pub hosts: Vec<(String, String)>,
    /// Secrets and ssh agents. A step that several targets share is given those of the first of them.
    pub credentials: Credentials,
    /// What steps may use of the machine. A step that several targets share has the limits of the first of them.
    pub limits: Limits,
    /// What is taken away from the layers of steps that only says when they ran.
    pub scrubs: BTreeSet<Scrub>,
    /// Whether the user asked for it, and not only another target that is linked to it.
    pub requested: bool,
    /// Where the result goes; to the store if empty.
    pub outputs: Vec<Output>,
    /// Where results of steps are looked for that the store does not have.
    pub cache_from: Vec<Source>,
    /// Where results of steps are put besides the store.
    pub cache_to: Vec<remote_cache::Destination>,
    /// What is said about the image, beside it.
    pub attestations: Attestations,
    /// The keys that sign the image, by each of its names.
    pub sign: Vec<PrivateKey>,
    /// What images it may be built on, besides what the session says. The same for all targets of a build.
    pub policies: Arc<[Policy]>,
    /// What the files alone say of it. The lockfile knows it by that.
    pub written: Written,
}

/// What the files alone say of a target, without flags and environment.
#[derive(Debug, Clone, Default)]
pub enum Written {
    /// The same.
    #[default]
    Same,
    /// Something else.
    Otherwise(Box<Wording>),
    /// Nothing that could be built.
    Nothing,
}

/// What defines a target, of all that there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wording {
    /// Its instructions.
    pub dockerfile: Dockerfile,
    /// Its build context.
    pub context: Option<Folder>,
    /// The URL of its build context.
    pub remote_context: Option<String>,
    /// Contexts by name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// The stage that is built.
    pub stage: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// The network of steps that do not say.
    pub network: Network,
    /// Whether set-user-ID programs give steps nothing.
    pub no_new_privileges: bool,
    /// What is taken away from the layers of steps.
    pub scrubs: BTreeSet<Scrub>,
}

/// What is said about an image, beside it. Nothing, unless somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attestations {
    /// What packages are in it.
    pub sbom: bool,
    /// How it was made.
    pub provenance: Option<Detail>,
}

impl Target {
    /// A target that is just this Dockerfile.
    pub fn new(dockerfile: Dockerfile) -> Self {
        Self {
            name: String::new(),
            dockerfile,
            context: None,
            remote_context: None,
            contexts: BTreeMap::new(),
            stage: None,
            until: None,
            args: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            platforms: Vec::new(),
            tags: Vec::new(),
            no_cache: NoCache::default(),
            pull: false,
            network: Network::Default,
            allow: BTreeSet::new(),
            no_new_privileges: false,
            hosts: Vec::new(),
            credentials: Credentials::default(),
            limits: Limits::default(),
            scrubs: BTreeSet::new(),
            requested: true,
            outputs: Vec::new(),
            attestations: Attestations::default(),
            sign: Vec::new(),
            policies: Arc::new([]),
            written: Written::Same,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
        }
    }

    /// What the lockfile calls it: of a Dockerfile built on its own, the stage that was asked for.
    pub fn lock_name(&self) -> String {
        match (&self.name[..], &self.stage) {
            ("", Some(stage)) => stage.to_lowercase(),
            (name, _) => name.to_owned(),
        }
    }

    /// What defines it.
    pub fn wording(&self) -> Wording {
        Wording {
            dockerfile: self.dockerfile.clone(),
            context: self.context.clone(),
            remote_context: self.remote_context.clone(),
            contexts: self.contexts.clone(),
            stage: self.stage.clone(),
            args: self.args.clone(),
            labels: self.labels.clone(),
            network: self.network,
            no_new_privileges: self.no_new_privileges,
            scrubs: self.scrubs.clone(),
        }
    }

    /// Notes what the files alone say of it.
    pub fn is_written(&mut self, wording: Wording) {
        self.written = if wording == self.wording() { Written::Same } else { Written::Otherwise(Box::new(wording)) };
    }

    /// The target that the files alone define, for the same platforms; none if they define none.
    pub fn as_written(&self) -> Option<Self> {
        let mut target = Self { pull: false, ..self.clone() };
        match &self.written {
            Written::Same => {}
            Written::Nothing => return None,
            Written::Otherwise(wording) => {
                let wording = (**wording).clone();
                target.dockerfile = wording.dockerfile;
                target.context = wording.context;
                target.remote_context = wording.remote_context;
                target.contexts = wording.contexts;
                target.stage = wording.stage;
                target.args = wording.args;
                target.labels = wording.labels;
                target.network = wording.network;
                target.no_new_privileges = wording.no_new_privileges;
                target.scrubs = wording.scrubs;
            }
        }
        Some(target)
    }
}

/// Where instructions are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dockerfile {
    /// In a file.
    File(PathBuf),
    /// In the remote context, at this path.
    InContext(String),
    /// Here: from standard input, or from a build file.
    Text {
        /// What to call it in messages.
        name: String,
        /// The instructions.
        text: String,
    },
    /// Steps of a build file.
    Steps {
        /// What to call the build file in messages.
        name: String,
        /// All of its text, with that of the files that it includes.
        text: Arc<str>,
        /// Where its lines start.
        lines: LineStarts,
        /// Where these files are in the text.
        parts: Arc<[Part]>,
        /// The steps.
        definition: Definition,
    },
}

/// A line of a definition that a build stops at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Of a definition that is made of several files, which; else none.
    pub file: Option<String>,
    /// The line, counted from 1.
    pub line: u32,
    /// Whether the instruction that holds it is left out.
    pub before: bool,
}

/// A folder of this machine that serves as a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// What the graph calls it: the same wherever the checkout is.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// What a named context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A folder.
    Folder(Folder),
    /// An image of the store.
    Image(String),
    /// An image of an OCI layout in a folder: by tag, by digest, or its only one.
    OciLayout {
        /// The folder.
        path: PathBuf,
        /// The tag or digest; none for the only image.
        reference: Option<String>,
    },
    /// The git repository or file behind a URL.
    Remote(String),
    /// What another target of the same build makes.
    Target(String),
}

/// Which cached results are not used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NoCache {
    /// All are used.
    #[default]
    Use,
    /// None is.
    All,
    /// Those of these stages are not.
    Stages(BTreeSet<String>),
}

/// What a step may do only if the user allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// Use the host's network by `--network=host`.
    NetworkHost,
    /// Run with all privileges by `--security=insecure`.
    SecurityInsecure,
}

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The form.
    pub kind: OutputKind,
    /// How layers are compressed that are not blobs yet.
    pub compression: Compression,
}

/// The form of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKind {
    /// An image in the store, under these names besides the target's tags.
    Store(Vec<Reference>),
    /// An image in the registries that its names say, these and the target's tags. The store does not list it.
    Registry(Vec<Reference>),
    /// An archive of an OCI layout.
    Oci(Destination),
    /// An OCI layout in a folder.
    OciFolder(PathBuf),
    /// An archive for `docker load`.
    Docker(Destination),
    /// The file system as a tar.
    Tar(Destination),
    /// The file system as files in this folder.
    Local(PathBuf),
    /// Nothing leaves: only the cache is filled.
    CacheOnly,
}

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// This one.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// How the lockfile is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LockMode {
    /// It must not change: fail if it would.
    pub locked: bool,
    /// No network.
    pub offline: bool,
    /// It is neither read nor written.
    pub ignored: bool,
}
