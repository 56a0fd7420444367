//! Puts lines on a terminal: some for good, and below them some that the next drawing replaces.
//!
//! Each drawing is one write: up to the first line of the last one, then line by line over it. Nothing is cleared that
//! is not drawn again at once, and the terminal is asked to show it all at once (synchronized output, mode 2026, which
//! others ignore). So nothing flickers.

use console::{measure_text_width, truncate_str};

use super::super::Sink;

/// Draws on one terminal.
pub(super) struct Painter {
    sink: Sink,
    /// The lines that are there now.
    shown: Vec<String>,
    width: usize,
}

impl Painter {
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink, shown: Vec::new(), width: 0 }
    }

    /// Adds the lines of `kept` for good and replaces what was below them by `frame`, whose lines are cut at the
    /// terminal's width.
    pub(super) fn paint(&mut self, kept: &[String], frame: &[String], width: usize) {
        // The last column stays free: terminals differ in where the cursor is after it is filled.
        let cut = |line: &String| truncate_str(line, width.saturating_sub(1), "…").into_owned();
        let frame: Vec<String> = frame.iter().map(cut).collect();
        if kept.is_empty() && frame == self.shown && width == self.width {
            return;
        }
        let live = !self.shown.is_empty() || !frame.is_empty();
        let mut text = String::new();
        if live {
            text.push_str("\x1b[?2026h");
        }
        match self.height(width) {
            0 => {}
            rows => text.push_str(&format!("\x1b[{rows}A\r")),
        }
        for line in kept.iter().chain(&frame) {
            text.push_str(line);
            // What was there before may show behind the end, unless the line ends with its row. Clearing the row there
            // would take the last character away, and clearing all rows first would flicker.
            let columns = measure_text_width(line);
            if live && (columns == 0 || !columns.is_multiple_of(width.max(1))) {
                text.push_str("\x1b[K");
            }
            text.push('\n');
        }
        if live {
            text.push_str("\x1b[J\x1b[?2026l");
        }
        // A display that cannot be drawn must not stop the build.
        let _ = self.sink.write_all(text.as_bytes()).and_then(|()| self.sink.flush());
        (self.shown, self.width) = (frame, width);
    }

    /// How many rows the lines that are there now take: a terminal that has become narrower has wrapped them.
    fn height(&self, width: usize) -> usize {
        self.shown.iter().map(|line| measure_text_width(line).div_ceil(width.max(1)).max(1)).sum()
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! As much of a terminal as the painter uses.

    use console::measure_text_width;

    /// What a terminal of this width shows after these bytes, with the ends of lines trimmed.
    ///
    /// Rows are wrapped when they are written and, unlike in a real terminal, not when the width changes; so the
    /// painter's estimate of wrapped rows is applied to rows that were written at that width.
    pub(crate) fn screen(bytes: &[u8], width: usize) -> String {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let mut rows: Vec<String> = vec![String::new()];
        let mut row = 0;
        let mut column = 0;
        let mut rest = text.as_str();
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            match character {
                '\n' => {
                    row += 1;
                    column = 0;
                    if row == rows.len() {
                        rows.push(String::new());
                    }
                }
                '\r' => column = 0,
                '\x1b' => {
                    let end = rest.find(|end: char| end.is_ascii_alphabetic()).unwrap();
                    let (parameters, command) = (&rest[1..end], &rest[end..=end]);
                    rest = &rest[end + 1..];
                    match command {
                        "A" => row -= parameters.parse::<usize>().unwrap(),
                        "K" | "J" => {
                            let end = prefix(&rows[row], column);
                            rows[row].truncate(end);
                            if command == "J" {
                                rows.truncate(row + 1);
                            }
                        }
                        "h" | "l" | "m" => {}
                        other => panic!("unknown sequence {other}"),
                    }
                }
                character => {
                    let wide = measure_text_width(character.encode_utf8(&mut [0; 4]));
                    if column + wide > width {
                        row += 1;
                        column = 0;
                        if row == rows.len() {
                            rows.push(String::new());
                        }
                    }
                    let (from, to) = (prefix(&rows[row], column), prefix(&rows[row], column + wide));
                    rows[row].replace_range(from..to, character.encode_utf8(&mut [0; 4]));
                    column += wide;
                }
            }
        }
        assert!(rows[row].is_empty() && column == 0, "the cursor must be on an empty line");
        rows.iter().take(row).map(|row| row.trim_end().to_owned() + "\n").collect()
    }

    /// The bytes of the text's first columns.
    fn prefix(text: &str, columns: usize) -> usize {
        let mut used = 0;
        for (at, character) in text.char_indices() {
            if used >= columns {
                return at;
            }
            used += measure_text_width(character.encode_utf8(&mut [0; 4]));
        }
        text.len()
    }
}
