//! Tar archives, and archives of images on their way into a store.

use std::cell::RefCell;
use std::io::Read;

use imgbuild::digest::Digest;
use imgbuild::fstree::tar::{Dialect, Limits, RawKind, TarReader};
use imgbuild::ops::{LoadOptions, load};
use imgbuild::store::Store;

const BLOCK: usize = 512;

/// A tar, read as a layer and as any archive. Checksums are put right first: nobody guesses them.
pub fn tar(data: &[u8]) {
    let data = with_checksums(data);
    let limits = Limits { header_bytes: 1 << 16, entries: 1000, content_bytes: 1 << 22, name_bytes: 1 << 20 };
    for dialect in [Dialect::Layer, Dialect::Archive] {
        let mut reader = TarReader::new(&data[..], dialect, limits);
        while let Ok(Some((entry, mut content))) = reader.next() {
            assert!(entry.meta.mode <= 0o7777);
            if let RawKind::File(size) = entry.kind {
                let mut read = Vec::new();
                match content.read_to_end(&mut read) {
                    Ok(_) => assert_eq!(read.len() as u64, size),
                    Err(_) => break,
                }
            }
        }
    }
}

/// The same with checksums that are right.
pub(crate) fn with_checksums(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    for block in data.chunks_exact_mut(BLOCK).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    data
}

/// An archive of images. The input is a list of files, separated by zero bytes; each starts with the letter of its
/// name. In their bytes `@N` is the digest of file N before it, `#N` its size: nobody guesses digests, either.
pub fn archive(data: &[u8]) {
    thread_local!(static STORE: RefCell<Option<(tempfile::TempDir, Store, u32)>> = const { RefCell::new(None) });
    let mut files: Vec<Vec<u8>> = Vec::new();
    let mut tar = Vec::new();
    for file in data.split(|&b| b == 0).take(16) {
        let (&letter, bytes) = file.split_first().unwrap_or((&b'b', b""));
        let bytes = filled_in(bytes, &files);
        let name = match letter {
            b'o' => "oci-layout".into(),
            b'i' => "index.json".into(),
            b'm' => "manifest.json".into(),
            b'r' => "repositories".into(),
            b'l' => "layer/layer.tar".into(),
            b'c' => "config.json".into(),
            b'v' => "layer/VERSION".into(),
            _ => format!("blobs/sha256/{}", Digest::of(&bytes).hex()),
        };
        push(&mut tar, &name, if letter == b's' { b'2' } else { b'0' }, &bytes);
        files.push(bytes);
    }
    tar.extend([0; 2 * BLOCK]);
    STORE.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(_, _, uses)| *uses > 500) {
            *slot = None;
            let folder = tempfile::tempdir().expect("a temporary folder");
            let store = Store::open(folder.path()).expect("a store");
            *slot = Some((folder, store, 0));
        }
        let Some((_, store, uses)) = slot else { return };
        *uses += 1;
        for options in [LoadOptions::default(), LoadOptions { platforms: vec!["linux/amd64".parse().expect("one")] }] {
            for image in load(store, &tar[..], &options).into_iter().flatten() {
                assert!(image.references.iter().all(|name| name.to_string().parse().as_ref() == Ok(name)));
            }
        }
    });
}

fn filled_in(bytes: &[u8], files: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes.iter();
    while let Some(&b) = rest.next() {
        let file = |digit: Option<&u8>| files.get(usize::from(digit?.checked_sub(b'0')?));
        match (b, file(rest.as_slice().first())) {
            (b'@', Some(file)) => out.extend(Digest::of(file).to_string().bytes()),
            (b'#', Some(file)) => out.extend(file.len().to_string().bytes()),
            (b'%', Some(file)) => out.extend(Digest::of(file).hex().bytes()),
            _ => {
                out.push(b);
                continue;
            }
        }
        rest.next();
    }
    out
}

fn push(tar: &mut Vec<u8>, name: &str, kind: u8, bytes: &[u8]) {
    let mut header = [0; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    for at in [108, 116] {
        header[at..at + 7].copy_from_slice(b"0000000");
    }
    let (size, link) = if kind == b'2' { (0, &bytes[..bytes.len().min(100)]) } else { (bytes.len(), &b""[..]) };
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link);
    header[257..265].copy_from_slice(b"ustar\x0000");
    tar.extend(with_checksums(&header));
    if size > 0 {
        tar.extend(bytes);
        tar.extend(vec![0; bytes.len().next_multiple_of(BLOCK) - bytes.len()]);
    }
}
