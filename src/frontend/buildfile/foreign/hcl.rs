//! From HCL text to [blocks and expressions](super::ast). Reading the grammar is a crate's work; it bounds nesting.

use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::expr::{self, BinaryOperator, Expression, ObjectKey, TraversalOperator, UnaryOperator};
use hcl_edit::parser::{Error, parse_body, parse_template};
use hcl_edit::structure::{Body, Structure};
use hcl_edit::template::{Directive, Element, Strip};

use super::ast::{Attribute, Block, Call, Definition, Expr, ExprKind, For, Operator, Part, Span, Step, TemplateFor};
use super::value::Value;
use crate::frontend::diagnostic::Diagnostic;

/// Reads a file whose text begins at `start` of all texts.
pub(super) fn read(text: &str, start: usize, definition: &mut Definition) -> Result<(), Vec<Diagnostic>> {
    let body = parse_body(text).map_err(|error| vec![wrong(&error, text, start)])?;
    let lower = Lower { start, fixed: None };
    let (attributes, blocks, mistakes) = lower.body(&body);
    definition.attributes.extend(attributes);
    definition.blocks.extend(blocks);
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// Reads a string of another format as a template. `content` is where it begins, if the file has it letter by letter;
/// otherwise all places in it are those of the whole string.
pub(super) fn template(text: &str, span: Span, content: Option<usize>) -> Result<Expr, Box<Diagnostic>> {
    let lower = Lower { start: content.unwrap_or_default(), fixed: content.is_none().then(|| span.clone()) };
    let parsed = parse_template(text).map_err(|error| {
        let at = match content {
            Some(start) => wrong(&error, text, start),
            None => Diagnostic::error(span.clone(), message(&error)),
        };
        Box::new(at)
    })?;
    let parts = lower.parts(parsed.iter().collect(), Strip::None);
    Ok(whole(span, parts))
}

fn message(error: &Error) -> String {
    format!("not HCL: {}", error.message())
}

fn wrong(error: &Error, text: &str, start: usize) -> Diagnostic {
    // The parser counts bytes, and may stop in the middle of a character.
    let at = text.floor_char_boundary(error.location().offset());
    let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    Diagnostic::error(start + at..start + end, message(error))
}

/// A template that is one expression is that expression, of whatever type.
fn whole(span: Span, mut parts: Vec<Part>) -> Expr {
    if let [Part::Interpolation(_)] = parts.as_slice()
        && let Some(Part::Interpolation(expr)) = parts.pop()
    {
        return expr;
    }
    match parts.as_slice() {
        [] => Expr::new(span, ExprKind::Literal(Value::text(""))),
        [Part::Literal(text)] => Expr::new(span, ExprKind::Literal(Value::text(text))),
        _ => Expr::new(span, ExprKind::Template(parts)),
    }
}

struct Lower {
    start: usize,
    fixed: Option<Span>,
}

impl Lower {
    fn span(&self, span: Option<Range<usize>>) -> Span {
        match (&self.fixed, span) {
            (Some(fixed), _) => fixed.clone(),
            (None, Some(span)) => self.start + span.start..self.start + span.end,
            (None, None) => self.start..self.start,
        }
    }

    fn body(&self, body: &Body) -> (Vec<Attribute>, Vec<Block>, Vec<Diagnostic>) {
        let (mut attributes, mut blocks, mut mistakes) = (Vec::new(), Vec::new(), Vec::new());
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => attributes.push(Attribute {
                    name: attribute.key.to_string(),
                    span: self.span(attribute.key.span()),
                    value: self.expr(&attribute.value),
                }),
                Structure::Block(block) => {
                    let (inner_attributes, inner_blocks, inner_mistakes) = self.body(&block.body);
                    mistakes.extend(inner_mistakes);
                    let label = block.labels.first();
                    let span = self.span(label.map_or(block.ident.span(), |label| label.span()));
                    if let Some(more) = block.labels.get(1) {
                        let message = format!("`{}` has one name, not several", block.ident.as_str());
                        mistakes.push(Diagnostic::error(self.span(more.span()), message));
                    }
                    blocks.push(Block {
                        kind: block.ident.to_string(),
                        label: label.map(|label| label.as_str().to_owned()),
                        span,
                        attributes: inner_attributes,
                        blocks: inner_blocks,
                    });
                }
            }
        }
        (attributes, blocks, mistakes)
    }

    fn boxed(&self, expr: &Expression) -> Box<Expr> {
        Box::new(self.expr(expr))
    }

    fn expr(&self, expr: &Expression) -> Expr {
        let span = self.span(expr.span());
        let kind = match expr {
            Expression::Null(_) => ExprKind::Literal(Value::Null),
            Expression::Bool(flag) => ExprKind::Literal(Value::Bool(*flag.value())),
            Expression::Number(number) => ExprKind::Literal(Value::Number(number.value().as_f64().unwrap_or_default())),
            Expression::String(text) => ExprKind::Literal(Value::text(text.value())),
            Expression::Array(array) => ExprKind::List(array.iter().map(|item| self.expr(item)).collect()),
            Expression::Object(object) => ExprKind::Object(self.object(object)),
            Expression::StringTemplate(template) => {
                return whole(span, self.parts(template.iter().collect(), Strip::None));
            }
            Expression::HeredocTemplate(heredoc) => {
                let mut parts = self.parts(heredoc.template.iter().collect(), Strip::None);
                if let Some(indent) = heredoc.indent() {
                    dedent_inside(&mut parts, indent);
                }
                return whole(span, parts);
            }
            Expression::Parenthesis(inner) => self.expr(inner.inner()).kind,
            Expression::Variable(name) => ExprKind::Variable(name.to_string()),
            Expression::Conditional(one) => ExprKind::Conditional(Box::new([
                self.expr(&one.cond_expr),
                self.expr(&one.true_expr),
                self.expr(&one.false_expr),
            ])),
            Expression::FuncCall(call) => self.call(call),
            Expression::Traversal(traversal) => return self.traversal(traversal),
            Expression::UnaryOp(operation) => match operation.operator.value() {
                UnaryOperator::Neg => ExprKind::Negate(self.boxed(&operation.expr)),
                UnaryOperator::Not => ExprKind::Not(self.boxed(&operation.expr)),
            },
            Expression::BinaryOp(operation) => ExprKind::Binary(
                operator(*operation.operator.value()),
                Box::new([self.expr(&operation.lhs_expr), self.expr(&operation.rhs_expr)]),
            ),
            Expression::ForExpr(one) => self.for_expr(one),
        };
        Expr::new(span, kind)
    }

    fn object(&self, object: &expr::Object) -> Vec<(Expr, Expr)> {
        let pair = |(key, value): (&ObjectKey, &expr::ObjectValue)| {
            let key = match key {
                // A bare word is a key and no variable.
                ObjectKey::Ident(name) => {
                    Expr::new(self.span(name.span()), ExprKind::Literal(Value::text(name.as_str())))
                }
                ObjectKey::Expression(Expression::Variable(name)) => {
                    Expr::new(self.span(name.span()), ExprKind::Literal(Value::text(name.as_str())))
                }
                ObjectKey::Expression(expr) => self.expr(expr),
            };
            (key, self.expr(value.expr()))
        };
        object.iter().map(pair).collect()
    }

    fn call(&self, call: &expr::FuncCall) -> ExprKind {
        let namespace = call.name.namespace.iter().map(|part| format!("{}::", part.as_str()));
        ExprKind::Call(Box::new(Call {
            name: format!("{}{}", namespace.collect::<String>(), call.name.name.as_str()),
            span: self.span(call.name.name.span()),
            arguments: call.args.iter().map(|argument| self.expr(argument)).collect(),
            spread: call.args.expand_final(),
        }))
    }

    fn traversal(&self, traversal: &expr::Traversal) -> Expr {
        let mut found = self.expr(&traversal.expr);
        let start = found.span.start;
        let mut operators = traversal.operators.iter().peekable();
        while let Some(operator) = operators.next() {
            let mut span = start..self.span(operator.span()).end.max(found.span.end);
            let inner = Box::new(found);
            let place = span.clone();
            let index = |number: u64| Expr::new(place.clone(), ExprKind::Literal(Value::Number(number as f64)));
            let kind = match operator.value() {
                TraversalOperator::GetAttr(name) => ExprKind::Attribute(inner, name.to_string()),
                TraversalOperator::Index(expr) => ExprKind::Index(inner, self.boxed(expr)),
                TraversalOperator::LegacyIndex(number) => ExprKind::Index(inner, Box::new(index(*number.value()))),
                splat @ (TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_)) => {
                    let full = matches!(splat, TraversalOperator::FullSplat(_));
                    let mut steps = Vec::new();
                    while let Some(next) = operators.peek() {
                        let step = match next.value() {
                            TraversalOperator::GetAttr(name) => Step::Attribute(name.to_string()),
                            TraversalOperator::Index(expr) if full => Step::Index(self.expr(expr)),
                            TraversalOperator::LegacyIndex(number) => Step::Index(index(*number.value())),
                            _ => break,
                        };
                        span.end = self.span(next.span()).end.max(span.end);
                        steps.push(step);
                        operators.next();
                    }
                    ExprKind::Splat(inner, steps)
                }
            };
            found = Expr::new(span, kind);
        }
        found
    }

    fn for_expr(&self, one: &expr::ForExpr) -> ExprKind {
        ExprKind::For(Box::new(For {
            key: one.intro.key_var.as_ref().map(|name| name.to_string()),
            value: one.intro.value_var.to_string(),
            collection: self.expr(&one.intro.collection_expr),
            result_key: one.key_expr.as_ref().map(|key| self.expr(key)),
            result: self.expr(&one.value_expr),
            grouping: one.grouping,
            condition: one.cond.as_ref().map(|condition| self.expr(&condition.expr)),
        }))
    }

    /// The parts of a template. `~` takes the white space beside it from the text before or after; `outer` says whether
    /// what encloses this template has one at its ends.
    fn parts(&self, elements: Vec<&Element>, outer: Strip) -> Vec<Part> {
        let mut found: Vec<Part> = Vec::new();
        let mut trim_next = outer.strip_start();
        for element in elements {
            let before = match element {
                Element::Literal(text) => {
                    let text = if trim_next { text.trim_start() } else { text.as_str() };
                    found.push(Part::Literal(text.to_owned()));
                    trim_next = false;
                    continue;
                }
                Element::Interpolation(one) => {
                    trim_next = one.strip.strip_end();
                    let expr = Part::Interpolation(self.expr(&one.expr));
                    (one.strip.strip_start(), expr)
                }
                Element::Directive(directive) => {
                    let (before, part, after) = self.directive(directive);
                    trim_next = after;
                    (before, part)
                }
            };
            if before.0 {
                trim_end(&mut found);
            }
            found.push(before.1);
        }
        if outer.strip_end() {
            trim_end(&mut found);
        }
        found.retain(|part| !matches!(part, Part::Literal(text) if text.is_empty()));
        found
    }

    /// The part, and whether white space before and after it goes.
    fn directive(&self, directive: &Directive) -> (bool, Part, bool) {
        match directive {
            Directive::If(one) => {
                let (first, last) = (&one.if_expr, &one.endif_expr);
                let middle = one.else_expr.as_ref().map_or(last.strip, |other| other.strip);
                let yes = Strip::from((first.strip.strip_end(), middle.strip_start()));
                let yes = self.parts(first.template.iter().collect(), yes);
                let no = one.else_expr.as_ref().map_or(Vec::new(), |other| {
                    let strip = Strip::from((other.strip.strip_end(), last.strip.strip_start()));
                    self.parts(other.template.iter().collect(), strip)
                });
                (first.strip.strip_start(), Part::If(self.expr(&first.cond_expr), yes, no), last.strip.strip_end())
            }
            Directive::For(one) => {
                let (first, last) = (&one.for_expr, &one.endfor_expr);
                let strip = Strip::from((first.strip.strip_end(), last.strip.strip_start()));
                let part = TemplateFor {
                    key: first.key_var.as_ref().map(|name| name.to_string()),
                    value: first.value_var.to_string(),
                    collection: self.expr(&first.collection_expr),
                    body: self.parts(first.template.iter().collect(), strip),
                };
                (first.strip.strip_start(), Part::For(Box::new(part)), last.strip.strip_end())
            }
        }
    }
}

/// The crate takes the indentation of a `<<-` only from lines that are in no directive.
fn dedent_inside(parts: &mut [Part], indent: usize) {
    for part in parts {
        match part {
            Part::If(_, yes, no) => [yes, no].into_iter().for_each(|inner| dedent(inner, indent)),
            Part::For(one) => dedent(&mut one.body, indent),
            Part::Literal(_) | Part::Interpolation(_) => {}
        }
    }
}

fn dedent(parts: &mut [Part], indent: usize) {
    for part in parts.iter_mut() {
        if let Part::Literal(text) = part {
            let mut lines = text.split('\n');
            let mut dedented = lines.next().unwrap_or_default().to_owned();
            for line in lines {
                let spaces = line.chars().take(indent).take_while(|c| *c == ' ' || *c == '\t').count();
                dedented.push('\n');
                dedented.push_str(&line[spaces..]);
            }
            *text = dedented;
        }
    }
    dedent_inside(parts, indent);
}

fn trim_end(parts: &mut [Part]) {
    if let Some(Part::Literal(text)) = parts.last_mut() {
        text.truncate(text.trim_end().len());
    }
}

fn operator(operator: BinaryOperator) -> Operator {
    match operator {
        BinaryOperator::Eq => Operator::Equal,
        BinaryOperator::NotEq => Operator::NotEqual,
        BinaryOperator::LessEq => Operator::LessOrEqual,
        BinaryOperator::GreaterEq => Operator::GreaterOrEqual,
        BinaryOperator::Less => Operator::Less,
        BinaryOperator::Greater => Operator::Greater,
        BinaryOperator::Plus => Operator::Add,
        BinaryOperator::Minus => Operator::Subtract,
        BinaryOperator::Mul => Operator::Multiply,
        BinaryOperator::Div => Operator::Divide,
        BinaryOperator::Mod => Operator::Modulo,
        BinaryOperator::And => Operator::And,
        BinaryOperator::Or => Operator::Or,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_at_a_whole_character() {
        let check = |text: &str, expected: &str| {
            let mistakes = read(text, 0, &mut Definition::default()).unwrap_err();
            let span = mistakes[0].annotations[0].span.clone();
            assert_eq!(text.get(span), Some(expected), "{text}");
        };
        check("a = \n", "\n");
        check("a = f(\"b\",\u{6bb}", "\u{6bb}");
        check("a = \u{20ac}", "\u{20ac}");
    }
}
