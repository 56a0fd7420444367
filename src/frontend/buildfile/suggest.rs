//! Which of the names that exist was meant.

/// Names longer than this, in bytes, are nobody's slip.
const LONGEST: usize = 200;

/// The known name nearest to a wrong one, if it is near enough to be a slip.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (1 + wrong.len() / 4).min(3);
    known
        .into_iter()
        .filter(|name| wrong.len().abs_diff(name.len()) <= limit && name.len() <= LONGEST)
        .map(|name| (distance(&fold(wrong), &fold(name)), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The same as advice.
pub(super) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(wrong, known).map(|name| format!("did you mean `{name}`?"))
}

/// Case and the kind of dash are not what a slip is about.
fn fold(name: &str) -> Vec<char> {
    name.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// How many letters must be added, removed, changed or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest() {
        let known = ["args", "context", "contexts", "dockerfile", "no-cache", "tags", "target"];
        let check = |wrong: &str, expected: Option<&str>| assert_eq!(nearest(wrong, known), expected, "{wrong}");
        check("arg", Some("args"));
        check("agrs", Some("args"));
        check("Dockerfile", Some("dockerfile"));
        check("no_cache", Some("no-cache"));
        check("contex", Some("context"));
        check("tag", Some("tags"));
        check("entitlements", None);
        check("", None);
    }
}
