//! Bake files as they were written, whether in HCL or in JSON: blocks, attributes, and expressions not yet evaluated.
//!
//! Our own tree and not that of the HCL parser, because the JSON form has the same expressions in its strings, and because
//! every place here is one of the text of [all files together](super::sources).

use std::ops::Range;

use super::value::Value;

/// A place in the text of all files.
pub(super) type Span = Range<usize>;

/// Everything that stands in the files, in their order.
#[derive(Debug, Default)]
pub(super) struct Definition {
    pub(super) blocks: Vec<Block>,
    pub(super) attributes: Vec<Attribute>,
}

/// `target "app" { … }`.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: String,
    pub(super) label: Option<String>,
    /// The label, or the kind where there is none.
    pub(super) span: Span,
    pub(super) attributes: Vec<Attribute>,
    pub(super) blocks: Vec<Block>,
}

/// `name = value`.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) value: Expr,
}

/// An expression.
#[derive(Debug, Clone)]
pub(super) struct Expr {
    pub(super) span: Span,
    pub(super) kind: ExprKind,
}

#[derive(Debug, Clone)]
pub(super) enum ExprKind {
    Literal(Value),
    Template(Vec<Part>),
    List(Vec<Expr>),
    Object(Vec<(Expr, Expr)>),
    Variable(String),
    Attribute(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    /// The steps are applied to each item.
    Splat(Box<Expr>, Vec<Step>),
    Call(Box<Call>),
    Conditional(Box<[Expr; 3]>),
    Negate(Box<Expr>),
    Not(Box<Expr>),
    Binary(Operator, Box<[Expr; 2]>),
    For(Box<For>),
}

/// What comes after a splat.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Attribute(String),
    Index(Expr),
}

/// `name(arguments…)`.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) arguments: Vec<Expr>,
    /// Whether the last argument is a list of arguments.
    pub(super) spread: bool,
}

/// `[for key, value in collection : result if condition]`.
#[derive(Debug, Clone)]
pub(super) struct For {
    pub(super) key: Option<String>,
    pub(super) value: String,
    pub(super) collection: Expr,
    /// With it the result is a map.
    pub(super) result_key: Option<Expr>,
    pub(super) result: Expr,
    /// Whether results with the same key are collected in a list.
    pub(super) grouping: bool,
    pub(super) condition: Option<Expr>,
}

/// A part of a template.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Literal(String),
    Interpolation(Expr),
    If(Expr, Vec<Part>, Vec<Part>),
    For(Box<TemplateFor>),
}

/// `%{ for … }` in a template.
#[derive(Debug, Clone)]
pub(super) struct TemplateFor {
    pub(super) key: Option<String>,
    pub(super) value: String,
    pub(super) collection: Expr,
    pub(super) body: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Block {
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Its label. Blocks without one are refused before they get here.
    pub(super) fn label(&self) -> &str {
        self.label.as_deref().unwrap_or_default()
    }
}

impl Expr {
    pub(super) fn new(span: Span, kind: ExprKind) -> Self {
        Self { span, kind }
    }

    /// A name, where nothing is to be evaluated.
    pub(super) fn keyword(&self) -> Option<&str> {
        match &self.kind {
            ExprKind::Variable(name) => Some(name),
            _ => None,
        }
    }
}
