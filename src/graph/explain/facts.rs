//! What a step is made of, as named values: what the writer of its key saw, kept instead of hashed.
//!
//! Both are visitors of the one traversal in [`key`](crate::graph::key), so what is explained is what is hashed. Values of
//! secrets are no part of an op, so they cannot be here either.

use std::fmt::Write as _;

use crate::graph::Step;
use crate::graph::key::{Visitor, visit_step};

/// The longest value that is kept as it is, in bytes.
const LONGEST: usize = 4096;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// What it belongs to: empty for the step itself, `env`, `mount /cache`, `action 1`, `action 1 source 2`.
    pub group: String,
    /// What it is, such as `user`; of `env`, the variable.
    pub name: String,
    /// The value. Of a long one the beginning, its length and its digest.
    pub value: String,
}

/// All values of a step, in the order of the key. A list is several values of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(pub Vec<Fact>);

impl Facts {
    /// Those of a step, its inputs left out.
    pub fn of(step: &Step) -> Self {
        let mut reader = Reader::default();
        visit_step(step, &mut reader);
        Self(reader.facts)
    }

    /// The values of a name in a group.
    pub fn values<'a>(&'a self, group: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
        let wanted = move |fact: &&Fact| fact.group == group && fact.name == name;
        self.0.iter().filter(wanted).map(|fact| fact.value.as_str())
    }

    /// The first value of a name in a group.
    pub fn value<'a>(&'a self, group: &'a str, name: &'a str) -> Option<&'a str> {
        self.values(group, name).next()
    }
}

/// Sorts what it is shown into groups.
#[derive(Default)]
struct Reader {
    facts: Vec<Fact>,
    variable: String,
    mount: String,
    action: usize,
    source: usize,
}

impl Reader {
    fn push(&mut self, group: String, name: &str, value: String) {
        self.facts.push(Fact { group, name: name.to_owned(), value });
    }

    fn text(&mut self, name: &str, value: String) {
        match name {
            "env.name" => self.variable = value,
            "env.value" => {
                let variable = std::mem::take(&mut self.variable);
                self.push("env".into(), &variable, value);
            }
            "mount.target" => {
                let mut group = format!("mount {value}");
                let known = self.facts.iter().filter(|fact| fact.name == "target" && fact.value == value).count();
                if known > 0 {
                    let _ = write!(group, " ({})", known + 1);
                }
                self.mount = group.clone();
                self.push(group, "target", value);
            }
            "action" => {
                (self.action, self.source) = (self.action + 1, 0);
                self.push(format!("action {}", self.action), name, value);
            }
            "source.kind" => {
                self.source += 1;
                self.push(format!("action {} source {}", self.action, self.source), "kind", value);
            }
            "url" => self.push(String::new(), name, without_password(&value)),
            "epoch" | "ceiling" => self.push(String::new(), name, value),
            _ => match name.split_once('.') {
                Some(("mount" | "secret", name)) => self.push(self.mount.clone(), name, value),
                Some(("source", name)) => {
                    self.push(format!("action {} source {}", self.action, self.source), name, value);
                }
                // Of what is made, the path from the root.
                _ if name == "path" && !value.is_empty() && !value.starts_with('/') => {
                    self.push(format!("action {}", self.action), name, format!("/{value}"));
                }
                _ if self.action > 0 => self.push(format!("action {}", self.action), name, value),
                _ => self.push(String::new(), name, value),
            },
        }
    }
}

impl Visitor for Reader {
    fn value(&mut self, name: &str, value: &[u8]) {
        self.text(name, shown(value));
    }

    fn identity(&mut self, name: &str, bytes: &[u8; 32]) {
        let digits = bytes.iter().fold(String::with_capacity(64), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        self.text(name, digits);
    }

    fn list(&mut self, _: &str, _: usize) {}
}

/// A value as text, and as much of it as is kept.
fn shown(value: &[u8]) -> String {
    let whole = std::str::from_utf8(value).ok().filter(|text| text.len() <= LONGEST);
    if let Some(whole) = whole {
        return whole.to_owned();
    }
    let start = String::from_utf8_lossy(&value[..value.len().min(LONGEST / 16)]);
    format!("{start}… ({} bytes, {})", value.len(), &blake3::hash(value).to_hex()[..16])
}

/// A URL without what is before an `@` in its host.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{ExecOp, Graph, Label, Mount, MountKind, Op, SecretMount};

    fn lines(op: Op) -> Vec<String> {
        let mut graph = Graph::new();
        let id = graph.add(op, &[], "linux/amd64".parse().unwrap(), Label::default(), false);
        Facts::of(&graph[id]).0.iter().map(|fact| format!("{}/{}={}", fact.group, fact.name, fact.value)).collect()
    }

    #[test]
    fn values_belong_to_something() {
        let secret =
            SecretMount { id: "token".into(), required: true, file: true, env: None, mode: 0o400, uid: 0, gid: 0 };
        let mount = |kind| Mount { target: "/t".into(), kind };
        let exec = ExecOp {
            args: vec!["sh".into(), "-c".into()],
            env: vec![("A".into(), "1".into())],
            mounts: vec![mount(MountKind::Tmpfs { size: None }), mount(MountKind::Secret(secret))],
            ..ExecOp::default()
        };
        let lines = lines(Op::Exec(Box::new(exec)));
        for expected in
            ["/args=sh", "/args=-c", "env/A=1", "mount /t/type=tmpfs", "mount /t (2)/id=token", "/epoch=315532800"]
        {
            assert!(lines.iter().any(|line| line == expected), "{expected} in {lines:#?}");
        }
    }

    #[test]
    fn long_values_are_cut_but_told_apart() {
        let mut bytes = vec![b'a'; 10_000];
        let long = shown(&bytes);
        assert!(long.len() < 400 && long.contains("10000 bytes"), "{long}");
        bytes[9_000] = b'b';
        assert_ne!(shown(&bytes), long);
        assert_eq!(shown(b"short"), "short");
    }

    #[test]
    fn passwords_are_left_out() {
        assert_eq!(without_password("https://token@host/a@b"), "https://host/a@b");
        assert_eq!(without_password("https://host/a@b"), "https://host/a@b");
        assert_eq!(without_password("git@host:a"), "git@host:a");
    }
}
