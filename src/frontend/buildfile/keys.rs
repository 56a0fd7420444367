//! The keys of a target: one table that the parser, `--set` and the documentation go by.

/// A key of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "KEYS describes each of them")]
pub enum Key {
    Description,
    Context,
    Dockerfile,
    DockerfileInline,
    From,
    Steps,
    Stages,
    Target,
    Args,
    Labels,
    Annotations,
    Tags,
    Contexts,
    Platforms,
    NoCache,
    NoCacheFilter,
    Pull,
    Network,
    Scrub,
    Secrets,
    Ssh,
    Output,
    Entitlements,
    ExtraHosts,
    NoNewPrivileges,
    ShmSize,
    Ulimits,
    Resources,
    StepTimeout,
    CacheFrom,
    CacheTo,
    Attest,
    Sign,
    Call,
}

/// What kind of value a key takes, and what happens when a target and its parents both have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string. The later one wins.
    Text,
    /// A string in which `${NAME}` stays as it is. The later one wins.
    Verbatim,
    /// A whole number, or a string that becomes a size. The later one wins.
    Number,
    /// `true` or `false`, or a string that becomes one of them. The later one wins.
    Flag,
    /// A list of strings. The later one wins.
    Texts,
    /// A table of strings. They are merged, name by name.
    Map,
    /// A list of `name=value,…` strings or tables. The later list wins.
    Entries,
    /// The same with an `id` in each. They are merged, id by id.
    Identified,
    /// What a stage starts from. The later one wins.
    Base,
    /// A list of steps. The later list wins.
    Steps,
    /// A table of stages. The later table wins.
    Stages,
}

/// A row of [`KEYS`].
#[derive(Debug, Clone, Copy)]
pub struct KeyInfo {
    /// The key.
    pub key: Key,
    /// How it is written.
    pub name: &'static str,
    /// What value it takes.
    pub kind: Kind,
    /// What it is for.
    pub about: &'static str,
}

const fn row(key: Key, name: &'static str, kind: Kind, about: &'static str) -> KeyInfo {
    KeyInfo { key, name, kind, about }
}

/// All keys of a target but `inherits`, which is about the file and not about a build.
pub const KEYS: &[KeyInfo] = &[
    row(Key::Description, "description", Kind::Text, "what the target is, for `--list`"),
    row(Key::Context, "context", Kind::Text, "the folder or URL that COPY takes files from; `.` if not given"),
    row(
        Key::Dockerfile,
        "dockerfile",
        Kind::Text,
        "the Dockerfile, relative to the context; `Dockerfile` if not given",
    ),
    row(Key::DockerfileInline, "dockerfile-inline", Kind::Verbatim, "the Dockerfile itself"),
    row(
        Key::From,
        "from",
        Kind::Base,
        "what `steps` start from: an image, a stage, `target:NAME`; `scratch` if not given",
    ),
    row(Key::Steps, "steps", Kind::Steps, "what is done, instead of a Dockerfile"),
    row(Key::Stages, "stages", Kind::Stages, "more `from` and `steps`, by name, that `steps` can copy from"),
    row(Key::Target, "target", Kind::Text, "the stage to build; the last one if not given"),
    row(Key::Args, "args", Kind::Map, "build arguments (ARG)"),
    row(Key::Labels, "labels", Kind::Map, "labels of the image"),
    row(Key::Annotations, "annotations", Kind::Map, "annotations of the manifest"),
    row(Key::Tags, "tags", Kind::Texts, "names for the image"),
    row(Key::Contexts, "contexts", Kind::Map, "named contexts: folders, images, layouts, and other targets"),
    row(Key::Platforms, "platforms", Kind::Texts, "platforms to build for; the machine's own if not given"),
    row(Key::NoCache, "no-cache", Kind::Flag, "whether to run every step again"),
    row(Key::NoCacheFilter, "no-cache-filter", Kind::Texts, "stages whose steps are to run again"),
    row(Key::Pull, "pull", Kind::Flag, "whether to look for newer base images"),
    row(
        Key::Network,
        "network",
        Kind::Text,
        "the network of RUN: `default`, `none`, `host`, or `private`: see docs/limits.md",
    ),
    row(
        Key::Scrub,
        "reproducible.scrub",
        Kind::Texts,
        "what is taken away from layers of RUN that only says when it ran: see docs/reproducible.md",
    ),
    row(Key::Secrets, "secrets", Kind::Identified, "secrets that RUN may mount"),
    row(Key::Ssh, "ssh", Kind::Identified, "ssh agents that RUN may mount"),
    row(Key::Output, "output", Kind::Entries, "where results go; the store if not given"),
    row(
        Key::Entitlements,
        "entitlements",
        Kind::Texts,
        "what steps may ask for, if `--allow` grants it: `network.host`, `security.insecure`",
    ),
    row(Key::ExtraHosts, "extra-hosts", Kind::Map, "names and addresses for /etc/hosts of RUN"),
    row(
        Key::NoNewPrivileges,
        "no-new-privileges",
        Kind::Flag,
        "whether set-user-ID programs such as sudo give processes of RUN nothing",
    ),
    row(Key::ShmSize, "shm-size", Kind::Number, "the size of /dev/shm of RUN, such as `128m`; `64m` if not given"),
    row(Key::Ulimits, "ulimits", Kind::Texts, "limits of each process of RUN: `nofile=1024:4096`"),
    row(
        Key::Resources,
        "resources",
        Kind::Map,
        "what a step of RUN may use: `memory`, `memory-swap`, `cpus`, `cpu-shares`, `cpu-quota`, `cpu-period`, `cpuset-cpus`, `pids`",
    ),
    row(Key::StepTimeout, "step-timeout", Kind::Text, "how long a step of RUN may take, such as `10m`"),
    row(
        Key::CacheFrom,
        "cache-from",
        Kind::Entries,
        "where results of steps are looked for besides the store: see docs/remote-cache.md",
    ),
    row(Key::CacheTo, "cache-to", Kind::Entries, "where results of steps are put besides the store"),
    row(
        Key::Attest,
        "attest",
        Kind::Entries,
        "what is said about the image: `type=sbom`, `type=provenance,mode=min|max`",
    ),
    row(Key::Sign, "sign", Kind::Texts, "files of the keys that sign the image: see docs/supply-chain.md"),
    row(Key::Call, "call", Kind::Text, "what is done with the target; `build` if not given"),
];

/// Other spellings: docker's of keys that have several values.
const ALIASES: &[(&str, &str)] = &[("secret", "secrets"), ("platform", "platforms")];

/// Kinds of caches that docker has and that are passed over.
pub const OTHER_CACHES: [&str; 1] = ["azblob"];

/// Keys of docker-bake and of later versions, which deserve another answer than "unknown".
pub(super) const NOT_YET: &[&str] = &["policy"];

/// The same at the top level.
pub(super) const NOT_YET_TOP: &[&str] = &["function"];

impl KeyInfo {
    /// The row of a key by how it is written, here or in docker's files.
    pub fn named(name: &str) -> Option<&'static KeyInfo> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
        KEYS.iter().find(|row| row.name == name)
    }
}

/// The ways to say what a target does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DefinitionForm {
    File,
    Inline,
    Steps,
}

impl Key {
    /// The way to say what a target does that this key belongs to.
    pub(super) fn definition(self) -> Option<DefinitionForm> {
        match self {
            Self::Dockerfile => Some(DefinitionForm::File),
            Self::DockerfileInline => Some(DefinitionForm::Inline),
            Self::From | Self::Steps | Self::Stages => Some(DefinitionForm::Steps),
            _ => None,
        }
    }

    /// The row of this key.
    pub fn info(self) -> &'static KeyInfo {
        KEYS.iter().find(|row| row.key == self).expect("a test sees to it that every key has a row")
    }
}
