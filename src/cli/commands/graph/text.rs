//! The graph for programs that draw: Graphviz and Mermaid.

use std::fmt::Write as _;

use super::drawing::{Drawing, Node};

/// What a state looks like: its name, fill and line.
const LOOKS: [(&str, &str, &str); 5] = [
    ("source", "#eef1f5", "#8a94a6"),
    ("cached", "#dff3e4", "#3f9a5b"),
    ("unneeded", "#f0f0f0", "#a8a8a8"),
    ("run", "#ffe3d1", "#d2691e"),
    ("depends", "#fff4cc", "#c79a1a"),
];

fn look(node: &Node) -> (&'static str, &'static str) {
    LOOKS.iter().find(|(name, ..)| *name == node.state).map_or(("#ffffff", "#333333"), |(_, fill, line)| (fill, line))
}

/// For `dot`.
pub fn dot(drawing: &Drawing) -> String {
    let mut text = String::from(
        "digraph build {\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", fontname=\"monospace\", fontsize=10];\n",
    );
    for (number, _) in drawing.nodes.iter().enumerate().filter(|(_, node)| node.stage.is_none()) {
        dot_node(drawing, number, "  ", &mut text);
    }
    for (stage, name) in drawing.stages.iter().enumerate() {
        let _ = writeln!(text, "  subgraph cluster_{stage} {{\n    label={};", quoted(name));
        for (number, _) in drawing.nodes.iter().enumerate().filter(|(_, node)| node.stage == Some(stage)) {
            dot_node(drawing, number, "    ", &mut text);
        }
        text.push_str("  }\n");
    }
    for edge in &drawing.edges {
        let heavy = if edge.critical { " [penwidth=3]" } else { "" };
        let _ = writeln!(text, "  n{} -> n{}{heavy};", edge.from, edge.to);
    }
    text.push_str("}\n");
    text
}

fn dot_node(drawing: &Drawing, number: usize, indent: &str, text: &mut String) {
    let node = &drawing.nodes[number];
    let (fill, line) = look(node);
    let label = format!("{}\n{}", cut(&node.name), node.note());
    let heavy = if node.critical { ", penwidth=3" } else { "" };
    let tooltip = node.reason.as_ref().map(|reason| format!(", tooltip={}", quoted(reason))).unwrap_or_default();
    let _ = writeln!(
        text,
        "{indent}n{number} [label={}, fillcolor=\"{fill}\", color=\"{line}\"{heavy}{tooltip}];",
        quoted(label.trim_end())
    );
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn cut(name: &str) -> String {
    crate::cli::table::cut(name, 60)
}

/// For Markdown.
pub fn mermaid(drawing: &Drawing) -> String {
    let mut text = String::from("flowchart TB\n");
    let node = |number: usize, indent: &str, text: &mut String| {
        let node = &drawing.nodes[number];
        let label = format!("{}\n{}", cut(&node.name), node.note());
        let label =
            label.trim_end().replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(text, "{indent}n{number}[\"{}\"]:::{}", label.replace('\n', "<br/>"), node.state);
    };
    for (number, _) in drawing.nodes.iter().enumerate().filter(|(_, node)| node.stage.is_none()) {
        node(number, "  ", &mut text);
    }
    for (stage, name) in drawing.stages.iter().enumerate() {
        let _ = writeln!(text, "  subgraph s{stage}[\"{}\"]", name.replace('"', "&quot;"));
        for (number, _) in drawing.nodes.iter().enumerate().filter(|(_, node)| node.stage == Some(stage)) {
            node(number, "    ", &mut text);
        }
        text.push_str("  end\n");
    }
    let mut heavy = Vec::new();
    for (number, edge) in drawing.edges.iter().enumerate() {
        let _ = writeln!(text, "  n{} --> n{}", edge.from, edge.to);
        if edge.critical {
            heavy.push(number.to_string());
        }
    }
    for (name, fill, line) in LOOKS {
        let _ = writeln!(text, "  classDef {name} fill:{fill},stroke:{line},color:#222");
    }
    if !heavy.is_empty() {
        let _ = writeln!(text, "  linkStyle {} stroke-width:4px", heavy.join(","));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::drawing::Edge;
    use super::*;

    fn example() -> Drawing {
        let node =
            |name: &str, state, stage, critical| Node { name: name.into(), state, stage, critical, ..Node::default() };
        Drawing {
            nodes: vec![
                node("the build context context", "source", None, false),
                node("RUN echo \"<a>\"", "run", Some(0), true),
                node("COPY a\\b /", "cached", Some(0), true),
            ],
            edges: vec![Edge { from: 0, to: 2, critical: false }, Edge { from: 1, to: 2, critical: true }],
            stages: vec!["build".into()],
            critical: None,
        }
    }

    #[test]
    fn dot_quotes_names() {
        let text = dot(&example());
        for expected in [
            "subgraph cluster_0 {\n    label=\"build\";",
            "n1 [label=\"RUN echo \\\"<a>\\\"\\nwould run\"",
            "n2 [label=\"COPY a\\\\b /\\ncached\"",
            "  n0 -> n2;\n  n1 -> n2 [penwidth=3];\n}\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn mermaid_escapes_names() {
        let text = mermaid(&example());
        for expected in [
            "  n0[\"the build context context\"]:::source\n",
            "    n1[\"RUN echo &quot;&lt;a&gt;&quot;<br/>would run\"]:::run\n",
            "  n1 --> n2\n",
            "  linkStyle 1 stroke-width:4px\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }
}
