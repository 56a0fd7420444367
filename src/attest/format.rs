//! Which files of a file system say what is installed, by their paths, or by their permissions for programs.

use crate::fstree::TreePath;

/// The largest file of text that is read, in bytes. The status file of a full desktop has a third of it.
pub const MAX_FILE: u64 = 16 << 20;
/// The largest database that is read, in bytes, and the most that is read of all files together.
pub const MAX_ALL: u64 = 1 << 30;
/// The most packages that an image is believed to have. A large one has some thousands.
pub const MAX_PACKAGES: usize = 100_000;

/// What a file says, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The distribution: `os-release`.
    OsRelease,
    /// Packages that dpkg installed.
    DpkgStatus,
    /// A package of an image that was put together without dpkg.
    DpkgPart,
    /// Packages that apk installed.
    ApkInstalled,
    /// Crates that were locked.
    CargoLock,
    /// Node's packages that were locked.
    NpmLock,
    /// A package of Node that is installed.
    NpmPackage,
    /// A distribution of Python that is installed.
    PythonMetadata,
    /// Distributions of Python that are asked for.
    Requirements,
    /// Go modules that a module asks for.
    GoMod,
    /// Packages that rpm installed: its database in SQLite's format.
    RpmSqlite,
    /// The same in a format of rpm's own.
    RpmNdb,
    /// The same in Berkeley DB's.
    RpmBerkeley,
    /// A program, which may say what it was made of.
    Executable,
}

/// Where rpm keeps its database, by distribution and age.
const RPM: [&str; 3] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];

impl Format {
    /// What the file at a path with these permissions says; none for nearly all of them.
    pub fn of(path: &TreePath, mode: u32) -> Option<Self> {
        Self::named(path).or((mode & 0o111 != 0).then_some(Self::Executable))
    }

    /// Whether the file is text, and read as a whole.
    pub fn is_text(self) -> bool {
        !self.is_database() && self != Self::Executable
    }

    /// Whether the file is a database, most of which is read.
    pub fn is_database(self) -> bool {
        matches!(self, Self::RpmSqlite | Self::RpmNdb | Self::RpmBerkeley)
    }

    /// What the name of a file is followed by in that of a file that belongs to it, if there is one.
    pub fn beside(self) -> Option<&'static str> {
        (self == Self::RpmSqlite).then_some("-wal")
    }

    fn named(path: &TreePath) -> Option<Self> {
        let path = std::str::from_utf8(path.as_bytes()).ok()?;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = folder.rsplit('/').next().unwrap_or_default();
        Some(match (path, name) {
            ("etc/os-release" | "usr/lib/os-release", _) => Self::OsRelease,
            ("var/lib/dpkg/status", _) => Self::DpkgStatus,
            ("lib/apk/db/installed" | "usr/lib/apk/db/installed", _) => Self::ApkInstalled,
            _ if folder == "var/lib/dpkg/status.d" && !name.ends_with(".md5sums") => Self::DpkgPart,
            (_, "rpmdb.sqlite") if RPM.contains(&folder) => Self::RpmSqlite,
            (_, "Packages.db") if RPM.contains(&folder) => Self::RpmNdb,
            (_, "Packages") if RPM.contains(&folder) => Self::RpmBerkeley,
            (_, "Cargo.lock") => Self::CargoLock,
            (_, "package-lock.json" | "npm-shrinkwrap.json") => Self::NpmLock,
            (_, "package.json") if is_installed(folder) => Self::NpmPackage,
            (_, "METADATA") if parent.ends_with(".dist-info") => Self::PythonMetadata,
            (_, "PKG-INFO") if parent.ends_with(".egg-info") => Self::PythonMetadata,
            (_, "requirements.txt") => Self::Requirements,
            (_, "go.mod") if !is_cached(folder) => Self::GoMod,
            _ => return None,
        })
    }
}

/// Whether a folder is one of Node's packages: right below `node_modules`, or below a scope there.
fn is_installed(folder: &str) -> bool {
    let mut parts = folder.rsplit('/').skip(1);
    match parts.next() {
        Some("node_modules") => true,
        Some(scope) if scope.starts_with('@') => parts.next() == Some("node_modules"),
        _ => false,
    }
}

/// Whether a folder is in Go's cache of modules, where each is called `NAME@VERSION`: what is asked for there is what each would like, and not what is there.
fn is_cached(folder: &str) -> bool {
    folder.split('/').any(|part| part.contains("@v"))
}
