//! Names looked up at servers that answer in all the ways there are.

use super::*;

use std::net::TcpListener;
use std::thread::JoinHandle;

/// A name server that answers `count` questions over UDP, and one over TCP if it is told to.
struct Server {
    address: SocketAddr,
    thread: JoinHandle<Vec<String>>,
}

type Answer = fn(&str, u16) -> Reply;

enum Reply {
    Silence,
    Code(u8),
    Truncated,
    Forged,
    Records(Vec<(&'static str, u16, Vec<u8>)>),
}

impl Server {
    fn start(count: usize, answer: Answer) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let mut asked = Vec::new();
            for _ in 0..count {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let question = &buffer[..length];
                let (name, kind) = read_question(question);
                for message in messages(question, answer(&name, kind)) {
                    socket.send_to(&message, from).unwrap();
                }
                asked.push(format!("{name} {kind}"));
            }
            asked
        });
        Self { address, thread }
    }

    fn asked(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn read_question(bytes: &[u8]) -> (String, u16) {
    let (name, end) = name_at(bytes, 12).unwrap();
    (name, u16::from_be_bytes([bytes[end], bytes[end + 1]]))
}

fn encode_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

fn messages(question: &[u8], reply: Reply) -> Vec<Vec<u8>> {
    let mut bytes = question.to_vec();
    bytes[2] |= 0x80;
    match reply {
        Reply::Silence => return Vec::new(),
        Reply::Code(code) => bytes[3] = code,
        Reply::Truncated => bytes[2] |= 2,
        Reply::Forged => {
            // First an answer to another question, then nonsense, then that there is no such name.
            let mut other = bytes.clone();
            other[0] ^= 1;
            bytes[3] = 3;
            return vec![other, b"x".to_vec(), bytes];
        }
        Reply::Records(records) => {
            bytes[7] = records.len() as u8;
            for (owner, kind, data) in records {
                // A pointer to the name in the question.
                let owner = if owner.is_empty() { vec![0xc0, 12] } else { encode_name(owner) };
                bytes.extend(owner);
                bytes.extend(kind.to_be_bytes());
                bytes.extend([0, 1, 0, 0, 0, 60]);
                bytes.extend((data.len() as u16).to_be_bytes());
                bytes.extend(data);
            }
        }
    }
    vec![bytes]
}

fn configuration(servers: &[SocketAddr]) -> Configuration {
    Configuration {
        servers: servers.to_vec(),
        search: Vec::new(),
        ndots: 1,
        attempts: 1,
        timeout: Duration::from_secs(30),
    }
}

fn look_up(configuration: &Configuration, name: &str) -> Result<Vec<IpAddr>, String> {
    configuration.look_up(name, Instant::now() + Duration::from_secs(60)).map_err(|error| error.to_string())
}

#[test]
fn asks_for_both_kinds_and_follows_aliases() {
    let server = Server::start(2, |_, kind| {
        Reply::Records(match kind {
            A => vec![
                ("b.example", A, vec![192, 0, 2, 1]),
                ("other.example", A, vec![192, 0, 2, 99]),
                ("c.example", CNAME, encode_name("b.example")),
                ("", CNAME, encode_name("c.example")),
            ],
            _ => vec![("", AAAA, Ipv6Addr::LOCALHOST.octets().to_vec())],
        })
    });
    let found = look_up(&configuration(&[server.address]), "a.example").unwrap();
    assert_eq!(found, ["192.0.2.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert_eq!(server.asked(), ["a.example 1", "a.example 28"]);
}

#[test]
fn tries_the_search_list_in_order() {
    let server = Server::start(4, |name, kind| match (name, kind) {
        ("host.b.example", A) => Reply::Records(vec![("", A, vec![192, 0, 2, 7])]),
        ("host.b.example", _) => Reply::Records(Vec::new()),
        _ => Reply::Code(3),
    });
    let search = vec!["a.example".into(), "b.example".into()];
    let found = look_up(&Configuration { search, ..configuration(&[server.address]) }, "host").unwrap();
    assert_eq!(found, ["192.0.2.7".parse::<IpAddr>().unwrap()]);
    assert_eq!(server.asked()[2], "host.b.example 1");
}

#[test]
fn goes_on_to_the_next_server() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let broken = Server::start(2, |_, _| Reply::Code(2));
    let good = Server::start(2, |_, kind| match kind {
        A => Reply::Records(vec![("", A, vec![192, 0, 2, 7])]),
        _ => Reply::Silence,
    });
    let patient = |servers: &[SocketAddr]| Configuration { timeout: Duration::from_secs(1), ..configuration(servers) };
    let servers = [silent.local_addr().unwrap(), broken.address, good.address];
    assert_eq!(look_up(&patient(&servers), "h.example").unwrap(), ["192.0.2.7".parse::<IpAddr>().unwrap()]);
    let message = look_up(&patient(&[silent.local_addr().unwrap()]), "h.example").unwrap_err();
    assert_eq!(message, "the name h.example cannot be looked up: the name server 127.0.0.1: it does not answer");
}

#[test]
fn believes_only_answers_to_its_question() {
    let server = Server::start(2, |_, _| Reply::Forged);
    let message = look_up(&configuration(&[server.address]), "h.example").unwrap_err();
    assert_eq!(message, "there is no host called h.example");
    server.asked();
}

#[test]
fn asks_over_tcp_for_what_is_too_long() {
    let server = Server::start(2, |_, kind| if kind == A { Reply::Truncated } else { Reply::Code(3) });
    let listener = TcpListener::bind(server.address).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question).unwrap();
        let records = (0..100).map(|last| ("", A, vec![192, 0, 2, last])).collect();
        let answer = messages(&question, Reply::Records(records)).remove(0);
        stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&answer).unwrap();
    });
    assert_eq!(look_up(&configuration(&[server.address]), "h.example").unwrap().len(), 100);
    thread.join().unwrap();
}

#[test]
fn reads_the_configuration() {
    let text = "# c\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver x\nsearch A.example b.example.\n\
                options ndots:2 timeout:0 attempts:9 rotate\n";
    let read = Configuration::parse(text);
    let servers = ["192.0.2.1:53".parse().unwrap(), "[fe80::1]:53".parse().unwrap()];
    let expected = Configuration {
        servers: servers.to_vec(),
        search: vec!["a.example".into(), "b.example".into()],
        ndots: 2,
        attempts: 5,
        timeout: Duration::from_secs(1),
    };
    assert_eq!(read, expected);
    assert_eq!(read.candidates("x.y"), ["x.y.a.example", "x.y.b.example", "x.y"]);
    assert_eq!(read.candidates("x.y.z"), ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]);
    assert_eq!(read.candidates("x."), ["x"]);
    assert_eq!(Configuration::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
}

#[test]
fn knows_some_names_itself() {
    let folder = tempfile::tempdir().unwrap();
    let names = Names { hosts: folder.path().join("hosts"), configuration: folder.path().join("none") };
    std::fs::write(&names.hosts, "192.0.2.1 a Host # b\nx y\n::5 host\n192.0.2.1 host\n").unwrap();
    let check = |name: &str, expected: &[&str]| {
        let found = names.look_up(name, Duration::ZERO).unwrap();
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{name}");
    };
    check("192.0.2.9", &["192.0.2.9"]);
    check("[::9]", &["::9"]);
    check("localhost", &["127.0.0.1", "::1"]);
    check("a.LOCALHOST.", &["127.0.0.1", "::1"]);
    check("host", &["192.0.2.1", "::5"]);
}

#[test]
fn survives_hostile_answers() {
    let question = question("a.example", A).unwrap();
    let mut loops = messages(&question, Reply::Records(vec![("", A, vec![1, 2, 3, 4])])).remove(0);
    let at = question.len();
    // A pointer to itself, and one beyond the end.
    for pointer in [at as u16, 0x3fff] {
        loops[at..at + 2].copy_from_slice(&(0xc000 | pointer).to_be_bytes());
        assert_eq!(addresses(&loops, "a.example"), Ok(Vec::new()));
    }
    let whole = messages(&question, Reply::Records(vec![("", A, vec![1, 2, 3, 4])])).remove(0);
    for length in 0..whole.len() {
        let _ = addresses(&whole[..length], "a.example");
    }
    assert_eq!(addresses(&whole, "a.example").unwrap().len(), 1);
    for name in ["", "a..b", &"x".repeat(64), &"x.".repeat(200)] {
        assert!(super::question(name, A).is_none(), "{name}");
    }
}
