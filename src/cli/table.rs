//! Tables for people: columns as wide as their widest cell, separated by spaces, without lines.

use std::borrow::Cow;

use console::measure_text_width;

/// The header and the rows as lines, each ended by a newline. All rows have as many cells as the header. Control
/// characters are shown as `?`, so that a name from elsewhere cannot write to the terminal.
pub fn render<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let header = header.map(str::to_owned);
    let lines: Vec<&[String]> = std::iter::once(&header).chain(rows).map(<[String; N]>::as_slice).collect();
    align(&lines)
}

/// The same for lines of cells, of which the first may be a header. They need not have the same number.
pub fn align<R: AsRef<[String]>>(lines: &[R]) -> String {
    const GAP: usize = 3;
    let lines: Vec<Vec<Cow<'_, str>>> =
        lines.iter().map(|line| line.as_ref().iter().map(|cell| harmless(cell)).collect()).collect();
    let mut widths = vec![0; lines.iter().map(Vec::len).max().unwrap_or(0)];
    for (column, cell) in lines.iter().flat_map(|line| line.iter().enumerate()) {
        widths[column] = widths[column].max(measure_text_width(cell));
    }
    let mut text = String::new();
    for line in &lines {
        let start = text.len();
        for (width, cell) in widths.iter().zip(line) {
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
