//! `imgbuild images`: what is in the store.

use serde::Serialize;

use super::{Format, json_line, now, short};
use crate::cli::Session;
use crate::cli::human;
use crate::cli::library::Library;
use crate::cli::table;
use crate::ops::Error;

/// The flags.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild images                       all images
  imgbuild images app                   those of one repository
  imgbuild images -q -f dangling=true   the IDs of those without a name
  imgbuild images --format json         one JSON object on each line, sizes in bytes")]
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
    /// Show only images with (false) or without (true) a name
    #[arg(short = 'f', long = "filter", value_name = "dangling=BOOL", value_parser = dangling)]
    pub dangling: Option<bool>,
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

fn dangling(text: &str) -> Result<bool, String> {
    match text.split_once('=') {
        Some(("dangling", value)) => crate::cli::args::csv::boolean("dangling", value),
        _ => Err("allowed are dangling=true and dangling=false".into()),
    }
}

/// An image under one of its names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The name without tag; none for an image without a name.
    pub repository: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The identity, `sha256:…`.
    pub id: String,
    /// The manifest's or index's digest.
    pub digest: Option<String>,
    /// When it was created, in seconds since 1970.
    pub created: Option<i64>,
    /// The sum of its layers' sizes in bytes.
    pub size: u64,
    /// The platforms it is for.
    pub platforms: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    repository: Option<&'a str>,
    tag: Option<&'a str>,
    #[serde(rename = "ID")]
    id: &'a str,
    digest: Option<&'a str>,
    created_at: Option<String>,
    size: u64,
    platforms: &'a [String],
}

/// Prints the list.
pub fn run(args: &Args, session: &Session, library: &dyn Library) -> Result<(), Error> {
    let rows = library.images(args, session)?;
    session.print(render(args, rows, now())?)
}

fn render(args: &Args, mut rows: Vec<Row>, now: i64) -> Result<String, Error> {
    rows.retain(|row| args.dangling.is_none_or(|dangling| dangling == row.repository.is_none()));
    let id = |row: &Row| if args.no_trunc { row.id.clone() } else { short(&row.id) };
    if args.quiet {
        let mut seen = std::collections::HashSet::new();
        return Ok(rows.iter().map(id).filter(|id| seen.insert(id.clone())).map(|id| id + "\n").collect());
    }
    if args.format == Format::Json {
        return rows.iter().map(|row| json_line(&line(row))).collect();
    }
    let none = || "<none>".to_owned();
    let cells = |row: &Row| {
        [
            row.repository.clone().unwrap_or_else(none),
            row.tag.clone().unwrap_or_else(none),
            row.digest.clone().unwrap_or_else(none),
            id(row),
            row.created.map_or_else(|| "N/A".into(), |created| human::ago(created, now)),
            human::size(row.size),
            row.platforms.join(","),
        ]
    };
    let rows: Vec<[String; 7]> = rows.iter().map(cells).collect();
    if args.digests {
        return Ok(table::render(["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE", "PLATFORM"], &rows));
    }
    let rows: Vec<[String; 6]> = rows.into_iter().map(|[a, b, _, c, d, e, f]| [a, b, c, d, e, f]).collect();
    Ok(table::render(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "PLATFORM"], &rows))
}

fn line(row: &Row) -> Line<'_> {
    Line {
        repository: row.repository.as_deref(),
        tag: row.tag.as_deref(),
        id: &row.id,
        digest: row.digest.as_deref(),
        created_at: row.created.map(human::rfc3339),
        size: row.size,
        platforms: &row.platforms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = Row {
            repository: Some("app".into()),
            tag: Some("1.0".into()),
            id: "sha256:0123456789abcdef".into(),
            digest: Some("sha256:ff".into()),
            created: Some(0),
            size: 4_260_000,
            platforms: vec!["linux/amd64".into()],
        };
        let named = Row { tag: Some("latest".into()), ..row.clone() };
        let nameless = Row { id: "sha256:aa".into(), size: 5, ..Row::default() };
        vec![row, named, nameless]
    }

    fn check(args: Args, expected: &str) {
        let text = render(&args, rows(), 15 * 86_400).unwrap();
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn prints_tables() {
        check(
            Args::default(),
            "\
REPOSITORY   TAG      IMAGE ID       CREATED       SIZE     PLATFORM
app          1.0      0123456789ab   2 weeks ago   4.26MB   linux/amd64
app          latest   0123456789ab   2 weeks ago   4.26MB   linux/amd64
<none>       <none>   aa             N/A           5B
",
        );
        check(
            Args { digests: true, no_trunc: true, dangling: Some(true), ..Args::default() },
            "\
REPOSITORY   TAG      DIGEST   IMAGE ID    CREATED   SIZE   PLATFORM
<none>       <none>   <none>   sha256:aa   N/A       5B
",
        );
    }

    #[test]
    fn prints_for_scripts() {
        check(Args { quiet: true, ..Args::default() }, "0123456789ab\naa\n");
        check(
            Args { format: Format::Json, dangling: Some(false), ..Args::default() },
            r#"{"Repository":"app","Tag":"1.0","ID":"sha256:0123456789abcdef","Digest":"sha256:ff","CreatedAt":"1970-01-01T00:00:00Z","Size":4260000,"Platforms":["linux/amd64"]}
{"Repository":"app","Tag":"latest","ID":"sha256:0123456789abcdef","Digest":"sha256:ff","CreatedAt":"1970-01-01T00:00:00Z","Size":4260000,"Platforms":["linux/amd64"]}
"#,
        );
    }
}
