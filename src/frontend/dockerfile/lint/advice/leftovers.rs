//! Files that one layer adds and a later one only hides.

use std::collections::BTreeMap;

use super::packages::removes_lists;
use super::{Linter, Seen, Step, report};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::Kind;
use crate::frontend::dockerfile::lint::rule;
use crate::frontend::dockerfile::lint::shell::Command;

/// Where apt keeps its package lists.
const LISTS: &str = "/var/lib/apt/lists";

/// `DeletedLater`.
pub(super) fn check(seen: &Seen<'_>, linter: &mut Linter) {
    if !seen.shipped {
        return;
    }
    // Paths and the first step that makes each.
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for (number, step) in seen.steps.iter().enumerate() {
        for command in step.commands.iter().filter(|command| command.name() == "rm") {
            for target in command.args().iter().filter(|word| !word.text.starts_with('-')) {
                let path = target.text.trim_end_matches('*').trim_end_matches('/');
                if path.is_empty() || !path.starts_with('/') || path.contains(['$', '`', '*', '?']) {
                    continue;
                }
                let folder = format!("{path}/");
                let below = || made.range(folder.clone()..).next().filter(|(other, _)| other.starts_with(&folder));
                let Some(maker) = made.get(path).or_else(|| below().map(|(_, maker)| maker)) else { continue };
                let message = format!("`{}` stays in the image: an earlier layer has it", target.text);
                let finding = Diagnostic::advice(rule::DeletedLater, step.at(&target.span), message)
                    .label("this only hides it")
                    .note(seen.steps[*maker].instruction.head.keyword_span(), "it is made here")
                    .help("delete it in the step that makes it, or use a mount: `RUN --mount=type=cache`, `type=bind` or `type=tmpfs`");
                report(linter, step.instruction, finding);
            }
        }
        for path in makes(step).into_iter().filter(|path| path.starts_with('/')) {
            made.entry(path).or_insert(number);
        }
    }
}

/// What a step adds to the image, as far as its text says.
fn makes(step: &Step<'_>) -> Vec<String> {
    if let Kind::Copy(copy) | Kind::Add(copy) = &step.instruction.kind {
        let dest = copy.dest.value.trim_end_matches('/');
        let into = |source: &str| {
            let name = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            if copy.dest.value.ends_with('/') { format!("{dest}/{name}") } else { dest.to_owned() }
        };
        return copy.sources.iter().map(|source| into(&source.value)).collect();
    }
    let mut made: Vec<String> = Vec::new();
    for command in &step.commands {
        // What goes in the same step is in no layer.
        for path in removed_by(command) {
            let folder = format!("{path}/");
            made.retain(|other| *other != path && !other.starts_with(&folder));
        }
        made.extend(command.written.iter().filter(|path| !path.starts_with("/dev/")).cloned());
        made.extend(made_by(step, command));
    }
    made
}

/// The paths that a command removes, without the wildcard at their end.
fn removed_by(command: &Command) -> Vec<String> {
    if removes_lists(command) {
        return vec![LISTS.into()];
    }
    if command.name() != "rm" {
        return Vec::new();
    }
    let targets = command.texts().filter(|word| word.starts_with('/'));
    targets.map(|path| path.trim_end_matches('*').trim_end_matches('/').to_owned()).collect()
}

fn made_by(step: &Step<'_>, command: &Command) -> Vec<String> {
    let plain: Vec<&str> = command.texts().filter(|word| !word.starts_with('-')).collect();
    let after = |flags: &[&str]| -> Vec<String> {
        let pairs = command.args().windows(2);
        pairs.filter(|pair| flags.contains(&pair[0].text.as_str())).map(|pair| pair[1].text.clone()).collect()
    };
    let last = || plain.last().map(|path| (*path).to_owned()).into_iter().collect();
    match command.name() {
        "mkdir" | "touch" => plain.iter().map(|path| (*path).to_owned()).collect(),
        "cp" | "mv" if plain.len() > 1 => last(),
        "git" if plain.first() == Some(&"clone") && plain.len() > 2 => last(),
        "curl" => after(&["-o", "--output", "-fsSLo", "-fsSo", "-Lo", "-sSLo", "-fLo", "-sLo"]),
        "wget" => after(&["-O", "--output-document", "-P", "-qO", "-nvO"]),
        "tar" => after(&["-C", "--directory"]),
        "unzip" => after(&["-d"]),
        "apt-get" | "apt"
            if plain.first() == Some(&"update") && !step.has_cache(&["/var/lib/apt", "/var/cache/apt"]) =>
        {
            vec![LISTS.into()]
        }
        _ => Vec::new(),
    }
}
