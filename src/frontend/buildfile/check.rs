//! What must hold for a build file whatever the values of its variables: names exist, and nothing needs itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::expand::{Fault, Piece, pieces};
use super::keys::Kind;
use super::model::{BuildFile, Text};
use super::steps;
use super::suggest::did_you_mean;
use crate::frontend::diagnostic::Diagnostic;

/// Everything that is wrong with the names of a build file.
pub(super) fn check(file: &BuildFile) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    same_names(file, &mut found);
    let variables = variables(file, &mut found);
    let targets: BTreeSet<&str> = file.targets().collect();
    let parents = file
        .targets
        .iter()
        .map(|target| (target.name.as_str(), references(&target.inherits, &targets, "target", &mut found)));
    let parents = parents.collect();
    let members = file.targets().chain(file.groups.iter().map(|group| group.name.as_str())).collect();
    let groups = file
        .groups
        .iter()
        .map(|group| (group.name.as_str(), references(&group.members, &members, "target or group", &mut found)));
    let groups = groups.collect();
    for (graph, what) in [
        (&variables, "a variable needs its own value"),
        (&parents, "a target inherits from itself"),
        (&groups, "a group is a member of itself"),
    ] {
        found.extend(endless(graph, what));
    }
    found
}

/// Who refers to whom, and where.
pub(super) type References<'a> = BTreeMap<&'a str, Vec<(&'a str, Range<usize>)>>;

fn same_names(file: &BuildFile, found: &mut Vec<Diagnostic>) {
    let variables = file.variables.iter().map(|variable| (variable.name.as_str(), &variable.span));
    once(variables, "variables", found);
    once(file.targets.iter().map(|target| (target.name.as_str(), &target.span)), "targets", found);
    once(file.groups.iter().map(|group| (group.name.as_str(), &group.span)), "groups", found);
    for group in &file.groups {
        if let Some(target) = file.target(&group.name) {
            let message = format!("`{}` is the name of both a group and a target", group.name);
            found.push(Diagnostic::error(group.span.clone(), message).note(target.span.clone(), "the target"));
        }
    }
}

fn once<'a>(names: impl Iterator<Item = (&'a str, &'a Range<usize>)>, what: &str, found: &mut Vec<Diagnostic>) {
    let mut seen = BTreeMap::new();
    for (name, span) in names {
        if let Some(other) = seen.insert(name, span) {
            let message = format!("two {what} are called `{name}`");
            found.push(Diagnostic::error(span.clone(), message).note(other.clone(), "the other one"));
        }
    }
}

fn references<'a>(
    names: &'a [Text],
    known: &BTreeSet<&'a str>,
    what: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<(&'a str, Range<usize>)> {
    let mut references = Vec::new();
    for name in names {
        let span = name.place.span(None);
        if known.contains(name.text.as_str()) {
            references.push((name.text.as_str(), span));
        } else {
            let mut error = Diagnostic::error(span, format!("no {what} is called `{}`", name.text));
            error.help.extend(did_you_mean(&name.text, known.iter().copied()));
            found.push(error);
        }
    }
    references
}

/// Checks every `${NAME}`; returns which variables the defaults of others need.
fn variables<'a>(file: &'a BuildFile, found: &mut Vec<Diagnostic>) -> References<'a> {
    let mut needs = References::new();
    for variable in &file.variables {
        let defaults = variable.default_texts().iter();
        needs.insert(variable.name.as_str(), defaults.flat_map(|text| variables_of(file, text, found)).collect());
        if let Some(condition) = &variable.condition {
            variables_of(file, condition, found);
        }
    }
    for target in &file.targets {
        for (key, value) in &target.values {
            if key.info().kind != Kind::Verbatim {
                for text in value.texts() {
                    variables_of(file, text, found);
                }
                for text in steps::texts_of(value) {
                    variables_of(file, &text, found);
                }
            }
        }
    }
    needs
}

fn variables_of<'a>(file: &'a BuildFile, text: &'a Text, found: &mut Vec<Diagnostic>) -> Vec<(&'a str, Range<usize>)> {
    let pieces = match pieces(text) {
        Ok(pieces) => pieces,
        Err(fault) => {
            found.push(diagnostic(&fault));
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    let of = |piece| match piece {
        Piece::Expression(expression) => expression.variables(),
        Piece::Literal(_) => Vec::new(),
    };
    for (name, part) in pieces.into_iter().flat_map(of) {
        let span = text.place.span(Some(part));
        if file.variable(name).is_some() {
            names.push((name, span));
        } else {
            let known = file.variables.iter().map(|variable| variable.name.as_str());
            let help = did_you_mean(name, known)
                .unwrap_or_else(|| format!("declare it: `{name} = \"…\"` under `[variable]`; `$${{` stands for `${{`"));
            found.push(Diagnostic::error(span, format!("no variable is called `{name}`")).help(help));
        }
    }
    names
}

/// The longest chain of references. Nobody writes one; it bounds every recursion over the file.
const DEEPEST: usize = 200;

/// Finds a chain of references that comes back to where it began, or does not end soon enough.
pub(super) fn endless(graph: &References<'_>, what: &str) -> Option<Diagnostic> {
    let mut done = BTreeSet::new();
    graph.keys().find_map(|start| walk(graph, what, start, &mut Vec::new(), &mut done))
}

fn walk<'a>(
    graph: &References<'a>,
    what: &str,
    name: &'a str,
    chain: &mut Vec<(&'a str, Range<usize>)>,
    done: &mut BTreeSet<&'a str>,
) -> Option<Diagnostic> {
    if let Some(at) = chain.iter().position(|(above, _)| *above == name) {
        return Some(cycle_error(what, &chain[at..]));
    }
    if done.contains(name) {
        return None;
    }
    for (next, span) in graph.get(name).into_iter().flatten() {
        if chain.len() == DEEPEST {
            return Some(Diagnostic::error(span.clone(), format!("`{name}` is {DEEPEST} references deep: too deep")));
        }
        chain.push((name, span.clone()));
        if let Some(error) = walk(graph, what, next, chain, done) {
            return Some(error);
        }
        chain.pop();
    }
    done.insert(name);
    None
}

/// The message about a cycle: the whole chain in words, and each of its links pointed at.
pub(super) fn cycle_error(what: &str, cycle: &[(&str, Range<usize>)]) -> Diagnostic {
    let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|(name, _)| *name).collect();
    let first = cycle.first().map_or(0..0, |(_, span)| span.clone());
    let error = Diagnostic::error(first, format!("{what}: {}", names.join(" → ")));
    cycle.iter().skip(1).fold(error, |error, (name, span)| error.note(span.clone(), format!("`{name}` goes on here")))
}

/// A fault in the file as a message.
pub(super) fn diagnostic(fault: &Fault) -> Diagnostic {
    let mut error = Diagnostic::error(fault.place.span(fault.part.clone()), fault.message.clone());
    error.help.extend(fault.help.clone());
    error
}
