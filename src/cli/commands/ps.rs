//! `imgbuild ps`: the containers.

use serde::Serialize;

use super::{list, now};
use crate::cli::Session;
use crate::cli::args::filter::{self, Filter};
use crate::cli::args::template::ListFormat;
use crate::cli::human;
use crate::cli::table;
use crate::export::rfc3339;
use crate::ops::Error;
use crate::ops::container::{self, ContainerRow};
use crate::store::containers::ContainerState;

/// How much of a command a table shows, in columns.
const COLUMNS: usize = 22;

/// List containers
#[derive(Debug, Default, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild ps                           containers that run
  imgbuild ps -a                        those that ended as well
  imgbuild rm $(imgbuild ps -aq --filter status=exited)")]
pub struct Args {
    /// Also those that ended
    #[arg(short, long)]
    pub all: bool,
    /// Only so many, the newest first, also those that ended
    #[arg(short = 'n', long, value_name = "N")]
    pub last: Option<usize>,
    /// Only the newest, also if it ended: the same as -n 1
    #[arg(short, long)]
    pub latest: bool,
    /// Show only IDs
    #[arg(short, long, conflicts_with = "format")]
    pub quiet: bool,
    /// Do not shorten IDs and commands
    #[arg(long)]
    pub no_trunc: bool,
    /// Choose by status=running|exited, exited=CODE, name=…, id=…, ancestor=IMAGE or label=KEY[=VALUE]
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<Filter>,
    /// How to print: table, json, or a template such as '{{.ID}} {{.Size}}'
    #[arg(long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub format: ListFormat,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    names: &'a str,
    image: &'a str,
    command: String,
    created_at: String,
    state: &'static str,
    status: String,
    exit_code: Option<i32>,
}

/// Prints the list.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let rows = container::ps(&session.open_store()?)?;
    session.print(render(args, rows, now())?)
}

fn render(args: &Args, mut rows: Vec<ContainerRow>, now: i64) -> Result<String, Error> {
    let by_state = args.filter.iter().any(|filter| matches!(filter.key.as_str(), "status" | "exited"));
    let most = if args.latest { Some(1) } else { args.last };
    rows.retain(|row| args.all || most.is_some() || by_state || row.state == ContainerState::Running);
    for filter in &args.filter {
        let fits = fits(filter)?;
        rows.retain(|row| fits(row));
    }
    rows.truncate(most.unwrap_or(usize::MAX));
    if args.quiet {
        return Ok(rows.iter().map(|row| id(args, row).to_owned() + "\n").collect());
    }
    if let Some(text) = list(&args.format, rows.iter().map(|row| line(row, now)))? {
        return Ok(text);
    }
    let cells = |row: &ContainerRow| {
        let record = &row.container.record;
        let command = format!("{:?}", record.args.join(" "));
        [
            id(args, row).to_owned(),
            record.image.clone(),
            if args.no_trunc { command } else { table::cut(&command, COLUMNS) },
            human::ago(record.created, now),
            status(row, now),
            record.name.clone(),
        ]
    };
    let rows: Vec<[String; 6]> = rows.iter().map(cells).collect();
    Ok(table::render(["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"], &rows))
}

fn id<'a>(args: &Args, row: &'a ContainerRow) -> &'a str {
    let record = &row.container.record;
    if args.no_trunc { &record.id } else { record.short_id() }
}

fn line(row: &ContainerRow, now: i64) -> Line<'_> {
    let record = &row.container.record;
    Line {
        id: &record.id,
        names: &record.name,
        image: &record.image,
        command: record.args.join(" "),
        created_at: rfc3339(record.created),
        state: state(row),
        status: status(row, now),
        exit_code: match row.state {
            ContainerState::Exited(_, code) => Some(code),
            _ => None,
        },
    }
}

fn state(row: &ContainerRow) -> &'static str {
    match row.state {
        ContainerState::Running => "running",
        ContainerState::Exited(..) | ContainerState::Lost => "exited",
    }
}

fn status(row: &ContainerRow, now: i64) -> String {
    match row.state {
        ContainerState::Running => {
            let since = now.saturating_sub(row.container.record.created);
            format!("Up {}", human::duration(std::time::Duration::from_secs(since.try_into().unwrap_or(0))))
        }
        ContainerState::Exited(when, code) => format!("Exited ({code}) {}", human::ago(when, now)),
        // Its end was seen by nobody.
        ContainerState::Lost => "Exited (?)".into(),
    }
}

/// Whether a row is shown.
type Fits = Box<dyn Fn(&ContainerRow) -> bool>;

fn fits(filter: &Filter) -> Result<Fits, Error> {
    let value = filter.value.clone();
    Ok(match filter.key.as_str() {
        "status" if ["running", "exited"].contains(&value.as_str()) => Box::new(move |row| state(row) == value),
        "status" => return Err(Error::Usage(format!("--filter status={value}: allowed are running and exited"))),
        "exited" => {
            let wanted: i32 =
                value.parse().map_err(|_| Error::Usage(format!("--filter exited={value}: an exit code is meant")))?;
            Box::new(move |row| matches!(row.state, ContainerState::Exited(_, code) if code == wanted))
        }
        "name" => Box::new(move |row| row.container.record.name.contains(&value)),
        "id" => Box::new(move |row| row.container.record.id.starts_with(&value)),
        "ancestor" => Box::new(move |row| {
            let record = &row.container.record;
            record.image == value || record.image_id.to_string() == value || record.image_id.hex().starts_with(&value)
        }),
        "label" | "label!" => {
            let label = filter::label(filter);
            Box::new(move |row| label.fits(&row.container.record.config.labels))
        }
        _ => return Err(Error::Usage(filter::unknown(filter, "status, exited, name, id, ancestor and label"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::oci::ContainerConfig;
    use crate::store::containers::{Container, ContainerKind, ContainerRecord};

    fn rows() -> Vec<ContainerRow> {
        let row = |id: &str, name: &str, state| ContainerRow {
            container: Container {
                record: ContainerRecord {
                    id: id.repeat(64),
                    name: name.into(),
                    kind: ContainerKind::Container,
                    image: "app:1".into(),
                    image_id: Digest::of(b"image"),
                    manifest: Digest::of(b"manifest"),
                    layers: Vec::new(),
                    config: ContainerConfig::default(),
                    args: vec!["sh".into(), "-c".into(), "echo a long command".into()],
                    hostname: String::new(),
                    mounts: Vec::new(),
                    created: 0,
                    process: None,
                    ended: None,
                    mounted: None,
                },
                folder: "/c".into(),
            },
            state,
        };
        vec![
            row("a", "one", ContainerState::Running),
            row("b", "two", ContainerState::Exited(60, 137)),
            row("c", "three", ContainerState::Lost),
        ]
    }

    #[track_caller]
    fn check(args: Args, expected: &str) {
        let text = render(&args, rows(), 180).unwrap();
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn lists_what_runs_or_all() {
        check(
            Args::default(),
            "\
CONTAINER ID   IMAGE   COMMAND                  CREATED         STATUS         NAMES
aaaaaaaaaaaa   app:1   \"sh -c echo a long co…   3 minutes ago   Up 3 minutes   one
",
        );
        check(
            Args { all: true, ..Args::default() },
            "\
CONTAINER ID   IMAGE   COMMAND                  CREATED         STATUS                       NAMES
aaaaaaaaaaaa   app:1   \"sh -c echo a long co…   3 minutes ago   Up 3 minutes                 one
bbbbbbbbbbbb   app:1   \"sh -c echo a long co…   3 minutes ago   Exited (137) 2 minutes ago   two
cccccccccccc   app:1   \"sh -c echo a long co…   3 minutes ago   Exited (?)                   three
",
        );
    }

    #[test]
    fn the_newest_come_first() {
        check(Args { latest: true, quiet: true, ..Args::default() }, "aaaaaaaaaaaa\n");
        check(Args { last: Some(2), quiet: true, ..Args::default() }, "aaaaaaaaaaaa\nbbbbbbbbbbbb\n");
        let filter = vec!["exited=137".parse().unwrap()];
        check(Args { latest: true, quiet: true, filter, ..Args::default() }, "bbbbbbbbbbbb\n");
    }

    #[test]
    fn filters() {
        let check = |filters: &[&str], expected: &str| {
            let filter = filters.iter().map(|filter| filter.parse().unwrap()).collect();
            check(Args { filter, quiet: true, all: true, ..Args::default() }, expected);
        };
        check(&["status=exited"], "bbbbbbbbbbbb\ncccccccccccc\n");
        check(&["exited=137"], "bbbbbbbbbbbb\n");
        check(&["name=o", "status=running"], "aaaaaaaaaaaa\n");
        check(&["ancestor=app:1", "id=cc"], "cccccccccccc\n");
        check(&["label=x"], "");
        for filter in ["status=dead", "exited=x", "volume=y"] {
            let args = Args { filter: vec![filter.parse().unwrap()], ..Args::default() };
            assert!(matches!(render(&args, rows(), 0), Err(Error::Usage(_))), "{filter}");
        }
    }
}
