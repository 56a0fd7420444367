//! The steps that have options: commands with mounts, copies, health checks.

use super::image::{Image, Source};
use crate::frontend::steps::{self, Command, Healthcheck, Text, Transfer};

/// One or several names: `"a"`, `["a", "b"]` or a `Vec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(pub(super) Vec<Text>);

impl From<&str> for Names {
    fn from(name: &str) -> Self {
        Self(vec![name.into()])
    }
}

impl From<String> for Names {
    fn from(name: String) -> Self {
        Self(vec![name.into()])
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for Names {
    fn from(names: [T; N]) -> Self {
        Self(names.into_iter().map(|name| Text::from(name)).collect())
    }
}

impl<T: Into<String>> From<Vec<T>> for Names {
    fn from(names: Vec<T>) -> Self {
        Self(names.into_iter().map(|name| Text::from(name)).collect())
    }
}

/// A command: one text for the shell, or a list of a program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmd(pub(super) Command);

impl From<&str> for Cmd {
    fn from(line: &str) -> Self {
        Self(Command::Shell(line.into()))
    }
}

impl From<String> for Cmd {
    fn from(line: String) -> Self {
        Self(Command::Shell(line.into()))
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for Cmd {
    fn from(words: [T; N]) -> Self {
        Self(Command::Exec(Names::from(words).0))
    }
}

impl<T: Into<String>> From<Vec<T>> for Cmd {
    fn from(words: Vec<T>) -> Self {
        Self(Command::Exec(Names::from(words).0))
    }
}

/// A `RUN` with its options.
///
/// ```
/// use imgbuild::dsl::{Image, Mount, Run};
///
/// let build = Run::new("make -j4").mount(Mount::cache("/root/.cache")).network("none");
/// let image = Image::from("debian").run(build);
/// # let _ = image;
/// ```
#[derive(Debug, Clone)]
pub struct Run {
    pub(super) run: steps::Run,
    pub(super) uses: Vec<Image>,
}

impl Run {
    /// A command. A text that begins with `#!` is a script.
    pub fn new(command: impl Into<Cmd>) -> Self {
        let run =
            steps::Run { command: command.into().0, mounts: Vec::new(), network: None, security: None, timeout: None };
        Self { run, uses: Vec::new() }
    }

    /// The same with a mount.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.run.mounts.push(mount.mount);
        self.uses.extend(mount.uses);
        self
    }

    /// The same with a network: `default`, `none` or `host`.
    #[must_use]
    pub fn network(mut self, network: &str) -> Self {
        self.run.network = Some(network.into());
        self
    }

    /// The same with a limit of how long it may take, such as `10m`.
    #[must_use]
    pub fn timeout(mut self, time: &str) -> Self {
        self.run.timeout = Some(time.into());
        self
    }

    /// The same with all privileges, which whoever builds must allow.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.run.security = Some("insecure".into());
        self
    }
}

impl<T: Into<Cmd>> From<T> for Run {
    fn from(command: T) -> Self {
        Self::new(command)
    }
}

/// Something that a command sees and that does not reach its layer.
#[derive(Debug, Clone)]
pub struct Mount {
    mount: steps::Mount,
    uses: Vec<Image>,
}

impl Mount {
    fn new(kind: &str) -> Self {
        let fields = vec![("type".to_owned(), kind.into())];
        Self { mount: steps::Mount { fields, span: 0..0 }, uses: Vec::new() }
    }

    /// A key of `RUN --mount`, such as `mode` or `uid`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.mount.fields.push((key.to_owned(), Text::from(value)));
        self
    }

    /// A folder that stays between builds.
    pub fn cache(target: &str) -> Self {
        Self::new("cache").with("target", target)
    }

    /// A folder of the build context, or with [`Mount::from`] of an image.
    pub fn bind(source: &str, target: &str) -> Self {
        Self::new("bind").with("source", source).with("target", target)
    }

    /// An empty folder in memory.
    pub fn tmpfs(target: &str) -> Self {
        Self::new("tmpfs").with("target", target)
    }

    /// A secret, as the file `/run/secrets/ID` unless told otherwise.
    pub fn secret(id: &str) -> Self {
        Self::new("secret").with("id", id)
    }

    /// The socket of an ssh agent.
    pub fn ssh(id: &str) -> Self {
        Self::new("ssh").with("id", id)
    }

    /// The files of a bind or cache mount come from here.
    #[must_use]
    pub fn from(mut self, source: impl Into<Source>) -> Self {
        let source = source.into();
        self.uses.extend(source.image.clone());
        self.with("from", source.name)
    }
}

/// A folder to make.
///
/// ```
/// use imgbuild::dsl::{Folder, Image};
///
/// let image = Image::from("busybox").mkdir("/var/empty").mkdir(Folder::new("/data").chown("1000").chmod("700"));
/// # let _ = image;
/// ```
#[derive(Debug, Clone)]
pub struct Folder(pub(super) steps::Mkdir);

impl Folder {
    /// A folder at this path, 0755 and root's.
    pub fn new(path: impl Into<String>) -> Self {
        Self(steps::Mkdir { path: Text::from(path), ..steps::Mkdir::default() })
    }

    /// Its owner: `user`, `user:group`, by name or number.
    #[must_use]
    pub fn chown(mut self, owner: impl Into<String>) -> Self {
        self.0.chown = Some(Text::from(owner));
        self
    }

    /// Its permissions, in octal digits.
    #[must_use]
    pub fn chmod(mut self, mode: impl Into<String>) -> Self {
        self.0.chmod = Some(Text::from(mode));
        self
    }
}

impl From<&str> for Folder {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

/// Files to copy, where to, and as what.
///
/// ```
/// use imgbuild::dsl::{Files, Image};
///
/// let tools = Image::from("debian").run("make -C /src tools");
/// let image = Image::from("debian")
///     .copy(("src", "/src/"))
///     .copy(Files::new(["LICENSE", "README.md"], "/usr/share/doc/app/").chmod("644"))
///     .copy(Files::new("/src/tools", "/usr/bin/").from(&tools));
/// # let _ = image;
/// ```
#[derive(Debug, Clone)]
pub struct Files {
    pub(super) transfer: Transfer,
    pub(super) uses: Vec<Image>,
}

impl Files {
    /// Files of the build context. A destination that ends in a slash is a folder.
    pub fn new(sources: impl Into<Names>, to: impl Into<String>) -> Self {
        let transfer = Transfer { sources: sources.into().0, to: Text::from(to), ..Transfer::default() };
        Self { transfer, uses: Vec::new() }
    }

    /// Files of an image or a named context instead.
    #[must_use]
    pub fn from(mut self, source: impl Into<Source>) -> Self {
        let source = source.into();
        self.uses.extend(source.image);
        self.transfer.from = Some(Text::from(source.name));
        self
    }

    /// Their owner: `user`, `user:group`, by name or number.
    #[must_use]
    pub fn chown(mut self, owner: impl Into<String>) -> Self {
        self.transfer.chown = Some(Text::from(owner));
        self
    }

    /// Their permissions: octal, or symbolic as chmod(1) has them.
    #[must_use]
    pub fn chmod(mut self, mode: impl Into<String>) -> Self {
        self.transfer.chmod = Some(Text::from(mode));
        self
    }

    /// Without what fits these patterns.
    #[must_use]
    pub fn exclude(mut self, patterns: impl Into<Names>) -> Self {
        self.transfer.exclude.extend(patterns.into().0);
        self
    }

    /// As a layer that does not depend on what is below it.
    #[must_use]
    pub fn link(mut self) -> Self {
        self.transfer.link = true;
        self
    }

    /// With the folders above them.
    #[must_use]
    pub fn parents(mut self) -> Self {
        self.transfer.parents = true;
        self
    }

    /// For `add`: the digest of a URL's bytes, or the commit of a git reference.
    #[must_use]
    pub fn checksum(mut self, checksum: impl Into<String>) -> Self {
        self.transfer.checksum = Some(Text::from(checksum));
        self
    }

    /// For `add`: whether archives are unpacked.
    #[must_use]
    pub fn unpack(mut self, unpack: bool) -> Self {
        self.transfer.unpack = Some(unpack);
        self
    }

    /// For `add`: whether `.git` is kept.
    #[must_use]
    pub fn keep_git_dir(mut self, keep: bool) -> Self {
        self.transfer.keep_git_dir = Some(keep);
        self
    }
}

impl<S: Into<Names>, T: Into<String>> From<(S, T)> for Files {
    /// Files of the build context, and where to.
    fn from((sources, to): (S, T)) -> Self {
        Self::new(sources, to)
    }
}

/// A `HEALTHCHECK` with its options, each a duration such as `30s` but for the number of retries.
#[derive(Debug, Clone)]
pub struct Health(pub(super) Healthcheck);

impl Health {
    /// A command that finds out.
    pub fn new(command: impl Into<Cmd>) -> Self {
        Self(Healthcheck { test: Some(command.into().0), options: Vec::new() })
    }

    /// No check, also if the base has one.
    pub fn none() -> Self {
        Self(Healthcheck::default())
    }

    fn with(mut self, key: &str, value: String) -> Self {
        self.0.options.push((key.to_owned(), value.into()));
        self
    }

    /// How often.
    #[must_use]
    pub fn interval(self, duration: &str) -> Self {
        self.with("interval", duration.into())
    }

    /// How long one may take.
    #[must_use]
    pub fn timeout(self, duration: &str) -> Self {
        self.with("timeout", duration.into())
    }

    /// How long failures do not count at the start.
    #[must_use]
    pub fn start_period(self, duration: &str) -> Self {
        self.with("start-period", duration.into())
    }

    /// How often at the start.
    #[must_use]
    pub fn start_interval(self, duration: &str) -> Self {
        self.with("start-interval", duration.into())
    }

    /// How many failures in a row are too many.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        self.with("retries", retries.to_string())
    }
}

impl<T: Into<Cmd>> From<T> for Health {
    fn from(command: T) -> Self {
        Self::new(command)
    }
}
