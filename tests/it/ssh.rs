//! Steps that log in by the keys of an agent outside: OpenSSH's own client, agent and server, on the loopback.
//!
//! The image is busybox with this machine's ssh client and its libraries. The server is this machine's, too, with a
//! configuration of its own that knows one key and says one thing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{Store, outcome, put, repository, run, scratch, sh, text};

/// A server that lets in who has the key.
struct Server {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// One that says the same to everybody.
    fn start() -> Self {
        Self::with("ForceCommand echo welcome")
    }

    /// One with another line of configuration.
    fn with(line: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for key in ["host", "user", "other"] {
            keygen(&path(key), "");
        }
        keygen(&path("locked"), "a passphrase");
        fs::copy(path("user.pub"), path("authorized_keys")).unwrap();
        // The server wants this folder for its unprivileged part.
        fs::create_dir_all("/run/sshd").unwrap();
        // A port that is free now may be taken a moment later: then another.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
                 UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n{line}\n",
                path("host").display(),
                path("authorized_keys").display()
            );
            let config = put(folder.path(), "sshd_config", config);
            let mut process = Command::new("/usr/sbin/sshd")
                .args(["-D", "-e", "-f"])
                .arg(config)
                .stderr(Stdio::piped())
                .spawn()
                .expect("openssh-server is missing; `sh tests/run.sh` as root installs what tests need");
            let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
            if lines.any(|line| line.starts_with("Server listening")) {
                // What else it says is not read, but must not stop it either.
                std::thread::spawn(move || lines.for_each(drop));
                return Self { process, port, folder };
            }
            process.wait().unwrap();
        }
        panic!("sshd finds no port");
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn keygen(path: &Path, passphrase: &str) {
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-C", "", "-N", passphrase, "-f"]).arg(path));
}

/// An agent of the machine with a key.
struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(folder: &Path, key: &Path) -> Self {
        let socket = folder.join("agent");
        let mut command = Command::new("ssh-agent");
        let mut process = command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
        // It prints its variables when it listens.
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        run(Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket));
        Self { process, socket }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A store with the image `client`: busybox and this machine's ssh.
fn store_with_client() -> Store {
    let store = Store::new();
    store.run(&["load", "-q", "-i", repository("tests/conformance/busybox.oci.tar").to_str().unwrap()]);
    let context = scratch();
    let mut files = BTreeSet::from(["/usr/bin/ssh".to_owned(), "/usr/bin/ssh-add".to_owned()]);
    for program in files.clone() {
        let libraries = sh(&["ldd", &program]);
        files.extend(libraries.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned));
    }
    for file in files {
        let to = put(context.path(), &format!("root{file}"), fs::read(&file).unwrap());
        fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    }
    put(
        context.path(),
        "Dockerfile",
        "FROM busybox\nCOPY root/ /\nRUN echo someone:x:1000:1000::/home/someone:/bin/sh >> /etc/passwd && \
         mkdir -p /home/someone && chown 1000:1000 /home/someone\n",
    );
    store.build(context.path(), &["-t", "client"]);
    store
}

#[test]
fn steps_log_in_by_the_keys_of_an_agent() {
    let server = Server::start();
    let agent = Agent::start(server.folder.path(), &server.key("user"));
    let store = store_with_client();
    let login = format!(
        "ssh -p {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes root@127.0.0.1",
        server.port
    );
    let context = scratch();
    let build = |dockerfile: String, arguments: &[&str], variable: Option<&Path>| {
        put(context.path(), "Dockerfile", format!("FROM client\n{dockerfile}"));
        let mut command = store.command();
        command.args(["build", "--progress", "plain", "--no-cache", "-o", "type=cacheonly"]).args(arguments);
        variable.map(|path| command.env("SSH_AUTH_SOCK", path));
        outcome(command.arg(context.path()))
    };
    let works = |dockerfile: String, arguments: &[&str], variable: Option<&Path>, shown: &str| {
        let (code, _, log) = build(dockerfile, arguments, variable);
        assert!(code == 0 && log.contains(shown), "{log}");
    };
    let fails = |dockerfile: String, arguments: &[&str], expected: i32, words: &[&str]| {
        let (code, _, log) = build(dockerfile, arguments, None);
        assert_eq!(code, expected, "{log}");
        words.iter().for_each(|word| assert!(log.contains(word), "{word:?} is not in {log}"));
    };
    let socket = agent.socket.display().to_string();
    let run_login = || format!("RUN --mount=type=ssh {login}\n");

    works(run_login(), &["--ssh", "default"], Some(&agent.socket), "welcome");
    works(run_login(), &["--ssh", &format!("default={socket}")], None, "welcome");
    works(format!("RUN --mount=type=ssh,id=x {login}\n"), &["--ssh", &format!("x={socket}")], None, "welcome");
    // Another user, whose the socket is to be; several connections at once; a place of one's own.
    works(
        format!("USER someone\nRUN --mount=type=ssh,uid=1000 {login} & {login}; wait $! && echo both\n"),
        &["--ssh", &format!("default={socket}")],
        None,
        "both",
    );
    works(
        "RUN --mount=type=ssh,target=/agent,mode=0666 test $SSH_AUTH_SOCK = /agent && ssh-add -l && stat -c 'mode %a' /agent\n"
            .into(),
        &["--ssh", &format!("default={socket}")],
        None,
        "mode 666",
    );
    // Nothing of it is left for the next step.
    works(
        "RUN --mount=type=ssh true\nRUN test -z \"$SSH_AUTH_SOCK\" && ! ls /run/buildkit/* && echo nothing\n".into(),
        &["--ssh", &format!("default={socket}")],
        None,
        "nothing",
    );
    // Without an agent.
    works("RUN --mount=type=ssh test ! -e \"$SSH_AUTH_SOCK\" && echo none\n".into(), &[], None, "none");
    fails("RUN --mount=type=ssh,required true\n".into(), &[], 1, &["\"default\" is required", "--ssh default"]);
    fails(run_login(), &["--ssh", "default"], 2, &["SSH_AUTH_SOCK is not set"]);
    fails(run_login(), &["--ssh", "default=/nosuch"], 1, &["/nosuch"]);

    // Keys instead of an agent.
    let key = |name: &str| server.key(name).display().to_string();
    works(run_login(), &["--ssh", &format!("default={}", key("user"))], None, "welcome");
    let several = format!("default={},{}", key("other"), key("user"));
    works(run_login(), &["--ssh", &several], None, "welcome");
    fails(run_login(), &["--ssh", &format!("default={}", key("other"))], 1, &["Permission denied"]);
    fails(run_login(), &["--ssh", &format!("default={}", key("locked"))], 1, &["has a passphrase", "ssh-add"]);
    fails(run_login(), &["--ssh", &format!("default={}", key("user.pub"))], 1, &["user.pub cannot be used"]);
    fails(run_login(), &["--ssh", &format!("default={socket},{}", key("user"))], 1, &["must be the only path"]);
    fs::set_permissions(server.key("other"), fs::Permissions::from_mode(0o644)).unwrap();
    fails(run_login(), &["--ssh", &format!("default={}", key("other"))], 1, &["chmod 600"]);
    let mut command = store.command();
    command.args(["build", "--ssh", &several]).arg(context.path()).env("PATH", "/nosuch");
    let (code, _, err) = outcome(&mut command);
    assert!(code == 3 && err.contains("openssh-client"), "{err}");

    // The agents that were started for keys are gone, with their sockets.
    let tmp = scratch();
    let mut command = store.command();
    command.args(["build", "--no-cache", "-o", "type=cacheonly", "--ssh", &format!("default={}", key("user"))]);
    let output = run(command.arg(context.path()).env("TMPDIR", tmp.path()));
    assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 0, "{}", text(&output.stderr));
}

#[test]
fn repositories_come_over_ssh() {
    let server = Server::with("PermitTTY no");
    let agent = Agent::start(server.folder.path(), &server.key("user"));
    let at = server.folder.path().join("repository");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=n", "-c", "user.email=e", "-c", "init.defaultBranch=main"]).args(arguments);
        run(command.current_dir(server.folder.path()));
    };
    git(&["init", "-q", "repository"]);
    put(&at, "docs/file.txt", "from ssh\n");
    git(&["-C", "repository", "add", "."]);
    git(&["-C", "repository", "commit", "-q", "-m", "one"]);
    let url = format!("ssh://root@127.0.0.1:{}{}", server.port, at.display());
    let context = scratch();
    put(context.path(), "Dockerfile", format!("FROM scratch\nADD {url}#main:docs /\n"));
    let store = Store::new();
    let build = |arguments: &[&str], variable: Option<&Path>| {
        let out = scratch();
        let mut command = store.command();
        // Whatever could ask a question would ask it here: there is a terminal program, and a display.
        command.env("SSH_ASKPASS", "/bin/true").env("DISPLAY", ":9").env("GIT_ASKPASS", "/bin/true");
        command.args(["build", "--no-cache", "--progress", "plain", "--no-lock", "-o"]).arg(out.path()).args(arguments);
        match variable {
            Some(path) => command.env("SSH_AUTH_SOCK", path),
            // An agent of the user is not used unless it is asked for.
            None => command.env("SSH_AUTH_SOCK", &agent.socket),
        };
        let (code, _, log) = outcome(command.arg(context.path()));
        (code, fs::read_to_string(out.path().join("file.txt")).unwrap_or_default(), log)
    };
    let key = format!("default={}", server.key("user").display());
    for arguments in [["--ssh", "default"], ["--ssh", key.as_str()]] {
        let (code, file, log) = build(&arguments, Some(&agent.socket));
        assert_eq!((code, file.as_str()), (0, "from ssh\n"), "{log}");
    }
    let (code, _, log) = build(&[], None);
    assert!(code == 1 && log.contains("Permission denied") && log.contains("--ssh default"), "{log}");
    let other = format!("default={}", server.key("other").display());
    let (code, _, log) = build(&["--ssh", &other], None);
    assert!(code == 1 && log.contains("Permission denied"), "{log}");

    // A whole context, and a repository that is not there.
    let mut command = store.command();
    command.args(["build", "--no-lock", "-q", "--ssh", &key, "-o", "type=cacheonly", "-f", "-"]);
    command.arg(format!("{url}#main")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"FROM scratch\nCOPY docs/file.txt /\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    put(context.path(), "Dockerfile", format!("FROM scratch\nADD {url}-none#main /\n"));
    let (code, _, log) = build(&["--ssh", &key], None);
    assert!(code == 1 && log.contains("repository-none"), "{log}");
}
