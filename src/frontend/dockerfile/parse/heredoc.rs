//! Here-documents: finding what opens one.

use crate::frontend::dockerfile::expand::{ExpandError, Expander, Nothing};

/// What opens a heredoc: `[fd]<<[-]WORD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::frontend::dockerfile) struct Opening {
    /// The word, quotes removed.
    pub name: String,
    /// Whether no part of it is quoted.
    pub expand: bool,
    /// Whether there is a `-`.
    pub strip_tabs: bool,
}

fn rules() -> Expander {
    Expander { keep_unset: true, ..Expander::new('\\') }
}

/// Reads a word that may open a heredoc.
pub(in crate::frontend::dockerfile) fn opening(word: &str) -> Result<Option<Opening>, ExpandError> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (strip_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let words = rules().expand(rest, &Nothing)?.words;
    let [name] = words.as_slice() else { return Ok(None) };
    let raw = Expander { raw_quotes: true, ..rules() }.expand(rest, &Nothing)?.words;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = raw.first().is_some_and(|raw| quotes(raw) == quotes(name));
    Ok(Some(Opening { name: name.clone(), expand, strip_tabs }))
}

/// The heredocs that a line opens, in order. A line that the shell could not read opens none.
pub(super) fn openings(line: &str) -> Result<Vec<Opening>, ExpandError> {
    let rules = Expander { raw_quotes: true, raw_escapes: true, ..rules() };
    let Ok(expanded) = rules.expand(line, &Nothing) else { return Ok(Vec::new()) };
    expanded.words.iter().filter_map(|word| opening(word).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_heredocs() {
        let check = |line: &str, expected: &[(&str, bool, bool)]| {
            let found = openings(line).unwrap();
            let found: Vec<_> = found.iter().map(|o| (o.name.as_str(), o.expand, o.strip_tabs)).collect();
            assert_eq!(found, expected, "{line}");
        };
        check("RUN <<EOF", &[("EOF", true, false)]);
        check("RUN cat <<-'A' 3<<\"B\"c << D", &[("A", false, true), ("Bc", false, false), ("D", true, false)]);
        check("COPY <<$A <<a.b-c_d /x", &[("$A", true, false), ("a.b-c_d", true, false)]);
        check("RUN echo \"<<A\" '<<B' \\<\\<C x<<D <<<E", &[]);
        check("RUN echo $((1<<4)) it's <<EOF", &[]);
        check("RUN echo $(( 1 << 4 ))", &[("4", true, false)]);
    }
}
