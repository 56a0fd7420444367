//! What the arguments of each instruction mean.

use std::collections::HashMap;

use super::flags::{Flags, Takes};
use super::node::Node;
use super::{Diagnostic, Failed, heredoc, mount};
use crate::frontend::dockerfile::ast::{
    CommandLine, Declaration, Heredoc, Instruction, Kind, Run, RunNetwork, Span, Stage, Transfer, Word,
};
use crate::frontend::dockerfile::go;
use crate::frontend::dockerfile::suggest::nearest;
use crate::oci::Healthcheck;

/// A line is the start of a stage or something in one.
#[derive(Debug)]
pub(super) enum Parsed {
    Stage(Stage),
    Instruction(Instruction),
}

const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// The instruction of a keyword in any case; nothing if there is none.
pub(super) fn known(keyword: &str) -> &'static str {
    let find = |word: &str| INSTRUCTIONS.into_iter().find(|name| name.eq_ignore_ascii_case(word));
    let found = find(keyword).or_else(|| if keyword.is_ascii() { None } else { find(&keyword.to_lowercase()) });
    found.unwrap_or_default()
}

/// Reads an instruction.
pub(super) fn read(node: Node) -> Result<Parsed, Failed> {
    let mut reader = Reader { errors: Vec::new(), node };
    let parsed = reader.dispatch();
    let Reader { errors, node } = reader;
    match parsed {
        Some(parsed) if errors.is_empty() => Ok(parsed),
        _ => Err(Failed { errors, was_from: node.name == "FROM" }),
    }
}

struct Reader {
    errors: Vec<Diagnostic>,
    node: Node,
}

impl Reader {
    fn dispatch(&mut self) -> Option<Parsed> {
        let kind = match self.node.name {
            "FROM" => return self.stage().map(Parsed::Stage),
            "ADD" => Kind::Add(self.transfer(ADD_FLAGS)?),
            "COPY" => Kind::Copy(self.transfer(COPY_FLAGS)?),
            "ARG" => Kind::Arg(self.declarations()?),
            "CMD" => Kind::Cmd(self.command_line()),
            "ENTRYPOINT" => Kind::Entrypoint(self.command_line()),
            "RUN" => Kind::Run(Box::new(self.run())),
            "ENV" | "LABEL" => {
                self.no_flags();
                let pairs = std::mem::take(&mut self.node.pairs);
                if pairs.is_empty() {
                    return self.fail(format!("`{}` needs an argument", self.node.name), "write `NAME=value`");
                }
                if self.node.name == "ENV" { Kind::Env(pairs) } else { Kind::Label(pairs) }
            }
            "EXPOSE" => {
                let mut ports = self.words("a port, such as `8080` or `53/udp`")?;
                ports.sort_by(|a, b| a.value.cmp(&b.value));
                Kind::Expose(ports)
            }
            "HEALTHCHECK" => Kind::Healthcheck(self.healthcheck()?),
            "MAINTAINER" => Kind::Maintainer(self.one("a name")?),
            "USER" => Kind::User(self.one("a user, such as `1000:1000`")?),
            "WORKDIR" => Kind::Workdir(self.one("a path")?),
            // Its flags are not looked at; nor are those of `ARG`.
            "STOPSIGNAL" => {
                let Some(signal) = self.first() else {
                    return self.fail("`STOPSIGNAL` needs an argument".into(), "write a signal, such as `SIGTERM`");
                };
                Kind::Stopsignal(signal)
            }
            "VOLUME" => Kind::Volume(self.volumes()?),
            "SHELL" => Kind::Shell(self.shell()?),
            "ONBUILD" => Kind::Onbuild(self.onbuild()?),
            _ => return self.unknown(),
        };
        Some(Parsed::Instruction(Instruction { head: std::mem::take(&mut self.node.head), kind }))
    }

    /// Takes the first argument out.
    fn first(&mut self) -> Option<Word> {
        let args = std::mem::take(&mut self.node.args);
        args.into_iter().next()
    }

    fn fail<T>(&mut self, message: String, help: &str) -> Option<T> {
        let error = Diagnostic::error(self.node.head.keyword_span(), message);
        self.errors.push(if help.is_empty() { error } else { error.help(help) });
        None
    }

    fn error(&mut self, span: Span, message: impl Into<String>, help: &str) {
        let error = Diagnostic::error(span, message);
        self.errors.push(if help.is_empty() { error } else { error.help(help) });
    }

    fn flags(&mut self, known: &[(&'static str, Takes)]) -> Flags {
        Flags::read(std::mem::take(&mut self.node.flags), known, &mut self.errors)
    }

    fn no_flags(&mut self) {
        self.flags(&[]);
    }

    /// The only argument.
    fn one(&mut self, what: &str) -> Option<Word> {
        self.no_flags();
        match self.first() {
            Some(word) => Some(word),
            None => self.fail(format!("`{}` needs an argument", self.node.name), &format!("write {what}")),
        }
    }

    /// All arguments, at least one.
    fn words(&mut self, what: &str) -> Option<Vec<Word>> {
        self.no_flags();
        if self.node.args.is_empty() {
            return self.fail(format!("`{}` needs an argument", self.node.name), &format!("write {what}"));
        }
        Some(std::mem::take(&mut self.node.args))
    }

    fn unknown(&mut self) -> Option<Parsed> {
        let word = self.node.head.keyword();
        let error = Diagnostic::error(self.node.head.keyword_span(), format!("unknown instruction `{word}`"));
        let glued = INSTRUCTIONS.into_iter().find(|name| {
            let start = word.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
                && word[name.len()..].starts_with(|c: char| !c.is_alphanumeric())
        });
        self.errors.push(match (nearest(word, INSTRUCTIONS), glued) {
            (Some(meant), _) => error.help(format!("did you mean `{meant}`?")),
            (None, Some(meant)) => error.help(format!("write a blank after `{meant}`")),
            (None, None) => error.help(format!("the instructions are {}", INSTRUCTIONS.join(" "))),
        });
        None
    }

    fn stage(&mut self) -> Option<Stage> {
        let platform = self.flags(&[("platform", Takes::Value)]).value("platform");
        let mut args = std::mem::take(&mut self.node.args);
        let name = match args.as_slice() {
            [_] => None,
            [_, keyword, _] if keyword.value.eq_ignore_ascii_case("as") => args.pop(),
            args => {
                let span = args.get(1).map_or(self.node.head.keyword_span(), |word| word.span.clone());
                let mut error = Diagnostic::error(span, "`FROM` takes an image, and `AS name` if the stage has a name");
                if args.iter().skip(1).any(|word| word.value.starts_with('#')) {
                    error = error.help("a comment needs a line of its own");
                } else {
                    error = error.help("write `FROM image` or `FROM image AS name`");
                }
                self.errors.push(error);
                return None;
            }
        };
        if let Some(name) = &name {
            let lower = name.value.to_lowercase();
            let good = lower.starts_with(|c: char| c.is_ascii_lowercase())
                && lower.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
            if !good {
                let message = format!("`{}` cannot be the name of a stage", name.value);
                self.error(
                    name.span.clone(),
                    message,
                    "a name starts with a letter and goes on with letters, digits and -_.",
                );
                return None;
            }
        }
        let mut args = args.into_iter();
        let (base, as_keyword) = (args.next()?, args.next());
        Some(Stage {
            head: std::mem::take(&mut self.node.head),
            base,
            platform,
            as_keyword,
            name,
            join: None,
            instructions: Vec::new(),
        })
    }

    fn transfer(&mut self, known: &[(&'static str, Takes)]) -> Option<Box<Transfer>> {
        let mut flags = self.flags(known);
        let keyword = self.node.name;
        let mut sources = std::mem::take(&mut self.node.args);
        let Some(dest) = sources.pop() else {
            return self.fail(format!("`{keyword}` needs a source and a destination"), "");
        };
        if sources.is_empty() {
            self.error(
                dest.span.clone(),
                format!("`{keyword}` needs a source and a destination, and there is only one argument"),
                "add the destination: a folder ends in a slash",
            );
            return None;
        }
        if matches!(heredoc::opening(&dest.value), Ok(Some(_))) {
            let message = format!("a heredoc cannot be the destination of `{keyword}`");
            self.error(dest.span.clone(), message, "add the path of the file to be made");
            return None;
        }
        let mut transfer = Transfer {
            sources: Vec::with_capacity(sources.len()),
            inline: Vec::new(),
            dest,
            from: flags.value("from"),
            chown: flags.value("chown"),
            chmod: flags.value("chmod"),
            checksum: flags.value("checksum"),
            exclude: flags.values("exclude"),
            link: flags.is_set("link") == Some(true),
            parents: flags.is_set("parents") == Some(true),
            keep_git_dir: flags.is_set("keep-git-dir"),
            unpack: flags.is_set("unpack"),
        };
        // Of two heredocs of one name, the last is meant by both.
        let heredocs: HashMap<&str, &Heredoc> = self.node.heredocs.iter().map(|one| (one.name.as_str(), one)).collect();
        for source in sources {
            match heredoc::opening(&source.value) {
                Ok(Some(opening)) => {
                    let body = heredocs.get(opening.name.as_str());
                    transfer.inline.push(Heredoc {
                        name: opening.name,
                        expand: opening.expand,
                        strip_tabs: opening.strip_tabs,
                        body: body.map_or(Word::new(String::new(), source.span.clone()), |found| found.body.clone()),
                    });
                }
                _ => transfer.sources.push(source),
            }
        }
        Some(Box::new(transfer))
    }

    fn declarations(&mut self) -> Option<Vec<Declaration>> {
        if self.node.args.is_empty() {
            return self.fail("`ARG` needs an argument".into(), "write `ARG NAME` or `ARG NAME=default`");
        }
        let args = std::mem::take(&mut self.node.args);
        let mut declarations = Vec::with_capacity(args.len());
        for mut word in args {
            let Some(length) = word.value.find('=') else {
                declarations.push(Declaration { key: word, default: None });
                continue;
            };
            if length == 0 {
                self.error(word.span.clone(), "a name of `ARG` is empty", "write `ARG NAME=default`");
                return None;
            }
            // Pieces of a word that stands on one line can be told apart; of others, the whole is shown.
            let whole = word.span.len() == word.value.len();
            let middle = word.span.start + length;
            let (left, right) = if whole {
                (word.span.start..middle, middle + 1..word.span.end)
            } else {
                (word.span.clone(), word.span.clone())
            };
            let value = word.value.split_off(length + 1);
            word.value.truncate(length);
            declarations.push(Declaration { key: Word::new(word.value, left), default: Some(Word::new(value, right)) });
        }
        Some(declarations)
    }

    /// The command of `CMD`, `ENTRYPOINT` and `RUN`.
    fn command(&mut self) -> CommandLine {
        if self.node.json {
            let args = std::mem::take(&mut self.node.args);
            return CommandLine::Exec(args.into_iter().map(|word| word.value).collect());
        }
        CommandLine::Shell(self.first().unwrap_or_else(|| {
            let end = self.node.head.keyword_span().end;
            Word::new(String::new(), end..end)
        }))
    }

    fn command_line(&mut self) -> CommandLine {
        self.no_flags();
        self.command()
    }

    fn run(&mut self) -> Run {
        let known = [
            ("mount", Takes::Values),
            ("network", Takes::Value),
            ("security", Takes::Value),
            ("device", Takes::Values),
        ];
        let mut flags = self.flags(&known);
        let mounts = flags.values("mount");
        for word in &mounts {
            self.errors.extend(mount::check(word).err());
        }
        let network = flags.values("network").pop().and_then(|word| match word.value.as_str() {
            "default" => Some(RunNetwork::Default),
            "none" => Some(RunNetwork::None),
            "host" => Some(RunNetwork::Host(word.span)),
            other => {
                self.error(word.span, format!("`{other}` is no network mode"), "the modes are default, none and host");
                None
            }
        });
        let insecure = flags.values("security").pop().and_then(|word| match word.value.as_str() {
            "sandbox" => None,
            "insecure" => Some(word.span),
            other => {
                self.error(word.span, format!("`{other}` is no security mode"), "the modes are sandbox and insecure");
                None
            }
        });
        Run {
            command: self.command(),
            heredocs: std::mem::take(&mut self.node.heredocs),
            mounts,
            network,
            insecure,
            devices: flags.values("device"),
            timeout: None,
        }
    }

    fn volumes(&mut self) -> Option<Vec<Word>> {
        let mut words = self.words("a path")?;
        for word in &mut words {
            word.value = word.value.trim().to_owned();
            if word.value.is_empty() {
                self.error(word.span.clone(), "a path of `VOLUME` is empty", "remove it");
                return None;
            }
        }
        Some(words)
    }

    fn shell(&mut self) -> Option<Vec<String>> {
        self.no_flags();
        let words: Vec<String> = self.node.args.iter().map(|word| word.value.clone()).collect();
        if words.is_empty() {
            return self.fail("`SHELL` needs an argument".into(), "write `SHELL [\"/bin/sh\", \"-c\"]`");
        }
        if !self.node.json {
            let span = self.node.args.first().map_or(0..0, |word| word.span.clone());
            self.error(span, "`SHELL` takes a JSON array", "write `SHELL [\"/bin/sh\", \"-c\"]`");
            return None;
        }
        Some(words)
    }

    fn onbuild(&mut self) -> Option<String> {
        self.no_flags();
        let Some(trigger) = self.first() else {
            return self.fail("`ONBUILD` needs an instruction".into(), "write `ONBUILD RUN command`");
        };
        let name = trigger.value.split_whitespace().next().unwrap_or_default().to_uppercase();
        if matches!(name.as_str(), "ONBUILD" | "MAINTAINER" | "FROM") {
            self.error(trigger.span, format!("`{name}` cannot be a trigger of `ONBUILD`"), "use another instruction");
            return None;
        }
        let text = self.node.head.text.get(self.node.head.keyword.end..).unwrap_or_default();
        let mut text = text.trim_start_matches(['\t', '\u{c}', '\r', ' ']).to_owned();
        for heredoc in &self.node.heredocs {
            text.push('\n');
            text.push_str(&heredoc.body.value);
            text.push_str(&heredoc.name);
        }
        Some(text)
    }

    fn healthcheck(&mut self) -> Option<Healthcheck> {
        let args = std::mem::take(&mut self.node.args);
        let [kind, command @ ..] = args.as_slice() else {
            return self.fail("`HEALTHCHECK` needs an argument".into(), "write `HEALTHCHECK CMD command` or `NONE`");
        };
        let mut check = Healthcheck::default();
        let upper = kind.value.to_uppercase();
        if upper == "NONE" {
            if let Some(word) = command.first() {
                self.error(word.span.clone(), "`HEALTHCHECK NONE` takes no argument", "remove it, or use CMD");
                return None;
            }
            check.test = vec![upper];
            return Some(check);
        }
        let known =
            ["interval", "timeout", "start-period", "start-interval", "retries"].map(|name| (name, Takes::Value));
        let mut flags = self.flags(&known);
        if upper != "CMD" {
            let message = format!("`{}` is no kind of health check", kind.value);
            self.error(kind.span.clone(), message, "write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`");
            return None;
        }
        if command.is_empty() {
            self.error(kind.span.clone(), "`HEALTHCHECK CMD` needs a command", "");
            return None;
        }
        check.test.push(if self.node.json { "CMD".into() } else { "CMD-SHELL".into() });
        check.test.extend(command.iter().map(|word| word.value.clone()));
        let fields = [&mut check.interval, &mut check.timeout, &mut check.start_period, &mut check.start_interval];
        for ((name, _), field) in known.into_iter().zip(fields) {
            let Some(word) = flags.value(name) else { continue };
            match go::parse_duration(&word.value) {
                Some(0) => {}
                Some(nanoseconds) if nanoseconds < 1_000_000 => {
                    self.error(word.span, format!("`--{name}` is less than a millisecond"), "write at least 1ms");
                }
                Some(nanoseconds) => *field = nanoseconds,
                None => {
                    let message = format!("`{}` is no duration", word.value);
                    self.error(word.span, message, "write a number with a unit, such as 1m30s or 500ms");
                }
            }
        }
        if let Some(word) = flags.value("retries") {
            match word.value.parse::<i32>() {
                Ok(retries) if retries >= 0 => check.retries = i64::from(retries),
                _ => self.error(word.span, format!("`{}` is no number of retries", word.value), "write a whole number"),
            }
        }
        Some(check)
    }
}

const COPY_FLAGS: &[(&str, Takes)] = &[
    ("from", Takes::Value),
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("parents", Takes::Bool),
    ("exclude", Takes::Values),
];

const ADD_FLAGS: &[(&str, Takes)] = &[
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("exclude", Takes::Values),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::Value),
    ("unpack", Takes::Bool),
];
