//! From JSON text to [blocks and expressions](super::ast): the JSON form of HCL, in which strings are templates.
//!
//! A reader of our own, because messages need to know where a value stands. Nesting is bounded. Comments are no JSON.

use super::ast::{Attribute, Block, Definition, Expr, ExprKind, Span};
use super::hcl;
use super::value::{Value, parse_number};
use crate::frontend::diagnostic::Diagnostic;

/// The deepest nesting.
const DEEPEST: usize = 64;

/// A JSON value and where it stands.
#[derive(Debug)]
struct Json {
    span: Span,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Null,
    Bool(bool),
    Number(f64),
    /// The text, and where it begins if the file has it letter by letter.
    String(String, Option<usize>),
    List(Vec<Json>),
    Object(Vec<(Key, Json)>),
}

#[derive(Debug)]
struct Key {
    text: String,
    span: Span,
    content: Option<usize>,
}

type Found<T> = Result<T, Box<Diagnostic>>;

/// Reads a file whose text begins at `start` of all texts.
pub(super) fn read(text: &str, start: usize, definition: &mut Definition) -> Result<(), Vec<Diagnostic>> {
    let mut reader = Reader { text, at: 0, start };
    let whole = reader.document().map_err(|error| vec![*error])?;
    let Kind::Object(pairs) = whole.kind else {
        let end = whole.span.end.min(whole.span.start + 1);
        return Err(vec![Diagnostic::error(whole.span.start..end, "a bake file is an object")]);
    };
    let mut mistakes = Vec::new();
    for (key, value) in pairs {
        let made = match key.text.as_str() {
            // A comment.
            "//" => continue,
            "target" | "group" | "variable" | "function" => {
                labelled(&key, value).map(|blocks| definition.blocks.extend(blocks))
            }
            _ => attribute(key, value).map(|attribute| definition.attributes.push(attribute)),
        };
        mistakes.extend(made.err().map(|error| *error));
    }
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// `{"name": {…}, …}`, each with an object or a list of them.
fn labelled(kind: &Key, value: Json) -> Found<Vec<Block>> {
    let mut found = Vec::new();
    for (name, body) in objects(value, &format!("`{}`", kind.text))?.into_iter().flatten() {
        for pairs in objects(body, &format!("`{}` {}", kind.text, name.text))? {
            let mut block = Block {
                kind: kind.text.clone(),
                label: Some(name.text.clone()),
                span: name.span.clone(),
                attributes: Vec::new(),
                blocks: Vec::new(),
            };
            for (key, value) in pairs.into_iter().filter(|(key, _)| key.text != "//") {
                if kind.text == "variable" && key.text == "validation" {
                    for inner in objects(value, "`validation`")? {
                        let attributes = inner.into_iter().map(|(key, value)| attribute(key, value));
                        block.blocks.push(Block {
                            kind: key.text.clone(),
                            label: None,
                            span: key.span.clone(),
                            attributes: attributes.collect::<Found<_>>()?,
                            blocks: Vec::new(),
                        });
                    }
                } else {
                    block.attributes.push(attribute(key, value)?);
                }
            }
            found.push(block);
        }
    }
    Ok(found)
}

/// An object, or each of a list of them.
fn objects(value: Json, what: &str) -> Found<Vec<Vec<(Key, Json)>>> {
    let span = value.span.clone();
    let list = match value.kind {
        Kind::List(list) => list,
        kind => vec![Json { span: span.clone(), kind }],
    };
    let object = |value: Json| match value.kind {
        Kind::Object(pairs) => Ok(pairs),
        _ => Err(Box::new(Diagnostic::error(value.span, format!("{what} must be an object")))),
    };
    list.into_iter().map(object).collect()
}

fn attribute(key: Key, value: Json) -> Found<Attribute> {
    // Types are words in HCL and strings here; so are the parameters of functions.
    let word = matches!(key.text.as_str(), "type" | "params" | "variadic_params");
    let value = if word { bare(value)? } else { expr(value)? };
    Ok(Attribute { name: key.text, span: key.span, value })
}

fn expr(value: Json) -> Found<Expr> {
    let span = value.span;
    let kind = match value.kind {
        Kind::Null => ExprKind::Literal(Value::Null),
        Kind::Bool(flag) => ExprKind::Literal(Value::Bool(flag)),
        Kind::Number(number) => ExprKind::Literal(Value::Number(number)),
        Kind::String(text, content) => return hcl::template(&text, span, content),
        Kind::List(list) => ExprKind::List(list.into_iter().map(expr).collect::<Found<_>>()?),
        Kind::Object(pairs) => {
            let pair = |(key, value): (Key, Json)| Ok((hcl::template(&key.text, key.span, key.content)?, expr(value)?));
            ExprKind::Object(pairs.into_iter().map(pair).collect::<Found<_>>()?)
        }
    };
    Ok(Expr::new(span, kind))
}

/// Strings whose text is an expression.
fn bare(value: Json) -> Found<Expr> {
    let span = value.span;
    match value.kind {
        Kind::String(text, _) => {
            let written = format!("${{{text}}}");
            Ok(Expr { span: span.clone(), ..hcl::template(&written, span, None)? })
        }
        Kind::List(list) => Ok(Expr::new(span, ExprKind::List(list.into_iter().map(bare).collect::<Found<_>>()?))),
        kind => expr(Json { span, kind }),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    start: usize,
}

impl Reader<'_> {
    fn document(&mut self) -> Found<Json> {
        let value = self.value(0)?;
        self.space();
        if self.at < self.text.len() { Err(self.wrong("the end of the file")) } else { Ok(value) }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{feff}']).len();
    }

    fn wrong(&self, expected: &str) -> Box<Diagnostic> {
        let end = self.rest().chars().next().map_or(self.at, |c| self.at + c.len_utf8());
        Box::new(Diagnostic::error(self.start + self.at..self.start + end, format!("not JSON: expected {expected}")))
    }

    fn span(&self, from: usize) -> Span {
        self.start + from..self.start + self.at
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Found<Json> {
        self.space();
        let from = self.at;
        if depth > DEEPEST {
            let span = self.start + from..self.start + from + 1;
            return Err(Box::new(Diagnostic::error(span, format!("nested more than {DEEPEST} levels deep"))));
        }
        let kind = match self.rest().bytes().next() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => {
                let (text, content) = self.string()?;
                Kind::String(text, content)
            }
            _ if self.take("null") => Kind::Null,
            _ if self.take("true") => Kind::Bool(true),
            _ if self.take("false") => Kind::Bool(false),
            Some(b'-' | b'0'..=b'9') => {
                let number = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
                let length = self.rest().find(|c| !number(c)).unwrap_or(self.rest().len());
                let value = parse_number(&self.rest()[..length]).ok_or_else(|| self.wrong("a number"))?;
                self.at += length;
                Kind::Number(value)
            }
            _ => return Err(self.wrong("a value")),
        };
        Ok(Json { span: self.span(from), kind })
    }

    fn list(&mut self, depth: usize) -> Found<Kind> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take("]") {
            return Ok(Kind::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take("]") {
                return Ok(Kind::List(items));
            }
            if !self.take(",") {
                return Err(self.wrong("`,` or `]`"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Found<Kind> {
        self.at += 1;
        let mut pairs = Vec::new();
        self.space();
        if self.take("}") {
            return Ok(Kind::Object(pairs));
        }
        loop {
            self.space();
            if !self.rest().starts_with('"') {
                return Err(self.wrong("a name in quotes"));
            }
            let from = self.at;
            let (text, content) = self.string()?;
            let key = Key { text, span: self.span(from), content };
            self.space();
            if !self.take(":") {
                return Err(self.wrong("`:`"));
            }
            pairs.push((key, self.value(depth + 1)?));
            self.space();
            if self.take("}") {
                return Ok(Kind::Object(pairs));
            }
            if !self.take(",") {
                return Err(self.wrong("`,` or `}`"));
            }
        }
    }

    /// A string, and where its content begins if it has no escapes.
    fn string(&mut self) -> Found<(String, Option<usize>)> {
        self.at += 1;
        let content = self.start + self.at;
        let (mut text, mut verbatim) = (String::new(), true);
        loop {
            let Some(c) = self.rest().chars().next().filter(|c| *c >= ' ') else {
                return Err(self.wrong("`\"` at the end of a string"));
            };
            match c {
                '"' => {
                    self.at += 1;
                    return Ok((text, verbatim.then_some(content)));
                }
                '\\' => {
                    verbatim = false;
                    text.push(self.escape()?);
                }
                c => {
                    self.at += c.len_utf8();
                    text.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Found<char> {
        self.at += 1;
        let Some(c) = self.rest().chars().next() else { return Err(self.wrong("an escape")) };
        let plain = match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            _ => return Err(self.wrong("one of `\"`, `\\`, `/`, `b`, `f`, `n`, `r`, `t`, `u` after a backslash")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// `u0041`, or a pair of surrogates.
    fn unicode(&mut self) -> Found<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        if !self.take("\\") {
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        let second = self.hex()?;
        let low = Some(second).filter(|second| (0xdc00..0xe000).contains(second));
        let pair = low.and_then(|low| char::from_u32(0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00)));
        Ok(pair.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Found<u32> {
        let digits = self.rest().strip_prefix('u').and_then(|rest| rest.get(..4));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.wrong("`u` and four hexadecimal digits"))?;
        self.at += 5;
        Ok(code)
    }
}
