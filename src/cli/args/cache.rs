//! `--cache-from` and `--cache-to`: where results of steps are looked for and put besides the store.

use std::path::PathBuf;
use std::str::FromStr;

use super::csv;
use super::output::Compression;
use crate::frontend::buildfile::OTHER_CACHES;
use crate::graph::limits;
use crate::oci::Reference;
use crate::registry::Secret;
use crate::registry::actions::{DEFAULT_SCOPE, DEFAULT_TIMEOUT, Service};
use crate::registry::s3::Bucket;

/// One `--cache-from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFrom {
    /// Where the cache is.
    pub place: CachePlace,
    /// Whether cache mounts begin with what is in it.
    pub mounts: bool,
}

/// One `--cache-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheTo {
    /// Where the cache goes; none for along with the image.
    pub place: Option<CachePlace>,
    /// Whether it holds all steps, and not only those of the result.
    pub max: bool,
    /// How to compress layers that are no blobs yet.
    pub compression: Option<Compression>,
    /// The level of that.
    pub compression_level: Option<u8>,
    /// Whether the build goes on if it cannot be written.
    pub ignore_error: bool,
    /// Whether it holds what is in cache mounts.
    pub mounts: bool,
}

/// Where a cache is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// In a registry.
    Registry(Reference),
    /// In a folder, under a tag or digest.
    Folder(PathBuf, String),
    /// In a bucket, under a name.
    Bucket(Bucket, String),
    /// In the cache of GitHub Actions.
    Actions(Service),
}

/// What a layout or a bucket calls a cache, unless it is said.
const TAG: &str = "latest";

/// The keys of `type=s3` that say where, as docker names them.
const BUCKET_KEYS: [&str; 6] = ["bucket", "region", "name", "prefix", "endpoint_url", "use_path_style"];
/// The keys of docker's that would put a secret into the list of processes.
const SECRET_KEYS: [&str; 3] = ["access_key_id", "secret_access_key", "session_token"];
/// The keys of `type=gha`, as docker names them.
const ACTIONS_KEYS: [&str; 8] = ["scope", "url_v2", "token", "timeout", "url", "version", "repository", "ghtoken"];
const FROM_KEYS: [&str; 6] = ["type", "ref", "src", "tag", "digest", "mounts"];
const TO_KEYS: [&str; 12] = [
    "type",
    "ref",
    "dest",
    "tag",
    "mode",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "image-manifest",
    "ignore-error",
    "mounts",
];

/// The value of a key, which may be there once, without it.
struct Pairs(Vec<(String, String)>);

impl Pairs {
    fn read(text: &str, keys: &[&str]) -> Result<Self, String> {
        let pairs = csv::pairs(text)?;
        let is = |kind: &str| pairs.iter().any(|(key, value)| key == "type" && value == kind);
        let bucket = is("s3");
        let more: &[&str] = match (bucket, is("gha")) {
            (true, _) => &BUCKET_KEYS,
            (false, true) => &ACTIONS_KEYS,
            (false, false) => &[],
        };
        let keys = [keys, more].concat();
        for (key, _) in &pairs {
            if bucket && SECRET_KEYS.contains(&key.as_str()) {
                let variable = format!("AWS_{}", key.to_ascii_uppercase());
                return Err(format!("{key} is not taken, where others could read it: set {variable}"));
            }
            if !keys.contains(&key.as_str()) {
                return Err(csv::unlike(key, &keys));
            }
        }
        Ok(Self(pairs))
    }

    fn bucket(&mut self) -> Result<CachePlace, String> {
        let name = self.take("bucket")?.ok_or("type=s3 needs bucket=NAME")?;
        let region = self.take("region")?.ok_or("type=s3 needs region=NAME, such as region=eu-west-1")?;
        let (prefix, endpoint) = (self.take("prefix")?.unwrap_or_default(), self.take("endpoint_url")?);
        let path_style = self.flag("use_path_style")?.unwrap_or_default();
        let bucket = Bucket::new(&name, &region, &prefix, endpoint.as_deref(), path_style)?;
        let name = self.take("name")?.unwrap_or_else(|| TAG.into());
        if name.contains(';') {
            return Err(format!("name={name}: a cache has one name; for several, give the flag several times"));
        }
        Ok(CachePlace::Bucket(bucket, name))
    }

    fn actions(&mut self) -> Result<CachePlace, String> {
        match self.take("version")?.as_deref() {
            None | Some("2") => {}
            Some(version) => return Err(format!("version={version}: only version 2 of the service is spoken")),
        }
        if self.take("url")?.is_some() {
            return Err("url is where version 1 of the service was, which is not spoken: url_v2 is meant".into());
        }
        // What docker uses them for is asked of the service itself.
        self.take("repository")?;
        self.take("ghtoken")?;
        let scope = self.take("scope")?.unwrap_or_else(|| DEFAULT_SCOPE.into());
        let (url, token) = (self.take("url_v2")?, self.take("token")?.map(Secret));
        let parse = |text: String| limits::time(&text).map_err(|reason| format!("timeout: {reason}"));
        let timeout = self.take("timeout")?.map(parse).transpose()?.unwrap_or(DEFAULT_TIMEOUT);
        Service::new(&scope, url, token, timeout).map(CachePlace::Actions)
    }

    fn take(&mut self, key: &str) -> Result<Option<String>, String> {
        let mut found = None;
        while let Some(place) = self.0.iter().position(|(known, _)| known == key) {
            let (_, value) = self.0.remove(place);
            if value.is_empty() {
                return Err(format!("{key}= is empty"));
            }
            if found.replace(value).is_some() {
                return Err(format!("{key}= is there more than once"));
            }
        }
        Ok(found)
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>, String> {
        self.take(key)?.map(|value| csv::boolean(key, &value)).transpose()
    }

    fn kind(&mut self) -> Result<String, String> {
        self.take("type")?.ok_or_else(|| "type= is missing: allowed are registry, local, s3, gha and inline".into())
    }

    /// Fails if anything is left, which this kind does not take.
    fn nothing_else(self, kind: &str) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |(key, _)| Err(format!("{key} is not for type={kind}")))
    }

    fn reference(&mut self) -> Result<CachePlace, String> {
        let text =
            self.take("ref")?.ok_or("type=registry needs ref=NAME, such as ref=registry.example.com/app:cache")?;
        Reference::parse(&text).map(CachePlace::Registry).map_err(|error| error.to_string())
    }
}

fn unsupported(kind: &str, allowed: &str) -> String {
    match OTHER_CACHES.contains(&kind) {
        true => format!("type={kind} is not supported by this version: allowed are {allowed}"),
        false => format!("type={kind}: allowed are {allowed}"),
    }
}

impl FromStr for CacheFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            let reference = Reference::parse(text).map_err(|error| error.to_string())?;
            return Ok(Self { place: CachePlace::Registry(reference), mounts: false });
        }
        let mut pairs = Pairs::read(text, &FROM_KEYS)?;
        let kind = pairs.kind()?;
        let place = match kind.as_str() {
            "registry" => pairs.reference()?,
            "local" => {
                let folder = pairs.take("src")?.ok_or("type=local needs src=FOLDER")?;
                let (tag, digest) = (pairs.take("tag")?, pairs.take("digest")?);
                CachePlace::Folder(folder.into(), digest.or(tag).unwrap_or_else(|| TAG.into()))
            }
            "s3" => pairs.bucket()?,
            "gha" => pairs.actions()?,
            "inline" => return Err("type=inline is for --cache-to: to read such a cache, name the image".into()),
            other => return Err(unsupported(other, "registry, local, s3 and gha")),
        };
        let mounts = pairs.flag("mounts")?.unwrap_or_default();
        pairs.nothing_else(&kind)?;
        Ok(Self { place, mounts })
    }
}

impl FromStr for CacheTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            // Of other builders: the name alone is where the cache goes.
            let reference = Reference::parse(text).map_err(|error| error.to_string())?;
            return Ok(Self { place: Some(CachePlace::Registry(reference)), ..Self::new() });
        }
        let mut pairs = Pairs::read(text, &TO_KEYS)?;
        let kind = pairs.kind()?;
        let mut to = Self::new();
        to.place = match kind.as_str() {
            "registry" => Some(pairs.reference()?),
            "local" => {
                let folder = pairs.take("dest")?.ok_or("type=local needs dest=FOLDER")?;
                Some(CachePlace::Folder(folder.into(), pairs.take("tag")?.unwrap_or_else(|| TAG.into())))
            }
            "s3" => Some(pairs.bucket()?),
            "gha" => Some(pairs.actions()?),
            "inline" => None,
            other => return Err(unsupported(other, "registry, local, s3, gha and inline")),
        };
        to.max = match pairs.take("mode")?.as_deref() {
            None | Some("min") => false,
            Some("max") if to.place.is_none() => {
                let advice = "for all steps, use type=registry,mode=max";
                return Err(format!(
                    "type=inline goes along with the layers of the image, which is mode=min: {advice}"
                ));
            }
            Some("max") => true,
            Some(other) => return Err(format!("mode={other}: allowed are min and max")),
        };
        to.ignore_error = pairs.flag("ignore-error")?.unwrap_or_default();
        if to.place.is_some() {
            to.mounts = pairs.flag("mounts")?.unwrap_or_default();
            to.compression = pairs.take("compression")?.as_deref().map(Compression::named).transpose()?;
            let level = pairs.take("compression-level")?;
            let parse = |level: String| level.parse().map_err(|_| format!("compression-level={level} is not a number"));
            to.compression_level = level.map(parse).transpose()?;
        }
        // What others have for the sake of registries of long ago.
        for key in ["oci-mediatypes", "image-manifest"] {
            if pairs.flag(key)? == Some(false) {
                return Err(format!("{key}=false is not supported: a cache is an OCI manifest"));
            }
        }
        if pairs.flag("force-compression")? == Some(true) {
            return Err("force-compression is not supported: layers that are there stay as they are".into());
        }
        pairs.nothing_else(&kind)?;
        Ok(to)
    }
}

impl CacheTo {
    fn new() -> Self {
        Self { place: None, max: false, compression: None, compression_level: None, ignore_error: false, mounts: false }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn registry(name: &str) -> CachePlace {
        CachePlace::Registry(Reference::parse(name).unwrap())
    }

    #[test]
    fn reads_where_from() {
        let check = |text: &str, place: CachePlace| {
            let mounts = text.contains("mounts=true");
            assert_eq!(text.parse(), Ok(CacheFrom { place, mounts }), "{text}");
        };
        check("user/app:cache", registry("user/app:cache"));
        check("type=registry,ref=localhost:5000/app", registry("localhost:5000/app"));
        check("type=local,src=a/b", CachePlace::Folder("a/b".into(), "latest".into()));
        check("type=local,src=a,mounts=true", CachePlace::Folder("a".into(), "latest".into()));
        check("type=local,src=a,tag=x", CachePlace::Folder("a".into(), "x".into()));
        check("type=local,src=a,digest=sha256:00", CachePlace::Folder("a".into(), "sha256:00".into()));
        let bucket = |prefix: &str, endpoint, path_style| Bucket::new("b", "r", prefix, endpoint, path_style).unwrap();
        check("type=s3,bucket=b,region=r", CachePlace::Bucket(bucket("", None, false), "latest".into()));
        check(
            "type=s3,bucket=b,region=r,name=n,prefix=p/,endpoint_url=http://h:1,use_path_style=true,mounts=true",
            CachePlace::Bucket(bucket("p/", Some("http://h:1"), true), "n".into()),
        );
    }

    #[test]
    fn reads_which_cache_of_a_service() {
        let check = |text: &str, scope: &str, url: Option<&str>, token: Option<&str>, seconds: u64| {
            let (url, token) = (url.map(str::to_owned), token.map(|token| Secret(token.into())));
            let service = Service::new(scope, url, token, Duration::from_secs(seconds)).unwrap();
            let from: CacheFrom = text.parse().unwrap();
            assert_eq!(from.place, CachePlace::Actions(service), "{text}");
            assert_eq!(text.parse::<CacheTo>().unwrap().place, Some(from.place), "{text}");
        };
        check("type=gha", "buildkit", None, None, 600);
        check("type=gha,scope=a/b,timeout=90s,version=2,ghtoken=x,repository=o/r", "a/b", None, None, 90);
        check("type=gha,url_v2=https://h/,token=t", "buildkit", Some("https://h/"), Some("t"), 600);
        assert!(!format!("{:?}", "type=gha,token=hidden".parse::<CacheFrom>()).contains("hidden"));
    }

    #[test]
    fn reads_where_to() {
        let check = |text: &str, expected: CacheTo| assert_eq!(text.parse(), Ok(expected), "{text}");
        check("type=inline", CacheTo::new());
        check("app:cache", CacheTo { place: Some(registry("app:cache")), ..CacheTo::new() });
        check(
            "type=registry,ref=app:cache,mode=max,ignore-error=true,image-manifest=true,oci-mediatypes=true",
            CacheTo { place: Some(registry("app:cache")), max: true, ignore_error: true, ..CacheTo::new() },
        );
        check(
            "type=local,dest=d,compression=zstd,compression-level=9,mode=min,mounts=true",
            CacheTo {
                place: Some(CachePlace::Folder("d".into(), "latest".into())),
                compression: Some(Compression::Zstd),
                compression_level: Some(9),
                mounts: true,
                ..CacheTo::new()
            },
        );
    }

    #[test]
    fn says_what_is_allowed() {
        let from = |text: &str, expected: &str| assert_eq!(text.parse::<CacheFrom>().unwrap_err(), expected, "{text}");
        from("type=registry", "type=registry needs ref=NAME, such as ref=registry.example.com/app:cache");
        from("type=local", "type=local needs src=FOLDER");
        from("type=local,src=", "src= is empty");
        from("type=local,src=a,src=b", "src= is there more than once");
        from("type=registry,ref=a,src=b", "src is not for type=registry");
        from("type=inline", "type=inline is for --cache-to: to read such a cache, name the image");
        from(
            "type=azblob,ref=a",
            "type=azblob is not supported by this version: allowed are registry, local, s3 and gha",
        );
        from("type=file,src=a", "type=file: allowed are registry, local, s3 and gha");
        from("type=s3,region=r", "type=s3 needs bucket=NAME");
        from("type=s3,bucket=b", "type=s3 needs region=NAME, such as region=eu-west-1");
        from("type=s3,bucket=b,region=r,ref=a", "ref is not for type=s3");
        from("type=s3,bucket=b,regio=r", "the key \"regio\" is unknown: did you mean region?");
        from(
            "type=local,src=a,bucket=b",
            "the key \"bucket\" is unknown: allowed are type, ref, src, tag, digest and mounts",
        );
        from(
            "type=s3,bucket=b,region=r,secret_access_key=s",
            "secret_access_key is not taken, where others could read it: set AWS_SECRET_ACCESS_KEY",
        );
        from(
            "type=s3,bucket=b,region=r,name=a;b",
            "name=a;b: a cache has one name; for several, give the flag several times",
        );
        from(
            "type=gha,bucket=b",
            "the key \"bucket\" is unknown: allowed are type, ref, src, tag, digest, mounts, scope, url_v2, token, timeout, url, version, repository and ghtoken",
        );
        from("type=gha,ref=a", "ref is not for type=gha");
        from("type=gha,version=1", "version=1: only version 2 of the service is spoken");
        from(
            "type=gha,url=https://h/",
            "url is where version 1 of the service was, which is not spoken: url_v2 is meant",
        );
        from("type=gha,timeout=10", "timeout: `10` is no time: write one such as 90s, 10m or 1h30m, a year at most");
        from("type=gha,scope=", "scope= is empty");
        from("ref=a", "type= is missing: allowed are registry, local, s3, gha and inline");
        from("type=registry,reff=a", "the key \"reff\" is unknown: did you mean ref?");
        from(
            "type=local,source=a",
            "the key \"source\" is unknown: allowed are type, ref, src, tag, digest and mounts",
        );
        let to = |text: &str, expected: &str| assert_eq!(text.parse::<CacheTo>().unwrap_err(), expected, "{text}");
        to("type=registry,ref=a,mod=max", "the key \"mod\" is unknown: did you mean mode?");
        to("type=registry,ref=a,mode=most", "mode=most: allowed are min and max");
        to("type=local", "type=local needs dest=FOLDER");
        to(
            "type=inline,mode=max",
            "type=inline goes along with the layers of the image, which is mode=min: for all steps, use \
             type=registry,mode=max",
        );
        to("type=inline,compression=zstd", "compression is not for type=inline");
        to("type=registry,ref=a,compression=xz", "compression=xz: allowed are gzip, zstd and uncompressed");
        to(
            "type=registry,ref=a,image-manifest=false",
            "image-manifest=false is not supported: a cache is an OCI manifest",
        );
        to(
            "type=registry,ref=a,force-compression=true",
            "force-compression is not supported: layers that are there stay as they are",
        );
        to(
            "type=azblob",
            "type=azblob is not supported by this version: allowed are registry, local, s3, gha and inline",
        );
    }
}
