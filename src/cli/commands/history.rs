//! `imgbuild history`: how an image came to be.

use serde::Serialize;

use super::{Format, json_line, now, short};
use crate::cli::Session;
use crate::cli::human;
use crate::cli::library::Library;
use crate::cli::table;
use crate::ops::Error;

/// How much of an instruction a table shows, in columns.
const COLUMNS: usize = 45;

/// The flags.
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
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

/// One entry of the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The diff ID of the layer that it made, `sha256:…`; none if it made none.
    pub layer: Option<String>,
    /// When, in seconds since 1970.
    pub created: Option<i64>,
    /// The instruction.
    pub created_by: String,
    /// The layer's size in bytes.
    pub size: u64,
    /// A remark.
    pub comment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    layer: Option<&'a str>,
    created_at: Option<String>,
    created_by: &'a str,
    size: u64,
    comment: &'a str,
}

/// Prints the history.
pub fn run(args: &Args, session: &Session, library: &dyn Library) -> Result<(), Error> {
    let rows = library.history(args, session)?;
    session.print(render(args, &rows, now())?)
}

fn render(args: &Args, rows: &[Row], now: i64) -> Result<String, Error> {
    let none = || "<none>".to_owned();
    let layer = |layer: &String| if args.no_trunc { layer.clone() } else { short(layer) };
    if args.quiet {
        return Ok(rows.iter().map(|row| row.layer.as_ref().map_or_else(none, layer) + "\n").collect());
    }
    if args.format == Format::Json {
        return rows.iter().map(|row| json_line(&line(row))).collect();
    }
    let people = args.human.unwrap_or(true);
    let created = |moment| if people { human::ago(moment, now) } else { human::rfc3339(moment) };
    let cells = |row: &Row| {
        let words: Vec<&str> = row.created_by.split_whitespace().collect();
        let instruction = words.join(" ");
        [
            row.layer.as_ref().map_or_else(none, layer),
            row.created.map_or_else(|| "N/A".into(), created),
            if args.no_trunc { instruction } else { table::cut(&instruction, COLUMNS) },
            if people { human::size(row.size) } else { row.size.to_string() },
            row.comment.clone(),
        ]
    };
    let rows: Vec<[String; 5]> = rows.iter().map(cells).collect();
    Ok(table::render(["LAYER", "CREATED", "CREATED BY", "SIZE", "COMMENT"], &rows))
}

fn line(row: &Row) -> Line<'_> {
    let Row { layer, created, created_by, size, comment } = row;
    Line { layer: layer.as_deref(), created_at: created.map(human::rfc3339), created_by, size: *size, comment }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: Args, expected: &str) {
        let rows = [
            Row { created: Some(0), created_by: "CMD [\"sh\"]".into(), ..Row::default() },
            Row {
                layer: Some("sha256:0123456789abcdef".into()),
                created_by: format!("RUN make\t{}", "x".repeat(60)),
                size: 1200,
                ..Row::default()
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
0123456789ab   N/A           RUN make xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…   1.2kB
",
        );
        check(Args { quiet: true, no_trunc: true, ..Args::default() }, "<none>\nsha256:0123456789abcdef\n");
    }
}
