//! What a front end has to say about its input: messages that point at bytes of it.
//!
//! Values only; `cli` draws them. Several can be reported at once, errors and warnings together.

use std::ops::Range;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The build cannot go on.
    Error,
    /// It can, but it may not do what was meant.
    Warning,
}

/// A remark at some bytes of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The bytes meant.
    pub span: Range<usize>,
    /// What to say there; may be empty.
    pub text: String,
    /// Whether the message is about these bytes, not just helped by them.
    pub primary: bool,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        }
    }

    /// A warning of a check.
    pub fn warning(rule: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, rule: Some(rule), ..Self::error(span, message) }
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
