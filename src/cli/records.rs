//! Recorded builds as people name them and are told of them, by `builds`, `log` and `report` alike.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::progress::{Clock, clean};
use crate::event::{Event, StepInfo};
use crate::graph::explain::Snapshot;
use crate::ops::Error;
use crate::ops::record::{self, Ended, Image, Summary};
use crate::store::Store;

/// The fewest digits that are taken for a build's ID.
const FEWEST: usize = 4;

/// The build that a word means: the beginning of its ID, or the folder or file that it was a build of; without a word,
/// the current folder. Of several builds of one definition, the last.
pub fn find(store: &Store, word: Option<&str>, folder: &Path) -> Result<Summary, Error> {
    let builds: Vec<Summary> = record::builds(store).collect();
    choose(&builds, word, folder).cloned()
}

fn choose<'a>(builds: &'a [Summary], word: Option<&str>, folder: &Path) -> Result<&'a Summary, Error> {
    let Some(word) = word else {
        let here = builds.iter().find(|build| Path::new(&build.definition).parent() == Some(folder));
        let below = || builds.iter().find(|build| Path::new(&build.definition).starts_with(folder));
        return here.or_else(below).ok_or_else(|| {
            Error::build(format!("there is no record of a build of {}", folder.display()))
                .help("name one: `imgbuild builds` lists those that are recorded")
        });
    };
    if word.len() >= FEWEST && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let wanted = word.to_ascii_lowercase();
        let found: Vec<&Summary> = builds.iter().filter(|build| build.id().starts_with(&wanted)).collect();
        match &found[..] {
            [] => {}
            [only] => return Ok(only),
            several => {
                let ids: Vec<String> = several.iter().map(|build| short(build)).collect();
                let ids = ids.join(", ");
                return Err(Error::Usage(format!(
                    "{word:?} is the beginning of several builds: {ids}; give more digits"
                )));
            }
        }
    }
    let path = plain(&folder.join(word));
    let is_of = |build: &&Summary| {
        let definition = Path::new(&build.definition);
        let lock = |name: &str| definition == path.with_file_name(name);
        definition.parent() == Some(&path)
            || build.definition == word
            || definition == path
            || path.file_name().is_some_and(|name| lock(&format!("{}.lock", name.to_string_lossy())))
            || (path.extension().is_some_and(|end| end == "toml" || end == "hcl") && lock("build.lock"))
    };
    builds.iter().find(is_of).ok_or_else(|| {
        Error::Usage(format!(
            "{word:?} is neither the beginning of a build's ID nor a folder or file of which a build is recorded; \
             `imgbuild builds` lists those that are"
        ))
    })
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// A build's ID as lists have it.
pub fn short(build: &Summary) -> String {
    build.id().chars().take(12).collect()
}

/// What was built, seen from a folder: the Dockerfile, or the folder of the build file.
pub fn definition(build: &Summary, folder: &Path) -> String {
    let path = Path::new(&build.definition);
    let seen = path.strip_prefix(folder).unwrap_or(path);
    let name = seen.file_name().unwrap_or_default().to_string_lossy();
    let shown = match name.strip_suffix(".lock") {
        Some("build") => match seen.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => format!("{}/", parent.display()),
            None => "./".to_owned(),
        },
        Some(file) => seen.with_file_name(file).display().to_string(),
        None => build.definition.clone(),
    };
    clean(shown.as_bytes(), false)
}

/// How a build ended: a word for people and programs.
pub fn ended(build: &Summary) -> &'static str {
    match build.ended {
        Ended::Done => "done",
        Ended::Failed(_) => "failed",
        Ended::Canceled => "canceled",
    }
}

/// How many steps ran.
pub fn ran(build: &Summary) -> usize {
    build.steps.iter().filter(|step| step.ended != record::StepEnded::Canceled).count()
}

/// What an image is called: by its names, else by its digest, else by its target.
pub fn image_names(image: &Image) -> Vec<String> {
    match (&image.tags[..], image.digest.split_once(':')) {
        ([], Some((_, hex))) => vec![hex.chars().take(12).collect()],
        ([], None) => Vec::from_iter(Some(image.target.clone()).filter(|target| !target.is_empty())),
        (tags, _) => tags.to_vec(),
    }
}

/// When a build was, in seconds since 1970.
pub fn when(build: &Summary) -> i64 {
    i64::try_from(build.started / 1000).unwrap_or(i64::MAX)
}

/// The steps of a recorded build as its displays were told of them.
pub fn planned(snapshot: &Snapshot) -> Vec<StepInfo> {
    let steps = snapshot.steps.iter().enumerate().filter(|(_, facts)| super::explain::is_work(facts));
    let info = |(step, facts): (usize, &crate::graph::explain::StepFacts)| StepInfo {
        step,
        name: facts.name.clone(),
        stage: facts.stage.clone(),
        inputs: facts.inputs.iter().map(|input| input.step).collect(),
        origin: facts.origin.clone(),
    };
    steps.map(info).collect()
}

/// A clock that is set to the times of events.
#[derive(Debug, Clone, Default)]
pub struct Replay(Arc<AtomicU64>);

impl Replay {
    /// For who is told.
    pub fn clock(&self) -> Clock {
        let time = self.0.clone();
        Box::new(move || Duration::from_micros(time.load(Ordering::Relaxed)))
    }

    /// Sets the clock.
    pub fn set(&self, time: Duration) {
        self.0.store(time.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The step that an event is about.
pub fn step_of(event: &Event) -> Option<usize> {
    match event {
        Event::Explained(step, _) | Event::Started(step) | Event::Output(step, ..) | Event::Finished(step, ..) => {
            Some(*step)
        }
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A record for tests.

    use super::*;
    use crate::digest::CacheKey;

    pub(crate) fn summary(name: &str, definition: &str) -> Summary {
        Summary {
            name: name.into(),
            definition: definition.into(),
            started: 60_000,
            elapsed: Duration::from_millis(1500),
            ended: Ended::Done,
            images: Vec::new(),
            steps: Vec::new(),
            cached: 2,
            warnings: Vec::new(),
            snapshot: CacheKey::from_bytes([1; 32]),
            lists: Vec::new(),
            log: None,
            program: "0.1.0".into(),
            command: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::summary;
    use super::*;

    #[test]
    fn finds_builds_by_what_people_say() {
        let builds = [
            summary("5", "/w/other/Dockerfile.lock"),
            summary("4", "/w/shop/web/Dockerfile.dev.lock"),
            summary("3", "/w/shop/build.lock"),
            summary("2", "/w/shop/build.lock"),
            summary("1", "Dockerfile (stdin)"),
        ];
        let check = |word: Option<&str>, folder: &str, expected: Option<&str>| {
            let found = choose(&builds, word, Path::new(folder));
            assert_eq!(found.ok().map(|build| build.name.as_str()), expected, "{word:?} in {folder}");
        };
        check(None, "/w/shop", Some("3"));
        check(None, "/w", Some("5"));
        check(None, "/w/shop/web/src", None);
        check(Some("web"), "/w/shop", Some("4"));
        check(Some("../web/Dockerfile.dev"), "/w/shop/src", Some("4"));
        check(Some("build.toml"), "/w/shop", Some("3"));
        check(Some("docker-bake.hcl"), "/w/shop", Some("3"));
        check(Some("."), "/w/shop", Some("3"));
        check(Some("/w/other"), "/", Some("5"));
        check(Some("Dockerfile (stdin)"), "/", Some("1"));
        check(Some("nothing"), "/w/shop", None);
        for build in &builds {
            check(Some(&build.id()[..12]), "/", Some(&build.name));
            check(Some(&build.id().to_uppercase()), "/", Some(&build.name));
            check(Some(&build.id()[..3]), "/", None);
        }
        let twins = [summary("1", "a"), summary("1", "b")];
        let error = choose(&twins, Some(&twins[0].id()[..5]), Path::new("/")).unwrap_err().to_string();
        assert!(error.contains("several builds"), "{error}");
    }

    #[test]
    fn names_what_was_built() {
        let check = |path: &str, folder: &str, expected: &str| {
            assert_eq!(definition(&summary("1", path), Path::new(folder)), expected);
        };
        check("/w/shop/Dockerfile.lock", "/w/shop", "Dockerfile");
        check("/w/shop/web/Dockerfile.lock", "/w/shop", "web/Dockerfile");
        check("/w/shop/build.lock", "/w/shop", "./");
        check("/w/shop/build.lock", "/w", "shop/");
        check("/w/shop/build.lock", "/elsewhere", "/w/shop/");
        check("https://host/a.git\x1b[2J", "/", "https://host/a.git");
    }
}
