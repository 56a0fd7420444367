//! Which files of a tree a copy takes: sources, wildcards, `--parents` and `--exclude`, without regard to where they go.
//!
//! The selection is what a copy's key hashes and what the copy then does, so the two cannot disagree.

use std::collections::HashMap;

use crate::digest::CacheKey;
use crate::fstree::pattern::{Glob, Matcher, PatternError, Verdict, has_wildcards};
use crate::fstree::resolve::{self, follow};
use crate::fstree::{Meta, Node, NodeKind, TreePath, View, ViewError};

/// The longest path, in bytes.
pub const LONGEST_PATH: usize = 4095;

/// How much of one that is longer is in a message, in bytes.
const SHOWN: usize = 256;

/// A source that cannot be selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A source that is no pattern, or the folder in front of a pattern, is not there.
    #[error("{0:?} does not exist")]
    Missing(String),
    /// A pattern is malformed.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A path that no system call takes.
    #[error("{0}…: its path is longer than the {LONGEST_PATH} bytes that Linux takes")]
    TooLong(String),
    /// A path leads in a circle.
    #[error(transparent)]
    Resolve(#[from] resolve::ResolveError),
    /// The tree cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// What one source, or one match of a pattern, comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The name that a file gets in a folder: the last component as it was written or matched. Empty for a root.
    pub name: Vec<u8>,
    /// Everything taken, folders before what is in them; the first is the source itself, at the root path.
    pub files: Vec<Selected>,
}

/// One file or folder to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// Where it goes, below the destination.
    pub to: TreePath,
    /// Where it is in the view.
    pub from: TreePath,
    /// What it is.
    pub node: Node,
}

/// How a source is written.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// A path or pattern.
    pub path: &'a str,
    /// Whether wildcards have their meaning.
    pub wildcard: bool,
    /// Whether the folders above are taken too (`--parents`), from the `/./` in the path on.
    pub parents: bool,
    /// Patterns of what is left out (`--exclude`), relative to the source.
    pub exclude: &'a [String],
}

/// Selects the files of a source, in the order in which they are copied.
pub fn select(view: &dyn View, source: Source<'_>) -> Result<Vec<Match>, SelectError> {
    let exclude = Matcher::new(source.exclude)?;
    if source.parents {
        return select_with_parents(view, source, &exclude);
    }
    let mut matches = Vec::new();
    for path in expand(view, source)? {
        let real = follow(&path, |path| view.lookup(path))?;
        let node = view.lookup(&real)?.ok_or_else(|| SelectError::Missing(path.to_string()))?;
        let mut walk =
            Walk { view, base: &real, include: None, exclude: &exclude, files: Vec::new(), open: Vec::new() };
        let is_dir = node.kind == NodeKind::Dir;
        walk.files.push(Selected { to: TreePath::root(), from: real.clone(), node });
        if is_dir {
            view.look_ahead(&real);
            walk.descend()?;
        }
        walk.files.shrink_to_fit();
        matches.push(Match { name: path.name().to_vec(), files: walk.files });
    }
    Ok(matches)
}

/// The paths that a source names: itself, or what matches it, in order.
pub fn expand(view: &dyn View, source: Source<'_>) -> Result<Vec<TreePath>, SelectError> {
    let clean = TreePath::clean(source.path);
    let parts: Vec<&[u8]> = clean.components().collect();
    let first = parts.iter().position(|part| source.wildcard && has_wildcards(part));
    let Some(first) = first else { return Ok(vec![clean]) };
    let base = parts[..first].iter().fold(TreePath::root(), |path, part| path.join(part));
    let base = follow(&base, |path| view.lookup(path))?;
    if view.lookup(&base)?.is_none() {
        return Err(SelectError::Missing(base.to_string()));
    }
    let mut found = vec![base];
    for part in &parts[first..] {
        let glob = Glob::parse(part)?;
        let mut next = Vec::new();
        for folder in found {
            for (name, _) in view.children(&folder)? {
                if glob.matches(&name) {
                    next.push(folder.join(&name));
                }
            }
        }
        found = next;
    }
    Ok(found)
}

/// Both what stands before the pivot and what follows it can be patterns; where one is, nothing needs to match.
fn select_with_parents(view: &dyn View, source: Source<'_>, exclude: &Matcher) -> Result<Vec<Match>, SelectError> {
    let (base, rest) = source.path.trim_start_matches("./").split_once("/./").unwrap_or(("/", source.path));
    let several = source.wildcard && has_wildcards(base.as_bytes());
    let rest = TreePath::clean(rest);
    let pattern = String::from_utf8_lossy(rest.as_bytes()).into_owned();
    let required = !several && !has_wildcards(rest.as_bytes());
    let include = if rest.is_root() { None } else { Some(Matcher::new(&[pattern])?) };
    let mut matches = Vec::new();
    for base in expand(view, Source { path: base, ..source })? {
        let base = follow(&base, |path| view.lookup(path))?;
        let node = view.lookup(&base)?.ok_or_else(|| SelectError::Missing(base.to_string()))?;
        if required && view.lookup(&base.join_path(&rest))?.is_none() {
            return Err(SelectError::Missing(base.join_path(&rest).to_string()));
        }
        if several && node.kind != NodeKind::Dir {
            continue;
        }
        let (files, open) = (Vec::new(), Vec::new());
        let mut walk = Walk { view, base: &base, include: include.as_ref(), exclude, files, open };
        walk.files.push(Selected { to: TreePath::root(), from: base.clone(), node });
        walk.descend()?;
        matches.push(Match { name: Vec::new(), files: walk.files });
    }
    Ok(matches)
}

struct Walk<'a> {
    view: &'a dyn View,
    base: &'a TreePath,
    include: Option<&'a Matcher>,
    exclude: &'a Matcher,
    files: Vec<Selected>,
    /// Folders on the way down that are taken only if something in them is.
    open: Vec<Selected>,
}

/// What the patterns say of a folder.
#[derive(Default)]
struct Verdicts {
    include: Verdict,
    exclude: Verdict,
}

/// A folder that is being walked: what is left of it.
struct Open {
    folder: TreePath,
    verdicts: Verdicts,
    children: std::vec::IntoIter<(Vec<u8>, Node)>,
    /// How many folders above wait for something in it, if it is not taken itself.
    waiting: Option<usize>,
}

impl Walk<'_> {
    /// Walks a folder to its end. A tree may be deeper than the stack of a thread, so the way down is kept here.
    fn descend(&mut self) -> Result<(), SelectError> {
        let mut way = vec![self.enter(TreePath::root(), Verdicts::default(), None)?];
        while let Some(open) = way.last_mut() {
            let Some((name, node)) = open.children.next() else {
                if let Some(waiting) = way.pop().and_then(|open| open.waiting) {
                    self.open.truncate(waiting);
                }
                continue;
            };
            let (to, above) = (open.folder.join(&name), &open.verdicts);
            let include = self.include.map(|include| include.enter(&above.include, &to));
            // A matcher says what its patterns exclude; used for inclusion, that is what they take.
            let included = include.as_ref().is_none_or(|verdict| verdict.excluded);
            let verdicts =
                Verdicts { include: include.unwrap_or_default(), exclude: self.exclude.enter(&above.exclude, &to) };
            let excluded = verdicts.exclude.excluded;
            let is_dir = node.kind == NodeKind::Dir;
            if node.kind == NodeKind::Socket {
                continue;
            }
            let selected = Selected { from: self.base.join_path(&to), to: to.clone(), node };
            if to.as_bytes().len() > LONGEST_PATH {
                let start = TreePath::clean(&to.as_bytes()[..SHOWN]);
                return Err(SelectError::TooLong(start.to_string()));
            }
            if included && !excluded {
                self.files.append(&mut self.open);
                self.files.push(selected);
                if is_dir {
                    way.push(self.enter(to, verdicts, None)?);
                }
            } else if is_dir && (!excluded || self.exclude.may_hold_exceptions(&selected.to)) {
                let waiting = self.open.len();
                self.open.push(selected);
                way.push(self.enter(to, verdicts, Some(waiting))?);
            }
        }
        Ok(())
    }

    fn enter(&self, folder: TreePath, verdicts: Verdicts, waiting: Option<usize>) -> Result<Open, SelectError> {
        let children = self.view.children(&self.base.join_path(&folder))?.into_iter();
        Ok(Open { folder, verdicts, children, waiting })
    }
}

/// Selects as [`select`] does, and has every regular file hashed of which the view does not know the digest.
pub fn select_hashed(view: &dyn View, source: Source<'_>) -> Result<Vec<Match>, SelectError> {
    let mut matches = select(view, source)?;
    let mut unknown: Vec<&mut Selected> = matches
        .iter_mut()
        .flat_map(|found| &mut found.files)
        .filter(|file| matches!(file.node.kind, NodeKind::File(_)) && file.node.content.is_none())
        .collect();
    if !unknown.is_empty() {
        let paths: Vec<TreePath> = unknown.iter().map(|file| file.from.clone()).collect();
        let contents = view.contents(&paths)?;
        unknown.iter_mut().zip(contents).for_each(|(file, content)| file.node.content = Some(content));
    }
    Ok(matches)
}

/// Hashes everything of selections that a copy can carry over. They must come from [`select_hashed`].
pub fn selection_key<'a>(selections: impl ExactSizeIterator<Item = &'a [Match]>) -> CacheKey {
    // Collected before it is hashed: in large pieces that is several times as fast as field by field.
    const PIECE: usize = 64 << 10;
    let mut hasher = blake3::Hasher::new();
    let mut piece = Vec::with_capacity(PIECE + 4096);
    let bytes = |piece: &mut Vec<u8>, bytes: &[u8]| {
        piece.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        piece.extend_from_slice(bytes);
    };
    piece.extend_from_slice(b"imgbuild selection 1");
    for matches in selections {
        piece.extend_from_slice(&(matches.len() as u64).to_le_bytes());
        for found in matches {
            bytes(&mut piece, &found.name);
            piece.extend_from_slice(&(found.files.len() as u64).to_le_bytes());
            let mut links: HashMap<u64, usize> = HashMap::new();
            for (place, file) in found.files.iter().enumerate() {
                if piece.len() >= PIECE {
                    hasher.update(&piece);
                    piece.clear();
                }
                let Meta { mode, uid, gid, mtime, xattrs } = &file.node.meta;
                bytes(&mut piece, file.to.as_bytes());
                for number in [mode, uid, gid] {
                    piece.extend_from_slice(&number.to_le_bytes());
                }
                piece.extend_from_slice(&mtime.to_le_bytes());
                piece.extend_from_slice(&(xattrs.len() as u64).to_le_bytes());
                for (name, value) in xattrs {
                    bytes(&mut piece, name);
                    bytes(&mut piece, value);
                }
                let first = file.node.links.map_or(place, |link| *links.entry(link).or_insert(place));
                piece.extend_from_slice(&(first as u64).to_le_bytes());
                match &file.node.kind {
                    NodeKind::Dir => bytes(&mut piece, b"dir"),
                    NodeKind::Symlink(target) => {
                        bytes(&mut piece, b"symlink");
                        bytes(&mut piece, target);
                    }
                    NodeKind::File(_) => {
                        bytes(&mut piece, b"file");
                        if let Some(content) = &file.node.content {
                            piece.extend_from_slice(content.as_bytes());
                        }
                    }
                    NodeKind::Char(major, minor) => bytes(&mut piece, format!("char {major} {minor}").as_bytes()),
                    NodeKind::Block(major, minor) => bytes(&mut piece, format!("block {major} {minor}").as_bytes()),
                    NodeKind::Fifo => bytes(&mut piece, b"fifo"),
                    NodeKind::Socket => bytes(&mut piece, b"socket"),
                }
            }
        }
    }
    CacheKey::from_bytes(*hasher.update(&piece).finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::digest::ContentDigest;
    use crate::fstree::{Entry, Kind, Merged, Toc};

    fn tree() -> Merged {
        let entry = |at: &str, kind| Entry { path: TreePath::clean(at), meta: Meta::default(), kind };
        let dir = || Kind::Dir { opaque: false };
        let file = || Kind::File { size: 1, content: ContentDigest::of(b"x") };
        Merged::new(vec![Arc::new(Toc::new(vec![
            entry("a.txt", file()),
            entry("b.md", file()),
            entry("d", dir()),
            entry("d/c.txt", file()),
            entry("d/s", dir()),
            entry("d/s/e.txt", file()),
            entry("link", Kind::Symlink(b"d/s".to_vec())),
            entry("out", Kind::Symlink(b"../../a.txt".to_vec())),
        ]))])
    }

    fn check(path: &str, parents: bool, exclude: &[&str], expected: &str) {
        let exclude: Vec<String> = exclude.iter().map(ToString::to_string).collect();
        let source = Source { path, wildcard: true, parents, exclude: &exclude };
        let found = match select(&tree(), source) {
            Ok(matches) => {
                let one = |found: &Match| {
                    let files: Vec<String> = found.files.iter().map(|file| file.to.to_string()).collect();
                    format!("{}:{}", String::from_utf8_lossy(&found.name), files.join(" "))
                };
                matches.iter().map(one).collect::<Vec<_>>().join("; ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn takes_files_folders_and_what_links_lead_to() {
        check("a.txt", false, &[], "a.txt:/");
        check("/d/", false, &[], "d:/ /c.txt /s /s/e.txt");
        check("link", false, &[], "link:/ /e.txt");
        check("out", false, &[], "out:/");
        check("../../b.md", false, &[], "b.md:/");
        check("nope", false, &[], "\"/nope\" does not exist");
    }

    #[test]
    fn expands_wildcards_by_component() {
        check("*.txt", false, &[], "a.txt:/");
        check("*/*.txt", false, &[], "c.txt:/");
        check("*.none", false, &[], "");
        check("none/*.txt", false, &[], "\"/none\" does not exist");
        check("li?k", false, &[], "link:/ /e.txt");
    }

    #[test]
    fn leaves_out_what_is_excluded() {
        check("d", false, &["**/*.txt"], "d:/ /s");
        check("d", false, &["s", "!s/e.txt"], "d:/ /c.txt /s /s/e.txt");
        check("a.txt", false, &["a.txt"], "a.txt:/");
    }

    #[test]
    fn keeps_the_folders_above() {
        check("d/s/e.txt", true, &[], ":/ /d /d/s /d/s/e.txt");
        check("d/./s/e.txt", true, &[], ":/ /s /s/e.txt");
        check("**/*.txt", true, &[], ":/ /a.txt /d /d/c.txt /d/s /d/s/e.txt");
        check("**/*.none", true, &[], ":/");
        check("link", true, &[], ":/ /link");
        check("d*/./s/e.txt", true, &[], ":/ /s /s/e.txt");
        check("*/./s/e.txt", true, &[], ":/ /s /s/e.txt; :/");
        check("{d,none}/./s", true, &[], "\"/{d,none}\" does not exist");
        check("d*/./**/*.txt", true, &[], ":/ /c.txt /s /s/e.txt");
        check("none*/./s", true, &[], "");
        check("d/nope", true, &[], "\"/d/nope\" does not exist");
    }

    #[test]
    fn keys_see_what_a_copy_can_carry_over() {
        let key = |content: &[u8]| {
            let source = Source { path: "d", wildcard: false, parents: false, exclude: &[] };
            let mut matches = select_hashed(&tree(), source).unwrap();
            for file in &mut matches[0].files {
                file.node.content = file.node.content.map(|_| ContentDigest::of(content));
            }
            selection_key([&matches[..]].into_iter())
        };
        assert_eq!(key(b"1"), key(b"1"));
        assert_ne!(key(b"1"), key(b"2"));
    }
}
