//! `import`: the files of a root file system, as a tar, become an image of one layer.

pub(super) mod changes;

use std::io::{self, BufReader, Read, Write};

use super::error::Diagnostics;
use crate::compress::{self, Compression, Format};
use crate::digest::{DiffId, Digest, HashingReader};
use crate::fstree::tar::{Dialect, Reason, TarError};
use crate::oci::media;
use crate::oci::{Descriptor, History, Manifest, Platform, Reference, RootFs};
use crate::store::intake::Meter;
use crate::store::{StagedBlob, Store, StoreError, io_error};

/// The creation time of an image where none is given: the first moment that a zip can hold.
const EPOCH: &str = "1980-01-01T00:00:00Z";

/// Why a tar was not imported. Nothing of it is then in the store.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The stream could not be read or uncompressed.
    #[error("cannot read the root file system: {0}")]
    Read(#[source] io::Error),
    /// It is a damaged tar.
    #[error("cannot read the root file system: {0}")]
    Damaged(#[source] TarError),
    /// It is not a tar.
    #[error("the root file system is not a tar archive: {0}")]
    NotATar(String),
    /// The changes to the configuration are wrong.
    #[error(transparent)]
    Changes(#[from] Box<Diagnostics>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an imported image is like.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Its names.
    pub references: Vec<Reference>,
    /// Its platform.
    pub platform: Platform,
    /// Its creation time, RFC 3339; 1980 if none is given.
    pub created: Option<String>,
    /// The remark in its history, such as `Imported from -`.
    pub message: String,
    /// Instructions of a Dockerfile for its configuration, such as `CMD sh`; otherwise it is that of `FROM scratch`.
    pub changes: Vec<String>,
    /// How its layer is compressed if it does not come compressed with gzip or zstd.
    pub compression: Compression,
}

/// An image that was imported.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedImage {
    /// Its ID: the digest of its configuration.
    pub id: Digest,
    /// Its manifest.
    pub descriptor: Descriptor,
}

/// Makes an image of a tar, compressed in any way. One that comes compressed with gzip or zstd is kept as it is.
///
/// The tar is read to its end before anything enters the store.
pub fn import(store: &Store, input: impl Read + Send, options: ImportOptions) -> Result<ImportedImage, ImportError> {
    store.confined(|| bring(store, input, options)).map_err(ImportError::Read)?
}

fn bring(store: &Store, input: impl Read + Send, options: ImportOptions) -> Result<ImportedImage, ImportError> {
    let mut config = changes::apply(&options.changes, &options.platform).map_err(Box::new)?;
    let (layer, diff_id, media_type) = read_layer(store, input, options.compression)?;

    let created = options.created.unwrap_or_else(|| EPOCH.to_owned());
    config.created = Some(created.clone());
    config.rootfs = RootFs { diff_ids: vec![diff_id], ..RootFs::default() };
    config.history = vec![History { created: Some(created), comment: options.message, ..History::default() }];

    let layer = layer.commit()?;
    let config = config.to_json();
    let id = store.put(&config)?.digest;
    let layers = vec![Descriptor::new(media_type, layer.digest, layer.size)];
    let manifest = Manifest::new(Descriptor::of(media::CONFIG, &config), layers).to_json();
    store.put(&manifest)?;
    let descriptor = Descriptor::of(media::MANIFEST, &manifest).for_platform(&options.platform);
    store.update_index(|index| {
        for reference in &options.references {
            index.set(reference, descriptor.clone());
        }
        index.add_untagged(descriptor.clone());
    })?;
    Ok(ImportedImage { id, descriptor })
}

/// The layer as it is to be stored, once all of it was seen to be a tar, with its media type.
fn read_layer(
    store: &Store,
    mut input: impl Read + Send,
    wanted: Compression,
) -> Result<(StagedBlob<'_>, DiffId, &'static str), ImportError> {
    let mut head = Vec::with_capacity(6);
    input.by_ref().take(6).read_to_end(&mut head).map_err(ImportError::Read)?;
    if head.is_empty() {
        return Err(ImportError::NotATar("it is empty".into()));
    }
    let format = Format::sniff(&head);
    let whole = BufReader::with_capacity(256 << 10, io::Cursor::new(head).chain(input));
    let mut writer = store.writer()?;
    let meter = Meter::new(store.archives());
    let (checked, media_type) = match (format, wanted) {
        (Format::Gzip | Format::Zstd, _) => {
            let mut copy = Tee { input: whole, out: &mut writer, failed: None };
            let packed = BufReader::new(meter.packed(&mut copy));
            let checked = compress::decoder(format, packed).map_err(ImportError::Read);
            let checked = checked.and_then(|tar| check_tar(tar, &meter)).and_then(|diff_id| {
                // What stands behind the compressed stream belongs to the bytes all the same.
                io::copy(&mut copy, &mut io::sink()).map_err(ImportError::Read).map(|_| diff_id)
            });
            copy.finish(store)?;
            (checked?, if format == Format::Gzip { media::LAYER_GZIP } else { media::LAYER_ZSTD })
        }
        (_, wanted) => {
            let tar = compress::decoder(format, BufReader::new(meter.packed(whole))).map_err(ImportError::Read)?;
            let out = compress::writer(&mut writer, wanted).map_err(ImportError::Read)?;
            let mut copy = Tee { input: tar, out, failed: None };
            let checked = check_tar(BufReader::with_capacity(256 << 10, &mut copy), &meter);
            copy.finish(store)?.finish().map_err(io_error("write a layer to", store.root()))?;
            let media_type = match wanted {
                Compression::None => media::LAYER,
                Compression::Gzip { .. } => media::LAYER_GZIP,
                Compression::Zstd { .. } => media::LAYER_ZSTD,
            };
            (checked?, media_type)
        }
    };
    Ok((writer.stage()?, checked, media_type))
}

/// A reader whose bytes are written elsewhere as well.
struct Tee<R, W> {
    input: R,
    out: W,
    /// Why writing failed: not the reader's fault.
    failed: Option<io::Error>,
}

impl<R, W> Tee<R, W> {
    /// What was written to, if that went well.
    fn finish(self, store: &Store) -> Result<W, StoreError> {
        match self.failed {
            Some(error) => Err(io_error("write a layer to", store.root())(error)),
            None => Ok(self.out),
        }
    }
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.out.write_all(&buffer[..read]).map_err(|error| {
            let kind = error.kind();
            self.failed = Some(error);
            io::Error::from(kind)
        })?;
        Ok(read)
    }
}

/// Reads a whole tar; its digest, if it is one. What is refused here could not be unpacked later.
fn check_tar(input: impl Read, meter: &Meter) -> Result<DiffId, ImportError> {
    let mut reader = meter.tar(HashingReader::new(meter.unpacked(input)), Dialect::Layer);
    let mut first = true;
    loop {
        match reader.next() {
            Ok(None) => break,
            Ok(Some((_, mut content))) => {
                // Bytes that are missing are missed.
                io::copy(&mut content, &mut io::sink()).map_err(ImportError::Read)?;
            }
            Err(error) if first && matches!(error.reason, Reason::NotAHeader | Reason::CutOff) => {
                return Err(ImportError::NotATar(error.to_string()));
            }
            Err(error) => return Err(ImportError::Damaged(error)),
        }
        first = false;
    }
    // What stands behind the end mark belongs to the bytes all the same.
    reader.drain().map_err(ImportError::Damaged)?;
    let digest: Digest = reader.into_inner().finish().1;
    Ok(DiffId::from_bytes(*digest.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Hole;

    fn rootfs() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        header.set_mode(0o644);
        tar.append_data(&mut header, "etc/hostname", &b"box"[..]).unwrap();
        tar.into_inner().unwrap()
    }

    fn options() -> ImportOptions {
        ImportOptions {
            references: vec!["box".parse().unwrap()],
            platform: "linux/arm64".parse().unwrap(),
            created: None,
            message: "Imported from -".into(),
            changes: vec!["CMD [\"sh\"]".into()],
            compression: Compression::None,
        }
    }

    fn setup() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    #[track_caller]
    fn check(input: &[u8], options: ImportOptions, media_type: &str, blob: &[u8]) {
        let (_folder, store) = setup();
        let imported = import(&store, input, options).unwrap();
        let image = store.resolve(&"box".parse().unwrap(), &"linux/arm64".parse().unwrap()).unwrap().unwrap();
        assert_eq!((image.manifest.digest, image.config_digest), (imported.descriptor.digest, imported.id));
        assert_eq!(image.config.config.cmd, Some(vec!["sh".to_owned()]));
        assert_eq!(image.config.created.as_deref(), Some(EPOCH));
        let [(layer, diff_id)] = &image.layers[..] else { panic!("{:?}", image.layers) };
        assert_eq!(layer.media_type, media_type);
        assert_eq!(layer.digest, Digest::of(blob));
        assert_eq!(diff_id.as_bytes(), Digest::of(&rootfs()).as_bytes());
        assert_eq!(store.blobs().unwrap().len(), 3);
    }

    #[test]
    fn keeps_gzip_and_zstd_and_unpacks_others() {
        let tar = rootfs();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(&tar[..], 3).unwrap();
        let xz = liblzma::encode_all(&tar[..], 1).unwrap();
        check(&tar, options(), media::LAYER, &tar);
        check(&gzip, options(), media::LAYER_GZIP, &gzip);
        check(&zstd, options(), media::LAYER_ZSTD, &zstd);
        check(&xz, options(), media::LAYER, &tar);
        for (compression, media_type) in
            [(Compression::GZIP, media::LAYER_GZIP), (Compression::ZSTD, media::LAYER_ZSTD)]
        {
            let mut compressed = compress::writer(Vec::new(), compression).unwrap();
            compressed.write_all(&tar).unwrap();
            let compressed = compressed.finish().unwrap();
            let options = || ImportOptions { compression, ..options() };
            check(&tar, options(), media_type, &compressed);
            check(&xz, options(), media_type, &compressed);
            check(&gzip, options(), media::LAYER_GZIP, &gzip);
        }
    }

    #[test]
    fn what_is_no_tar_leaves_nothing() {
        let tar = rootfs();
        let zstd = zstd::encode_all(&b"no tar, but long enough for a header".repeat(99)[..], 3).unwrap();
        for input in [&b""[..], b"text", &zstd, &tar[..600], &zstd[..20]] {
            for compression in [Compression::None, Compression::GZIP] {
                let (_folder, store) = setup();
                import(&store, input, ImportOptions { compression, ..options() }).unwrap_err();
                assert_eq!((store.blobs().unwrap().len(), store.list_references().unwrap().len()), (0, 0));
            }
        }
    }

    #[test]
    fn a_hole_leads_nowhere() {
        let (_folder, store) = setup();
        let outside = tempfile::tempdir().unwrap();
        for input in [rootfs(), zstd::encode_all(&rootfs()[..], 3).unwrap()] {
            import(&store, Hole(&input[..], outside.path().into()), options()).unwrap();
        }
    }

    #[test]
    fn a_wrong_change_leaves_nothing() {
        let (_folder, store) = setup();
        let changes = vec!["CMD sh".into(), "RUN sh".into()];
        let error = import(&store, &rootfs()[..], ImportOptions { changes, ..options() }).unwrap_err();
        assert!(matches!(error, ImportError::Changes(_)), "{error}");
        assert_eq!(store.blobs().unwrap(), [].into());
    }
}
