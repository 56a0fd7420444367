//! Which files of a file system say what is installed, by their paths alone.

use crate::fstree::TreePath;

/// The largest file that is read, in bytes. The status file of a full desktop has a third of it.
pub const MAX_FILE: u64 = 16 << 20;
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
}

impl Format {
    /// What the file at a path says; none for nearly all of them.
    pub fn of(path: &TreePath) -> Option<Self> {
        let path = std::str::from_utf8(path.as_bytes()).ok()?;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = folder.rsplit('/').next().unwrap_or_default();
        Some(match (path, name) {
            ("etc/os-release" | "usr/lib/os-release", _) => Self::OsRelease,
            ("var/lib/dpkg/status", _) => Self::DpkgStatus,
            ("lib/apk/db/installed" | "usr/lib/apk/db/installed", _) => Self::ApkInstalled,
            _ if folder == "var/lib/dpkg/status.d" && !name.ends_with(".md5sums") => Self::DpkgPart,
            (_, "Cargo.lock") => Self::CargoLock,
            (_, "package-lock.json" | "npm-shrinkwrap.json") => Self::NpmLock,
            (_, "package.json") if is_installed(folder) => Self::NpmPackage,
            (_, "METADATA") if parent.ends_with(".dist-info") => Self::PythonMetadata,
            (_, "PKG-INFO") if parent.ends_with(".egg-info") => Self::PythonMetadata,
            (_, "requirements.txt") => Self::Requirements,
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
