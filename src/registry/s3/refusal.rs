//! What a bucket says instead of what was asked for, in its own words: an XML document with a code and a message. Azure's
//! object store says it in the same way.

use crate::registry::request::WORDS;

/// The value of a header that is no XML name: which region a bucket is in.
pub(super) const REGION: &str = "x-amz-bucket-region";

/// An answer that refuses something.
pub(in crate::registry) struct Refusal {
    /// Such as `NoSuchBucket`.
    pub(in crate::registry) code: String,
    /// Words for a person, with the code.
    pub(in crate::registry) said: String,
}

impl Refusal {
    /// Reads what came, if it makes sense. `region` is the one that the bucket is in, if that was said, and `own` the
    /// one that it was asked for in.
    pub(in crate::registry) fn read(body: &[u8], region: Option<&str>, own: &str) -> Self {
        let body = String::from_utf8_lossy(body);
        let (code, message) = (element(&body, "Code"), element(&body, "Message"));
        let mut said = match (message.is_empty(), code.is_empty()) {
            (true, _) => code.clone(),
            (false, true) => message,
            (false, false) => format!("{message} ({code})"),
        };
        if let Some(region) = region.filter(|region| *region != own) {
            let region: String = clean(region).take(WORDS).collect();
            let separator = if said.is_empty() { "" } else { "; " };
            said += &format!("{separator}the bucket is in the region {region}, and not in {own}");
        }
        Self { code, said }
    }
}

/// The text of the first element of a name that has no attributes; nothing if there is none.
fn element(xml: &str, name: &str) -> String {
    let open = format!("<{name}>");
    let inner = xml.split_once(&open).and_then(|(_, rest)| rest.split_once("</")).map_or("", |(inner, _)| inner);
    let plain = inner.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    let plain = plain.replace("&amp;", "&");
    clean(plain.trim()).take(WORDS).collect()
}

fn clean(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|c| if c.is_control() { ' ' } else { c })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_bucket_says() {
        let check = |body: &str, region: Option<&str>, code: &str, said: &str| {
            let refusal = Refusal::read(body.as_bytes(), region, "eu-west-1");
            assert_eq!((refusal.code.as_str(), refusal.said.as_str()), (code, said), "{body}");
        };
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>It&apos;s &lt;not&gt;\n there\u{1b}\
            </Message><Key>a</Key></Error>";
        check(xml, None, "NoSuchKey", "It's <not>  there  (NoSuchKey)");
        check("<Error><Code>A</Code></Error>", Some("eu-west-1"), "A", "A");
        check("", Some("us-east-1"), "", "the bucket is in the region us-east-1, and not in eu-west-1");
        check("<html>", None, "", "");
        check("<Error><Code>cut", None, "", "");
        let long = format!("<Message>{}</Message>", "x".repeat(9999));
        assert_eq!(Refusal::read(long.as_bytes(), None, "").said.len(), WORDS);
    }
}
