//! `imgbuild run`: a command in a container, in the foreground.

use std::path::{Path, PathBuf};

use super::{now, with_layers};
use crate::cli::args::csv;
use crate::cli::args::limits::LimitArgs;
use crate::cli::args::values::{self, BuildArg, HostAddress, SecurityOption};
use crate::cli::attach::{self, Attach};
use crate::cli::{Session, error};
use crate::oci::Platform;
use crate::ops::Error;
use crate::ops::container::{CreateOptions, Created, RunMount, create};
use crate::sandbox::{CommandProblem, Exit, Namespaces, Network, SandboxError};

/// It could not be started.
const NOT_STARTED: u8 = 125;
/// The command cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// There is no such command.
const NOT_FOUND: u8 = 127;

/// Run a command in a container, in the foreground
#[derive(Debug, Clone, clap::Args)]
#[command(override_usage = "imgbuild run [OPTIONS] IMAGE [COMMAND]...")]
#[command(after_help = "\
Examples:
  imgbuild run --rm app:1.0 --version       the image's entry point with other arguments
  imgbuild run -it --rm debian sh           a shell; what it changes is gone afterwards
  imgbuild run --name work -v $PWD:/src -w /src golang go test ./...

The container stays until `imgbuild rm`, unless --rm. It runs in the foreground only, and ends with this command.
Exit codes are the command's; 125 if it was not started, 126 if it cannot be executed, 127 if there is no such command.")]
pub struct Args {
    /// Let it read standard input
    #[arg(short, long)]
    pub interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Remove the container when it ends
    #[arg(long)]
    pub rm: bool,
    /// Its name [default: two words]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub name: String,
    /// Set a variable, or take it from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<BuildArg>,
    /// Set the variables in a file, one NAME=VALUE on each line
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// The working folder
    #[arg(short, long, value_name = "FOLDER")]
    pub workdir: Option<String>,
    /// The user, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Mount a file or folder of this machine
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]", value_parser = volume)]
    pub volume: Vec<Volume>,
    /// Mount something: type=bind,src=…,dst=…[,readonly] or type=tmpfs,dst=…[,tmpfs-size=…]
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = mount)]
    pub mount: Vec<Volume>,
    /// Mount an empty folder in memory
    #[arg(long, value_name = "TARGET[:size=SIZE]", value_parser = tmpfs)]
    pub tmpfs: Vec<Volume>,
    /// The network: this machine's, a loopback device alone, or one that reaches the outside and not this machine's loopback device
    #[arg(long, visible_alias = "net", value_enum, default_value = "host", value_name = "NETWORK")]
    pub network: RunNetwork,
    /// The program instead of the image's entry point; empty for none
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Harden it: with no-new-privileges, set-user-ID programs such as sudo give it nothing
    #[arg(long, value_name = "OPTION", value_parser = values::security_option)]
    pub security_opt: Vec<SecurityOption>,
    /// Let nothing but mounts be written to
    #[arg(long)]
    pub read_only: bool,
    /// The host name [default: the start of the ID]
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Add an address to /etc/hosts
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = values::host)]
    pub add_host: Vec<(String, HostAddress)>,
    /// Write the container's ID to a file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,
    #[expect(missing_docs, reason = "refused with a message that says why; a help text would be shown")]
    #[arg(short, long, hide = true)]
    pub detach: bool,
    #[expect(missing_docs, reason = "refused with a message that says why; a help text would be shown")]
    #[arg(short, long, hide = true)]
    pub publish: Vec<String>,
    /// Give the container a label
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = values::label)]
    pub label: Vec<(String, String)>,
    /// What it may use.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The platform, of an image for several [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
    /// The image, by name or ID, and a command in place of its CMD
    #[arg(value_name = "IMAGE", required = true, trailing_var_arg = true)]
    pub words: Vec<String>,
}

/// Which network a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RunNetwork {
    /// This machine's
    Host,
    /// A loopback device of its own and nothing else
    None,
    /// One that reaches the outside, but nothing that listens on this machine alone
    Private,
}

/// Something to be mounted, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// A file or folder of this machine.
    Bind(PathBuf, String, bool),
    /// A folder in memory.
    Tmpfs(String, Option<u64>),
}

fn volume(text: &str) -> Result<Volume, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err("write SOURCE:TARGET or SOURCE:TARGET:ro".into()),
    };
    if !source.contains('/') && source != "." && source != ".." {
        return Err(format!("{source:?} is no path: there are no named volumes; write ./{source} for a folder here"));
    }
    let mut readonly = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => readonly = true,
            // What there is nothing to do about.
            "rw" | "z" | "Z" => {}
            _ => return Err(format!("{option:?}: allowed are ro and rw")),
        }
    }
    Ok(Volume::Bind(source.into(), target.into(), readonly))
}

fn mount(text: &str) -> Result<Volume, String> {
    let (mut kind, mut source, mut target, mut readonly, mut size) = ("volume".to_owned(), None, None, false, None);
    for field in csv::fields(text)? {
        let (key, value) = field.split_once('=').unwrap_or((&field, "true"));
        match key.trim() {
            "type" => kind = value.to_owned(),
            "src" | "source" => source = Some(PathBuf::from(value)),
            "dst" | "destination" | "target" => target = Some(value.to_owned()),
            "ro" | "readonly" => readonly = csv::boolean(key, value)?,
            "tmpfs-size" => size = Some(values::size(value)?),
            _ => return Err(csv::unknown(key, "type, src, dst, readonly and tmpfs-size")),
        }
    }
    let target = target.ok_or("dst= is missing")?;
    match (kind.as_str(), source) {
        ("bind", Some(source)) => Ok(Volume::Bind(source, target, readonly)),
        ("bind", None) => Err("src= is missing".into()),
        ("tmpfs", _) => Ok(Volume::Tmpfs(target, size)),
        (kind, _) => Err(format!("type={kind}: allowed are bind and tmpfs")),
    }
}

fn tmpfs(text: &str) -> Result<Volume, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut size = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) => size = Some(values::size(value)?),
            _ => return Err(format!("{option:?}: allowed is size=SIZE")),
        }
    }
    Ok(Volume::Tmpfs(target.into(), size))
}

/// Runs it; the exit code is its own.
pub fn run(args: &Args, session: &Session) -> Result<u8, Error> {
    // Whatever stops it before it runs has one code, so that the command's own can be told from it.
    Ok(start(args, session).unwrap_or_else(|error| {
        session.complain(&error::render(&error, session.style()));
        NOT_STARTED
    }))
}

fn start(args: &Args, session: &Session) -> Result<u8, Error> {
    if args.tty && args.interactive && !session.env.stdin_is_terminal() {
        return Err(Error::Usage("-t needs a terminal, and standard input is none: leave it out".into()));
    }
    let options = options(args, session)?;
    let namespaces = Namespaces::new().map_err(|error| Error::environment("/proc is not mounted").caused_by(error))?;
    let Created { mut container, lock, spec } = with_layers(session, |layers| create(layers, &options))?;
    if let Some(file) = &args.cidfile {
        let failed = |error| Error::build(format!("cannot write {}", file.display())).caused_by(error);
        std::fs::write(file, &container.record.id).map_err(failed)?;
    }
    // From here on the store is not in use: others may tidy it up, however long this takes.
    let attach = Attach { interactive: args.interactive, terminal: args.tty, readonly: args.read_only };
    let mut saved = Ok(());
    let exit = attach::run(&namespaces, &spec, attach, |number| {
        container.record.process = number;
        saved = container.save();
    });
    drop(namespaces);
    let code = exit_code(&exit);
    container.record.ended = Some((now(), code.into()));
    container.record.process = None;
    let saved = saved.and_then(|()| container.save());
    if args.rm {
        session.open_store()?.remove_container(&container, lock)?;
    } else {
        saved?;
    }
    match exit {
        Ok(Exit::Limit(limit, _)) => session.complain(&format!("the container met {limit}\n")),
        Ok(_) => {}
        Err(error) => not_started(error, session),
    }
    Ok(code)
}

/// The exit code that says how a process ended, or why it never began.
pub(super) fn exit_code(exit: &Result<Exit, SandboxError>) -> u8 {
    match exit {
        Ok(exit) => u8::try_from(exit.code()).unwrap_or(NOT_STARTED),
        Err(SandboxError::Command { problem: CommandProblem::NotFound | CommandProblem::NoInterpreter, .. }) => {
            NOT_FOUND
        }
        Err(SandboxError::Command { .. }) => NOT_EXECUTABLE,
        Err(_) => NOT_STARTED,
    }
}

/// Says why a process never began.
pub(super) fn not_started(error: SandboxError, session: &Session) {
    let error = match error {
        error @ SandboxError::Command { .. } => Error::build(error.to_string()),
        error @ SandboxError::Network(_) => Error::environment(error.to_string()).help(SandboxError::NETWORK_HELP),
        error @ SandboxError::Limit { .. } => Error::environment(error.to_string()).help(SandboxError::LIMIT_HELP),
        error => Error::environment(error.to_string()),
    };
    session.complain(&error::render(&error, session.style()));
}

/// Fails for what only an engine can do.
fn refuse(args: &Args) -> Result<(), Error> {
    if args.detach {
        let message = "-d: containers run in the foreground only, and end with this command";
        return Err(Error::Usage(message.into()));
    }
    if let Some(port) = args.publish.first() {
        let message = format!(
            "-p {port}: no ports are published. On this machine's network, which is the default, the ports of a container are the machine's"
        );
        return Err(Error::Usage(message));
    }
    Ok(())
}

/// A line of `/etc/hosts`. `host-gateway` is this machine, where a container shares its network.
fn host(args: &Args, name: &str, address: &HostAddress) -> Result<(String, String), Error> {
    let address = match address {
        HostAddress::Ip(address) => address.to_string(),
        HostAddress::Gateway if args.network == RunNetwork::Host => "127.0.0.1".into(),
        HostAddress::Gateway => {
            return Err(Error::Usage(format!(
                "--add-host {name}=host-gateway: from this network, nothing of this machine is reached"
            )));
        }
    };
    Ok((name.to_owned(), address))
}

fn options(args: &Args, session: &Session) -> Result<CreateOptions, Error> {
    refuse(args)?;
    let mut env = Vec::new();
    for file in &args.env_file {
        env.extend(session.env.build_arguments(&env_file(file)?)?);
    }
    env.extend(session.env.build_arguments(&args.env)?);
    let volumes = args.volume.iter().chain(&args.mount).chain(&args.tmpfs);
    let mount = |volume: &Volume| -> Result<RunMount, Error> {
        Ok(match volume {
            Volume::Bind(source, target, readonly) => {
                let failed = |error| Error::build(format!("cannot mount {}", source.display())).caused_by(error);
                let source = std::path::absolute(source).map_err(failed)?;
                RunMount::Bind { source, target: target.clone(), readonly: *readonly }
            }
            Volume::Tmpfs(target, size) => RunMount::Tmpfs { target: target.clone(), size: *size },
        })
    };
    let limits = args.limits.limits();
    limits.check().map_err(Error::Usage)?;
    let (image, command) = args.words.split_first().ok_or_else(|| Error::Usage("name an image".into()))?;
    Ok(CreateOptions {
        image: image.clone(),
        platform: args.platform.clone(),
        name: args.name.clone(),
        env,
        cwd: args.workdir.clone(),
        user: args.user.clone(),
        mounts: volumes.map(mount).collect::<Result<_, _>>()?,
        network: match args.network {
            RunNetwork::Host => Network::Host,
            RunNetwork::None => Network::None,
            RunNetwork::Private => Network::Private,
        },
        no_new_privileges: SecurityOption::no_new_privileges(&args.security_opt),
        entrypoint: args.entrypoint.clone(),
        args: command.to_vec(),
        hostname: args.hostname.clone(),
        hosts: args.add_host.iter().map(|(name, address)| host(args, name, address)).collect::<Result<_, _>>()?,
        labels: args.label.clone(),
        limits,
        terminal: args.tty,
        resolv_conf: std::fs::read("/etc/resolv.conf").unwrap_or_default(),
        now: now(),
    })
}

/// The variables in a file: `NAME=VALUE`, or `NAME` alone to take it from the environment. Nothing is quoted.
fn env_file(path: &Path) -> Result<Vec<BuildArg>, Error> {
    let failed = |error| Error::build(format!("cannot read {}", path.display())).caused_by(error);
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse_env_file(&text).map_err(|(line, message)| Error::Usage(format!("{}:{line}: {message}", path.display())))
}

fn parse_env_file(text: &str) -> Result<Vec<BuildArg>, (usize, String)> {
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let variable: BuildArg = line.parse().map_err(|message| (number + 1, message))?;
        if variable.name.contains(char::is_whitespace) {
            return Err((number + 1, format!("the name {:?} has a space in it", variable.name)));
        }
        variables.push(variable);
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_mounts() {
        let bind = |source: &str, target: &str, readonly| Ok(Volume::Bind(source.into(), target.into(), readonly));
        assert_eq!(volume("/a:/b"), bind("/a", "/b", false));
        assert_eq!(volume("./a:/b:ro"), bind("./a", "/b", true));
        for text in ["a", "data:/b", "/a:/b:rx", "/a:/b:ro:z"] {
            assert!(volume(text).is_err(), "{text}");
        }
        assert_eq!(mount("type=bind,src=/a,dst=/b,readonly"), bind("/a", "/b", true));
        assert_eq!(mount("type=tmpfs,target=/t,tmpfs-size=1m"), Ok(Volume::Tmpfs("/t".into(), Some(1 << 20))));
        for text in ["type=bind,dst=/b", "src=/a,dst=/b", "type=bind,src=/a", "type=tmpfs,dst=/a,x=y"] {
            assert!(mount(text).is_err(), "{text}");
        }
        assert_eq!(tmpfs("/t:size=64k"), Ok(Volume::Tmpfs("/t".into(), Some(64 << 10))));
        assert!(tmpfs("/t:exec").is_err());
    }

    #[test]
    fn reads_files_of_variables() {
        let variables = parse_env_file("# note\n\nA=b c # d\n  B\nC=\n").unwrap();
        let shown: Vec<String> =
            variables.iter().map(|it| format!("{}={}", it.name, it.value.as_deref().unwrap_or("?"))).collect();
        assert_eq!(shown, ["A=b c # d", "B=?", "C="]);
        assert_eq!(parse_env_file("A=1\nB C=2\n").unwrap_err().0, 2);
        assert_eq!(parse_env_file("=1\n").unwrap_err().0, 1);
    }
}
