//! A small HTTP server on the loopback that does what a test tells it to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What a client asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Such as `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    /// What came after them.
    pub body: Vec<u8>,
}

impl Request {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What a client gets.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    length: Option<u64>,
    bytes_at_once: Option<usize>,
}

impl Reply {
    /// A file.
    pub fn file(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), ..Self::default() }
    }

    /// Nothing but a status.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// A redirect.
    pub fn to(location: &str) -> Self {
        Self::status(302).with("Location", location)
    }

    /// The same with a header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with another status.
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same with a length that is not the body's, after which the connection is closed all the same.
    pub fn pretending(self, length: u64) -> Self {
        Self { length: Some(length), ..self }
    }

    /// The same in small pieces.
    pub fn dripping(self, bytes_at_once: usize) -> Self {
        Self { bytes_at_once: Some(bytes_at_once), ..self }
    }

    /// What a server that knows ranges makes of a file.
    pub fn ranged(request: &Request, body: &[u8], etag: &str) -> Self {
        let start = request.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        let start = start.and_then(|start| start.parse::<usize>().ok()).filter(|_| request.header("if-range") == etag);
        match start {
            Some(start) => Self { status: 206, body: body[start..].to_vec(), ..Self::default() }
                .with("Content-Range", &format!("bytes {start}-{}/{}", body.len() - 1, body.len())),
            None => Self::file(body),
        }
        .with("ETag", etag)
    }

    /// Sends it, for servers that write some of their answers themselves.
    pub fn write(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        self.send(stream)
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", self.length.unwrap_or(self.body.len() as u64));
        stream.write_all(head.as_bytes())?;
        for piece in self.body.chunks(self.bytes_at_once.unwrap_or(1 << 16)) {
            stream.write_all(piece)?;
            stream.flush()?;
        }
        Ok(())
    }
}

type Handler = dyn Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// The server; ends when it is dropped.
pub struct Web {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// A server that answers each request as `handler` says. It is told how many requests there were before.
    pub fn serve(handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let count = Mutex::new(0);
        Self::start(move |request, stream| {
            let reply = {
                let mut count = count.lock().unwrap();
                *count += 1;
                handler(request, *count - 1)
            };
            reply.send(stream)
        })
    }

    /// A server that writes answers itself.
    pub fn start(handler: impl Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let handler: Arc<Handler> = Arc::new(handler);
        let thread = {
            let (requests, stop) = (requests.clone(), stop.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (requests, handler) = (requests.clone(), handler.clone());
                    std::thread::spawn(move || converse(stream, &requests, handler.as_ref()));
                }
            })
        };
        Self { address, requests, stop, thread: Some(thread) }
    }

    /// The URL of a path that begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How much it was asked so far.
    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes it up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn converse(mut stream: TcpStream, requests: &Mutex<Vec<Request>>, handler: &Handler) {
    let Some(request) = read_request(&stream) else { return };
    requests.lock().unwrap().push(request.clone());
    // A client may go away whenever it likes.
    let _ = handler(&request, &mut stream);
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut request =
        Request { method: words.next()?.to_owned(), path: words.next()?.to_owned(), ..Request::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    if let Ok(length) = request.header("content-length").parse() {
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
    } else if request.header("transfer-encoding") == "chunked" {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            request.body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                break;
            }
        }
    }
    Some(request)
}
