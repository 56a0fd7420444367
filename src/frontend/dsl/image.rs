//! Images: bases with steps.

use std::sync::Arc;

use super::step::{Cmd, Files, Folder, Health, Names, Run};
use super::toml;
use crate::digest::Digest;
use crate::frontend::steps::{Base, Instruction, Remove, Stage, Step, Symlink, Text, Write};

/// A file system and a configuration: a base with steps on top.
///
/// ```
/// use imgbuild::dsl::Image;
///
/// let base = Image::from("debian:bookworm").workdir("/src");
/// let built = base.clone().copy(("src", ".")).run("make install DESTDIR=/out");
/// let app = Image::scratch().copy_from(&built, "/out/", "/").entrypoint(["/usr/bin/app"]);
/// # let _ = app;
/// ```
#[derive(Debug, Clone)]
pub struct Image(Arc<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    name: Option<String>,
    base: Base,
    steps: Vec<Step>,
    /// Other images that the base and the steps name.
    uses: Vec<Image>,
}

/// Where files come from: an image of this program, or by name a context, a target or an image.
#[derive(Debug, Clone)]
pub struct Source {
    pub(super) name: String,
    pub(super) image: Option<Image>,
}

impl From<&Image> for Source {
    fn from(image: &Image) -> Self {
        Self { name: image.stage_name(), image: Some(image.clone()) }
    }
}

impl<T: Into<String>> From<T> for Source {
    fn from(name: T) -> Self {
        Self { name: name.into(), image: None }
    }
}

impl Image {
    fn new(base: Base, uses: Vec<Self>) -> Self {
        Self(Arc::new(Parts { name: None, base, steps: Vec::new(), uses }))
    }

    /// An image by reference, a named context of the target, or `target:NAME`.
    pub fn from(name: impl Into<String>) -> Self {
        Self::new(Base::From(Text::from(name)), Vec::new())
    }

    /// The same as [`Image::from`] for a platform that need not be the target's: `$BUILDPLATFORM` for a compiler that
    /// crosses over.
    pub fn from_platform(name: impl Into<String>, platform: impl Into<String>) -> Self {
        Self::new(Base::ForPlatform { name: Text::from(name), platform: Text::from(platform) }, Vec::new())
    }

    /// Nothing.
    pub fn scratch() -> Self {
        Self::from("scratch")
    }

    /// What another target of the project makes.
    pub fn target(name: &str) -> Self {
        Self::from(format!("target:{name}"))
    }

    /// A stage of its own on top of another: `FROM` of an earlier stage. A clone would go on with that stage.
    pub fn on(image: &Self) -> Self {
        Self::new(Base::From(image.stage_name().into()), vec![image.clone()])
    }

    /// The files of several images on top of each other, the first at the bottom, with the first one's configuration.
    pub fn merge<'a>(images: impl IntoIterator<Item = &'a Self>) -> Self {
        let images: Vec<Self> = images.into_iter().cloned().collect();
        Self::new(Base::Merge(images.iter().map(|image| image.stage_name().into()).collect()), images)
    }

    /// The layers that `upper`, which was made on top of `lower`, has and `lower` does not.
    pub fn diff(lower: &Self, upper: &Self) -> Self {
        let base = Base::Diff { lower: lower.stage_name().into(), upper: upper.stage_name().into() };
        Self::new(base, vec![lower.clone(), upper.clone()])
    }

    /// What the stage is called in messages: lower-case letters, digits and `-_.`, a letter first. Without, it is
    /// called by a digest.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.change(|parts| parts.name = Some(name.to_owned()))
    }

    fn change(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Adds an instruction that uses these images.
    fn step(self, instruction: Instruction, uses: Vec<Self>) -> Self {
        self.change(|parts| {
            parts.steps.push(Step { instruction, span: 0..0 });
            parts.uses.extend(uses);
        })
    }

    /// Runs a command: a text for the shell, a list of program and arguments, or a [`Run`] with options.
    #[must_use]
    pub fn run(self, run: impl Into<Run>) -> Self {
        let run = run.into();
        self.step(Instruction::Run(run.run), run.uses)
    }

    /// Copies files: `(sources, destination)`, or [`Files`] with options.
    #[must_use]
    pub fn copy(self, files: impl Into<Files>) -> Self {
        let files = files.into();
        self.step(Instruction::Copy(files.transfer), files.uses)
    }

    /// Copies files of an image or a named context.
    #[must_use]
    pub fn copy_from(self, source: impl Into<Source>, sources: impl Into<Names>, to: &str) -> Self {
        self.copy(Files::new(sources, to).from(source))
    }

    /// Copies files, fetches URLs and git repositories, and unpacks archives.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "it is called as the instruction is")]
    pub fn add(self, files: impl Into<Files>) -> Self {
        let files = files.into();
        self.step(Instruction::Add(files.transfer), files.uses)
    }

    /// Writes a file.
    #[must_use]
    pub fn write(self, path: &str, content: impl Into<String>) -> Self {
        let write = Write { path: path.into(), content: Text::from(content), ..Write::default() };
        self.step(Instruction::Write(write), Vec::new())
    }

    /// Writes a file with these permissions.
    #[must_use]
    pub fn write_with_mode(self, path: &str, content: impl Into<String>, mode: &str) -> Self {
        let write =
            Write { path: path.into(), content: Text::from(content), chmod: Some(mode.into()), ..Write::default() };
        self.step(Instruction::Write(write), Vec::new())
    }

    /// Makes a folder, and those above it. The working folder stays.
    #[must_use]
    pub fn mkdir(self, folder: impl Into<Folder>) -> Self {
        self.step(Instruction::Mkdir(folder.into().0), Vec::new())
    }

    /// Makes a symbolic link in place of what was there: `path` leads to `to`.
    #[must_use]
    pub fn symlink(self, path: &str, to: &str) -> Self {
        let link = Symlink { path: path.into(), to: to.into(), chown: None };
        self.step(Instruction::Symlink(link), Vec::new())
    }

    /// Removes files and folders, which must be there; wildcards are those of [`Image::copy`].
    #[must_use]
    pub fn remove(self, paths: impl Into<Names>) -> Self {
        let remove = Remove { paths: paths.into().0, allow_missing: false };
        self.step(Instruction::Remove(remove), Vec::new())
    }

    /// Removes files and folders if they are there.
    #[must_use]
    pub fn remove_if_there(self, paths: impl Into<Names>) -> Self {
        let remove = Remove { paths: paths.into().0, allow_missing: true };
        self.step(Instruction::Remove(remove), Vec::new())
    }

    /// Declares a build argument with a default.
    #[must_use]
    pub fn arg(self, name: &str, default: impl Into<String>) -> Self {
        self.step(Instruction::Arg(vec![(name.into(), Some(Text::from(default)))]), Vec::new())
    }

    /// Declares a build argument without a default.
    #[must_use]
    pub fn declare(self, name: &str) -> Self {
        self.step(Instruction::Arg(vec![(name.into(), None)]), Vec::new())
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(self, name: &str, value: impl Into<String>) -> Self {
        self.envs([(name, value)])
    }

    /// Sets several at once: none sees the new value of another.
    #[must_use]
    pub fn envs<N: Into<String>, V: Into<String>>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        self.step(Instruction::Env(texts(pairs)), Vec::new())
    }

    /// Sets a label.
    #[must_use]
    pub fn label(self, name: &str, value: impl Into<String>) -> Self {
        self.labels([(name, value)])
    }

    /// Sets several labels at once.
    #[must_use]
    pub fn labels<N: Into<String>, V: Into<String>>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        self.step(Instruction::Label(texts(pairs)), Vec::new())
    }

    /// Sets the working folder, and makes it.
    #[must_use]
    pub fn workdir(self, path: &str) -> Self {
        self.step(Instruction::Workdir(path.into()), Vec::new())
    }

    /// Sets the user: `user` or `user:group`, by name or number.
    #[must_use]
    pub fn user(self, user: &str) -> Self {
        self.step(Instruction::User(user.into()), Vec::new())
    }

    /// Sets what is always run.
    #[must_use]
    pub fn entrypoint(self, command: impl Into<Cmd>) -> Self {
        self.step(Instruction::Entrypoint(command.into().0), Vec::new())
    }

    /// Sets what is run, or the arguments of the entry point.
    #[must_use]
    pub fn cmd(self, command: impl Into<Cmd>) -> Self {
        self.step(Instruction::Cmd(command.into().0), Vec::new())
    }

    /// Names ports: `80`, `53/udp`, `7000-7010`.
    #[must_use]
    pub fn expose(self, ports: impl Into<Names>) -> Self {
        self.step(Instruction::Expose(ports.into().0), Vec::new())
    }

    /// Names folders for data.
    #[must_use]
    pub fn volume(self, paths: impl Into<Names>) -> Self {
        self.step(Instruction::Volume(paths.into().0), Vec::new())
    }

    /// Sets the signal that stops a container.
    #[must_use]
    pub fn stop_signal(self, signal: &str) -> Self {
        self.step(Instruction::Stopsignal(signal.into()), Vec::new())
    }

    /// Sets the shell of commands that are one text.
    #[must_use]
    pub fn shell(self, words: impl Into<Names>) -> Self {
        self.step(Instruction::Shell(words.into().0), Vec::new())
    }

    /// Sets how a container's health is found out.
    #[must_use]
    pub fn healthcheck(self, check: impl Into<Health>) -> Self {
        self.step(Instruction::Healthcheck(check.into().0), Vec::new())
    }

    /// Adds an instruction, as a Dockerfile has it, for images that are built on this one.
    #[must_use]
    pub fn onbuild(self, trigger: &str) -> Self {
        self.step(Instruction::Onbuild(trigger.into()), Vec::new())
    }

    /// Applies a function, for steps that several images have in common.
    ///
    /// ```
    /// use imgbuild::dsl::Image;
    ///
    /// fn with_user(image: Image) -> Image {
    ///     image.run("adduser -D app").user("app")
    /// }
    /// let image = Image::from("busybox").then(with_user).cmd(["sh"]);
    /// # let _ = image;
    /// ```
    #[must_use]
    pub fn then(self, change: impl FnOnce(Self) -> Self) -> Self {
        change(self)
    }

    /// What other stages call it.
    pub(super) fn stage_name(&self) -> String {
        self.0.name.clone().unwrap_or_else(|| {
            let text = toml::stage(&self.stage());
            let digest = Digest::of(text.as_bytes()).to_string();
            let hex = digest.rsplit(':').next().unwrap_or_default();
            format!("image-{}", hex.get(..12).unwrap_or_default())
        })
    }

    pub(super) fn stage(&self) -> Stage {
        Stage { name: None, base: self.0.base.clone(), steps: self.0.steps.clone(), span: 0..0 }
    }

    /// The images that it uses directly.
    pub(super) fn uses(&self) -> &[Self] {
        &self.0.uses
    }
}

fn texts<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Vec<(Text, Text)> {
    pairs.into_iter().map(|(name, value)| (Text::from(name), Text::from(value))).collect()
}
