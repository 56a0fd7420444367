//! Layers in short: `d/` is a folder, `d!` an opaque one, `f=5` a file of five bytes, `a->f` another name of it, `-f` a whiteout.

use super::*;
use crate::digest::ContentDigest;
use crate::fstree::{Entry, Kind, Meta};

fn layer(text: &str) -> Arc<Toc> {
    let entry = |word: &str| {
        let (path, kind) = if let Some(path) = word.strip_prefix('-') {
            (path, Kind::Whiteout)
        } else if let Some((path, first)) = word.split_once("->") {
            (path, Kind::Hardlink(TreePath::clean(first)))
        } else if let Some((path, size)) = word.split_once('=') {
            (path, Kind::File { size: size.parse().unwrap(), content: ContentDigest::of(size.as_bytes()) })
        } else {
            (word.trim_end_matches(['!', '/']), Kind::Dir { opaque: word.ends_with('!') })
        };
        Entry { path: TreePath::clean(path), meta: Meta::default(), kind }
    };
    Arc::new(Toc::new(text.split_whitespace().map(entry).collect()))
}

fn survey(layers: &[&str]) -> Survey {
    Survey::new(&layers.iter().map(|text| layer(text)).collect::<Vec<_>>())
}

fn letter(mark: Mark) -> &'static str {
    match mark {
        Mark::Absent => "!",
        Mark::Unchanged => "",
        Mark::Inside => "*",
        Mark::Did(Action::Added) => "A",
        Mark::Did(Action::Changed) => "C",
        Mark::Did(Action::Removed) => "D",
    }
}

/// All that is shown, as `mark path size`.
fn shown(survey: &Survey, layer: usize, scope: Scope) -> String {
    let projection = survey.project(layer, scope);
    let (mut words, mut open) = (Vec::new(), vec![0]);
    while let Some(node) = open.pop() {
        let Shown { mark, size, .. } = projection.get(node);
        if projection.has(node) {
            words.push(format!("{}{}:{size}", letter(mark), survey.path(node)));
        }
        open.extend(survey.children(node).iter().rev());
    }
    words.join(" ")
}

#[track_caller]
fn check(layers: &[&str], each: &[&str], all: &str, wasted: &str) {
    let survey = survey(layers);
    for (number, expected) in each.iter().enumerate() {
        assert_eq!(shown(&survey, number, Scope::Layer), *expected, "layer {number} of {layers:?}");
    }
    assert_eq!(shown(&survey, layers.len() - 1, Scope::All), all, "{layers:?}");
    let line = |found: &Wasted| {
        let removed = if found.removed { "-" } else { "" };
        format!("{removed}{}:{}/{}", survey.path(found.node), found.bytes, found.copies)
    };
    let lines: Vec<String> = survey.wasted().iter().map(line).collect();
    assert_eq!(lines.join(" "), wasted, "{layers:?}");
    assert_eq!(survey.wasted_bytes(), survey.wasted().iter().map(|found| found.bytes).sum::<u64>());
}

#[test]
fn tells_what_each_layer_did() {
    check(&["a=1"], &["*/:1 A/a:1"], "*/:1 A/a:1", "");
    check(&["a=1", "b=2"], &["*/:1 A/a:1", "*/:2 A/b:2"], "*/:3 /a:1 A/b:2", "");
    check(&["d/ d/a=1", "d/ d/b=2"], &["*/:1 A/d:1 A/d/a:1", "*/:2 */d:2 A/d/b:2"], "*/:3 */d:3 /d/a:1 A/d/b:2", "");
    // Folders that no layer describes are there all the same.
    check(&["d/e/a=1"], &["*/:1 A/d:1 A/d/e:1 A/d/e/a:1"], "*/:1 A/d:1 A/d/e:1 A/d/e/a:1", "");
    check(&["a=1", "a=3", "b=1"], &["*/:1 A/a:1", "*/:3 C/a:3"], "*/:4 /a:3 A/b:1", "/a:1/2");
}

#[test]
fn what_is_gone_was_stored_in_vain() {
    check(&["a=5 b=1", "-a"], &["*/:6 A/a:5 A/b:1", "*/:0 D/a:5"], "*/:1 D/a:5 /b:1", "-/a:5/1");
    check(&["a=5", "-a", "a=2"], &["*/:5 A/a:5", "*/:0 D/a:5", "*/:2 A/a:2"], "*/:2 A/a:2", "/a:5/2");
    // A whole folder, by its name, by its being opaque, by something else in its place.
    check(&["d/ d/a=5", "-d"], &["*/:5 A/d:5 A/d/a:5", "*/:0 D/d:5 D/d/a:5"], "*/:0 D/d:5 D/d/a:5", "-/d/a:5/1");
    check(
        &["d/ d/a=5", "d! d/b=1"],
        &["*/:5 A/d:5 A/d/a:5", "*/:1 */d:1 D/d/a:5 A/d/b:1"],
        "*/:1 */d:1 D/d/a:5 A/d/b:1",
        "-/d/a:5/1",
    );
    check(&["d/ d/a=5", "d=1"], &["*/:5 A/d:5 A/d/a:5", "*/:1 C/d:1 D/d/a:5"], "*/:1 C/d:1 D/d/a:5", "-/d/a:5/1");
    check(&["d=5", "d/ d/a=1"], &["*/:5 A/d:5", "*/:1 C/d:1 A/d/a:1"], "*/:1 C/d:1 A/d/a:1", "/d:5/1");
    check(&["d=5", "d/a=1"], &["*/:5 A/d:5", "*/:1 C/d:1 A/d/a:1"], "*/:1 C/d:1 A/d/a:1", "/d:5/1");
    // What is in an opaque folder again was not removed.
    check(&["d/ d/a=5", "d! d/a=5"], &["*/:5 A/d:5 A/d/a:5", "*/:5 */d:5 C/d/a:5"], "*/:5 */d:5 C/d/a:5", "/d/a:5/2");
    // What never was cannot be removed.
    check(&["a=1", "-b -c/d"], &["*/:1 A/a:1", ""], "/:1 /a:1", "");
}

#[test]
fn a_file_is_seen_as_long_as_one_of_its_names_is() {
    check(&["a=5 b->a", "-a"], &["*/:5 A/a:5 A/b:0", "*/:0 D/a:5"], "*/:0 D/a:5 /b:0", "");
    check(&["a=5 b->a", "-a -b"], &["*/:5 A/a:5 A/b:0", "*/:0 D/a:5 D/b:0"], "*/:0 D/a:5 D/b:0", "-/a:5/1");
}

#[test]
fn counts() {
    let survey = survey(&["d/ d/a=6 d/b=2", "d/ d/a=8 -d/b c=0", "c=1"]);
    let layers = [(8, 8, 3, 0, 0), (8, 0, 1, 1, 1), (1, 0, 0, 1, 0)];
    let layers =
        layers.map(|(size, wasted, added, changed, removed)| LayerSummary { size, wasted, added, changed, removed });
    assert_eq!(survey.layers(), layers);
    assert_eq!((survey.stored_bytes(), survey.wasted_bytes()), (17, 8));
    assert!((survey.efficiency() - 9.0 / 17.0).abs() < 1e-9);
    assert!((super::Survey::new(&[]).efficiency() - 1.0).abs() < 1e-9);
}

#[test]
fn what_comes_later_does_not_show_before() {
    let survey = survey(&["a=1", "a=3", "-a"]);
    assert_eq!(shown(&survey, 0, Scope::All), "*/:1 A/a:1");
    assert_eq!(shown(&survey, 1, Scope::All), "*/:3 C/a:3");
    assert_eq!(shown(&survey, 2, Scope::All), "*/:0 D/a:3");
}

mod property {
    use proptest::prelude::*;

    use super::*;
    use crate::fstree::Merged;

    fn any_layer() -> impl Strategy<Value = String> {
        let path = prop::collection::vec("[a-c]", 1..4).prop_map(|names| names.join("/"));
        let word = (path, 0..5usize, 1..9u64).prop_map(|(path, kind, size)| match kind {
            0 => format!("{path}/"),
            1 => format!("{path}!"),
            2 => format!("-{path}"),
            _ => format!("{path}={size}"),
        });
        prop::collection::vec(word, 0..6).prop_map(|words| words.join(" "))
    }

    proptest! {
        /// What the topmost layer shows is what a container sees, however the layers are made.
        #[test]
        fn agrees_with_what_is_seen(layers in prop::collection::vec(any_layer(), 1..5)) {
            let tables: Vec<Arc<Toc>> = layers.iter().map(|text| layer(text)).collect();
            let survey = Survey::new(&tables);
            let merged = Merged::new(tables);
            let seen: u64 = merged.entries().map(|(_, entry)| match entry.kind {
                Kind::File { size, .. } => size,
                _ => 0,
            }).sum();
            prop_assert_eq!(survey.stored_bytes() - survey.wasted_bytes(), seen);
            prop_assert_eq!(survey.project(layers.len() - 1, Scope::All).get(0).size, seen);
        }
    }
}
