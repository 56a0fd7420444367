//! What a front end has to say about its input: messages that point at bytes of it.
//!
//! Values only; `cli` draws them. Several can be reported at once, errors and warnings together.

use std::ops::Range;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The build cannot go on.
    Error,
    /// It can, but it may not do what was meant.
    Warning,
    /// It does what was meant, but there is a better way.
    Advice,
}

/// Bytes of the source and what should stand there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edit {
    /// The bytes that go; none for an insertion.
    pub span: Range<usize>,
    /// What comes in their place; nothing for a deletion.
    pub text: String,
}

/// A change of the source after which a message is not there any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Fix {
    /// The edits, which do not overlap.
    pub edits: Vec<Edit>,
    /// Whether the result of the build changes. If not, the fix can be applied without asking.
    pub changes_result: bool,
}

/// A remark at some bytes of the source.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Annotation {
    /// The bytes meant.
    pub span: Range<usize>,
    /// What to say there; may be empty.
    pub text: String,
    /// Whether the message is about these bytes, not just helped by them.
    pub primary: bool,
}

/// Where one of several files begins in a text that is theirs, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The first of its bytes.
    pub start: usize,
    /// What to call it.
    pub name: String,
}

impl Part {
    /// The part that has this byte.
    pub fn find(parts: &[Self], at: usize) -> Option<&Self> {
        parts.get(parts.partition_point(|part| part.start <= at).checked_sub(1)?)
    }

    /// The bytes of a part of a text, without what stands between it and the next.
    pub fn bytes(&self, parts: &[Self], length: usize) -> Range<usize> {
        let next = parts.iter().find(|part| part.start > self.start);
        self.start..next.map_or(length, |next| next.start.saturating_sub(1))
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The name of the check that found it, such as `StageNameCasing`.
    pub rule: Option<&'static str>,
    /// What is wrong, with the value in question.
    pub message: String,
    /// Where, the primary place first.
    pub annotations: Vec<Annotation>,
    /// What to do about it.
    pub help: Vec<String>,
    /// How a program can do it.
    pub fix: Option<Box<Fix>>,
}

impl Diagnostic {
    /// An error at these bytes.
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        let annotation = Annotation { span, text: String::new(), primary: true };
        Self {
            severity: Severity::Error,
            rule: None,
            message: message.into(),
            annotations: vec![annotation],
            help: Vec::new(),
            fix: None,
        }
    }

    /// A warning of a check.
    pub fn warning(rule: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, rule: Some(rule), ..Self::error(span, message) }
    }

    /// Advice of a check.
    pub fn advice(rule: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Advice, rule: Some(rule), ..Self::error(span, message) }
    }

    /// The same with an edit that a program can make, and that leaves the result of the build as it is.
    pub fn fix(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        let fix = self.fix.get_or_insert_default();
        fix.edits.push(Edit { span, text: text.into() });
        self
    }

    /// The same with an edit that a program can make, but that changes the result of the build.
    pub fn fix_with_changes(self, span: Range<usize>, text: impl Into<String>) -> Self {
        let mut fixed = self.fix(span, text);
        fixed.fix.iter_mut().for_each(|fix| fix.changes_result = true);
        fixed
    }

    /// The same with words at the primary place.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.annotations[0].text = text.into();
        self
    }

    /// The same with another place pointed at.
    pub fn note(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        self.annotations.push(Annotation { span, text: text.into(), primary: false });
        self
    }

    /// The same with advice.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}
