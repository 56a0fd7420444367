//! `apt-get` as it should be used in an image.

use super::{Linter, Seen, Step, report};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::lint::rule;
use crate::frontend::dockerfile::lint::shell::{Command, Next};

const FOLDERS: [&str; 2] = ["/var/lib/apt", "/var/cache/apt"];

fn apt(command: &Command) -> Option<&str> {
    if !matches!(command.name(), "apt-get" | "apt" | "aptitude") {
        return None;
    }
    // `-o` takes an argument of its own.
    let mut texts = command.texts();
    while let Some(word) = texts.next() {
        match word {
            "-o" | "-c" | "-t" => drop(texts.next()),
            word if word.starts_with('-') => {}
            verb => return Some(verb),
        }
    }
    None
}

/// All of them.
pub(super) fn check(seen: &Seen<'_>, step: &Step<'_>, linter: &mut Linter) {
    let commands: Vec<(&Command, &str)> =
        step.commands.iter().filter_map(|command| Some((command, apt(command)?))).collect();
    let has = |verbs: &[&str]| commands.iter().find(|(_, verb)| verbs.contains(verb)).map(|(command, _)| *command);
    for (command, verb) in &commands {
        let place = step.at(&command.span());
        if matches!(*verb, "upgrade" | "dist-upgrade" | "full-upgrade" | "safe-upgrade") {
            let message = format!("`{} {verb}` makes the image depend on the day it is built", command.name());
            let finding = Diagnostic::advice(rule::AptUpgrade, place.clone(), message)
                .help("use a newer base image; install single packages anew if one needs a fix now");
            report(linter, step.instruction, finding);
        }
        let asks = ["install", "upgrade", "dist-upgrade", "full-upgrade", "remove", "purge", "autoremove", "build-dep"];
        let real = !simulates(command);
        if asks.contains(verb) && real && !agrees(command) && !answered(step, command) {
            let message = format!("`{} {verb}` asks, and nobody answers", command.name());
            let finding = Diagnostic::advice(rule::AptWithoutYes, place.clone(), message).help("add `-y`");
            report(linter, step.instruction, finding);
        }
        let lean = |word: &str| word == "--no-install-recommends" || word.contains("APT::Install-Recommends");
        if *verb == "install" && real && seen.shipped && command.name() != "aptitude" && !command.texts().any(lean) {
            let message = "this installs recommended packages, too";
            let finding = Diagnostic::advice(rule::AptRecommends, place, message).help("add `--no-install-recommends`");
            report(linter, step.instruction, finding);
        }
    }
    let Some(update) = has(&["update"]) else { return };
    let place = step.at(&update.span());
    if commands.iter().all(|(_, verb)| *verb == "update") && !step.has_cache(&FOLDERS) {
        let message = "package lists are fetched in a step of their own";
        let finding = Diagnostic::advice(rule::AptUpdateAlone, place, message)
            .help("write `apt-get update && apt-get install …` in one `RUN`");
        report(linter, step.instruction, finding);
        return;
    }
    let removes = |command: &&Command| {
        matches!(command.name(), "rm" | "find") && command.texts().any(|word| word.starts_with("/var/lib/apt"))
    };
    let cleans = step.commands.iter().any(|command| removes(&command) || removes_lists(command));
    if seen.shipped && !cleans && has(&["install"]).is_some() && !step.has_cache(&FOLDERS) {
        let finding = Diagnostic::advice(rule::AptListsKept, place, "the package lists stay in the image")
            .help("end the step with `&& rm -rf /var/lib/apt/lists/*`")
            .help("or mount caches: `RUN --mount=type=cache,target=/var/lib/apt --mount=type=cache,target=/var/cache/apt`");
        report(linter, step.instruction, finding);
    }
}

/// Whether it takes away the package lists: `clean` alone takes away the packages only.
pub(super) fn removes_lists(command: &Command) -> bool {
    matches!(apt(command), Some("dist-clean" | "distclean"))
}

/// Whether it only says what it would do.
fn simulates(command: &Command) -> bool {
    command.texts().any(|word| {
        let short = word.starts_with('-') && !word.starts_with("--") && !word.contains(['=', ':']);
        (short && word.contains('s'))
            || matches!(word, "--dry-run" | "--simulate" | "--just-print" | "--no-act" | "--recon")
    })
}

/// Whether a flag answers all questions.
fn agrees(command: &Command) -> bool {
    command.texts().any(|word| {
        let short = word.starts_with('-') && !word.starts_with("--");
        // `-qq` says yes as well.
        (short && (word.contains('y') || word.contains("qq") || word.contains("q=2")))
            || matches!(word, "--yes" | "--assume-yes" | "--quiet=2" | "--download-only")
            || word.contains("Assume-Yes")
            || word.contains('$')
    })
}

/// Whether something is piped into it.
fn answered(step: &Step<'_>, command: &Command) -> bool {
    let place = step.commands.iter().position(|other| std::ptr::eq(other, command));
    place.and_then(|at| at.checked_sub(1)).is_some_and(|before| step.commands[before].next == Next::Pipe)
}
