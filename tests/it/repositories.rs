//! Git repositories on the loopback: one with all that matters, served by git's own servers.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::support::{run, scratch, text};
use crate::web::Web;

/// A folder of bare repositories.
pub struct Repositories {
    folder: tempfile::TempDir,
}

impl Repositories {
    /// `app.git` with the branches `main` and `dev`, the tags `v1` (annotated) and `light`, and the submodule `lib`, which
    /// is `lib.git`.
    pub fn new() -> Self {
        let new = Self { folder: scratch() };
        let (lib, app) = (new.path().join("lib"), new.path().join("app"));
        for (work, bare) in [(&lib, "lib.git"), (&app, "app.git")] {
            fs::create_dir(work).unwrap();
            git(work, &["init", "-q", "-b", "main"]);
            git(new.path(), &["init", "-q", "--bare", "-b", "main", bare]);
            git(work, &["remote", "add", "origin", &format!("../{bare}")]);
        }
        fs::write(lib.join("lib.c"), "int lib;\n").unwrap();
        commit(&lib, "the library");
        git(&lib, &["push", "-q", "origin", "main"]);

        fs::create_dir_all(app.join("docs/deep")).unwrap();
        fs::write(app.join("README"), "first\n").unwrap();
        fs::write(app.join("docs/deep/page"), "page\n").unwrap();
        fs::write(app.join("run.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(app.join("run.sh"), PermissionsExt::from_mode(0o700)).unwrap();
        symlink("README", app.join("link")).unwrap();
        symlink("docs", app.join("docs-link")).unwrap();
        fs::write(app.join("Dockerfile"), "FROM scratch\nCOPY . /all/\n").unwrap();
        fs::write(app.join(".dockerignore"), "README\n").unwrap();
        commit(&app, "first");
        git(&app, &["tag", "-a", "-m", "one", "v1"]);
        git(&app, &["tag", "light"]);
        git(&app, &["checkout", "-q", "-b", "dev"]);
        fs::write(app.join("README"), "dev\n").unwrap();
        commit(&app, "on the way");
        git(&app, &["checkout", "-q", "main"]);
        git(&app, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../lib.git", "lib"]);
        fs::write(app.join("README"), "second\n").unwrap();
        commit(&app, "second");
        git(&app, &["push", "-q", "origin", "main", "dev", "v1", "light"]);
        new
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The commit of a name.
    pub fn commit_of(&self, name: &str) -> String {
        git(&self.path().join("app.git"), &["rev-parse", &format!("{name}^{{commit}}")]).trim().to_owned()
    }

    /// Moves `main` on.
    pub fn change(&self, readme: &str) {
        let app = self.path().join("app");
        fs::write(app.join("README"), readme).unwrap();
        commit(&app, "changed");
        git(&app, &["push", "-q", "origin", "main"]);
    }

    /// Serves them over HTTP, by git's own CGI program.
    pub fn over_http(&self) -> Web {
        let root = self.path().to_owned();
        Web::start(move |request, stream| {
            let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
            let mut command = clean_git(&root);
            command.arg("http-backend").env("GIT_PROJECT_ROOT", &root).env("GIT_HTTP_EXPORT_ALL", "1");
            command.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", &request.method);
            command.env("CONTENT_TYPE", request.header("content-type")).env("REMOTE_ADDR", "127.0.0.1");
            command.env("HTTP_CONTENT_ENCODING", request.header("content-encoding"));
            command.env("GIT_PROTOCOL", request.header("git-protocol"));
            command.env("CONTENT_LENGTH", request.body.len().to_string());
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
            child.stdin.take().unwrap().write_all(&request.body)?;
            let mut out = Vec::new();
            child.stdout.take().unwrap().read_to_end(&mut out)?;
            child.wait()?;
            let end = out.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or_default();
            let head = text(&out[..end]);
            let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
            write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
            stream.write_all(&out)
        })
    }

    /// Serves them by `git daemon`.
    pub fn over_git(&self) -> Daemon {
        Daemon::start(self.path())
    }
}

/// `git daemon`, one process for each connection.
pub struct Daemon {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (root, connections, stop) = (root.to_owned(), connections.clone(), stop.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    connections.fetch_add(1, Ordering::SeqCst);
                    let socket = || Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
                    let base = format!("--base-path={}", root.display());
                    let mut command = clean_git(&root);
                    command.args(["daemon", "--inetd", "--export-all", &base]);
                    command.stdin(socket()).stdout(socket()).stderr(Stdio::null());
                    let mut child = command.spawn().unwrap();
                    std::thread::spawn(move || child.wait());
                }
            })
        };
        Self { address, connections, stop, thread: Some(thread) }
    }

    /// The URL of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("git://{}/{name}", self.address)
    }

    /// How often it was asked so far.
    pub fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn clean_git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", folder);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "N").env(format!("GIT_{who}_EMAIL"), "n@example.org");
        command.env(format!("GIT_{who}_DATE"), "2001-02-03T04:05:06Z");
    }
    command
}

/// Runs git in a folder.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    text(&run(clean_git(folder).args(arguments)).stdout)
}

fn commit(folder: &Path, message: &str) {
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "-m", message]);
}
