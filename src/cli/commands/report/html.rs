//! HTML that cannot be forgotten to be escaped: whatever is not written in this program's source is text.
//!
//! Names of elements and attributes are `'static`, values and text are escaped, and nothing opens an element without closing
//! it. There is no way to put a string that was made at run time into the page as markup, but for a picture of our own.

use std::fmt::{Display, Write as _};

use crate::cli::commands::graph::svg::Picture;

/// A page, or a part of one, as it is written.
#[derive(Debug, Default)]
pub struct Html(String);

/// An attribute.
pub type Attribute<'a> = (&'static str, &'a dyn Display);

impl Html {
    /// An element.
    pub fn tag(&mut self, name: &'static str, attributes: &[Attribute<'_>], inner: impl FnOnce(&mut Self)) {
        self.open(name, attributes);
        inner(self);
        let _ = write!(self.0, "</{name}>");
    }

    /// An element with nothing but text in it.
    pub fn leaf(&mut self, name: &'static str, attributes: &[Attribute<'_>], text: impl Display) {
        self.tag(name, attributes, |html| html.text(text));
    }

    /// An element without content, such as `meta`.
    pub fn open(&mut self, name: &'static str, attributes: &[Attribute<'_>]) {
        let _ = write!(self.0, "<{name}");
        for (name, value) in attributes {
            let _ = write!(self.0, " {name}=\"");
            self.text(value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// A piece of text.
    pub fn text(&mut self, text: impl Display) {
        for c in text.to_string().chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                // HTML has no way to write them.
                c if c.is_control() => self.0.push('\u{fffd}'),
                // What reorders text could make it say something else.
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }

    /// Markup of this program.
    pub fn own(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// A picture of this program.
    pub fn picture(&mut self, picture: &Picture) {
        self.0.push_str(picture.markup());
    }

    /// The text of it all.
    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_escaped() {
        let mut html = Html::default();
        html.tag("p", &[("title", &"a\"b'<c>"), ("id", &7)], |html| {
            html.text("</p><script>alert(1)</script>&amp;\0\x1b[2J\u{202e}x");
            html.own("<br>");
            html.leaf("b", &[], "1 < 2\n");
        });
        assert_eq!(
            html.finish(),
            "<p title=\"a&quot;b&#39;&lt;c&gt;\" id=\"7\">&lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;\u{fffd}\
             \u{fffd}[2J\u{fffd}x<br><b>1 &lt; 2\n</b></p>"
        );
    }
}
