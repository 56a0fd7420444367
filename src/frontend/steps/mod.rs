//! A build as values: stages with steps, before any variable of an image is expanded.
//!
//! This is what front ends other than the Dockerfile hand over. It says what a Dockerfile says, and what that cannot
//! say (merge and diff, folders, links and removals), so that one lowering serves all: the same build makes the same steps, the same configuration
//! and the same history, whoever wrote it.
//!
//! In the arguments of instructions `$NAME` and `${NAME:-default}` are variables of the image, as in a Dockerfile, and
//! `\$` is a dollar sign. Quotes, blanks and other backslashes mean nothing: a value is a value. Commands are left to
//! the shell that runs them.

mod shape;

use std::ops::Range;

pub use shape::{Shape, shape_of, shape_of_base};

/// A value and the bytes of the source that it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The value.
    pub value: String,
    /// Where it was written; empty if it was not written anywhere.
    pub span: Range<usize>,
}

impl<T: Into<String>> From<T> for Text {
    /// A value that no file has.
    fn from(value: T) -> Self {
        Self { value: value.into(), span: 0..0 }
    }
}

/// A whole build. The last stage is its result unless another is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// The stages, each after those that it uses.
    pub stages: Vec<Stage>,
}

/// A base, and what is done on top of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stage {
    /// What later stages call it.
    pub name: Option<Text>,
    /// What it starts from.
    pub base: Base,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Where it was written.
    pub span: Range<usize>,
}

/// What a stage starts from. Names are those of stages above, of contexts, or of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// One of these, or `scratch`.
    From(Text),
    /// The same for a platform that is not the target's, such as `$BUILDPLATFORM` for a compiler that crosses over.
    ForPlatform {
        /// What it starts from.
        name: Text,
        /// For which platform.
        platform: Text,
    },
    /// The files of all of these on top of each other, the first at the bottom, with the first one's configuration.
    Merge(Vec<Text>),
    /// The layers that `upper` has on top of `lower`, and no configuration.
    Diff {
        /// What is taken away.
        lower: Text,
        /// What it is taken away from: a state that was made on top of `lower`.
        upper: Text,
    },
}

impl Default for Base {
    fn default() -> Self {
        Self::From("scratch".into())
    }
}

/// An instruction and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub instruction: Instruction,
    /// Where it was written.
    pub span: Range<usize>,
}

/// The instructions. Each does what the one of its name does in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Runs a command.
    Run(Run),
    /// Copies files.
    Copy(Transfer),
    /// Copies files, fetches URLs and git repositories, and unpacks archives.
    Add(Transfer),
    /// Makes one file: `COPY` of a here-document.
    Write(Write),
    /// Makes a folder and those above it, without making it the working folder.
    Mkdir(Mkdir),
    /// Makes a symbolic link.
    Symlink(Symlink),
    /// Removes files and folders.
    Remove(Remove),
    /// Declares build arguments, with defaults where they have one.
    Arg(Vec<(Text, Option<Text>)>),
    /// Sets environment variables, all seeing the values from before.
    Env(Vec<(Text, Text)>),
    /// Sets labels.
    Label(Vec<(Text, Text)>),
    /// Sets the working folder, and makes it.
    Workdir(Text),
    /// Sets the user.
    User(Text),
    /// Sets what is always run.
    Entrypoint(Command),
    /// Sets what is run, or the arguments of the entry point.
    Cmd(Command),
    /// Names ports.
    Expose(Vec<Text>),
    /// Names folders for data.
    Volume(Vec<Text>),
    /// Sets the signal that stops a container.
    Stopsignal(Text),
    /// Sets the shell of commands that are one text.
    Shell(Vec<Text>),
    /// Sets how a container's health is found out.
    Healthcheck(Healthcheck),
    /// Adds an instruction, as a Dockerfile has it, for images that are built on this one.
    Onbuild(Text),
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Text for the shell.
    Shell(Text),
    /// A program and its arguments.
    Exec(Vec<Text>),
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is run. A text that begins with `#!` is a script.
    pub command: Command,
    /// What it sees besides its file system.
    pub mounts: Vec<Mount>,
    /// `default`, `none` or `host`.
    pub network: Option<Text>,
    /// `sandbox` or `insecure`.
    pub security: Option<Text>,
    /// How long it may take, such as `10m`.
    pub timeout: Option<Text>,
}

/// `RUN --mount`: its keys and values, as they are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// The keys, `type` first.
    pub fields: Vec<(String, Text)>,
    /// Where it was written.
    pub span: Range<usize>,
}

/// `COPY` or `ADD`. What one of them does not know is at its default there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Files, folders, patterns.
    pub sources: Vec<Text>,
    /// Where to.
    pub to: Text,
    /// From which stage, context or image.
    pub from: Option<Text>,
    /// The owner.
    pub chown: Option<Text>,
    /// The permissions.
    pub chmod: Option<Text>,
    /// The digest or commit that is expected.
    pub checksum: Option<Text>,
    /// What is left out.
    pub exclude: Vec<Text>,
    /// Whether the layer does not depend on what is below it.
    pub link: bool,
    /// Whether folders above the sources are copied too.
    pub parents: bool,
    /// Whether `.git` is kept.
    pub keep_git_dir: Option<bool>,
    /// Whether archives are unpacked.
    pub unpack: Option<bool>,
}

/// A file with its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Write {
    /// Its path, which does not end in a slash.
    pub path: Text,
    /// What it holds.
    pub content: Text,
    /// Whether variables in its content are expanded.
    pub expand: bool,
    /// The owner.
    pub chown: Option<Text>,
    /// The permissions.
    pub chmod: Option<Text>,
}

/// A folder to make. One that exists is left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mkdir {
    /// Its path.
    pub path: Text,
    /// The owner.
    pub chown: Option<Text>,
    /// The permissions, as octal digits.
    pub chmod: Option<Text>,
}

/// A symbolic link, in place of what was there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symlink {
    /// Its path.
    pub path: Text,
    /// Where it leads, as it is.
    pub to: Text,
    /// The owner.
    pub chown: Option<Text>,
}

/// Files and folders to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remove {
    /// Their paths; wildcards are those of `COPY`.
    pub paths: Vec<Text>,
    /// Whether it is fine if there are none.
    pub allow_missing: bool,
}

/// `HEALTHCHECK`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// The command; none to switch an inherited check off.
    pub test: Option<Command>,
    /// `interval`, `timeout`, `start-period`, `start-interval` and `retries`, those that are set.
    pub options: Vec<(String, Text)>,
}

impl Definition {
    /// Calls something with every text, to change it or to look at it.
    pub fn each_text(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        for stage in &mut self.stages {
            stage.name.iter_mut().for_each(&mut *visit);
            stage.base.each_text(visit);
            stage.steps.iter_mut().for_each(|step| step.instruction.each_text(visit));
        }
    }

    /// The names of what its stages start from, copy from and mount, its own stages among them.
    pub fn sources(&self) -> Vec<&Text> {
        let mut found = Vec::new();
        for stage in &self.stages {
            match &stage.base {
                Base::From(name) | Base::ForPlatform { name, .. } => found.push(name),
                Base::Merge(names) => found.extend(names),
                Base::Diff { lower, upper } => found.extend([lower, upper]),
            }
            for step in &stage.steps {
                match &step.instruction {
                    Instruction::Copy(copy) | Instruction::Add(copy) => found.extend(&copy.from),
                    Instruction::Run(run) => {
                        let fields = run.mounts.iter().flat_map(|mount| &mount.fields);
                        found.extend(fields.filter(|(key, _)| key == "from").map(|(_, name)| name));
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

impl Base {
    /// Calls something with every text.
    pub fn each_text(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        match self {
            Self::From(name) => visit(name),
            Self::ForPlatform { name, platform } => [name, platform].into_iter().for_each(visit),
            Self::Merge(names) => names.iter_mut().for_each(visit),
            Self::Diff { lower, upper } => [lower, upper].into_iter().for_each(visit),
        }
    }
}

impl Instruction {
    /// Calls something with every text.
    pub fn each_text(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        match self {
            Self::Run(run) => {
                run.command.each_text(visit);
                let fields = run.mounts.iter_mut().flat_map(|mount| &mut mount.fields);
                fields.for_each(|(_, value)| visit(value));
                run.network.iter_mut().chain(&mut run.security).chain(&mut run.timeout).for_each(visit);
            }
            Self::Copy(copy) | Self::Add(copy) => {
                copy.sources.iter_mut().chain(&mut copy.exclude).for_each(&mut *visit);
                visit(&mut copy.to);
                let flags = [&mut copy.from, &mut copy.chown, &mut copy.chmod, &mut copy.checksum];
                flags.into_iter().flatten().for_each(visit);
            }
            Self::Write(write) => {
                visit(&mut write.path);
                visit(&mut write.content);
                write.chown.iter_mut().chain(&mut write.chmod).for_each(visit);
            }
            Self::Mkdir(mkdir) => {
                visit(&mut mkdir.path);
                mkdir.chown.iter_mut().chain(&mut mkdir.chmod).for_each(visit);
            }
            Self::Symlink(link) => {
                [&mut link.path, &mut link.to].into_iter().chain(&mut link.chown).for_each(visit);
            }
            Self::Remove(remove) => remove.paths.iter_mut().for_each(visit),
            Self::Arg(names) => {
                for (name, default) in names {
                    visit(name);
                    default.iter_mut().for_each(&mut *visit);
                }
            }
            Self::Env(pairs) | Self::Label(pairs) => {
                for (name, value) in pairs {
                    visit(name);
                    visit(value);
                }
            }
            Self::Entrypoint(command) | Self::Cmd(command) => command.each_text(visit),
            Self::Expose(texts) | Self::Volume(texts) | Self::Shell(texts) => texts.iter_mut().for_each(visit),
            Self::Workdir(text) | Self::User(text) | Self::Stopsignal(text) | Self::Onbuild(text) => visit(text),
            Self::Healthcheck(check) => {
                check.test.iter_mut().for_each(|command| command.each_text(visit));
                check.options.iter_mut().for_each(|(_, value)| visit(value));
            }
        }
    }
}

impl Command {
    fn each_text(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        match self {
            Self::Shell(text) => visit(text),
            Self::Exec(words) => words.iter_mut().for_each(visit),
        }
    }
}
