//! Just enough of the shell's language to see which programs a step starts, with which words.
//!
//! Quotes, escapes, comments, substitutions and operators are known; nothing is evaluated. Control flow is read as the
//! commands in it: for advice it does not matter whether a command runs always. What cannot be understood is a word
//! like any other, so that advice is missed rather than wrong.

use std::ops::Range;

/// What stands behind a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// A pipe: the next command reads what this one prints.
    Pipe,
    /// Anything else.
    Other,
}

/// A word with its quotes resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// The text, substitutions as they are written.
    pub text: String,
    /// The bytes it came from.
    pub span: Range<usize>,
}

/// A `sudo` that starts a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sudo {
    /// Its bytes.
    pub span: Range<usize>,
    /// The user that the program runs as, if one is named.
    pub user: Option<String>,
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    /// At least one word: the program first. What only prepares it, such as `A=b` or `exec`, is left out.
    pub words: Vec<Word>,
    /// Files that the output is written to.
    pub written: Vec<String>,
    /// The `sudo` before it.
    pub sudo: Option<Sudo>,
    /// What stands behind it.
    pub next: Next,
    /// Whether it stands in parentheses.
    pub nested: bool,
}

impl Command {
    /// The program's name without its folder.
    pub(super) fn name(&self) -> &str {
        let program = self.words.first().map_or("", |word| word.text.as_str());
        program.rsplit('/').next().unwrap_or_default()
    }

    /// The arguments.
    pub(super) fn args(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The arguments as texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.args().iter().map(|word| word.text.as_str())
    }

    /// The first argument that is no flag.
    pub(super) fn verb(&self) -> Option<&Word> {
        self.args().iter().find(|word| !word.text.starts_with('-'))
    }

    /// The bytes of all its words.
    pub(super) fn span(&self) -> Range<usize> {
        let start = self.words.first().map_or(0, |word| word.span.start);
        start..self.words.last().map_or(start, |word| word.span.end)
    }
}

/// A command that is given as words.
pub(super) fn exec(words: &[String]) -> Option<Command> {
    let words: Vec<Word> = words.iter().map(|text| Word { text: text.clone(), span: 0..0 }).collect();
    finish(words, Vec::new(), Next::Other, false)
}

/// All commands of a text, in order.
pub(super) fn commands(text: &str) -> Vec<Command> {
    let mut reader = Reader { text, at: 0, words: Vec::new(), written: Vec::new(), found: Vec::new(), depth: 0 };
    reader.read();
    reader.found
}

/// Words that stand before a command and say when or how it is run.
const BEFORE: [&str; 16] = [
    "if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "exec", "command", "env", "nice", "nohup",
    "eval",
];

/// Words that end something and are no commands.
const CLOSING: [&str; 5] = ["fi", "done", "esac", "}", "in"];

fn finish(mut words: Vec<Word>, written: Vec<String>, next: Next, nested: bool) -> Option<Command> {
    let mut sudo = None;
    loop {
        let first = words.first()?;
        if first.text == "sudo" && words.len() > 1 {
            let span = first.span.clone();
            words.remove(0);
            sudo = Some(Sudo { span, user: sudo_flags(&mut words) });
        } else if BEFORE.contains(&first.text.as_str()) || is_assignment(&first.text) {
            words.remove(0);
        } else if CLOSING.contains(&first.text.as_str()) {
            return None;
        } else {
            return Some(Command { words, written, sudo, next, nested });
        }
    }
}

/// Takes away the flags of `sudo`; the user that they name.
fn sudo_flags(words: &mut Vec<Word>) -> Option<String> {
    let mut user = None;
    while words.first().is_some_and(|word| word.text.starts_with('-')) {
        let flag = words.remove(0).text;
        if flag == "--" {
            break;
        }
        if let Some(name) = flag.strip_prefix("--user=") {
            user = Some(name.to_owned());
        }
        // Flags can be one word, `-Eu`, and the last of them has a value if it is one of these.
        let long = matches!(flag.as_str(), "--user" | "--group" | "--host" | "--prompt" | "--chdir");
        let last = flag.chars().last().filter(|_| !flag.starts_with("--"));
        if (long || last.is_some_and(|c| "ughpCDrtTU".contains(c))) && !words.is_empty() {
            let value = words.remove(0).text;
            if flag == "--user" || last == Some('u') {
                user = Some(value);
            }
        }
    }
    user
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    words: Vec<Word>,
    written: Vec<String>,
    found: Vec<Command>,
    depth: usize,
}

impl Reader<'_> {
    fn read(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                '\n' | ';' => self.end(1, Next::Other),
                '&' if self.starts("&>") => self.redirect(),
                '&' => self.end(if self.starts("&&") { 2 } else { 1 }, Next::Other),
                '|' if self.starts("||") => self.end(2, Next::Other),
                '|' => self.end(if self.starts("|&") { 2 } else { 1 }, Next::Pipe),
                '(' => {
                    self.end(1, Next::Other);
                    self.depth += 1;
                }
                ')' => {
                    self.end(1, Next::Other);
                    self.depth = self.depth.saturating_sub(1);
                }
                '<' | '>' => self.redirect(),
                '#' => self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |end| self.at + end),
                '\\' if self.starts("\\\n") => self.at += 2,
                c if c.is_whitespace() => self.at += c.len_utf8(),
                _ => {
                    let word = self.word();
                    // The number of a descriptor belongs to its redirection.
                    let digits = word.text.bytes().all(|b| b.is_ascii_digit());
                    if !(digits && matches!(self.peek(), Some('<' | '>'))) {
                        self.words.push(word);
                    }
                }
            }
        }
        self.end(0, Next::Other);
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn starts(&self, with: &str) -> bool {
        self.text[self.at..].starts_with(with)
    }

    fn end(&mut self, length: usize, next: Next) {
        self.at += length;
        let (words, written) = (std::mem::take(&mut self.words), std::mem::take(&mut self.written));
        self.found.extend(finish(words, written, next, self.depth > 0));
    }

    /// Passes over a redirection and its file.
    fn redirect(&mut self) {
        let rest = &self.text[self.at..];
        let operator = rest.len() - rest.trim_start_matches(['<', '>', '&', '|', '-']).len();
        let writes = rest[..operator].contains('>');
        self.at += operator;
        while self.peek().is_some_and(|c| c == ' ' || c == '\t') {
            self.at += 1;
        }
        if self.peek().is_some_and(|c| !matches!(c, '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>')) {
            let file = self.word();
            if writes {
                self.written.push(file.text);
            }
        }
    }

    fn word(&mut self) -> Word {
        let start = self.at;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            match c {
                '\'' | '"' => self.quoted(c, &mut text),
                '\\' => {
                    self.at += 1;
                    let escaped = self.peek();
                    self.at += escaped.map_or(0, char::len_utf8);
                    text.extend(escaped.filter(|c| *c != '\n'));
                }
                '$' | '`' => self.substitution(&mut text),
                c if c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '<' | '>') => break,
                c => {
                    self.at += c.len_utf8();
                    text.push(c);
                }
            }
        }
        Word { text, span: start..self.at }
    }

    fn quoted(&mut self, quote: char, text: &mut String) {
        self.at += 1;
        while let Some(c) = self.peek() {
            match c {
                c if c == quote => {
                    self.at += 1;
                    return;
                }
                '\\' if quote == '"' => {
                    self.at += 1;
                    let escaped = self.peek();
                    self.at += escaped.map_or(0, char::len_utf8);
                    text.extend(escaped);
                }
                '$' | '`' if quote == '"' => self.substitution(text),
                c => {
                    self.at += c.len_utf8();
                    text.push(c);
                }
            }
        }
    }

    /// Takes `$(…)`, `${…}` and `` `…` `` as they are written; a `$` otherwise.
    fn substitution(&mut self, text: &mut String) {
        let rest = &self.text[self.at..];
        let (open, close) = match () {
            () if rest.starts_with("$(") => ('(', ')'),
            () if rest.starts_with("${") => ('{', '}'),
            () if rest.starts_with('`') => {
                let end = rest[1..].find('`').map_or(rest.len(), |end| end + 2);
                text.push_str(&rest[..end]);
                self.at += end;
                return;
            }
            () => {
                text.push('$');
                self.at += 1;
                return;
            }
        };
        let mut depth = 0_usize;
        let mut end = rest.len();
        let mut quote: Option<char> = None;
        for (at, c) in rest.char_indices() {
            if let Some(mark) = quote {
                quote = (c != mark).then_some(mark);
            } else if open == '(' && matches!(c, '\'' | '"') {
                quote = Some(c);
            } else if c == open {
                depth += 1;
            } else if c == close {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    end = at + 1;
                    break;
                }
            }
        }
        text.push_str(&rest[..end]);
        self.at += end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let show = |command: &Command| {
            let words: Vec<&str> = command.words.iter().map(|word| word.text.as_str()).collect();
            format!("{}{}", words.join("·"), if command.next == Next::Pipe { " |" } else { "" })
        };
        commands(text).iter().map(show).collect()
    }

    #[test]
    fn finds_commands() {
        let check = |text: &str, expected: &[&str]| assert_eq!(shown(text), expected, "{text}");
        check("a b && c 'd e' || f; g | h & i", &["a·b", "c·d e", "f", "g |", "h", "i"]);
        check("A=1 B='x y' env C=d exec make -j4", &["make·-j4"]);
        check("if [ -e x ]; then rm x; fi", &["[·-e·x·]", "rm·x"]);
        check("set -eux; \\\n  (cd /x && make) 2>&1 >/dev/null", &["set·-eux", "cd·/x", "make"]);
        check("echo \"a && b\" 'c | d' e\\ f # g && h", &["echo·a && b·c | d·e f"]);
        check("x=$(a | b && c) d ${e:-f;g} `h;i`", &["d·${e:-f;g}·`h;i`"]);
        check("echo \"$(a \")\" b)\" c", &["echo·$(a \")\" b)·c"]);
        check("curl x |& tee y", &["curl·x |", "tee·y"]);
        check("cmd <<E >out 2>>err in", &["cmd·in"]);
        check("a\nb\n\nc", &["a", "b", "c"]);
        check("", &[]);
        check("'open && a", &["open && a"]);
        check("sudo -E apt-get update", &["apt-get·update"]);
    }

    #[test]
    fn knows_places_and_files() {
        let text = "make && sudo rm  -rf '/x y' > log";
        let found = commands(text);
        assert_eq!(&text[found[1].span()], "rm  -rf '/x y'");
        assert_eq!(found[1].written, ["log"]);
        assert_eq!(found[1].sudo, Some(Sudo { span: 8..12, user: None }));
        let user = |text: &str| commands(text)[0].sudo.clone().and_then(|sudo| sudo.user).unwrap_or_default();
        for text in ["sudo -u app make", "sudo -Eu app make", "sudo --user=app -- make", "sudo -E --user app A=b make"]
        {
            assert_eq!((shown(text), user(text)), (vec!["make".to_owned()], "app".to_owned()), "{text}");
        }
    }
}
