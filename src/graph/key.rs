//! Cache keys and their explanation: one traversal of an op with any visitor.
//!
//! | input | in the key | why |
//! |---|---|---|
//! | op and all its options | yes | they are what is done |
//! | `SOURCE_DATE_EPOCH` | of steps that make files | it is their time |
//! | platform | yes, except for contexts and URLs | a `RUN` for another machine makes other files |
//! | base image | its layers' diff IDs | labels, creation time and name change nothing that a step sees |
//! | files of a context | name, type, mode, link target, xattrs, bytes of those used | mtime and owner are accidents of a checkout |
//! | files of a stage | the same, and owner and settled mtime | they are data there, and the same each time |
//! | `ARG`, `ENV` | of a `RUN` that sees them | elsewhere they were expanded already |
//! | names of steps, source lines | no | a comment or another stage name changes nothing |
//! | scrubs | of a `RUN` that has some, with their revisions | they change what its layer holds |
//! | whether a `RUN` may gain privileges | yes | `sudo` does something else without |
//! | secrets, agent sockets, cache mounts' content | only their names and options | values must not be recorded, and do not promise anything |
//! | proxy variables, host addresses | no | they say how to reach something, not what it is |
//! | limits, also that of `/dev/shm` | no | a step that stays within them makes what it would make without them; one that does not makes nothing |
//! | absolute host paths | no | another checkout is the same build |
//!
//! A string enters with its length before it and a list with its count, so that no two different ops can give the same
//! bytes. Every value has a name; a hash ignores the names, an explanation ([`explain`](crate::graph::explain)) shows them.

use crate::digest::{CacheKey, Digest};
use crate::graph::{
    Chmod, CopySource, ExecOp, FileAction, FileOp, Mount, MountKind, Network, Op, Owner, SecretMount, Sharing, Step,
    Unpack,
};
use crate::oci::Platform;

/// Changes whenever the meaning or the encoding of a key does: old results are not found any more.
pub const VERSION: u32 = 1;

/// The digest of a step's definition and the definitions of all its inputs.
pub type DefinitionDigest = CacheKey;

/// Receives the values that identify an op, in a fixed order.
pub trait Visitor {
    /// A value; `name` says what it is.
    fn value(&mut self, name: &str, value: &[u8]);
    /// A value that is no text: a hash.
    fn identity(&mut self, name: &str, bytes: &[u8; 32]) {
        self.value(name, bytes);
    }
    /// A list of `count` items follows.
    fn list(&mut self, name: &str, count: usize);
}

/// Hashes what it is shown, with lengths and counts.
pub struct KeyHasher(blake3::Hasher);

impl KeyHasher {
    /// A hasher for one purpose; keys for different purposes never meet.
    pub fn new(purpose: &str) -> Self {
        let mut hasher = Self(blake3::Hasher::new());
        hasher.value("version", &VERSION.to_le_bytes());
        hasher.value("purpose", purpose.as_bytes());
        hasher
    }

    /// The key.
    pub fn finish(self) -> CacheKey {
        CacheKey::from_bytes(*self.0.finalize().as_bytes())
    }
}

impl Visitor for KeyHasher {
    fn value(&mut self, _: &str, value: &[u8]) {
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value);
    }

    fn list(&mut self, _: &str, count: usize) {
        self.0.update(b"[");
        self.0.update(&(count as u64).to_le_bytes());
    }
}

/// The digest of a step's definition.
pub fn definition(op: &Op, platform: &Platform, inputs: &[DefinitionDigest]) -> DefinitionDigest {
    let mut hasher = KeyHasher::new("definition");
    visit(op, platform, &mut hasher);
    hasher.list("inputs", inputs.len());
    for input in inputs {
        hasher.value("input", input.as_bytes());
    }
    hasher.finish()
}

/// What one input of a step contributes to its cache key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKey {
    /// The input as a whole, by the key of its step.
    Step(CacheKey),
    /// The input as a whole, by what it came to.
    State(CacheKey),
    /// Just the files that are used, by their content.
    Files(CacheKey),
}

/// A step's cache key, its inputs being known in one way or another.
pub fn cache_key(step: &Step, inputs: &[InputKey]) -> CacheKey {
    let mut hasher = KeyHasher::new("step");
    visit_step(step, &mut hasher);
    visit_inputs(inputs, &mut hasher);
    hasher.finish()
}

/// Shows everything of a step, but for its inputs, that enters its key.
pub fn visit_step(step: &Step, v: &mut impl Visitor) {
    visit(&step.op, &step.platform, v);
    if matches!(step.op, Op::Exec(_) | Op::File(_)) {
        v.value("epoch", step.times.epoch.to_string().as_bytes());
        v.value("ceiling", step.times.ceiling.map(|time| time.to_string()).unwrap_or_default().as_bytes());
    }
}

/// Shows what a step's inputs contribute to its key.
pub fn visit_inputs(inputs: &[InputKey], visitor: &mut impl Visitor) {
    visitor.list("inputs", inputs.len());
    for input in inputs {
        let (kind, key) = match input {
            InputKey::Step(key) => ("step", key),
            InputKey::State(key) => ("state", key),
            InputKey::Files(key) => ("files", key),
        };
        visitor.value("input.kind", kind.as_bytes());
        visitor.value("input.key", key.as_bytes());
    }
}

/// Shows everything of an op that enters its key.
pub fn visit(op: &Op, platform: &Platform, v: &mut impl Visitor) {
    let platform_of = |v: &mut dyn FnMut(&str, &[u8])| v("platform", platform.to_string().as_bytes());
    match op {
        Op::Scratch => v.value("op", b"scratch"),
        Op::Merge => v.value("op", b"merge"),
        Op::Diff => v.value("op", b"diff"),
        Op::Image(image) => {
            v.value("op", b"image");
            v.list("layers", image.layers.len());
            for layer in &image.layers {
                v.identity("layer", layer.as_bytes());
            }
        }
        Op::Local(local) => {
            v.value("op", b"local");
            v.value("name", local.name.as_bytes());
            strings(v, "ignore", &local.ignore);
        }
        Op::Http(http) => {
            v.value("op", b"http");
            v.value("name", http.name.as_bytes());
            digest(v, "digest", &http.digest);
            v.value("modified", http.modified.map(|t| t.to_string()).unwrap_or_default().as_bytes());
        }
        Op::Git(git) => {
            v.value("op", b"git");
            v.value("commit", git.commit.as_bytes());
            v.value("subdir", git.subdir.as_bytes());
            flag(v, "keep-git-dir", git.keep_git_dir);
            flag(v, "submodules", git.submodules);
            // A clone that is kept records its remote, so the address is part of what is made.
            v.value("url", if git.keep_git_dir { git.url.as_bytes() } else { b"" });
        }
        Op::Exec(exec) => {
            v.value("op", b"exec");
            platform_of(&mut |name, value| v.value(name, value));
            visit_exec(exec, v);
        }
        Op::File(file) => {
            v.value("op", b"file");
            visit_file(file, v);
        }
    }
}

fn visit_exec(exec: &ExecOp, v: &mut impl Visitor) {
    // Every field is named here, so that a new one cannot be forgotten.
    let ExecOp {
        args,
        env,
        cwd,
        user,
        mounts,
        network,
        insecure,
        no_new_privileges,
        hostname,
        scrubs,
        extra_hosts: _,
        proxy: _,
        limits: _,
    } = exec;
    strings(v, "args", args);
    v.list("env", env.len());
    for (name, value) in env {
        v.value("env.name", name.as_bytes());
        v.value("env.value", value.as_bytes());
    }
    v.value("cwd", cwd.as_bytes());
    v.value("user", user.as_bytes());
    v.value(
        "network",
        match network {
            Network::Default | Network::Private => b"default",
            Network::None => b"none",
            Network::Host => b"host",
        },
    );
    // One value for both, so that a step without the second has the key that it always had.
    v.value(
        "insecure",
        match (insecure, no_new_privileges) {
            (false, false) => b"false",
            (true, false) => b"true",
            (false, true) => b"no-new-privileges",
            (true, true) => b"true,no-new-privileges",
        },
    );
    v.value("hostname", hostname.as_bytes());
    v.list("mounts", mounts.len());
    for mount in mounts {
        visit_mount(mount, v);
    }
    // Without any, a step has the key that it had before there were scrubs. What may follow is one list, of inputs: two
    // lists cannot be taken for one.
    if !scrubs.is_empty() {
        v.list("scrubs", scrubs.len());
        for scrub in scrubs {
            v.value("scrub", scrub.name().as_bytes());
            number(v, "scrub.revision", u64::from(scrub.revision()));
        }
    }
}

fn visit_mount(mount: &Mount, v: &mut impl Visitor) {
    v.value("mount.target", mount.target.as_bytes());
    match &mount.kind {
        MountKind::Bind { input, source, writable } => {
            v.value("mount.type", b"bind");
            number(v, "mount.input", *input as u64);
            v.value("mount.source", source.as_bytes());
            flag(v, "mount.rw", *writable);
        }
        MountKind::Cache { id, sharing, seed, mode, uid, gid, readonly } => {
            v.value("mount.type", b"cache");
            v.value("mount.id", id.as_bytes());
            v.value(
                "mount.sharing",
                match sharing {
                    Sharing::Shared => b"shared",
                    Sharing::Private => b"private",
                    Sharing::Locked => b"locked",
                },
            );
            v.list("mount.seed", usize::from(seed.is_some()));
            if let Some((input, source)) = seed {
                number(v, "mount.input", *input as u64);
                v.value("mount.source", source.as_bytes());
            }
            number(v, "mount.mode", u64::from(*mode));
            number(v, "mount.uid", u64::from(*uid));
            number(v, "mount.gid", u64::from(*gid));
            flag(v, "mount.ro", *readonly);
        }
        MountKind::Tmpfs { size } => {
            v.value("mount.type", b"tmpfs");
            v.value("mount.size", size.map(|size| size.to_string()).unwrap_or_default().as_bytes());
        }
        MountKind::Secret(secret) => {
            v.value("mount.type", b"secret");
            visit_secret(secret, v);
        }
        MountKind::Ssh(secret) => {
            v.value("mount.type", b"ssh");
            visit_secret(secret, v);
        }
        MountKind::File { data, mode } => {
            v.value("mount.type", b"file");
            v.value("mount.data", data);
            number(v, "mount.mode", u64::from(*mode));
        }
    }
}

fn visit_secret(secret: &SecretMount, v: &mut impl Visitor) {
    let SecretMount { id, required, file, env, mode, uid, gid } = secret;
    v.value("secret.id", id.as_bytes());
    flag(v, "secret.required", *required);
    flag(v, "secret.file", *file);
    optional(v, "secret.env", env.as_deref());
    number(v, "secret.mode", u64::from(*mode));
    number(v, "secret.uid", u64::from(*uid));
    number(v, "secret.gid", u64::from(*gid));
}

fn visit_file(file: &FileOp, v: &mut impl Visitor) {
    v.list("actions", file.actions.len());
    for action in &file.actions {
        match action {
            FileAction::Copy(copy) => {
                v.value("action", b"copy");
                v.list("sources", copy.sources.len());
                for source in &copy.sources {
                    match source {
                        CopySource::Path { input, path, wildcard } => {
                            v.value("source.kind", b"path");
                            number(v, "source.input", *input as u64);
                            v.value("source.path", path.as_bytes());
                            flag(v, "source.wildcard", *wildcard);
                        }
                        CopySource::Inline { name, data } => {
                            v.value("source.kind", b"inline");
                            v.value("source.name", name.as_bytes());
                            v.value("source.data", data);
                        }
                    }
                }
                v.value("dest", copy.dest.as_bytes());
                owner(v, copy.owner.as_ref());
                match &copy.mode {
                    None => v.value("chmod", b""),
                    Some(Chmod::Octal(mode)) => v.value("chmod", format!("{mode:o}").as_bytes()),
                    Some(Chmod::Symbolic(text)) => v.value("chmod", format!("symbolic {text}").as_bytes()),
                }
                flag(v, "parents", copy.parents);
                strings(v, "exclude", &copy.exclude);
                flag(v, "unpack", copy.unpack == Unpack::Archives);
            }
            FileAction::Mkdir { path, mode, owner: by } => {
                v.value("action", b"mkdir");
                v.value("path", path.as_bytes());
                number(v, "mode", u64::from(*mode));
                owner(v, by.as_ref());
            }
            FileAction::Mkfile { path, data, mode, owner: by } => {
                v.value("action", b"mkfile");
                v.value("path", path.as_bytes());
                v.value("data", data);
                number(v, "mode", u64::from(*mode));
                owner(v, by.as_ref());
            }
            FileAction::Symlink { path, target, owner: by } => {
                v.value("action", b"symlink");
                v.value("path", path.as_bytes());
                v.value("target", target);
                owner(v, by.as_ref());
            }
            FileAction::Remove { path, allow_missing } => {
                v.value("action", b"remove");
                v.value("path", path.as_bytes());
                flag(v, "allow-missing", *allow_missing);
            }
        }
    }
}

fn owner(v: &mut impl Visitor, owner: Option<&Owner>) {
    optional(v, "owner.user", owner.map(|owner| owner.user.as_str()));
    optional(v, "owner.group", owner.and_then(|owner| owner.group.as_deref()));
}

fn strings(v: &mut impl Visitor, name: &str, list: &[String]) {
    v.list(name, list.len());
    for text in list {
        v.value(name, text.as_bytes());
    }
}

fn optional(v: &mut impl Visitor, name: &str, text: Option<&str>) {
    v.list(name, usize::from(text.is_some()));
    if let Some(text) = text {
        v.value(name, text.as_bytes());
    }
}

fn flag(v: &mut impl Visitor, name: &str, set: bool) {
    v.value(name, if set { b"true" } else { b"false" });
}

fn number(v: &mut impl Visitor, name: &str, number: u64) {
    v.value(name, number.to_string().as_bytes());
}

fn digest(v: &mut impl Visitor, name: &str, digest: &Digest) {
    v.value(name, digest.to_string().as_bytes());
}

#[cfg(test)]
mod tests;
