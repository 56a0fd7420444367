//! `matrix`: one target for each combination of some values.
//!
//! A target with a matrix becomes a group of that name, and a target for each combination in which `${AXIS}` is
//! replaced by its value before anything else is looked at. What comes later therefore knows nothing of matrices: others
//! can inherit from one of the targets, link to it, or change it with `--set`.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::expand::{Piece, Scope, pieces};
use super::expression::{Kind, is_variable_name};
use super::model::{BuildFile, Declaration, Entry, Group, Place, Text, Value};
use super::parse::Parser;
use super::steps::each_text_of;
use super::suggest::did_you_mean;
use crate::frontend::diagnostic::Diagnostic;

/// The most targets that a matrix makes: a few axes can ask for more than there is memory.
const MOST: usize = 1000;

/// A matrix as written.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    /// The names of the axes and their values, in the order of the file.
    axes: Vec<(String, Vec<Text>)>,
    /// What the targets are called; their group's name and their values if none.
    name: Option<Text>,
    span: Range<usize>,
}

/// An axis and one of its values.
type Binding<'a> = (&'a str, &'a str);

impl Parser<'_> {
    /// `matrix` and `name` of a target.
    pub(super) fn matrix(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        name: Option<&Spanned<DeValue<'_>>>,
    ) -> Option<Matrix> {
        if !value.get_ref().is_table() {
            self.wrong_type(value, "`matrix`", "a table of lists");
            return None;
        }
        let mut matrix = Matrix { axes: Vec::new(), name: None, span: self.at(value) };
        for (axis, values) in self.table(value, "`matrix`") {
            if !is_variable_name(axis.get_ref()) {
                let help = "names are letters, digits and `_`, and do not start with a digit";
                self.error(
                    self.at(axis),
                    format!("`{}` cannot be the name of an axis", axis.get_ref()),
                    Some(help.into()),
                );
                continue;
            }
            let DeValue::Array(items) = values.get_ref() else {
                self.wrong_type(values, "an axis of `matrix`", "a list");
                continue;
            };
            let items: Vec<Text> = items.iter().filter_map(|item| self.scalar(item, "a value of `matrix`")).collect();
            matrix.axes.push((axis.get_ref().to_string(), items));
        }
        if let Some(name) = name {
            matrix.name = Some(self.string(name, "`name`")?);
        }
        Some(matrix)
    }
}

impl Matrix {
    /// How many targets it makes.
    fn size(&self) -> usize {
        self.axes.iter().fold(1, |size: usize, (_, values)| size.saturating_mul(values.len()))
    }

    /// All combinations, the last axis changing fastest.
    fn combinations(&self) -> Vec<Vec<Binding<'_>>> {
        let mut all: Vec<Vec<Binding<'_>>> = vec![Vec::new()];
        for (axis, values) in &self.axes {
            let bindings: Vec<Binding<'_>> = values.iter().map(|value| (axis.as_str(), value.text.as_str())).collect();
            all = all
                .iter()
                .flat_map(|combination| bindings.iter().map(|binding| [&combination[..], &[*binding]].concat()))
                .collect();
        }
        all
    }
}

/// Puts a target for each combination in the place of those with a matrix, and groups in theirs.
pub(super) fn expand(file: &mut BuildFile, found: &mut Vec<Diagnostic>) {
    let mut targets: Vec<Declaration> = Vec::new();
    for target in std::mem::take(&mut file.targets) {
        let Some(matrix) = &target.matrix else {
            targets.push(target);
            continue;
        };
        if matrix.size() == 0 || matrix.size() > MOST {
            let message = format!("a matrix of {} targets", matrix.size());
            found.push(
                Diagnostic::error(matrix.span.clone(), message)
                    .help(format!("it must have at least one axis and value, and at most {MOST} combinations")),
            );
            continue;
        }
        let mut members = Vec::new();
        for combination in matrix.combinations() {
            match instance(&target, matrix, &combination) {
                Ok(instance) => {
                    let place = Place::File { span: target.span.clone(), content: None };
                    members.push(Text { text: instance.name.clone(), place });
                    targets.push(instance);
                }
                Err(error) => {
                    // The other combinations have the same mistake.
                    found.push(*error);
                    break;
                }
            }
        }
        let description = target.description().map(str::to_owned);
        file.groups.push(Group { name: target.name, description, members, span: target.span });
    }
    file.targets = targets;
}

fn instance(
    target: &Declaration,
    matrix: &Matrix,
    combination: &[Binding<'_>],
) -> Result<Declaration, Box<Diagnostic>> {
    let mut instance = Declaration { matrix: None, ..target.clone() };
    instance.name = name(target, matrix, combination)?;
    instance.inherits.iter_mut().for_each(|text| substitute(text, combination));
    for (key, value) in &mut instance.values {
        if key.info().kind == super::keys::Kind::Verbatim {
            continue;
        }
        match value {
            Value::Text(text) => substitute(text, combination),
            Value::Texts(texts) => texts.iter_mut().for_each(|text| substitute(text, combination)),
            Value::Map(map) => map.values_mut().for_each(|text| substitute(text, combination)),
            Value::Entries(entries) => {
                for entry in entries {
                    match entry {
                        Entry::Written(text) => substitute(text, combination),
                        Entry::Table(fields, _) => {
                            fields.values_mut().flatten().for_each(|text| substitute(text, combination));
                        }
                    }
                }
            }
            steps => each_text_of(steps, &mut |text| substitute(text, combination)),
        }
    }
    Ok(instance)
}

/// What the target of a combination is called.
fn name(target: &Declaration, matrix: &Matrix, combination: &[Binding<'_>]) -> Result<String, Box<Diagnostic>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let Some(written) = &matrix.name else {
        let mut name = target.name.clone();
        for (_, value) in combination {
            name.push('-');
            name.extend(value.chars().map(|c| if plain(c) { c } else { '-' }));
        }
        return Ok(name);
    };
    let mut text = written.clone();
    substitute(&mut text, combination);
    let diagnostic = |fault| Box::new(super::check::diagnostic(&fault));
    for piece in pieces(&text).map_err(diagnostic)? {
        let Piece::Expression(expression) = piece else { continue };
        if let Some((other, part)) = expression.variables().into_iter().next() {
            let axes = combination.iter().map(|(axis, _)| *axis);
            let error = Diagnostic::error(text.place.span(Some(part)), format!("`{other}` is no axis of this matrix"));
            return Err(Box::new(match did_you_mean(other, axes) {
                Some(hint) => error.help(hint),
                None => error.help("the names of targets cannot depend on variables, only on axes"),
            }));
        }
    }
    text.text = Scope::default().expand(&text).map_err(diagnostic)?;
    if text.text.is_empty() || text.text.starts_with('-') || !text.text.chars().all(plain) {
        let error = Diagnostic::error(text.place.span(None), format!("`{}` cannot be the name of a target", text.text));
        return Err(Box::new(error.help("names are letters, digits, `_` and `-`, and do not start with `-`")));
    }
    Ok(text.text)
}

/// Replaces the axes in a text by their values, which are not looked at again.
fn substitute(text: &mut Text, combination: &[Binding<'_>]) {
    let Ok(pieces) = pieces(text) else { return };
    let value = |name: &str| combination.iter().find(|(axis, _)| *axis == name).map(|(_, value)| *value);
    let is_axis = |piece: &Piece<'_>| match piece {
        Piece::Expression(expression) => expression.variables().iter().any(|(name, _)| value(name).is_some()),
        Piece::Literal(_) => false,
    };
    if !pieces.iter().any(is_axis) {
        return;
    }
    let mut replaced = String::new();
    let mut before = "";
    for piece in &pieces {
        match piece {
            // Of a `$${` the first letter is the end of the literal before.
            Piece::Literal("{") if before.ends_with('$') => replaced.push_str("${"),
            Piece::Literal(literal) => replaced.push_str(literal),
            Piece::Expression(expression) => match &expression.kind {
                Kind::Variable(name) if value(name).is_some() => {
                    replaced.push_str(&value(name).unwrap_or_default().replace("${", "$${"));
                }
                _ => {
                    let constant = |name: &str| value(name).map(str::to_owned);
                    replaced.push_str(&format!("${{{}}}", expression.written(&constant)));
                }
            },
        }
        before = if let Piece::Literal(literal) = piece { literal } else { "" };
    }
    text.text = replaced;
    if let Place::File { content, .. } = &mut text.place {
        *content = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_axes_only() {
        let check = |input: &str, expected: &str| {
            let mut text =
                Text { text: input.into(), place: Place::File { span: 0..input.len() + 2, content: Some(1) } };
            substitute(&mut text, &[("lang", "de"), ("odd", "${x}")]);
            assert_eq!(text.text, expected, "{input}");
        };
        check("${lang}", "de");
        check("a-${lang}-${TAG}", "a-de-${TAG}");
        check("$${lang} ${lang}", "$${lang} de");
        check("{${lang}}", "{de}");
        check("${odd}", "$${x}");
        check("$${lang}", "$${lang}");
        check("${upper(lang)}-${join('-', TAG)}", "${upper('de')}-${join('-', TAG)}");
    }
}
