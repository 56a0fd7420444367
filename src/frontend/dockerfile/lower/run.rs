//! `RUN`: a process with its environment, mounts and network.

use super::Lowering;
use super::copy::Inputs;
use super::mount::{self, Access, MountType};
use super::plan::Plan;
use super::stage::{Current, one_line};
use crate::frontend::diagnostic::Diagnostic;
use crate::frontend::dockerfile::ast::{CommandLine, Head, Instruction, Run, RunNetwork, Word};
use crate::frontend::dockerfile::expand::Lookup;
use crate::frontend::dockerfile::go;
use crate::frontend::dockerfile::parse::opening;
use crate::fstree::TreePath;
use crate::graph::{ExecOp, Limits, Mount, MountKind, Network, Op, SecretMount};

/// The host name that steps see, so that it is the same on every machine.
const HOSTNAME: &str = "buildkitsandbox";

/// Proxy variables: how to reach something, not what it is.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Whether a build argument says how to reach something, and so is no part of what is built.
pub fn is_proxy(name: &str) -> bool {
    PROXIES.contains(&name.to_ascii_uppercase().as_str())
}

impl<'a> Lowering<'a> {
    pub(super) fn run(
        &mut self,
        plan: &Plan<'a>,
        current: &mut Current<'_>,
        instruction: &Instruction,
        run: &Run,
    ) -> Result<(), Diagnostic> {
        let head = &instruction.head;
        let (args, script) = command(current, run);
        if args.is_empty() {
            return Err(Diagnostic::error(head.span.clone(), "`RUN` has no command").help("add one to the array"));
        }
        let network = match &run.network {
            None | Some(RunNetwork::Default) => self.options.network,
            Some(RunNetwork::None) => Network::None,
            Some(RunNetwork::Host(_)) if self.options.allow_host_network => Network::Host,
            Some(RunNetwork::Host(span)) => {
                return Err(Diagnostic::error(
                    span.clone(),
                    "this step wants the host's network, which is not allowed",
                )
                .help("allow it with --allow network.host"));
            }
        };
        if let Some(span) = run.insecure.as_ref().filter(|_| !self.options.allow_insecure) {
            return Err(Diagnostic::error(span.clone(), "this step wants all privileges, which is not allowed")
                .help("allow it with --allow security.insecure"));
        }
        if let Some(word) = run.devices.first() {
            return Err(Diagnostic::error(word.span.clone(), "devices of the host cannot be given to a step")
                .help("remove `--device`; with --allow security.insecure a step can use what /dev of the host has"));
        }
        let mut env = current.variables.pairs().to_vec();
        let mut inputs = Inputs::new(current.step);
        let mut mounts = self.mounts(plan, current, instruction, run, &mut inputs, &mut env)?;
        if let Some((name, data)) = script {
            let kind = MountKind::File { data: data.into_bytes(), mode: 0o755 };
            mounts.insert(0, Mount { target: format!("/dev/pipes/{name}"), kind });
        }
        let hostname = self.options.build_args.get("BUILDKIT_SANDBOX_HOSTNAME").filter(|name| !name.is_empty());
        let op = Op::Exec(Box::new(ExecOp {
            args: args.clone(),
            env,
            cwd: current.workdir(),
            user: current.config.config.user.clone(),
            mounts,
            network,
            insecure: run.insecure.is_some(),
            no_new_privileges: self.options.no_new_privileges,
            hostname: hostname.map_or_else(|| HOSTNAME.to_owned(), Clone::clone),
            scrubs: self.scrubs.clone(),
            extra_hosts: self.options.extra_hosts.clone(),
            proxy: self.proxy(),
            limits: Limits { time: run.timeout.or(self.options.limits.time), ..self.options.limits.clone() },
        }));
        let label = self.step_label(current, &step_name(head, run), &head.span);
        let no_cache = current.no_cache;
        let platform = current.platform.clone();
        current.step = inputs.known().map(|inputs| self.graph.add(op, &inputs, platform, label, no_cache));
        let text = format!("RUN {}{} # buildkit", shown_arguments(current), args.join(" "));
        current.history(text, false);
        Ok(())
    }

    /// The proxy variables among the build arguments, in both cases.
    fn proxy(&self) -> Vec<(String, String)> {
        let mut proxy = Vec::new();
        for name in PROXIES {
            let given = self.options.build_args.iter().rfind(|(key, _)| key.eq_ignore_ascii_case(name));
            if let Some((_, value)) = given.filter(|(_, value)| !value.is_empty()) {
                proxy.push((name.to_owned(), value.clone()));
                proxy.push((name.to_lowercase(), value.clone()));
            }
        }
        proxy
    }

    fn mounts(
        &mut self,
        plan: &Plan<'a>,
        current: &Current<'_>,
        instruction: &Instruction,
        run: &Run,
        inputs: &mut Inputs,
        env: &mut Vec<(String, String)>,
    ) -> Result<Vec<Mount>, Diagnostic> {
        let sources = self.instruction_sources(plan, instruction)?;
        let mut mounts = Vec::new();
        let mut agents: Vec<String> = Vec::new();
        for (word, (source, span)) in run.mounts.iter().zip(&sources) {
            let mut expand =
                |text: &str| self.word(current, &instruction.head, &Word::new(text.to_owned(), word.span.clone()));
            let spec = mount::parse(word, &mut expand)?;
            let error = |message: String| Diagnostic::error(word.span.clone(), message);
            let access = Access { mode: spec.mode, uid: spec.uid, gid: spec.gid };
            let source_path = TreePath::clean(&spec.source).to_string();
            let absolute = |target: &str| {
                let path =
                    if target.starts_with('/') { target.to_owned() } else { format!("{}/{target}", current.workdir()) };
                TreePath::clean(path).to_string()
            };
            let target = absolute(&spec.target);
            // An image that was not looked up may have a working folder.
            let known = !current.guessed || spec.target.starts_with('/');
            if target == "/" && known && !matches!(spec.kind, MountType::Secret | MountType::Ssh) {
                return Err(error("nothing can be mounted at `/`".into())
                    .help("add `target=/some/path`, or set a working folder with `WORKDIR`"));
            }
            let (target, kind) = match spec.kind {
                MountType::Bind => {
                    let step = if spec.from.is_empty() {
                        self.main_context(current, &word.span)?
                    } else {
                        self.mount_source(plan, current, source, span)?
                    };
                    let input = inputs.number(step);
                    (target, MountKind::Bind { input, source: source_path, writable: !spec.readonly })
                }
                MountType::Cache => {
                    // Owner or mode without a source make a folder of their own: what the stage has there is not seen.
                    let own = access.any() && source_path == "/";
                    let seeded = !spec.from.is_empty() && spec.from != "scratch" || source_path != "/";
                    let seed = if seeded && !own {
                        Some((inputs.number(self.mount_source(plan, current, source, span)?), source_path))
                    } else {
                        None
                    };
                    let kind = MountKind::Cache {
                        id: self.cache_id(&spec.id, &spec.target),
                        sharing: spec.sharing.unwrap_or_default(),
                        seed,
                        // Of the mode only the lower nine bits count.
                        mode: access.mode.unwrap_or(0o755) & 0o777,
                        uid: access.uid.unwrap_or(0),
                        gid: access.gid.unwrap_or(0),
                        readonly: spec.readonly,
                    };
                    (target, kind)
                }
                MountType::Tmpfs => (target, MountKind::Tmpfs { size: spec.size.filter(|&size| size > 0) }),
                MountType::Secret => {
                    let id = [&spec.source, &spec.id].into_iter().find(|id| !id.is_empty()).cloned();
                    let id = id.unwrap_or_else(|| base_name(&spec.target).to_owned());
                    let file = !spec.target.is_empty() || spec.env.is_none();
                    let target = match (file, spec.target.as_str()) {
                        (false, _) => String::new(),
                        (true, "") => absolute(&format!("/run/secrets/{}", base_name(&id))),
                        (true, given) => absolute(given),
                    };
                    (target, MountKind::Secret(access.secret(id, spec.required, file, spec.env, 0o400)))
                }
                MountType::Ssh => {
                    if !spec.source.is_empty() {
                        return Err(error("an ssh mount has no source".into()).help("name the agent with `id`"));
                    }
                    let id = if spec.id.is_empty() { "default".to_owned() } else { spec.id.clone() };
                    let target = match spec.target.as_str() {
                        "" => format!("/run/buildkit/ssh_agent.{}", agents.len()),
                        given => absolute(given),
                    };
                    agents.push(target.clone());
                    (target, MountKind::Ssh(access.secret(id, spec.required, true, None, 0o600)))
                }
            };
            mounts.push(Mount { target, kind });
        }
        if let Some(agent) = agents.first()
            && current.variables.get("SSH_AUTH_SOCK").is_none()
        {
            env.push(("SSH_AUTH_SOCK".into(), agent.clone()));
        }
        Ok(mounts)
    }

    /// The name of a cache: its own, or its target; in the namespace that the build arguments name.
    fn cache_id(&self, id: &str, target: &str) -> String {
        let id = match (id, target) {
            ("", rooted) if rooted.starts_with('/') => TreePath::clean(rooted).to_string(),
            ("", relative) => String::from_utf8_lossy(TreePath::clean(relative).as_bytes()).into_owned(),
            (id, _) => id.to_owned(),
        };
        match self.options.build_args.get("BUILDKIT_CACHE_MOUNT_NS").filter(|space| !space.is_empty()) {
            Some(space) => format!("{space}/{id}"),
            None => id,
        }
    }
}

impl Access {
    fn secret(&self, id: String, required: bool, file: bool, env: Option<String>, mode: u32) -> SecretMount {
        SecretMount {
            id,
            required,
            file,
            env,
            mode: self.mode.unwrap_or(mode),
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
        }
    }
}

/// What is run, and the script that goes with it: a heredoc that starts with `#!`.
fn command(current: &Current<'_>, run: &Run) -> (Vec<String>, Option<(String, String)>) {
    let text = match &run.command {
        CommandLine::Exec(args) => return (args.clone(), None),
        CommandLine::Shell(text) => &text.value,
    };
    let Some(first) = run.heredocs.first() else { return (current.with_shell(text), None) };
    if matches!(opening(text), Ok(Some(_))) {
        let content = first.content();
        if content.starts_with("#!") {
            let path = format!("/dev/pipes/{}", first.name);
            return (current.with_shell(&path), Some((first.name.clone(), content)));
        }
        return (current.with_shell(&content), None);
    }
    // The shell reads the heredocs itself, so they are put together again.
    let mut whole = text.clone();
    for heredoc in &run.heredocs {
        whole.push('\n');
        whole.push_str(&heredoc.body.value);
        whole.push_str(&heredoc.name);
    }
    (current.with_shell(&whole), None)
}

/// The declared arguments as history shows them: `|2 A=1 B= `.
fn shown_arguments(current: &Current<'_>) -> String {
    let pairs = current.arguments.pairs();
    if pairs.is_empty() {
        return String::new();
    }
    let mut shown = format!("|{} ", pairs.len());
    for (name, value) in pairs {
        let value = current.variables.get(name).or(value.as_deref()).unwrap_or_default();
        shown.extend([name, "=", value, " "]);
    }
    shown
}

/// The instruction in one line; a heredoc by its first one.
fn step_name(head: &Head, run: &Run) -> String {
    let text = match &run.command {
        CommandLine::Exec(args) => format!("RUN {}", go::list(args)),
        CommandLine::Shell(text) => one_line(&format!("RUN {}", text.value)),
    };
    let first = run.heredocs.first().map(|heredoc| heredoc.body.value.trim());
    debug_assert!(!head.keyword().is_empty());
    match first.and_then(|body| body.lines().next().map(|line| (line.trim(), body.lines().count() > 1))) {
        Some((line, more)) => format!("{text} ({line}{})", if more { "..." } else { "" }),
        None => text,
    }
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}
