//! Signatures of images, beside them: those that were made here, and those that were fetched to be checked.
//!
//! ```text
//! signatures/HEX/            of the image with this digest
//!     NAME                   one signature; the name is the SHA-256 of the file
//! ```
//!
//! A file is the signature in Base64, a line's end, and the bytes that were signed. Whoever adds one changes no other, so any
//! number of processes may. They are no blobs: that an image is signed must not change what it is, nor what is listed.
//! They go with their image. Whether they are any good is not known here.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};

use super::{Exclusive, Result, Store, io_error, layout, sync_folder};
use crate::digest::Digest;
use crate::store::remove::remove_tree;
use crate::trust::{MAX_PAYLOAD, MAX_SIGNATURES, Signature};

/// The longest file, in bytes: a payload, and more than any signature.
const MAX_FILE: u64 = MAX_PAYLOAD + 4096;

impl Store {
    /// Keeps a signature of an image. One that is there already is success.
    pub fn put_signature(&self, image: &Digest, signature: &Signature) -> Result<()> {
        let bytes = encode(signature);
        let folder = self.signatures_of(image);
        let path = folder.join(Digest::of(&bytes).hex());
        if path.exists() {
            return Ok(());
        }
        let (mut file, tmp) = self.tmp_file("signature")?;
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true);
        private.create(&folder).map_err(io_error("create", &folder))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io_error("write", &tmp))?;
        fs::rename(&tmp, &path).map_err(|error| {
            let _ = fs::remove_file(&tmp);
            io_error("write", &path)(error)
        })?;
        sync_folder(&folder)
    }

    /// The signatures of an image that are here, sorted. A file that is damaged is none.
    pub fn signatures(&self, image: &Digest) -> Result<Vec<Signature>> {
        let mut found = Vec::new();
        for path in entries(&self.signatures_of(image))?.into_iter().take(MAX_SIGNATURES) {
            let mut bytes = Vec::new();
            let read = fs::File::open(&path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
            match read {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read.map_err(io_error("read", &path))?,
            };
            let whole = path.file_name().is_some_and(|name| name.to_string_lossy() == Digest::of(&bytes).hex());
            found.extend(decode(&bytes).filter(|_| whole));
        }
        found.sort();
        Ok(found)
    }

    /// The images that there are signatures of.
    fn signed(&self) -> Result<Vec<(Digest, PathBuf)>> {
        let named = |path: PathBuf| {
            let name = path.file_name()?.to_str()?;
            Some((format!("sha256:{name}").parse().ok()?, path.clone()))
        };
        Ok(entries(&self.path(layout::SIGNATURES))?.into_iter().filter_map(named).collect())
    }

    fn signatures_of(&self, image: &Digest) -> PathBuf {
        self.path(layout::SIGNATURES).join(image.hex())
    }
}

impl Exclusive<'_> {
    /// Removes the signatures of images that are not here.
    pub fn sweep_signatures(&self) -> Result<()> {
        for (image, folder) in self.signed()? {
            if !self.has(&image) {
                remove_tree(&folder).map_err(io_error("remove", &folder))?;
            }
        }
        Ok(())
    }
}

/// What is in a folder, sorted; nothing if there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(io_error("read", folder))?,
    };
    let paths: io::Result<Vec<PathBuf>> = read.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(io_error("read", folder))?;
    paths.sort();
    Ok(paths)
}

fn encode(signature: &Signature) -> Vec<u8> {
    [Base64::encode_string(&signature.bytes).as_bytes(), b"\n", &signature.payload].concat()
}

fn decode(bytes: &[u8]) -> Option<Signature> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    let text = std::str::from_utf8(&bytes[..at]).ok()?;
    Some(Signature { payload: bytes[at + 1..].to_vec(), bytes: Base64::decode_vec(text).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(text: &str) -> Signature {
        Signature { payload: format!("{text}\n{text}").into(), bytes: text.to_uppercase().into() }
    }

    #[test]
    fn keeps_them_until_their_image_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let (here, gone) = (store.put(b"image").unwrap().digest, Digest::of(b"gone"));
        assert_eq!(store.signatures(&here).unwrap(), []);
        for image in [&here, &gone] {
            for text in ["b", "a", "b"] {
                store.put_signature(image, &signature(text)).unwrap();
            }
            assert_eq!(store.signatures(image).unwrap(), [signature("a"), signature("b")]);
        }
        store.exclusive().unwrap().sweep_signatures().unwrap();
        assert_eq!(store.signatures(&here).unwrap().len(), 2);
        assert_eq!(store.signatures(&gone).unwrap(), []);
    }

    #[test]
    fn a_damaged_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let image = Digest::of(b"image");
        store.put_signature(&image, &signature("a")).unwrap();
        let file = entries(&store.signatures_of(&image)).unwrap().remove(0);
        fs::write(&file, "QQ==\nb").unwrap();
        assert_eq!(store.signatures(&image).unwrap(), []);
    }

    /// A change here makes every store forget its signatures.
    #[test]
    fn files_are_what_they_were() {
        assert_eq!(encode(&signature("a")), b"QQ==\na\na");
        assert_eq!(decode(b"QQ==\na\na"), Some(signature("a")));
        assert_eq!(decode(b"QQ=="), None);
        assert_eq!(decode(b"!\n"), None);
    }
}
