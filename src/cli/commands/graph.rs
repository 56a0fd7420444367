//! `imgbuild graph`: the graph of a build, for people and for programs that draw.

pub mod drawing;
mod layout;
pub mod svg;
mod text;

use clap::ValueEnum;

use super::json_pretty;
use crate::cli::Session;
use crate::cli::args::subject::SubjectArgs;
use crate::cli::library::Look;
use crate::ops::Error;
use drawing::Drawing;

/// Draw the graph of a build
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild graph --format svg . > graph.svg     self-contained, for a browser
  imgbuild graph web | dot -Tpng -o web.png     with Graphviz
  imgbuild graph --format mermaid               for Markdown
  imgbuild graph --format json                  nodes and edges (docs/explain.md)

Colours tell what is cached and what would run. The critical path, of steps whose time is known from earlier builds, is
drawn thick: the build cannot be faster than that. Nothing runs and nothing is written.")]
pub struct Args {
    /// What would be built.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// How to draw
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

/// How a graph is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For Graphviz
    #[default]
    Dot,
    /// For Markdown
    Mermaid,
    /// Nodes and edges
    Json,
    /// A picture
    Svg,
}

/// Prints the graph.
pub fn run(args: Args, session: &Session) -> Result<(), Error> {
    let look = Look::open(&args.subject.subject()?, session)?;
    let mut account = look.plan()?;
    let timings = look.timings(&account.snapshot)?;
    let drawing = Drawing::new(&mut account, &timings);
    session.print(match args.format {
        Format::Dot => text::dot(&drawing),
        Format::Mermaid => text::mermaid(&drawing),
        Format::Json => json_pretty(&drawing.document())?,
        Format::Svg => svg::svg(&drawing).markup().to_owned(),
    })
}
