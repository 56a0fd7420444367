//! What stands behind a `$`: a variable's name, perhaps in braces, perhaps with a modifier.
//!
//! Words in a modifier are always evaluated, even if their value is not used.

use super::pattern::Pattern;
use super::word::Run;
use super::{ExpandError, MAX_DEPTH, MAX_SIZE};

impl Run<'_> {
    pub(super) fn dollar(&mut self) -> Result<String, ExpandError> {
        self.at += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".into());
            }
            return Ok(match self.value(&name) {
                None if self.rules.keep_unset => format!("${name}"),
                value => value.unwrap_or_default(),
            });
        }
        self.at += 1;
        match self.peek() {
            None => return Err(ExpandError::Brace),
            Some('{' | '}' | ':') => return Err(ExpandError::Name),
            Some(_) => {}
        }
        if self.depth == MAX_DEPTH {
            return Err(ExpandError::Depth);
        }
        self.depth += 1;
        let value = self.braces();
        self.depth -= 1;
        value
    }

    /// What stands behind `${`.
    fn braces(&mut self) -> Result<String, ExpandError> {
        let name = self.name();
        match self.next().ok_or(ExpandError::Brace)? {
            '}' => Ok(match self.value(&name) {
                None if self.rules.keep_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            ':' => {
                let modifier = self.next().ok_or(ExpandError::Brace)?;
                if !matches!(modifier, '-' | '+' | '?') {
                    return Err(ExpandError::Modifier(format!(":{modifier}")));
                }
                self.choice(&name, modifier, true)
            }
            modifier @ ('-' | '+' | '?') => self.choice(&name, modifier, false),
            modifier @ ('#' | '%') => {
                let word = self.word('}', true)?;
                let value = match self.value(&name) {
                    None if self.rules.keep_unset => return Ok(format!("${{{name}{modifier}{word}}}")),
                    value => value.unwrap_or_default(),
                };
                let (longest, pattern) =
                    word.strip_prefix(modifier).map_or((false, word.as_str()), |rest| (true, rest));
                let pattern = Pattern::parse(pattern).map_err(ExpandError::Escape)?;
                Ok(if modifier == '#' {
                    pattern.trim_start(&value, longest)
                } else {
                    pattern.trim_end(&value, longest)
                })
            }
            '/' => {
                let all = self.peek() == Some('/');
                if all {
                    self.at += 1;
                }
                let pattern = self.word('/', true)?;
                let replacement = self.word('}', true)?;
                // One that is not set is empty, which a pattern can match.
                let value = match self.value(&name) {
                    None if self.rules.keep_unset => return Ok(format!("${{{name}/{pattern}/{replacement}}}")),
                    value => value.unwrap_or_default(),
                };
                let pattern = Pattern::parse(&pattern).map_err(ExpandError::Escape)?;
                pattern.replace(&value, &replacement, all, MAX_SIZE).ok_or(ExpandError::Size)
            }
            other => Err(ExpandError::Modifier(other.to_string())),
        }
    }

    /// `-`, `+` and `?`; with `or_empty` (a colon) an empty value counts as none.
    fn choice(&mut self, name: &str, modifier: char, or_empty: bool) -> Result<String, ExpandError> {
        let word = self.word('}', false)?;
        let value = self.value(name);
        if self.rules.keep_unset && value.is_none() {
            let colon = if or_empty { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let found = value.filter(|value| !or_empty || !value.is_empty());
        match (modifier, found) {
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            (_, None) => {
                let empty = or_empty && self.variables.get(name).is_some();
                let message = match (word.is_empty(), empty) {
                    (false, _) => word,
                    (true, true) => "it must not be empty".into(),
                    (true, false) => "it must be set".into(),
                };
                Err(ExpandError::Required { name: name.to_owned(), message })
            }
        }
    }

    /// The word of a modifier, up to `stop`.
    fn word(&mut self, stop: char, raw_escapes: bool) -> Result<String, ExpandError> {
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let word = self.until(Some(stop));
        self.raw_escapes = outer;
        Ok(word?.0)
    }

    /// A variable's name: letters, digits and `_`, or digits alone, or one of the shell's special parameters.
    fn name(&mut self) -> String {
        let start = self.at;
        match self.peek() {
            Some(c) if is_digit(c) => {
                while self.peek().is_some_and(is_digit) {
                    self.at += 1;
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => self.at += 1,
            _ => {
                while self.peek().is_some_and(|c| c.is_alphabetic() || is_digit(c) || c == '_') {
                    self.at += 1;
                }
            }
        }
        self.chars[start..self.at].iter().collect()
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = self.variables.get(name);
        let seen = if value.is_some() { &mut self.matched } else { &mut self.unmatched };
        seen.insert(name.to_owned());
        value.map(str::to_owned)
    }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}
