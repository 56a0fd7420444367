//! One pattern, compiled: the few forms that almost all patterns have are plain comparisons of bytes, the rest is run as
//! tokens.

use crate::fstree::pattern::glob::{Class, SLASH, next_char, read_class};

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Literal(u32),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `**/`: any folders, or none.
    Folders,
    /// `**` at the end.
    Everything,
    Class(Class),
}

/// A pattern in the form that is quickest to ask.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// No wildcards.
    Exact(Vec<u8>),
    /// Something plain and then `**`.
    Prefix(Vec<u8>),
    /// `**` and then something plain.
    Suffix(Vec<u8>),
    /// Plain text with one `*` in it, perhaps behind `**/`; and the same as tokens.
    Star(Star, Vec<Token>),
    /// Anything else, and the plain end of it, by which most paths are told apart at once.
    Tokens(Vec<Token>, Vec<u8>),
}

/// `start*end`, or `**/start*end`.
#[derive(Debug, Clone)]
pub(super) struct Star {
    folders: bool,
    start: Vec<u8>,
    end: Vec<u8>,
    /// How many slashes there are in both.
    slashes: usize,
}

impl Star {
    /// The same, if the tokens of a pattern say no more.
    fn find(tokens: &[Token]) -> Option<Self> {
        let (folders, rest) = match tokens {
            [Token::Folders, rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let plain = |tokens: &[Token]| -> Option<Vec<u8>> {
            let c = |token: &Token| if let Token::Literal(c) = token { char::from_u32(*c) } else { None };
            Some(tokens.iter().map(c).collect::<Option<String>>()?.into_bytes())
        };
        let at = rest.iter().position(|token| *token == Token::Star)?;
        let (start, end) = (plain(&rest[..at])?, plain(&rest[at + 1..])?);
        let slashes = start.iter().chain(&end).filter(|&&byte| byte == b'/').count();
        Some(Self { folders, start, end, slashes })
    }

    fn matches(&self, path: &[u8]) -> bool {
        if !path.ends_with(&self.end) {
            return false;
        }
        // The star takes no slash, so what stands behind the folders has as many as the pattern.
        let path = match path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').nth(self.slashes) {
            Some(_) if !self.folders => return false,
            Some((slash, _)) => &path[slash + 1..],
            None => path,
        };
        path.len() >= self.start.len() + self.end.len()
            && path.starts_with(&self.start)
            && path.ends_with(&self.end)
            && !path[self.start.len()..path.len() - self.end.len()].contains(&b'/')
    }
}

impl Form {
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(text) => path.starts_with(text),
            Self::Suffix(text) => path.ends_with(text) || text.strip_prefix(b"/").is_some_and(|text| path == text),
            Self::Star(star, _) => star.matches(path),
            Self::Tokens(tokens, end) => {
                path.ends_with(end) && run(tokens, path, |places| places.last().copied().unwrap_or(false))
            }
        }
    }

    /// Whether a path that starts with `start` can match.
    pub(super) fn may_match_below(&self, start: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.starts_with(start),
            Self::Prefix(text) => text.starts_with(start) || start.starts_with(text),
            Self::Suffix(_) => true,
            Self::Star(_, tokens) | Self::Tokens(tokens, _) => {
                run(tokens, start, |places| places.iter().take(tokens.len()).any(|&alive| alive))
            }
        }
    }
}

/// The places in the pattern that can be reached by reading `path`; the last one is the match of all of it.
fn run<R>(tokens: &[Token], path: &[u8], then: impl FnOnce(&[bool]) -> R) -> R {
    // Memory is asked for only by patterns that nobody writes.
    let (mut small, mut large);
    let cells: &mut [bool] = if tokens.len() < 64 {
        small = [false; 4 * 64];
        &mut small
    } else {
        large = vec![false; 4 * (tokens.len() + 1)];
        &mut large
    };
    let mut parts = cells.chunks_exact_mut(tokens.len() + 1);
    // Besides the places: whether a `**/` is inside a component, that is, may not end here.
    let (Some(mut states), Some(mut next), Some(mut inside), Some(mut still_inside)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return then(&[]);
    };
    states[0] = true;
    let mut rest = path;
    loop {
        for at in 0..tokens.len() {
            if states[at] && matches!(tokens[at], Token::Star | Token::Folders | Token::Everything) {
                states[at + 1] = true;
            }
        }
        let Some(c) = next_char(&mut rest) else { break };
        next.fill(false);
        still_inside.fill(false);
        let mut alive = false;
        for (at, token) in tokens.iter().enumerate() {
            alive |= states[at] || inside[at];
            if *token == Token::Folders && (states[at] || inside[at]) {
                still_inside[at] = true;
                next[at] |= c == SLASH;
                continue;
            }
            if !states[at] {
                continue;
            }
            match token {
                Token::Star => next[at] |= c != SLASH,
                Token::Everything => next[at] = true,
                Token::Any => next[at + 1] |= c != SLASH,
                Token::Literal(literal) => next[at + 1] |= *literal == c,
                Token::Class(class) => next[at + 1] |= class.matches(c),
                Token::Folders => {}
            }
        }
        std::mem::swap(&mut states, &mut next);
        std::mem::swap(&mut inside, &mut still_inside);
        if !alive {
            break;
        }
    }
    // Inside a component of `**/`, more can still come.
    for at in 0..tokens.len() {
        states[at] |= inside[at];
    }
    then(states)
}

/// Finds the form of a cleaned pattern.
pub(super) fn compile(text: &str) -> Result<Form, &'static str> {
    let bytes = text.as_bytes();
    let mut rest = bytes;
    let mut tokens = Vec::new();
    // Whether `**` stands first and everything after it is plain, and whether all is plain so far.
    let (mut suffix, mut exact) = (false, true);
    while let Some(c) = next_char(&mut rest) {
        match char::from_u32(c) {
            Some('*') if rest.first() == Some(&b'*') => {
                let first = tokens.is_empty();
                rest = &rest[1..];
                rest = rest.strip_prefix(b"/").unwrap_or(rest);
                if rest.is_empty() && exact && !first {
                    return Ok(Form::Prefix(bytes[..bytes.len() - 2].to_vec()));
                }
                tokens.push(if rest.is_empty() { Token::Everything } else { Token::Folders });
                suffix = first;
                exact = false;
            }
            Some('*') => {
                tokens.push(Token::Star);
                (suffix, exact) = (false, false);
            }
            Some('?') => {
                tokens.push(Token::Any);
                (suffix, exact) = (false, false);
            }
            Some('[') => {
                tokens.push(Token::Class(read_class(&mut rest)?));
                (suffix, exact) = (false, false);
            }
            Some('\\') => {
                tokens.push(Token::Literal(next_char(&mut rest).ok_or("nothing follows the last backslash")?));
                (suffix, exact) = (false, false);
            }
            _ => tokens.push(Token::Literal(c)),
        }
    }
    Ok(match (exact, suffix) {
        (true, _) => Form::Exact(bytes.to_vec()),
        (_, true) => Form::Suffix(bytes[2..].to_vec()),
        _ => match Star::find(&tokens) {
            Some(star) => Form::Star(star, tokens),
            None => {
                let end = plain_end(&tokens);
                Form::Tokens(tokens, end)
            }
        },
    })
}

/// The bytes that everything which the tokens match ends with.
fn plain_end(tokens: &[Token]) -> Vec<u8> {
    let ascii = |token: &Token| match token {
        Token::Literal(c) => u8::try_from(*c).ok().filter(u8::is_ascii),
        _ => None,
    };
    let mut end: Vec<u8> = tokens.iter().rev().map_while(ascii).collect();
    end.reverse();
    end
}
