//! Bytes of entries at the signed addresses that the service names: blobs of Azure's object store. Nobody is told there who asks.
//!
//! What is small goes in one piece. What is not goes in blocks, which become the blob by a list of them, so that a broken connection
//! costs a block, and so that a blob whose bytes turn out wrong is never there.

use std::io::Read;

use ureq::http::header::{self, HeaderName};
use ureq::http::{Method, Response, StatusCode};

use super::ActionsEnd;
use crate::registry::RegistryError;
use crate::registry::request::{self, Body, REFUSAL, Request};
use crate::registry::s3::refusal::Refusal;
use crate::source::http::{Address, Failure, base64};

/// How large blocks are, in bytes. As many are in memory as blobs are sent at the same time.
const BLOCK: u64 = 8 << 20;
/// How many blocks a blob can have.
const MOST_BLOCKS: u64 = 50_000;
/// What a blob is.
const KIND: HeaderName = HeaderName::from_static("x-ms-blob-type");
/// Which version of its protocol is spoken, as a header: one that knows blocks of this size.
const VERSION: (HeaderName, &str) = (HeaderName::from_static("x-ms-version"), "2020-10-02");

impl ActionsEnd<'_> {
    /// Sends what `content` has to an address, if it is `size` bytes.
    pub(super) fn upload(
        &self,
        key: &str,
        address: &Address,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), RegistryError> {
        if size > BLOCK * MOST_BLOCKS {
            let reason = format!("it has {size} bytes, and no more than {} can be sent", BLOCK * MOST_BLOCKS);
            return Err(self.malformed(key, reason));
        }
        let mut block = Vec::new();
        let mut blocks = Vec::new();
        let mut left = size;
        while left > BLOCK || !blocks.is_empty() && left > 0 {
            let length = left.min(BLOCK);
            self.take(key, content, length, &mut block)?;
            let id = base64::encode(format!("{:06}", blocks.len()).as_bytes());
            self.put(key, &with(address, &format!("comp=block&blockid={id}")), &[], &block)?;
            blocks.push(id);
            left -= length;
        }
        self.take(key, content, left, &mut block)?;
        self.at_end(key, content)?;
        if blocks.is_empty() {
            return self.put(key, address, &[(KIND, "BlockBlob")], &block);
        }
        let list: String = blocks.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
        let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{list}</BlockList>");
        self.put(key, &with(address, "comp=blocklist"), &[(header::CONTENT_TYPE, "application/xml")], list.as_bytes())
    }

    /// Reads just so many bytes.
    fn take(&self, key: &str, content: &mut dyn Read, length: u64, block: &mut Vec<u8>) -> Result<(), RegistryError> {
        block.clear();
        content.take(length).read_to_end(block).map_err(unreadable)?;
        if block.len() as u64 == length { Ok(()) } else { Err(self.malformed(key, "its bytes end too early".into())) }
    }

    /// Sees to it that nothing follows; whoever checks what was read does it there.
    fn at_end(&self, key: &str, content: &mut dyn Read) -> Result<(), RegistryError> {
        let mut more = Vec::new();
        content.take(1).read_to_end(&mut more).map_err(unreadable)?;
        if more.is_empty() { Ok(()) } else { Err(self.malformed(key, "it has more bytes than it should".into())) }
    }

    /// Puts bytes somewhere.
    fn put(
        &self,
        key: &str,
        address: &Address,
        headers: &[(HeaderName, &str)],
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        self.registries.retrying(|| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect();
            let request = Request { method: Method::PUT, headers, body: Body::Bytes(bytes), ..Request::get() };
            let mut response = self.ask_azure(address, request)?;
            if response.status().is_success() {
                request::drain(&mut response);
                return Ok(());
            }
            Err(self.refused(key, address, &mut response))
        })
    }

    /// Asks once for what is at an address, from some byte on; none if it is not there.
    pub(super) fn get(
        &self,
        key: &str,
        address: &Address,
        offset: u64,
    ) -> Result<Option<Response<ureq::Body>>, RegistryError> {
        let headers = if offset > 0 { vec![(header::RANGE, format!("bytes={offset}-"))] } else { Vec::new() };
        let mut response = self.ask_azure(address, Request { headers, ..Request::get() })?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(Some(response)),
            StatusCode::NOT_FOUND => {
                request::drain(&mut response);
                Ok(None)
            }
            _ => Err(self.refused(key, address, &mut response)),
        }
    }

    fn ask_azure(&self, address: &Address, mut request: Request<'_>) -> Result<Response<ureq::Body>, RegistryError> {
        self.go_on()?;
        let (name, value) = VERSION;
        request.headers.push((name, value.to_owned()));
        let host = self.registries.host(&request::authority(address));
        request::once(host.agents(), &host.http, address, &request, None)?.map_err(|failure| {
            let Failure { reason, again, .. } = failure;
            let connection = RegistryError::Connection { url: request::shown(address), reason, again };
            self.go_on().err().unwrap_or(connection)
        })
    }

    fn refused(&self, key: &str, address: &Address, response: &mut Response<ureq::Body>) -> RegistryError {
        let (status, what, registry) = (response.status(), key.to_owned(), address.host.clone());
        let retry_after = request::text(response, &header::RETRY_AFTER).and_then(|value| request::seconds(&value));
        let body = request::read(self.registries, "", response, REFUSAL, &registry, key).unwrap_or_default();
        let said = Refusal::read(&body, None, "").said;
        RegistryError::Status { registry, what, status, said, retry_after }
    }
}

/// An address with more in its query.
fn with(address: &Address, query: &str) -> Address {
    let separator = if address.path.contains('?') { '&' } else { '?' };
    Address { path: format!("{}{separator}{query}", address.path), ..address.clone() }
}

fn unreadable(error: std::io::Error) -> RegistryError {
    RegistryError::from_io(error, |error| RegistryError::File { path: "what is to be sent".into(), error })
}
