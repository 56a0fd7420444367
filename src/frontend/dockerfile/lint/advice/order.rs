//! Steps in an order that wastes the cache: what changes with every commit is copied before what is installed rarely.

use super::{Linter, Seen, context_sources, report};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::lint::rule;
use crate::frontend::dockerfile::lint::shell::Command;

/// `CacheOrder`.
pub(super) fn check(seen: &Seen<'_>, linter: &mut Linter) {
    let mut copied = None;
    for step in &seen.steps {
        let sources = context_sources(step.instruction);
        let whole = sources.iter().find(|(path, _)| matches!(*path, "." | "" | "/" | "*"));
        if let (Some((_, span)), None) = (whole, &copied) {
            copied = Some((step.instruction, span.clone()));
        }
        let Some((copy, place)) = &copied else { continue };
        if step.has_cache(&[]) {
            continue;
        }
        let found = step.commands.iter().find_map(|command| Some((command, installs(command)?)));
        let Some((command, files)) = found else { continue };
        let shown = command.words.iter().take(3).map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let message = format!("any change of the sources runs `{shown}` again");
        let finding = Diagnostic::advice(rule::CacheOrder, place.clone(), message)
            .label("this changes often")
            .note(step.at(&command.span()), "this takes long, and depends on little of it");
        let help = match files {
            "" => "move the installation above the `COPY`".to_owned(),
            files => format!("copy only {files} first, install, and copy the rest after that"),
        };
        report(linter, copy, finding.help(help));
        return;
    }
}

/// The files that an installation of dependencies needs, if the command is one; nothing if it needs none.
fn installs(command: &Command) -> Option<&'static str> {
    let mut words = command.texts().filter(|word| !word.starts_with('-'));
    let (first, second) = (words.next(), words.next());
    let is_help = command.texts().any(|word| word == "--version" || word == "--help");
    if is_help {
        return None;
    }
    // What is installed for all projects does not depend on the files of this one.
    let own = command.texts().any(|word| word.starts_with('.') || word.starts_with('/') || word.ends_with(".tgz"));
    if command.texts().any(|word| matches!(word, "-g" | "--global")) {
        let tools = matches!((command.name(), first), ("npm" | "pnpm" | "bun", Some("i" | "install" | "add")));
        return (tools && !own).then_some("");
    }
    match (command.name(), first, second) {
        ("npm", Some("ci" | "install" | "i"), _) => Some("package.json and package-lock.json"),
        ("yarn", None | Some("install"), _) => Some("package.json and yarn.lock"),
        ("pnpm", Some("install" | "i" | "fetch"), _) => Some("package.json and pnpm-lock.yaml"),
        ("bun", Some("install" | "i"), _) => Some("package.json and bun.lock"),
        ("pip" | "pip3", Some("install"), _) => pip(command),
        ("python" | "python3", Some("pip"), Some("install")) => pip(command),
        ("poetry", Some("install"), _) => Some("pyproject.toml and poetry.lock"),
        ("uv", Some("sync"), _) => Some("pyproject.toml and uv.lock"),
        ("pipenv", Some("install" | "sync"), _) => Some("Pipfile and Pipfile.lock"),
        ("cargo", Some("fetch"), _) => Some("Cargo.toml and Cargo.lock"),
        ("go", Some("mod"), Some("download")) => Some("go.mod and go.sum"),
        ("bundle", None | Some("install"), _) => Some("Gemfile and Gemfile.lock"),
        ("composer", Some("install"), _) => Some("composer.json and composer.lock"),
        ("mvn" | "mvnw", Some(goal), _) if goal.starts_with("dependency:") => Some("pom.xml"),
        ("dotnet", Some("restore"), _) => Some("the project files"),
        ("apt-get" | "apt", Some("install"), _) | ("apk", Some("add"), _) => Some(""),
        ("dnf" | "yum" | "microdnf", Some("install"), _) => Some(""),
        _ => None,
    }
}

/// `pip install` of something else than the sources themselves.
fn pip(command: &Command) -> Option<&'static str> {
    let mut texts = command.texts().skip_while(|word| *word != "install").skip(1);
    let mut files = None;
    while let Some(word) = texts.next() {
        match word {
            "-r" | "--requirement" | "-c" | "--constraint" => {
                texts.next();
                files = Some("requirements.txt");
            }
            word if word.starts_with("-r") || word.starts_with("--requirement=") => files = Some("requirements.txt"),
            "-e" | "--editable" => return None,
            word if word.starts_with('.') || word.starts_with('/') || word.ends_with(".whl") => return None,
            word if word.starts_with('-') => {}
            _ => files = files.or(Some("")),
        }
    }
    files
}
