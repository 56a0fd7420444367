//! A printer of Dockerfiles, in one canonical form, and the law that holds for it: parse, print, parse gives the same.
//!
//! Where a word stood, comments and the spelling of keywords are not kept, so they are not compared.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::super::parse;
use crate::frontend::dockerfile::ast::{
    CommandLine, Dockerfile, Heredoc, Instruction, Kind, Pair, Run, RunNetwork, Stage, Transfer, Word,
};

/// The text of a file; none where it holds what only a JSON array can say in a place that takes none.
fn print(file: &Dockerfile) -> Option<String> {
    let printer = Printer { escape: file.escape };
    let mut text = format!("# escape={}\n", file.escape);
    // An escape character at the end, where it was protected by a blank that is gone, would join the next line.
    let whole = |line: String| if line.ends_with(file.escape) { None } else { Some(line + "\n") };
    for instruction in &file.globals {
        text.push_str(&whole(printer.instruction(&instruction.kind)?)?);
    }
    for stage in &file.stages {
        text.push_str(&printer.stage(stage));
        for instruction in &stage.instructions {
            text.push_str(&whole(printer.instruction(&instruction.kind)?)?);
        }
    }
    Some(text)
}

struct Printer {
    escape: char,
}

impl Printer {
    fn stage(&self, stage: &Stage) -> String {
        let mut text = format!("FROM {}{}", self.flag("platform", stage.platform.as_ref()), stage.base.value);
        for word in stage.as_keyword.iter().chain(&stage.name) {
            text.push(' ');
            text.push_str(&word.value);
        }
        text + "\n"
    }

    fn instruction(&self, kind: &Kind) -> Option<String> {
        let words = |words: &[Word]| words.iter().map(|word| word.value.as_str()).collect::<Vec<_>>().join(" ");
        Some(match kind {
            Kind::Add(transfer) => format!("ADD {}", self.transfer(transfer)?),
            Kind::Copy(transfer) => format!("COPY {}", self.transfer(transfer)?),
            Kind::Arg(declarations) => {
                let one = |default: &Option<Word>| {
                    default.as_ref().map(|default| format!("={}", default.value)).unwrap_or_default()
                };
                let all: Vec<String> =
                    declarations.iter().map(|each| format!("{}{}", each.key.value, one(&each.default))).collect();
                format!("ARG {}", guarded(&all.join(" ")))
            }
            Kind::Cmd(command) => format!("CMD {}", command_line(command)),
            Kind::Entrypoint(command) => format!("ENTRYPOINT {}", command_line(command)),
            Kind::Env(pairs) => format!("ENV {}", self::pairs(pairs)),
            Kind::Label(pairs) => format!("LABEL {}", self::pairs(pairs)),
            Kind::Expose(ports) => {
                // They are sorted when they are read, and one that starts with a wide blank cannot have stood first, nor one
                // that ends in one last.
                let ends = |port: &Word| port.value.ends_with(char::is_whitespace);
                let mut ports = ports.clone();
                ports.sort_by_key(|port| port.value.starts_with(char::is_whitespace));
                if let Some(at) = ports.iter().rposition(|port| !ends(port)) {
                    let last = ports.remove(at);
                    ports.push(last);
                }
                format!("EXPOSE {}", guarded(&words(&ports)))
            }
            Kind::Healthcheck(check) => {
                let (kind, command) = check.test.split_first()?;
                let mut text = String::from("HEALTHCHECK ");
                let times = [
                    ("interval", check.interval),
                    ("timeout", check.timeout),
                    ("start-period", check.start_period),
                    ("start-interval", check.start_interval),
                ];
                for (name, time) in times.into_iter().filter(|(_, time)| *time != 0) {
                    text.push_str(&format!("--{name}={time}ns "));
                }
                if check.retries != 0 {
                    text.push_str(&format!("--retries={} ", check.retries));
                }
                text + &match kind.as_str() {
                    "CMD" => format!("CMD {}", json(command)),
                    "CMD-SHELL" => format!("CMD {}", command.first()?),
                    other => other.to_owned(),
                }
            }
            Kind::Maintainer(word) => format!("MAINTAINER {}", guarded(&word.value)),
            Kind::Onbuild(trigger) => format!("ONBUILD {trigger}"),
            Kind::Run(run) => format!("RUN {}", self.run(run)?),
            Kind::Shell(words) => format!("SHELL {}", json(words)),
            Kind::Stopsignal(word) => format!("STOPSIGNAL {}", guarded(&word.value)),
            Kind::User(word) => format!("USER {}", guarded(&word.value)),
            Kind::Volume(paths) => format!("VOLUME {}", json_words(paths)),
            Kind::Workdir(word) => format!("WORKDIR {}", guarded(&word.value)),
            // No Dockerfile says it.
            Kind::Change(_) => return None,
        })
    }

    fn transfer(&self, transfer: &Transfer) -> Option<String> {
        let mut text = String::new();
        let flags = [("from", &transfer.from), ("chown", &transfer.chown), ("chmod", &transfer.chmod)];
        for (name, value) in flags.into_iter().chain([("checksum", &transfer.checksum)]) {
            text.push_str(&self.flag(name, value.as_ref()));
        }
        for pattern in &transfer.exclude {
            text.push_str(&self.flag("exclude", Some(pattern)));
        }
        let set = |name: &str, set: Option<bool>| set.map(|set| format!("--{name}={set} ")).unwrap_or_default();
        text.push_str(&set("link", transfer.link.then_some(true)));
        text.push_str(&set("parents", transfer.parents.then_some(true)));
        text.push_str(&set("keep-git-dir", transfer.keep_git_dir));
        text.push_str(&set("unpack", transfer.unpack));
        let words: Vec<Word> = transfer.sources.iter().chain([&transfer.dest]).cloned().collect();
        if transfer.inline.is_empty() {
            return Some(text + &json_words(&words));
        }
        let plain = |word: &Word| {
            !word.value.is_empty() && !word.value.contains(|c: char| c.is_whitespace() || "\"'\\`<$".contains(c))
        };
        if !words.iter().all(plain) || !transfer.inline.iter().all(|heredoc| is_simple(&heredoc.name)) {
            return None;
        }
        text.push_str("-- ");
        for source in &transfer.sources {
            text.push_str(&source.value);
            text.push(' ');
        }
        for Heredoc { name, expand, strip_tabs, .. } in &transfer.inline {
            let (dash, quote) = (if *strip_tabs { "-" } else { "" }, if *expand { "" } else { "\"" });
            text.push_str(&format!("<<{dash}{quote}{name}{quote} "));
        }
        text.push_str(&transfer.dest.value);
        Some(text + &bodies(&transfer.inline))
    }

    fn run(&self, run: &Run) -> Option<String> {
        let mut text = String::new();
        for mount in &run.mounts {
            text.push_str(&self.flag("mount", Some(mount)));
        }
        for device in &run.devices {
            text.push_str(&self.flag("device", Some(device)));
        }
        match run.network {
            None => {}
            Some(RunNetwork::Default) => text.push_str("--network=default "),
            Some(RunNetwork::None) => text.push_str("--network=none "),
            Some(RunNetwork::Host(_)) => text.push_str("--network=host "),
        }
        if run.insecure.is_some() {
            text.push_str("--security=insecure ");
        }
        // A flag is read by the shell's rules as well when heredocs are looked for.
        let odd = text.contains(['"', '\'', '\\', '<']) && !run.heredocs.is_empty();
        (!odd).then(|| text + &command_line(&run.command) + &bodies(&run.heredocs))
    }

    /// A flag with a blank after it; nothing if there is none.
    fn flag(&self, name: &str, value: Option<&Word>) -> String {
        let Some(value) = value else { return String::new() };
        let mut text = format!("--{name}=");
        for c in value.value.chars() {
            if c.is_whitespace() || c == '"' || c == '\'' || c == self.escape {
                text.push(self.escape);
            }
            text.push(c);
        }
        text + " "
    }
}

fn is_simple(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c)) && !name.starts_with('-')
}

fn bodies(heredocs: &[Heredoc]) -> String {
    heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.body.value, heredoc.name)).collect()
}

/// Arguments that are not to be taken for flags.
fn guarded(text: &str) -> String {
    if text.starts_with("--") { format!("-- {text}") } else { text.to_owned() }
}

fn command_line(command: &CommandLine) -> String {
    match command {
        CommandLine::Shell(text) => guarded(&text.value),
        CommandLine::Exec(args) => json(args),
    }
}

fn pairs(pairs: &[Pair]) -> String {
    let one = |pair: &Pair| format!("{}{}{}", pair.key.value, if pair.legacy { " " } else { "=" }, pair.value.value);
    guarded(&pairs.iter().map(one).collect::<Vec<_>>().join(" "))
}

fn json(strings: &[String]) -> String {
    serde_json::to_string(strings).unwrap()
}

fn json_words(words: &[Word]) -> String {
    json(&words.iter().map(|word| word.value.clone()).collect::<Vec<_>>())
}

/// All of a file but places, comments and spelling.
fn structure(file: &Dockerfile) -> String {
    let kinds = |instructions: &[Instruction]| -> Vec<String> {
        instructions.iter().map(|instruction| without_places(&format!("{:?}", instruction.kind))).collect()
    };
    let mut text = format!("{:?}\n{:#?}\n", file.escape, kinds(&file.globals));
    for stage in &file.stages {
        let head = format!("{:?} {:?} {:?}", stage.base, stage.platform, stage.name);
        text.push_str(&format!("{}\n{:#?}\n", without_places(&head), kinds(&stage.instructions)));
    }
    text
}

/// Drops all that looks like `12..34`.
fn without_places(debug: &str) -> String {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mut out = String::new();
    let mut rest = debug;
    while let Some(c) = rest.chars().next() {
        let first = digits(rest);
        let second = rest[first..].strip_prefix("..").map_or(0, digits);
        let length = match (first, second) {
            (0, _) => c.len_utf8(),
            (_, 0) => first,
            (_, _) => {
                rest = &rest[first + 2 + second..];
                continue;
            }
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

/// Whether the law could be tried, which takes a text that parses.
#[track_caller]
fn check(text: &str) -> bool {
    let Some(file) = parse(text).dockerfile else { return false };
    let Some(printed) = print(&file) else { return false };
    let again = parse(&printed);
    let Some(reread) = again.dockerfile else { panic!("{text}\nis printed as\n{printed}\n{:?}", again.diagnostics) };
    assert_eq!(structure(&reread), structure(&file), "\n{text}\nis printed as\n{printed}");
    assert_eq!(print(&reread).as_ref(), Some(&printed), "printing again changes something");
    true
}

fn dockerfiles(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            dockerfiles(&path, found);
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().contains("Dockerfile")) {
            found.push(path);
        }
    }
}

#[test]
fn recorded_cases_survive_printing() {
    let mut found = Vec::new();
    dockerfiles(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases"), &mut found);
    let texts = found.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let tried = texts.filter(|text| check(text)).count();
    assert!(tried > 500, "only {tried} of {} could be tried", found.len());
}

fn argument() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z/.]{1,3}",
        3 => Just(" ".to_owned()),
        1 => "[=,:$#<>\\[\\]{}é-]",
        1 => prop::sample::select(vec!["\\", "`", "\"", "'", "\\\n", "`\n", "\t", "\u{b}", "--", "\r", "\u{a0}"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["k=v", "--from=a", "--chown=\"a b\"", "--mount=type=tmpfs,target=/x", "${a:-b}", "[\"a\", \"b c\"]", "1..2"])
            .prop_map(str::to_owned),
        1 => prop::sample::select(vec!["<<E x\na\nE\n", "<<-\"E\" /x\n\ta\nE\n", "<<E <<F y\n1\nE\nF\n", "\n# comment\n", "\n\n"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn instruction() -> impl Strategy<Value = String> {
    let keywords = "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER \
                    VOLUME WORKDIR run Copy FROM";
    let keywords: Vec<&str> = keywords.split(' ').collect();
    let more =
        prop::sample::select(vec!["", " ", " CMD ", " RUN ", " --link ", " --interval=1m30s CMD ", " a b ", " a=b "]);
    (prop::sample::select(keywords), more, argument())
        .prop_map(|(keyword, more, argument)| format!("{keyword} {more}{argument}\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_parses_survives_printing(
        escape in prop::sample::select(vec!["", "# escape=`\n"]),
        instructions in prop::collection::vec(instruction(), 1..3),
    ) {
        check(&format!("{escape}FROM a\n{}", instructions.concat()));
    }

    #[test]
    fn no_text_makes_it_panic(text in "(FROM|RUN|COPY|ENV|[ \\\\\n\"'<=\\[-]|\\PC){0,30}") {
        let parsed = parse(&text);
        for place in parsed.diagnostics.iter().flat_map(|one| &one.annotations) {
            prop_assert!(text.get(place.span.clone()).is_some());
        }
    }
}
