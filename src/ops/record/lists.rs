//! Lists of files as they are kept: sorted paths that share their beginnings, numbers in full, all of it as zstd.

use crate::graph::explain::{FileFact, FileKind, FileList};

/// The first byte; another one is another encoding.
const VERSION: u8 = 1;
/// More files than this are not kept: that they changed is all that can be said of them.
const MOST: usize = 200_000;
/// The most that a list is unpacked to, in bytes.
const LARGEST: usize = 256 << 20;
/// The bytes of a file besides its path.
const FIXED: usize = 1 + 4 + 4 + 4 + 8 + 8 + 8;

/// The bytes of a list; empty for one that is too long, none if compressing fails.
pub fn encode(list: &FileList) -> Option<Vec<u8>> {
    let files = list.files();
    let mut bytes = vec![VERSION];
    if files.len() > MOST {
        return Some(bytes);
    }
    let mut before: &[u8] = b"";
    for file in files {
        let same = file.path.iter().zip(before).take_while(|(a, b)| a == b).count().min(usize::from(u16::MAX));
        let rest = &file.path[same..];
        bytes.extend_from_slice(&u16::try_from(same).ok()?.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(rest.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(rest);
        bytes.push(KINDS.iter().position(|kind| *kind == file.kind)? as u8);
        for number in [file.mode, file.uid, file.gid] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&file.mtime.to_le_bytes());
        bytes.extend_from_slice(&file.content.to_le_bytes());
        bytes.extend_from_slice(&file.xattrs.to_le_bytes());
        before = &file.path;
    }
    let mut packed = vec![VERSION];
    packed.extend(zstd::bulk::compress(&bytes[1..], 1).ok()?);
    Some(packed)
}

/// The list in these bytes; none if they are damaged, of another version, or empty.
pub fn decode(bytes: &[u8]) -> Option<FileList> {
    let (&VERSION, packed) = bytes.split_first()? else { return None };
    if packed.is_empty() {
        return None;
    }
    let bytes = unpack(packed)?;
    let mut rest = &bytes[..];
    let mut files: Vec<FileFact> = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let same = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let (name, after) = after.split_at_checked(usize::from(u16::from_le_bytes([head[2], head[3]])))?;
        let (fixed, after) = after.split_first_chunk::<FIXED>()?;
        let mut path = files.last().map(|file| file.path.get(..same)).unwrap_or(Some(&[]))?.to_vec();
        path.extend_from_slice(name);
        let four = |at: usize| fixed[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let eight = |at: usize| fixed[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        files.push(FileFact {
            path,
            kind: *KINDS.get(usize::from(fixed[0]))?,
            mode: four(1)?,
            uid: four(5)?,
            gid: four(9)?,
            mtime: eight(13)?.cast_signed(),
            content: eight(21)?,
            xattrs: eight(29)?,
        });
        rest = after;
    }
    Some(FileList::new(files))
}

/// Whether these bytes are a list, or stand for one that was too long.
pub fn is_whole(bytes: &[u8]) -> bool {
    bytes == [VERSION] || decode(bytes).is_some()
}

/// Unpacks what was packed here, whatever it claims to be.
pub fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(packed).ok()?;
    decoder.take(LARGEST as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The kinds by their numbers.
const KINDS: [FileKind; 4] = [FileKind::File, FileKind::Folder, FileKind::Symlink, FileKind::Special];

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> FileList {
        let file = |path: &str, kind, mtime| FileFact {
            path: path.into(),
            kind,
            mode: 0o644,
            uid: 1,
            gid: 2,
            mtime,
            content: u64::MAX,
            xattrs: 3,
        };
        FileList::new(vec![
            file("", FileKind::Folder, 0),
            file("src/main.c", FileKind::File, -1),
            file("src/main.h", FileKind::Symlink, i64::MAX),
        ])
    }

    #[test]
    fn decodes_what_it_encodes() {
        let bytes = encode(&list()).unwrap();
        assert_eq!(decode(&bytes), Some(list()));
        assert_eq!(decode(&encode(&FileList::default()).unwrap()), Some(FileList::default()));
    }

    #[test]
    fn damage_is_no_list() {
        let bytes = encode(&list()).unwrap();
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[VERSION + 1]), None);
        for length in 1..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
        let plain = unpack(&bytes[1..]).unwrap();
        for length in 1..plain.len() {
            let mut cut = vec![VERSION];
            cut.extend(zstd::bulk::compress(&plain[..length], 1).unwrap());
            assert_ne!(decode(&cut), Some(list()), "{length}");
        }
    }

    #[test]
    fn large_lists_stay_small() {
        let file = |number: u64| FileFact {
            path: format!("node_modules/package-{}/lib/file-{number}.js", number / 20).into(),
            kind: FileKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            content: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            xattrs: 0,
        };
        let bytes = encode(&FileList::new((0..20_000).map(file).collect())).unwrap();
        assert!(bytes.len() < 20_000 * 16, "{} bytes", bytes.len());
    }
}
