//! A Dockerfile up to a line: for builds that stop there.
//!
//! What comes after the line is left out, later stages too, so that the stage with the line is the last one. Whoever
//! lowers that gets the state of the stage at this place, and the configuration that an image would have.

use crate::frontend::dockerfile::ast::{Dockerfile, Head, Kind};

/// A Dockerfile that ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Until {
    /// What is left.
    pub file: Dockerfile,
    /// The instruction that holds the line, whether it is left or not.
    pub stop: Stop,
}

/// The instruction at which a Dockerfile ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The instruction on one line.
    pub text: String,
    /// The line that it begins on.
    pub line: u32,
    /// Whether it is a `RUN`.
    pub is_run: bool,
}

/// A line that nothing can stop at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchLine {
    /// There are not so many.
    #[error("there is no line {line}: the last instruction is on line {last}")]
    Behind {
        /// The line.
        line: u32,
        /// The last one with something on it.
        last: u32,
    },
    /// No stage has begun there.
    #[error("line {line} stands before the first stage, which begins on line {first}")]
    Before {
        /// The line.
        line: u32,
        /// The line of the first `FROM`.
        first: u32,
    },
    /// A stage begins there, so there is nothing before it.
    #[error("there is nothing before line {0}: a stage begins there")]
    Start(u32),
}

impl Dockerfile {
    /// The same up to the instruction that holds a line, or the one above it if none does; with `before`, without it.
    pub fn until(&self, line: u32, before: bool) -> Result<Until, NoSuchLine> {
        let first_line = |head: &Head| self.line(head.span.start);
        let last_line = |head: &Head| self.line(head.span.end.max(head.span.start + 1) - 1);
        let stage = self.stages.iter().rposition(|stage| first_line(&stage.head) <= line);
        let Some(stage) = stage else {
            let first = self.stages.first().map_or(1, |stage| first_line(&stage.head));
            return Err(NoSuchLine::Before { line, first });
        };
        let mut file = self.clone();
        file.stages.truncate(stage + 1);
        let is_last = stage + 1 == self.stages.len();
        let Some(current) = file.stages.last_mut() else { return Err(NoSuchLine::Start(line)) };
        current.instructions.retain(|instruction| first_line(&instruction.head) <= line);
        let holder = current.instructions.last().map_or(&current.head, |instruction| &instruction.head);
        let last = last_line(holder);
        let is_whole = current.instructions.len() == self.stages[stage].instructions.len();
        if is_last && is_whole && line > last {
            return Err(NoSuchLine::Behind { line, last });
        }
        let stop = Stop {
            text: holder.text.clone(),
            line: first_line(holder),
            is_run: matches!(current.instructions.last(), Some(last) if matches!(last.kind, Kind::Run(_))),
        };
        if before && current.instructions.pop().is_none() {
            return Err(NoSuchLine::Start(stop.line));
        }
        Ok(Until { file, stop })
    }
}

#[cfg(test)]
mod tests {
    use crate::frontend::dockerfile::parse;

    const FILE: &str = "\
ARG A

FROM one AS a
RUN b \\
  c
# a comment
ENV d=e

FROM two
COPY f /
RUN <<END
g
END
";

    /// How many stages are left, the keywords of the last one's instructions, and the line of the one that holds the line.
    fn check(line: u32, before: bool, expected: Result<(usize, &str, u32), &str>) {
        let file = parse(FILE).dockerfile.unwrap();
        let until = file.until(line, before).map_err(|error| error.to_string());
        let shown = until.map(|until| {
            let stage = until.file.stages.last().unwrap();
            let words: Vec<&str> = stage.instructions.iter().map(|one| one.head.keyword()).collect();
            (until.file.stages.len(), words.join(" "), until.stop.line)
        });
        let expected = expected.map(|(stages, words, at)| (stages, words.to_owned(), at)).map_err(str::to_owned);
        assert_eq!(shown, expected, "{line} {before}");
    }

    #[test]
    fn stops_at_the_instruction_that_holds_the_line() {
        check(3, false, Ok((1, "", 3)));
        check(4, false, Ok((1, "RUN", 4)));
        check(5, false, Ok((1, "RUN", 4)));
        check(5, true, Ok((1, "", 4)));
        check(7, false, Ok((1, "RUN ENV", 7)));
        check(7, true, Ok((1, "RUN", 7)));
        check(9, false, Ok((2, "", 9)));
        check(10, false, Ok((2, "COPY", 10)));
        check(12, false, Ok((2, "COPY RUN", 11)));
        check(13, true, Ok((2, "COPY", 11)));
    }

    #[test]
    fn a_line_between_two_belongs_to_the_first() {
        check(6, false, Ok((1, "RUN", 4)));
        check(6, true, Ok((1, "", 4)));
        check(8, true, Ok((1, "RUN", 7)));
    }

    #[test]
    fn knows_which_stop_is_a_process() {
        let is_run = |line| parse(FILE).dockerfile.unwrap().until(line, true).unwrap().stop.is_run;
        assert_eq!([4, 7, 10, 11].map(is_run), [true, false, false, true]);
    }

    #[test]
    fn says_where_the_file_begins_and_ends() {
        check(1, false, Err("line 1 stands before the first stage, which begins on line 3"));
        check(3, true, Err("there is nothing before line 3: a stage begins there"));
        check(14, false, Err("there is no line 14: the last instruction is on line 13"));
        check(0, false, Err("line 0 stands before the first stage, which begins on line 3"));
    }
}
