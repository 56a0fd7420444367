//! How an operation can fail, as a person needs to hear it.
//!
//! Every operation ends in this one type. It says what kind of failure it is, which decides the exit code, and carries
//! whatever helps to act on it; `cli` draws it. It knows nothing of terminals.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::frontend::diagnostic::{Diagnostic, Part, Severity};
use crate::oci::ParseReferenceError;
use crate::ops::{ImportError, LoadError, RmiError, SaveError, TagError};
use crate::registry::RegistryError;
use crate::sandbox::Exceeded;
use crate::store::layers::LayerError;
use crate::store::snapshot::SnapshotError;
use crate::store::{FindError, StoreError};

/// What to do about a blob of the store that is not what its name says.
const DAMAGED: &str = "if it is in the store, remove the image with `imgbuild rmi`, and load it again";

/// What was underneath an error.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why an operation did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A build definition is wrong.
    #[error(transparent)]
    Diagnostics(Box<Diagnostics>),
    /// A step ran and failed.
    #[error(transparent)]
    StepFailed(Box<StepFailure>),
    /// What was asked makes no sense; the text says what was given and what is allowed.
    #[error("{0}")]
    Usage(String),
    /// This machine lacks something: a kernel feature, space, a permission.
    #[error("{message}")]
    Environment {
        /// What is missing.
        message: String,
        /// How to get it.
        hint: Option<String>,
        /// What was underneath.
        #[source]
        source: Option<Cause>,
    },
    /// Anything else that stopped the operation.
    #[error("{message}")]
    Build {
        /// What went wrong, with the value in question.
        message: String,
        /// What to do about it, one piece of advice each.
        help: Vec<String>,
        /// What was underneath.
        #[source]
        source: Option<Cause>,
    },
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// Whoever read what was written has gone: it has seen what it wanted, and nobody is to be told.
    #[error("nobody reads standard output any more")]
    ReaderGone,
}

impl Error {
    /// A failure of the build with this message.
    pub fn build(message: impl Into<String>) -> Self {
        Self::Build { message: message.into(), help: Vec::new(), source: None }
    }

    /// A failure of the machine with this message.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::Environment { message: message.into(), hint: None, source: None }
    }

    /// The same with advice. Errors that show their own context stay as they are.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Environment { hint, .. } => *hint = Some(text.into()),
            Self::Build { help, .. } => help.push(text.into()),
            Self::Diagnostics(_) | Self::StepFailed(_) | Self::Usage(_) | Self::Interrupted | Self::ReaderGone => {}
        }
        self
    }

    /// The same with the file that it is about. Errors that show their own context stay as they are.
    pub fn about(mut self, file: &Path) -> Self {
        if let Self::Build { message, .. } = &mut self {
            *message = format!("{}: {message}", file.display());
        }
        self
    }

    /// The same with what was underneath. Errors that show their own context stay as they are.
    pub fn caused_by(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        match &mut self {
            Self::Environment { source, .. } | Self::Build { source, .. } => *source = Some(Box::new(cause)),
            Self::Diagnostics(_) | Self::StepFailed(_) | Self::Usage(_) | Self::Interrupted | Self::ReaderGone => {}
        }
        self
    }
}

impl From<Diagnostics> for Error {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Diagnostics(Box::new(diagnostics))
    }
}

impl From<StepFailure> for Error {
    fn from(failure: StepFailure) -> Self {
        Self::StepFailed(Box::new(failure))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            // What was read is not what it should be, which is not the system's answer.
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                Self::build(source.to_string()).help(DAMAGED)
            }
            StoreError::Io { .. }
            | StoreError::NewerVersion { .. }
            | StoreError::OtherOwners { .. }
            | StoreError::NotAStore { .. }
            | StoreError::Busy { .. } => Self::environment(error.to_string()),
            StoreError::Mismatch { .. } => Self::build(error.to_string()).help(DAMAGED),
            StoreError::Damaged { .. }
            | StoreError::Missing(_)
            | StoreError::TooLarge { .. }
            | StoreError::Manifest { .. } => Self::build(error.to_string()),
            StoreError::Input(_) => by_cause(error),
        }
    }
}

impl From<SnapshotError> for Error {
    fn from(error: SnapshotError) -> Self {
        by_cause(error)
    }
}

impl From<LayerError> for Error {
    fn from(error: LayerError) -> Self {
        match error {
            LayerError::Store(error) => error.into(),
            LayerError::Snapshot(error) => error.into(),
            LayerError::Fetch { source } => match source.downcast::<RegistryError>() {
                Ok(error) => (*error).into(),
                Err(error) => Self::build(error.to_string()),
            },
            error => by_cause(error),
        }
    }
}

/// An error that is the machine's business if what is underneath is, and else the build's.
fn by_cause(error: impl StdError + 'static) -> Error {
    let message = error.to_string();
    let Some(cause) = system_error(&error).filter(|cause| is_machine(cause)) else {
        return Error::build(message);
    };
    let error = Error::environment(message);
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => error.help("make room, or choose another place"),
        io::ErrorKind::PermissionDenied => {
            error.help(
                "files of any owner and overlays need root: run imgbuild as root; if it is root, the file system of the \
                 store cannot hold such files: choose another place with --root or IMGBUILD_ROOT",
            )
        }
        io::ErrorKind::Unsupported => error.help(
            "the file system of the store cannot hold what layers consist of, such as links, owners and devices: choose \
             another place with --root or IMGBUILD_ROOT",
        ),
        _ => error,
    }
}

/// The system's answer that an error came from, if it did.
pub(super) fn system_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        if let Some(found) = error.downcast_ref::<io::Error>() {
            if found.raw_os_error().is_some() {
                return Some(found);
            }
            // What such an error wraps is not its source, but that has one.
            if let Some(inner) = found.get_ref() {
                next = Some(inner);
            }
        }
    }
    None
}

/// Whether an error of the system is the machine's business and not the build's.
pub(super) fn is_machine(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let machine = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::ROFS,
        Errno::PERM,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::NODEV,
        Errno::NOMEM,
        Errno::MFILE,
        Errno::NFILE,
        Errno::AGAIN,
        Errno::USERS,
        Errno::IO,
    ];
    error.raw_os_error().is_some_and(|number| machine.iter().any(|errno| errno.raw_os_error() == number))
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Store(error) => error.into(),
            error => Self::build(error.to_string()),
        }
    }
}

impl From<ImportError> for Error {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Store(error) => error.into(),
            ImportError::Changes(diagnostics) => Self::Diagnostics(diagnostics),
            error => Self::build(error.to_string()),
        }
    }
}

impl From<FindError> for Error {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Store(error) => error.into(),
            FindError::Reference(error) => error.into(),
            error => Self::build(error.to_string()),
        }
    }
}

impl From<RmiError> for Error {
    fn from(error: RmiError) -> Self {
        match error {
            RmiError::Find(error) => error.into(),
            RmiError::Store(error) => error.into(),
            error @ RmiError::SeveralNames { .. } => Self::build(error.to_string()),
            error @ RmiError::InUse { .. } => Self::build(error.to_string()).help(
                "`imgbuild rm` removes containers, `imgbuild umount` mounts; --force takes only the image's name away",
            ),
        }
    }
}

impl From<SaveError> for Error {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::Find(error) => error.into(),
            SaveError::Layer(error) => error.into(),
            SaveError::Signatures(error) => error.into(),
            SaveError::Write(cause) if is_machine(&cause) => {
                Self::environment("cannot write the archive").caused_by(cause)
            }
            SaveError::Write(cause) => Self::build("cannot write the archive").caused_by(cause),
        }
    }
}

impl From<TagError> for Error {
    fn from(error: TagError) -> Self {
        match error {
            TagError::Find(error) => error.into(),
            TagError::Reference(error) => error.into(),
            TagError::Store(error) => error.into(),
            error @ TagError::Digest(_) => Self::Usage(error.to_string()),
        }
    }
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        let message = error.to_string();
        match error {
            RegistryError::Canceled => Self::Interrupted,
            RegistryError::Store(error) => error.into(),
            RegistryError::File { error, .. } if is_machine(&error) => Self::environment(message),
            RegistryError::Denied { registry, known, .. } => Self::build(message).help(match known {
                false => format!("if it is private, log in: `imgbuild login {registry}`"),
                true => format!("the credentials for {registry} do not allow it"),
            }),
            RegistryError::Status { status, .. } if status.as_u16() == 429 => {
                Self::build(message).help("log in to be allowed more, or configure a mirror: docs/registries.md")
            }
            RegistryError::Connection { reason, .. } if reason.contains("certificate or encryption") => {
                Self::build(message).help("certificates, and registries without TLS: docs/registries.md")
            }
            _ => Self::build(message),
        }
    }
}

impl From<ParseReferenceError> for Error {
    fn from(error: ParseReferenceError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// What a front end found wrong, with the text that it points at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// What to call the text, such as `Dockerfile`.
    pub name: String,
    /// The text itself, which the spans point into. Hundreds of targets of one build file share it.
    pub text: Arc<str>,
    /// The messages; errors and warnings, in the order to show.
    pub list: Vec<Diagnostic>,
    /// The files that the text is made of; none if it is one.
    pub parts: Vec<Part>,
}

impl Diagnostics {
    /// What is found in one text.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>, list: Vec<Diagnostic>) -> Self {
        Self { name: name.into(), text: text.into(), list, parts: Vec::new() }
    }

    /// The file that has this byte, and its bytes.
    pub fn file_at(&self, at: usize) -> (&str, Range<usize>) {
        match Part::find(&self.parts, at) {
            Some(part) => (&part.name, part.bytes(&self.parts, self.text.len())),
            None => (&self.name, 0..self.text.len()),
        }
    }

    /// The text of the file that is called so.
    pub fn file(&self, name: &str) -> Option<&str> {
        match self.parts.iter().find(|part| part.name == name) {
            Some(part) => self.text.get(part.bytes(&self.parts, self.text.len())),
            None => (self.name == name).then_some(&*self.text),
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut errors = self.list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        match (errors.next(), errors.count()) {
            (None, _) => write!(f, "{} has problems", self.name),
            (Some(only), 0) => {
                let at = only.annotations.first().map_or(0, |place| place.span.start);
                write!(f, "{}: {}", self.file_at(at).0, only.message)
            }
            (Some(_), more) => write!(f, "{} has {} errors", self.name, more + 1),
        }
    }
}

impl StdError for Diagnostics {}

/// A step that ran and failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// The instruction as people know it, such as `RUN make test`.
    pub name: String,
    /// Where it was written.
    pub origin: Option<Origin>,
    /// How it failed.
    pub exit: StepExit,
    /// The last of what it wrote to either output: any bytes. A partial first line does not matter.
    pub log: Vec<u8>,
    /// The ID of what it left, if that was kept ([`debug`](crate::ops::debug)).
    pub kept: Option<String>,
}

/// Some bytes of a text that a build is defined by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What to call the text, such as `Dockerfile`.
    pub file: String,
    /// The whole text.
    pub text: String,
    /// The bytes meant.
    pub span: Range<usize>,
}

/// How a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepExit {
    /// Its process ended with this code, which is not 0.
    Code(i32),
    /// Its process was ended by this signal.
    Signal(i32),
    /// Its process met this limit, and ended with this code or as a shell counts signals.
    Limit(Exceeded, i32),
    /// It did not get as far as a process, or it is none; a clause such as `"/nope" is not in the build context`.
    Message(String),
}

impl fmt::Display for StepExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "failed with exit code {code}"),
            Self::Signal(9) => f.write_str("was killed by signal 9 (SIGKILL)"),
            Self::Signal(11) => f.write_str("was killed by signal 11 (SIGSEGV)"),
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
            Self::Limit(limit @ Exceeded::Memory(_), 0) => write!(f, "lost a process to {limit}"),
            Self::Limit(limit @ Exceeded::Memory(_), _) => write!(f, "was killed by {limit}"),
            Self::Limit(limit @ Exceeded::Time(_), _) => write!(f, "was stopped by {limit}"),
            Self::Limit(limit @ Exceeded::Processes(_), code) => write!(f, "failed with exit code {code} at {limit}"),
            Self::Message(message) => write!(f, "failed: {message}"),
        }
    }
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.exit)
    }
}

impl StdError for StepFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: impl Into<Error>, expected: &str) {
        assert_eq!(error.into().to_string(), expected);
    }

    #[test]
    fn says_what_happened_in_one_line() {
        let step = |exit| StepFailure { name: "RUN make".into(), origin: None, exit, log: Vec::new(), kept: None };
        check(step(StepExit::Code(2)), "RUN make failed with exit code 2");
        check(step(StepExit::Signal(9)), "RUN make was killed by signal 9 (SIGKILL)");
        check(step(StepExit::Message("no such file".into())), "RUN make failed: no such file");
        let text = || "FORM a".to_owned();
        let one = Diagnostic::error(0..4, "unknown instruction FORM");
        let list = vec![one.clone(), Diagnostic::warning("Rule", 0..1, "odd")];
        check(Diagnostics::new("Dockerfile", text(), list), "Dockerfile: unknown instruction FORM");
        let list = vec![one.clone(), one];
        check(Diagnostics::new("Dockerfile", text(), list), "Dockerfile has 2 errors");
    }

    #[test]
    fn keeps_what_was_underneath() {
        let error = Error::build("cannot read a").caused_by(std::io::Error::other("disk on fire")).help("water");
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
        let Error::Build { help, .. } = error else { panic!() };
        assert_eq!(help, ["water"]);
    }
}
