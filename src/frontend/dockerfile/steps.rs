//! From [steps as values](crate::frontend::steps) to the syntax tree of the Dockerfile that says the same.
//!
//! Values become words whose quoting makes them come out as they are, so that what follows need not know that nobody
//! wrote a Dockerfile. Spans stay those of the source, which messages therefore point at.

use super::ast::{
    Change, CheckOptions, CommandLine, Declaration, Dockerfile, Head, Heredoc, Instruction, Join, Kind, LineStarts,
    Pair, Run, RunNetwork, Span, Spanned, Stage, Transfer, Word,
};
use super::go;
use super::parse::parse_trigger;
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::steps::{self, Base, Command, Definition, Text};
use crate::graph::limits::time;
use crate::oci::Healthcheck;

/// The name of the here-document that holds an inline file: the one that most people choose.
const INLINE: &str = "EOF";

/// The Dockerfile that says what a definition says. `line_starts` are those of the text that its spans are about.
pub fn from_steps(definition: &Definition, line_starts: LineStarts) -> Result<Dockerfile, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let stages = definition.stages.iter().map(|one| stage(one, &mut errors)).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Dockerfile {
        escape: '\\',
        check: CheckOptions::default(),
        globals: Vec::new(),
        stages,
        notes: Vec::new(),
        empty_continuations: Vec::new(),
        line_starts,
    })
}

fn stage(stage: &steps::Stage, errors: &mut Vec<Diagnostic>) -> Stage {
    let (base, join) = match &stage.base {
        Base::From(name) | Base::ForPlatform { name, .. } => (quoted(name), None),
        Base::Merge(names) => (plain(&"scratch".into()), Some(Join::Merge(names.iter().map(plain).collect()))),
        Base::Diff { lower, upper } => {
            (plain(&"scratch".into()), Some(Join::Diff(Box::new([plain(lower), plain(upper)]))))
        }
    };
    let base = Word::new(base.value, if join.is_some() { stage.span.clone() } else { base.span });
    let mut instructions = Vec::new();
    for step in &stage.steps {
        match instruction(&step.instruction, &step.span) {
            Ok((kind, text)) => {
                let keyword = text.split(' ').next().unwrap_or_default().to_owned();
                instructions.push(Instruction { head: head(&keyword, text, &step.span), kind });
            }
            Err(error) => errors.push(*error),
        }
    }
    Stage {
        head: head("FROM", format!("FROM {}", base.value), &stage.span),
        base,
        platform: match &stage.base {
            Base::ForPlatform { platform, .. } => Some(quoted(platform)),
            _ => None,
        },
        as_keyword: None,
        name: stage.name.as_ref().map(plain),
        join,
        instructions,
    }
}

fn head(keyword: &str, text: String, span: &Span) -> Head {
    Head { keyword: 0..keyword.len(), span: span.clone(), text, comments: Vec::new(), pieces: Vec::new() }
}

type Lowered = Result<(Kind, String), Box<Diagnostic>>;

/// The instruction, and how a Dockerfile would write it, for people.
fn instruction(instruction: &steps::Instruction, span: &Span) -> Lowered {
    Ok(match instruction {
        steps::Instruction::Run(step) => (Kind::Run(Box::new(run(step)?)), "RUN".into()),
        steps::Instruction::Copy(copy) => transfer("COPY", copy, Kind::Copy),
        steps::Instruction::Add(add) => transfer("ADD", add, Kind::Add),
        steps::Instruction::Write(write) => write_file(write)?,
        steps::Instruction::Mkdir(mkdir) => {
            let flag = |text: &Option<Text>| text.as_ref().map(quoted);
            let (chown, chmod) = (flag(&mkdir.chown), flag(&mkdir.chmod));
            (Kind::Change(Change::Mkdir { path: quoted(&mkdir.path), chown, chmod }), show("MKDIR", [&mkdir.path]))
        }
        steps::Instruction::Symlink(link) => {
            let chown = link.chown.as_ref().map(quoted);
            let change = Change::Symlink { path: quoted(&link.path), to: quoted(&link.to), chown };
            (Kind::Change(change), show("SYMLINK", [&link.path, &link.to]))
        }
        steps::Instruction::Remove(remove) => {
            let paths = remove.paths.iter().map(quoted).collect();
            let change = Change::Remove { paths, allow_missing: remove.allow_missing };
            (Kind::Change(change), show("REMOVE", &remove.paths))
        }
        steps::Instruction::Arg(names) => {
            let one = |(name, default): &(Text, Option<Text>)| Declaration {
                key: plain(name),
                default: default.as_ref().map(quoted),
            };
            (Kind::Arg(names.iter().map(one).collect()), "ARG".into())
        }
        steps::Instruction::Env(pairs) => (Kind::Env(pairs_of(pairs)), "ENV".into()),
        steps::Instruction::Label(pairs) => (Kind::Label(pairs_of(pairs)), "LABEL".into()),
        steps::Instruction::Workdir(path) => (Kind::Workdir(quoted(path)), format!("WORKDIR {}", path.value)),
        steps::Instruction::User(user) => (Kind::User(quoted(user)), "USER".into()),
        steps::Instruction::Entrypoint(command) => (Kind::Entrypoint(command_line(command)), "ENTRYPOINT".into()),
        steps::Instruction::Cmd(command) => (Kind::Cmd(command_line(command)), "CMD".into()),
        steps::Instruction::Expose(ports) => {
            let mut ports: Vec<Word> = ports.iter().map(quoted).collect();
            ports.sort_by(|a, b| a.value.cmp(&b.value));
            (Kind::Expose(ports), "EXPOSE".into())
        }
        steps::Instruction::Volume(paths) => (Kind::Volume(paths.iter().map(quoted).collect()), "VOLUME".into()),
        steps::Instruction::Stopsignal(signal) => (Kind::Stopsignal(quoted(signal)), "STOPSIGNAL".into()),
        steps::Instruction::Shell(words) => (Kind::Shell(values(words)), "SHELL".into()),
        steps::Instruction::Healthcheck(check) => (Kind::Healthcheck(healthcheck(check, span)?), "HEALTHCHECK".into()),
        steps::Instruction::Onbuild(trigger) => {
            let name = trigger.value.split_whitespace().next().unwrap_or_default().to_uppercase();
            if matches!(name.as_str(), "ONBUILD" | "MAINTAINER" | "FROM") {
                return Err(error(&trigger.span, format!("`{name}` cannot be a trigger of `onbuild`")));
            }
            if let Err(errors) = parse_trigger(&trigger.value) {
                let reason = errors.first().map(|error| error.message.clone()).unwrap_or_default();
                let error = error(&trigger.span, format!("the trigger cannot be read: {reason}"));
                return Err(Box::new(error.help("write an instruction as a Dockerfile has it: `RUN make`")));
            }
            (Kind::Onbuild(trigger.value.clone()), "ONBUILD".into())
        }
    })
}

fn error(span: &Span, message: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(span.clone(), message))
}

fn run(step: &steps::Run) -> Result<Run, Box<Diagnostic>> {
    let network = match step.network.as_ref().map(|text| (text.value.as_str(), &text.span)) {
        None => None,
        Some(("default", _)) => Some(RunNetwork::Default),
        Some(("none", _)) => Some(RunNetwork::None),
        Some(("host", span)) => Some(RunNetwork::Host(span.clone())),
        Some((other, span)) => {
            let error = error(span, format!("`{other}` is no network mode"));
            return Err(Box::new(error.help("the modes are default, none and host")));
        }
    };
    let insecure = match step.security.as_ref().map(|text| (text.value.as_str(), &text.span)) {
        None | Some(("sandbox", _)) => None,
        Some(("insecure", span)) => Some(span.clone()),
        Some((other, span)) => {
            let error = error(span, format!("`{other}` is no security mode"));
            return Err(Box::new(error.help("the modes are sandbox and insecure")));
        }
    };
    let mounts = step.mounts.iter().map(mount).collect::<Result<_, _>>()?;
    let (command, heredocs) = match &step.command {
        // A script is what a here-document is that begins so.
        Command::Shell(text) if text.value.starts_with("#!") => {
            let script = Heredoc { name: INLINE.into(), expand: false, strip_tabs: false, body: plain(text) };
            (CommandLine::Shell(Word::new(format!("<<{INLINE}"), text.span.clone())), vec![script])
        }
        command => (command_line(command), Vec::new()),
    };
    let timeout = step.timeout.as_ref().map(|text| time(&text.value).map_err(|reason| error(&text.span, reason)));
    let timeout = timeout.transpose()?;
    Ok(Run { command, heredocs, mounts, network, insecure, devices: Vec::new(), timeout })
}

/// The fields as one line, quoted twice: values for the expansion of variables, fields for the commas.
fn mount(mount: &steps::Mount) -> Result<Word, Box<Diagnostic>> {
    let mut fields = Vec::new();
    for (key, value) in &mount.fields {
        if key == "from" && value.value.contains(['$', '\\', '"', '\'']) {
            let message = format!("`from = \"{}\"` of a mount cannot hold variables or quotes", value.value);
            return Err(error(&value.span, message));
        }
        let field = format!("{key}={}", quoted(value).value);
        let special = field.contains([',', '"', '\n', '\r']);
        fields.push(if special { format!("\"{}\"", field.replace('"', "\"\"")) } else { field });
    }
    Ok(Word::new(fields.join(","), mount.span.clone()))
}

/// An instruction that no Dockerfile has, as if one had it.
fn show<'a>(keyword: &str, arguments: impl IntoIterator<Item = &'a Text>) -> String {
    arguments.into_iter().fold(keyword.to_owned(), |line, argument| line + " " + &argument.value)
}

fn transfer(keyword: &str, copy: &steps::Transfer, kind: fn(Box<Transfer>) -> Kind) -> (Kind, String) {
    let flag = |text: &Option<Text>| text.as_ref().map(quoted);
    let sources = copy.sources.iter().map(|source| source.value.as_str());
    let from = copy.from.iter().map(|from| format!("--from={}", from.value));
    let mut line = vec![keyword.to_owned()];
    line.extend(from.chain(sources.chain([copy.to.value.as_str()]).map(str::to_owned)));
    let transfer = Transfer {
        sources: copy.sources.iter().map(quoted).collect(),
        inline: Vec::new(),
        dest: quoted(&copy.to),
        from: copy.from.as_ref().map(plain),
        chown: flag(&copy.chown),
        chmod: flag(&copy.chmod),
        checksum: flag(&copy.checksum),
        exclude: copy.exclude.iter().map(plain).collect(),
        link: copy.link,
        parents: copy.parents,
        keep_git_dir: copy.keep_git_dir,
        unpack: copy.unpack,
    };
    (kind(Box::new(transfer)), line.join(" "))
}

fn write_file(write: &steps::Write) -> Lowered {
    if write.path.value.ends_with('/') || write.path.value.is_empty() {
        let error = error(&write.path.span, format!("`{}` is not the path of a file", write.path.value));
        return Err(Box::new(error.help("name the file that is to be written")));
    }
    let inline = Heredoc { name: INLINE.into(), expand: write.expand, strip_tabs: false, body: plain(&write.content) };
    let transfer = Transfer {
        sources: Vec::new(),
        inline: vec![inline],
        dest: quoted(&write.path),
        from: None,
        chown: write.chown.as_ref().map(quoted),
        chmod: write.chmod.as_ref().map(quoted),
        checksum: None,
        exclude: Vec::new(),
        link: false,
        parents: false,
        keep_git_dir: None,
        unpack: None,
    };
    Ok((Kind::Copy(Box::new(transfer)), format!("COPY <<{INLINE} {}", write.path.value)))
}

fn healthcheck(check: &steps::Healthcheck, span: &Span) -> Result<Healthcheck, Box<Diagnostic>> {
    let mut found = Healthcheck::default();
    match &check.test {
        None => found.test = vec!["NONE".into()],
        Some(Command::Shell(text)) => found.test = vec!["CMD-SHELL".into(), text.value.clone()],
        Some(Command::Exec(words)) if words.is_empty() => {
            return Err(error(span, "a health check needs a command".into()));
        }
        Some(Command::Exec(words)) => found.test = [vec!["CMD".into()], values(words)].concat(),
    }
    for (name, value) in &check.options {
        if name == "retries" {
            found.retries = match value.value.parse::<i32>() {
                Ok(retries) if retries >= 0 => i64::from(retries),
                _ => return Err(error(&value.span, format!("`{}` is no number of retries", value.value))),
            };
            continue;
        }
        let nanoseconds = go::parse_duration(&value.value).filter(|time| *time == 0 || *time >= 1_000_000);
        let Some(nanoseconds) = nanoseconds else {
            let error = error(&value.span, format!("`{}` is no duration of at least 1ms", value.value));
            return Err(Box::new(error.help("write a number with a unit, such as 1m30s or 500ms")));
        };
        match name.as_str() {
            "interval" => found.interval = nanoseconds,
            "timeout" => found.timeout = nanoseconds,
            "start-period" => found.start_period = nanoseconds,
            "start-interval" => found.start_interval = nanoseconds,
            other => return Err(error(&value.span, format!("`{other}` is no option of a health check"))),
        }
    }
    Ok(found)
}

fn command_line(command: &Command) -> CommandLine {
    match command {
        Command::Shell(text) => CommandLine::Shell(plain(text)),
        Command::Exec(words) => CommandLine::Exec(values(words)),
    }
}

fn pairs_of(pairs: &[(Text, Text)]) -> Vec<Pair> {
    pairs.iter().map(|(name, value)| Pair { key: quoted(name), value: quoted(value), legacy: false }).collect()
}

fn values(texts: &[Text]) -> Vec<String> {
    texts.iter().map(|text| text.value.clone()).collect()
}

/// A word that is taken as it is.
fn plain(text: &Text) -> Word {
    Spanned::new(text.value.clone(), text.span.clone())
}

/// A word in which variables are expanded, and nothing else means anything.
fn quoted(text: &Text) -> Word {
    let mut quoted = String::with_capacity(text.value.len());
    let mut chars = text.value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'$') => {
                chars.next();
                quoted.push_str("\\$");
            }
            '\\' | '"' | '\'' => quoted.extend(['\\', c]),
            other => quoted.push(other),
        }
    }
    Spanned::new(quoted, text.span.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::dockerfile::expand::{Expander, Nothing};

    #[test]
    fn quoted_values_come_out_as_they_are() {
        let check = |value: &str, expected: &str| {
            let word = quoted(&value.into());
            assert_eq!(Expander::new('\\').expand(&word.value, &Nothing).unwrap().text, expected, "{value}");
        };
        check("plain", "plain");
        check("two  words ", "two  words ");
        check("it's \"quoted\"", "it's \"quoted\"");
        check(r"a\b\\c\n", r"a\b\\c\n");
        check("${NONE:-x}y", "xy");
        check(r"\$HOME costs \\$5", r"$HOME costs \$5");
        check("ends in \\", "ends in \\");
    }

    #[test]
    fn mounts_keep_commas() {
        let fields = [("type", "bind"), ("source", "a,b \"c\""), ("target", "/x")];
        let fields = fields.map(|(key, value)| (key.to_owned(), value.into())).to_vec();
        let word = mount(&steps::Mount { fields, span: 0..0 }).unwrap();
        let read = crate::frontend::dockerfile::parse::fields(&word.value).unwrap();
        assert_eq!(read[0], "type=bind");
        assert_eq!(Expander::new('\\').expand(&read[1], &Nothing).unwrap().text, "source=a,b \"c\"");
    }
}
