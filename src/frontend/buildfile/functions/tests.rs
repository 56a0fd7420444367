//! Arguments in, values or problems out.

use super::*;

fn t(text: &str) -> Value {
    Value::Text(text.into())
}

fn l(items: &[&str]) -> Value {
    Value::List(items.iter().map(ToString::to_string).collect())
}

fn call(name: &str, arguments: &[Value]) -> Result<Value, Problem> {
    find(name).unwrap().call(arguments)
}

#[test]
fn functions_do_what_they_say() {
    let check = |name: &str, arguments: &[Value], expected: Value| {
        assert_eq!(call(name, arguments), Ok(expected), "{name} {arguments:?}");
    };
    check("upper", &[t("aß1")], t("ASS1"));
    check("lower", &[t("ÄB")], t("äb"));
    check("trim", &[t(" a b\n")], t("a b"));
    check("trim", &[t("xxaxbx"), t("x")], t("axb"));
    check("trimprefix", &[t("v1.2"), t("v")], t("1.2"));
    check("trimsuffix", &[t("a.git"), t(".git")], t("a"));
    check("trimsuffix", &[t("a"), t(".git")], t("a"));
    check("replace", &[t("a.b.c"), t("."), t("--")], t("a--b--c"));
    check("sanitize", &[t("a.b/c d-é")], t("a_b_c_d-_"));
    check("tag", &[t("feature/#12 x.y_z")], t("feature--12-x.y_z"));
    check("tag", &[t("-.v1")], t("v1"));
    check("tag", &[t(&"x".repeat(200))], t(&"x".repeat(128)));
    check("substr", &[t("äbcd"), Value::Int(1), Value::Int(2)], t("bc"));
    check("substr", &[t("äbcd"), Value::Int(-3), Value::Int(-1)], t("bcd"));
    check("substr", &[t("ab"), Value::Int(9), Value::Int(-1)], t(""));
    check("truncate", &[t("äbc"), t("2")], t("äb"));
    check("split", &[t(","), t("a,,b")], l(&["a", "", "b"]));
    check("split", &[t(","), t("")], l(&[]));
    check("join", &[t("-"), l(&["a", "b"])], t("a-b"));
    check("format", &[t("%s:%s 100%%"), t("a"), Value::Int(1)], t("a:1 100%"));
    check("formatlist", &[t("%s:%s"), t("app"), l(&["1", "2"])], l(&["app:1", "app:2"]));
    check("formatlist", &[t("%s"), l(&[])], l(&[]));
    check("concat", &[l(&["a"]), l(&["b", "a"])], l(&["a", "b", "a"]));
    check("distinct", &[l(&["a", "b", "a"])], l(&["a", "b"]));
    check("element", &[l(&["a", "b"]), Value::Int(1)], t("b"));
    check("length", &[l(&["a", "b"])], Value::Int(2));
    check("length", &[t("äb")], Value::Int(2));
    check("contains", &[l(&["ab"]), t("a")], Value::Bool(false));
    check("contains", &[t("ab"), t("a")], Value::Bool(true));
    check("default", &[Value::Unset, t("x")], t("x"));
    check("default", &[t(""), t("x")], t("x"));
    check("default", &[t("0"), t("x")], t("0"));
    check("coalesce", &[Value::Unset, t(""), t("x")], t(""));
    check("if", &[t("true"), t("a"), t("b")], t("a"));
    check("if", &[t(""), t("a"), t("b")], t("b"));
    check("unset", &[], Value::Unset);
    check("if", &[t("0"), t("a"), Value::Unset], Value::Unset);
    check("equal", &[t("1"), Value::Int(1)], Value::Bool(true));
    check("notequal", &[t("a"), t("A")], Value::Bool(true));
    check("and", &[t("1"), t("false")], Value::Bool(false));
    check("or", &[t("0"), t("true")], Value::Bool(true));
    check("not", &[t("0")], Value::Bool(true));
    check("sha256", &[t("")], t("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

#[test]
fn functions_say_what_is_wrong() {
    let check = |name: &str, arguments: &[Value], argument: Option<usize>, expected: &str| {
        let problem = Problem { argument, message: expected.into() };
        assert_eq!(call(name, arguments), Err(problem), "{name} {arguments:?}");
    };
    check("upper", &[], None, "`upper` with 0 arguments: write `upper(text)`");
    check("upper", &[l(&[])], Some(0), "a list where a text is needed: use `join(',', …)`");
    check("join", &[t(","), t("a")], Some(1), "a text where a list is needed: use `split(',', …)`");
    check("truncate", &[t("a"), t("b")], Some(1), "`b` is not a whole number");
    check("truncate", &[t("a"), t("-1")], Some(1), "`-1` is less than nothing");
    check("if", &[t("yes"), t(""), t("")], Some(0), "`yes` is neither `true` nor `false`");
    check("format", &[t("%s")], Some(0), "more `%s` than values");
    check("format", &[t("%x"), t("a")], Some(0), "only `%s` and `%%` are known here");
    check("format", &[t("x"), t("a")], Some(1), "there is no `%s` for this value");
    check("tag", &[t("../")], Some(0), "nothing of `../` can stand in a tag");
    check("element", &[l(&["a"]), t("1")], Some(1), "there is no item 1 in a list of 1");
    check("coalesce", &[Value::Unset], None, "none of these has a value");
    let long = t(&"a".repeat(2000));
    check("replace", &[long.clone(), t("a"), long], None, "the result is longer than a mebibyte");
    assert!(find("timestamp").is_none() && refusal("timestamp").is_some() && refusal("upper").is_none());
}
