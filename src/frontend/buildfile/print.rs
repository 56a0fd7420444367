//! What `bake --print` and `bake --list` say, as types that serialise. The names are those of docker-bake's JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::attributes;
use super::expand::Scope;
use super::functions::Value;
use super::model::BuildFile;
use super::resolve::Plan;
use super::target::{Call, Dockerfile, Output, Secret, Ssh, Target};
use super::variables::{Default, Type, Variable};
use crate::frontend::steps::{Definition, Shape, Stage, shape_of, shape_of_base};
use crate::graph::limits::{Swap, Time};
use crate::graph::{Limits, Network};

/// A plan, to be read by people and programs.
#[derive(Debug, Serialize)]
pub struct Printed<'a> {
    group: BTreeMap<&'a str, PrintedGroup<'a>>,
    target: BTreeMap<&'a str, PrintedTarget<'a>>,
}

#[derive(Debug, Serialize)]
struct PrintedGroup<'a> {
    targets: &'a [String],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct PrintedTarget<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    context: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dockerfile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dockerfile_inline: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<Shape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Shape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Shape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    args: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    contexts: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_cache: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    no_cache_filter: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pull: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reproducible: Option<PrintedReproducible>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secret: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    output: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entitlements: Vec<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra_hosts: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_new_privileges: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    shm_size: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ulimits: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    resources: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_timeout: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_from: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_to: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attest: Vec<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    sign: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct PrintedReproducible {
    scrub: Vec<&'static str>,
}

impl<'a> From<&'a Plan> for Printed<'a> {
    /// Groups that were asked for, and all targets that will be built.
    fn from(plan: &'a Plan) -> Self {
        let group = plan.groups.iter().map(|(name, targets)| (name.as_str(), PrintedGroup { targets }));
        let target = plan.targets.iter().map(|target| (target.name.as_str(), target.into()));
        Self { group: group.collect(), target: target.collect() }
    }
}

impl<'a> From<&'a Target> for PrintedTarget<'a> {
    fn from(target: &'a Target) -> Self {
        let (dockerfile, dockerfile_inline) = match &target.dockerfile {
            Dockerfile::Path(path) => (Some(path.as_str()), None),
            Dockerfile::Inline(text) => (None, Some(text.as_str())),
            Dockerfile::Steps(_) => (None, None),
        };
        let (stages, from, steps) = match &target.dockerfile {
            Dockerfile::Steps(definition) => shapes(definition),
            _ => (None, None, None),
        };
        Self {
            description: target.description.as_deref(),
            context: target.context.to_string(),
            dockerfile,
            dockerfile_inline,
            stages,
            from,
            steps,
            target: target.stage.as_deref(),
            args: &target.args,
            labels: &target.labels,
            annotations: target.annotations.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            tags: &target.tags,
            contexts: target.contexts.iter().map(|(name, source)| (name.as_str(), source.to_string())).collect(),
            platforms: target.platforms.iter().map(ToString::to_string).collect(),
            no_cache: target.no_cache,
            no_cache_filter: &target.no_cache_filter,
            pull: target.pull,
            network: match target.network {
                Network::Default => None,
                Network::None => Some("none"),
                Network::Host => Some("host"),
                Network::Private => Some("private"),
            },
            reproducible: (!target.scrubs.is_empty())
                .then(|| PrintedReproducible { scrub: target.scrubs.iter().map(|scrub| scrub.name()).collect() }),
            secret: target.secrets.iter().map(Secret::to_argument).collect(),
            ssh: target.ssh.iter().map(Ssh::to_argument).collect(),
            output: arguments(&target.outputs),
            entitlements: target.entitlements.iter().map(|right| right.name()).collect(),
            extra_hosts: &target.extra_hosts,
            no_new_privileges: target.no_new_privileges,
            shm_size: target.limits.shm_size.map(|size| size.to_string()),
            ulimits: target.limits.ulimits.iter().map(ToString::to_string).collect(),
            resources: resources(&target.limits),
            step_timeout: target.limits.time.map(|time| Time(time).to_string()),
            cache_from: caches(&target.cache_from),
            cache_to: caches(&target.cache_to),
            attest: arguments(&target.attest),
            sign: &target.sign,
            call: (target.call != Call::Build).then(|| target.call.name()),
        }
    }
}

fn arguments(outputs: &[Output]) -> Vec<String> {
    outputs.iter().map(Output::to_argument).collect()
}

/// The same without what nobody is shown.
fn caches(caches: &[Output]) -> Vec<String> {
    let shown = |cache: &Output| {
        let mut cache = cache.clone();
        for name in ["token", "ghtoken"] {
            cache.attributes.entry(name.to_owned()).and_modify(|value| "…".clone_into(value));
        }
        cache.to_argument()
    };
    caches.iter().map(shown).collect()
}

fn resources(limits: &Limits) -> BTreeMap<&'static str, String> {
    let swap = |swap: Swap| match swap {
        Swap::Total(total) => total.to_string(),
        Swap::Unlimited => "-1".to_owned(),
    };
    let rows = [
        ("memory", limits.memory.map(|memory| memory.to_string())),
        ("memory-swap", limits.memory_swap.map(swap)),
        ("cpus", limits.cpus.map(|cpus| format!("{}.{:03}", cpus / 1000, cpus % 1000))),
        ("cpu-shares", limits.cpu_shares.map(|shares| shares.to_string())),
        ("cpuset-cpus", limits.cpuset_cpus.clone()),
        ("pids", limits.pids.map(|pids| pids.to_string())),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// `stages`, `from` and `steps`.
fn shapes(definition: &Definition) -> (Option<Shape>, Option<Shape>, Option<Shape>) {
    let Some((last, others)) = definition.stages.split_last() else { return (None, None, None) };
    let steps = |stage: &Stage| Shape::List(stage.steps.iter().map(|step| shape_of(&step.instruction)).collect());
    let table = |stage: &Stage| {
        let name = stage.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        let fields = vec![("from".to_owned(), shape_of_base(&stage.base)), ("steps".to_owned(), steps(stage))];
        (name, Shape::Table(fields))
    };
    let stages = (!others.is_empty()).then(|| Shape::Table(others.iter().map(table).collect()));
    (stages, Some(shape_of_base(&last.base)), Some(steps(last)))
}

impl Secret {
    /// The same as an argument of `--secret`.
    pub fn to_argument(&self) -> String {
        let src = self.src.as_deref().map(|src| ("src", src));
        let env = self.env.as_deref().map(|env| ("env", env));
        attributes::line([("id", self.id.as_str())].into_iter().chain(src).chain(env))
    }
}

impl Ssh {
    /// The same as an argument of `--ssh`.
    pub fn to_argument(&self) -> String {
        if self.paths.is_empty() { self.id.clone() } else { format!("{}={}", self.id, self.paths.join(",")) }
    }
}

/// One thing that a build file has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Listed<'a> {
    /// Something that can be built.
    Target {
        /// Its name.
        name: &'a str,
        /// What it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
    },
    /// Several of them.
    Group {
        /// Its name.
        name: &'a str,
        /// What it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        /// The targets and groups in it.
        targets: Vec<&'a str>,
    },
    /// A value that the environment can change.
    Variable {
        /// Its name.
        name: &'a str,
        /// What it is for.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        /// Its default as written; several if it is a list.
        #[serde(skip_serializing_if = "Option::is_none")]
        default: Option<Written<'a>>,
    },
}

/// A value as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Written<'a> {
    /// One text.
    One(&'a str),
    /// A list of them.
    List(Vec<&'a str>),
}

/// A variable, with the value that it has now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedVariable<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    r#type: &'static str,
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Written<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    /// None if it has none, or one that it may not have.
    value: Option<serde_json::Value>,
    /// Where the value comes from: `environment` or `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
}

/// The variables, in the order of the file, with the values that they have in an environment.
pub fn variables<'a>(file: &'a BuildFile, environment: &BTreeMap<String, String>) -> Vec<ListedVariable<'a>> {
    let (scope, _) = Scope::new(file, environment);
    let one = |variable: &'a Variable| {
        let value = scope.get(&variable.name).map(|value| match value {
            Value::List(items) => serde_json::Value::from(items.clone()),
            Value::Int(number) => (*number).into(),
            Value::Bool(truth) => (*truth).into(),
            value => value.to_text().into(),
        });
        let source = if environment.contains_key(&variable.name) { "environment" } else { "default" };
        ListedVariable {
            name: &variable.name,
            description: variable.description.as_deref(),
            r#type: variable.kind.unwrap_or(Type::String).name(),
            required: variable.required,
            default: written_default(variable),
            values: variable.values.iter().map(|text| text.text.as_str()).collect(),
            pattern: variable.pattern.as_ref().map(|text| text.text.as_str()),
            condition: variable.condition.as_ref().map(|text| text.text.as_str()),
            message: variable.message.as_deref(),
            source: value.is_some().then_some(source),
            value,
        }
    };
    file.variables.iter().map(one).collect()
}

fn written_default(variable: &Variable) -> Option<Written<'_>> {
    Some(match variable.default.as_ref()? {
        Default::One(text) => Written::One(&text.text),
        Default::List(items, _) => Written::List(items.iter().map(|text| text.text.as_str()).collect()),
    })
}

/// All that a build file has: targets, groups, variables, each in the order of the file. Descriptions are as written.
pub fn list(file: &BuildFile) -> Vec<Listed<'_>> {
    let targets =
        file.targets.iter().map(|target| Listed::Target { name: &target.name, description: target.description() });
    let groups = file.groups.iter().map(|group| Listed::Group {
        name: &group.name,
        description: group.description.as_deref(),
        targets: group.members().collect(),
    });
    let variables = file.variables.iter().map(|variable| Listed::Variable {
        name: &variable.name,
        description: variable.description.as_deref(),
        default: written_default(variable),
    });
    targets.chain(groups).chain(variables).collect()
}
