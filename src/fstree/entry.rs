//! One entry of a layer: a name and what a tar header can say of it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use crate::digest::ContentDigest;

/// A path below a root: bytes, without a leading or trailing slash, without `.` and `..` components. Empty is the root.
///
/// Paths sort by component, so that what is in a folder follows it at once, whatever else shares its prefix.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// The root itself.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The path that `bytes` names from the root: slashes are folded, `.` dropped, `..` resolved by name alone and
    /// clamped at the root.
    pub fn clean(bytes: impl AsRef<[u8]>) -> Self {
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in bytes.as_ref().split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop();
                }
                name => parts.push(name),
            }
        }
        Self(parts.join(&b'/'))
    }

    /// The bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// The folder that holds this path; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// All folders above, from the root down, without the path itself.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        let slashes = self.0.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        let root = (!self.0.is_empty()).then_some(0);
        root.into_iter().chain(slashes).map(|end| Self(self.0[..end].to_vec()))
    }

    /// This path with one more component. `name` must be a single component: not empty, `.` or `..`, no slash.
    pub fn join(&self, name: &[u8]) -> Self {
        debug_assert!(!name.is_empty() && !name.contains(&b'/') && name != b"." && name != b"..");
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self(bytes)
    }

    /// Becomes the path of `name` in the folder that this is; the same is asked of `name` as for [`TreePath::join`].
    pub fn push(&mut self, name: &[u8]) {
        debug_assert!(!name.is_empty() && !name.contains(&b'/') && name != b"." && name != b"..");
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
    }

    /// Becomes the folder that holds this path; the root stays what it is.
    pub fn pop(&mut self) {
        self.0.truncate(self.0.iter().rposition(|&b| b == b'/').unwrap_or(0));
    }

    /// This path followed by all components of another.
    pub fn join_path(&self, below: &Self) -> Self {
        match (self.is_root(), below.is_root()) {
            (true, _) => below.clone(),
            (_, true) => self.clone(),
            _ => Self([self.as_bytes(), b"/", below.as_bytes()].concat()),
        }
    }

    /// The components, outermost first; none for the root.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|part| !part.is_empty())
    }

    /// What follows `folder` in this path: the root if they are equal, none if this path is not below it.
    pub fn strip_prefix(&self, folder: &Self) -> Option<Self> {
        if folder.is_root() {
            return Some(self.clone());
        }
        match self.0.strip_prefix(folder.as_bytes())? {
            [] => Some(Self::root()),
            [b'/', rest @ ..] => Some(Self(rest.to_vec())),
            _ => None,
        }
    }

    /// Whether this path is `folder` or below it.
    pub fn starts_with(&self, folder: &Self) -> bool {
        folder.is_root()
            || self.0.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }
}

/// How many bytes are compared at a time.
const CHUNK: usize = 32;

/// Orders paths by component: a folder, then all that is in it, then its next sibling.
pub fn compare_paths(a: &[u8], b: &[u8]) -> Ordering {
    // Neighbours have long beginnings in common, which are compared a few bytes at a time.
    let chunks = a.chunks_exact(CHUNK).zip(b.chunks_exact(CHUNK));
    let same = chunks.take_while(|(x, y)| x == y).count() * CHUNK;
    let differs = a[same..].iter().zip(&b[same..]).position(|(x, y)| x != y);
    let Some(at) = differs.map(|at| same + at) else { return a.len().cmp(&b.len()) };
    // A slash ends a component, so it must sort before every byte that can continue one.
    match (a[at], b[at]) {
        (b'/', _) => Ordering::Less,
        (_, b'/') => Ordering::Greater,
        (x, y) => x.cmp(&y),
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_paths(&self.0, &other.0)
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What every kind of entry has: permissions, owner, time, extended attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most. 0o777 for symbolic links.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in whole seconds since 1970; may be negative. Settled: never an accident of a clock.
    pub mtime: i64,
    /// Extended attributes that belong to the image (`security.capability`, `user.*`, POSIX ACLs), by full name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder. If `opaque`, nothing that lower layers have in it is seen (OCI image-spec, layer.md, "Opaque Whiteout").
    Dir {
        /// Whether lower layers' content is hidden.
        opaque: bool,
    },
    /// A regular file.
    File {
        /// Its length in bytes.
        size: u64,
        /// The hash of its bytes.
        content: ContentDigest,
    },
    /// A symbolic link and its target, as it is.
    Symlink(Vec<u8>),
    /// A further name of a regular file (or device, fifo) that stands earlier in the same layer.
    Hardlink(TreePath),
    /// A character device.
    Char(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
    /// The mark that lower layers' entry of this name is gone (layer.md, "Whiteouts"). Has no metadata.
    Whiteout,
}

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub path: TreePath,
    /// Permissions, owner, time. All zero for a whiteout; equal to the first name's for a hard link.
    pub meta: Meta,
    /// What it is.
    pub kind: Kind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_paths() {
        let check = |input: &str, expected: &str| assert_eq!(TreePath::clean(input).to_string(), expected, "{input}");
        check("", "/");
        check("/a//b/./c/", "/a/b/c");
        check("../../a/../b", "/b");
    }

    #[test]
    fn sorts_a_folder_before_its_neighbours() {
        let mut paths: Vec<TreePath> = ["a.b", "a/b", "a", "", "a/b/c", "a b"].map(TreePath::clean).into();
        paths.sort();
        let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["/", "/a", "/a/b", "/a/b/c", "/a b", "/a.b"]);
    }

    #[test]
    fn takes_paths_apart() {
        let path = TreePath::clean("a/b/c");
        assert_eq!(path.name(), b"c");
        assert_eq!(path.parent(), Some(TreePath::clean("a/b")));
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["", "a", "a/b"].map(TreePath::clean));
        assert_eq!(path.strip_prefix(&TreePath::clean("a")), Some(TreePath::clean("b/c")));
        assert_eq!(path.strip_prefix(&TreePath::clean("a/bb")), None);
        assert_eq!(TreePath::root().parent(), None);
        assert_eq!(TreePath::root().ancestors().count(), 0);
        let mut path = TreePath::root();
        path.push(b"a");
        path.push(b"b");
        assert_eq!(path, TreePath::clean("a/b"));
        path.pop();
        assert_eq!(path, TreePath::clean("a"));
        path.pop();
        path.pop();
        assert!(path.is_root());
    }
}
