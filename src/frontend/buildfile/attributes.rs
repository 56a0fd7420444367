//! `name=value,name=value`, one line of CSV, as `--secret`, `--ssh` and `--output` take it.

/// Takes a line apart into its fields. A field in double quotes may hold commas; a doubled quote in it is one.
pub(super) fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut found = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                if field.contains('"') {
                    return Err("a quote in the middle of a field: put the whole field in quotes");
                }
                (field.to_owned(), after)
            }
        };
        found.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(found),
            None => return Err("a quoted field goes on after its quote"),
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or("a quote is not closed")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, rest)),
        }
    }
}

/// Puts fields together, with quotes where they are needed.
pub(super) fn line<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let field = |(name, value): (&str, &str)| {
        let field = format!("{name}={value}");
        if field.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
    };
    fields.into_iter().map(field).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_lines_apart() {
        let check = |text: &str, expected: &[&str]| assert_eq!(fields(text).unwrap(), expected, "{text}");
        check("", &[""]);
        check("a=b", &["a=b"]);
        check("a=b,c=d", &["a=b", "c=d"]);
        check("\"a=b,c\",d=e", &["a=b,c", "d=e"]);
        check("\"a=\"\"b\"\"\"", &["a=\"b\""]);
        for text in ["\"a", "a\"b", "\"a\"b"] {
            assert!(fields(text).is_err(), "{text}");
        }
    }

    #[test]
    fn puts_together_what_it_takes_apart() {
        let pairs = [("type", "oci"), ("dest", "a,\"b\".tar")];
        let written = line(pairs);
        assert_eq!(written, "type=oci,\"dest=a,\"\"b\"\".tar\"");
        assert_eq!(fields(&written).unwrap(), ["type=oci", "dest=a,\"b\".tar"]);
    }
}
