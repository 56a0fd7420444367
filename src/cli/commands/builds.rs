//! `imgbuild builds`: the builds that are recorded.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{Format, json_line, now};
use crate::cli::Session;
use crate::cli::args::filter::{self, Filter};
use crate::cli::records::{definition, ended, image_names, ran, short, when};
use crate::cli::{human, table};
use crate::export::rfc3339;
use crate::ops::Error;
use crate::ops::record::{self, Ended, Image, Summary};

/// How much of the names of images a table shows, in columns.
const COLUMNS: usize = 40;

/// List the builds that are recorded
#[derive(Debug, Default, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild builds
  imgbuild builds --filter status=failed
  imgbuild log $(imgbuild builds -q --filter status=failed | head -n 1)

The last 50 builds are recorded, in the store. `imgbuild log` shows what one of them showed, `imgbuild report` makes a page
about it.")]
pub struct Args {
    /// Show only IDs
    #[arg(short, long, conflicts_with = "format")]
    pub quiet: bool,
    /// Do not shorten IDs and names
    #[arg(long)]
    pub no_trunc: bool,
    /// Choose by status=done|failed|canceled, ran=true|false, definition=…, image=…, id=…, until=AGE or since=AGE
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<Filter>,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    #[serde(rename = "ID")]
    id: String,
    started_at: String,
    definition: &'a str,
    status: &'static str,
    error: Option<&'a str>,
    seconds: f64,
    ran: usize,
    cached: usize,
    images: Vec<ImageLine<'a>>,
    command: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ImageLine<'a> {
    target: &'a str,
    digest: &'a str,
    tags: &'a [String],
}

/// Prints the list.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let store = session.open_store()?;
    let folder = super::current_folder()?;
    session.print(render(args, record::builds(&store).collect(), &folder, now())?)
}

fn render(args: &Args, mut builds: Vec<Summary>, folder: &Path, now: i64) -> Result<String, Error> {
    for filter in &args.filter {
        let fits = fits(filter, now)?;
        builds.retain(|build| fits(build));
    }
    let id = |build: &Summary| if args.no_trunc { build.id() } else { short(build) };
    if args.quiet {
        return Ok(builds.iter().map(|build| id(build) + "\n").collect());
    }
    if args.format == Format::Json {
        return builds.iter().map(|build| json_line(&line(build))).collect();
    }
    let cells = |build: &Summary| {
        let images: Vec<String> = build.images.iter().flat_map(image_names).collect();
        let images = images.join(", ");
        [
            id(build),
            human::ago(when(build), now),
            definition(build, folder),
            ended(build).to_owned(),
            human::elapsed(build.elapsed),
            ran(build).to_string(),
            build.cached.to_string(),
            if args.no_trunc { images } else { table::cut(&images, COLUMNS) },
        ]
    };
    let rows: Vec<[String; 8]> = builds.iter().map(cells).collect();
    Ok(table::render(["BUILD ID", "STARTED", "DEFINITION", "STATUS", "TIME", "RAN", "CACHED", "IMAGES"], &rows))
}

fn line(build: &Summary) -> Line<'_> {
    Line {
        id: build.id(),
        started_at: rfc3339(when(build)),
        definition: &build.definition,
        status: ended(build),
        error: match &build.ended {
            Ended::Failed(message) => Some(message),
            Ended::Done | Ended::Canceled => None,
        },
        seconds: Duration::from_millis(build.elapsed.as_millis().try_into().unwrap_or(u64::MAX)).as_secs_f64(),
        ran: ran(build),
        cached: build.cached,
        images: build.images.iter().map(image_line).collect(),
        command: &build.command,
    }
}

fn image_line(image: &Image) -> ImageLine<'_> {
    ImageLine { target: &image.target, digest: &image.digest, tags: &image.tags }
}

/// Whether a build is shown.
type Fits = Box<dyn Fn(&Summary) -> bool>;

fn fits(filter: &Filter, now: i64) -> Result<Fits, Error> {
    let value = filter.value.clone();
    let moment = || filter::until(&value, now).map_err(|error| Error::Usage(error.replacen("until", &filter.key, 1)));
    Ok(match filter.key.as_str() {
        "status" if ["done", "failed", "canceled"].contains(&value.as_str()) => {
            Box::new(move |build| ended(build) == value)
        }
        "status" => {
            return Err(Error::Usage(format!("--filter status={value}: allowed are done, failed and canceled")));
        }
        "ran" => {
            let wanted: bool =
                value.parse().map_err(|_| Error::Usage(format!("--filter ran={value}: allowed are true and false")))?;
            Box::new(move |build| (ran(build) > 0) == wanted)
        }
        "definition" => Box::new(move |build| build.definition.contains(&value)),
        "image" => Box::new(move |build| {
            build.images.iter().any(|image| {
                let names = image.tags.iter().chain([&image.digest, &image.target]);
                names.into_iter().any(|name| name.contains(&value))
            })
        }),
        "id" => Box::new(move |build| build.id().starts_with(&value)),
        "until" => {
            let moment = moment()?;
            Box::new(move |build| when(build) <= moment)
        }
        "since" => {
            let moment = moment()?;
            Box::new(move |build| when(build) >= moment)
        }
        _ => {
            let allowed = "status, ran, definition, image, id, until and since";
            return Err(Error::Usage(filter::unknown(filter, allowed)));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::records::testing::summary;
    use crate::ops::record::{StepEnded, StepRecord};

    fn builds() -> Vec<Summary> {
        let image = |tags: &[&str]| Image {
            target: "web".into(),
            digest: "sha256:0123456789abcdef".into(),
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
        };
        let step = StepRecord {
            step: 0,
            ended: StepEnded::Failed("exit code 1".into()),
            started: Duration::ZERO,
            elapsed: Duration::ZERO,
            reason: String::new(),
        };
        let first = Summary { images: vec![image(&["web:1", "web:latest"])], ..summary("3", "/w/build.lock") };
        let second = Summary { images: vec![image(&[])], started: 10_000, ..summary("2", "/w/web/Dockerfile.lock") };
        let third = Summary { ended: Ended::Failed("no".into()), steps: vec![step], ..summary("1", "/x/build.lock") };
        vec![first, second, third]
    }

    #[track_caller]
    fn check(args: Args, expected: &str) {
        let mut text = render(&args, builds(), Path::new("/w"), 120).unwrap();
        for (number, build) in builds().iter().enumerate() {
            text = text.replace(&short(build), &format!("{}", number + 1).repeat(12));
        }
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn lists_builds() {
        check(
            Args::default(),
            "\
BUILD ID       STARTED              DEFINITION       STATUS   TIME   RAN   CACHED   IMAGES
111111111111   About a minute ago   ./               done     1.5s   0     2        web:1, web:latest
222222222222   About a minute ago   web/Dockerfile   done     1.5s   0     2        0123456789ab
333333333333   About a minute ago   /x/              failed   1.5s   1     2
",
        );
        let args = Args { format: Format::Json, filter: vec!["status=failed".parse().unwrap()], ..Args::default() };
        let text = render(&args, builds(), Path::new("/w"), 120).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((value["Status"].as_str(), value["Error"].as_str()), (Some("failed"), Some("no")));
        assert_eq!((value["Seconds"].as_f64(), value["StartedAt"].as_str()), (Some(1.5), Some("1970-01-01T00:01:00Z")));
    }

    #[test]
    fn filters() {
        let check = |filters: &[&str], expected: &[&str]| {
            let filter = filters.iter().map(|filter| filter.parse().unwrap()).collect();
            let expected: String = expected.iter().map(|digit| digit.repeat(12) + "\n").collect();
            check(Args { filter, quiet: true, ..Args::default() }, &expected);
        };
        check(&[], &["1", "2", "3"]);
        check(&["status=failed"], &["3"]);
        check(&["ran=false"], &["1", "2"]);
        check(&["definition=web"], &["2"]);
        check(&["image=web:1"], &["1"]);
        check(&["image=sha256:0123"], &["1", "2"]);
        check(&["since=100s"], &["1", "3"]);
        check(&["until=100s"], &["2"]);
        for filter in ["status=dead", "ran=perhaps", "volume=y", "since=x"] {
            let args = Args { filter: vec![filter.parse().unwrap()], ..Args::default() };
            let error = render(&args, builds(), Path::new("/"), 0).unwrap_err();
            assert!(matches!(&error, Error::Usage(text) if text.contains(filter)), "{filter}: {error}");
        }
    }
}
