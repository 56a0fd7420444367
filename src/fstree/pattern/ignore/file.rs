//! The text of an ignore file.

/// The patterns in the text of an ignore file: comments and blanks dropped, paths cleaned.
///
/// Each comes with the number of its line, from 1.
pub fn parse_ignore_file(text: &str) -> Vec<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let mut patterns = Vec::new();
    for (number, line) in (1..).zip(lines).filter(|(_, line)| !line.starts_with('#')) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (mark, path) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest.trim()));
        let path = if path.is_empty() { String::new() } else { clean(path) };
        let path = if path.len() > 1 { path.strip_prefix('/').unwrap_or(&path) } else { &path };
        patterns.push((number, format!("{mark}{path}")));
    }
    patterns
}

/// The shortest equal path, as Go's `filepath.Clean` makes it.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}
