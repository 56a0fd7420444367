//! What the screen looks like, row by row.

use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::cli::commands::explore::state::{Explorer, Key, Subject};
use crate::digest::ContentDigest;
use crate::fstree::survey::Survey;
use crate::fstree::{Entry, Kind, Meta, Toc, TreePath};

/// An image: a base, a layer that adds, one that deletes, and one that changes.
pub(in crate::cli::commands::explore) fn subject() -> Subject {
    let entry = |(path, size): &(&str, i64)| {
        let kind = match size {
            -1 => Kind::Whiteout,
            0 => Kind::Dir { opaque: false },
            size => Kind::File { size: size.unsigned_abs(), content: ContentDigest::of(path.as_bytes()) },
        };
        Entry { path: TreePath::clean(path), meta: Meta::default(), kind }
    };
    let base = [("bin", 0), ("bin/busybox", 2_000_000), ("etc", 0), ("etc/passwd", 800)];
    let base = [&base[..], &[("var", 0), ("var/cache", 0), ("var/cache/pkg.bin", 12_000_000)]].concat();
    let layers: [Vec<(&str, i64)>; 4] = [
        base,
        vec![("opt", 0), ("opt/a\x1b[2J", 5000), ("opt/lib", 0), ("opt/lib/b.so", 7000)],
        vec![("var/cache/pkg.bin", -1)],
        vec![("etc", 0), ("etc/passwd", 900)],
    ];
    let layers: Vec<Arc<Toc>> =
        layers.iter().map(|layer| Arc::new(Toc::new(layer.iter().map(entry).collect()))).collect();
    let made_by =
        ["", "COPY app /opt # buildkit", "RUN /bin/sh -c rm -r \\\n  /var/cache/pkg.bin # buildkit", "RUN adduser\x07"];
    Subject {
        title: "app:1 linux/amd64".into(),
        made_by: made_by.map(str::to_owned).into(),
        survey: Survey::new(&layers),
    }
}

fn screen(explorer: &mut Explorer, width: u16, height: u16, palette: Palette) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, explorer, palette)).unwrap();
    terminal.backend().clone()
}

/// What is shown after these keys, as a text.
fn shown(keys: &[Key], width: u16, height: u16) -> String {
    let mut explorer = Explorer::new(subject());
    assert!(keys.iter().all(|key| explorer.press(*key)));
    let shown = screen(&mut explorer, width, height, Palette { colours: false }).to_string();
    shown.lines().map(|line| line.trim_matches('"').trim_end().to_owned() + "\n").collect()
}

#[test]
fn a_small_terminal_has_room_for_all() {
    insta::assert_snapshot!(shown(&[], 80, 24));
}

#[test]
fn what_a_layer_deleted_is_marked() {
    insta::assert_snapshot!(shown(&[Key::Down, Key::Down, Key::Tab, Key::Tab, Key::Right], 80, 16));
    insta::assert_snapshot!(shown(
        &[Key::Character('a'), Key::Down, Key::Down, Key::Down, Key::Character('+')],
        80,
        16
    ));
}

#[test]
fn a_search_is_seen() {
    let typed = "/cache".chars().map(Key::Character);
    insta::assert_snapshot!(shown(&typed.collect::<Vec<_>>(), 80, 12));
}

#[test]
fn a_narrow_terminal_shows_one_pane() {
    insta::assert_snapshot!(shown(&[Key::Tab], 40, 8));
}

#[test]
fn no_size_is_too_small() {
    let mut explorer = Explorer::new(subject());
    for (width, height) in [(0, 0), (1, 1), (9, 5), (10, 4), (10, 5), (11, 6), (59, 7), (60, 5), (61, 9), (500, 3)] {
        screen(&mut explorer, width, height, Palette { colours: true });
    }
}

#[test]
fn colours_only_where_they_are_wanted() {
    let mut explorer = Explorer::new(subject());
    let mut coloured = |colours| {
        let screen = screen(&mut explorer, 80, 24, Palette { colours });
        screen.buffer().content().iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert_eq!(coloured(false), 0);
    assert!(coloured(true) > 0);
}

#[test]
fn cuts_paths_at_the_start() {
    let check = |path: &str, columns, expected: &str| assert_eq!(end_of(path, columns), expected);
    check("/a/b", 4, "/a/b");
    check("/abc/def", 5, "…/def");
    check("/日本/語", 5, "…/語");
    check("/a/b", 0, "…");
}
