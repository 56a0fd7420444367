//! What a step wrote, as lines for a page: of many, those at both ends.

use crate::cli::progress::{Lines, clean};
use crate::event::{Event, Stream};
use crate::ops::record::Log;

/// How many lines are shown from the beginning, and how many from the end.
const HEAD: usize = 100;
const TAIL: usize = 400;

/// Some lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The first.
    pub head: Vec<String>,
    /// How many are left out.
    pub gone: usize,
    /// The last.
    pub tail: Vec<String>,
}

impl Output {
    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    fn of(mut lines: Vec<String>) -> Self {
        if lines.len() <= HEAD + TAIL {
            return Self { head: lines, ..Self::default() };
        }
        let tail = lines.split_off(lines.len() - TAIL);
        let gone = lines.len() - HEAD;
        lines.truncate(HEAD);
        Self { head: lines, gone, tail }
    }
}

/// What each of these many steps wrote.
pub fn outputs(log: &Log, steps: usize) -> Vec<Output> {
    let mut cutters: Vec<[Lines; 2]> = (0..steps).map(|_| Default::default()).collect();
    let mut lines: Vec<Vec<String>> = vec![Vec::new(); steps];
    for (_, event) in &log.entries {
        let Event::Output(step, stream, bytes) = event else { continue };
        let (Some(cutters), Some(lines)) = (cutters.get_mut(*step), lines.get_mut(*step)) else { continue };
        let cutter = &mut cutters[usize::from(*stream == Stream::Stderr)];
        lines.extend(cutter.push(bytes).iter().map(|line| clean(line, false)));
    }
    for (cutters, lines) in cutters.iter_mut().zip(&mut lines) {
        lines.extend(cutters.iter_mut().filter_map(Lines::finish).map(|line| clean(&line, false)));
    }
    lines.into_iter().map(Output::of).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn cuts_and_shortens() {
        let write = |step, stream, text: &str| (Duration::ZERO, Event::Output(step, stream, text.into()));
        let many: String = (0..1000).map(|line| format!("{line}\n")).collect();
        let log = Log {
            entries: vec![
                write(1, Stream::Stdout, "a\n\x1b[31mb"),
                write(1, Stream::Stderr, "error\n"),
                write(1, Stream::Stdout, "c"),
                write(2, Stream::Stdout, &many),
                write(9, Stream::Stdout, "nobody's"),
            ],
        };
        let all = outputs(&log, 3);
        assert!(all[0].is_empty());
        assert_eq!(all[1], Output { head: vec!["a".into(), "error".into(), "bc".into()], ..Output::default() });
        assert_eq!((all[2].head.len(), all[2].gone, all[2].tail.len()), (HEAD, 1000 - HEAD - TAIL, TAIL));
        assert_eq!((all[2].head[99].as_str(), all[2].tail[0].as_str()), ("99", "600"));
    }
}
