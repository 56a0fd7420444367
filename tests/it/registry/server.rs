//! Debian's `docker-registry` on the loopback, and a proxy that counts what it is asked and cuts what it carries.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::support::scratch;
use crate::web::{Reply, Request, Web};

/// A registry; ends when it is dropped.
pub struct Registry {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Registry {
    /// One that lets everybody do everything.
    pub fn open() -> Self {
        Self::with("")
    }

    /// One with more configuration: YAML at the top level. `FOLDER` in it is a folder of its own.
    pub fn with(more: &str) -> Self {
        Self::with_http(more, "")
    }

    /// The same with more below `http`.
    pub fn with_http(more: &str, http: &str) -> Self {
        Self::at(free_port(), scratch(), more, http)
    }

    /// The same in a folder that holds something already.
    pub fn at(port: u16, folder: TempDir, more: &str, http: &str) -> Self {
        let own = folder.path().to_str().unwrap().to_owned();
        let more = more.replace("FOLDER", &own);
        let http = http.replace("FOLDER", &own);
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage:\n  filesystem: {{rootdirectory: {own}/data}}\n  delete: {{enabled: true}}\n\
             http:\n  addr: 127.0.0.1:{port}\n  secret: test\n{http}\n{more}\n"
        );
        let config = folder.path().join("config.yml");
        fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        let started = command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = started
            .unwrap_or_else(|error| panic!("docker-registry: {error}; `sh tests/run.sh` installs what tests need"));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("docker-registry has ended: {said:#?}")).unwrap();
            if line.contains("listening on") {
                break;
            }
            said.push(line);
        }
        // It must not wait for somebody to read what it says.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port, _folder: folder }
    }

    /// Host and port, as image names have them.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody uses.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server before a registry that gives some of the answers itself.
pub fn gate(registry: u16, own: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Web {
    Web::start(move |request, client| match own(request) {
        Some(reply) => reply.write(client),
        None => forward(registry, request, client),
    })
}

fn forward(registry: u16, request: &Request, client: &mut TcpStream) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", registry))?;
    let own = ["connection", "content-length", "transfer-encoding"];
    let kept = request.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let kept: String = kept.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let Request { method, path, body, .. } = request;
    let length = body.len();
    write!(server, "{method} {path} HTTP/1.1\r\n{kept}Connection: close\r\nContent-Length: {length}\r\n\r\n")?;
    server.write_all(body)?;
    std::io::copy(&mut server, client).map(drop)
}

/// A proxy before a server.
pub struct Proxy {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    cuts: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    /// One that only notes what is asked.
    pub fn before(server: u16) -> Self {
        Self::cutting(server, 0, usize::MAX)
    }

    /// One that ends the first so many connections that carry more than `bytes` in one direction, just there.
    pub fn cutting(server: u16, cuts: usize, bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
            cuts: Arc::new(AtomicUsize::new(cuts)),
            stop: Arc::default(),
        };
        let (requests, cuts, stop) = (proxy.requests.clone(), proxy.cuts.clone(), proxy.stop.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (noted, counted) = (requests.clone(), cuts.clone());
                std::thread::spawn(move || carry(from, to, &counted, bytes, |piece| note(piece, &noted)));
                let counted = cuts.clone();
                std::thread::spawn(move || carry(server, client, &counted, bytes, |_| {}));
            }
        });
        proxy
    }

    /// Host and port, as image names have them.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// What was asked so far: method and path.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// How many cuts are left.
    pub fn left(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, cuts: &AtomicUsize, most: usize, see: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    let mut carried = 0;
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            break;
        }
        see(&buffer[..read]);
        carried += read;
        let one_less = |left: usize| left.checked_sub(1);
        if carried > most && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Notes request lines: each stands at the start of what a client writes at once.
fn note(piece: &[u8], requests: &Mutex<Vec<String>>) {
    let Some(end) = piece.windows(2).position(|two| two == b"\r\n") else { return };
    let Ok(line) = std::str::from_utf8(&piece[..end]) else { return };
    if let Some(request) = line.strip_suffix(" HTTP/1.1") {
        requests.lock().unwrap().push(request.to_owned());
    }
}
