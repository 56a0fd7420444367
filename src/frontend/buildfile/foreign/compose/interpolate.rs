//! `${NAME:-default}` in the values of compose files.
//!
//! Values come from the environment, or else from `.env`. A plain reference stays a variable of the model; what was
//! chosen by whether a variable is set or empty is worked out.

use std::collections::BTreeMap;

use super::super::super::expression::is_variable_name;
use super::super::super::model::{Place, Text};
use super::super::ast::Span;
use super::super::eval::{Found, wrong};
use super::super::value::{Str, escape};
use super::super::{Read, Surroundings, add_variable};
use crate::frontend::diagnostic::Diagnostic;

/// The deepest nesting of defaults.
const DEEPEST: usize = 20;

/// The variable with the name of the project.
const PROJECT: &str = "COMPOSE_PROJECT_NAME";

/// The longest value.
const LONGEST: usize = 1 << 20;

pub(super) struct Interpolation<'s> {
    surroundings: &'s Surroundings<'s>,
    dotenv: BTreeMap<String, String>,
    /// What stays variable, with its default.
    kept: BTreeMap<String, (String, Span)>,
    frozen: BTreeMap<String, String>,
}

impl<'s> Interpolation<'s> {
    /// `project` is what the project is called unless a variable says so.
    pub(super) fn new(surroundings: &'s Surroundings<'s>, project: &str) -> Self {
        let mut own = Self { surroundings, dotenv: BTreeMap::new(), kept: BTreeMap::new(), frozen: BTreeMap::new() };
        for (name, value, expands) in surroundings.dotenv.as_deref().map(dotenv).unwrap_or_default() {
            let expanded = if expands { own.expand(&value, &(0..0)).ok() } else { None };
            let value = expanded.map_or(value, |expanded| expanded.text().to_owned());
            own.dotenv.insert(name, value);
        }
        own.dotenv.entry(PROJECT.to_owned()).or_insert_with(|| project.to_owned());
        // What `.env` mentions is no variable of the build file for that.
        Self { kept: BTreeMap::new(), frozen: BTreeMap::new(), ..own }
    }

    /// What a variable is.
    pub(super) fn lookup(&self, name: &str) -> Option<String> {
        (self.surroundings.variable)(name).or_else(|| self.dotenv.get(name).cloned())
    }

    /// Notes that something depends on the present value of a variable.
    pub(super) fn freeze(&mut self, name: &str) {
        let value = self.lookup(name).unwrap_or_default();
        self.frozen.insert(name.to_owned(), value);
    }

    /// The text with its variables.
    pub(super) fn expand(&mut self, text: &str, span: &Span) -> Found<Str> {
        self.nested(text, span, 0)
    }

    fn nested(&mut self, text: &str, span: &Span, depth: usize) -> Found<Str> {
        if depth == DEEPEST {
            return wrong(span, format!("defaults are nested more than {DEEPEST} levels deep"));
        }
        let mut found = Str::default();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            found.push(&Str::from(&rest[..at]));
            let after = &rest[at + 1..];
            if let Some(literal) = after.strip_prefix('$') {
                found.push(&Str::from("$"));
                rest = literal;
            } else if let Some(inside) = after.strip_prefix('{') {
                let end = closing(inside).ok_or_else(|| invalid(span, text))?;
                found.push(&self.braces(&inside[..end], span, depth)?);
                rest = &inside[end + 1..];
            } else {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                // What is no name is none of compose's business, such as `$(date)`.
                match is_variable_name(&after[..end]) {
                    true => found.push(&self.reference(&after[..end], None, span)),
                    false => found.push(&Str::from(&rest[at..at + 1 + end])),
                }
                rest = &after[end..];
            }
            if found.text().len() > LONGEST {
                return wrong(span, "longer than a mebibyte");
            }
        }
        found.push(&Str::from(rest));
        Ok(found)
    }

    /// `NAME`, `NAME:-default`, `NAME?message`, `NAME+other`.
    fn braces(&mut self, inside: &str, span: &Span, depth: usize) -> Found<Str> {
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
        let (name, rest) = inside.split_at(end);
        if !is_variable_name(name) {
            return Err(invalid(span, &format!("${{{inside}}}")));
        }
        let (also_empty, rest) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
        let value = self.lookup(name);
        let there = value.as_ref().is_some_and(|value| !also_empty || !value.is_empty());
        let Some(operator) = rest.chars().next() else {
            return if also_empty { Err(invalid(span, inside)) } else { Ok(self.reference(name, None, span)) };
        };
        let other = &rest[operator.len_utf8()..];
        match operator {
            '-' => {
                let mut default = self.nested(other, span, depth + 1)?;
                let empty_counts = also_empty && value.as_ref().is_some_and(String::is_empty);
                if default.names().next().is_none() && !empty_counts {
                    return Ok(self.reference(name, Some(default.text()), span));
                }
                for inner in default.forget() {
                    self.freeze(&inner);
                }
                self.freeze(name);
                Ok(if there { Str::from(value.unwrap_or_default()) } else { default })
            }
            '?' if there => Ok(self.reference(name, None, span)),
            '?' => {
                let message = self.nested(other, span, depth + 1)?;
                let message = if message.text().is_empty() { "it has no value" } else { message.text() };
                let error = Diagnostic::error(span.clone(), format!("the variable `{name}` is needed: {message}"));
                Err(Box::new(error.help(format!("set {name} in the environment or in `.env`"))))
            }
            '+' => {
                self.freeze(name);
                if there { self.nested(other, span, depth + 1) } else { Ok(Str::default()) }
            }
            _ => Err(invalid(span, &format!("${{{inside}}}"))),
        }
    }

    /// The value of a variable, which stays one if all places agree what it is by default.
    fn reference(&mut self, name: &str, default: Option<&str>, span: &Span) -> Str {
        let default = self.dotenv.get(name).map_or(default.unwrap_or_default(), String::as_str).to_owned();
        let value = (self.surroundings.variable)(name).unwrap_or_else(|| default.clone());
        let (known, _) = self.kept.entry(name.to_owned()).or_insert_with(|| (default.clone(), span.clone()));
        if *known == default {
            return Str::variable(name, &value);
        }
        self.frozen.insert(name.to_owned(), value.clone());
        Str::from(value)
    }

    /// Puts the variables into what was read.
    pub(super) fn finish(self, read: &mut Read) {
        for (name, (default, span)) in self.kept {
            let place = Place::File { span: span.clone(), content: None };
            add_variable(&mut read.file, &name, None, Some(Text { text: escape(&default), place }), span);
        }
        read.frozen.extend(self.frozen);
    }
}

fn invalid(span: &Span, text: &str) -> Box<Diagnostic> {
    let error = Diagnostic::error(span.clone(), format!("`{text}` is no reference to a variable"));
    Box::new(error.help("write `${NAME}`, `${NAME:-default}`, or `$$` for a `$`"))
}

/// Where the brace is closed that was opened before this text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        before = c;
    }
    None
}

/// The variables of a file `.env`: `NAME=value` on lines, in quotes or not; and whether there may be variables in the value.
fn dotenv(text: &str) -> Vec<(String, String, bool)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| is_variable_name(name.trim())) else {
            continue;
        };
        let value = value.trim();
        let expands = !value.starts_with('\'');
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inside = &value[1..];
                let inside = inside.find(quote).map_or(inside, |end| &inside[..end]);
                if quote == '"' { inside.replace("\\n", "\n") } else { inside.to_owned() }
            }
            _ => value.find(" #").map_or(value, |end| value[..end].trim_end()).to_owned(),
        };
        found.push((name.trim().to_owned(), value, expands));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands() {
        let variable = |name: &str| match name {
            "SET" => Some("set".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let dotenv =
            "FILE=file # why\nexport QUOTED=\"a b\"\nSET=other\n# NO=1\nOF=${SET}-$FILE-${NO:-x}\nRAW='$SET'\n";
        let dotenv = Some(dotenv.to_owned());
        let surroundings = Surroundings { variable: &variable, dotenv, platform: "linux/amd64".into(), epoch: 0 };
        let check = |text: &str, expected: &str, template: &str| {
            let mut interpolation = Interpolation::new(&surroundings, "shop");
            let found = interpolation.expand(text, &(0..0));
            let found =
                found.map_or_else(|error| (error.message, "".into()), |found| (found.text().into(), found.template()));
            assert_eq!((found.0.as_str(), found.1.as_str()), (expected, template), "{text}");
        };
        check("a", "a", "a");
        check("$SET-${SET}", "set-set", "${SET}-${SET}");
        check("$$SET $${x}", "$SET ${x}", "$SET $${x}");
        check("${NO:-x}", "x", "${NO}");
        check("${NO:-${SET}}", "set", "set");
        check("${NO-$${x}}", "${x}", "${NO}");
        check("${EMPTY:-x}|${EMPTY-x}", "x|", "x|${EMPTY}");
        check("${SET:+yes}|${EMPTY:+yes}|${EMPTY+yes}", "yes||yes", "yes||yes");
        check("${FILE} ${QUOTED}", "file a b", "${FILE} ${QUOTED}");
        check("$OF $RAW", "set-file-x $SET", "${OF} ${RAW}");
        check("$COMPOSE_PROJECT_NAME", "shop", "${COMPOSE_PROJECT_NAME}");
        check("${NO} ${NO:-x}", " x", "${NO} x");
        check("${NO?where is it}", "the variable `NO` is needed: where is it", "");
        check("${NO", "`${NO` is no reference to a variable", "");
        check("${NO!}", "`${NO!}` is no reference to a variable", "");
        check("$- $(date) $1 a$", "$- $(date) $1 a$", "$- $(date) $1 a$");
    }
}
