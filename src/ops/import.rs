//! `import`: the files of a root file system, as a tar, become an image of one layer.

use std::io::{self, Read, Write};

use super::input::{Format, each_entry, peek};
use crate::digest::{DiffId, Digest, HashingReader};
use crate::oci::media::{self, Compression};
use crate::oci::{Descriptor, History, ImageConfig, Manifest, Platform, Reference, RootFs};
use crate::store::{StagedBlob, Store, StoreError};

/// The creation time of an image where none is given: the first moment that a zip can hold.
const EPOCH: &str = "1980-01-01T00:00:00Z";

/// Why a tar was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The stream could not be read or uncompressed.
    #[error("cannot read the root file system: {0}")]
    Read(#[source] io::Error),
    /// It is not a tar.
    #[error("the root file system is not a tar archive: {0}")]
    NotATar(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Compresses a layer: reads a tar, writes it compressed, the same bytes every time.
pub struct LayerCompressor<'a> {
    /// How.
    pub compression: Compression,
    /// The function that does it.
    pub run: &'a dyn Fn(&mut dyn Read, &mut dyn Write) -> io::Result<()>,
}

/// What an imported image is like.
pub struct ImportOptions<'a> {
    /// Its names.
    pub references: Vec<Reference>,
    /// Its platform.
    pub platform: Platform,
    /// Its creation time, RFC 3339; 1980 if none is given.
    pub created: Option<String>,
    /// The remark in its history, such as `Imported from -`.
    pub message: String,
    /// How its layer is compressed if it does not come compressed with gzip or zstd; not at all if none.
    pub compressor: Option<LayerCompressor<'a>>,
}

/// Makes an image of a tar, compressed in any way. Returns its manifest's descriptor.
///
/// A tar that comes compressed with gzip or zstd is kept as it is. `change` may change the configuration as the user
/// wishes (`--change`); the layer, its history and the platform are set afterwards.
pub fn import(
    store: &Store,
    input: impl Read,
    options: ImportOptions<'_>,
    change: impl FnOnce(&mut ImageConfig),
) -> Result<Descriptor, ImportError> {
    let (start, whole) = peek(input).map_err(ImportError::Read)?;
    if start.is_empty() {
        return Err(ImportError::NotATar("it is empty".into()));
    }
    let format = Format::of(&start);
    let (layer, diff_id, compression) = match format {
        Format::Layer(compression @ (Compression::Gzip | Compression::Zstd)) => {
            let layer = stage(store, whole)?;
            let tar = format.decoder(layer.open()?).map_err(ImportError::Read)?;
            let diff_id = check_tar(tar)?;
            (layer, diff_id, compression)
        }
        _ => {
            let tar = stage(store, format.decoder(whole).map_err(ImportError::Read)?)?;
            let diff_id = check_tar(tar.open()?)?;
            match &options.compressor {
                None => (tar, diff_id, Compression::None),
                Some(compressor) => {
                    let mut writer = store.writer()?;
                    (compressor.run)(&mut tar.open()?, &mut writer).map_err(ImportError::Read)?;
                    (writer.stage()?, diff_id, compressor.compression)
                }
            }
        }
    };
    let mut config = ImageConfig::default();
    change(&mut config);
    let created = options.created.unwrap_or_else(|| EPOCH.to_owned());
    config.created = Some(created.clone());
    config.os = options.platform.os.clone();
    config.architecture = options.platform.architecture.clone();
    config.variant = options.platform.variant.clone();
    config.rootfs = RootFs { diff_ids: vec![diff_id], ..RootFs::default() };
    config.history = vec![History { created: Some(created), comment: options.message, ..History::default() }];

    let layer = layer.commit()?;
    let config = config.to_json();
    store.put(&config)?;
    let layers = vec![Descriptor::new(compression.media_type(), layer.digest, layer.size)];
    let manifest = Manifest::new(Descriptor::of(media::CONFIG, &config), layers).to_json();
    store.put(&manifest)?;
    let descriptor = Descriptor::of(media::MANIFEST, &manifest).for_platform(&options.platform);
    store.update_index(|index| {
        for reference in &options.references {
            index.set(reference, descriptor.clone());
        }
        index.add_untagged(descriptor.clone());
    })?;
    Ok(descriptor)
}

fn stage(store: &Store, mut input: impl Read) -> Result<StagedBlob<'_>, ImportError> {
    let mut writer = store.writer()?;
    writer.copy_from(&mut input).map_err(|error| match error {
        StoreError::Input(error) => ImportError::Read(error),
        error => error.into(),
    })?;
    Ok(writer.stage()?)
}

/// Reads a whole tar; its digest, if it is one.
fn check_tar(input: impl Read) -> Result<DiffId, ImportError> {
    let mut hashing = HashingReader::new(input);
    each_entry(&mut hashing, |count, entry| match entry {
        Ok(_) => Ok(()),
        Err(error) if count == 0 && error.kind() == io::ErrorKind::Other => {
            Err(ImportError::NotATar(error.to_string()))
        }
        Err(error) => Err(ImportError::Read(error)),
    })?;
    // What stands behind the end mark belongs to the bytes all the same.
    io::copy(&mut hashing, &mut io::sink()).map_err(ImportError::Read)?;
    let digest: Digest = hashing.finish().1;
    Ok(DiffId::from_bytes(*digest.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rootfs() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        header.set_mode(0o644);
        tar.append_data(&mut header, "etc/hostname", &b"box"[..]).unwrap();
        tar.into_inner().unwrap()
    }

    fn options<'a>() -> ImportOptions<'a> {
        ImportOptions {
            references: vec!["box".parse().unwrap()],
            platform: "linux/arm64".parse().unwrap(),
            created: None,
            message: "Imported from -".into(),
            compressor: None,
        }
    }

    fn setup() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    #[track_caller]
    fn check(input: &[u8], options: ImportOptions<'_>, media_type: &str, blob: &[u8]) {
        let (_folder, store) = setup();
        let change = |config: &mut ImageConfig| config.config.cmd = Some(vec!["sh".into()]);
        let descriptor = import(&store, input, options, change).unwrap();
        let image = store.resolve(&"box".parse().unwrap(), &"linux/arm64".parse().unwrap()).unwrap().unwrap();
        assert_eq!(image.manifest.digest, descriptor.digest);
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
        check(&tar, options(), media::LAYER, &tar);
        check(&gzip, options(), media::LAYER_GZIP, &gzip);
        check(&zstd, options(), media::LAYER_ZSTD, &zstd);
        check(&liblzma::encode_all(&tar[..], 1).unwrap(), options(), media::LAYER, &tar);
        let run: &dyn Fn(&mut dyn Read, &mut dyn Write) -> io::Result<()> =
            &|input, out| zstd::stream::copy_encode(input, out, 3);
        let compressor = Some(LayerCompressor { compression: Compression::Zstd, run });
        check(&tar, ImportOptions { compressor, ..options() }, media::LAYER_ZSTD, &zstd);
    }

    #[test]
    fn what_is_no_tar_leaves_nothing() {
        let tar = rootfs();
        let zstd = zstd::encode_all(&b"no tar, but long enough for a header".repeat(99)[..], 3).unwrap();
        for input in [&b""[..], b"text", &zstd, &tar[..600], &zstd[..20]] {
            let (_folder, store) = setup();
            import(&store, input, options(), |_| {}).unwrap_err();
            assert_eq!((store.blobs().unwrap().len(), store.list_references().unwrap().len()), (0, 0));
        }
    }
}
