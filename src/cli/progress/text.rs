//! Output of foreign processes, made safe to show.
//!
//! A step may write any bytes. What it writes must not move our cursor, change the terminal's title or forge lines of
//! our own, so everything but text and, where wanted, colours is taken out. Lines are cut the way a terminal would show
//! them: a carriage return starts a line over, which is how progress bars draw.

/// A line longer than this many bytes is shown in pieces.
const LONGEST: usize = 16 * 1024;

/// Cuts one process's output into lines, however it arrives.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// The lines that these bytes complete, without their ends.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let ends = pieces.peek().is_some();
            self.extend(piece, ends, &mut lines);
            if ends {
                let mut line = std::mem::take(&mut self.partial);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                lines.push(line);
            }
        }
        lines
    }

    /// What came after the last end of a line, if anything did.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        let mut line = std::mem::take(&mut self.partial);
        while line.last() == Some(&b'\r') {
            line.pop();
        }
        (!line.is_empty()).then_some(line)
    }

    /// What the unfinished line shows at this moment.
    pub fn current(&self) -> &[u8] {
        &self.partial
    }

    fn extend(&mut self, piece: &[u8], ends: bool, lines: &mut Vec<Vec<u8>>) {
        // A carriage return takes effect with the next character: "\r\n" is an end of line, and a bar that returns
        // after drawing itself stays to be seen.
        let (last, returns) = match piece.iter().rposition(|byte| *byte != b'\r') {
            None => (&[][..], !piece.is_empty()),
            Some(end) => {
                let kept = &piece[..=end];
                let start = kept.iter().rposition(|byte| *byte == b'\r').map(|at| at + 1);
                if start.is_some() || self.partial.last() == Some(&b'\r') {
                    self.partial.clear();
                }
                (&kept[start.unwrap_or(0)..], end + 1 < piece.len())
            }
        };
        for chunk in last.chunks(LONGEST) {
            if self.partial.len() + chunk.len() > LONGEST {
                lines.push(std::mem::take(&mut self.partial));
            }
            self.partial.extend_from_slice(chunk);
        }
        if returns && !ends && self.partial.last() != Some(&b'\r') {
            self.partial.push(b'\r');
        }
    }
}

/// One line as text that is safe to write to a terminal: invalid UTF-8 is replaced, tabs become spaces, and control
/// characters, escape sequences and characters that reorder text are gone. Colours and the like (SGR sequences) stay if
/// they are wanted, and are ended at the end of the line.
pub fn clean(line: &[u8], colours: bool) -> String {
    const TAB: usize = 8;
    let text = String::from_utf8_lossy(line);
    let mut clean = String::with_capacity(text.len());
    let (mut column, mut coloured) = (0, false);
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\x1b' => {
                if let Some(sequence) = escape(&mut rest)
                    && colours
                {
                    clean.push_str("\x1b[");
                    clean.push_str(sequence);
                    coloured = true;
                }
            }
            '\u{9b}' => drop(control_sequence(&mut rest)),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut rest),
            '\t' => {
                let spaces = TAB - column % TAB;
                clean.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            character if character.is_control() || reorders(character) => {}
            character => {
                clean.push(character);
                column += 1;
            }
        }
    }
    if coloured {
        clean.push_str("\x1b[0m");
    }
    clean
}

/// Characters that change the direction of what follows, or separate lines in some programs.
fn reorders(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

/// Reads what follows an ESC; an SGR sequence is returned, without its introducer.
fn escape<'a>(rest: &mut std::str::Chars<'a>) -> Option<&'a str> {
    match rest.clone().next()? {
        '[' => {
            rest.next();
            control_sequence(rest)
        }
        // Strings of the terminal (DCS, SOS, OSC, PM, APC) end at BEL or ST.
        'P' | 'X' | ']' | '^' | '_' => {
            rest.next();
            skip_string(rest);
            None
        }
        // Intermediate bytes and one final byte, such as those that choose a character set.
        ' '..='/' => {
            while rest.clone().next().is_some_and(|next| (' '..='/').contains(&next)) {
                rest.next();
            }
            if rest.clone().next().is_some_and(|next| ('0'..='~').contains(&next)) {
                rest.next();
            }
            None
        }
        '0'..='~' => {
            rest.next();
            None
        }
        _ => None,
    }
}

fn control_sequence<'a>(rest: &mut std::str::Chars<'a>) -> Option<&'a str> {
    let start = rest.as_str();
    while let Some(next) = rest.clone().next() {
        match next {
            ' '..='?' => drop(rest.next()),
            '@'..='~' => {
                rest.next();
                let sequence = &start[..start.len() - rest.as_str().len()];
                let parameters = sequence.strip_suffix('m')?;
                let plain = parameters.bytes().all(|byte| byte.is_ascii_digit() || byte == b';' || byte == b':');
                return plain.then_some(sequence);
            }
            _ => return None,
        }
    }
    None
}

fn skip_string(rest: &mut std::str::Chars<'_>) {
    while let Some(next) = rest.next() {
        match next {
            '\x07' | '\u{9c}' => return,
            '\x1b' if rest.as_str().starts_with('\\') => {
                rest.next();
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str]) -> Vec<String> {
        let mut cutter = Lines::default();
        let mut lines: Vec<Vec<u8>> = pieces.iter().flat_map(|piece| cutter.push(piece.as_bytes())).collect();
        lines.extend(cutter.finish());
        lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn cuts_lines_wherever_the_pieces_end() {
        let check = |pieces: &[&str], expected: &[&str]| assert_eq!(lines(pieces), expected, "{pieces:?}");
        check(&["a\nb\n"], &["a", "b"]);
        check(&["a", "b\nc"], &["ab", "c"]);
        check(&["\n\n"], &["", ""]);
        check(&[], &[]);
        check(&["a\r\nb\r\n"], &["a", "b"]);
        check(&["a\r", "\nb"], &["a", "b"]);
        check(&["10%\r20%\r30%\n"], &["30%"]);
        check(&["10%\r", "20%\r", "30%\r", "\n"], &["30%"]);
        check(&["10%\r", "20%\r"], &["20%"]);
        check(&["\r10%", "\r20%", "\ndone"], &["20%", "done"]);
        check(&["a\r\r\nb"], &["a", "b"]);
    }

    #[test]
    fn cuts_lines_that_never_end() {
        let all = lines(&["x".repeat(LONGEST * 2 + 5).as_str()]);
        assert_eq!(all.iter().map(String::len).collect::<Vec<_>>(), [LONGEST, LONGEST, 5]);
    }

    #[test]
    fn takes_out_what_controls_a_terminal() {
        let check = |line: &str, expected: &str| assert_eq!(clean(line.as_bytes(), false), expected, "{line:?}");
        check("plain ünïcödé 日本", "plain ünïcödé 日本");
        check("a\tb", "a       b");
        check("1234567\tb", "1234567 b");
        check("\x1b[31mred\x1b[0m", "red");
        check("\x1b[2J\x1b[1;1Hhome", "home");
        check("\x1b]0;title\x07text", "text");
        check("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link");
        check("\x1bPq payload\x1b\\x", "x");
        check("\u{9b}31mred\u{9d}0;t\u{9c}x", "redx");
        check("\x1b(Bx\x1bcy\x1b7z", "xyz");
        check("a\x08\x07\x7f\0b", "ab");
        check("unfinished \x1b[3", "unfinished ");
        check("unfinished \x1b]0;t", "unfinished ");
        check("end \x1b", "end ");
        check("a\u{202e}b\u{2066}c\u{2028}d", "abcd");
        check("\x1b[3\x1b[1mx", "x");
    }

    #[test]
    fn keeps_colours_where_they_are_wanted() {
        let check = |line: &str, expected: &str| assert_eq!(clean(line.as_bytes(), true), expected, "{line:?}");
        check("\x1b[1;31mred", "\x1b[1;31mred\x1b[0m");
        check("\x1b[38:2::1:2:3mx\x1b[m", "\x1b[38:2::1:2:3mx\x1b[m\x1b[0m");
        check("\x1b[>4;1mx\x1b[2Ky", "xy");
    }

    #[test]
    fn replaces_what_is_not_text() {
        assert_eq!(clean(b"a\xff\xc3(b", false), "a\u{fffd}\u{fffd}(b");
    }
}
