//! `--output`: where a result goes and in which form.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::csv;

/// The form of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// An OCI image layout, as one tar file or as a folder.
    Oci,
    /// An archive that `docker load` reads.
    Docker,
    /// The root file system as one tar file.
    Tar,
    /// The root file system as a folder.
    Local,
    /// An image in the store.
    Image,
    /// An image in the store that is pushed.
    Registry,
    /// Nothing: the steps run, their results stay in the cache.
    CacheOnly,
}

const KINDS: [(&str, OutputKind); 7] = [
    ("oci", OutputKind::Oci),
    ("docker", OutputKind::Docker),
    ("tar", OutputKind::Tar),
    ("local", OutputKind::Local),
    ("image", OutputKind::Image),
    ("registry", OutputKind::Registry),
    ("cacheonly", OutputKind::CacheOnly),
];

impl fmt::Display for OutputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|(_, kind)| kind == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// Where an output is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To standard output.
    Stdout,
    /// To this file or folder.
    Path(PathBuf),
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Uncompressed,
    /// gzip, which everything reads.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The one that is written so.
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            "uncompressed" => Ok(Self::Uncompressed),
            _ => Err(format!("compression={name}: allowed are gzip, zstd and uncompressed")),
        }
    }
}

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The form.
    pub kind: OutputKind,
    /// Where to; always there for `local`, never for `image`, `registry` and `cacheonly`. A `docker` output without
    /// one goes to the store, an `oci` or `tar` output without one to standard output.
    pub destination: Option<Destination>,
    /// Whether a layout is written as one tar file (the default) or as a folder; for `oci` and `docker` only.
    pub tar: bool,
    /// Names to give the image, besides those of `--tag`.
    pub names: Vec<String>,
    /// Whether an `image` is pushed as well.
    pub push: bool,
    /// How to compress layers that this build makes; `None` leaves it to the exporter.
    pub compression: Option<Compression>,
    /// The level: 0 to 9 for gzip, 1 to 22 for zstd.
    pub compression_level: Option<u8>,
    /// Whether layers of base images are compressed anew too.
    pub force_compression: bool,
}

const KEYS: &str = "type, dest, tar, name, push, compression, compression-level and force-compression";

impl Output {
    fn new(kind: OutputKind) -> Self {
        Self {
            kind,
            destination: None,
            tar: true,
            names: Vec::new(),
            push: kind == OutputKind::Registry,
            compression: None,
            compression_level: None,
            force_compression: false,
        }
    }

    /// Whether it goes to standard output.
    pub fn uses_stdout(&self) -> bool {
        match self.destination {
            Some(Destination::Stdout) => true,
            None => matches!(self.kind, OutputKind::Oci | OutputKind::Tar),
            Some(Destination::Path(_)) => false,
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "dest" | "destination" if value == "-" => self.destination = Some(Destination::Stdout),
            "dest" | "destination" if value.is_empty() => return Err("dest= needs a path, or - for stdout".into()),
            "dest" | "destination" => self.destination = Some(Destination::Path(value.into())),
            "tar" => self.tar = csv::boolean(key, value)?,
            "name" => self.names.extend(value.split(',').filter(|name| !name.is_empty()).map(str::to_owned)),
            "push" => self.push = csv::boolean(key, value)?,
            "compression" => self.compression = Some(Compression::named(value)?),
            "compression-level" => {
                let level = value.parse().map_err(|_| format!("compression-level={value} is not a number"))?;
                self.compression_level = Some(level);
            }
            "force-compression" => self.force_compression = csv::boolean(key, value)?,
            _ => return Err(csv::unknown(key, KEYS)),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let kind = self.kind;
        match kind {
            OutputKind::Local => match &self.destination {
                None => return Err("type=local needs dest=FOLDER".into()),
                Some(Destination::Stdout) => return Err("type=local writes a folder: use type=tar for stdout".into()),
                Some(Destination::Path(_)) => {}
            },
            OutputKind::Image | OutputKind::Registry | OutputKind::CacheOnly if self.destination.is_some() => {
                return Err(format!("type={kind} does not write a file: dest is for oci, docker, tar and local"));
            }
            _ => {}
        }
        if self.push != (kind == OutputKind::Registry) && kind != OutputKind::Image {
            return Err(format!("push={} is for type=image, not for type={kind}", self.push));
        }
        if !self.tar {
            match (kind, &self.destination) {
                (OutputKind::Oci | OutputKind::Docker, Some(Destination::Path(_))) => {}
                (OutputKind::Oci | OutputKind::Docker, _) => {
                    return Err("tar=false writes a folder: it needs dest=FOLDER".into());
                }
                _ => return Err(format!("tar=false is for type=oci and type=docker, not for type={kind}")),
            }
        }
        let layered = !matches!(kind, OutputKind::Tar | OutputKind::Local | OutputKind::CacheOnly);
        if (self.compression.is_some() || self.compression_level.is_some() || self.force_compression) && !layered {
            return Err(format!("type={kind} has no compressed layers: leave out its compression"));
        }
        let range = match self.compression {
            None | Some(Compression::Gzip) => 0..=9,
            Some(Compression::Zstd) => 1..=22,
            Some(Compression::Uncompressed) => 0..=0,
        };
        match self.compression_level {
            Some(level) if !range.contains(&level) => Err(match self.compression {
                Some(Compression::Uncompressed) => "compression=uncompressed has no level".into(),
                _ => format!("compression-level={level}: allowed are {} to {}", range.start(), range.end()),
            }),
            _ => Ok(()),
        }
    }
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self { destination: Some(Destination::Stdout), ..Self::new(OutputKind::Tar) });
        }
        if text.is_empty() {
            return Err("it is empty: write type=oci,dest=FILE, for example, or a folder".into());
        }
        if !text.contains('=') {
            let destination = Some(Destination::Path(text.into()));
            return Ok(Self { destination, ..Self::new(OutputKind::Local) });
        }
        let pairs = csv::pairs(text)?;
        let Some((_, kind)) = pairs.iter().find(|(key, _)| key == "type") else {
            return Err(format!("type= is missing: allowed are {}", kinds()));
        };
        let Some((_, kind)) = KINDS.iter().find(|(name, _)| name == kind) else {
            return Err(format!("type={kind}: allowed are {}", kinds()));
        };
        let mut output = Self::new(*kind);
        for (key, value) in pairs.iter().filter(|(key, _)| key != "type") {
            output.set(key, value)?;
        }
        output.check()?;
        Ok(output)
    }
}

fn kinds() -> String {
    let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Option<Destination> {
        Some(Destination::Path(path.into()))
    }

    #[test]
    fn reads_the_short_forms() {
        let check = |text: &str, expected: Output| assert_eq!(text.parse(), Ok(expected), "{text}");
        check("-", Output { destination: Some(Destination::Stdout), ..Output::new(OutputKind::Tar) });
        check("out/dir", Output { destination: path("out/dir"), ..Output::new(OutputKind::Local) });
    }

    #[test]
    fn reads_the_long_form() {
        let check = |text: &str, expected: Output| assert_eq!(text.parse(), Ok(expected), "{text}");
        check("type=oci,dest=a.tar", Output { destination: path("a.tar"), ..Output::new(OutputKind::Oci) });
        check("dest=-,type=tar", Output { destination: Some(Destination::Stdout), ..Output::new(OutputKind::Tar) });
        check(r#"type=local,"dest=a,b""#, Output { destination: path("a,b"), ..Output::new(OutputKind::Local) });
        check(
            "type=oci,dest=d,tar=false",
            Output { destination: path("d"), tar: false, ..Output::new(OutputKind::Oci) },
        );
        check(
            "type=docker,compression=zstd,compression-level=19,force-compression=true",
            Output {
                compression: Some(Compression::Zstd),
                compression_level: Some(19),
                force_compression: true,
                ..Output::new(OutputKind::Docker)
            },
        );
        check(
            r#"type=image,"name=a:1,b:2""#,
            Output { names: vec!["a:1".into(), "b:2".into()], ..Output::new(OutputKind::Image) },
        );
    }

    #[test]
    fn says_what_is_allowed() {
        let check = |text: &str, expected: &str| assert_eq!(text.parse::<Output>().unwrap_err(), expected, "{text}");
        check("", "it is empty: write type=oci,dest=FILE, for example, or a folder");
        check("dest=a", "type= is missing: allowed are oci, docker, tar, local, image, registry, cacheonly");
        check("type=zip", "type=zip: allowed are oci, docker, tar, local, image, registry, cacheonly");
        check("type=local", "type=local needs dest=FOLDER");
        check("type=local,dest=-", "type=local writes a folder: use type=tar for stdout");
        check("type=image,dest=a", "type=image does not write a file: dest is for oci, docker, tar and local");
        check("type=oci,compression=xz", "compression=xz: allowed are gzip, zstd and uncompressed");
        check("type=oci,compression-level=10", "compression-level=10: allowed are 0 to 9");
        check("type=oci,compression=zstd,compression-level=0", "compression-level=0: allowed are 1 to 22");
        check("type=tar,compression=gzip", "type=tar has no compressed layers: leave out its compression");
        check("type=oci,tar=false", "tar=false writes a folder: it needs dest=FOLDER");
        check("type=oci,tar=maybe,dest=a", "tar=maybe: allowed are true and false");
        check(
            "type=oci,dset=a",
            "the key \"dset\" is unknown: allowed are type, dest, tar, name, push, compression, compression-level and \
             force-compression",
        );
    }
}
