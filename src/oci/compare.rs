//! What differs between two JSON documents, such as the configurations of two images.

use serde_json::Value;

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDifference {
    /// Where it is, such as `config.Env[2]` or `history[0].created_by`.
    pub path: String,
    /// What it was; none if it was not there.
    pub was: Option<Value>,
    /// What it is; none if it is not there.
    pub is: Option<Value>,
}

/// The innermost fields that differ, in the order of the documents.
pub fn compare(was: &Value, is: &Value) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    descend(String::new(), Some(was), Some(is), &mut found);
    found
}

fn descend(path: String, was: Option<&Value>, is: Option<&Value>, found: &mut Vec<FieldDifference>) {
    match (was, is) {
        (was, is) if was == is => {}
        (Some(Value::Object(was)), Some(Value::Object(is))) => {
            let names = was.keys().chain(is.keys().filter(|name| !was.contains_key(*name)));
            for name in names {
                let dot = if path.is_empty() { "" } else { "." };
                descend(format!("{path}{dot}{name}"), was.get(name), is.get(name), found);
            }
        }
        (Some(Value::Array(was)), Some(Value::Array(is))) => {
            for place in 0..was.len().max(is.len()) {
                descend(format!("{path}[{place}]"), was.get(place), is.get(place), found);
            }
        }
        (was, is) => found.push(FieldDifference { path, was: was.cloned(), is: is.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_the_fields() {
        let check = |was: Value, is: Value, expected: &[&str]| {
            let paths: Vec<String> = compare(&was, &is).into_iter().map(|found| found.path).collect();
            assert_eq!(paths, expected);
        };
        let config =
            json!({"config": {"Env": ["A=1", "B=2"], "Labels": {"a.b": "c"}}, "history": [{"created_by": "x"}]});
        check(config.clone(), config.clone(), &[]);
        let mut other = config.clone();
        other["config"]["Env"][1] = json!("B=3");
        other["config"]["Env"].as_array_mut().unwrap().push(json!("C=4"));
        other["config"]["Labels"] = json!({"d": "e"});
        other["history"][0]["created_by"] = json!("y");
        check(
            config,
            other,
            &["config.Env[1]", "config.Env[2]", "config.Labels.a.b", "config.Labels.d", "history[0].created_by"],
        );
        check(json!(1), json!([1]), &[""]);
    }
}
