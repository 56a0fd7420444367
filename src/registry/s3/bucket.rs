//! Which bucket, and where it is asked for. Who asks is not known here.

use std::fmt;

use crate::source::http::{Address, percent};

/// A bucket, or what is below a prefix of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    name: String,
    region: String,
    /// What comes before the names of objects, without a slash at its end.
    url: String,
    prefix: String,
}

impl Bucket {
    /// A bucket in a region of Amazon's, or at another `endpoint`. With `path_style`, its name is in the path and not in
    /// the name of the host. What is wrong comes as words for a person.
    pub fn new(
        name: &str,
        region: &str,
        prefix: &str,
        endpoint: Option<&str>,
        path_style: bool,
    ) -> Result<Self, String> {
        let known = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        if !known(name, ".-_") || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(format!("bucket={name}: buckets have names of letters, digits, dots and hyphens"));
        }
        if !known(region, "-") {
            return Err(format!("region={region}: such as eu-west-1 is meant"));
        }
        let endpoint = match endpoint {
            Some(endpoint) => endpoint.to_owned(),
            None if region.starts_with("cn-") => format!("https://s3.{region}.amazonaws.com.cn"),
            None => format!("https://s3.{region}.amazonaws.com"),
        };
        let mut address = Address::parse(&endpoint).map_err(|reason| format!("endpoint_url={endpoint}: {reason}"))?;
        if address.credentials.is_some() {
            return Err("endpoint_url takes no password: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into());
        }
        if address.path.contains('?') {
            return Err(format!("endpoint_url={endpoint}: a query cannot be part of it"));
        }
        if path_style {
            address.path = format!("{}/{name}", address.path.trim_end_matches('/'));
        } else {
            address.host = format!("{name}.{}", address.host);
        }
        let url = address.url().trim_end_matches('/').to_owned();
        Ok(Self { name: name.into(), region: region.into(), url, prefix: prefix.into() })
    }

    /// The region that requests are signed for.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// Where an object is.
    pub(super) fn address(&self, object: &str) -> Result<Address, String> {
        let mut address = Address::parse(&self.url)?;
        address.path =
            format!("{}/{}", address.path.trim_end_matches('/'), encode(&format!("{}{object}", self.prefix)));
        Ok(address)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.name, self.prefix)
    }
}

/// Percent-encodes all that is neither unreserved (RFC 3986) nor a slash, which is what signatures are made of.
fn encode(text: &str) -> String {
    percent::encode(text, |byte| percent::is_unreserved(byte) || byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_objects_are() {
        let check = |region: &str, endpoint: Option<&str>, path_style: bool, prefix: &str, expected: &str| {
            let bucket = Bucket::new("b", region, prefix, endpoint, path_style).unwrap();
            assert_eq!(bucket.address("manifests/a:b").unwrap().url(), expected);
        };
        check("eu-west-1", None, false, "", "https://b.s3.eu-west-1.amazonaws.com/manifests/a%3Ab");
        check("eu-west-1", None, true, "", "https://s3.eu-west-1.amazonaws.com/b/manifests/a%3Ab");
        check("cn-north-1", None, false, "", "https://b.s3.cn-north-1.amazonaws.com.cn/manifests/a%3Ab");
        let minio = Some("http://localhost:9000/");
        check("r", minio, true, "ci/é?/", "http://localhost:9000/b/ci/%C3%A9%3F/manifests/a%3Ab");
        check("r", minio, false, "ci-", "http://b.localhost:9000/ci-manifests/a%3Ab");
        check("r", Some("https://h/s3"), true, "", "https://h/s3/b/manifests/a%3Ab");
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |name: &str, region: &str, endpoint: Option<&str>, expected: &str| {
            let error = Bucket::new(name, region, "", endpoint, true).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("a/b", "r", None, "bucket=a/b: ");
        check("", "r", None, "bucket=: ");
        check("b", "r.evil.example/", None, "region=r.evil.example/: ");
        check("b", "r", Some("localhost"), "endpoint_url=localhost: it has no scheme");
        check("b", "r", Some("https://key:secret@host"), "takes no password");
        check("b", "r", Some("https://host/?a"), "a query");
    }
}
