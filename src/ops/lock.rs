//! `lock` and `update`: everything that a build takes from outside is looked up and pinned, and nothing is built.
//!
//! A lockfile can be for more than what is built here and now: for other platforms, other stages. What it knows of them is
//! looked up again along with the rest as far as that is possible on this machine, and else stays as it is. So what nothing
//! uses any more can be told from what somebody else uses.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::frontend::dockerfile;
use crate::lockfile::{Change, LockKey, LockedOutput, Lockfile, Precise, SourcePolicy};
use crate::oci::Platform;
use crate::ops::Error;
use crate::ops::build::{self, Dockerfile, Lock, LockMode, LockPlace, Prepared, Session, Target, Written};
use crate::source::regular;

/// What to lock.
pub struct LockRequest<'a> {
    /// The targets.
    pub targets: &'a [Target],
    /// Whether these are all that the lockfile is for, so that what they do not use can go.
    pub whole: bool,
    /// Where the lockfile is.
    pub place: &'a LockPlace,
    /// How it is used.
    pub mode: LockMode,
    /// What is looked up anew.
    pub renew: Option<Renew>,
    /// A policy whose pins are taken.
    pub policy: Option<SourcePolicy>,
    /// Whether to build, and note what the targets come to.
    pub outputs: bool,
    /// Whether the file stays as it is.
    pub dry_run: bool,
}

/// What is looked up anew, although it is pinned.
#[derive(Debug, Clone, Default)]
pub struct Renew {
    /// By these names; everything if there is none.
    pub names: Vec<String>,
    /// What it must be.
    pub precise: Option<Precise>,
}

/// What locking came to.
#[derive(Debug)]
pub struct LockReport {
    /// The file.
    pub path: PathBuf,
    /// What changed in it, or would.
    pub changes: Vec<Change>,
    /// What it holds now, or would.
    pub lockfile: Lockfile,
    /// What could not be looked up here, and stays as it was: for which stage or platform, and why.
    pub kept: Vec<String>,
}

/// Locks.
pub fn lock(session: &Session<'_>, request: LockRequest<'_>) -> Result<LockReport, Error> {
    let LockRequest { targets, whole, place, mode, .. } = request;
    let LockPlace::File(path) = place else {
        return Err(Error::Usage(
            "there is no place for a lockfile: the definition comes from standard input or a remote context".into(),
        ));
    };
    let mut opened = Lock::open(place, mode)?;
    opened.pinning();
    let known = opened.pinned().keys();
    if let Some(Renew { names, precise }) = request.renew {
        let stale = called(&known, &names, path)?;
        if precise.is_some() {
            one_thing(&stale)?;
        }
        opened.renew(stale, precise);
    }
    if let Some(policy) = request.policy {
        opened.follow(policy);
    }
    let mut prepared = build::prepare_with(session, targets, opened)?;
    let mut kept = Vec::new();
    if whole {
        let unchecked = prepare_others(session, &mut prepared, targets, &known, &mut kept)?;
        drop_unused(&mut prepared.lock, &unchecked);
    }
    if request.outputs {
        for made in build::make(session, &prepared, targets)? {
            let layers = made.image.layers.iter().map(|layer| layer.diff_id).collect();
            let definition = prepared.lock.built_otherwise(&made.target, &made.platform);
            let output = LockedOutput { manifest: made.image.manifest.digest, layers, definition };
            prepared.lock.record_output(&made.target, &made.platform, output);
        }
    }
    let Prepared { lock, .. } = prepared;
    if !request.dry_run {
        lock.write()?;
    }
    Ok(LockReport { path: path.clone(), changes: lock.changes(), lockfile: lock.pinned().clone(), kept })
}

/// The entries with these names; all if there are none.
fn called(known: &[LockKey], names: &[String], path: &std::path::Path) -> Result<BTreeSet<LockKey>, Error> {
    if names.is_empty() {
        return Ok(known.iter().cloned().collect());
    }
    let mut found = BTreeSet::new();
    for name in names {
        let meant: Vec<LockKey> = known.iter().filter(|key| key.is_called(name)).cloned().collect();
        if meant.is_empty() {
            let mut pinned: Vec<String> = known.iter().filter(|key| is_outside(key)).map(LockKey::name).collect();
            pinned.dedup();
            let message = format!("the lockfile {} has nothing called {name}", path.display());
            return Err(Error::build(message).help(match &pinned[..] {
                [] => "it pins nothing".to_owned(),
                some => format!("it pins {}", some.join(", ")),
            }));
        }
        found.extend(meant);
    }
    Ok(found)
}

/// Refuses to pin different things to the same digest.
fn one_thing(keys: &BTreeSet<LockKey>) -> Result<(), Error> {
    let names: BTreeSet<String> = keys.iter().filter(|key| is_outside(key)).map(LockKey::name).collect();
    match names.len() {
        1 => Ok(()),
        _ => {
            let names: Vec<String> = names.into_iter().collect();
            let message = format!("--precise pins one thing, but this is several: {}", names.join(", "));
            Err(Error::Usage(message))
        }
    }
}

fn is_outside(key: &LockKey) -> bool {
    matches!(key, LockKey::Image { .. } | LockKey::Http { .. } | LockKey::Git { .. })
}

/// Looks up what the lockfile knows besides: the targets for other platforms, other stages of a Dockerfile. Returns the
/// platforms for which that was not possible.
fn prepare_others(
    session: &Session<'_>,
    prepared: &mut Prepared,
    targets: &[Target],
    known: &[LockKey],
    kept: &mut Vec<String>,
) -> Result<BTreeSet<Platform>, Error> {
    let mut unchecked = BTreeSet::new();
    for (stage, platform) in others(&prepared.lock, targets, known) {
        let what = match &stage {
            Some(stage) => format!("stage {stage} for {platform}"),
            None => platform.to_string(),
        };
        // Those that somebody else builds so, and those that they can be linked to.
        let is_meant = |(target, variant): &(&Target, Target)| {
            let key = LockKey::Target { name: variant.lock_name(), platform: platform.clone() };
            !target.platforms.is_empty() || known.contains(&key)
        };
        let variants = targets.iter().map(|target| (target, variant(target, stage.as_ref(), &platform)));
        let variants: Vec<Target> = variants.filter(is_meant).map(|(_, variant)| variant).collect();
        match build::prepare_also(session, prepared, &variants) {
            Ok(()) => {}
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                kept.push(format!("{what}: {}", first_line(&error)));
                unchecked.insert(platform);
            }
        }
    }
    Ok(unchecked)
}

/// The stages and platforms that the lockfile knows and that were not looked up yet.
fn others(lock: &Lock, targets: &[Target], known: &[LockKey]) -> BTreeSet<(Option<String>, Platform)> {
    let mut others = BTreeSet::new();
    let open: Vec<String> =
        targets.iter().filter(|target| target.platforms.is_empty()).map(Target::lock_name).collect();
    let stages = match targets {
        [only] if only.name.is_empty() && only.stage.is_none() => stages(only),
        _ => BTreeSet::new(),
    };
    for key in known {
        let LockKey::Target { name, platform } = key else { continue };
        if lock.used().contains(key) {
            continue;
        }
        if open.contains(name) {
            others.insert((None, platform.clone()));
        } else if stages.contains(name) {
            others.insert((Some(name.clone()), platform.clone()));
        }
    }
    others
}

/// The names of a Dockerfile's stages.
fn stages(target: &Target) -> BTreeSet<String> {
    let text = match &target.dockerfile {
        Dockerfile::File(path) => regular::text(path).unwrap_or_default(),
        Dockerfile::Text { text, .. } => text.clone(),
        Dockerfile::InContext(_) | Dockerfile::Steps { .. } => String::new(),
    };
    let parsed = dockerfile::parse(&text).dockerfile;
    parsed.iter().flat_map(|file| &file.stages).filter_map(dockerfile::Stage::known_name).collect()
}

/// The same target as somebody else builds it.
fn variant(target: &Target, stage: Option<&String>, platform: &Platform) -> Target {
    let mut variant = target.clone();
    if variant.platforms.is_empty() {
        variant.platforms = vec![platform.clone()];
    }
    if let Some(stage) = stage {
        variant.stage = Some(stage.clone());
        if let Written::Otherwise(wording) = &mut variant.written {
            wording.stage = Some(stage.clone());
        }
    }
    variant
}

/// Drops what nothing uses any more, but nothing that could be somebody else's.
fn drop_unused(lock: &mut Lock, unchecked: &BTreeSet<Platform>) {
    let mut platforms = BTreeSet::from([Platform::host()]);
    let mut references = BTreeSet::new();
    let built = lock.mentioned();
    for key in &built {
        match key {
            LockKey::Target { platform, .. } => drop(platforms.insert(platform.clone())),
            LockKey::Image { reference, .. } => drop(references.insert(reference.clone())),
            _ => {}
        }
    }
    lock.drop_unused(|key| match key {
        // A stage that runs on the machine that builds (`$BUILDPLATFORM`) needs another image on another machine.
        LockKey::Image { reference, platform } => {
            unchecked.contains(platform) || (references.contains(reference) && platforms.contains(platform))
        }
        LockKey::Http { .. } | LockKey::Git { .. } => !unchecked.is_empty(),
        LockKey::Target { platform, .. } => unchecked.contains(platform),
        LockKey::Output { target, platform } => {
            let target = LockKey::Target { name: target.clone(), platform: platform.clone() };
            unchecked.contains(platform) || built.contains(&target)
        }
    });
}

fn first_line(error: &Error) -> String {
    let text = match error {
        Error::Diagnostics(found) => found.list.first().map(|one| one.message.clone()).unwrap_or_default(),
        error => error.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

/// What a person wrote for `--precise`: a digest with its algorithm, or a commit.
pub fn parse_precise(text: &str) -> Result<Precise, Error> {
    let lower = text.to_ascii_lowercase();
    let is_hex = lower.bytes().all(|b| b.is_ascii_hexdigit());
    match lower.len() {
        40 | 64 if is_hex => Ok(Precise::Commit(lower)),
        _ => lower.parse().map(Precise::Digest).map_err(|_| {
            Error::Usage(format!(
                "--precise {text}: write sha256: and 64 digits, of an image or a file, or the 40 or 64 digits of a commit"
            ))
        }),
    }
}
