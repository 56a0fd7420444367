//! `imgbuild prune`: what is not needed, removed.

use std::io::{BufRead as _, Write as _};

use clap::ValueEnum;

use super::now;
use crate::cli::Session;
use crate::cli::args::filter::{self, Filter};
use crate::cli::args::values;
use crate::cli::config::{Config, Prune};
use crate::cli::explain::step_title;
use crate::cli::human;
use crate::oci::Reference;
use crate::ops::Error;
use crate::ops::prune::{self, Limit, PruneKind, PruneOptions, Pruned};
use crate::store::StoreError;

/// Remove what is not needed
#[derive(Debug, Default, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild prune --dry-run              show what would go: what nothing refers to
  imgbuild prune -f --keep-storage 20g  the least recently used of the cache, down to 20 GiB
  imgbuild prune --all --filter until=7d
  imgbuild prune images containers      only those kinds")]
pub struct Args {
    /// What to look at [default: all of these]
    #[arg(value_name = "KIND")]
    pub kinds: Vec<Kind>,
    /// Also images with a name that no container uses, the whole cache, and cache mounts
    #[arg(short, long)]
    pub all: bool,
    /// Only what was not used for an age (until=24h), or has a label (label=KEY, label=KEY=VALUE, label!=KEY)
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<Filter>,
    /// Keep this much of the cache: the least recently used goes until it is no larger
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub keep_storage: Option<u64>,
    /// Show what would go, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Wait until no other imgbuild uses the store
    #[arg(long)]
    pub wait: bool,
}

/// What can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Containers that do not run
    #[value(alias = "container")]
    Containers,
    /// Images without a name
    #[value(alias = "image")]
    Images,
    /// Results of steps, unpacked layers, blobs, the state of a failed step
    #[value(alias = "builder")]
    Cache,
    /// Folders of RUN --mount=type=cache
    #[value(alias = "mount")]
    Mounts,
}

/// Removes and says what.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let options = options(args, now())?;
    if args.dry_run {
        let would = prune::would_prune(&session.open_store()?, &options)?;
        return session.print(render(&would, true));
    }
    if !args.force && session.env.stdin_is_terminal() && !is_agreed(args, session) {
        return Err(Error::Usage("nothing was removed".into()));
    }
    let mut store = session.open_store()?;
    let pruned = prune::prune(&mut store, &options, args.wait).map_err(|error| match error {
        StoreError::Busy { .. } => Error::from(error).help("--wait waits for it; nothing was removed"),
        error => error.into(),
    })?;
    session.print(render(&pruned, false))
}

/// After a build that did something: removes what is over the user's limit, if there is one. A build does not fail by it.
pub(super) fn after_build(session: &Session, talks: bool) {
    let limit = |config: Config| {
        let Prune { keep_storage, until } = config.prune;
        keep_storage.map(|keep_storage| Limit { keep_storage, until })
    };
    let pruned = Config::read(session).map(limit).and_then(|limit| match limit {
        Some(limit) => Ok(prune::prune_if_due(&mut session.open_store()?, limit, now())?),
        None => Ok(None),
    });
    match pruned {
        Ok(Some(pruned)) if talks && pruned.freed > 0 => {
            let freed = human::size(pruned.freed);
            session.complain(&format!("Pruned the cache to what imgbuild.toml allows: {freed} are free again\n"));
        }
        Ok(_) => {}
        Err(_) if !talks => {}
        Err(error) => session.complain(&format!("warning: the cache was not pruned: {error}\n")),
    }
}

fn options(args: &Args, now: i64) -> Result<PruneOptions, Error> {
    let kind = |kind: &Kind| match kind {
        Kind::Containers => PruneKind::Containers,
        Kind::Images => PruneKind::Images,
        Kind::Cache => PruneKind::Cache,
        Kind::Mounts => PruneKind::Mounts,
    };
    let mut options = PruneOptions {
        kinds: args.kinds.iter().map(kind).collect(),
        all: args.all,
        keep_storage: args.keep_storage,
        ..PruneOptions::default()
    };
    for filter in &args.filter {
        match filter.key.as_str() {
            "until" => options.until = Some(filter::until(&filter.value, now).map_err(Error::Usage)?),
            "label" | "label!" => options.labels.push(filter::label(filter)),
            _ => {
                return Err(Error::Usage(filter::unknown(
                    filter,
                    "until=AGE, label=KEY[=VALUE] and label!=KEY[=VALUE]",
                )));
            }
        }
    }
    Ok(options)
}

fn is_agreed(args: &Args, session: &Session) -> bool {
    let what = match (args.all, args.keep_storage) {
        (_, Some(size)) => format!("the least recently used of the cache, down to {}", human::size(size)),
        (true, None) => "everything that no container uses, images with names included".into(),
        (false, None) => "what nothing refers to".into(),
    };
    session.complain(&format!("This removes {what}. --dry-run shows it. Go on? [y/N] "));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).is_ok();
    let _ = session.env.stderr().flush();
    read && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn render(pruned: &Pruned, would: bool) -> String {
    let verb = if would { "Would delete" } else { "Deleted" };
    let mut text = String::new();
    for (id, name) in &pruned.containers {
        text += &format!("{verb} container: {} ({name})\n", id.get(..12).unwrap_or(id));
    }
    for (_, name) in &pruned.scenes {
        text += &format!("{verb} state of a failed step: {}\n", step_title("", name));
    }
    for (names, digest) in &pruned.images {
        for name in names {
            text += &format!("{}: {}\n", if would { "Would untag" } else { "Untagged" }, Reference::familiar(name));
        }
        text += &format!("{verb} image: {digest}\n");
    }
    for mount in &pruned.mounts {
        text += &format!("{verb} cache mount: {}\n", mount.display());
    }
    let counts = [
        (pruned.records.len(), "cache record"),
        (pruned.layers.len(), "unpacked layer"),
        (pruned.blobs.len(), "blob"),
        (pruned.contexts.len(), "context record"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| human::count(*number, word)).collect();
    if !counts.is_empty() {
        text += &format!("{verb}: {}\n", counts.join(", "));
    }
    let total = if would { "Would reclaim" } else { "Total reclaimed space" };
    text + &format!("{total}: {}\n", human::size(pruned.freed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn says_what_went() {
        let digest = Digest::of(b"image");
        let pruned = Pruned {
            containers: vec![("0123456789abcdef".into(), "box".into())],
            images: vec![(vec!["a".parse().unwrap()], digest)],
            scenes: vec![("s".into(), "RUN make \\\n  all".into())],
            blobs: vec![digest, digest],
            mounts: vec!["/m/0".into()],
            freed: 1200,
            ..Pruned::default()
        };
        let expected = format!(
            "Deleted container: 0123456789ab (box)\nDeleted state of a failed step: RUN make all\nUntagged: a:latest\nDeleted image: {digest}\nDeleted cache mount: /m/0\n\
             Deleted: 2 blobs\nTotal reclaimed space: 1.2kB\n"
        );
        assert_eq!(render(&pruned, false), expected);
        assert_eq!(render(&Pruned::default(), true), "Would reclaim: 0B\n");
    }

    #[test]
    fn reads_filters() {
        let with = |filter: &str| Args { filter: vec![filter.parse().unwrap()], ..Args::default() };
        assert_eq!(options(&with("until=1h"), 10_000).unwrap().until, Some(6400));
        assert_eq!(options(&with("label=a"), 0).unwrap().labels.len(), 1);
        let error = options(&with("dangling=true"), 0).unwrap_err().to_string();
        assert!(error.contains("allowed are until"), "{error}");
    }
}
