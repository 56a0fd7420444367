//! `imgbuild history`: how an image came to be.

use serde::Serialize;

use super::{list, now};
use crate::cli::Session;
use crate::cli::args::template::ListFormat;
use crate::cli::args::values;
use crate::cli::human;
use crate::cli::table;
use crate::oci::Platform;
use crate::ops::{self, Error, HistoryRow};

/// How much of an instruction a table shows, in columns.
const COLUMNS: usize = 45;

/// Show how an image came to be, newest step first
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild history app:1.0
  imgbuild history --no-trunc --format json app:1.0")]
pub struct Args {
    /// The image: a name or an ID
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Show only the layers' digests
    #[arg(short, long, conflicts_with = "format")]
    pub quiet: bool,
    /// Do not shorten instructions and digests
    #[arg(long)]
    pub no_trunc: bool,
    /// Show sizes and times for people; --human=false for bytes and moments
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", hide_possible_values = true)]
    pub human: Option<bool>,
    /// The platform, of an image for several [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = values::platform)]
    pub platform: Option<Platform>,
    /// How to print: table, json, or a template such as '{{.ID}} {{.Size}}'
    #[arg(long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub format: ListFormat,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    layer: Option<String>,
    created_at: Option<&'a str>,
    created_by: &'a str,
    size: u64,
    comment: &'a str,
}

/// Prints the history.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let rows = ops::history(&session.open_store()?, &args.image, args.platform.as_ref())?;
    session.print(render(args, &rows, now())?)
}

fn render(args: &Args, rows: &[HistoryRow], now: i64) -> Result<String, Error> {
    let layer = |row: &HistoryRow| match &row.layer {
        None => "<none>".to_owned(),
        Some(layer) if args.no_trunc => layer.to_string(),
        Some(layer) => layer.short(),
    };
    if args.quiet {
        return Ok(rows.iter().map(|row| layer(row) + "\n").collect());
    }
    if let Some(text) = list(&args.format, rows.iter().map(line))? {
        return Ok(text);
    }
    let people = args.human.unwrap_or(true);
    let created = |text: &str| match human::moment(text) {
        Some(moment) if people => human::ago(moment, now),
        _ => text.to_owned(),
    };
    let cells = |row: &HistoryRow| {
        let words: Vec<&str> = row.history.created_by.split_whitespace().collect();
        let instruction = words.join(" ");
        [
            layer(row),
            row.history.created.as_deref().map_or_else(|| "N/A".into(), created),
            if args.no_trunc { instruction } else { table::cut(&instruction, COLUMNS) },
            if people { human::size(row.size) } else { row.size.to_string() },
            row.history.comment.clone(),
        ]
    };
    let rows: Vec<[String; 5]> = rows.iter().map(cells).collect();
    Ok(table::render(["LAYER", "CREATED", "CREATED BY", "SIZE", "COMMENT"], &rows))
}

fn line(row: &HistoryRow) -> Line<'_> {
    Line {
        layer: row.layer.map(|layer| layer.to_string()),
        created_at: row.history.created.as_deref(),
        created_by: &row.history.created_by,
        size: row.size,
        comment: &row.history.comment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::oci::History;

    #[track_caller]
    fn check(args: Args, expected: &str) {
        let history = |created: Option<&str>, created_by: String| History {
            created: created.map(Into::into),
            created_by,
            ..History::default()
        };
        let rows = [
            HistoryRow {
                id: None,
                history: history(Some("1970-01-01T00:00:00Z"), "CMD [\"sh\"]".into()),
                layer: None,
                size: 0,
            },
            HistoryRow {
                id: None,
                history: history(None, format!("RUN make\t{}", "x".repeat(60))),
                layer: Some(Digest::of(b"layer")),
                size: 1200,
            },
        ];
        let text = render(&args, &rows, 86_400 * 15).unwrap();
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn prints_the_history() {
        check(
            Args::default(),
            "\
LAYER          CREATED       CREATED BY                                      SIZE    COMMENT
<none>         2 weeks ago   CMD [\"sh\"]                                      0B
dac1d7cfa950   N/A           RUN make xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…   1.2kB
",
        );
        let digest = Digest::of(b"layer");
        check(Args { quiet: true, no_trunc: true, ..Args::default() }, &format!("<none>\n{digest}\n"));
    }
}
