//! The values of build flags, parsed: secrets, contexts, arguments, hosts and their like.
//!
//! Parsing does not look at the environment or at any file: whoever resolves the flags does.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser};

use super::csv;
use crate::fstree::Scrub;
use crate::oci::Platform;

/// `--secret`: something that a step may read and that is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The name that `RUN --mount=type=secret,id=…` asks for.
    pub id: String,
    /// Where its value is.
    pub source: SecretSource,
}

/// Where a secret's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In this file.
    File(PathBuf),
    /// In this environment variable.
    Variable(String),
    /// In the environment variable of the secret's name if there is one, else in the file of that name.
    Named,
}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
        for (key, value) in csv::pairs(text)? {
            match key.as_str() {
                "id" => id = Some(value),
                "src" | "source" => file = Some(value),
                "env" => variable = Some(value),
                "type" if ["file", "env"].contains(&value.as_str()) => kind = Some(value),
                "type" => return Err(format!("type={value}: allowed are file and env")),
                _ => return Err(csv::unknown(&key, "id, src, env and type")),
            }
        }
        let Some(id) = id.filter(|id| !id.is_empty()) else {
            return Err("id= is missing: write id=NAME,src=FILE or id=NAME,env=VARIABLE".into());
        };
        let source = match (kind.as_deref(), file, variable) {
            (_, Some(_), Some(_)) => return Err("src and env exclude each other".into()),
            (Some("file"), None, Some(_)) => return Err("type=file takes src, not env".into()),
            (Some("env"), Some(name), None) | (_, None, Some(name)) => SecretSource::Variable(name),
            (_, Some(path), None) => SecretSource::File(path.into()),
            (Some("env"), None, None) => SecretSource::Variable(id.clone()),
            (Some(_), None, None) => SecretSource::File(id.clone().into()),
            (None, None, None) => SecretSource::Named,
        };
        Ok(Self { id, source })
    }
}

/// `--ssh`: an agent, or keys, that a step may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// The name that `RUN --mount=type=ssh,id=…` asks for.
    pub id: String,
    /// Sockets of agents or private key files; none for the agent of `SSH_AUTH_SOCK`.
    pub paths: Vec<PathBuf>,
}

impl FromStr for Ssh {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, paths) = text.split_once('=').unwrap_or((text, ""));
        if id.is_empty() {
            return Err("it must begin with a name: write default, or NAME=SOCKET, or NAME=KEY,KEY".into());
        }
        if text.contains('=') && paths.split(',').any(str::is_empty) {
            return Err("after = there must be the path of a socket or of keys, separated by commas".into());
        }
        Ok(Self { id: id.into(), paths: paths.split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect() })
    }
}

/// A place that files of a build come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextSource {
    /// A folder.
    Folder(PathBuf),
    /// A tar file, or a Dockerfile alone, on standard input.
    Stdin,
    /// An image, by its reference.
    Image(String),
    /// An image in an OCI layout.
    OciLayout {
        /// The layout's folder.
        path: PathBuf,
        /// The image's name in it.
        tag: Option<String>,
        /// The image's digest in it.
        digest: Option<String>,
    },
    /// Another target of the same build file.
    Target(String),
    /// A git repository or an archive at this address.
    Remote(String),
}

impl FromStr for ContextSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let needs = |what: &str, rest: &str| match rest.is_empty() {
            true => Err(format!("{text:?} needs {what}")),
            false => Ok(rest.to_owned()),
        };
        if text.is_empty() {
            return Err("it is empty: write a folder, docker-image://REFERENCE, oci-layout://FOLDER or a URL".into());
        }
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(rest) = text.strip_prefix("docker-image://") {
            return Ok(Self::Image(needs("an image after docker-image://", rest)?));
        }
        if let Some(rest) = text.strip_prefix("target:") {
            return Ok(Self::Target(needs("a target's name after target:", rest)?));
        }
        if let Some(rest) = text.strip_prefix("oci-layout://") {
            let (rest, digest) = match rest.split_once('@') {
                Some((rest, digest)) => (rest, Some(digest.to_owned())),
                None => (rest, None),
            };
            let (path, tag) = match rest.rsplit_once(':') {
                Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
                _ => (rest, None),
            };
            let path = needs("a folder after oci-layout://", path)?.into();
            if let Some(digest) = &digest {
                digest.parse::<crate::digest::Digest>().map_err(|error| error.to_string())?;
            }
            return Ok(Self::OciLayout { path, tag, digest });
        }
        let remote = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
        if remote.iter().any(|prefix| text.starts_with(prefix)) {
            return Ok(Self::Remote(text.into()));
        }
        match text.split_once("://") {
            Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
                Err(format!(
                    "{scheme}:// is unknown: allowed are docker-image://, oci-layout://, http://, https://, git:// and ssh://"
                ))
            }
            _ => Ok(Self::Folder(text.into())),
        }
    }
}

/// `--build-context`: a context with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedContext {
    /// The name that `FROM` and `--from` say.
    pub name: String,
    /// What it stands for.
    pub source: ContextSource,
}

impl FromStr for NamedContext {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, source)) if !name.is_empty() => Ok(Self { name: name.into(), source: source.parse()? }),
            _ => Err("write NAME=FOLDER, NAME=docker-image://REFERENCE, NAME=oci-layout://FOLDER or NAME=URL".into()),
        }
    }
}

/// `--build-arg`: a name, and a value unless the environment has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildArg {
    /// The argument's name.
    pub name: String,
    /// Its value; `None` to take it from the environment, and to leave it unset if it is not there.
    pub value: Option<String>,
}

impl FromStr for BuildArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        match name.is_empty() {
            true => Err("it has no name: write NAME=VALUE, or NAME to take the value from the environment".into()),
            false => Ok(Self { name: name.into(), value }),
        }
    }
}

/// `--label`: `KEY=VALUE`, or `KEY` alone for an empty value.
pub fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    match key.is_empty() {
        true => Err("it has no key: write KEY=VALUE".into()),
        false => Ok((key.into(), value.into())),
    }
}

/// What an annotation is put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationTarget {
    /// The manifest.
    Manifest,
    /// The index.
    Index,
    /// The descriptor of the manifest in the index.
    ManifestDescriptor,
    /// The descriptor of the index in the layout.
    IndexDescriptor,
}

/// `--annotation`: a key and a value for manifests or the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageAnnotation {
    /// What it is put on, and only for this platform if one is given.
    pub targets: Vec<(AnnotationTarget, Option<Platform>)>,
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl FromStr for ImageAnnotation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err("write KEY=VALUE, or index:KEY=VALUE".into());
        };
        // A key may hold colons; what stands before the first is a list of targets only if it begins like one.
        let (prefix, key) = match key.split_once(':') {
            Some((prefix, rest)) if prefix.starts_with("manifest") || prefix.starts_with("index") => (prefix, rest),
            _ => ("manifest", key),
        };
        let targets = prefix.split(',').map(annotation_target).collect::<Result<_, _>>()?;
        match key.is_empty() {
            true => Err("it has no key: write KEY=VALUE".into()),
            false => Ok(Self { targets, key: key.into(), value: value.into() }),
        }
    }
}

fn annotation_target(text: &str) -> Result<(AnnotationTarget, Option<Platform>), String> {
    let (name, platform) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((name, platform)) => (name, Some(platform.parse::<Platform>().map_err(|error| error.to_string())?)),
        None => (text, None),
    };
    let target = match name {
        "manifest" => AnnotationTarget::Manifest,
        "index" => AnnotationTarget::Index,
        "manifest-descriptor" => AnnotationTarget::ManifestDescriptor,
        "index-descriptor" => AnnotationTarget::IndexDescriptor,
        _ => return Err(format!("{name:?}: allowed are manifest, index, manifest-descriptor and index-descriptor")),
    };
    match (target, &platform) {
        (AnnotationTarget::Index | AnnotationTarget::IndexDescriptor, Some(_)) => {
            Err(format!("{text:?}: an index is for all platforms"))
        }
        _ => Ok((target, platform)),
    }
}

/// `--security-opt`: how processes are hardened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityOption {
    /// Set-user-ID programs and capabilities of files give them nothing; or they do, as without the option.
    NoNewPrivileges(bool),
}

impl SecurityOption {
    /// Whether the last of these that says so asks for it.
    pub fn no_new_privileges(options: &[Self]) -> bool {
        options.last().is_some_and(|Self::NoNewPrivileges(on)| *on)
    }
}

/// `no-new-privileges`, as Docker spells it.
pub fn security_option(text: &str) -> Result<SecurityOption, String> {
    match text.replacen('=', ":", 1).as_str() {
        "no-new-privileges" | "no-new-privileges:true" => Ok(SecurityOption::NoNewPrivileges(true)),
        "no-new-privileges:false" => Ok(SecurityOption::NoNewPrivileges(false)),
        _ => {
            Err("the only one is no-new-privileges: the system call filter and the capabilities are always Docker's"
                .into())
        }
    }
}

/// A size in bytes, such as `64m`, `1g` or `4096`; units are powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    crate::frontend::buildfile::size(text)
}

/// An address for a host's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostAddress {
    /// This address.
    Ip(IpAddr),
    /// The address under which a step reaches this machine.
    Gateway,
}

/// `--add-host`: `NAME=ADDRESS` or `NAME:ADDRESS`.
pub fn host(text: &str) -> Result<(String, HostAddress), String> {
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let Some((name, address)) = split.filter(|(name, _)| !name.is_empty()) else {
        return Err("write NAME=ADDRESS, such as db=10.0.0.2".into());
    };
    if address == "host-gateway" {
        return Ok((name.into(), HostAddress::Gateway));
    }
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    match bare.parse() {
        Ok(ip) => Ok((name.into(), HostAddress::Ip(ip))),
        Err(_) => Err(format!("{address:?} is not an IP address; allowed are IPv4, IPv6 and host-gateway")),
    }
}

/// The names of `--scrub`.
pub fn scrubs() -> PossibleValuesParser {
    Scrub::list().map(|(name, about)| PossibleValue::new(name).help(about)).into()
}

/// `--platform`: one platform, or `local`.
pub fn platform(text: &str) -> Result<Platform, String> {
    Platform::of_user(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses<T: FromStr<Err = String> + std::fmt::Debug>(text: &str, part: &str) {
        let error = text.parse::<T>().unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }

    #[test]
    fn reads_secrets() {
        let check = |text: &str, id: &str, source| assert_eq!(text.parse(), Ok(Secret { id: id.into(), source }));
        check("id=a,src=f", "a", SecretSource::File("f".into()));
        check("id=a,source=f,type=file", "a", SecretSource::File("f".into()));
        check("id=a,env=V", "a", SecretSource::Variable("V".into()));
        check("type=env,id=a,src=V", "a", SecretSource::Variable("V".into()));
        check("type=env,id=a", "a", SecretSource::Variable("a".into()));
        check("type=file,id=a", "a", SecretSource::File("a".into()));
        check("id=a", "a", SecretSource::Named);
        refuses::<Secret>("src=f", "id= is missing");
        refuses::<Secret>("id=a,src=f,env=V", "exclude each other");
        refuses::<Secret>("id=a,type=vault", "allowed are file and env");
        refuses::<Secret>("id=a,mode=1", "allowed are id, src, env and type");
        refuses::<Secret>("a", "not of the form key=value");
    }

    #[test]
    fn reads_ssh() {
        let check = |text: &str, id: &str, paths: &[&str]| {
            let paths = paths.iter().map(PathBuf::from).collect();
            assert_eq!(text.parse(), Ok(Ssh { id: id.into(), paths }));
        };
        check("default", "default", &[]);
        check("git=/run/agent", "git", &["/run/agent"]);
        check("git=a,b", "git", &["a", "b"]);
        refuses::<Ssh>("=a", "begin with a name");
        refuses::<Ssh>("a=", "path of a socket");
    }

    #[test]
    fn reads_contexts() {
        let check = |text: &str, source| {
            assert_eq!(text.parse(), Ok(NamedContext { name: "n".into(), source }), "{text}");
        };
        let layout = |tag: Option<&str>, digest: Option<&str>| ContextSource::OciLayout {
            path: "/a/b".into(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        };
        let digest = crate::digest::Digest::of(b"").to_string();
        check("n=../lib", ContextSource::Folder("../lib".into()));
        check("n=a=b", ContextSource::Folder("a=b".into()));
        check("n=docker-image://alpine:3", ContextSource::Image("alpine:3".into()));
        check("n=oci-layout:///a/b", layout(None, None));
        check("n=oci-layout:///a/b:t", layout(Some("t"), None));
        check(&format!("n=oci-layout:///a/b@{digest}"), layout(None, Some(&digest)));
        check(&format!("n=oci-layout:///a/b:t@{digest}"), layout(Some("t"), Some(&digest)));
        check("n=target:base", ContextSource::Target("base".into()));
        check("n=https://a.example/x.git#main", ContextSource::Remote("https://a.example/x.git#main".into()));
        check("n=git@host:x.git", ContextSource::Remote("git@host:x.git".into()));
        refuses::<NamedContext>("n", "write NAME=FOLDER");
        refuses::<NamedContext>("n=", "it is empty");
        refuses::<NamedContext>("n=ftp://a", "ftp:// is unknown");
        refuses::<NamedContext>("n=docker-image://", "needs an image");
        refuses::<NamedContext>("n=oci-layout:///a@sha256:1", "64 hexadecimal digits");
    }

    #[test]
    fn reads_arguments_labels_and_hosts() {
        let argument = |name: &str, value: Option<&str>| BuildArg { name: name.into(), value: value.map(Into::into) };
        assert_eq!("A=b=c".parse(), Ok(argument("A", Some("b=c"))));
        assert_eq!("A=".parse(), Ok(argument("A", Some(""))));
        assert_eq!("A".parse(), Ok(argument("A", None)));
        refuses::<BuildArg>("=a", "it has no name");
        assert_eq!(label("a.b=c=d"), Ok(("a.b".into(), "c=d".into())));
        assert_eq!(label("a"), Ok(("a".into(), String::new())));
        assert!(label("=a").is_err());
        let ip = |text: &str| HostAddress::Ip(text.parse().unwrap());
        assert_eq!(host("db:10.0.0.2"), Ok(("db".into(), ip("10.0.0.2"))));
        assert_eq!(host("db=10.0.0.2"), Ok(("db".into(), ip("10.0.0.2"))));
        assert_eq!(host("db:::1"), Ok(("db".into(), ip("::1"))));
        assert_eq!(host("db=[::1]"), Ok(("db".into(), ip("::1"))));
        assert_eq!(host("me:host-gateway"), Ok(("me".into(), HostAddress::Gateway)));
        assert!(host("db").is_err() && host("db:somewhere").is_err());
    }

    #[test]
    fn reads_sizes() {
        for (text, expected) in [("4096", 4096), ("64m", 64 << 20), ("1GiB", 1 << 30), ("2kb", 2048)] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for text in ["", "m", "0", "-1", "1x", "1.5g", "99999999t"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_annotations() {
        let check = |text: &str, targets: &[(AnnotationTarget, Option<&str>)], key: &str, value: &str| {
            let targets = targets.iter().map(|(target, platform)| (*target, platform.map(|p| p.parse().unwrap())));
            let expected = ImageAnnotation { targets: targets.collect(), key: key.into(), value: value.into() };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        };
        check("a=b", &[(AnnotationTarget::Manifest, None)], "a", "b");
        check("a:b=c", &[(AnnotationTarget::Manifest, None)], "a:b", "c");
        check("index:a=b", &[(AnnotationTarget::Index, None)], "a", "b");
        check(
            "index,manifest[linux/arm64]:a=b",
            &[(AnnotationTarget::Index, None), (AnnotationTarget::Manifest, Some("linux/arm64"))],
            "a",
            "b",
        );
        refuses::<ImageAnnotation>("a", "write KEY=VALUE");
        refuses::<ImageAnnotation>("index[linux/amd64]:a=b", "for all platforms");
        refuses::<ImageAnnotation>("indexes:a=b", "allowed are manifest");
    }
}
