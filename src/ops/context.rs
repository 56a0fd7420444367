//! Build contexts that come as an archive.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;

use crate::fstree::tar::Dialect;
use crate::fstree::{Merged, Meta, TreePath};
use crate::ops::Error;
use crate::store::snapshot::{self, NoLowerFiles, Unpack};
use crate::store::{Store, intake, io_error};

/// Unpacks the archive of a build context, compressed or not, into a temporary folder that goes with this process.
pub fn unpack_context(store: &Store, archive: impl Read + Send) -> Result<PathBuf, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::build(format!("the build context is not a tar file that can be unpacked: {error}"))
            .help("pipe a tar file (plain, gzip, bzip2, xz or zstd) or a Dockerfile into `imgbuild build -`")
    };
    let folder = store.tmp_path("context")?;
    std::fs::create_dir(&folder).map_err(io_error("create", &folder))?;
    let root = File::open(&folder).map_err(io_error("open", &folder))?;
    let options = Unpack {
        lower: &Merged::default(),
        alone: false,
        files: &NoLowerFiles,
        base: TreePath::root(),
        implied: Meta { mode: 0o755, ..Meta::default() },
        overlay: store.overlay(),
        adjust: &|_| {},
    };
    let unpack = || {
        let mut reader = intake::tar(archive, Dialect::Archive, store.archives()).map_err(|error| failed(&error))?;
        snapshot::unpack(&mut reader, root.as_fd(), &options).map_err(|error| failed(&error))
    };
    store.confined(unpack).map_err(|error| failed(&error))??;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Hole;

    #[test]
    fn a_hole_leads_nowhere() {
        let [folder, outside] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let store = Store::open(folder.path()).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        header.set_mode(0o644);
        tar.append_data(&mut header, "file", &b"abc"[..]).unwrap();
        let tar = tar.into_inner().unwrap();
        let unpacked = unpack_context(&store, Hole(&tar[..], outside.path().into())).unwrap();
        assert_eq!(std::fs::read(unpacked.join("file")).unwrap(), b"abc");
    }
}
