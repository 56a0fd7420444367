//! Pages of made-up builds: what is on them, and that nothing in them is taken for markup.

use super::*;
use crate::cli::commands::graph::drawing::{Drawing, Node};
use crate::cli::commands::graph::svg::svg;
use crate::cli::commands::report::data::Step;
use crate::cli::commands::report::images::Layer;
use crate::cli::commands::report::output::Output;
use crate::cli::timeline::{Span, What};
use crate::event::Outcome;
use crate::ops::record::StepEnded;

fn report(evil: &str) -> Report {
    let text = |words: &str| format!("{words}{evil}");
    let second = Duration::from_secs;
    let step = |number, ended, critical| Step {
        number,
        title: text("[build 2/3] RUN make"),
        place: Some(text("Dockerfile:7")),
        ended,
        started: second(1),
        elapsed: second(2),
        reason: text("src/main.c changed"),
        critical,
        output: Output { head: vec![text("cc main.c")], gone: 3, tail: vec![text("done")] },
    };
    let what =
        What::Step { step: 4, outcome: Outcome::Failed(text("exit code 1")), reason: text("src/main.c changed") };
    let span = |what| Span { what, name: text("RUN make"), start: second(1), end: second(3) };
    let node = Node { name: text("RUN make"), state: "failed", reason: Some(text("changed")), ..Node::default() };
    let layer = Layer { number: 1, instruction: text("RUN make"), digest: "0123".into(), size: 1000 };
    Report {
        id: "0123456789ab".into(),
        definition: text("shop/Dockerfile"),
        path: text("/w/shop/Dockerfile.lock"),
        when: 1_700_000_000,
        elapsed: second(4),
        ended: Ended::Failed(text("RUN make failed: exit code 1")),
        ran: 2,
        cached: 6,
        program: text("0.1.0"),
        command: vec!["build".into(), "--build-arg".into(), text("A=it's")],
        platforms: vec!["linux/amd64".into()],
        warnings: vec![text("careful")],
        steps: vec![
            step(4, StepEnded::Failed(text("exit code 1")), true),
            step(5, StepEnded::Done, false),
            Step { started: Duration::ZERO, ..step(6, StepEnded::Canceled, false) },
        ],
        spans: vec![span(What::Phase), span(what), span(What::Task)],
        critical: Some(second(2)),
        causes: vec![Cause { reasons: vec![text("src/main.c changed")], steps: vec![(4, text("RUN make"))] }],
        graph: Some(svg(&Drawing { nodes: vec![node], stages: vec![text("build")], ..Drawing::default() })),
        pins: vec![Pin {
            kind: "image",
            name: text("busybox"),
            value: text("sha256:1"),
            platform: text("linux/amd64"),
        }],
        images: vec![Made {
            target: text("web"),
            digest: text("sha256:12"),
            tags: vec![text("web:1")],
            platforms: vec![PlatformImage { platform: text("linux/amd64"), size: 1000, layers: vec![layer] }],
        }],
    }
}

/// The names of all elements, in their order.
fn elements(page: &str) -> Vec<String> {
    let names = page.split('<').skip(1).map(|rest| {
        rest.split(|c: char| !c.is_ascii_alphanumeric() && !"/!-".contains(c)).next().unwrap_or_default().to_owned()
    });
    names.collect()
}

#[test]
fn what_is_hostile_adds_no_element() {
    let plain = page(&report(""));
    let quiet = page(&report("x"));
    assert_eq!(elements(&plain), elements(&quiet));
    for evil in [
        "</script><script>alert(1)</script>",
        "</title></style></pre></svg><img src=x onerror=alert(1)>",
        "\" onmouseover=\"alert(1)",
        "' onmouseover='alert(1)",
        "<!--",
        "]]>",
        "\0\x1b]0;x\x07\u{202e}",
    ] {
        let page = page(&report(evil));
        assert_eq!(elements(&page), elements(&plain), "{evil}");
        assert!(!page.contains(evil), "{evil}");
        assert!(!page.contains(['\0', '\x1b', '\u{202e}']), "{evil}");
    }
}

#[test]
fn needs_nothing_from_elsewhere() {
    let page = page(&report(""));
    assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
    assert_eq!(page.matches("http").count(), 2, "the policy, and the namespace of the picture");
    for word in ["<script", "src=", "@import", "url(h"] {
        assert!(!page.contains(word), "{word}");
    }
    // Every link leads to something.
    for link in page.split("href=\"#").skip(1) {
        let id = link.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
}

#[test]
fn says_what_happened() {
    let page = page(&report(""));
    for text in [
        "<span class=\"badge failed\">failed</span>",
        "<pre>RUN make failed: exit code 1</pre>",
        "<details open=\"\"><summary><b class=\"bar failed critical\">",
        "<em>… 3 lines are left out: imgbuild log 0123456789ab &#39;RUN make&#39;\n</em>done\n",
        "because src/main.c changed · Dockerfile:7 · began after 1.0s",
        "<small>1 more step never began</small>",
        "75%",
        "imgbuild build --build-arg &#39;A=it&#39;\\&#39;&#39;s&#39;",
        "<small>22:13:20</small>",
        "<td class=\"size\">1kB</td>",
    ] {
        assert!(page.contains(text), "{text} is not in\n{page}");
    }
}

#[test]
fn a_build_with_nothing_to_do_has_a_page() {
    let quiet = Report {
        ended: Ended::Done,
        ran: 0,
        steps: Vec::new(),
        spans: Vec::new(),
        critical: None,
        causes: Vec::new(),
        graph: None,
        pins: Vec::new(),
        warnings: Vec::new(),
        images: Vec::new(),
        ..report("")
    };
    let page = page(&quiet);
    assert!(page.contains("Nothing ran: 6 steps came from the cache.") && page.contains("100%"), "{page}");
    assert!(!page.contains("<h2>Steps") && !page.contains("<h2>Why"));
}
