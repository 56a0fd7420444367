//! How commands are run: in which folder, as whom, in which pipes, with which secrets, and how many at once.

use super::{Linter, Seen, Step, of_words, report};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{CommandLine, Kind};
use crate::frontend::dockerfile::lint::rule;
use crate::frontend::dockerfile::lint::shell::{self, Command, Next, Word};

/// `CdInsteadOfWorkdir`, `SudoUsed`, `PipeWithoutPipefail`, `SecretInCommand`.
pub(super) fn check(step: &Step<'_>, linter: &mut Linter) {
    change_of_folder(step, linter);
    for command in &step.commands {
        if let Some(sudo) = &command.sudo {
            let help = match sudo.user.as_deref().filter(|user| *user != "root") {
                Some(user) => format!("leave it out; write `USER {user}` before a step with what that user does"),
                None => {
                    "leave it out; write `USER root` before steps that need to be root, and the old user after them"
                        .into()
                }
            };
            let finding =
                Diagnostic::advice(rule::SudoUsed, step.at(&sudo.span), "`sudo` in an image is of no use").help(help);
            report(linter, step.instruction, finding);
        }
        if let Some((word, what)) = secret(command) {
            let message = format!("{what} can be read in the image's history");
            let finding = Diagnostic::advice(rule::SecretInCommand, step.at(&word.span), message)
                .help("give it to the step only: `RUN --mount=type=secret,id=NAME`, and read /run/secrets/NAME");
            report(linter, step.instruction, finding);
        }
        let fetches = matches!(command.name(), "curl" | "wget");
        if fetches && command.next == Next::Pipe && !step.pipefail {
            let message = format!("if `{}` fails, the step goes on", command.name());
            let finding = Diagnostic::advice(rule::PipeWithoutPipefail, step.at(&command.span()), message).help(
                "write `SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]` before, or fetch to a file and check it",
            );
            report(linter, step.instruction, finding);
        }
    }
}

fn change_of_folder(step: &Step<'_>, linter: &mut Linter) {
    let mut commands = step.commands.iter().filter(|command| command.name() != "set");
    let Some(first) = commands.next().filter(|command| command.name() == "cd" && !command.nested) else { return };
    let Some(folder) = first.verb().filter(|word| !word.text.contains(['$', '`'])) else { return };
    let only = commands.next().is_none();
    // A mount is there in this step only, and so is what is done in a folder for what passes.
    let passing = ["/tmp", "/var/tmp", "/dev", "/proc", "/sys", "/run"];
    let below = |other: &str| {
        let rest = folder.text.strip_prefix(other);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mounts = step.run.map(|run| run.mounts.as_slice()).unwrap_or_default();
    let mut mounted = mounts.iter().flat_map(|mount| mount.value.split(',')).filter_map(|field| field.split_once('='));
    if !only
        && (passing.iter().any(|other| below(other))
            || mounted.any(|(key, value)| matches!(key, "target" | "dst" | "destination") && below(value)))
    {
        return;
    }
    let message = if only { "this `cd` has no effect: it ends with the step" } else { "`cd` holds for this step only" };
    let finding = Diagnostic::advice(rule::CdInsteadOfWorkdir, step.at(&first.span()), message)
        .help(format!("write `WORKDIR {}` before", folder.text));
    report(linter, step.instruction, finding);
}

/// The word of a command that holds a secret as it is, and what kind of one.
fn secret(command: &Command) -> Option<(&Word, &'static str)> {
    let literal = |value: &str| {
        !value.is_empty()
            && !value.contains(['$', '`'])
            && !value.starts_with("/run/secrets")
            && !value.starts_with('<')
    };
    let args = command.args();
    for (at, word) in args.iter().enumerate() {
        let text = word.text.as_str();
        let next = args.get(at + 1).filter(|next| literal(&next.text) && !next.text.starts_with('-'));
        let of_login = matches!(command.name(), "curl" | "wget");
        match text {
            "--password" | "--passwd" | "--token" | "--api-key" if next.is_some() => {
                return next.map(|next| (next, "this password"));
            }
            "-u" | "--user" if command.name() == "curl" => {
                if let Some(next) = next.filter(|next| next.text.split_once(':').is_some_and(|(_, pass)| literal(pass)))
                {
                    return Some((next, "this password"));
                }
            }
            _ => {}
        }
        let (flag, value) = text.split_once('=').unwrap_or((text, ""));
        let names =
            ["--password", "--passwd", "--token", "--api-key", "--http-password", "--ftp-password", "--proxy-password"];
        if names.contains(&flag) && literal(value) || flag.ends_with(":_authToken") && literal(value) {
            return Some((word, "this password"));
        }
        let header = text.to_ascii_lowercase();
        let token = header.strip_prefix("authorization:").and_then(|rest| rest.trim().split_once(' '));
        if of_login && token.is_some_and(|(_, token)| literal(token)) {
            return Some((word, "this token"));
        }
        if let Some((_, rest)) = text.split_once("://") {
            let place = rest.split('/').next().unwrap_or_default();
            let password = place.rsplit_once('@').and_then(|(login, _)| login.split_once(':'));
            if password.is_some_and(|(_, password)| literal(password)) {
                return Some((word, "the password of this URL"));
            }
        }
    }
    None
}

/// Programs that stay and serve.
const DAEMONS: [&str; 29] = [
    "apache2",
    "apache2ctl",
    "apachectl",
    "caddy",
    "celery",
    "cron",
    "crond",
    "dockerd",
    "gunicorn",
    "haproxy",
    "httpd",
    "mariadbd",
    "memcached",
    "mongod",
    "mysqld",
    "mysqld_safe",
    "nginx",
    "php-fpm",
    "postgres",
    "puma",
    "rabbitmq-server",
    "redis-server",
    "rsyslogd",
    "sidekiq",
    "sshd",
    "tomcat",
    "uvicorn",
    "uwsgi",
    "varnishd",
];

const SUPERVISORS: [&str; 5] = ["supervisord", "s6-svscan", "runsvdir", "runit", "monit"];

/// `SeveralServices`.
pub(super) fn services(seen: &Seen<'_>, linter: &mut Linter) {
    for instruction in &seen.stage.instructions {
        let (Kind::Cmd(command) | Kind::Entrypoint(command)) = &instruction.kind else { continue };
        let commands = match command {
            CommandLine::Exec(words) => of_words(words),
            CommandLine::Shell(text) => shell::commands(&text.value),
        };
        let mut started: Vec<String> = commands.iter().filter_map(service).collect();
        started.sort_unstable();
        started.dedup();
        let supervisor = commands.iter().map(Command::name).find(|name| SUPERVISORS.contains(name));
        let message = match (supervisor, &started[..]) {
            (Some(name), _) => format!("`{name}` runs several services in one container"),
            (None, [_, _, ..]) => format!("several services are started: {}", started.join(", ")),
            _ => continue,
        };
        let finding = Diagnostic::advice(rule::SeveralServices, instruction.head.span.clone(), message)
            .help("make an image for each service, and run them side by side");
        report(linter, instruction, finding);
    }
}

/// The service that a command starts.
fn service(command: &Command) -> Option<String> {
    let words: Vec<&str> = command.texts().collect();
    match (command.name(), &words[..]) {
        ("service", [name, "start" | "restart", ..]) => Some((*name).to_owned()),
        ("systemctl", ["start", name, ..]) => Some(name.trim_end_matches(".service").to_owned()),
        (name, ["start", ..]) if command.words[0].text.starts_with("/etc/init.d/") => Some(name.to_owned()),
        (name, _)
            if DAEMONS.contains(&name)
                && !words.iter().any(|word| matches!(*word, "-t" | "-v" | "-V" | "--version")) =>
        {
            Some(name.to_owned())
        }
        _ => None,
    }
}
