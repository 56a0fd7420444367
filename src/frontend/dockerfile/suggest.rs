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

/// How many characters must be inserted, removed, changed or swapped with their neighbour to get from one word to the
/// other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from[i - 1] == *b && *a == to[j - 1] {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typing_errors() {
        let check = |word: &str, expected: Option<&str>| {
            assert_eq!(nearest(word, ["ENV", "RUN", "COPY", "WORKDIR", "CMD"]), expected, "{word}");
        };
        check("RUNN", Some("RUN"));
        check("RNU", Some("RUN"));
        check("copi", Some("COPY"));
        check("WORKDR", Some("WORKDIR"));
        check("INSTALL", None);
        check("", None);
    }
}
