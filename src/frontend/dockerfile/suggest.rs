//! "Did you mean": the nearest of some known words.
//!
//! A hostile file has thousands of unknown words and thousands of known ones, so the work for one is limited.

/// Nobody mistypes a longer word into a known one, and the work grows with its square.
const MAX_WORD: usize = 64;
/// How many known words are looked at.
const MAX_OPTIONS: usize = 200;
/// How far a word can be from what was meant.
const MAX_DISTANCE: usize = 2;

/// The option that differs least from `word`, if it is near enough to be meant. Case is ignored.
pub(super) fn nearest<'a>(word: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
    let mut found: Option<(usize, &str)> = None;
    let mut letters = Vec::new();
    for option in options.into_iter().take(MAX_OPTIONS) {
        letters.clear();
        letters.extend(option.chars().flat_map(char::to_lowercase).take(word.len() + MAX_DISTANCE + 1));
        let Some(distance) = distance(&word, &letters) else { continue };
        if distance < option.len() && found.is_none_or(|(least, _)| distance < least) {
            found = Some((distance, option));
        }
    }
    found.map(|(_, option)| option)
}

/// How many characters must be inserted, removed, changed or swapped with their neighbour to get from one word to the
/// other; none if they are more than [`MAX_DISTANCE`].
fn distance(from: &[char], to: &[char]) -> Option<usize> {
    if from.len().abs_diff(to.len()) > MAX_DISTANCE || to.len() >= 2 * MAX_WORD {
        return None;
    }
    // The row before the last, the last, and the one under way.
    let mut rows = [[0_usize; 2 * MAX_WORD]; 3];
    for (place, cell) in rows[1].iter_mut().enumerate().take(to.len() + 1) {
        *cell = place;
    }
    for (i, a) in from.iter().enumerate() {
        let [before, last, row] = &mut rows;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let mut least = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from[i - 1] == *b && *a == to[j - 1] {
                least = least.min(before[j - 1] + 1);
            }
            row[j + 1] = least;
        }
        // A swap reaches back two rows, and what both are too far from is not reached any more.
        let near = |row: &[usize]| row[..=to.len()].iter().any(|&distance| distance <= MAX_DISTANCE);
        if !near(last) && !near(row) {
            return None;
        }
        rows.rotate_left(1);
    }
    Some(rows[1][to.len()]).filter(|&distance| distance <= MAX_DISTANCE)
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
        check("work-dirs", Some("WORKDIR"));
        check("workddirss", None);
    }
}
