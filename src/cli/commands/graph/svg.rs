//! The graph as a picture that needs nothing else: one SVG, for light and dark pages.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::drawing::{Drawing, Edge};
use super::layout::{Layout, layout};
use crate::cli::human;

/// The size of a box, and the space between boxes.
const BOX: (f64, f64) = (250.0, 46.0);
const GAP: (f64, f64) = (44.0, 46.0);
/// The space around everything, and above for the heading.
const MARGIN: f64 = 28.0;
const HEAD: f64 = 58.0;
/// How many characters fit into a box.
const NAME: usize = 32;
const NOTE: usize = 38;

/// For this picture only, also where it is a part of a page.
const STYLE: &str = "\
.graph { --page: #ffffff; --ink: #1f2430; --dim: #667085; --line: #98a2b3; --stage: #f7f8fa; --frame: #d5dae2;
  --source: #eef1f5; --source-line: #8a94a6; --cached: #e3f5e8; --cached-line: #3f9a5b; --unneeded: #f4f4f5;
  --unneeded-line: #b4b4b8; --run: #ffe5d4; --run-line: #d2691e; --depends: #fff5d1; --depends-line: #c0921a;
  --failed: #fde0e0; --failed-line: #c62f35; --hot: #c2410c }
@media (prefers-color-scheme: dark) {
  .graph { --page: #14171d; --ink: #e6e9ef; --dim: #98a2b3; --line: #667085; --stage: #1b1f27; --frame: #343b48;
    --source: #242a34; --source-line: #76819a; --cached: #173322; --cached-line: #56b878; --unneeded: #1f2228;
    --unneeded-line: #5b5f6a; --run: #43260f; --run-line: #f2924b; --depends: #3a3112; --depends-line: #d9b13b;
    --failed: #451a1d; --failed-line: #f0686e; --hot: #fb923c } }
.graph text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: 12px; fill: var(--ink) }
.graph .page { fill: var(--page) }
.graph .note, .graph .label { font-size: 10.5px; fill: var(--dim) }
.graph .label { paint-order: stroke; stroke: var(--stage); stroke-width: 4px }
.graph .head { font-size: 15px; font-weight: 600 }
.graph .stage { fill: var(--stage); stroke: var(--frame) }
.graph .edge { fill: none; stroke: var(--line); stroke-width: 1.3 }
.graph .edge.critical { stroke: var(--hot); stroke-width: 2.8 }
.graph .tip { fill: var(--line) } .graph .tip.critical { fill: var(--hot) }
.graph .node { stroke-width: 1.3 } .graph .node.critical { stroke-width: 3 }
.graph .source { fill: var(--source); stroke: var(--source-line) }
.graph .cached { fill: var(--cached); stroke: var(--cached-line) }
.graph .unneeded { fill: var(--unneeded); stroke: var(--unneeded-line) }
.graph .run, .graph .ran { fill: var(--run); stroke: var(--run-line) }
.graph .depends { fill: var(--depends); stroke: var(--depends-line); stroke-dasharray: 5 3 }
.graph .failed { fill: var(--failed); stroke: var(--failed-line) }
.graph .canceled { fill: var(--unneeded); stroke: var(--unneeded-line); stroke-dasharray: 5 3 }
";

/// The states with what the legend calls them.
const LEGEND: [(&str, &str); 8] = [
    ("source", "from outside"),
    ("cached", "cached"),
    ("unneeded", "not needed"),
    ("run", "would run"),
    ("depends", "may run"),
    ("ran", "ran"),
    ("failed", "failed"),
    ("canceled", "canceled"),
];

/// A picture: markup in which nothing is left to be escaped.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    markup: String,
    width: f64,
}

impl Picture {
    /// The text of the file.
    pub fn markup(&self) -> &str {
        &self.markup
    }

    /// How wide it is, in pixels.
    pub fn width(&self) -> f64 {
        self.width
    }
}

/// Draws.
pub fn svg(drawing: &Drawing) -> Picture {
    let layout = layout(drawing);
    let picture = Pencil { drawing, layout: &layout };
    let (width, height) = picture.size();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"graph\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n<title>Graph of a build</title>\n<style>\n{STYLE}</style>\n<defs>\n"
    );
    for class in ["", " critical"] {
        let id = if class.is_empty() { "tip" } else { "hot" };
        let _ = writeln!(
            text,
            "<marker id=\"{id}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
             markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"tip{class}\" d=\"M0 0 8 4 0 8z\"/></marker>"
        );
    }
    let _ = writeln!(text, "</defs>\n<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>");
    picture.head(&mut text);
    let mut labels = String::new();
    (0..drawing.stages.len()).for_each(|stage| picture.stage(stage, &mut text, &mut labels));
    // The critical ones last, so that nothing covers them.
    let mut edges: Vec<(usize, &Edge)> = drawing.edges.iter().enumerate().collect();
    edges.sort_by_key(|(_, edge)| edge.critical);
    edges.into_iter().for_each(|(number, edge)| picture.edge(number, edge, &mut text));
    text.push_str(&labels);
    (0..drawing.nodes.len()).for_each(|node| picture.node(node, &mut text));
    text.push_str("</svg>\n");
    Picture { markup: text, width }
}

struct Pencil<'a> {
    drawing: &'a Drawing,
    layout: &'a Layout,
}

#[expect(clippy::cast_precision_loss, reason = "pictures are not that large")]
impl Pencil<'_> {
    fn size(&self) -> (f64, f64) {
        let width = 2.0 * MARGIN + self.layout.columns as f64 * (BOX.0 + GAP.0);
        let height = HEAD + 2.0 * MARGIN + self.layout.rows as f64 * (BOX.1 + GAP.1);
        (width.max(560.0), height)
    }

    /// The upper left corner of a cell.
    fn corner(row: usize, column: usize) -> (f64, f64) {
        let x = MARGIN + GAP.0 / 2.0 + column as f64 * (BOX.0 + GAP.0);
        (x, HEAD + MARGIN + row as f64 * (BOX.1 + GAP.1))
    }

    fn head(&self, text: &mut String) {
        let critical = self.drawing.critical.map(|time| format!(" · critical path {}", human::elapsed(time)));
        let steps = self.drawing.nodes.iter().filter(|node| node.state != "source").count();
        let heading = format!("{}{}", human::count(steps, "step"), critical.unwrap_or_default());
        let _ = writeln!(text, "<text class=\"head\" x=\"{MARGIN}\" y=\"32\">{}</text>", escaped(&heading));
        let there: BTreeSet<&str> = self.drawing.nodes.iter().map(|node| node.state).collect();
        let mut x = MARGIN;
        for (state, name) in LEGEND.iter().filter(|(state, _)| there.contains(state)) {
            let _ = writeln!(
                text,
                "<rect class=\"node {state}\" x=\"{x}\" y=\"45\" width=\"14\" height=\"12\" rx=\"3\"/>\
                 <text class=\"note\" x=\"{}\" y=\"55\">{name}</text>",
                x + 20.0
            );
            x += 34.0 + 6.6 * name.len() as f64;
        }
    }

    fn stage(&self, stage: usize, text: &mut String, labels: &mut String) {
        let own = self.drawing.nodes.iter().zip(&self.layout.cells).filter(|(node, _)| node.stage == Some(stage));
        let corners: Vec<(f64, f64)> = own.map(|(_, (row, column))| Self::corner(*row, *column)).collect();
        let least = |of: fn(&(f64, f64)) -> f64| corners.iter().map(of).fold(f64::INFINITY, f64::min);
        let most = |of: fn(&(f64, f64)) -> f64| corners.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
        if corners.is_empty() {
            return;
        }
        let (left, top) = (least(|at| at.0) - 10.0, least(|at| at.1) - 20.0);
        let (right, bottom) = (most(|at| at.0) + BOX.0 + 10.0, most(|at| at.1) + BOX.1 + 10.0);
        let name = cut(&self.drawing.stages[stage], NAME);
        let _ = writeln!(
            text,
            "<rect class=\"stage\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" rx=\"9\"/>",
            right - left,
            bottom - top
        );
        // Edges cross the upper side of a stage where its name stands.
        let _ = writeln!(
            labels,
            "<text class=\"label\" x=\"{}\" y=\"{}\">{}</text>",
            left + 10.0,
            top + 13.0,
            escaped(&name)
        );
    }

    fn node(&self, number: usize, text: &mut String) {
        let node = &self.drawing.nodes[number];
        let (row, column) = self.layout.cells[number];
        let (x, y) = Self::corner(row, column);
        let critical = if node.critical { " critical" } else { "" };
        let more = node.reason.as_ref().map(|reason| format!("\n{reason}")).unwrap_or_default();
        let note = cut(&node.note(), NOTE);
        // A name without a note stands in the middle.
        let name_y = y + if note.is_empty() { 27.0 } else { 19.0 };
        let _ = writeln!(
            text,
            "<g><title>{}</title><rect class=\"node {}{critical}\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"6\"/>\
             <text x=\"{}\" y=\"{name_y}\">{}</text><text class=\"note\" x=\"{}\" y=\"{}\">{}</text></g>",
            escaped(&format!("{}{more}", node.name)),
            node.state,
            BOX.0,
            BOX.1,
            x + 10.0,
            escaped(&cut(&node.name, NAME)),
            x + 10.0,
            y + 36.0,
            escaped(&note)
        );
    }

    /// Edges cross rows only between boxes: at once where the rows are neighbours, else along the lane of the user.
    fn edge(&self, number: usize, edge: &Edge, text: &mut String) {
        let ((from_row, from_column), (to_row, to_column)) = (self.layout.cells[edge.from], self.layout.cells[edge.to]);
        let ((sx, sy), (tx, ty)) = (Self::corner(from_row, from_column), Self::corner(to_row, to_column));
        let (sx, sy) = (sx + BOX.0 / 2.0, sy + BOX.1);
        // What comes from another lane arrives beside what comes from above.
        let side = if from_column == to_column { 0.0 } else { (BOX.0 / 4.0).copysign(sx - tx - BOX.0 / 2.0) };
        let (tx, ty) = (tx + BOX.0 / 2.0 + side, ty - 1.0);
        let path = match to_row - from_row {
            0 | 1 => {
                let middle = (ty - sy) * 0.55;
                format!("M{sx} {sy}C{sx} {} {tx} {} {tx} {ty}", sy + middle, ty - middle)
            }
            _ => {
                let spread = (number % 5) as f64 * 4.0 - 8.0;
                let lane = Self::corner(to_row, to_column).0;
                let lane = if sx > tx { lane + BOX.0 + GAP.0 / 2.0 } else { lane - GAP.0 / 2.0 } + spread;
                let (down, up) = (sy + GAP.1, ty - GAP.1);
                let half = GAP.1 / 2.0;
                format!(
                    "M{sx} {sy}C{sx} {} {lane} {} {lane} {down}L{lane} {up}C{lane} {} {tx} {} {tx} {ty}",
                    sy + half,
                    down - half,
                    up + half,
                    ty - half
                )
            }
        };
        let (class, tip) = if edge.critical { (" critical", "hot") } else { ("", "tip") };
        let _ = writeln!(text, "<path class=\"edge{class}\" marker-end=\"url(#{tip})\" d=\"{path}\"/>");
    }
}

fn cut(text: &str, columns: usize) -> String {
    crate::cli::table::cut(text, columns)
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' => safe.push('\n'),
            // XML has no way to write them.
            c if c.is_control() => safe.push('?'),
            // What reorders text could make it say something else.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => safe.push('?'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::drawing::Node;
    use super::*;

    #[test]
    fn is_whole_and_escaped() {
        let node = |name: &str, state, stage| Node { name: name.into(), state, stage, ..Node::default() };
        let drawing = Drawing {
            nodes: vec![node("RUN a && b > \"c\"\x1b", "run", Some(0)), node("COPY", "cached", Some(0))],
            edges: vec![Edge { from: 0, to: 1, critical: true }],
            stages: vec!["<build>".into()],
            critical: None,
        };
        let text = svg(&drawing).markup().to_owned();
        assert!(text.contains("RUN a &amp;&amp; b &gt; &quot;c&quot;?"), "{text}");
        assert!(text.contains("&lt;build&gt;") && text.contains("class=\"edge critical\""), "{text}");
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert_eq!(text.matches("<g>").count(), text.matches("</g>").count());
        assert!(!text.contains("http") || text.matches("http").count() == 1, "it needs nothing from elsewhere");
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert!(svg(&Drawing::default()).markup().contains("0 steps"));
    }
}
