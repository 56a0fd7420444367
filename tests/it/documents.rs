//! Documents hold what they promise: the commands that they and the help texts show are read by the program's own parser, and
//! their links lead somewhere.
//!
//! What commands print is not compared here; the examples that can be run are run by other tests.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use imgbuild::cli::args::Cli;

#[test]
fn commands_in_documents_are_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = String::new();
    let mut count = 0;
    for file in documents(root) {
        let text = fs::read_to_string(&file).unwrap();
        for (line, command) in commands(&text) {
            count += 1;
            if let Some(error) = complaint(&command) {
                let file = file.strip_prefix(root).unwrap().display();
                wrong.push_str(&format!("{file}:{line}: {}\n  {error}\n", command.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(count > 200, "only {count} commands were found");
}

#[test]
fn commands_in_help_texts_are_understood() {
    let mut program = Cli::command();
    program.build();
    let mut wrong = String::new();
    let mut open = vec![program];
    while let Some(command) = open.pop() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  imgbuild ")) {
            for words in in_line(before_gap(line.trim())) {
                if let Some(error) = complaint(&words) {
                    wrong.push_str(&format!("{}: {}\n  {error}\n", command.get_name(), words.join(" ")));
                }
            }
        }
        open.extend(command.get_subcommands().cloned());
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn links_in_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = String::new();
    let more = ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name));
    for file in documents(root).into_iter().chain(more) {
        let text = fs::read_to_string(&file).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        for target in targets.filter(|target| !target.starts_with("https://") && !target.contains(char::is_whitespace))
        {
            let (path, place) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { file.clone() } else { file.with_file_name(path) };
            let leads = match fs::read_to_string(&path) {
                Ok(text) if !place.is_empty() => text.lines().any(|line| anchor(line).as_deref() == Some(place)),
                _ => path.exists(),
            };
            if !leads {
                wrong.push_str(&format!("{}: {target}\n", file.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What a heading is called in links, as code hosts make it.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    Some(heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-"))
}

/// The documents for users.
fn documents(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.join("README.md"), root.join("SECURITY.md")];
    let below = |folder: &str| fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    found.extend(below("docs").filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    found.extend(below("examples").map(|example| example.join("README.md")).filter(|path| path.is_file()));
    found.sort();
    found
}

/// What the parser says against a command; nothing if it understands it.
fn complaint(command: &[String]) -> Option<String> {
    // Whoever asks for help is understood, too, and a command that is only named has no arguments.
    let named = |error: &clap::Error| match error.kind() {
        ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => command.len() <= 2,
        _ => !error.use_stderr(),
    };
    let error = Cli::try_parse_from(command).err().filter(|error| !named(error))?;
    Some(error.to_string().lines().next().unwrap_or_default().to_owned())
}

/// The commands in the blocks of a document and between its words, with the number of the line that each starts on.
fn commands(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut fenced = false;
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let code = fenced || line.starts_with("    ");
        if !code {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.flat_map(in_line).map(|words| (number, words)));
        }
        let shown = before_gap(line.trim_start().trim_start_matches("$ "));
        if !code || in_line(shown).is_empty() {
            continue;
        }
        let mut whole = shown.to_owned();
        while let Some(begun) = whole.strip_suffix('\\') {
            let (_, next) = lines.next().expect("a command goes on");
            whole = format!("{begun}{}", next.trim_start());
        }
        found.extend(in_line(&whole).into_iter().map(|words| (number, words)));
    }
    found
}

/// What is behind a wide gap says what a command does.
fn before_gap(line: &str) -> &str {
    line.split("  ").next().unwrap_or_default()
}

/// The commands of this program in a line of a shell's language, as far as documents use that.
fn in_line(line: &str) -> Vec<Vec<String>> {
    let is_setting = |word: &String| word.split_once('=').is_some_and(|(name, _)| name.chars().all(is_name));
    let ours = |words: Vec<String>| {
        let words: Vec<String> = words.into_iter().skip_while(is_setting).collect();
        words.first().is_some_and(|word| word == "imgbuild").then_some(words)
    };
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '$') if chars.peek().copied().is_some_and(is_name) => {
                let name: String = std::iter::from_fn(|| chars.next_if(|c| is_name(*c))).collect();
                word.get_or_insert_default().push_str(if name == "PWD" { "/folder" } else { "value" });
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '\\') if chars.peek().is_some() => word.get_or_insert_default().extend(chars.next()),
            (None, '|' | '&' | ';' | '(' | ')') => {
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            // What is written to or read from is no word of the command.
            (None, '>' | '<') => {
                if word.take_if(|word| word.chars().all(|c| c.is_ascii_digit())).is_none() {
                    words.extend(word.take());
                }
                while chars.next_if(|c| " >&<".contains(*c)).is_some() {}
                while chars.next_if(|c| !c.is_whitespace()).is_some() {}
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    all.push(words);
    all.into_iter().filter_map(ours).collect()
}

fn is_name(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'
}

#[test]
fn finds_commands_in_lines() {
    let check = |line: &str, expected: &[&[&str]]| assert_eq!(in_line(line), expected, "{line}");
    check("imgbuild build -t app . # x", &[&["imgbuild", "build", "-t", "app", "."]]);
    check("TAG=1 imgbuild bake 'a b'", &[&["imgbuild", "bake", "a b"]]);
    check("imgbuild a && imgbuild b > c 2>&1 | head", &[&["imgbuild", "a"], &["imgbuild", "b"]]);
    check("id=$(imgbuild a) x", &[&["imgbuild", "a"]]);
    check("imgbuild run -v $PWD:/src \"a$B c\" '$D'", &[&["imgbuild", "run", "-v", "/folder:/src", "avalue c", "$D"]]);
    check("cargo build", &[]);
}
