//! Targets and projects, and the build file that a project comes to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::image::Image;
use super::toml::{self, value};
use crate::frontend::steps::Shape;
use crate::frontend::toml::{key, string};

/// Why a project is no build file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two targets have one name.
    #[error("two targets are called `{0}`: give one of them another name")]
    Target(String),
    /// Two images of a target have one name.
    #[error("two different images of the target `{target}` are called `{image}`: give one of them another name")]
    Image {
        /// The target.
        target: String,
        /// The name of both.
        image: String,
    },
}

/// What is made of an image: its names, platforms, arguments, outputs.
///
/// ```
/// use imgbuild::dsl::{Image, Target};
///
/// let image = Image::from("busybox").cmd(["sh"]);
/// let target = Target::new("shell", &image).tag("shell:1").platforms(["linux/amd64", "linux/arm64"]);
/// # let _ = target;
/// ```
#[derive(Debug, Clone)]
pub struct Target {
    name: String,
    definition: Definition,
    keys: Vec<(&'static str, Shape)>,
    tables: BTreeMap<&'static str, Vec<(String, Shape)>>,
    lists: BTreeMap<&'static str, Vec<Shape>>,
}

#[derive(Debug, Clone)]
enum Definition {
    Image(Image),
    Dockerfile(String),
    Inline(String),
}

impl Target {
    fn of(name: &str, definition: Definition) -> Self {
        let (tables, lists) = (BTreeMap::new(), BTreeMap::new());
        Self { name: name.to_owned(), definition, keys: Vec::new(), tables, lists }
    }

    /// A target that makes an image of this program. Its name is letters, digits, `_` and `-`.
    pub fn new(name: &str, image: &Image) -> Self {
        Self::of(name, Definition::Image(image.clone()))
    }

    /// A target that makes what a Dockerfile says; the path is relative to the context.
    pub fn dockerfile(name: &str, path: &str) -> Self {
        Self::of(name, Definition::Dockerfile(path.to_owned()))
    }

    /// A target that makes what the text of a Dockerfile says.
    pub fn dockerfile_inline(name: &str, text: impl Into<String>) -> Self {
        Self::of(name, Definition::Inline(text.into()))
    }

    fn key(mut self, name: &'static str, value: Shape) -> Self {
        self.keys.retain(|(known, _)| *known != name);
        self.keys.push((name, value));
        self
    }

    fn entry(mut self, table: &'static str, name: &str, value: String) -> Self {
        let entries = self.tables.entry(table).or_default();
        entries.retain(|(known, _)| known != name);
        entries.push((name.to_owned(), Shape::Text(value)));
        self
    }

    fn item(mut self, list: &'static str, value: Shape) -> Self {
        self.lists.entry(list).or_default().push(value);
        self
    }

    /// What it is, for `--list`.
    #[must_use]
    pub fn description(self, text: &str) -> Self {
        self.key("description", Shape::Text(text.into()))
    }

    /// The folder that files are copied from, relative to the project's; the project's own if not given.
    #[must_use]
    pub fn context(self, folder: &str) -> Self {
        self.key("context", Shape::Text(folder.into()))
    }

    /// Another context, by name: a folder, `target:NAME`, `docker-image://REFERENCE`, `oci-layout://FOLDER` or a URL.
    #[must_use]
    pub fn named_context(self, name: &str, source: impl Into<String>) -> Self {
        self.entry("contexts", name, source.into())
    }

    /// The stage of a Dockerfile that is built.
    #[must_use]
    pub fn stage(self, stage: &str) -> Self {
        self.key("target", Shape::Text(stage.into()))
    }

    /// A build argument.
    #[must_use]
    pub fn arg(self, name: &str, value: impl Into<String>) -> Self {
        self.entry("args", name, value.into())
    }

    /// A label of the image, over those that it sets itself.
    #[must_use]
    pub fn label(self, name: &str, value: impl Into<String>) -> Self {
        self.entry("labels", name, value.into())
    }

    /// An annotation of the manifest.
    #[must_use]
    pub fn annotation(self, name: &str, value: impl Into<String>) -> Self {
        self.entry("annotations", name, value.into())
    }

    /// A name for the image.
    #[must_use]
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.item("tags", Shape::Text(tag.into()))
    }

    /// The platforms to build for; the machine's own if not given.
    #[must_use]
    pub fn platforms<T: Into<String>>(self, platforms: impl IntoIterator<Item = T>) -> Self {
        self.key("platforms", Shape::texts(platforms))
    }

    /// The network of commands that do not say: `default`, `none`, `host` or `private`.
    #[must_use]
    pub fn network(self, network: &str) -> Self {
        self.key("network", Shape::Text(network.into()))
    }

    /// What a command may use of the machine, such as `memory` and `2g`.
    #[must_use]
    pub fn resource(self, name: &str, limit: &str) -> Self {
        self.entry("resources", name, limit.into())
    }

    /// What is taken away from layers of commands that only says when they ran, such as `apt`, `shadow` or `recommended`.
    #[must_use]
    pub fn scrub<T: Into<String>>(self, scrubs: impl IntoIterator<Item = T>) -> Self {
        self.key("reproducible", Shape::Table(vec![("scrub".into(), Shape::texts(scrubs))]))
    }

    /// A secret from a file.
    #[must_use]
    pub fn secret_file(self, id: &str, path: &str) -> Self {
        self.secret(id, "src", path)
    }

    /// A secret from an environment variable.
    #[must_use]
    pub fn secret_env(self, id: &str, variable: &str) -> Self {
        self.secret(id, "env", variable)
    }

    fn secret(self, id: &str, key: &str, value: &str) -> Self {
        let pairs = [("id", id), (key, value)].map(|(key, value)| (key.to_owned(), Shape::Text(value.to_owned())));
        self.item("secrets", Shape::Table(pairs.to_vec()))
    }

    /// The ssh agent of the environment, under this name.
    #[must_use]
    pub fn ssh(self, id: &str) -> Self {
        self.item("ssh", Shape::Text(id.into()))
    }

    /// Where the result goes, as after `--output`; the store if not given.
    #[must_use]
    pub fn output(self, output: &str) -> Self {
        self.item("output", Shape::Text(output.into()))
    }

    /// Where results of steps are looked for besides the store, as after `--cache-from`.
    #[must_use]
    pub fn cache_from(self, source: impl Into<String>) -> Self {
        self.item("cache-from", Shape::Text(source.into()))
    }

    /// Where results of steps are put besides the store, as after `--cache-to`.
    #[must_use]
    pub fn cache_to(self, destination: impl Into<String>) -> Self {
        self.item("cache-to", Shape::Text(destination.into()))
    }

    /// Every step is run again.
    #[must_use]
    pub fn no_cache(self) -> Self {
        self.key("no-cache", Shape::Flag(true))
    }

    /// Base images are looked for anew.
    #[must_use]
    pub fn pull(self) -> Self {
        self.key("pull", Shape::Flag(true))
    }

    /// Set-user-ID programs give steps nothing.
    #[must_use]
    pub fn no_new_privileges(self) -> Self {
        self.key("no-new-privileges", Shape::Flag(true))
    }

    fn write(&self, out: &mut String) -> Result<(), Error> {
        out.push_str(&format!("\n[target.{}]\n", key(&self.name)));
        for (name, shape) in &self.keys {
            out.push_str(&format!("{name} = {}\n", value(shape)));
        }
        for (name, list) in &self.lists {
            out.push_str(&format!("{name} = {}\n", value(&Shape::List(list.clone()))));
        }
        for (name, table) in &self.tables {
            out.push_str(&format!("{name} = {}\n", value(&Shape::Table(table.clone()))));
        }
        match &self.definition {
            Definition::Dockerfile(path) => {
                out.push_str(&format!("dockerfile = {}\n", value(&Shape::Text(path.clone()))));
            }
            // Its `${NAME}` are left alone.
            Definition::Inline(text) => out.push_str(&format!("dockerfile-inline = {}\n", string(text))),
            Definition::Image(image) => {
                out.push_str(&toml::stage(&image.stage()));
                for (name, stage) in self.stages(image)? {
                    out.push_str(&format!("\n[target.{}.stages.{}]\n{stage}", key(&self.name), key(&name)));
                }
            }
        }
        Ok(())
    }

    /// The images that an image uses, each after those it uses itself: names and what they are.
    fn stages(&self, image: &Image) -> Result<Vec<(String, String)>, Error> {
        let mut found: Vec<(String, String)> = Vec::new();
        // Each image and whether what it uses was looked at; no recursion, as programs can make long chains.
        let mut open: Vec<(&Image, bool)> = image.uses().iter().rev().map(|image| (image, false)).collect();
        while let Some((image, ready)) = open.pop() {
            let (name, stage) = (image.stage_name(), toml::stage(&image.stage()));
            match found.iter().find(|(known, _)| *known == name) {
                Some((_, known)) if *known == stage => {}
                Some(_) => return Err(Error::Image { target: self.name.clone(), image: name }),
                None if ready => found.push((name, stage)),
                None => {
                    open.push((image, true));
                    open.extend(image.uses().iter().rev().map(|image| (image, false)));
                }
            }
        }
        Ok(found)
    }
}

/// All targets of a repository.
///
/// ```
/// use imgbuild::dsl::{Image, Project, Target};
///
/// let base = Image::from("busybox").run("adduser -D app").user("app");
/// let mut project = Project::new();
/// for name in ["web", "worker"] {
///     let image = base.clone().copy((format!("services/{name}"), "/srv/")).cmd(["/srv/run"]);
///     project = project.target(Target::new(name, &image).tag(format!("shop/{name}:1")));
/// }
/// let project = project.group("default", ["web", "worker"]);
/// assert!(project.to_toml().unwrap().contains("[target.web]"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Project {
    root: PathBuf,
    groups: Vec<(String, Vec<String>)>,
    targets: Vec<Target>,
}

impl Project {
    /// A project without targets, whose paths start at the folder in which the program is run.
    pub fn new() -> Self {
        Self::default()
    }

    /// The folder at which relative paths start, and where `build.lock` is: `env!("CARGO_MANIFEST_DIR")`, say.
    #[must_use]
    pub fn root(mut self, folder: impl AsRef<Path>) -> Self {
        self.root = folder.as_ref().to_owned();
        self
    }

    /// That folder; empty if none was given.
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// The same with another target.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// The same with several targets or groups under one name. `default` is what is built if nothing is named.
    #[must_use]
    pub fn group<T: Into<String>>(mut self, name: &str, members: impl IntoIterator<Item = T>) -> Self {
        self.groups.push((name.to_owned(), members.into_iter().map(Into::into).collect()));
        self
    }

    /// The build file that says the same.
    ///
    /// # Errors
    ///
    /// If names are there twice. What else is wrong is found where every build file is checked.
    pub fn to_toml(&self) -> Result<String, Error> {
        let mut out = String::from("# Written by a program.\n");
        if !self.groups.is_empty() {
            out.push_str("\n[group]\n");
        }
        for (name, members) in &self.groups {
            out.push_str(&format!("{} = {}\n", key(name), value(&Shape::texts(members.clone()))));
        }
        for (place, target) in self.targets.iter().enumerate() {
            if self.targets[..place].iter().any(|other| other.name == target.name) {
                return Err(Error::Target(target.name.clone()));
            }
            target.write(&mut out)?;
        }
        Ok(out)
    }
}
