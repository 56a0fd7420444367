//! Lists: the tags of a repository, the repositories of a registry. They come in pages (distribution-spec, "Listing Tags").

use serde::Deserialize;
use ureq::http::{StatusCode, header};

use super::auth::Scope;
use super::host::Host;
use super::request::{self, Request, text};
use super::{Registries, RegistryError, Repository};
use crate::oci::Reference;

/// The most that one page may have, in bytes.
const PAGE: u64 = 4 << 20;
/// How many pages are read.
const PAGES: usize = 1000;

impl Repository<'_> {
    /// Its tags, in the registry's order; none if there is no such repository.
    pub fn tags(&self) -> Result<Option<Vec<String>>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let what = format!("tags of {}", self.path);
        let scope = self.scope(&self.host, false);
        let start = format!("/v2/{}/tags/list?n=1000", self.path);
        let pages = pages::<Page>(self.registries, &self.host, &start, &scope, &what)?;
        let Some(pages) = pages else { return Ok(None) };
        let tags: Vec<String> = pages.into_iter().flat_map(|page| page.tags.unwrap_or_default()).collect();
        let name = Reference::parse(self.name()).ok();
        match tags.iter().find(|tag| name.as_ref().is_some_and(|name| name.with_tag(tag).is_err())) {
            Some(odd) => Err(malformed(&self.host, &what, format!("{odd:?} is no tag"))),
            None => Ok(Some(tags)),
        }
    }
}

impl Registries {
    /// The repositories of a registry, in its order; none if it has no such list for us.
    pub fn catalog(&self, registry: &str) -> Result<Option<Vec<String>>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            repositories: Option<Vec<String>>,
        }
        let host = self.host(registry);
        let what = "list of its repositories";
        let pages = pages::<Page>(self, &host, "/v2/_catalog?n=1000", &Scope::catalog(), what)?;
        let Some(pages) = pages else { return Ok(None) };
        let names: Vec<String> = pages.into_iter().flat_map(|page| page.repositories.unwrap_or_default()).collect();
        match names.iter().find(|name| Reference::parse(&format!("{registry}/{name}")).is_err()) {
            Some(odd) => Err(malformed(&host, what, format!("{odd:?} is no repository"))),
            None => Ok(Some(names)),
        }
    }
}

fn pages<T: for<'de> Deserialize<'de>>(
    registries: &Registries,
    host: &Host,
    start: &str,
    scope: &Scope,
    what: &str,
) -> Result<Option<Vec<T>>, RegistryError> {
    let mut pages = Vec::new();
    let mut next = Some(host.address(registries, start)?);
    while let Some(address) = next.take() {
        let answer = registries.retrying(|| {
            let (at, mut response) = host.call_at(registries, address.clone(), scope, &Request::get())?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(None),
                _ => {
                    let known = host.knows_us();
                    return Err(request::refused(registries, host.name(), what.to_owned(), known, &mut response));
                }
            }
            let link = text(&response, &header::LINK);
            let url = request::shown(&at);
            let body = request::read(registries, &url, &mut response, PAGE, host.name(), what)?;
            Ok(Some((link, body)))
        })?;
        let Some((link, body)) = answer else { return Ok(None) };
        pages.push(serde_json::from_slice(&body).map_err(|error| malformed(host, what, error.to_string()))?);
        let Some(target) = link.as_deref().and_then(next_link) else { continue };
        if pages.len() >= PAGES {
            return Err(malformed(host, what, format!("it has more than {PAGES} pages")));
        }
        let target = address.join(target).map_err(|reason| malformed(host, what, format!("its next page {reason}")))?;
        if target.origin() != address.origin() {
            return Err(malformed(
                host,
                what,
                format!("its next page is at another server, {}", request::shown(&target)),
            ));
        }
        next = Some(target);
    }
    Ok(Some(pages))
}

/// Where the next page is (RFC 8288): `</v2/…>; rel="next"`.
pub(super) fn next_link(header: &str) -> Option<&str> {
    let (target, parameters) = header.trim().strip_prefix('<')?.split_once('>')?;
    parameters.replace([' ', '"'], "").to_ascii_lowercase().contains(";rel=next").then_some(target)
}

fn malformed(host: &Host, what: &str, reason: String) -> RegistryError {
    RegistryError::Malformed { registry: host.name().to_owned(), what: what.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_next_page() {
        let check = |header: &str, expected: Option<&str>| assert_eq!(next_link(header), expected, "{header}");
        check("</v2/a/tags/list?last=x&n=1>; rel=\"next\"", Some("/v2/a/tags/list?last=x&n=1"));
        check("<x>;rel=next", Some("x"));
        check("<x>; rel=\"prev\"", None);
        check("x", None);
        check("<x", None);
    }
}
