//! `load`: images from an archive or a folder into the store.
//!
//! Understood are OCI image layouts and Docker's archives (`manifest.json`, with the old layout of folders and links as
//! well), as a tar in any common compression, from a file or a stream, or as a folder. An archive may be both; then the
//! OCI side counts, because it has all platforms, and Docker's gives names to what has none.
//!
//! Everything is first staged; blobs enter the store once all of the archive was seen to be whole, and the names come
//! last, together. Configurations and manifests keep their bytes, so IDs and digests stay what they were. Docker's
//! archives have no manifests; those are made. Their uncompressed layers are kept uncompressed: any compression would be
//! somebody's choice.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::compress::Format;
use crate::digest::{Digest, HashingReader};
use crate::fstree::tar::{Dialect, Limits, RawKind, Reason, TarError};
use crate::oci::manifest::{
    ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, MAX_CONFIG, MAX_MANIFEST, ManifestError, check_layers,
};
use crate::oci::media::{self, Compression};
use crate::oci::{Descriptor, Document, ImageConfig, Manifest, Platform, Reference};
use crate::source::regular;
use crate::store::images::platform_of;
use crate::store::index::{ImageIndex, name_of};
use crate::store::{Blob, ImageEntry, StagedBlob, Store, StoreError, intake};
use crate::trust::{Bundle, Signed, is_attachment};

/// The most entries that an archive may have. Real ones have a few per layer.
const MAX_ENTRIES: u64 = 100_000;
/// How many indexes may stand within each other.
const MAX_NESTING: u32 = 4;
/// How many links may lead to a file.
const MAX_LINKS: u32 = 16;

/// Why an archive was not loaded. Nothing of it is then listed in the store.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive could not be read.
    #[error("cannot read the image archive: {0}")]
    Read(#[source] io::Error),
    /// Its tar is damaged.
    #[error("cannot read the image archive: {0}")]
    Tar(#[source] TarError),
    /// It is not an archive of images.
    #[error("this is not an image archive: {0}")]
    NotAnArchive(String),
    /// Something in it is not as it should be.
    #[error("the image archive is damaged: {path}: {reason}")]
    Damaged {
        /// The file in the archive.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// None of its images is for a platform that was asked for.
    #[error("the image archive has no image for {0}")]
    NoPlatform(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedImage {
    /// The names that it has now because of the archive.
    pub references: Vec<Reference>,
    /// Its manifest or index.
    pub descriptor: Descriptor,
    /// Its platforms, each with its ID (the digest of the configuration).
    pub platforms: Vec<(Platform, Digest)>,
}

type Result<T, E = LoadError> = std::result::Result<T, E>;

/// What of an archive is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Only these platforms of each image; all if none are given.
    pub platforms: Vec<Platform>,
}

/// Loads all images from a stream: a tar, perhaps compressed.
pub fn load(store: &Store, input: impl Read + Send, options: &LoadOptions) -> Result<Vec<LoadedImage>> {
    store.confined(|| Archive::from_stream(store, input)?.load(options)).map_err(LoadError::Read)?
}

/// Loads all images from a file or folder.
pub fn load_path(store: &Store, path: &Path, options: &LoadOptions) -> Result<Vec<LoadedImage>> {
    let told = |error: io::Error| LoadError::Read(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
    if path.is_dir() {
        return store.confined(|| Archive::from_folder(store, path).load(options)).map_err(LoadError::Read)?;
    }
    load(store, File::open(path).map_err(told)?, options)
}

/// Brings one image of an image layout in a folder into the store, without any name, for a build that uses it.
///
/// `wanted` is a tag or a digest; none if the layout holds only one image. Returns the digest of its manifest or index.
pub fn load_layout(store: &Store, folder: &Path, wanted: Option<&str>) -> Result<Digest> {
    store.confined(|| bring_layout(store, folder, wanted)).map_err(LoadError::Read)?
}

fn bring_layout(store: &Store, folder: &Path, wanted: Option<&str>) -> Result<Digest> {
    let mut archive = Archive::from_folder(store, folder);
    let missing = || LoadError::NotAnArchive(format!("{} is not an OCI image layout", folder.display()));
    let json = archive.bytes("index.json", MAX_MANIFEST)?.ok_or_else(missing)?;
    let index = ImageIndex::parse(&json).map_err(|error| damaged("index.json", error))?;
    let mut images = index.list();
    images.retain(|entry| !entry.descriptor.is_no_image() && !is_attachment(&entry.descriptor));
    if let Some(wanted) = wanted {
        let name = |key: &str, entry: &ImageEntry| entry.descriptor.annotations.get(key).cloned().unwrap_or_default();
        images.retain(|entry| {
            let named = [ANNOTATION_REF_NAME, ANNOTATION_IMAGE_NAME].map(|key| name(key, entry));
            entry.descriptor.digest.to_string() == wanted
                || named.iter().any(|name| name == wanted || name.ends_with(&format!(":{wanted}")))
        });
    }
    let which = wanted.map(|wanted| format!(" called {wanted:?}")).unwrap_or_default();
    let [image] = &images[..] else {
        let problem = format!("{} holds {} images{which}", folder.display(), images.len());
        return Err(LoadError::NotAnArchive(format!("{problem}; name one as oci-layout://FOLDER:TAG or @DIGEST")));
    };
    let mut plan = Plan::default();
    let digest = image.descriptor.digest;
    if archive.plan_manifest(&image.descriptor, MAX_NESTING, &mut plan, &mut Vec::new())?.is_none() {
        return Err(damaged(&blob_path(&digest), "it is listed in index.json but missing"));
    }
    archive.commit(&plan)?;
    Ok(digest)
}

/// The files of an archive.
struct Archive<'a> {
    store: &'a Store,
    files: HashMap<String, Content<'a>>,
    links: HashMap<String, String>,
    /// Where else files are looked for, if the archive is a folder.
    folder: Option<PathBuf>,
}

/// The content of one file.
enum Content<'a> {
    Staged(StagedBlob<'a>),
    /// In the store already, which is where it would go.
    Stored(Blob),
}

impl Content<'_> {
    fn blob(&self) -> Blob {
        match self {
            Self::Staged(staged) => staged.blob(),
            Self::Stored(blob) => *blob,
        }
    }
}

/// An entry of Docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// What a manifest or an index came to.
#[derive(Clone)]
struct Planned {
    media_type: String,
    size: u64,
    platforms: Vec<(Platform, Digest)>,
    /// How many images in it are for platforms that are not wanted.
    left_out: usize,
}

/// What is to enter the store.
#[derive(Default)]
struct Plan {
    /// In the order in which they are to enter: what is referred to comes first.
    blobs: Vec<Digest>,
    seen: BTreeSet<Digest>,
    /// What manifests and indexes came to, as images or as what describes some: an index may name one thousands of times, and
    /// so may the indexes in it.
    planned: HashMap<(Digest, bool), Planned>,
    images: Vec<LoadedImage>,
    /// The signatures of those, and of what is behind them.
    signatures: Signed,
    /// Only these are wanted, if there are any.
    platforms: Vec<Platform>,
    /// How many images were for other platforms.
    left_out: usize,
}

impl<'a> Archive<'a> {
    fn from_folder(store: &'a Store, folder: &Path) -> Self {
        Self { store, files: HashMap::new(), links: HashMap::new(), folder: Some(folder.to_owned()) }
    }

    fn from_stream(store: &'a Store, input: impl Read + Send) -> Result<Self> {
        let mut archive = Self { store, files: HashMap::new(), links: HashMap::new(), folder: None };
        let limits = Limits { entries: MAX_ENTRIES, ..Limits::default() };
        let (_, input, meter) = intake::open(input, store.archives()).map_err(LoadError::Read)?;
        let mut reader = meter.tar_within(input, Dialect::Archive, limits);
        loop {
            let (entry, mut content) = match reader.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(TarError { entry: None, offset: 0, reason: Reason::NotAHeader }) => {
                    return Err(LoadError::NotAnArchive("it is no tar, compressed or not".into()));
                }
                Err(error) => return Err(LoadError::Tar(error)),
            };
            let path = String::from_utf8_lossy(entry.path.as_bytes()).into_owned();
            match entry.kind {
                RawKind::File(size) => archive.add(path, &mut content, size)?,
                RawKind::Symlink(target) => {
                    let target = clean(parent(&path), &String::from_utf8_lossy(&target));
                    archive.links.extend(target.map(|target| (path, target)));
                }
                RawKind::Hardlink(target) => {
                    archive.links.insert(path, String::from_utf8_lossy(target.as_bytes()).into_owned());
                }
                _ => {}
            }
        }
        if archive.files.is_empty() {
            return Err(LoadError::NotAnArchive("it is empty".into()));
        }
        Ok(archive)
    }

    /// Takes a file in. One whose name is its digest is checked at once.
    fn add(&mut self, path: String, reader: &mut impl Read, size: u64) -> Result<()> {
        let promised = path.strip_prefix("blobs/sha256/").and_then(|name| Digest::from_hex(name).ok());
        let damaged = |reason: String| LoadError::Damaged { path: path.clone(), reason };
        if let Some(digest) = promised
            && self.store.size(&digest)? == Some(size)
        {
            self.files.insert(path, Content::Stored(Blob { digest, size }));
            return Ok(());
        }
        let mut writer = self.store.writer()?;
        writer.copy_from(reader).map_err(|error| match error {
            StoreError::Input(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                damaged(format!("it should have {size} bytes but the archive ends in the middle"))
            }
            StoreError::Input(error) => LoadError::Read(error),
            error => error.into(),
        })?;
        let staged = writer.stage()?;
        let Blob { digest, size: actual } = staged.blob();
        if actual != size {
            return Err(damaged(format!("it should have {size} bytes but ends after {actual}")));
        }
        if promised.is_some_and(|promised| promised != digest) {
            return Err(damaged(format!("its content has the digest {digest}")));
        }
        self.files.insert(path, Content::Staged(staged));
        Ok(())
    }

    /// The content of a file, by its path or a link to it; none if there is no such file.
    fn find(&mut self, path: &str) -> Result<Option<&Content<'a>>> {
        let Some(mut path) = clean("", path) else { return Ok(None) };
        for _ in 0..MAX_LINKS {
            match self.links.get(&path) {
                Some(target) if !self.files.contains_key(&path) => path.clone_from(target),
                _ => break,
            }
        }
        if let (false, Some(folder)) = (self.files.contains_key(&path), &self.folder) {
            let full = folder.join(&path);
            match regular::open(&full).and_then(|file| Ok((file.metadata()?.len(), file))) {
                Ok((size, mut file)) => self.add(path.clone(), &mut file, size)?,
                // Nothing, or no regular file.
                Err(error) if is_no_file(&error) => {}
                Err(error) => {
                    return Err(LoadError::Read(io::Error::new(error.kind(), format!("{path}: {error}"))));
                }
            }
        }
        Ok(self.files.get(&path))
    }

    /// The bytes of a small file.
    fn bytes(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let store = self.store;
        let Some(content) = self.find(path)? else { return Ok(None) };
        let Blob { digest, size } = content.blob();
        if size > limit {
            let reason = format!("it has {size} bytes, more than the {limit} that it may have");
            return Err(LoadError::Damaged { path: path.to_owned(), reason });
        }
        match content {
            Content::Stored(_) => Ok(Some(store.read(&digest, limit)?)),
            Content::Staged(staged) => {
                let mut bytes = Vec::new();
                staged.open()?.take(limit).read_to_end(&mut bytes).map_err(LoadError::Read)?;
                Ok(Some(bytes))
            }
        }
    }

    /// A blob of the archive, or of the store if the archive relies on that.
    fn blob(&mut self, digest: &Digest) -> Result<Option<Blob>> {
        if let Some(content) = self.find(&blob_path(digest))? {
            return Ok(Some(content.blob()));
        }
        Ok(self.store.size(digest)?.map(|size| Blob { digest: *digest, size }))
    }

    fn blob_bytes(&mut self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.bytes(&blob_path(digest), limit)? {
            None if self.store.has(digest) => Ok(Some(self.store.read(digest, limit)?)),
            bytes => Ok(bytes),
        }
    }

    fn load(mut self, options: &LoadOptions) -> Result<Vec<LoadedImage>> {
        let docker = self.docker_entries()?;
        let mut plan = Plan { platforms: options.platforms.clone(), ..Plan::default() };
        if let Some(json) = self.bytes("index.json", MAX_MANIFEST)? {
            self.plan_layout(&json, docker.unwrap_or_default(), &mut plan)?;
        } else if let Some(entries) = docker {
            for entry in entries {
                self.plan_docker(&entry, &mut plan)?;
            }
        } else {
            let hint = if self.find("repositories")?.is_some() {
                "it was made by a Docker older than 1.10; save it again with a newer one"
            } else {
                "it has neither index.json (OCI) nor manifest.json (Docker); for the files of a root file system, use `imgbuild import`"
            };
            return Err(LoadError::NotAnArchive(hint.into()));
        }
        if plan.images.is_empty() {
            if plan.left_out > 0 {
                let platforms: Vec<String> = plan.platforms.iter().map(Platform::to_string).collect();
                return Err(LoadError::NoPlatform(platforms.join(" or ")));
            }
            return Err(LoadError::NotAnArchive("it holds no image".into()));
        }
        self.enter(plan)
    }

    /// Puts the blobs of a plan into the store; until here nothing in it has changed.
    fn commit(&mut self, plan: &Plan) -> Result<()> {
        let mut staged: HashMap<Digest, StagedBlob> = HashMap::new();
        for (_, content) in self.files.drain() {
            if let Content::Staged(blob) = content {
                staged.insert(blob.blob().digest, blob);
            }
        }
        for digest in &plan.blobs {
            if let Some(blob) = staged.remove(digest) {
                blob.commit()?;
            }
        }
        Ok(())
    }

    /// Commits everything and lists it.
    fn enter(mut self, plan: Plan) -> Result<Vec<LoadedImage>> {
        self.commit(&plan)?;
        for (image, signatures) in &plan.signatures {
            signatures.iter().try_for_each(|signature| self.store.put_signature(image, signature))?;
        }
        self.store.update_index(|index| {
            for image in &plan.images {
                for reference in &image.references {
                    index.set(reference, image.descriptor.clone());
                }
                if image.references.is_empty() {
                    index.add_untagged(image.descriptor.clone());
                }
            }
        })?;
        Ok(plan.images)
    }

    fn docker_entries(&mut self) -> Result<Option<Vec<DockerEntry>>> {
        let Some(json) = self.bytes("manifest.json", MAX_MANIFEST)? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|error| damaged("manifest.json", error))
    }

    fn plan_layout(&mut self, json: &[u8], docker: Vec<DockerEntry>, plan: &mut Plan) -> Result<()> {
        let index = ImageIndex::parse(json).map_err(|error| damaged("index.json", error))?;
        let mut docker_names: BTreeMap<Digest, Vec<Reference>> = BTreeMap::new();
        for entry in docker {
            let names = tags(&entry)?;
            if let Some(content) = self.find(&entry.config)? {
                docker_names.entry(content.blob().digest).or_default().extend(names);
            }
        }
        let listed = index.list();
        let entries: Vec<Descriptor> = listed.iter().map(|entry| entry.descriptor.clone()).collect();
        for entry in listed {
            let mut platforms = Vec::new();
            let left_out = plan.left_out;
            if entry.descriptor.is_no_image() || is_attachment(&entry.descriptor) {
                continue;
            }
            let media_type = self.plan_manifest(&entry.descriptor, MAX_NESTING, plan, &mut platforms)?;
            let Some(media_type) = media_type else {
                let path = blob_path(&entry.descriptor.digest);
                return Err(damaged(&path, "it is listed in index.json but missing"));
            };
            let mut descriptor = Descriptor { media_type, ..entry.descriptor };
            let mut names: Vec<Reference> = name_of(&descriptor).into_iter().collect();
            if names.is_empty() {
                names = platforms.iter().filter_map(|(_, id)| docker_names.get(id)).flatten().cloned().collect();
            }
            descriptor.annotations.clear();
            if platforms.is_empty() && plan.left_out > left_out {
                continue;
            }
            match plan.images.iter_mut().find(|image| image.descriptor.digest == descriptor.digest) {
                Some(image) => image.references.extend(names),
                None => plan.images.push(LoadedImage { references: names, descriptor, platforms }),
            }
        }
        for image in &mut plan.images {
            image.references.sort();
            image.references.dedup();
        }
        plan.signatures = Bundle::read(&entries, |digest, limit| match self.blob(digest)? {
            Some(blob) if blob.size <= limit => self.blob_bytes(digest, limit),
            _ => Ok(None),
        })?;
        plan.signatures.retain(|image, _| plan.seen.contains(image));
        Ok(())
    }

    /// Plans a manifest or index with all that it needs; returns its media type, or none if it is not there.
    fn plan_manifest(
        &mut self,
        descriptor: &Descriptor,
        depth: u32,
        plan: &mut Plan,
        platforms: &mut Vec<(Platform, Digest)>,
    ) -> Result<Option<String>> {
        let key = (descriptor.digest, descriptor.is_no_image());
        let path = blob_path(&descriptor.digest);
        let planned = match plan.planned.get(&key) {
            Some(planned) => {
                plan.left_out += planned.left_out;
                planned.clone()
            }
            None => {
                let Some(json) = self.blob_bytes(&descriptor.digest, MAX_MANIFEST)? else { return Ok(None) };
                check_size(&path, descriptor, json.len() as u64)?;
                let planned = self.plan_document(descriptor, &json, depth, plan)?;
                plan.planned.insert(key, planned.clone());
                planned
            }
        };
        check_size(&path, descriptor, planned.size)?;
        for one in planned.platforms {
            if !platforms.contains(&one) {
                platforms.push(one);
            }
        }
        Ok(Some(planned.media_type))
    }

    /// Plans one that is read for the first time.
    fn plan_document(&mut self, descriptor: &Descriptor, json: &[u8], depth: u32, plan: &mut Plan) -> Result<Planned> {
        let path = blob_path(&descriptor.digest);
        let document = Document::parse(json).map_err(|error| damaged(&path, error))?;
        let (mut platforms, before) = (Vec::new(), plan.left_out);
        let media_type = document.media_type().to_owned();
        let wanted = match document {
            Document::Index(_) if depth == 0 => return Err(damaged(&path, ManifestError::Nested)),
            Document::Index(index) => {
                let mut images = 0;
                for entry in &index.manifests {
                    images += usize::from(!entry.is_no_image());
                    self.plan_manifest(entry, depth - 1, plan, &mut platforms)?;
                }
                // Some platforms may have been left out on purpose, but not all.
                let none = images > 0 && platforms.is_empty();
                if none && plan.left_out == before {
                    return Err(damaged(&path, "none of the manifests in this index is there"));
                }
                !none
            }
            Document::Manifest(manifest) => self.plan_image(descriptor, &manifest, plan, &mut platforms)?,
        };
        if wanted {
            plan.add(descriptor.digest);
        }
        let left_out = plan.left_out - before;
        Ok(Planned { media_type, size: json.len() as u64, platforms, left_out })
    }

    /// Plans what a manifest refers to, unless it is for a platform that is not wanted.
    fn plan_image(
        &mut self,
        descriptor: &Descriptor,
        manifest: &Manifest,
        plan: &mut Plan,
        platforms: &mut Vec<(Platform, Digest)>,
    ) -> Result<bool> {
        let config_path = blob_path(&manifest.config.digest);
        if manifest.is_image() && !descriptor.is_no_image() {
            let json = self.blob_bytes(&manifest.config.digest, MAX_CONFIG)?;
            let json = json.ok_or_else(|| damaged(&config_path, "an image's configuration is missing"))?;
            let config = ImageConfig::parse(&json).map_err(|error| damaged(&config_path, error))?;
            manifest.layers_with(&config).map_err(|error| damaged(&blob_path(&descriptor.digest), error))?;
            if !plan.wants(&platform_of(&config)) {
                return Ok(false);
            }
            platforms.push((platform_of(&config), manifest.config.digest));
        }
        for part in manifest.layers.iter().chain([&manifest.config]) {
            let path = blob_path(&part.digest);
            match self.blob(&part.digest)? {
                Some(blob) => check_size(&path, part, blob.size)?,
                // A layer that stands at a URL, or a part of what merely describes an image.
                None if media::is_foreign(&part.media_type) || descriptor.is_no_image() => {}
                None => return Err(damaged(&path, "it is missing")),
            }
            plan.add(part.digest);
        }
        Ok(true)
    }

    /// Plans an image of Docker's archive, making its manifest.
    fn plan_docker(&mut self, entry: &DockerEntry, plan: &mut Plan) -> Result<()> {
        let json = self.bytes(&entry.config, MAX_CONFIG)?;
        let json = json.ok_or_else(|| damaged(&entry.config, "an image's configuration is missing"))?;
        let config = ImageConfig::parse(&json).map_err(|error| damaged(&entry.config, error))?;
        let config_descriptor = Descriptor::of(media::CONFIG, &json);
        let platform = platform_of(&config);
        if !plan.wants(&platform) {
            return Ok(());
        }
        let promised = entry.config.strip_suffix(".json").and_then(|name| Digest::from_hex(name).ok());
        if promised.is_some_and(|promised| promised != config_descriptor.digest) {
            return Err(damaged(&entry.config, format!("its content has the digest {}", config_descriptor.digest)));
        }
        let paths = entry.layers.as_deref().unwrap_or_default();
        let diff_ids = &config.rootfs.diff_ids;
        check_layers(paths.len(), diff_ids.len()).map_err(|error| damaged("manifest.json", error))?;
        let mut layers = Vec::with_capacity(paths.len());
        for (path, diff_id) in paths.iter().zip(diff_ids) {
            let layer = self.docker_layer(path, &Digest::from_bytes(*diff_id.as_bytes()))?;
            plan.add(layer.digest);
            layers.push(layer);
        }
        plan.add(config_descriptor.digest);
        let id = config_descriptor.digest;
        let manifest = Manifest::new(config_descriptor, layers).to_json();
        let descriptor = Descriptor::of(media::MANIFEST, &manifest).for_platform(&platform);
        self.add(blob_path(&descriptor.digest), &mut &manifest[..], descriptor.size)?;
        plan.add(descriptor.digest);
        let mut references = tags(entry)?;
        references.sort();
        references.dedup();
        plan.images.push(LoadedImage { references, descriptor, platforms: vec![(platform, id)] });
        Ok(())
    }

    /// The descriptor of a layer in Docker's archive, once its uncompressed bytes were seen to be what they should be.
    fn docker_layer(&mut self, path: &str, diff_id: &Digest) -> Result<Descriptor> {
        let store = self.store;
        let content = self.find(path)?.ok_or_else(|| damaged(path, "a layer is missing"))?;
        let blob = content.blob();
        if blob.digest == *diff_id {
            return Ok(Descriptor::new(media::LAYER, blob.digest, blob.size));
        }
        let file = match content {
            Content::Staged(staged) => staged.open()?,
            Content::Stored(blob) => store.open_blob(&blob.digest)?,
        };
        let unpack = |error: io::Error| damaged(path, format!("it cannot be uncompressed: {error}"));
        let (format, tar, _) = intake::open(file, store.archives()).map_err(unpack)?;
        let mut reader = HashingReader::new(tar);
        let kept = layer_compression(format);
        let mut writer = if kept.is_none() { Some(store.writer()?) } else { None };
        match &mut writer {
            None => drop(io::copy(&mut reader, &mut io::sink()).map_err(unpack)?),
            // No layer can be compressed so; it is kept uncompressed.
            Some(writer) => drop(writer.copy_from(&mut reader)?),
        }
        let (_, actual, _) = reader.finish();
        if actual != *diff_id {
            return Err(damaged(path, format!("the layer should be {diff_id} but is {actual}")));
        }
        let (compression, blob) = match (kept, writer) {
            (Some(compression), _) => (compression, blob),
            (None, writer) => {
                let staged = writer.map(|writer| writer.stage()).transpose()?;
                let blob = staged.as_ref().map_or(blob, StagedBlob::blob);
                self.files.extend(staged.map(|staged| (blob_path(&blob.digest), Content::Staged(staged))));
                (Compression::None, blob)
            }
        };
        Ok(Descriptor::new(compression.media_type(), blob.digest, blob.size))
    }
}

impl Plan {
    /// Whether an image for this platform is wanted; counts those that are not.
    fn wants(&mut self, platform: &Platform) -> bool {
        let wanted = self.platforms.is_empty() || self.platforms.contains(platform);
        self.left_out += usize::from(!wanted);
        wanted
    }

    fn add(&mut self, digest: Digest) {
        if self.seen.insert(digest) {
            self.blobs.push(digest);
        }
    }
}

/// How a layer of this format is kept; none if no layer can be compressed so.
pub(super) fn layer_compression(format: Format) -> Option<Compression> {
    match format {
        Format::Plain => Some(Compression::None),
        Format::Gzip => Some(Compression::Gzip),
        Format::Zstd => Some(Compression::Zstd),
        Format::Xz | Format::Bzip2 => None,
    }
}

/// Whether there is no regular file where one was looked for.
fn is_no_file(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | InvalidInput)
}

fn tags(entry: &DockerEntry) -> Result<Vec<Reference>> {
    let tags = entry.repo_tags.iter().flatten();
    tags.map(|tag| Reference::parse(tag).map_err(|error| damaged("manifest.json", error))).collect()
}

fn damaged(path: &str, reason: impl ToString) -> LoadError {
    LoadError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

fn check_size(path: &str, descriptor: &Descriptor, size: u64) -> Result<()> {
    if descriptor.size == size {
        return Ok(());
    }
    Err(damaged(path, format!("it should have {} bytes but has {size}", descriptor.size)))
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A path within the archive without `.` and `..`; none if it leads out of it, or to its root.
fn clean(base: &str, path: &str) -> Option<String> {
    let base = if path.starts_with('/') { "" } else { base };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests;
