//! What the command line knows of its surroundings: the environment, the terminal, the user. Nothing else in the crate
//! asks for these. Everything is looked up when it is asked for, so that start-up costs nothing.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

use super::args::values::{BuildArg, Secret, SecretSource};
use crate::ops::Error;

/// Looks a variable of the environment up.
type Lookup = Box<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// A stream to write to.
pub type Sink = Box<dyn Write + Send>;

/// Opens a stream, as often as it is asked to.
pub type Open = Box<dyn Fn() -> Sink + Send + Sync>;

/// The surroundings of one run.
pub struct Env {
    variable: Lookup,
    arguments: fn() -> Vec<OsString>,
    stdout: Open,
    stderr: Open,
    stdin_is_terminal: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    is_root: bool,
}

impl Env {
    /// Those of this process.
    pub fn real() -> Self {
        Self {
            variable: Box::new(|name| std::env::var_os(name)),
            arguments: || std::env::args_os().skip(1).collect(),
            stdout: Box::new(|| Box::new(std::io::stdout())),
            stderr: Box::new(|| Box::new(std::io::stderr())),
            stdin_is_terminal: std::io::stdin().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    /// Made-up ones, without a terminal and not root.
    #[cfg(test)]
    pub fn fake<const N: usize>(variables: [(&'static str, &'static str); N]) -> Self {
        let variable = move |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        Self {
            variable: Box::new(variable),
            arguments: Vec::new,
            stdout: Box::new(|| Box::new(std::io::sink())),
            stderr: Box::new(|| Box::new(std::io::sink())),
            stdin_is_terminal: false,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            is_root: false,
        }
    }

    /// The same with standard output and standard error written elsewhere.
    #[cfg(test)]
    pub fn writing_to(self, stdout: Open, stderr: Open) -> Self {
        Self { stdout, stderr, ..self }
    }

    /// The same with standard error on a terminal.
    #[cfg(test)]
    pub fn on_terminal(self) -> Self {
        Self { stderr_is_terminal: true, ..self }
    }

    /// The words of the command line after the program's name.
    pub fn arguments(&self) -> Vec<String> {
        (self.arguments)().iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    /// A variable, if it is set.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        (self.variable)(name)
    }

    /// A variable that is set to something.
    pub fn filled(&self, name: &str) -> Option<OsString> {
        self.variable(name).filter(|value| !value.is_empty())
    }

    /// `SOURCE_DATE_EPOCH` (reproducible-builds.org), in seconds since 1970, if it is set.
    pub fn source_date_epoch(&self) -> Result<Option<i64>, Error> {
        let Some(value) = self.filled("SOURCE_DATE_EPOCH") else { return Ok(None) };
        let number = value.to_str().and_then(|text| text.parse::<u32>().ok());
        let allowed = "a number of seconds since 1970 is meant";
        number
            .map(|number| Some(number.into()))
            .ok_or_else(|| Error::Usage(format!("SOURCE_DATE_EPOCH is {}: {allowed}", value.display())))
    }

    /// Standard output, where data goes.
    pub fn stdout(&self) -> Sink {
        (self.stdout)()
    }

    /// Standard error, where everything else goes.
    pub fn stderr(&self) -> Sink {
        (self.stderr)()
    }

    /// Whether standard input is a terminal.
    pub fn stdin_is_terminal(&self) -> bool {
        self.stdin_is_terminal
    }

    /// Whether standard output is a terminal.
    pub fn stdout_is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether standard error is a terminal.
    pub fn stderr_is_terminal(&self) -> bool {
        self.stderr_is_terminal
    }

    /// Whether terminals can only print.
    pub fn is_dumb(&self) -> bool {
        self.filled("TERM").is_some_and(|term| term == "dumb")
    }

    /// Whether standard error is a terminal whose cursor can be moved.
    pub fn is_live(&self) -> bool {
        self.stderr_is_terminal && !self.is_dumb()
    }

    /// Whether standard error may be coloured: it is a terminal, and `NO_COLOR` (no-color.org) does not say otherwise.
    pub fn colours(&self) -> bool {
        self.is_live() && self.filled("NO_COLOR").is_none()
    }

    /// The same of standard output.
    pub fn stdout_colours(&self) -> bool {
        self.stdout_is_terminal && !self.is_dumb() && self.filled("NO_COLOR").is_none()
    }

    /// The store's folder: the one given, else the default of this user.
    pub fn store(&self, given: Option<PathBuf>) -> Result<PathBuf, Error> {
        if let Some(folder) = given.filter(|folder| !folder.as_os_str().is_empty()) {
            return Ok(folder);
        }
        if self.is_root {
            return Ok("/var/lib/imgbuild".into());
        }
        // A relative path there is to be ignored (XDG Base Directory Specification).
        let data = self.filled("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let data = data.or_else(|| Some(PathBuf::from(self.filled("HOME")?).join(".local/share")));
        match data {
            Some(data) => Ok(data.join("imgbuild")),
            None => Err(Error::environment("the store has no folder: HOME is not set")
                .help("give one with --root FOLDER or IMGBUILD_ROOT")),
        }
    }

    /// The folder of this user's settings (XDG Base Directory Specification), if there is one.
    pub fn config_folder(&self) -> Option<PathBuf> {
        let config = self.filled("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        config.or_else(|| Some(PathBuf::from(self.filled("HOME")?).join(".config")))
    }

    /// Build arguments with their values, in the order given. Those that the environment does not have are left out.
    pub fn build_arguments(&self, arguments: &[BuildArg]) -> Result<Vec<(String, String)>, Error> {
        let mut resolved = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value = match (&argument.value, self.variable(&argument.name)) {
                (Some(value), _) => value.clone(),
                (None, None) => continue,
                (None, Some(value)) => value.into_string().map_err(|_| {
                    Error::Usage(format!("--build-arg {}: its value in the environment is not UTF-8", argument.name))
                })?,
            };
            resolved.push((argument.name.clone(), value));
        }
        Ok(resolved)
    }

    /// Where a secret's value is: [`SecretSource::Named`] is decided, and a variable must be set.
    pub fn secret(&self, secret: &Secret) -> Result<ResolvedSecret, Error> {
        use std::os::unix::ffi::OsStringExt as _;
        match &secret.source {
            SecretSource::File(path) => Ok(ResolvedSecret::File(path.clone())),
            SecretSource::Variable(name) => match self.variable(name) {
                Some(value) => Ok(ResolvedSecret::Value(value.into_vec())),
                None => {
                    let id = &secret.id;
                    Err(Error::Usage(format!("--secret id={id}: the environment variable {name} is not set")))
                }
            },
            SecretSource::Named => match self.variable(&secret.id) {
                Some(value) => Ok(ResolvedSecret::Value(value.into_vec())),
                None => Ok(ResolvedSecret::File(secret.id.clone().into())),
            },
        }
    }
}

/// A secret's value, or the file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum ResolvedSecret {
    /// It is in this file.
    File(PathBuf),
    /// It is this.
    Value(Vec<u8>),
}

impl std::fmt::Debug for ResolvedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Value(_) => f.write_str("Value(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_store() {
        let check = |env: Env, given: Option<&str>, expected: &str| {
            assert_eq!(env.store(given.map(Into::into)).unwrap(), PathBuf::from(expected));
        };
        check(Env::fake([("HOME", "/h")]), Some("r"), "r");
        check(Env::fake([("HOME", "/h")]), Some(""), "/h/.local/share/imgbuild");
        check(Env::fake([("HOME", "/h"), ("XDG_DATA_HOME", "/d")]), None, "/d/imgbuild");
        check(Env::fake([("HOME", "/h"), ("XDG_DATA_HOME", "d")]), None, "/h/.local/share/imgbuild");
        check(Env { is_root: true, ..Env::fake([("HOME", "/h")]) }, None, "/var/lib/imgbuild");
        assert!(Env::fake([]).store(None).is_err());
    }

    #[test]
    fn colours_only_where_they_are_seen() {
        assert!(!Env::fake([]).colours());
        assert!(Env::fake([]).on_terminal().colours());
        assert!(!Env::fake([("NO_COLOR", "1")]).on_terminal().colours());
        assert!(Env::fake([("NO_COLOR", "")]).on_terminal().colours());
        assert!(!Env::fake([("TERM", "dumb")]).on_terminal().is_live());
    }

    #[test]
    fn takes_values_from_the_environment() {
        let env = Env::fake([("A", "1"), ("TOKEN", "t")]);
        let arguments: Vec<BuildArg> = ["A", "B", "C=2"].map(|text| text.parse().unwrap()).into();
        let resolved = env.build_arguments(&arguments).unwrap();
        assert_eq!(resolved, [("A".into(), "1".into()), ("C".into(), "2".into())]);
        let secret = |text: &str| env.secret(&text.parse().unwrap());
        assert_eq!(secret("id=TOKEN").unwrap(), ResolvedSecret::Value(b"t".into()));
        assert_eq!(secret("id=file").unwrap(), ResolvedSecret::File("file".into()));
        assert_eq!(secret("id=x,env=A").unwrap(), ResolvedSecret::Value(b"1".into()));
        let error = secret("id=x,env=NOPE").unwrap_err().to_string();
        assert_eq!(error, "--secret id=x: the environment variable NOPE is not set");
        assert_eq!(format!("{:?}", secret("id=TOKEN").unwrap()), "Value(…)");
    }
}
