//! A folder that is an OCI image layout (image-spec, image-layout.md) as a place that images come from and go to.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Source, Target};
use crate::digest::{Digest, HashingReader};
use crate::oci::manifest::{ANNOTATION_REF_NAME, MAX_MANIFEST};
use crate::oci::{Descriptor, Index, media};
use crate::registry::upload::{Content, Sent};
use crate::registry::{Check, RegistryError};
use crate::source::regular;
use crate::trust::{Bundle, Signed, is_attachment};

/// A folder that is, or becomes, an image layout.
pub struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// The layout in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    fn failed(path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
        let path = path.display().to_string();
        move |error| RegistryError::File { path, error }
    }

    fn index(&self) -> Result<Option<Index>, RegistryError> {
        let path = self.folder.join("index.json");
        let mut bytes = Vec::new();
        match regular::open(&path) {
            Ok(file) => file.take(MAX_MANIFEST).read_to_end(&mut bytes).map_err(Self::failed(&path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Self::failed(&path)(error)),
        };
        let index = serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        index.map(Some).map_err(Self::failed(&path))
    }

    /// The image of this tag or digest; without one, the only image there is.
    pub fn find(&self, wanted: Option<&str>) -> Result<Descriptor, RegistryError> {
        let entries = self.index()?.map(|index| index.manifests).unwrap_or_default();
        let found: Vec<Descriptor> = entries
            .into_iter()
            .filter(|entry| wanted.is_some() || !is_attachment(entry))
            .filter(|entry| {
                let tag = entry.annotations.get(ANNOTATION_REF_NAME);
                wanted.is_none_or(|wanted| tag.is_some_and(|tag| tag == wanted) || entry.digest.to_string() == wanted)
            })
            .collect();
        let layout = self.folder.display().to_string();
        match (&found[..], wanted) {
            ([only], _) => Ok(only.clone()),
            ([first, ..], Some(_)) => Ok(first.clone()),
            ([], None) => Err(RegistryError::NotFound { registry: layout, what: "image".into() }),
            ([], Some(wanted)) => Err(RegistryError::NotFound { registry: layout, what: format!("image {wanted:?}") }),
            (several, None) => Err(RegistryError::Malformed {
                registry: layout,
                what: format!("{} images", several.len()),
                reason: "say which one, as oci:FOLDER:TAG".into(),
            }),
        }
    }

    /// The signatures of the images in it. Nothing of them was checked.
    pub fn signatures(&self) -> Result<Signed, RegistryError> {
        let entries = self.index()?.map(|index| index.manifests).unwrap_or_default();
        Bundle::read(&entries, |digest, limit| {
            let found = self.document(&Descriptor::new(media::MANIFEST, *digest, limit));
            match found {
                Err(RegistryError::Digest { .. }) => Ok(None),
                found => Ok(found?.filter(|bytes| bytes.len() as u64 <= limit)),
            }
        })
    }

    /// Lists an image, under a tag if it gets one, with signatures if it has some.
    pub fn list(
        &self,
        image: &Descriptor,
        tag: Option<&str>,
        signatures: Option<&Bundle>,
    ) -> Result<(), RegistryError> {
        for (digest, bytes) in signatures.iter().flat_map(|signatures| &signatures.blobs) {
            self.write(&self.blob(digest), bytes)?;
        }
        let mut entry = image.clone();
        entry.annotations.clear();
        entry.annotations.extend(signatures.map(Bundle::annotation));
        entry.annotations.extend(tag.map(|tag| (ANNOTATION_REF_NAME.to_owned(), tag.to_owned())));
        let mut index = self.index()?.unwrap_or_else(|| Index::new(Vec::new()));
        index.manifests.retain(|known| {
            let known_tag = known.annotations.get(ANNOTATION_REF_NAME).map(String::as_str);
            if tag.is_some() { known_tag != tag } else { known.digest != entry.digest || known_tag.is_some() }
        });
        index.manifests.push(entry);
        self.write(&self.folder.join("index.json"), &index.to_json())?;
        self.write(&self.folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
    }

    /// Writes a file, which appears whole.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), RegistryError> {
        let part = part(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Self::failed(folder))?;
        }
        fs::write(&part, bytes)
            .and_then(|()| fs::rename(&part, path))
            .inspect_err(|_| drop(fs::remove_file(&part)))
            .map_err(Self::failed(path))
    }
}

/// A name beside a file for while it is written.
fn part(path: &Path) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}.{}.{number}.part", std::process::id()))
}

impl Source for Layout {
    fn document(&self, entry: &Descriptor) -> Result<Option<Vec<u8>>, RegistryError> {
        let path = self.blob(&entry.digest);
        let mut bytes = Vec::new();
        match regular::open(&path) {
            Ok(file) => file.take(MAX_MANIFEST + 1).read_to_end(&mut bytes).map_err(Self::failed(&path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Self::failed(&path)(error)),
        };
        match Digest::of(&bytes) {
            actual if actual == entry.digest => Ok(Some(bytes)),
            actual => Err(self.damaged(entry.digest, actual)),
        }
    }

    fn open(
        &self,
        blob: &Descriptor,
        offset: u64,
        check: Check,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RegistryError> {
        let path = self.blob(&blob.digest);
        let mut file = match regular::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Self::failed(&path)(error)),
        };
        if offset == 0 && check == Check::Digest {
            let reader = HashingReader::new(file);
            return Ok(Some(Box::new(Checked { layout: self, reader: Some(reader), digest: blob.digest })));
        }
        file.seek(SeekFrom::Start(offset)).map_err(Self::failed(&path))?;
        Ok(Some(Box::new(file)))
    }

    fn repositories(&self, _: &Descriptor) -> Vec<String> {
        Vec::new()
    }

    fn has_at_hand(&self, _: &Descriptor) -> Result<bool, RegistryError> {
        Ok(true)
    }
}

impl Layout {
    fn damaged(&self, expected: Digest, actual: Digest) -> RegistryError {
        let registry = self.folder.display().to_string();
        RegistryError::Digest { registry, what: "a blob".into(), expected, actual }
    }
}

/// Reads a file, and fails at its end if it is not what its name says.
struct Checked<'l> {
    layout: &'l Layout,
    reader: Option<HashingReader<File>>,
    digest: Digest,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let read = reader.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            let actual = self.reader.take().map(|reader| reader.finish().1);
            if let Some(actual) = actual.filter(|actual| *actual != self.digest) {
                return Err(io::Error::other(self.layout.damaged(self.digest, actual)));
            }
        }
        Ok(read)
    }
}

impl Target for Layout {
    fn is_whole(&self, _: &Descriptor) -> Result<bool, RegistryError> {
        Ok(false)
    }

    fn checks(&self) -> bool {
        false
    }

    fn put_blob(&self, blob: &Descriptor, content: &dyn Content, _: &[String]) -> Result<Sent, RegistryError> {
        let path = self.blob(&blob.digest);
        if fs::metadata(&path).is_ok_and(|known| known.len() == blob.size) {
            return Ok(Sent::Existed);
        }
        let folder = self.folder.join("blobs/sha256");
        fs::create_dir_all(&folder).map_err(Self::failed(&folder))?;
        let part = part(&path);
        let copied = File::create(&part).map_err(Self::failed(&part)).and_then(|mut file| {
            let failed = |error| RegistryError::from_io(error, Self::failed(&path));
            copy(&mut content.open(0)?, &mut file).map_err(failed)?;
            fs::rename(&part, &path).map_err(Self::failed(&path))
        });
        copied.inspect_err(|_| drop(fs::remove_file(&part)))?;
        Ok(Sent::Uploaded)
    }

    fn put_document(&self, entry: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        self.write(&self.blob(&entry.digest), bytes)
    }
}

/// Copies with a buffer that is worth a system call.
fn copy(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => writer.write_all(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
