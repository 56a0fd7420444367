//! Paragraphs of `key: value` lines, which dpkg, apk and Python all write in some form: RFC 822, more or less.

/// The paragraphs of a text, each with its fields in their order. A line that begins with white space belongs to the
/// value before it and is left out: no field that is read here has several lines.
pub fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut fields = Vec::new();
        for line in lines.by_ref() {
            match line.split_once(':') {
                _ if line.trim().is_empty() && fields.is_empty() => {}
                _ if line.trim().is_empty() => break,
                _ if line.starts_with([' ', '\t']) => {}
                Some((key, value)) => fields.push((key, value.trim())),
                None => {}
            }
        }
        (!fields.is_empty()).then_some(Stanza(fields))
    })
}

/// One paragraph.
pub struct Stanza<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Stanza<'a> {
    /// The first value of a key, if it has one that is not empty.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| *value).filter(|value| !value.is_empty())
    }
}
