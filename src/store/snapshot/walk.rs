//! Everything below a folder, in path order, without following any link.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rayon::prelude::*;
use rustix::fs::{AtFlags, FileType, OFlags, RawDir, Stat, fstat, major, minor, readlinkat, statat};

use super::tree::{Tree, name_in_parent, open_file, os};
use super::{At, SnapshotError, attributes};
use crate::digest::ContentDigest;
use crate::fstree::{Kind, Meta, TreePath};
use crate::store::Stop;

/// One thing below a folder.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where it stands.
    pub path: TreePath,
    /// The index of its folder among the items; its own for the root.
    pub parent: usize,
    /// What the file system says of it.
    pub stat: Stat,
}

impl Item {
    /// Its type.
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Its modification time, in seconds since 1970 and nanoseconds.
    #[expect(clippy::unnecessary_cast, reason = "the types of these fields depend on the architecture")]
    pub fn mtime(&self) -> (i64, u32) {
        (self.stat.st_mtime as i64, self.stat.st_mtime_nsec as u32)
    }

    /// The numbers of a device.
    pub fn device(&self) -> (u32, u32) {
        (major(self.stat.st_rdev), minor(self.stat.st_rdev))
    }

    /// What all names of one file share, if it has several.
    #[expect(clippy::unnecessary_cast, reason = "the types of these fields depend on the architecture")]
    pub fn links(&self) -> Option<(u64, u64)> {
        let several = self.stat.st_nlink > 1 && self.file_type() != FileType::Directory;
        several.then_some((self.stat.st_dev as u64, self.stat.st_ino as u64))
    }
}

/// The folder itself and all that is below, each folder before what is in it, names in order.
pub fn walk(root: BorrowedFd<'_>) -> Result<Vec<Item>, SnapshotError> {
    let stat = fstat(root).at(&TreePath::root(), "read its attributes")?;
    walk_below(root, Item { path: TreePath::root(), parent: 0, stat })
}

/// The same for what stands at a path, which need not be a folder.
pub fn walk_from(root: BorrowedFd<'_>, path: &TreePath) -> Result<Vec<Item>, SnapshotError> {
    let parent = Tree::new(root).parent(path)?;
    let stat = statat(&parent, name_in_parent(path), AtFlags::SYMLINK_NOFOLLOW).at(path, "read its attributes")?;
    walk_below(root, Item { path: path.clone(), parent: 0, stat })
}

fn walk_below(root: BorrowedFd<'_>, start: Item) -> Result<Vec<Item>, SnapshotError> {
    let tree = Tree::new(root);
    let mut items: Vec<Item> = Vec::new();
    let mut waiting = vec![start];
    let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
    while let Some(item) = waiting.pop() {
        let index = items.len();
        if item.file_type() == FileType::Directory {
            let folder = tree.open(&item.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let mut names: Vec<Vec<u8>> = Vec::new();
            let mut list = RawDir::new(folder.as_fd(), &mut buffer);
            while let Some(entry) = list.next() {
                let name = entry.at(&item.path, "list it")?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    names.push(name);
                }
            }
            // The last one waits longest.
            names.sort_unstable_by(|a, b| b.cmp(a));
            for name in names {
                let path = item.path.join(&name);
                let stat = statat(&folder, os(&name), AtFlags::SYMLINK_NOFOLLOW).at(&path, "read its attributes")?;
                waiting.push(Item { path, parent: index, stat });
            }
        }
        items.push(item);
    }
    Ok(items)
}

/// What must be opened to know of an item.
#[derive(Debug, Clone, Default)]
pub(super) struct Inside {
    /// All extended attributes of files and folders.
    pub(super) xattrs: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) content: Option<ContentDigest>,
    pub(super) link: Vec<u8>,
    /// How many bytes were hashed.
    pub(super) size: u64,
}

/// Opens, hashes and reads attributes, on all cores; parallel to `items`. Further names of a file are as its first one.
pub(super) fn look_inside(root: BorrowedFd<'_>, items: &[Item], stop: &Stop) -> Result<Vec<Inside>, SnapshotError> {
    let first = first_names(items);
    let parts: Result<Vec<Vec<Inside>>, SnapshotError> = items
        .par_chunks(64)
        .enumerate()
        .map(|(chunk, part)| {
            let mut tree = Tree::new(root);
            let start = chunk * 64;
            let of = |(at, item): (usize, &Item)| {
                if first[start + at] == start + at { inside(&mut tree, item, stop) } else { Ok(Inside::default()) }
            };
            part.iter().enumerate().map(of).collect()
        })
        .collect();
    let mut all: Vec<Inside> = parts?.into_iter().flatten().collect();
    for (at, &first) in first.iter().enumerate() {
        if first != at {
            all[at] = all[first].clone();
        }
    }
    Ok(all)
}

/// For each item the index of the first name of the same file; its own for most.
pub(super) fn first_names(items: &[Item]) -> Vec<usize> {
    let mut known: HashMap<(u64, u64), usize> = HashMap::new();
    items
        .iter()
        .enumerate()
        .map(|(at, item)| item.links().map_or(at, |links| *known.entry(links).or_insert(at)))
        .collect()
}

fn inside(tree: &mut Tree<'_>, item: &Item, stop: &Stop) -> Result<Inside, SnapshotError> {
    let path = &item.path;
    let mut inside = Inside::default();
    match item.file_type() {
        FileType::Directory => {
            let folder = tree.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            inside.xattrs = attributes::read(&folder, |_| true).at(path, "read its extended attributes")?;
        }
        FileType::RegularFile => {
            let parent = tree.parent(path)?;
            let file = open_file(&parent, name_in_parent(path)).at(path, "open it")?;
            inside.xattrs = attributes::read(&file, |_| true).at(path, "read its extended attributes")?;
            let mut hasher = blake3::Hasher::new();
            if item.stat.st_size > 0 {
                hasher.update_reader(stop.watch(&file)).at(path, "read it")?;
            }
            inside.size = hasher.count();
            inside.content = Some(ContentDigest::from_bytes(*hasher.finalize().as_bytes()));
        }
        FileType::Symlink => {
            let parent = tree.parent(path)?;
            inside.link = readlinkat(&parent, name_in_parent(path), Vec::new()).at(path, "read the link")?.into_bytes();
        }
        _ => {}
    }
    Ok(inside)
}

/// The item as an entry has it, without its path; none for sockets.
pub(super) fn describe(item: &Item, inside: &Inside, mtime: i64) -> Option<(Meta, Kind)> {
    let belongs = |(name, _): &(&Vec<u8>, &Vec<u8>)| crate::fstree::xattr::belongs_to_image(name);
    let xattrs = inside.xattrs.iter().filter(belongs).map(|(name, value)| (name.clone(), value.clone())).collect();
    let (major, minor) = item.device();
    let kind = match item.file_type() {
        FileType::Directory => Kind::Dir { opaque: false },
        FileType::RegularFile => Kind::File { size: inside.size, content: inside.content? },
        FileType::Symlink => Kind::Symlink(inside.link.clone()),
        FileType::CharacterDevice => Kind::Char(major, minor),
        FileType::BlockDevice => Kind::Block(major, minor),
        FileType::Fifo => Kind::Fifo,
        _ => return None,
    };
    let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { item.stat.st_mode & 0o7777 };
    Some((Meta { mode, uid: item.stat.st_uid, gid: item.stat.st_gid, mtime, xattrs }, kind))
}
