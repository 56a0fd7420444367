//! The patterns of `${name#pattern}` and its kin: `*` is any text, `?` any character, `\` takes the next as it is.
//!
//! There are no bracket expressions. Neither wildcard matches a line break. Matching takes time linear in the text for
//! each match, so that no pattern can be made to take forever.

/// One element of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal(char),
    Any,
    Star,
}

/// A pattern, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// Reads a pattern; the error is what follows a backslash that means nothing.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Token::Literal(c),
                    other => return Err(other.map(String::from).unwrap_or_default()),
                },
                c => Token::Literal(c),
            });
        }
        Ok(Self(tokens))
    }

    /// The value without the shortest (or longest) start that matches.
    pub(super) fn trim_start(&self, value: &str, longest: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        let end = self.find(&chars, 0, true, longest).map_or(0, |(_, end)| end);
        chars[end..].iter().collect()
    }

    /// The value without the shortest (or longest) end that matches.
    pub(super) fn trim_end(&self, value: &str, longest: bool) -> String {
        let backwards = Self(self.0.iter().rev().copied().collect());
        let chars: Vec<char> = value.chars().rev().collect();
        let end = backwards.find(&chars, 0, true, longest).map_or(0, |(_, end)| end);
        chars[end..].iter().rev().collect()
    }

    /// The value with the first match (or all) replaced; none if the result gets longer than `limit` bytes.
    ///
    /// An empty pattern matches before every character; but an empty match right after another one does not count.
    ///
    /// Where all are replaced, `$` in the replacement means what it means to Go's regexp: `$0` is the match, `$$` a
    /// dollar sign, and any other name nothing, as there are no groups.
    pub(super) fn replace(&self, value: &str, replacement: &str, all: bool, limit: usize) -> Option<String> {
        let chars: Vec<char> = value.chars().collect();
        let mut text = String::new();
        let parts = if all { template(replacement) } else { vec![Part::Text(replacement)] };
        let (mut copied, mut from) = (0, 0);
        while from <= chars.len() {
            let Some((start, end)) = self.find(&chars, from, false, true) else { break };
            text.extend(&chars[copied..start]);
            if end > copied || start == 0 {
                for part in &parts {
                    match part {
                        Part::Text(literal) => text.push_str(literal),
                        Part::Match => text.extend(&chars[start..end]),
                    }
                }
            }
            if text.len() > limit {
                return None;
            }
            copied = end;
            from = end.max(from + 1);
            if !all {
                break;
            }
        }
        text.extend(&chars[copied.min(chars.len())..]);
        (text.len() <= limit).then_some(text)
    }

    /// The leftmost match that starts at `from` or later (or just there, if anchored), and of these the shortest or
    /// the longest.
    fn find(&self, text: &[char], from: usize, anchored: bool, longest: bool) -> Option<(usize, usize)> {
        let tokens = &self.0;
        // For every place in the pattern: where the leftmost attempt that has come so far has started.
        let mut states: Vec<Option<usize>> = vec![None; tokens.len() + 1];
        let mut best: Option<(usize, usize)> = None;
        for at in from..=text.len() {
            if best.is_none() && (!anchored || at == from) && states[0].is_none() {
                states[0] = Some(at);
            }
            for place in 0..tokens.len() {
                if tokens[place] == Token::Star
                    && let Some(start) = states[place]
                {
                    states[place + 1] = Some(states[place + 1].map_or(start, |other| other.min(start)));
                }
            }
            if let Some(start) = states[tokens.len()] {
                match best {
                    Some((earlier, _)) if earlier < start => {}
                    Some((earlier, _)) if earlier == start && !longest => {}
                    _ => best = Some((start, at)),
                }
                if !longest && anchored {
                    return best;
                }
            }
            let Some(&c) = text.get(at) else { break };
            let limit = best.map_or(usize::MAX, |(start, _)| start);
            let mut next = vec![None; tokens.len() + 1];
            let mut alive = false;
            for (place, token) in tokens.iter().enumerate() {
                let Some(start) = states[place].filter(|&start| start <= limit) else { continue };
                let target = match token {
                    Token::Literal(literal) if *literal == c => place + 1,
                    Token::Any if c != '\n' => place + 1,
                    Token::Star if c != '\n' => place,
                    _ => continue,
                };
                alive = true;
                next[target] = Some(next[target].map_or(start, |other: usize| other.min(start)));
            }
            if !alive && (anchored || best.is_some()) {
                break;
            }
            states = next;
        }
        best
    }
}

/// A piece of a replacement.
enum Part<'a> {
    Text(&'a str),
    /// What was matched.
    Match,
}

/// The pieces of a replacement in which `$` means something.
fn template(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        parts.push(Part::Text(before));
        let is_name = |c: char| c == '_' || c.is_alphanumeric();
        let bare = &after[..after.find(|c| !is_name(c)).unwrap_or(after.len())];
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, length) = match braced.filter(|(name, _)| !name.is_empty() && name.chars().all(is_name)) {
            Some((name, _)) => (name, name.len() + 2),
            None => (bare, bare.len()),
        };
        let (part, length) = match (name, after.starts_with('$')) {
            (_, true) => (Part::Text("$"), 1),
            ("", _) => (Part::Text("$"), 0),
            (name, _) if name.bytes().all(|b| b == b'0') => (Part::Match, length),
            _ => (Part::Text(""), length),
        };
        parts.push(part);
        rest = &after[length..];
    }
    parts.push(Part::Text(rest));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_leftmost_longest() {
        let check = |pattern: &str, text: &str, expected: Option<(usize, usize)>| {
            let chars: Vec<char> = text.chars().collect();
            assert_eq!(Pattern::parse(pattern).unwrap().find(&chars, 0, false, true), expected, "{pattern} in {text}");
        };
        check("b", "abcb", Some((1, 2)));
        check("b*b", "abcbd", Some((1, 4)));
        check("aab", "aaab", Some((1, 4)));
        check("?b", "bb", Some((0, 2)));
        check("x", "abc", None);
        check("", "abc", Some((0, 0)));
        check("a*z", "a\nz", None);
    }

    #[test]
    fn long_texts_take_linear_time() {
        let text = "a".repeat(100_000);
        assert_eq!(Pattern::parse("a*a*a*b").unwrap().replace(&text, "", true, usize::MAX).as_deref(), Some(&*text));
    }
}
