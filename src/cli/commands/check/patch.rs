//! A unified diff of two texts, which `patch` and `git apply` take.

/// How many lines are shown around a change.
const AROUND: usize = 3;

/// More pairs of lines than this are not compared: then all of the text counts as changed.
const MOST_PAIRS: usize = 4 << 20;

/// A line of both texts, of the old one or of the new one.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    Same(usize, usize),
    Old(usize),
    New(usize),
}

/// The changes from one text to the other; nothing if there are none.
pub(super) fn unified(name: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let old: Vec<&str> = before.split_inclusive('\n').collect();
    let new: Vec<&str> = after.split_inclusive('\n').collect();
    let lines = align(&old, &new);
    let name = name.trim_start_matches("./");
    let mut text = match name.starts_with('/') {
        true => format!("--- {name}\n+++ {name}\n"),
        false => format!("--- a/{name}\n+++ b/{name}\n"),
    };
    let mut at = 0;
    while let Some(first) = (at..lines.len()).find(|&at| !matches!(lines[at], Line::Same(..))) {
        let start = first.saturating_sub(AROUND).max(at);
        let mut last = first;
        for (index, line) in lines.iter().enumerate().skip(first) {
            match line {
                Line::Same(..) if index > last + 2 * AROUND => break,
                Line::Same(..) => {}
                _ => last = index,
            }
        }
        let end = (last + 1 + AROUND).min(lines.len());
        text += &hunk(&lines[..start], &lines[start..end], &old, &new);
        at = end;
    }
    text
}

fn hunk(before: &[Line], lines: &[Line], old: &[&str], new: &[&str]) -> String {
    let range = |is_other: fn(&Line) -> bool| {
        let count = |lines: &[Line]| lines.iter().filter(|line| !is_other(line)).count();
        let (start, length) = (count(before), count(lines));
        // Nothing is said to stand after the line before it.
        format!("{},{length}", start + usize::from(length > 0))
    };
    let (of_old, of_new) = (range(|line| matches!(line, Line::New(_))), range(|line| matches!(line, Line::Old(_))));
    let mut text = format!("@@ -{of_old} +{of_new} @@\n");
    for line in lines {
        let (mark, line) = match *line {
            Line::Same(at, _) => (' ', old[at]),
            Line::Old(at) => ('-', old[at]),
            Line::New(at) => ('+', new[at]),
        };
        text.push(mark);
        text += line;
        if !line.ends_with('\n') {
            text += "\n\\ No newline at end of file\n";
        }
    }
    text
}

/// Both texts side by side, with as many common lines as there can be.
fn align(old: &[&str], new: &[&str]) -> Vec<Line> {
    let prefix = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let most = (old.len() - prefix).min(new.len() - prefix);
    let suffix = (0..most).take_while(|back| old[old.len() - 1 - back] == new[new.len() - 1 - back]).count();
    let (rows, columns) = (old.len() - prefix - suffix, new.len() - prefix - suffix);
    let mut lines: Vec<Line> = (0..prefix).map(|at| Line::Same(at, at)).collect();
    // How many lines are common from a place in both texts on.
    let width = columns + 1;
    let small = rows.saturating_mul(columns) <= MOST_PAIRS;
    let mut common = vec![0_u32; if small { (rows + 1) * width } else { 0 }];
    if small {
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                common[row * width + column] = match old[prefix + row] == new[prefix + column] {
                    true => common[(row + 1) * width + column + 1] + 1,
                    false => common[(row + 1) * width + column].max(common[row * width + column + 1]),
                };
            }
        }
    }
    let (mut row, mut column) = (0, 0);
    while row < rows || column < columns {
        if small && row < rows && column < columns && old[prefix + row] == new[prefix + column] {
            lines.push(Line::Same(prefix + row, prefix + column));
            (row, column) = (row + 1, column + 1);
        } else if row < rows
            && (column == columns || !small || common[(row + 1) * width + column] >= common[row * width + column + 1])
        {
            lines.push(Line::Old(prefix + row));
            row += 1;
        } else {
            lines.push(Line::New(prefix + column));
            column += 1;
        }
    }
    lines.extend((0..suffix).map(|at| Line::Same(old.len() - suffix + at, new.len() - suffix + at)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_changes_with_their_surroundings() {
        let check = |before: &str, after: &str, expected: &str| {
            let text = unified("./d/f", before, after);
            assert_eq!(text.strip_prefix("--- a/d/f\n+++ b/d/f\n").unwrap_or(&text), expected);
        };
        check("a\n", "a\n", "");
        check("a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        check("a\nb", "a\n", "@@ -1,2 +1,1 @@\n a\n-b\n\\ No newline at end of file\n");
        check("", "a\n", "@@ -0,0 +1,1 @@\n+a\n");
        let numbers = |changed: &[usize]| -> String {
            (1..=20).map(|n| if changed.contains(&n) { format!("x{n}\n") } else { format!("{n}\n") }).collect()
        };
        check(
            &numbers(&[]),
            &numbers(&[2, 18]),
            "@@ -1,5 +1,5 @@\n 1\n-2\n+x2\n 3\n 4\n 5\n@@ -15,6 +15,6 @@\n 15\n 16\n 17\n-18\n+x18\n 19\n 20\n",
        );
        assert!(unified("f", &numbers(&[]), &numbers(&[5, 10])).matches("@@ -").count() == 1);
        assert!(unified("/f", "a", "b").starts_with("--- /f\n+++ /f\n"));
    }
}
