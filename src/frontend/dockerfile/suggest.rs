//! "Did you mean": the nearest of some known words.

/// The option that differs least from `word`, if it is near enough to be meant. Case is ignored.
pub(super) fn nearest<'a>(word: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a word this long into a known one, and the work grows with its square.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase();
    let scored = options.into_iter().map(|option| (distance(&word, &option.to_lowercase()), option));
    scored
        .filter(|&(distance, option)| distance < 3 && distance < option.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, option)| option)
}

/// How many characters must be inserted, removed or changed to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typing_errors() {
        let check = |word: &str, expected: Option<&str>| {
            assert_eq!(nearest(word, ["RUN", "COPY", "WORKDIR", "CMD"]), expected, "{word}");
        };
        check("RUNN", Some("RUN"));
        check("copi", Some("COPY"));
        check("WORKDR", Some("WORKDIR"));
        check("INSTALL", None);
        check("", None);
    }
}
