//! YAML as a tree in which everything knows where it stands.
//!
//! A crate finds the events; the tree is our own, because it has to bound what aliases multiply and how deep things are
//! nested, and because compose files want merge keys (`<<`) and their own tags (`!reset`, `!override`).

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::ast::Span;
use super::eval::{Found, wrong};
use crate::frontend::diagnostic::Diagnostic;

/// The deepest nesting.
const DEEPEST: usize = 64;

/// The most nodes, with all that aliases stand for.
const MOST: usize = 50_000;

/// The most lines that are indented less than the crate wants them.
const MOST_JOINED: usize = 500;

/// A value.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
    pub(super) tag: Option<String>,
    /// How many nodes it is, with all in it.
    pub(super) weight: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Text; `plain` if it has no quotes, so that it may be a number, a truth value or null.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub(super) fn new(span: Span, kind: Kind) -> Self {
        Self { span, kind, tag: None, weight: 1 }
    }

    /// Whether it is null, which an empty value is.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if ["", "~", "null", "Null", "NULL"].contains(&text.as_str()))
    }

    /// The value of a key of a map.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.pairs().iter().find(|(key, _)| key.scalar() == Some(name)).map(|(_, value)| value)
    }

    /// The pairs of a map; none if it is something else.
    pub(super) fn pairs(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What it is, with its article.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// What is being read.
struct Open {
    anchor: usize,
    node: Node,
    /// The key whose value comes next.
    key: Option<Node>,
    /// The keys that were there.
    seen: BTreeSet<String>,
}

/// Reads a file whose text begins at `start` of all texts. An empty file is null.
pub(super) fn read(text: &str, start: usize) -> Found<Node> {
    let mut joined = String::new();
    for _ in 0..MOST_JOINED {
        let shallow = match attempt(if joined.is_empty() { text } else { &joined }, start) {
            Err(Fault::Shallow(at, error)) => {
                join(if joined.is_empty() { text } else { &joined }, at - start).ok_or(error)
            }
            Err(Fault::Wrong(error)) => Err(error),
            Ok(node) => return Ok(node),
        };
        joined = shallow?;
    }
    wrong(&(start..start), format!("more than {MOST_JOINED} lines within brackets are not indented"))
}

/// Why a text was not read.
enum Fault {
    /// What stands here should be further to the right.
    Shallow(usize, Box<Diagnostic>),
    Wrong(Box<Diagnostic>),
}

/// Puts the line that begins with what stands `at` behind the one above it, if it is within brackets, without moving
/// anything.
///
/// Other readers of YAML do not care how such lines are indented, and people close brackets where the line begins that
/// opened them.
fn join(text: &str, at: usize) -> Option<String> {
    let above = text[..at].trim_end_matches([' ', '\t']).strip_suffix('\n')?;
    let closes = text[at..].starts_with([']', '}']);
    let line = above.rfind('\n').map_or(0, |end| end + 1);
    let comment = comment(&above[line..]).map_or(above.len(), |comment| line + comment);
    let opens = above[..comment].trim_end().ends_with(['[', '{', ',']);
    if !closes && !opens {
        return None;
    }
    // As many bytes as before, so that whatever follows stays where it is.
    let blanked = " ".repeat(above.len() + 1 - comment);
    Some([&text[..comment], &blanked, &text[above.len() + 1..]].concat())
}

/// Where the comment of a line begins.
fn comment(line: &str) -> Option<usize> {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
        before = c;
    }
    None
}

fn attempt(text: &str, start: usize) -> Result<Node, Fault> {
    let places = Places::new(text, start);
    let mut reader = Reader { text, start, anchors: BTreeMap::new(), open: Vec::new(), root: None, nodes: 0 };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = places.byte(error.marker().index());
            let found = Box::new(Diagnostic::error(at..at, format!("not YAML: {}", error.info())));
            if error.info().starts_with("invalid indentation") {
                Fault::Shallow(at, found)
            } else {
                Fault::Wrong(found)
            }
        })?;
        let span = places.byte(span.start.index())..places.byte(span.end.index());
        reader.event(event, span).map_err(Fault::Wrong)?;
    }
    Ok(reader.root.unwrap_or_else(|| Node::new(start..start, Kind::Scalar { text: String::new(), plain: true })))
}

/// From the numbers of letters, which the crate counts, to bytes.
struct Places {
    start: usize,
    /// Where each letter begins; none if all have one byte.
    letters: Option<Vec<usize>>,
    end: usize,
}

impl Places {
    fn new(text: &str, start: usize) -> Self {
        let letters = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        Self { start, letters, end: text.len() }
    }

    fn byte(&self, letter: usize) -> usize {
        let at = match &self.letters {
            Some(letters) => letters.get(letter).copied().unwrap_or(self.end),
            None => letter.min(self.end),
        };
        self.start + at
    }
}

struct Reader<'t> {
    text: &'t str,
    start: usize,
    anchors: BTreeMap<usize, Node>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Found<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let mut node = Node::new(span, Kind::Scalar { text: text.into_owned(), plain });
                node.tag = tag.map(|tag| tag.to_string());
                // Aliases can repeat a long text as well as many values.
                node.weight += node.scalar().map_or(0, str::len) / 64;
                let weight = node.weight;
                self.add(node, anchor, weight)
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(span, Kind::List(Vec::new()), anchor, tag.map(|tag| tag.to_string()))
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(span, Kind::Map(Vec::new()), anchor, tag.map(|tag| tag.to_string()))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut open) = self.open.pop() else { return Ok(()) };
                open.node.span.end = self.without_space(open.node.span.start..span.end);
                merge_keys(&mut open.node)?;
                self.add(open.node, open.anchor, 1)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = node.clone();
                    let weight = node.weight;
                    self.add(node, 0, weight)
                }
                None => wrong(&span, "this alias is a part of itself"),
            },
            Event::DocumentStart(_) if self.root.is_some() => wrong(&span, "a file of several documents"),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, span: Span, kind: Kind, anchor: usize, tag: Option<String>) -> Found<()> {
        if self.open.len() == DEEPEST {
            return wrong(&span, format!("nested more than {DEEPEST} levels deep"));
        }
        let node = Node { tag, ..Node::new(span, kind) };
        self.open.push(Open { anchor, node, key: None, seen: BTreeSet::new() });
        Ok(())
    }

    /// Where a collection ends: the events of some say where the next thing begins.
    fn without_space(&self, span: Span) -> usize {
        let written = self.text.get(span.start - self.start..span.end.saturating_sub(self.start));
        span.start + written.map_or(0, |written| written.trim_end().len())
    }

    /// Adds a node, which is so many more than there were.
    fn add(&mut self, node: Node, anchor: usize, more: usize) -> Found<()> {
        self.nodes += more;
        if self.nodes > MOST {
            return wrong(&node.span, format!("more than {MOST} values, with what aliases stand for"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.node.weight += node.weight;
        match (&mut open.node.kind, open.key.take()) {
            (Kind::List(items), _) => items.push(node),
            (Kind::Map(pairs), Some(key)) => {
                if let Some(name) = key.scalar().filter(|name| *name != "<<")
                    && !open.seen.insert(name.to_owned())
                {
                    return wrong(&key.span, format!("the key `{name}` is there twice"));
                }
                pairs.push((key, node));
            }
            (Kind::Map(_), None) => open.key = Some(node),
            (Kind::Scalar { .. }, _) => {}
        }
        Ok(())
    }
}

/// Puts in what `<<` refers to, behind what is there.
fn merge_keys(node: &mut Node) -> Found<()> {
    let Kind::Map(pairs) = &mut node.kind else { return Ok(()) };
    let is_merge = |key: &Node| matches!(&key.kind, Kind::Scalar { text, plain: true } if text == "<<");
    let (merged, mut own): (Vec<_>, Vec<_>) = std::mem::take(pairs).into_iter().partition(|(key, _)| is_merge(key));
    if merged.is_empty() {
        *pairs = own;
        return Ok(());
    }
    let mut known: BTreeSet<String> = own.iter().filter_map(|(key, _)| key.scalar().map(str::to_owned)).collect();
    for (key, value) in merged {
        let maps = match value.kind {
            Kind::List(items) => items,
            kind => vec![Node { kind, ..Node::new(value.span, Kind::List(Vec::new())) }],
        };
        for map in maps {
            let Kind::Map(pairs) = map.kind else { return wrong(&key.span, "`<<` needs a map, or a list of them") };
            for (key, value) in pairs {
                if key.scalar().is_none_or(|name| known.insert(name.to_owned())) {
                    own.push((key, value));
                }
            }
        }
    }
    *pairs = own;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node) -> String {
        match &node.kind {
            Kind::Scalar { text, .. } => text.clone(),
            Kind::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Kind::Map(pairs) => {
                let pair = |(key, value): &(Node, Node)| format!("{}:{}", show(key), show(value));
                format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn reads_trees() {
        let check = |text: &str, expected: &str| {
            let shown = read(text, 0).map_or_else(|error| error.message, |node| show(&node));
            assert_eq!(shown, expected, "{text}");
        };
        check("", "");
        check("a: [1, x]\nb:\n  c: |\n    two\n    lines\n", "{a:[1 x] b:{c:two\nlines\n}}");
        check(
            "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 4}]}",
            "{x:{a:1 b:2} y:{b:3 a:1} z:{a:1 b:2 c:4}}",
        );
        check("a: 1\na: 2", "the key `a` is there twice");
        check("a: *x", "not YAML: while parsing node, found unknown anchor");
        check("a: [\n  1, # ]\n]\nb: [\n\"x # y\", # é\n{c: 1,\nd: 2\n}]\n", "{a:[1] b:[x # y {c:1 d:2}]}");
        check("a:\n  b: [\n    1,\n\n  ]\n  c: {\n  }\n", "{a:{b:[1] c:{}}}");
        check("a:\n    b: 1\n  c: 2\n", "not YAML: while parsing a block mapping, did not find expected key");
        check("--- a\n--- b", "a file of several documents");
        check("<<: 1", "`<<` needs a map, or a list of them");
        check(&"[".repeat(100), "nested more than 64 levels deep");
    }

    #[test]
    fn lines_that_are_joined_move_nothing() {
        let text = "a: [ # é\n]\nb: 1\nb: 2\n";
        let error = read(text, 0).unwrap_err();
        assert_eq!(error.annotations[0].span, text.rfind('b').map(|at| at..at + 1).unwrap());
    }

    #[test]
    fn aliases_do_not_explode() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let items = vec![format!("*a{}", level - 1); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(read(&text, 0).unwrap_err().message.starts_with("more than 50000 values"));
    }

    #[test]
    fn places_are_bytes() {
        let text = "ä: ü\nb: [é]";
        let node = read(text, 10).unwrap();
        let place = |node: &Node| &text[node.span.start - 10..node.span.end - 10];
        assert_eq!(place(node.get("ä").unwrap()), "ü");
        assert_eq!(place(node.get("b").unwrap()), "[é]");
    }
}
