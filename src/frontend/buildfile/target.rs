//! A target with nothing left to expand, and how values of the file become its fields.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes;
use super::entries::{Fields, Locate, attestation, cache, output, secret, ssh, written};
use super::expand::{Fault, Scope};
use super::keys::{Key, OTHER_CACHES};
use super::limits::{Resources, address, call, entitlement, scrub, size, ulimit};
use super::model::{BuildFile, Declaration, Entry, Place, Text, Value, Values};
use super::steps;
use crate::frontend::steps::Definition;
use crate::fstree::Scrub;
use crate::graph::limits::{Ulimit, time};
use crate::graph::{Limits, Network};
use crate::oci::Platform;

/// A target, ready to be built. Paths are as written: relative ones start at the folder of the build file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Whether it was asked for, by its name or a group's. One that was not is only built because others link to it:
    /// it gets no tags and is written nowhere.
    pub requested: bool,
    /// What it is.
    pub description: Option<String>,
    /// Where COPY takes files from: a path, a URL, or `-` for standard input.
    pub context: ContextSource,
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// The stage to build; the last one if none.
    pub stage: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest. A name may say what it is for as in `index:org.opencontainers.image.title`.
    pub annotations: BTreeMap<String, String>,
    /// Names for the image.
    pub tags: Vec<String>,
    /// Named contexts.
    pub contexts: BTreeMap<String, ContextSource>,
    /// Platforms to build for, without repetitions; the machine's own if empty.
    pub platforms: Vec<Platform>,
    /// Whether every step is to run again.
    pub no_cache: bool,
    /// Stages whose steps are to run again.
    pub no_cache_filter: Vec<String>,
    /// Whether newer base images are looked for.
    pub pull: bool,
    /// The network of RUN.
    pub network: Network,
    /// What is taken away from layers of RUN.
    pub scrubs: BTreeSet<Scrub>,
    /// Secrets that RUN may mount, each `id` once.
    pub secrets: Vec<Secret>,
    /// Agents that RUN may mount, each `id` once.
    pub ssh: Vec<Ssh>,
    /// Where results go; the store if empty.
    pub outputs: Vec<Output>,
    /// Attestations that are asked for.
    pub attest: Vec<Output>,
    /// Files of the keys that sign the image.
    pub sign: Vec<String>,
    /// Where results of steps are looked for besides the store.
    pub cache_from: Vec<Output>,
    /// Where results of steps are put besides the store.
    pub cache_to: Vec<Output>,
    /// What is done with it.
    pub call: Call,
    /// What its steps may ask for, if whoever builds it allows it.
    pub entitlements: Vec<Entitlement>,
    /// Names and addresses for `/etc/hosts` of RUN: an IP address, or `host-gateway`.
    pub extra_hosts: BTreeMap<String, String>,
    /// Whether set-user-ID programs give processes of RUN nothing.
    pub no_new_privileges: bool,
    /// What RUN may use of the machine.
    pub limits: Limits,
}

/// What is done with a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Call {
    /// It is built.
    #[default]
    Build,
    /// Its definition is checked.
    Check,
    /// Its arguments are shown.
    Outline,
    /// Its stages are listed.
    Targets,
}

/// A right that steps may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// The network of this machine.
    NetworkHost,
    /// All privileges.
    SecurityInsecure,
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dockerfile {
    /// A file, relative to the context.
    Path(String),
    /// Its text.
    Inline(String),
    /// None: these steps instead.
    Steps(Definition),
}

/// What a context is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextSource {
    /// A folder (or an archive) of this machine.
    Path(String),
    /// A git repository or an archive, by URL.
    Url(String),
    /// `docker-image://`: an image, by reference.
    Image(String),
    /// `oci-layout://`: an image of an OCI layout on this machine: the path, with `:tag` or `@digest` as written.
    OciLayout(String),
    /// `target:`: what another target of this file makes.
    Target(String),
}

/// A secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// What RUN calls it.
    pub id: String,
    /// The file that holds it.
    pub src: Option<String>,
    /// The environment variable that holds it. With neither, it is the variable or else the file called like the `id`.
    pub env: Option<String>,
}

/// An ssh agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// What RUN calls it.
    pub id: String,
    /// Its socket, or keys; the agent of the environment if empty.
    pub paths: Vec<String>,
}

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// `type`, `dest` and what else the exporter takes.
    pub attributes: BTreeMap<String, String>,
}

impl Output {
    /// Whether it is a cache of a kind that only docker has.
    pub fn is_other_cache(&self) -> bool {
        self.attributes.get("type").is_some_and(|kind| OTHER_CACHES.contains(&kind.as_str()))
    }

    /// The same as an argument of `--output`.
    pub fn to_argument(&self) -> String {
        let first = self.attributes.get_key_value("type");
        let rest = self.attributes.iter().filter(|(name, _)| *name != "type");
        attributes::line(first.into_iter().chain(rest).map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

impl ContextSource {
    /// The same with its path as it is from the folder of the first file.
    fn located(self, file: &BuildFile, place: &Place) -> Self {
        match self {
            Self::Path(path) => Self::Path(file.located(place, &path)),
            Self::OciLayout(path) => Self::OciLayout(file.located(place, &path)),
            other => other,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let rest = |prefix: &str, what: &str| match text.strip_prefix(prefix) {
            Some("") => Err(format!("`{prefix}` without {what}")),
            rest => Ok(rest.map(str::to_owned)),
        };
        if let Some(image) = rest("docker-image://", "an image reference")? {
            return Ok(Self::Image(image));
        }
        if let Some(layout) = rest("oci-layout://", "a path")? {
            return Ok(Self::OciLayout(layout));
        }
        if let Some(target) = rest("target:", "the name of a target")? {
            return Ok(Self::Target(target));
        }
        match text.split_once("://") {
            Some(("http" | "https" | "git" | "ssh", _)) => Ok(Self::Url(text.to_owned())),
            Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => Err(format!(
                "`{scheme}://` is no kind of context: use a path, `target:`, `docker-image://`, `oci-layout://`, or an http, https, git or ssh URL"
            )),
            _ if text.starts_with("git@") => Ok(Self::Url(text.to_owned())),
            _ if text.is_empty() => Err("a context is empty: write `.` for the folder of the build file".into()),
            _ => Ok(Self::Path(text.to_owned())),
        }
    }
}

/// As a context is written in a build file.
impl std::fmt::Display for ContextSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(text) | Self::Url(text) => f.write_str(text),
            Self::Image(reference) => write!(f, "docker-image://{reference}"),
            Self::OciLayout(path) => write!(f, "oci-layout://{path}"),
            Self::Target(name) => write!(f, "target:{name}"),
        }
    }
}

/// A target, with the texts that link to others.
pub(super) struct Resolved {
    pub(super) target: Target,
    pub(super) links: Vec<(String, Text)>,
}

/// Turns the merged values of a target into its fields; returns all that is wrong with them otherwise.
pub(super) fn resolve(
    file: &BuildFile,
    declaration: &Declaration,
    values: &Values,
    scope: &Scope,
) -> Result<Resolved, Vec<Fault>> {
    let place = Place::File { span: declaration.span.clone(), content: None };
    let mut reader = Reader { file, values, scope, faults: Vec::new() };
    let mut links = Vec::new();
    let mut contexts = BTreeMap::new();
    for (name, text) in reader.map(Key::Contexts) {
        let located = |value: &str| ContextSource::parse(value).map(|source| source.located(file, &text.place));
        let Some(source) = reader.convert(text, located) else { continue };
        if let ContextSource::Target(other) = &source {
            links.push((other.clone(), text.clone()));
        }
        contexts.insert(name.to_owned(), source);
    }
    let written = values.get(&Key::Context).and_then(Value::place).unwrap_or(&place);
    let context = reader.text(Key::Context, |text| match ContextSource::parse(text)? {
        source @ (ContextSource::Path(_) | ContextSource::Url(_)) => Ok(source.located(file, written)),
        _ => Err("the main context is a folder or a URL: give this one a name under `contexts`".into()),
    });
    let not_empty = |what: &'static str| {
        move |text: &str| if text.is_empty() { Err(format!("{what} is empty")) } else { Ok(text.to_owned()) }
    };
    let inline = reader.verbatim(Key::DockerfileInline).map(Dockerfile::Inline);
    let steps =
        steps::resolve(values, scope, declaration.span.clone(), &mut reader.faults).map(|(definition, linked)| {
            for (other, text) in linked {
                // The name that the steps use is that of a context.
                contexts.insert(format!("target:{other}"), ContextSource::Target(other.clone()));
                links.push((other, text));
            }
            Dockerfile::Steps(definition)
        });
    let path = reader.text(Key::Dockerfile, not_empty("the path of the Dockerfile")).map(Dockerfile::Path);
    let target = Target {
        name: declaration.name.clone(),
        requested: false,
        description: reader.text(Key::Description, |text| Ok(text.to_owned())),
        context: context.unwrap_or_else(|| ContextSource::Path(".".into()).located(file, &place)),
        dockerfile: steps.or(inline).or(path).unwrap_or_else(|| Dockerfile::Path("Dockerfile".into())),
        stage: reader.text(Key::Target, |text| Ok(text.to_owned())).filter(|stage| !stage.is_empty()),
        args: reader.strings(Key::Args),
        labels: reader.strings(Key::Labels),
        annotations: reader.strings(Key::Annotations),
        tags: reader.texts(Key::Tags, not_empty("a tag")),
        contexts,
        platforms: reader.texts(Key::Platforms, |text| Platform::of_user(text).map_err(|error| error.to_string())),
        no_cache: reader.text(Key::NoCache, flag).unwrap_or_default(),
        no_cache_filter: reader.texts(Key::NoCacheFilter, not_empty("a stage")),
        pull: reader.text(Key::Pull, flag).unwrap_or_default(),
        network: reader.text(Key::Network, network).unwrap_or_default(),
        scrubs: reader.texts(Key::Scrub, scrub).into_iter().flatten().collect(),
        secrets: reader.entries(Key::Secrets, secret, |secret| &secret.id),
        ssh: reader.entries(Key::Ssh, ssh, |ssh| &ssh.id),
        outputs: reader.outputs(Key::Output, output),
        attest: reader.outputs(Key::Attest, attestation),
        sign: reader.paths(Key::Sign, not_empty("a key")),
        cache_from: reader.outputs(Key::CacheFrom, cache),
        cache_to: reader.outputs(Key::CacheTo, cache),
        call: reader.text(Key::Call, call).unwrap_or_default(),
        entitlements: reader.texts(Key::Entitlements, entitlement),
        extra_hosts: reader.named(Key::ExtraHosts, address),
        no_new_privileges: reader.text(Key::NoNewPrivileges, flag).unwrap_or_default(),
        limits: limits(&mut reader),
    };
    if reader.faults.is_empty() { Ok(Resolved { target, links }) } else { Err(reader.faults) }
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        other => Err(format!("`{other}` is neither `true` nor `false`")),
    }
}

fn limits(reader: &mut Reader<'_, '_>) -> Limits {
    let mut ulimits: Vec<Ulimit> = Vec::new();
    for ulimit in reader.texts(Key::Ulimits, ulimit) {
        ulimits.retain(|earlier| earlier.resource != ulimit.resource);
        ulimits.push(ulimit);
    }
    let mut resources = Resources::default();
    for (name, text) in reader.map(Key::Resources) {
        reader.convert(text, |value| resources.set(name, value));
    }
    let shm_size = reader.text(Key::ShmSize, size);
    Limits { ulimits, shm_size, time: reader.text(Key::StepTimeout, time), ..resources.limits() }
}

fn network(text: &str) -> Result<Network, String> {
    match text {
        "default" | "" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        "private" => Ok(Network::Private),
        other => Err(format!("`{other}` is no network: use `default`, `none`, `host` or `private`")),
    }
}

/// Reads values, expanding them, and collects what is wrong.
struct Reader<'a, 's> {
    file: &'s BuildFile,
    values: &'a Values,
    scope: &'s Scope,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a, '_> {
    fn convert<T>(&mut self, text: &Text, convert: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = match self.scope.given(text) {
            Ok(Some(value)) => value,
            Ok(None) => return None,
            Err(fault) => {
                self.faults.push(fault);
                return None;
            }
        };
        let converted = convert(&value);
        converted.map_err(|message| self.faults.push(blame(text, &value, message))).ok()
    }

    fn text<T>(&mut self, key: Key, convert: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.values.get(&key) {
            Some(Value::Text(text)) => self.convert(text, convert),
            _ => None,
        }
    }

    fn verbatim(&self, key: Key) -> Option<String> {
        match self.values.get(&key) {
            Some(Value::Text(text)) => Some(text.text.clone()),
            _ => None,
        }
    }

    /// The items of a list, without repetitions.
    fn texts<T: PartialEq>(&mut self, key: Key, convert: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        self.texts_with(key, |_, item| convert(item))
    }

    /// The same of paths, which start at the folder of the file that has them.
    fn paths(&mut self, key: Key, convert: impl Fn(&str) -> Result<String, String>) -> Vec<String> {
        let file = self.file;
        self.texts_with(key, |place, item| Ok(file.located(place, &convert(item)?)))
    }

    fn texts_with<T: PartialEq>(&mut self, key: Key, convert: impl Fn(&Place, &str) -> Result<T, String>) -> Vec<T> {
        let mut found = Vec::new();
        if let Some(Value::Texts(texts)) = self.values.get(&key) {
            for text in texts {
                // An item that is one expression may come to several.
                let items = match self.scope.list(std::slice::from_ref(text)) {
                    Ok(items) => items,
                    Err(fault) => {
                        self.faults.push(fault);
                        continue;
                    }
                };
                for item in items {
                    match convert(&text.place, &item) {
                        Ok(value) if found.contains(&value) => {}
                        Ok(value) => found.push(value),
                        Err(message) => self.faults.push(blame(text, &item, message)),
                    }
                }
            }
        }
        found
    }

    fn map(&self, key: Key) -> impl Iterator<Item = (&'a str, &'a Text)> + use<'a> {
        let map = match self.values.get(&key) {
            Some(Value::Map(map)) => Some(map),
            _ => None,
        };
        map.into_iter().flatten().map(|(name, text)| (name.as_str(), text))
    }

    fn strings(&mut self, key: Key) -> BTreeMap<String, String> {
        self.named(key, |value| Ok(value.to_owned()))
    }

    fn named<T>(&mut self, key: Key, convert: impl Fn(&str) -> Result<T, String>) -> BTreeMap<String, T> {
        let mut found = BTreeMap::new();
        for (name, text) in self.map(key) {
            found.extend(self.convert(text, &convert).map(|value| (name.to_owned(), value)));
        }
        found
    }

    /// Entries of which a later one replaces an earlier one with the same id.
    fn entries<T>(
        &mut self,
        key: Key,
        convert: impl Fn(Fields, &Locate<'_>) -> Result<T, String>,
        id: impl Fn(&T) -> &String,
    ) -> Vec<T> {
        let mut found: Vec<T> = Vec::new();
        for entry in self.list(key) {
            let Some(value) = self.entry(entry, &convert) else { continue };
            match found.iter_mut().find(|other| id(other) == id(&value)) {
                Some(other) => *other = value,
                None => found.push(value),
            }
        }
        found
    }

    fn outputs(&mut self, key: Key, convert: impl Fn(Fields, &Locate<'_>) -> Result<Output, String>) -> Vec<Output> {
        self.list(key).iter().filter_map(|entry| self.entry(entry, &convert)).collect()
    }

    fn list(&self, key: Key) -> &'a [Entry] {
        match self.values.get(&key) {
            Some(Value::Entries(entries)) => entries,
            _ => &[],
        }
    }

    fn entry<T>(&mut self, entry: &Entry, convert: impl Fn(Fields, &Locate<'_>) -> Result<T, String>) -> Option<T> {
        let file = self.file;
        match entry {
            Entry::Written(text) => {
                self.convert(text, |line| convert(written(line)?, &|path| file.located(&text.place, &path)))
            }
            Entry::Table(table, place) => {
                let mut fields = Fields::new();
                for (name, texts) in table {
                    for text in texts {
                        let value = self.convert(text, |value| Ok(value.to_owned()))?;
                        fields.entry(name.clone()).or_default().push(value);
                    }
                }
                let fault = |message| Fault { place: place.clone(), part: None, message, help: None };
                let converted = convert(fields, &|path| file.located(place, &path));
                converted.map_err(|message| self.faults.push(fault(message))).ok()
            }
        }
    }
}

/// A fault of a value, which says what the value was where the file does not show it.
fn blame(text: &Text, value: &str, message: String) -> Fault {
    let fault = Fault::at(text, message);
    if value == text.text { fault } else { fault.help(format!("`{}` is `{value}` here", text.text)) }
}
