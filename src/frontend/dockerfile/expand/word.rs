//! Words and quotes: the text between substitutions, and where it is split.

use std::collections::BTreeSet;

use super::{ExpandError, Expander, Lookup, MAX_SIZE};

/// One expansion under way.
pub(super) struct Run<'a> {
    pub(super) rules: Expander,
    pub(super) chars: Vec<char>,
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) raw_escapes: bool,
    /// The word under way. There is one for all levels, so the word of a modifier forgets what stood before it, as
    /// BuildKit has it: `EXPOSE 80${n:-80}` exposes 80.
    word: String,
    pub(super) variables: &'a dyn Lookup,
    pub(super) matched: BTreeSet<String>,
    pub(super) unmatched: BTreeSet<String>,
}

impl<'a> Run<'a> {
    /// Starts at the head of `text`.
    pub(super) fn new(rules: Expander, text: &str, variables: &'a dyn Lookup) -> Self {
        Self {
            rules,
            chars: text.chars().collect(),
            at: 0,
            depth: 0,
            raw_escapes: rules.raw_escapes,
            word: String::new(),
            variables,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Adds what is not quoted to the word under way, or ends it.
    fn unquoted(&mut self, c: char, words: &mut Vec<String>) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else {
            self.end_word(words);
        }
    }

    fn end_word(&mut self, words: &mut Vec<String>) {
        if !self.word.is_empty() {
            words.push(std::mem::take(&mut self.word));
        }
    }

    /// Expands up to `stop`, which is consumed, or to the end.
    pub(super) fn until(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), ExpandError> {
        let mut text = String::new();
        let mut words = Vec::new();
        self.word.clear();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.at += 1;
                self.end_word(&mut words);
                return Ok((text, words));
            }
            match c {
                '\'' | '"' if !self.rules.ignore_quotes => {
                    let part = if c == '"' { self.double_quotes()? } else { self.single_quotes()? };
                    text.push_str(&part);
                    self.word.push_str(&part);
                }
                '$' => {
                    let part = self.dollar()?;
                    text.push_str(&part);
                    part.chars().for_each(|c| self.unquoted(c, &mut words));
                }
                '<' => {
                    let part = self.less_than();
                    text.push_str(&part);
                    self.word.push_str(&part);
                }
                _ if c == self.rules.escape => {
                    self.at += 1;
                    let escaped = self.next();
                    for c in self.raw_escapes.then_some(c).into_iter().chain(escaped) {
                        text.push(c);
                        self.word.push(c);
                    }
                }
                _ => {
                    self.at += 1;
                    text.push(c);
                    self.unquoted(c, &mut words);
                }
            }
            if text.len() > MAX_SIZE {
                return Err(ExpandError::Size);
            }
        }
        match stop {
            None => {
                self.end_word(&mut words);
                Ok((text, words))
            }
            Some('/') => Err(ExpandError::Slash),
            Some(_) => Err(ExpandError::Brace),
        }
    }

    /// `<`, or `<<` with the blanks after it: what may open a heredoc is one word.
    fn less_than(&mut self) -> String {
        self.at += 1;
        if self.peek() != Some('<') {
            return "<".into();
        }
        self.at += 1;
        let mut text = String::from("<<");
        while let Some(blank @ ('\t' | '\r' | ' ')) = self.peek() {
            text.push(blank);
            self.at += 1;
        }
        text
    }

    fn single_quotes(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        self.quote_mark(&mut text);
        loop {
            match self.peek().ok_or(ExpandError::Quote("single"))? {
                '\'' => {
                    self.quote_mark(&mut text);
                    return Ok(text);
                }
                c => {
                    self.at += 1;
                    text.push(c);
                }
            }
        }
    }

    fn double_quotes(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        self.quote_mark(&mut text);
        loop {
            match self.peek().ok_or(ExpandError::Quote("double"))? {
                '"' => {
                    self.quote_mark(&mut text);
                    return Ok(text);
                }
                '$' => text.push_str(&self.dollar()?),
                c if c == self.rules.escape => {
                    self.at += 1;
                    match self.peek() {
                        None => {}
                        Some(next) if next == '"' || next == '$' || next == c => {
                            if self.raw_escapes {
                                text.push(c);
                            }
                            text.push(next);
                            self.at += 1;
                        }
                        // Before anything else it is an ordinary character. (Where escapes are kept, BuildKit keeps it
                        // twice, which is seen only in patterns.)
                        Some(_) => {
                            if self.raw_escapes {
                                text.push(c);
                            }
                            text.push(c);
                        }
                    }
                }
                c => {
                    self.at += 1;
                    text.push(c);
                }
            }
            if text.len() > MAX_SIZE {
                return Err(ExpandError::Size);
            }
        }
    }

    fn quote_mark(&mut self, text: &mut String) {
        if let Some(mark) = self.next()
            && self.rules.raw_quotes
        {
            text.push(mark);
        }
    }
}
