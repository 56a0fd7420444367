//! `imgbuild tree`: which images share which layers, as a text, for graphviz, as a picture, or for programs.

use clap::ValueEnum;
use serde::Serialize;

use super::json_line;
use crate::cli::Session;
use crate::cli::human;
use crate::cli::table;
use crate::digest::Digest;
use crate::ops::tree::{TreeImage, TreeNode};
use crate::ops::{self, Error};

/// How much of an instruction is shown, in columns.
const COLUMNS: usize = 48;

/// Show which images share which layers
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgbuild tree
  imgbuild tree --format dot | dot -Tpdf -o layers.pdf
  imgbuild tree --format svg > layers.svg")]
pub struct Args {
    /// How to print
    #[arg(long, value_enum, default_value_t, hide_default_value = true, value_name = "FORMAT")]
    pub format: Format,
}

/// How a tree is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A tree of lines
    #[default]
    Text,
    /// For graphviz
    Dot,
    /// A picture
    Svg,
    /// One JSON document
    Json,
}

/// Prints the tree.
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let tree = ops::tree::tree(&session.open_store()?)?;
    session.print(match args.format {
        Format::Text => text(&tree),
        Format::Dot => dot(&tree),
        Format::Svg => svg(&tree),
        Format::Json => json_line(&Node::of(&tree))?,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    layer: Option<String>,
    size: u64,
    created_by: String,
    images: Vec<Image>,
    children: Vec<Node>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    #[serde(rename = "ID")]
    id: String,
    names: Vec<String>,
    platform: String,
}

impl Node {
    fn of(node: &TreeNode) -> Self {
        let image = |image: &TreeImage| Image {
            id: image.id.to_string(),
            names: image.names.clone(),
            platform: image.platform.to_string(),
        };
        Self {
            layer: node.layer.map(|layer| layer.to_string()),
            size: node.size,
            created_by: node.created_by.clone(),
            images: node.images.iter().map(image).collect(),
            children: node.children.iter().map(Self::of).collect(),
        }
    }
}

/// Any text on one line, without characters that write to a terminal.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "?")
}

fn image_label(image: &TreeImage) -> String {
    let names = if image.names.is_empty() { "<none>".to_owned() } else { image.names.join(", ") };
    format!("{names} {} {}", image.id.short(), image.platform)
}

fn layer_label(node: &TreeNode) -> String {
    let shared = match node.users() {
        0 | 1 => String::new(),
        users => format!(", shared by {users}"),
    };
    format!("{} {}{shared}", node.layer.as_ref().map(Digest::short).unwrap_or_default(), human::size(node.size))
}

fn text(tree: &TreeNode) -> String {
    let mut lines = String::new();
    // Branches of their own, the first without a stem.
    for node in &tree.children {
        write_text(node, "", "", &mut lines);
    }
    for image in &tree.images {
        lines += &format!("{} (no layers)\n", one_line(&image_label(image)));
    }
    lines
}

fn write_text(node: &TreeNode, first: &str, rest: &str, lines: &mut String) {
    let instruction = table::cut(&one_line(&node.created_by), COLUMNS);
    *lines += format!("{first}{}  {instruction}", layer_label(node)).trim_end();
    lines.push('\n');
    let count = node.images.len() + node.children.len();
    for (place, image) in node.images.iter().enumerate() {
        let branch = if place + 1 == count { "└─ " } else { "├─ " };
        *lines += &format!("{rest}{branch}● {}\n", one_line(&image_label(image)));
    }
    for (place, child) in node.children.iter().enumerate() {
        let last = node.images.len() + place + 1 == count;
        let (branch, stem) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        write_text(child, &format!("{rest}{branch}"), &format!("{rest}{stem}"), lines);
    }
}

fn dot(tree: &TreeNode) -> String {
    let mut text = String::from("digraph layers {\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\"];\n");
    let mut number = 0;
    for node in &tree.children {
        write_dot(node, None, &mut number, &mut text);
    }
    text + "}\n"
}

fn write_dot(node: &TreeNode, below: Option<usize>, number: &mut usize, text: &mut String) {
    let quoted = |text: &str| one_line(text).replace('\\', "\\\\").replace('"', "\\\"");
    *number += 1;
    let own = *number;
    let instruction = quoted(&table::cut(&one_line(&node.created_by), COLUMNS));
    *text += &format!("  l{own} [label=\"{}\\n{instruction}\"];\n", quoted(&layer_label(node)));
    if let Some(below) = below {
        *text += &format!("  l{own} -> l{below};\n");
    }
    for (place, image) in node.images.iter().enumerate() {
        let label = quoted(&image_label(image));
        *text += &format!("  i{own}_{place} [label=\"{label}\", shape=ellipse];\n  i{own}_{place} -> l{own};\n");
    }
    for child in &node.children {
        write_dot(child, Some(own), number, text);
    }
}

/// Rows of text with a stem at the left, in whatever colours the page around it has.
fn svg(tree: &TreeNode) -> String {
    const ROW: usize = 22;
    const INDENT: usize = 18;
    let mut rows: Vec<(usize, usize, bool, String)> = Vec::new();
    for node in &tree.children {
        collect(node, 0, None, &mut rows);
    }
    let width =
        rows.iter().map(|(depth, _, _, label)| 40 + depth * INDENT + label.chars().count() * 8).max().unwrap_or(200);
    let height = (rows.len() + 1) * ROW;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"13\">\n<style>text {{ fill: #222 }} path {{ stroke: #999; fill: none }} .image {{ fill: #0a58ca }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} .image {{ fill: #6ea8fe }} }}</style>\n"
    );
    for (place, (depth, parent, is_image, label)) in rows.iter().enumerate() {
        let (x, y) = (12 + depth * INDENT, (place + 1) * ROW);
        if *depth > 0 {
            let (from, stem) = ((parent + 1) * ROW + 5, x - INDENT + 4);
            text += &format!("<path d=\"M{stem} {from}V{}H{}\"/>\n", y - 4, x - 2);
        }
        let class = if *is_image { " class=\"image\"" } else { "" };
        text += &format!("<text x=\"{x}\" y=\"{y}\"{class}>{}</text>\n", escape(label));
    }
    text + "</svg>\n"
}

fn collect(node: &TreeNode, depth: usize, parent: Option<usize>, rows: &mut Vec<(usize, usize, bool, String)>) {
    let own = rows.len();
    let instruction = table::cut(&one_line(&node.created_by), COLUMNS);
    rows.push((depth, parent.unwrap_or(0), false, format!("{}  {instruction}", layer_label(node))));
    for image in &node.images {
        rows.push((depth + 1, own, true, one_line(&image_label(image))));
    }
    for child in &node.children {
        collect(child, depth + 1, Some(own), rows);
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> TreeNode {
        let node = |content: &str, created_by: &str| TreeNode {
            layer: Some(Digest::of(content.as_bytes())),
            size: 1200,
            created_by: created_by.into(),
            ..TreeNode::default()
        };
        let image = |name: &str| TreeImage {
            names: if name.is_empty() { Vec::new() } else { vec![name.into()] },
            id: Digest::of(b"id"),
            platform: "linux/amd64".parse().unwrap(),
        };
        let top = TreeNode { images: vec![image("app:1")], ..node("top", "RUN echo \"<x>\"\n\t&& \x1b[2Jy") };
        let other = TreeNode { images: vec![image("")], ..node("other", "") };
        let base = TreeNode { images: vec![image("base:1")], children: vec![top, other], ..node("base", "ADD root /") };
        TreeNode { children: vec![base], ..TreeNode::default() }
    }

    #[test]
    fn draws_branches() {
        let [base, top, other, id] = ["base", "top", "other", "id"].map(|text| Digest::of(text.as_bytes()).short());
        let expected = format!(
            "\
{base} 1.2kB, shared by 3  ADD root /
├─ ● base:1 {id} linux/amd64
├─ {top} 1.2kB  RUN echo \"<x>\" && ?[2Jy
│  └─ ● app:1 {id} linux/amd64
└─ {other} 1.2kB
   └─ ● <none> {id} linux/amd64
"
        );
        let drawn = text(&tree());
        assert_eq!(drawn, expected, "\n{drawn}");
    }

    #[test]
    fn what_comes_from_elsewhere_is_quoted() {
        let drawn = dot(&tree());
        assert!(drawn.contains(r#"RUN echo \"<x>\" && ?[2Jy"#), "{drawn}");
        assert!(drawn.contains("l2 -> l1;") && drawn.contains("i1_0 -> l1;"), "{drawn}");
        let drawn = svg(&tree());
        assert!(drawn.contains("RUN echo &quot;&lt;x&gt;&quot; &amp;&amp; ?[2Jy"), "{drawn}");
        assert!(!drawn.contains('\x1b'));
    }
}
