//! The instructions that change only the configuration and the history: `ENV`, `LABEL`, `ARG`, `EXPOSE`, `VOLUME`, and
//! what `CMD`, `ENTRYPOINT` and `HEALTHCHECK` have in common.

use super::environment::SCAN_ARGUMENTS;
use super::stage::{Current, Slot};
use super::variable::cannot_expand;
use super::{Lowering, ports};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{CommandLine, Declaration, Head, Pair, Word};
use crate::frontend::dockerfile::expand::Lookup;
use crate::frontend::dockerfile::go;
use crate::frontend::dockerfile::lint::{Linter, names_a_secret, rule};
use crate::oci::Healthcheck;
use crate::oci::config::Empty;

impl Lowering<'_> {
    /// Notes that an instruction of which only the last counts has come.
    pub(super) fn once(&mut self, current: &mut Current<'_>, head: &Head, slot: Slot) {
        let here = current.at(&head.span);
        if let Some(earlier) = slot(current).replace(here.clone()) {
            let keyword = head.keyword().to_uppercase();
            let message = format!("this `{keyword}` has no effect");
            let finding = Linter::finding(rule::MultipleInstructionsDisallowed, earlier, message)
                .note(here, "a later one replaces it")
                .help("remove one of them");
            self.linter.report(&head.comments, finding);
        }
    }

    pub(super) fn command(&mut self, current: &Current<'_>, head: &Head, command: &CommandLine) -> Vec<String> {
        match command {
            CommandLine::Exec(args) => args.clone(),
            CommandLine::Shell(text) => {
                if current.config.config.shell.is_empty() {
                    let keyword = head.keyword().to_uppercase();
                    let message = format!("`{keyword}` runs in a shell, which does not pass signals on");
                    let finding = Linter::finding(rule::JSONArgsRecommended, current.at(&head.span), message)
                        .help(format!("write `{keyword} [\"program\", \"argument\"]`, or choose a shell with `SHELL`"));
                    let finding = match simple_command(&text.value).filter(|_| current.is_written_here()) {
                        Some(array) => finding.fix_with_changes(text.span.clone(), array),
                        None => finding,
                    };
                    self.linter.report(&head.comments, finding);
                }
                current.with_shell(&text.value)
            }
        }
    }

    /// Expands the pairs of `ENV` and `LABEL`, all with the variables from before.
    fn pairs(
        &mut self,
        current: &Current<'_>,
        head: &Head,
        pairs: &[Pair],
    ) -> Result<Vec<(String, String)>, Diagnostic> {
        let keyword = head.keyword().to_uppercase();
        let mut expanded = Vec::new();
        for pair in pairs {
            if pair.legacy {
                let span = current.at(&(pair.key.span.start..pair.value.span.end.max(pair.key.span.end)));
                let message = format!("`{keyword} name value` is an old form");
                let mut finding = Linter::finding(rule::LegacyKeyValueFormat, span.clone(), message)
                    .help(format!("write `{keyword} {}=\"…\"`", pair.key.value));
                if let Some(modern) = modern_pair(pair).filter(|_| current.is_written_here()) {
                    finding = finding.fix(span, modern);
                }
                self.linter.report(&head.comments, finding);
            }
            expanded.push((self.word(current, head, &pair.key)?, self.word(current, head, &pair.value)?));
        }
        Ok(expanded)
    }

    pub(super) fn env(&mut self, current: &mut Current<'_>, head: &Head, pairs: &[Pair]) -> Result<(), Diagnostic> {
        let mut text = String::from("ENV");
        for (name, value) in self.pairs(current, head, pairs)? {
            self.check_secret(current, head, &name);
            text.push_str(&format!(" {name}={value}"));
            current.variables.set(&name, &value);
            let pair = format!("{name}={value}");
            match current.places.get(&name) {
                Some(&place) => current.config.config.env[place] = pair,
                None => {
                    current.places.insert(name, current.config.config.env.len());
                    current.config.config.env.push(pair);
                }
            }
        }
        current.history(text, true);
        Ok(())
    }

    pub(super) fn labels(&mut self, current: &mut Current<'_>, head: &Head, pairs: &[Pair]) -> Result<(), Diagnostic> {
        let mut text = String::from("LABEL");
        for (name, value) in self.pairs(current, head, pairs)? {
            text.push_str(&format!(" {name}={value}"));
            current.config.config.labels.insert(name, value);
        }
        current.history(text, true);
        Ok(())
    }

    /// `ARG`: a value from outside, else the default, else what is declared before the first `FROM`. Unlike those of
    /// `ENV`, the names of one instruction see each other.
    pub(super) fn arg(
        &mut self,
        current: &mut Current<'_>,
        head: &Head,
        declarations: &[Declaration],
    ) -> Result<(), Diagnostic> {
        let mut text = String::from("ARG");
        for Declaration { key, default } in declarations {
            let name = key.value.as_str();
            self.check_secret(current, head, name);
            let value = match (self.options.build_args.get(name), default) {
                // An empty time is none at all.
                (Some(value), _) if value.is_empty() && name == "SOURCE_DATE_EPOCH" => None,
                (Some(value), _) => Some(value.clone()),
                (None, Some(default)) => Some(self.word(current, head, default)?),
                (None, None) => self.globals.get(name).map(str::to_owned),
            };
            text.push_str(&format!(" {name}"));
            if let Some(value) = &value {
                text.push_str(&format!("={value}"));
                if !SCAN_ARGUMENTS.contains(&name) {
                    current.variables.set(name, value);
                }
            }
            current.arguments.declare(name, value);
        }
        current.history(text, true);
        Ok(())
    }

    fn check_secret(&mut self, current: &Current<'_>, head: &Head, name: &str) {
        if names_a_secret(name) {
            let message = format!("`{name}` looks like a secret, and everybody who has the image can read it");
            let finding = Linter::finding(rule::SecretsUsedInArgOrEnv, current.at(&head.span), message)
                .help("give secrets to a step with `RUN --mount=type=secret,id=…`");
            self.linter.report(&head.comments, finding);
        }
    }

    pub(super) fn expose(&mut self, current: &mut Current<'_>, head: &Head, words: &[Word]) -> Result<(), Diagnostic> {
        let mut all = Vec::new();
        for word in words {
            // Variables that are not set are no finding here: they may stand for no port.
            let expanded = self.expander().expand(&word.value, &current.variables).map_err(|error| {
                self.guessed |= current.guessed;
                cannot_expand(word, &error)
            })?;
            self.guessed |= current.guessed && !expanded.unmatched.is_empty();
            for text in expanded.words {
                let found = ports::parse(&text).map_err(|reason| {
                    Diagnostic::error(word.span.clone(), format!("`{text}` is no port: {reason}"))
                        .help("write a port or a range, such as 80, 53/udp or 7000-7010")
                })?;
                if found.odd_case {
                    let message = format!("the protocol of `{text}` should be in lower case");
                    let finding = Linter::finding(rule::ExposeProtoCasing, current.at(&word.span), message)
                        .help(format!("write `{}`", text.to_lowercase()));
                    let finding = if text == word.value && current.is_written_here() {
                        finding.fix(word.span.clone(), text.to_lowercase())
                    } else {
                        finding
                    };
                    self.linter.report(&head.comments, finding);
                }
                if found.mapped {
                    let message = format!("`{text}` names an address or a port of the host");
                    let finding = Linter::finding(rule::ExposeInvalidFormat, current.at(&word.span), message)
                        .help("name only the port of the container; ports are published when it is run");
                    let port = text.rsplit(':').next().unwrap_or_default();
                    let finding = if text == word.value && current.is_written_here() {
                        finding.fix(word.span.clone(), port)
                    } else {
                        finding
                    };
                    self.linter.report(&head.comments, finding);
                }
                all.extend(found.ports);
            }
        }
        current.history(format!("EXPOSE {}", go::list(&all)), true);
        current.config.config.exposed_ports.extend(all.into_iter().map(|port| (port, Empty {})));
        Ok(())
    }

    pub(super) fn volumes(&mut self, current: &mut Current<'_>, head: &Head, words: &[Word]) -> Result<(), Diagnostic> {
        let mut paths = Vec::new();
        for word in words {
            let path = self.word(current, head, word)?;
            if path.is_empty() {
                return Err(Diagnostic::error(
                    word.span.clone(),
                    format!("the path `{}` comes to nothing", word.value),
                )
                .help("set the variable, or remove the path"));
            }
            paths.push(path);
        }
        current.history(format!("VOLUME {}", go::list(&paths)), true);
        current.config.config.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
        Ok(())
    }
}

/// `NAME value` as `NAME=value`, if that means the same without a doubt. A value on several lines is left alone.
fn modern_pair(pair: &Pair) -> Option<String> {
    let Pair { key, value, .. } = pair;
    let harmless = |text: &str| !text.contains(['"', '\'', '\\', '`']) && !text.contains(char::is_control);
    let here = value.span.len() == value.value.len() && key.span.len() == key.value.len();
    if !here || !harmless(&key.value) || key.value.contains('=') {
        return None;
    }
    let (name, text) = (&key.value, &value.value);
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted {
        Some(inner) if harmless(inner) => Some(format!("{name}={text}")),
        None if harmless(text) && text.contains(char::is_whitespace) => Some(format!("{name}=\"{text}\"")),
        None if harmless(text) => Some(format!("{name}={text}")),
        _ => None,
    }
}

/// A command for the shell as an array, if no shell is needed: a program and plain words.
fn simple_command(text: &str) -> Option<String> {
    const OF_THE_SHELL: [&str; 17] = [
        ".", ":", "cd", "eval", "exec", "exit", "export", "for", "if", "set", "source", "test", "trap", "ulimit",
        "umask", "until", "while",
    ];
    let plain = |word: &&str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-:@%+,=".contains(&b));
    let words: Vec<&str> = text.split_whitespace().collect();
    let first = words.first()?;
    if first.contains('=') || OF_THE_SHELL.contains(first) || !words.iter().all(plain) {
        return None;
    }
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    Some(format!("[{}]", words.join(", ")))
}

/// A health check as history shows it.
pub(super) fn show_healthcheck(check: &Healthcheck) -> String {
    format!(
        "{{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        go::list(&check.test),
        go::format_duration(check.interval),
        go::format_duration(check.timeout),
        go::format_duration(check.start_period),
        go::format_duration(check.start_interval),
        check.retries,
    )
}
