//! The comma-separated fields of `--mount` and what can be said of them before variables are known.

use super::Diagnostic;
use crate::frontend::dockerfile::ast::Word;

/// The fields of a line of CSV (RFC 4180): a field in double quotes can hold commas, and quotes written twice.
pub(in crate::frontend::dockerfile) fn fields(text: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = text;
    if text.is_empty() {
        return Ok(fields);
    }
    loop {
        let Some(mut quoted) = rest.strip_prefix('"') else {
            let (field, more) = rest.split_once(',').map_or((rest, None), |(field, more)| (field, Some(more)));
            if field.contains('"') {
                return Err("a quote stands in the middle of a field");
            }
            fields.push(field.to_owned());
            match more {
                Some(more) => rest = more,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        loop {
            let (part, more) = quoted.split_once('"').ok_or("a quoted field is not closed")?;
            field.push_str(part);
            let Some(more) = more.strip_prefix('"') else {
                rest = more;
                break;
            };
            field.push('"');
            quoted = more;
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Ok(fields),
            None => return Err("something follows the closing quote of a field"),
        }
    }
}

/// Checks a mount as far as its text allows.
pub(super) fn check(mount: &Word) -> Result<(), Diagnostic> {
    let error = |message: String| Diagnostic::error(mount.span.clone(), message);
    let fields = fields(&mount.value).map_err(|reason| error(format!("`--mount` cannot be read: {reason}")))?;
    let from =
        fields.iter().filter_map(|field| field.split_once('=')).filter(|(key, _)| key.eq_ignore_ascii_case("from"));
    for (_, value) in from {
        if value.find('$').is_some_and(|at| at + 1 != value.len()) {
            return Err(error(format!("`from={value}` of a mount cannot hold a variable"))
                .help("name a stage for it: `FROM $VARIABLE AS name` with an `ARG` before the first `FROM`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields() {
        let check = |text: &str, expected: &[&str]| assert_eq!(fields(text).unwrap(), expected, "{text}");
        check("type=bind,target=/x", &["type=bind", "target=/x"]);
        check("a,\"b=c,d\"\"e\",f", &["a", "b=c,d\"e", "f"]);
        check("a,", &["a", ""]);
        check("", &[]);
        for text in ["a\"b", "\"a", "\"a\"b"] {
            assert!(fields(text).is_err(), "{text}");
        }
    }
}
