//! Tables for people: columns as wide as their widest cell, separated by spaces, without lines.

use std::borrow::Cow;

use console::measure_text_width;

/// The header and the rows as lines, each ended by a newline. All rows have as many cells as the header. Control
/// characters are shown as `?`, so that a name from elsewhere cannot write to the terminal.
pub fn render<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    const GAP: usize = 3;
    let rows: Vec<[Cow<'_, str>; N]> = rows.iter().map(|row| row.each_ref().map(|cell| harmless(cell))).collect();
    let mut widths = header.map(measure_text_width);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(measure_text_width(cell));
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&header.map(Cow::Borrowed)).chain(&rows) {
        let start = text.len();
        for (width, cell) in widths.iter().zip(row) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - measure_text_width(cell) + GAP));
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
    text
}

fn harmless(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        true => Cow::Owned(text.replace(char::is_control, "?")),
        false => Cow::Borrowed(text),
    }
}

/// The text cut to this many columns, with `…` at the cut.
pub fn cut(text: &str, columns: usize) -> String {
    console::truncate_str(text, columns, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_columns() {
        let rows = [["a".into(), "long name".into()], ["日本".into(), String::new()], ["x\x1b[2J".into(), "b".into()]];
        assert_eq!(render(["ID", "NAME"], &rows), "ID      NAME\na       long name\n日本\nx?[2J   b\n");
        assert_eq!(render(["ID"], &[]), "ID\n");
    }

    #[test]
    fn cuts_at_columns() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語", 4), "日…");
    }
}
