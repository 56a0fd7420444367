//! The checks that need only the text.

use std::collections::BTreeMap;

use super::{Linter, rule};
use crate::frontend::dockerfile::ast::{Dockerfile, Head, Kind, Span};

/// Makes them all.
pub(in crate::frontend::dockerfile) fn check_syntax(file: &Dockerfile, linter: &mut Linter) {
    for lines in &file.empty_continuations {
        let Some(first) = lines.first() else { continue };
        let (message, help) = match lines.len() {
            1 => ("a blank line inside a continuation".to_owned(), "remove the line"),
            many => (format!("{many} blank lines inside a continuation"), "remove the lines"),
        };
        let finding = Linter::finding(rule::NoEmptyContinuation, first.clone(), message).help(help);
        linter.report(&[], lines.iter().fold(finding, |finding, line| finding.fix(file.lines(line), "")));
    }
    stage_names(file, linter);
    casing(file, linter);
    descriptions(file, linter);
    for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
        if matches!(instruction.kind, Kind::Maintainer(_)) {
            let span = instruction.head.keyword_span();
            let finding = Linter::finding(rule::MaintainerDeprecated, span, "`MAINTAINER` is deprecated")
                .help("write `LABEL org.opencontainers.image.authors=\"name\"`");
            let finding = match authors_label(&instruction.head, &instruction.kind) {
                Some(label) => finding.fix_with_changes(instruction.head.span.clone(), label),
                None => finding,
            };
            linter.report(&instruction.head.comments, finding);
        }
    }
}

fn stage_names(file: &Dockerfile, linter: &mut Linter) {
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    for stage in &file.stages {
        let comments = &stage.head.comments;
        let Some(name) = &stage.name else { continue };
        let lower = name.value.to_lowercase();
        if name.value != lower {
            let message = format!("the name of stage `{}` should be in lower case", name.value);
            let finding = Linter::finding(rule::StageNameCasing, name.span.clone(), message);
            linter.report(comments, finding.help(format!("write `{lower}`")).fix(name.span.clone(), lower.clone()));
        }
        let keyword = stage.head.keyword();
        if let Some(word) = &stage.as_keyword {
            let same = (keyword == keyword.to_lowercase() && word.value == word.value.to_lowercase())
                || (keyword == keyword.to_uppercase() && word.value == word.value.to_uppercase())
                || !consistent(keyword);
            if !same {
                let message = format!("`{}` and `{keyword}` are not in the same case", word.value);
                let wanted = if keyword == keyword.to_lowercase() { "as" } else { "AS" };
                let finding = Linter::finding(rule::FromAsCasing, word.span.clone(), message);
                linter.report(comments, finding.help(format!("write `{wanted}`")).fix(word.span.clone(), wanted));
            }
        }
        if matches!(lower.as_str(), "scratch" | "context") {
            let message = format!("a stage should not be called `{lower}`");
            let finding = Linter::finding(rule::ReservedStageName, name.span.clone(), message);
            linter.report(comments, finding.help("choose another name"));
        }
        match seen.get(&lower) {
            Some(first) => {
                let message = format!("two stages are called `{lower}`");
                let finding = Linter::finding(rule::DuplicateStageName, name.span.clone(), message);
                linter.report(comments, finding.note(first.clone(), "the first one").help("choose another name"));
            }
            None => drop(seen.insert(lower, name.span.clone())),
        }
    }
}

/// The label that stands for a `MAINTAINER`; none if the name cannot be quoted simply.
fn authors_label(head: &Head, kind: &Kind) -> Option<String> {
    let Kind::Maintainer(name) = kind else { return None };
    let bare = name.value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&name.value);
    if bare.contains(['"', '\\', '$', '`']) || bare.contains(char::is_control) {
        return None;
    }
    let keyword = if head.keyword() == "maintainer" { "label" } else { "LABEL" };
    Some(format!("{keyword} org.opencontainers.image.authors=\"{bare}\""))
}

fn consistent(word: &str) -> bool {
    word == word.to_lowercase() || word == word.to_uppercase()
}

fn heads(file: &Dockerfile) -> impl Iterator<Item = &Head> {
    file.stages.iter().flat_map(|stage| {
        std::iter::once(&stage.head).chain(stage.instructions.iter().map(|instruction| &instruction.head))
    })
}

fn casing(file: &Dockerfile, linter: &mut Linter) {
    let consistent = heads(file).filter(|head| consistent(head.keyword()));
    let (lower, upper): (Vec<&Head>, Vec<&Head>) =
        consistent.partition(|head| head.keyword() == head.keyword().to_lowercase());
    let to_lower = lower.len() > upper.len();
    for head in heads(file) {
        let word = head.keyword();
        let wanted = if to_lower { word.to_lowercase() } else { word.to_uppercase() };
        if word != wanted {
            let span = head.keyword_span();
            let message = format!("`{word}` is not in the same case as most instructions");
            let finding = Linter::finding(rule::ConsistentInstructionCasing, span.clone(), message);
            linter.report(&head.comments, finding.help(format!("write `{wanted}`")).fix(span, wanted));
        }
    }
}

fn descriptions(file: &Dockerfile, linter: &mut Linter) {
    let mut check = |head: &Head, names: &[&str]| {
        let (Some(comment), Some(first)) = (head.comments.last(), names.first()) else { return };
        if !names.contains(&comment.split(' ').next().unwrap_or_default()) {
            let message = format!("the comment above is no description of `{first}`");
            let finding = Linter::finding(rule::InvalidDefinitionDescription, head.keyword_span(), message)
                .help(format!("write `# {first} <description>`, or put an empty comment between"));
            linter.report(&head.comments, finding);
        }
    };
    for stage in &file.stages {
        if let Some(name) = stage.known_name() {
            check(&stage.head, &[&name]);
        }
    }
    let instructions = file.globals.iter().chain(file.stages.iter().flat_map(|stage| &stage.instructions));
    for instruction in instructions {
        if let Kind::Arg(declarations) = &instruction.kind {
            let names: Vec<&str> = declarations.iter().map(|declaration| declaration.key.value.as_str()).collect();
            check(&instruction.head, &names);
        }
    }
}
