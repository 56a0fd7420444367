//! Keys in, rows out. An image of four layers, and what `x` shows of it is written as its rows with their depth as indent.

use super::*;
use crate::cli::commands::explore::view::tests::subject;

fn explorer() -> Explorer {
    Explorer::new(subject())
}

fn rows(explorer: &Explorer) -> String {
    let line = |(at, row): (usize, &Row)| {
        let name = String::from_utf8_lossy(explorer.subject.survey.name(row.node)).into_owned();
        let open = match row.open {
            Some(true) => "-",
            Some(false) => "+",
            None => "",
        };
        let here = if at == explorer.files.cursor { ">" } else { "" };
        format!("{}{open}{here}{name}", " ".repeat(row.depth))
    };
    explorer.rows.iter().enumerate().map(line).collect::<Vec<_>>().join("|")
}

/// Presses keys: `^v<>` are arrows, `\t` and `\n` what they are, `!` Escape; all else is itself.
fn press(explorer: &mut Explorer, keys: &str) {
    for key in keys.chars() {
        let key = match key {
            '^' => Key::Up,
            'v' => Key::Down,
            '<' => Key::Left,
            '>' => Key::Right,
            '\t' => Key::Tab,
            '\n' => Key::Enter,
            '!' => Key::Escape,
            other => Key::Character(other),
        };
        assert!(explorer.press(key), "{key:?} ended it");
    }
}

#[track_caller]
fn check(keys: &str, expected: &str) {
    let mut explorer = explorer();
    press(&mut explorer, keys);
    assert_eq!(rows(&explorer), expected, "{keys:?}");
}

#[test]
fn a_layer_shows_what_it_did() {
    check("", "+>bin|+etc|+var");
    check("v", "+>opt");
    check("vv", "+>var");
    check("vvvvv", "+>etc");
    check("v^", "+>bin|+etc|+var");
    // Up to the second layer, with what is as it was.
    check("va", "+bin|+etc|+>opt|+var");
    check("vaa", "+>opt");
}

#[test]
fn folders_open_and_close() {
    check(">>", "->bin| busybox|+etc|+var");
    check(">><", "+>bin|+etc|+var");
    check(">>v<", "->bin| busybox|+etc|+var");
    check("\t\tvv\n", "+bin|+etc|->var| -cache|  pkg.bin");
    check("+", "->bin| busybox|-etc| passwd|-var| -cache|  pkg.bin");
    check("+-", "+>bin|+etc|+var");
    // Out of the tree to the left are the layers.
    let mut explorer = explorer();
    press(&mut explorer, "\t\t<");
    assert_eq!(explorer.pane, Pane::Layers);
}

#[test]
fn the_largest_come_first() {
    check("s", "+var|+>bin|+etc");
    check("ss", "+>bin|+etc|+var");
}

#[test]
fn searches() {
    check("/pass", "-etc| >passwd");
    check("/PASSWD\n", "-etc| >passwd");
    check("/pass!", "+bin|+>etc|+var");
    check("/ca", "-var| +>cache");
    // What was found can be opened, with all that is in it.
    check("/ca\n>", "-var| ->cache|  pkg.bin");
    check("/r/ca", "-var| ->cache|  pkg.bin");
    check("/nothing", "");
    let mut explorer = explorer();
    press(&mut explorer, "/q");
    assert!(explorer.search.typing && explorer.press(Key::Backspace) && explorer.search.text.is_empty());
    assert!(explorer.press(Key::Enter) && !explorer.press(Key::Character('q')));
}

#[test]
fn what_is_wasted_leads_to_the_layer_that_did_it() {
    let mut explorer = explorer();
    press(&mut explorer, "\t\n");
    assert_eq!((explorer.layer(), explorer.pane), (2, Pane::Files));
    assert_eq!(rows(&explorer), "-var| -cache|  >pkg.bin");
}

#[test]
fn a_list_shows_its_cursor() {
    let mut list = List::default();
    let mut check = |keys: &[Key], count: usize, height: usize, expected: (usize, std::ops::Range<usize>)| {
        for key in keys {
            list.walk(*key, count);
        }
        assert_eq!((list.window(count, height), list.cursor), (expected.1, expected.0), "{keys:?}");
    };
    check(&[], 0, 5, (0, 0..0));
    check(&[], 100, 5, (0, 0..5));
    check(&[Key::PageDown], 100, 5, (4, 0..5));
    check(&[Key::Down], 100, 5, (5, 1..6));
    check(&[Key::End], 100, 5, (99, 95..100));
    // The terminal grows, and shrinks to nothing.
    check(&[], 100, 50, (99, 50..100));
    check(&[Key::Up], 100, 0, (98, 99..99));
    check(&[Key::Home], 3, 5, (0, 0..3));
}
