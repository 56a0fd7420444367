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
    pub(super) fn replace(&self, value: &str, replacement: &str, all: bool, limit: usize) -> Option<String> {
        let chars: Vec<char> = value.chars().collect();
        let mut text = String::new();
        let (mut copied, mut from) = (0, 0);
        while from <= chars.len() {
            let Some((start, end)) = self.find(&chars, from, false, true) else { break };
            text.extend(&chars[copied..start]);
            if end > copied || start == 0 {
                text.push_str(replacement);
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
