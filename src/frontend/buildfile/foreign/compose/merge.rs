//! Several compose files as one, and services that extend others: all of it on trees, before values matter.
//!
//! Maps are merged key by key, lists add up, everything else is replaced. `!reset` takes away what is there, `!override`
//! replaces it as a whole.

use super::super::eval::{Found, wrong};
use super::super::yaml::{Kind, Node};
use crate::frontend::diagnostic::Diagnostic;

/// The longest chain of services that extend others.
const DEEPEST: usize = 32;

/// Brings what can be written in two ways into the longer one, so that it can be merged.
pub(super) fn normalise(file: &mut Node) {
    let Some(services) = get_mut(file, "services") else { return };
    for (_, service) in pairs_mut(services) {
        if let Some(build) = get_mut(service, "build")
            && build.scalar().is_some()
            && !build.is_null()
        {
            let context = Node { tag: None, ..build.clone() };
            let key = Node::new(build.span.clone(), Kind::Scalar { text: "context".into(), plain: true });
            build.kind = Kind::Map(vec![(key, context)]);
        }
        let Some(build) = get_mut(service, "build") else { continue };
        for (name, separators) in [("args", "="), ("labels", "="), ("additional_contexts", "="), ("extra_hosts", "=:")]
        {
            if let Some(value) = get_mut(build, name) {
                as_map(value, separators);
            }
        }
    }
}

/// A list of `name=value` as a map. What has no value is null.
fn as_map(node: &mut Node, separators: &str) {
    let Kind::List(items) = &node.kind else { return };
    if items.iter().any(|item| item.scalar().is_none()) {
        return;
    }
    let mut pairs: Vec<(Node, Node)> = Vec::new();
    for item in items {
        let text = item.scalar().unwrap_or_default();
        let scalar = |text: &str, plain| Node::new(item.span.clone(), Kind::Scalar { text: text.into(), plain });
        let (name, value) = match text.find(|c| separators.contains(c)) {
            Some(at) => (&text[..at], scalar(&text[at + 1..], false)),
            None => (text, scalar("", true)),
        };
        pairs.retain(|(other, _)| other.scalar() != Some(name));
        pairs.push((scalar(name, false), value));
    }
    node.kind = Kind::Map(pairs);
}

fn pairs_mut(node: &mut Node) -> &mut [(Node, Node)] {
    match &mut node.kind {
        Kind::Map(pairs) => pairs,
        _ => &mut [],
    }
}

fn get_mut<'n>(node: &'n mut Node, name: &str) -> Option<&'n mut Node> {
    pairs_mut(node).iter_mut().find(|(key, _)| key.scalar() == Some(name)).map(|(_, value)| value)
}

/// What two files say together.
pub(super) fn merge(base: Node, over: Node) -> Node {
    match over.tag.as_deref() {
        Some("!reset") => return Node::new(over.span, Kind::Scalar { text: String::new(), plain: true }),
        Some("!override") => return Node { tag: None, ..over },
        _ => {}
    }
    let kind = match (base.kind, over.kind) {
        (Kind::Map(mut pairs), Kind::Map(later)) => {
            for (key, value) in later {
                match pairs.iter().position(|(known, _)| known.scalar() == key.scalar()) {
                    Some(at) => {
                        let (_, before) = pairs.swap_remove(at);
                        pairs.push((key, merge(before, value)));
                        // The order of the first file stays.
                        let last = pairs.len() - 1;
                        pairs.swap(at, last);
                    }
                    None => pairs.push((key, value)),
                }
            }
            Kind::Map(pairs)
        }
        (Kind::List(mut items), Kind::List(later)) => {
            items.extend(later);
            Kind::List(items)
        }
        (base, Kind::Scalar { text, plain: true }) if text.is_empty() => base,
        (_, over) => over,
    };
    Node::new(over.span, kind)
}

/// Puts what services extend into them.
pub(super) fn extend(file: &mut Node) -> Found<()> {
    let Some(services) = get_mut(file, "services") else { return Ok(()) };
    let written = services.clone();
    for (name, service) in pairs_mut(services) {
        if service.get("extends").is_some() {
            *service = extended(&written, name, 0)?;
        }
    }
    Ok(())
}

fn extended(services: &Node, name: &Node, depth: usize) -> Found<Node> {
    let Some(service) = name.scalar().and_then(|name| services.get(name)) else {
        return wrong(&name.span, format!("no service is called `{}`", name.scalar().unwrap_or_default()));
    };
    let Some(extends) = service.get("extends") else { return Ok(service.clone()) };
    if depth == DEEPEST {
        return wrong(&extends.span, "services extend each other in a circle, or in too long a chain");
    }
    if let Some(file) = extends.get("file") {
        let error = Diagnostic::error(file.span.clone(), "a service of another file cannot be extended");
        return Err(Box::new(
            error.help("write its `build` section here, or share it with `inherits` in a build.toml"),
        ));
    }
    let Some(parent) = extends.get("service").or_else(|| extends.scalar().map(|_| extends)) else {
        return wrong(&extends.span, "`extends` needs the name of a `service`");
    };
    Ok(merge(extended(services, parent, depth + 1)?, service.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::super::yaml;
    use super::*;

    #[test]
    fn merges() {
        let check = |base: &str, over: &str, path: &[&str], expected: &[&str]| {
            let read = |text: &str| {
                let mut node = yaml::read(text, 0).unwrap();
                normalise(&mut node);
                node
            };
            let merged = merge(read(base), read(over));
            let mut node = &merged;
            for name in path {
                node = node.get(name).unwrap();
            }
            let shown: Vec<&str> = match &node.kind {
                Kind::Scalar { text, .. } => vec![text],
                Kind::List(items) => items.iter().filter_map(Node::scalar).collect(),
                Kind::Map(pairs) => {
                    pairs.iter().flat_map(|(key, value)| [key.scalar(), value.scalar()]).flatten().collect()
                }
            };
            assert_eq!(shown, expected, "{base} {over}");
        };
        let base = "services: {a: {image: one, build: {context: x, args: [A=1, B], tags: [t]}}}";
        let args = &["services", "a", "build", "args"];
        check(base, "services: {a: {build: {args: {A: 2, C: 3}}}}", args, &["A", "2", "B", "", "C", "3"]);
        check(base, "services: {a: {build: y}}", &["services", "a", "build", "context"], &["y"]);
        check(base, "services: {a: {build: y}}", args, &["A", "1", "B", ""]);
        check(base, "services: {a: {build: {tags: [u]}}}", &["services", "a", "build", "tags"], &["t", "u"]);
        check(base, "services: {a: {build: {tags: !override [u]}}}", &["services", "a", "build", "tags"], &["u"]);
        check(base, "services: {a: {build: {tags: !reset null}}}", &["services", "a", "build", "tags"], &[""]);
        check(base, "services: {b: {}}", &["services", "a", "image"], &["one"]);
    }
}
