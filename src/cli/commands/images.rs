//! `imgbuild images`: what is in the store.

use std::collections::HashSet;

use serde::Serialize;

use super::{list, now};
use crate::cli::Session;
use crate::cli::args::csv;
use crate::cli::args::filter::{self, Filter};
use crate::cli::args::template::ListFormat;
use crate::cli::human;
use crate::cli::table;
use crate::oci::Reference;
use crate::ops::{self, Error, ImageRow};

/// List images
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild images                       all images
  imgbuild images app                   those of one repository
  imgbuild images -q -f dangling=true   the IDs of those without a name
  imgbuild images --format json         one JSON object on each line, sizes in bytes
  imgbuild images --format '{{.Repository}}:{{.Tag}}'")]
pub struct Args {
    /// Only those of this repository, or with this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub name: Option<String>,
    /// Accepted for docker's sake: there are no intermediate images
    #[arg(short, long, hide = true)]
    pub all: bool,
    /// Show only IDs
    #[arg(short, long, conflicts_with = "format")]
    pub quiet: bool,
    /// Do not shorten IDs
    #[arg(long)]
    pub no_trunc: bool,
    /// Show digests
    #[arg(long)]
    pub digests: bool,
    /// Choose by dangling=BOOL, reference=PATTERN, label=KEY[=VALUE], before=IMAGE, since=IMAGE or until=AGE
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<Filter>,
    /// How to print: table, json, or a template such as '{{.ID}} {{.Size}}'
    #[arg(long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub format: ListFormat,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    repository: Option<String>,
    tag: Option<&'a str>,
    #[serde(rename = "ID")]
    id: String,
    digest: String,
    created_at: Option<&'a str>,
    size: u64,
    shared_size: u64,
    platform: String,
}

/// Prints the list.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let rows = ops::images(&session.open_store()?)?;
    session.print(render(args, rows, now())?)
}

fn render(args: &Args, mut rows: Vec<ImageRow>, now: i64) -> Result<String, Error> {
    for filter in &args.filter {
        let fits = fits(filter, &rows, now)?;
        rows.retain(|row| fits(row));
    }
    if let Some(name) = &args.name {
        let wanted = Wanted::parse(name)?;
        rows.retain(|row| row.reference.as_ref().is_some_and(|reference| wanted.is(reference)));
    }
    let id = |row: &ImageRow| if args.no_trunc { row.id.to_string() } else { row.id.short() };
    if args.quiet {
        let mut seen = HashSet::new();
        return Ok(rows.iter().map(id).filter(|id| seen.insert(id.clone())).map(|id| id + "\n").collect());
    }
    if let Some(text) = list(&args.format, rows.iter().map(line))? {
        return Ok(text);
    }
    let none = || "<none>".to_owned();
    let cells = |row: &ImageRow| {
        let created = row.created.as_deref().and_then(human::moment);
        [
            row.reference.as_ref().map_or_else(none, Reference::familiar_name),
            row.reference.as_ref().and_then(Reference::tag).map_or_else(none, Into::into),
            row.digest.to_string(),
            id(row),
            created.map_or_else(|| "N/A".into(), |created| human::ago(created, now)),
            human::size(row.size),
            human::size(row.shared),
            row.platform.to_string(),
        ]
    };
    let rows: Vec<[String; 8]> = rows.iter().map(cells).collect();
    if args.digests {
        return Ok(table::render(
            ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE", "SHARED", "PLATFORM"],
            &rows,
        ));
    }
    let rows: Vec<[String; 7]> = rows.into_iter().map(|[a, b, _, c, d, e, f, g]| [a, b, c, d, e, f, g]).collect();
    Ok(table::render(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED", "PLATFORM"], &rows))
}

fn line(row: &ImageRow) -> Line<'_> {
    Line {
        repository: row.reference.as_ref().map(Reference::familiar_name),
        tag: row.reference.as_ref().and_then(Reference::tag),
        id: row.id.to_string(),
        digest: row.digest.to_string(),
        created_at: row.created.as_deref(),
        size: row.size,
        shared_size: row.shared,
        platform: row.platform.to_string(),
    }
}

/// Whether a row is shown.
type Fits = Box<dyn Fn(&ImageRow) -> bool>;

/// What a filter asks of a row. `before` and `since` compare with an image that is listed: by when they came into the store,
/// since images that can be made again do not say when they were made.
fn fits(filter: &Filter, rows: &[ImageRow], now: i64) -> Result<Fits, Error> {
    let moment_of = |name: &str| -> Result<i64, Error> {
        let named = Reference::parse(name).ok();
        let row = rows.iter().find(|row| {
            (named.is_some() && row.reference == named) || row.id.hex().starts_with(name) || row.id.to_string() == name
        });
        row.map(|row| row.entered).ok_or_else(|| Error::build(format!("there is no image {name:?} to compare with")))
    };
    Ok(match filter.key.as_str() {
        "dangling" => {
            let wanted = csv::boolean("dangling", &filter.value).map_err(Error::Usage)?;
            Box::new(move |row| row.reference.is_none() == wanted)
        }
        "reference" => {
            let pattern =
                Pattern::new(&filter.value).map_err(|error| Error::Usage(format!("--filter reference: {error}")))?;
            Box::new(move |row| {
                row.reference.as_ref().is_some_and(|name| {
                    [name.familiar(), name.familiar_name(), name.to_string()].iter().any(|name| pattern.matches(name))
                })
            })
        }
        "label" | "label!" => {
            let label = filter::label(filter);
            Box::new(move |row| label.fits(&row.labels))
        }
        "before" => {
            let limit = moment_of(&filter.value)?;
            Box::new(move |row| row.entered < limit)
        }
        "since" => {
            let limit = moment_of(&filter.value)?;
            Box::new(move |row| row.entered > limit)
        }
        "until" => {
            let limit = filter::until(&filter.value, now).map_err(Error::Usage)?;
            Box::new(move |row| row.entered < limit)
        }
        _ => {
            let allowed = "dangling, reference, label, before, since and until";
            return Err(Error::Usage(filter::unknown(filter, allowed)));
        }
    })
}

/// A pattern for names: `*` stands for any part without a slash, `?` for one character.
struct Pattern(String);

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        match text.is_empty() {
            true => Err("a pattern such as app* is meant".into()),
            false => Ok(Self(text.to_owned())),
        }
    }

    fn matches(&self, name: &str) -> bool {
        fn matches(pattern: &[u8], name: &[u8]) -> bool {
            match (pattern.split_first(), name.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) => {
                    matches(rest, name)
                        || name.split_first().is_some_and(|(&first, tail)| first != b'/' && matches(pattern, tail))
                }
                (Some((b'?', rest)), Some((&first, tail))) => first != b'/' && matches(rest, tail),
                (Some((wanted, rest)), Some((first, tail))) => wanted == first && matches(rest, tail),
                _ => false,
            }
        }
        matches(self.0.as_bytes(), name.as_bytes())
    }
}

/// A repository, or one name in it.
struct Wanted {
    reference: Reference,
    whole_repository: bool,
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, Error> {
        let last = text.rsplit('/').next().unwrap_or(text);
        Ok(Self { reference: Reference::parse(text)?, whole_repository: !last.contains([':', '@']) })
    }

    fn is(&self, reference: &Reference) -> bool {
        *reference == self.reference || (self.whole_repository && reference.name() == self.reference.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::digest::Digest;

    fn rows() -> Vec<ImageRow> {
        let row = |name: Option<&str>, content: &str, platform: &str| ImageRow {
            reference: name.map(|name| name.parse().unwrap()),
            id: Digest::of(content.as_bytes()),
            digest: Digest::of(b"index"),
            manifest: Digest::of(b"manifest"),
            platform: platform.parse().unwrap(),
            created: Some("1970-01-01T00:00:00Z".into()),
            size: 4_260_000,
            shared: 2_000_000,
            entered: 10,
            labels: [("k".to_owned(), platform.to_owned())].into(),
        };
        vec![
            row(Some("app:1.0"), "amd64", "linux/amd64"),
            row(Some("app:1.0"), "arm64", "linux/arm64"),
            row(Some("x.y/app"), "amd64", "linux/amd64"),
            ImageRow { created: None, size: 5, shared: 0, entered: 5, ..row(None, "none", "linux/amd64") },
        ]
    }

    fn dangling() -> Vec<Filter> {
        vec!["dangling=true".parse().unwrap()]
    }

    #[test]
    fn filters() {
        let check = |filter: &str, expected: usize| {
            let args = Args { filter: vec![filter.parse().unwrap()], no_trunc: true, digests: true, ..Args::default() };
            assert_eq!(render(&args, rows(), 0).unwrap().lines().count(), expected + 1, "{filter}");
        };
        check("dangling=true", 1);
        check("dangling=false", 3);
        check("reference=app", 2);
        check("reference=a*:1.?", 2);
        check("reference=*", 2);
        check("reference=x.y/*", 1);
        check("label=k", 4);
        check("label=k=linux/arm64", 1);
        check("label!=k=linux/arm64", 3);
        check("before=app:1.0", 1);
        check("since=140bedbf", 3);
        check("until=6", 1);
        for filter in ["dangling=maybe", "color=red", "reference=", "until=soon"] {
            let args = Args { filter: vec![filter.parse().unwrap()], ..Args::default() };
            assert!(matches!(render(&args, rows(), 0), Err(Error::Usage(_))), "{filter}");
        }
        let args = Args { filter: vec!["before=nothere".parse().unwrap()], ..Args::default() };
        assert!(render(&args, rows(), 0).is_err());
    }

    #[track_caller]
    fn check(args: Args, expected: &str) {
        let text = render(&args, rows(), 15 * 86_400).unwrap();
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn prints_tables() {
        check(
            Args::default(),
            "\
REPOSITORY   TAG      IMAGE ID       CREATED       SIZE     SHARED   PLATFORM
app          1.0      5861314d7fcc   2 weeks ago   4.26MB   2MB      linux/amd64
app          1.0      f69162950f23   2 weeks ago   4.26MB   2MB      linux/arm64
x.y/app      latest   5861314d7fcc   2 weeks ago   4.26MB   2MB      linux/amd64
<none>       <none>   140bedbf9c3f   N/A           5B       0B       linux/amd64
",
        );
        let digest = Digest::of(b"index");
        check(
            Args { digests: true, filter: dangling(), ..Args::default() },
            &format!(
                "\
REPOSITORY   TAG      DIGEST                                                                    IMAGE ID       CREATED   SIZE   SHARED   PLATFORM
<none>       <none>   {digest}   140bedbf9c3f   N/A       5B     0B       linux/amd64
"
            ),
        );
    }

    #[test]
    fn chooses_by_name() {
        let check = |name: &str, expected: usize| {
            let args = Args { name: Some(name.into()), quiet: true, ..Args::default() };
            assert_eq!(render(&args, rows(), 0).unwrap().lines().count(), expected, "{name}");
        };
        check("app", 2);
        check("docker.io/library/app", 2);
        check("app:1.0", 2);
        check("app:2", 0);
        check("x.y/app", 1);
        check("x.y/app:latest", 1);
        check("x.y:5000/app", 0);
        let args = Args { name: Some("App".into()), ..Args::default() };
        assert!(matches!(render(&args, rows(), 0), Err(Error::Usage(_))));
    }

    #[test]
    fn prints_for_scripts() {
        check(Args { quiet: true, ..Args::default() }, "5861314d7fcc\nf69162950f23\n140bedbf9c3f\n");
        let (none, digest) = (Digest::of(b"none"), Digest::of(b"index"));
        let args = || Args { no_trunc: true, filter: dangling(), ..Args::default() };
        check(Args { quiet: true, ..args() }, &format!("{none}\n"));
        check(
            Args { format: ListFormat::Json, ..args() },
            &format!(
                r#"{{"Repository":null,"Tag":null,"ID":"{none}","Digest":"{digest}","CreatedAt":null,"Size":5,"SharedSize":0,"Platform":"linux/amd64"}}
"#
            ),
        );
        let template = |text: &str| Args { format: text.parse().unwrap(), ..args() };
        check(template("{{.Repository}}:{{.Tag}}\\t{{.Size}}"), "<none>:<none>\t5\n");
        let error = render(&template("{{.Nope}}"), rows(), 0).unwrap_err().to_string();
        assert!(error.contains("there are CreatedAt, Digest, ID"), "{error}");
        let args = Args { format: ListFormat::Json, name: Some("x.y/app".into()), ..Args::default() };
        let id = Digest::of(b"amd64");
        check(
            args,
            &format!(
                r#"{{"Repository":"x.y/app","Tag":"latest","ID":"{id}","Digest":"{digest}","CreatedAt":"1970-01-01T00:00:00Z","Size":4260000,"SharedSize":2000000,"Platform":"linux/amd64"}}
"#
            ),
        );
    }
}
