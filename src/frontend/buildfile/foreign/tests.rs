//! Bake files as they are evaluated, resolved and converted: text in, plan out.

use std::collections::BTreeMap;

use super::super::{Error, Plan, Printed, parse, resolve};
use super::{Source, Sources, Surroundings, read, toml};
use crate::frontend::diagnostic::Diagnostic;

/// Reads files (name and text) in an environment, and resolves all their targets.
fn plan(files: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<(Plan, String), Vec<String>> {
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let variable = |name: &str| environment.get(name).cloned();
    let surroundings = Surroundings { variable: &variable, dotenv: None, platform: "linux/amd64".into(), epoch: 0 };
    let source = |(name, text): &(&str, &str)| Source { name: (*name).into(), text: (*text).into() };
    let sources = Sources::new(files.iter().map(source).collect());
    let text = sources.text();
    let shown = |list: Vec<Diagnostic>| -> Vec<String> {
        let one = |diagnostic: &Diagnostic| {
            let at = diagnostic.annotations.first().map(|at| at.span.clone()).unwrap_or_default();
            let help = diagnostic.help.iter().map(|help| format!(" ({help})")).collect::<String>();
            format!("{} | {}{help}", &text[at], diagnostic.message)
        };
        list.iter().map(one).collect()
    };
    let found = read(&sources, &surroundings).map_err(|broken| shown(broken.list))?;
    let names: Vec<String> = found.file.targets().map(str::to_owned).collect();
    let resolved = |file| match resolve(file, &names, &environment, &[]) {
        Ok(plan) => Ok(plan),
        Err(Error::File(list)) => Err(shown(list)),
        Err(error) => Err(vec![error.to_string()]),
    };
    let plan = resolved(&found.file)?;
    let written = toml(&found, "the test");
    let again = parse(&written).unwrap_or_else(|list| panic!("{written}\n{list:?}"));
    // What has no effect is told of other places.
    let bare = |plan: Plan| Plan { warnings: Vec::new(), ..plan };
    let (plan, again) = (bare(plan), resolve(&again, &names, &environment, &[]).map(bare));
    assert_eq!(again.as_ref(), Ok(&plan), "converted:\n{written}");
    Ok((plan, written))
}

/// One key of one target after resolving, or the messages.
fn value(files: &[(&str, &str)], environment: &[(&str, &str)], target: &str, key: &str) -> serde_json::Value {
    match plan(files, environment) {
        Ok((plan, _)) => serde_json::to_value(Printed::from(&plan)).unwrap()["target"][target][key].clone(),
        Err(messages) => messages.into(),
    }
}

fn hcl(text: &str) -> Vec<(&str, &str)> {
    vec![("docker-bake.hcl", text)]
}

/// What an expression comes to, as the argument `X` of a target.
fn check(expression: &str, expected: &str) {
    let text = format!(
        "variable \"TAG\" {{ default = \"1.2\" }}\nvariable \"ON\" {{ default = true }}\nlist = [\"a\", \"b\"]\n\
         people = [{{ name = \"ann\", age = 3 }}, {{ name = \"bob\", age = 4 }}]\nnested = {{ one = {{ two = [1, 2] }} }}\n\
         target \"t\" {{ args = {{ X = {expression} }} }}"
    );
    let found = value(&hcl(&text), &[], "t", "args");
    let shown = found["X"].as_str().map_or_else(|| found.to_string(), str::to_owned);
    assert_eq!(shown, expected, "{expression}");
}

#[test]
fn expressions() {
    check("1 + 2 * 3", "7");
    check("(1 + 2) * 3", "9");
    check("7 % 4 - -1", "4");
    check("1.20", "1.2");
    check("\"a${TAG}b\"", "a1.2b");
    check("\"$${TAG} %%{x}\"", "${TAG} %{x}");
    check("ON ? \"yes\" : \"no\"", "yes");
    check("!ON || TAG == \"1.2\" && 1 < 2", "true");
    check("\"${ON}\"", "true");
    check("1 == \"1\"", "false");
    check("list[1]", "b");
    check("list.0", "a");
    check("nested.one.two[1]", "2");
    check("nested[\"one\"].two[0]", "1");
    check("join(\",\", people[*].name)", "ann,bob");
    check("join(\",\", people.*.name)", "ann,bob");
    check("join(\",\", [for p in people : upper(p.name) if p.age > 3])", "BOB");
    check("join(\",\", [for i, v in list : \"${i}${v}\"])", "0a,1b");
    check("jsonencode({for p in people : p.name => p.age})", "{\"ann\":3,\"bob\":4}");
    check("jsonencode({for p in people : \"all\" => p.name...})", "{\"all\":[\"ann\",\"bob\"]}");
    check("\"%{ if ON }on%{ else }off%{ endif }\"", "on");
    check("\"%{ for v in list }<${v}>%{ endfor }\"", "<a><b>");
    check("\"a ${~ TAG ~} b\"", "a1.2b");
    check("<<EOT\none ${TAG}\n  two\nEOT\n", "one 1.2\n  two\n");
    check("<<-EOT\n    one\n      two\n    EOT\n", "one\n  two\n");
    check("max([3, 9, 4]...)", "9");
    check("try(list[7], \"none\")", "none");
    check("can(nested.two) ? \"a\" : \"b\"", "b");
    check("convert(\"3\", number) + 1", "4");
    check("format(\"%s-%03d\", TAG, 7)", "1.2-007");
    check("BAKE_LOCAL_PLATFORM", "linux/amd64");
    check("null == null", "true");
}

#[test]
fn mistakes_in_expressions_are_pointed_at() {
    check("TGA", "[\"TGA | there is no variable `TGA` (did you mean `TAG`?)\"]");
    check("uper(TAG)", "[\"uper | there is no function `uper` (did you mean `upper`?)\"]");
    check("md5(TAG)", "56765472680401499c79732468ba4340");
    check("uuidv4()", "[\"uuidv4 | the function `uuidv4` is not supported (its result is another one each time)\"]");
    check("upper([])", "[\"[] | a string is needed here, not a list\"]");
    check("list[7]", "[\"list[7] | a list of 2 has no such item\"]");
    check("nested.two", "[\"nested.two | there is no `two` in it\"]");
    check("\"a${list}\"", "[\"list | a list cannot be a part of a string\"]");
    check("1 + \"x\"", "[\"\\\"x\\\" | a number is needed here, not a string\"]");
    check("list", "[\"list | `X` in `args` must be a string, not a list\"]");
    check("target.nowhere.context", "[\"target.nowhere.context | there is no target `nowhere`\"]");
    check("target", "[\"target | `target` alone is no value: write `target.NAME.KEY`\"]");
    check("1 / 0", "[\"1 / 0 | this is no number, or too large a one\"]");
    check("target.t.args", "[\"target.t.args | this needs its own value: `target.t.args` → `target.t.args`\"]");
}

#[test]
fn variables_take_values_from_the_environment() {
    let args = |declaration: &str, environment: &[(&str, &str)]| {
        let text = format!("variable \"V\" {{\n{declaration}\n}}\ntarget \"t\" {{ args = {{ X = jsonencode(V) }} }}");
        let found = value(&hcl(&text), environment, "t", "args");
        found["X"].as_str().map_or_else(|| found.to_string(), str::to_owned)
    };
    let check = |declaration: &str, environment: &[(&str, &str)], expected: &str| {
        assert_eq!(args(declaration, environment), expected, "{declaration} {environment:?}");
    };
    check("", &[], "\"\"");
    check("", &[("V", "x")], "\"x\"");
    check("default = null", &[], "null");
    check("default = null", &[("V", "x")], "\"x\"");
    check("type = string", &[], "null");
    check("default = 8080", &[("V", "9090")], "9090");
    check("default = 8080", &[("V", "x")], "[\"\\\"V\\\" | `V` in the environment: `x` is not a number\"]");
    check("default = true", &[("V", "0")], "false");
    check(
        "default = true",
        &[("V", "no")],
        "[\"\\\"V\\\" | `V` in the environment: `no` is neither `true` nor `false`\"]",
    );
    check(
        "default = [\"a\"]",
        &[("V", "b")],
        "[\"\\\"V\\\" | `V` in the environment: lists and maps need a `type` to be set from outside\"]",
    );
    check("type = list(string)\ndefault = [\"a\"]", &[("V", "b,\"c,d\"")], "[\"b\",\"c,d\"]");
    check("type = list(number)\ndefault = []", &[("V_JSON", "[1, \"2\"]")], "[1,2]");
    check("type = set(string)\ndefault = [\"b\", \"a\", \"b\"]", &[], "[\"a\",\"b\"]");
    check("type = map(string)\ndefault = {}", &[("V", "a:1,b:2")], "{\"a\":\"1\",\"b\":\"2\"}");
    check("type = tuple([string, bool])\ndefault = [\"a\", true]", &[("V", "b,false")], "[\"b\",false]");
    check("type = object({ a = string, b = optional(number) })\ndefault = { a = 1 }", &[], "{\"a\":\"1\",\"b\":null}");
    check(
        "type = object({ a = string })\ndefault = { b = 1 }",
        &[],
        "[\"{ b = 1 } | the default of `V`: `a` is missing\"]",
    );
    check(
        "type = number\ndefault = \"x\"",
        &[],
        "[\"\\\"x\\\" | the default of `V`: a number is needed, not a string\"]",
    );
    check("type = lists(string)", &[], "[\"lists(string) | `lists` is no type\"]");
    check("default = \"${W}x\"", &[], "[\"W | there is no variable `W` (did you mean `V`?)\"]");
    check("default = V", &[], "[\"V | this needs its own value: `V` → `V`\"]");
}

#[test]
fn variables_can_be_validated() {
    let text = "variable \"V\" {\n default = \"a\"\n validation {\n condition = V != \"bad\" && length(split(\"\", V)) < 5\n \
                error_message = \"no ${V}\"\n}\n}\ntarget \"t\" { args = { X = V } }";
    let args = |environment: &[(&str, &str)]| value(&hcl(text), environment, "t", "args").to_string();
    assert_eq!(args(&[]), r#"{"X":"a"}"#);
    let expected = r#"["V != \"bad\" && length(split(\"\", V)) < 5 | `V`: no bad (it is `bad`)"]"#;
    assert_eq!(args(&[("V", "bad")]), expected);
}

#[test]
fn targets_inherit_refer_and_multiply() {
    let text = r#"
        function "tag" {
          params = [name]
          variadic_params = more
          result = "reg/${name}:${join("-", concat([TAG], more))}"
        }
        variable "TAG" { default = "1" }
        shared = { FROM = "file" }
        group "default" { targets = ["app", "tools"] }
        group "tools" { targets = ["fmt"] }
        target "_common" {
          args = merge(shared, { A = "1", GONE = null })
          labels = { "org.example.a" = "x" }
          no-cache-filter = ["one"]
          platforms = ["linux/amd64"]
        }
        target "app" {
          inherits = ["_common"]
          name = "app-${replace(v, ".", "-")}-${os}"
          matrix = { v = ["1.0", "2.0"], os = ["a", "b"] }
          args = { V = v, A = os == "a" ? "yes" : null }
          tags = [tag(v), tag(v, os), equal(os, "a") ? "latest-${v}" : ""]
          no-cache-filter = ["two"]
          contexts = { base = "target:fmt", src = "cwd://src", unused = "" }
        }
        target "fmt" {
          context = BAKE_CMD_CONTEXT
          dockerfile-inline = "FROM ${target.other.args.BASE}\nRUN echo $${HOME}\n"
          annotations = ["index:org.example.v=${TAG}", "plain=a=b"]
          secret = ["id=a,src=b", { type = "env", id = "c", src = "D" }]
          ssh = [{ id = "default" }]
          output = ["type=local,dest=out", { type = "oci", dest = "x.tar" }]
          pull = true
          description = "formats"
        }
        target "other" { args = { BASE = "alpine:${TAG}" } }
    "#;
    let (plan, written) = plan(&hcl(text), &[]).unwrap();
    let printed = serde_json::to_value(Printed::from(&plan)).unwrap();
    let targets = &printed["target"];
    let check = |target: &str, key: &str, expected: serde_json::Value| {
        assert_eq!(targets[target][key], expected, "{target}.{key}");
    };
    let names: Vec<&String> = targets.as_object().unwrap().keys().collect();
    assert_eq!(names, ["_common", "app-1-0-a", "app-1-0-b", "app-2-0-a", "app-2-0-b", "fmt", "other"]);
    check("app-1-0-a", "args", serde_json::json!({"A": "yes", "FROM": "file", "V": "1.0"}));
    check("app-2-0-b", "args", serde_json::json!({"A": "1", "FROM": "file", "V": "2.0"}));
    check("app-1-0-a", "tags", serde_json::json!(["reg/1.0:1", "reg/1.0:1-a", "latest-1.0"]));
    check("app-1-0-b", "tags", serde_json::json!(["reg/1.0:1", "reg/1.0:1-b"]));
    check("app-1-0-a", "no-cache-filter", serde_json::json!(["one", "two"]));
    check("app-1-0-a", "contexts", serde_json::json!({"base": "target:fmt", "src": "src"}));
    check("fmt", "context", ".".into());
    check("fmt", "dockerfile-inline", "FROM alpine:1\nRUN echo ${HOME}\n".into());
    check("fmt", "annotations", serde_json::json!(["index:org.example.v=1", "plain=a=b"]));
    check("fmt", "secret", serde_json::json!(["id=a,src=b", "id=c,env=D"]));
    check("fmt", "output", serde_json::json!(["type=local,dest=out", "type=oci,dest=x.tar"]));
    // What only stands in strings is still a variable, through functions and references too.
    assert!(written.contains("\"reg/1.0:${TAG}-a\"") && written.contains("BASE = \"alpine:${TAG}\""), "{written}");
    assert!(written.contains("#     TAG = \"1\""), "the text of a Dockerfile is fixed: {written}");
}

#[test]
fn json_is_the_same_language() {
    let text = r#"{
        "//": "a comment",
        "variable": { "TAG": { "default": "1" }, "N": { "type": "number", "default": 2 } },
        "function": { "twice": { "params": ["x"], "result": "${x}${x}" } },
        "group": { "default": { "targets": ["app"] } },
        "target": {
            "base": [{ "args": { "A": "${TAG}-${N + 1}" } }],
            "app": {
                "inherits": ["base"],
                "tags": ["app:${twice(TAG)}", "ü\u0041\n:${TAG}"],
                "args": { "${TAG}": "$${x}", "NULL": null },
                "labels": { "a": "b" }
            }
        }
    }"#;
    let files = [("docker-bake.json", text)];
    let app = |key: &str| value(&files, &[], "app", key);
    assert_eq!(app("tags"), serde_json::json!(["app:11", "üA\n:1"]));
    assert_eq!(app("args"), serde_json::json!({"1": "${x}", "A": "1-3"}));
    let check = |text: &str, expected: &str| {
        let found = plan(&[("x.json", text)], &[]).map(|_| ()).unwrap_err();
        assert_eq!(found, [expected], "{text}");
    };
    check("{", " | not JSON: expected a name in quotes");
    check("[]", "[ | a bake file is an object");
    check("{\"target\": 1}", "1 | `target` must be an object");
    check("{\"target\": {\"a\": {\"tags\": [\"${X}\"]}}}", "X | there is no variable `X`");
    check("{\"target\": {\"a\": {\"tags\": [\"\\u0041${X}\"]}}}", "\"\\u0041${X}\" | there is no variable `X`");
    check("{\"target\": {\"a\": {\"tags\": [\"${\"]}}}", "$ | not HCL: unexpected token");
}

#[test]
fn later_files_change_earlier_ones() {
    let compose = "services:\n  app:\n    image: shop/app\n    build:\n      context: src\n      args: {A: compose}\n      tags: [a]\n";
    let bake = "variable \"V\" { default = \"1\" }\ngroup \"default\" { targets = [\"app\", \"b\"] }\n\
                target \"app\" { args = { B = V } }\ntarget \"b\" { inherits = [\"app\"] }";
    let over = "V = \"2\"\ntarget \"app\" {\n tags = [\"c\"]\n dockerfile = \"D\"\n}";
    let files = [("docker-bake.hcl", bake), ("compose.yaml", compose), ("docker-bake.override.hcl", over)];
    let (plan, _) = plan(&files, &[]).unwrap();
    let printed = serde_json::to_value(Printed::from(&plan)).unwrap();
    let expected = serde_json::json!({
        "context": "src", "dockerfile": "D", "args": {"A": "compose", "B": "2"}, "tags": ["c"]
    });
    assert_eq!(printed["target"]["app"], expected);
    assert_eq!(printed["target"]["b"]["args"], expected["args"]);
}

/// As in docker, where nobody hears of it.
#[test]
fn what_has_no_effect_is_told_and_left_out() {
    let check = |text: &str, expected: &[&str]| {
        let surroundings = Surroundings { variable: &|_| None, dotenv: None, platform: "linux/amd64".into(), epoch: 0 };
        let sources = Sources::new(vec![Source { name: "docker-bake.hcl".into(), text: text.into() }]);
        let found = read(&sources, &surroundings).unwrap_or_else(|broken| panic!("{text}\n{:?}", broken.list));
        let notes: Vec<String> = found
            .notes
            .iter()
            .map(|note| [std::slice::from_ref(&note.message), &note.help[..]].concat().join(": "))
            .collect();
        assert_eq!(notes, expected, "{text}");
    };
    check(
        "target \"a\" { tag = [] }\ntarget \"b\" { inherits = [\"a\"] }",
        &["unknown key `tag` in a target: it has no effect: did you mean `tags`?"],
    );
    check(
        "group \"first\" { targets = [\"a\", \"missing\"] }\ngroup \"second\" { targets = [\"first\"] }\ntarget \"a\" {}",
        &[
            "no target or group is called `missing`, so the group `first` is left out",
            "no target or group is called `first`, so the group `second` is left out",
        ],
    );
}

#[test]
fn values_may_come_to_nothing() {
    let text = "services:\n  a:\n    image: ${IMAGE}\n    build:\n      context: ${DIR}\n      dockerfile: $FILE\n";
    let (found, _) = plan(&[("compose.yaml", text)], &[]).unwrap();
    let printed = serde_json::to_value(Printed::from(&found)).unwrap();
    assert_eq!(printed["target"]["a"], serde_json::json!({"context": ".", "dockerfile": "Dockerfile"}));
    let (found, _) = plan(&[("compose.yaml", text)], &[("IMAGE", "i"), ("DIR", "d"), ("FILE", "f")]).unwrap();
    let printed = serde_json::to_value(Printed::from(&found)).unwrap();
    assert_eq!(printed["target"]["a"], serde_json::json!({"context": "d", "dockerfile": "f", "tags": ["i"]}));
}

#[test]
fn the_platform_of_the_machine_has_a_name() {
    let found = value(&hcl("target \"a\" { platforms = [\"local\"] }"), &[], "a", "platforms");
    assert_eq!(found, serde_json::json!([crate::oci::Platform::host().to_string()]));
}

#[test]
fn mistakes_in_bake_files_are_pointed_at() {
    let check = |text: &str, expected: &[&str]| {
        let found = plan(&hcl(text), &[]).map(|_| Vec::<String>::new()).unwrap_or_else(|messages| messages);
        assert_eq!(found, expected, "{text}");
    };
    check(
        "target \"a b\" {}",
        &[
            "\"a b\" | `a b` cannot be the name of a target (names are letters, digits, `_` and `-`, and do not start with `-`)",
        ],
    );
    check("target {}", &["target | a target without a name"]);
    check(
        "targets \"a\" {}",
        &["\"a\" | `targets` is no block of a bake file (there are `target`, `group`, `variable` and `function`)"],
    );
    check(
        "target \"a\" {\n args {}\n}",
        &["args | `args` is no block of a target (write `args = …` if a value is meant)"],
    );
    check("variable \"V\" { defaut = 1 }", &["defaut | unknown key `defaut` in a variable (did you mean `default`?)"]);
    check("target \"a\" { tags = \"x\" }", &["\"x\" | a list is needed here, not a string"]);
    check("target \"a\" { pull = \"maybe\" }", &["\"maybe\" | `maybe` is neither `true` nor `false`"]);
    check(
        "target \"a\" { policy = [] }",
        &["policy | `policy` is not supported (policies are not evaluated: the lockfile pins what comes from outside)"],
    );
    check("target \"a\" { inherits = [\"other\"] }", &["\"other\" | no target is called `other`"]);
    check("target \"a\" { contexts = { b = \"target:other\" } }", &["\"target:other\" | no target is called `other`"]);
    check("group \"g\" {}", &["\"g\" | the group `g` has no `targets`"]);
    check("function \"f\" { params = [] }", &["\"f\" | the function `f` has no `result`"]);
    check(
        "target \"a\" { matrix = { x = [1, 2] } }",
        &["\"a\" | two targets are called `a` (put every axis of the `matrix` into the `name`)"],
    );
    check("target \"a\" { matrix = { x = [] } }", &["{ x = [] } | a matrix of no targets"]);
    check("target \"a\" { name = \"b\" }", &["name | `name` is for targets with a `matrix`"]);
    check(
        "target \"a\" { platforms = [\"nonsense\"] }",
        &["\"nonsense\" | \"nonsense\" is not a platform: write it as os/architecture[/variant], such as linux/arm64"],
    );
    check("target \"a\" {\n", &["\n | not HCL: invalid block body; expected `}`, newline or identifier"]);
}

#[test]
fn compose_services_are_targets() {
    let text = r#"
x-common: &common
  pull: true
  args:
    SHARED: "1"
secrets:
  token: {file: ./token.txt}
  key: {environment: KEY}
services:
  db:
    image: postgres
  web.app:
    image: "shop/web:${TAG:-dev}"
    environment: {FROM_SERVICE: s}
    depends_on: [db]
    build:
      <<: *common
      context: ./web
      dockerfile: Web.Dockerfile
      target: run
      args: [A=1, B=$$x, FROM_SERVICE, FROM_ENV, NOWHERE]
      labels: {org.example: yes}
      additional_contexts: ["base=service:base", "img=docker-image://alpine"]
      secrets: [token, {source: key, target: k}]
      ssh: ["default", "x=./key"]
      network: none
      platforms: [linux/arm64]
      no_cache: ${NO_CACHE:-false}
      x-bake:
        tags: [extra:1]
        output: type=local,dest=out
        no-cache-filter: run
  base:
    extends: {service: template}
  template:
    build:
      dockerfile_inline: |
        FROM scratch
        LABEL tag=${TAG:-dev}
"#;
    let files = [("compose.yaml", text)];
    let (plan, written) = plan(&files, &[("FROM_ENV", "e")]).unwrap();
    let printed = serde_json::to_value(Printed::from(&plan)).unwrap();
    let expected = serde_json::json!({
        "context": "./web", "dockerfile": "Web.Dockerfile", "target": "run",
        "args": {"A": "1", "B": "$x", "FROM_ENV": "e", "FROM_SERVICE": "s"},
        "labels": {"org.example": "yes"}, "tags": ["extra:1"],
        "contexts": {"base": "target:base", "img": "docker-image://alpine"}, "platforms": ["linux/arm64"],
        "no-cache-filter": ["run"], "pull": true, "network": "none", "secret": ["id=token,src=./token.txt", "id=key,env=KEY"],
        "ssh": ["default", "x=./key"], "output": ["type=local,dest=out"]
    });
    assert_eq!(printed["target"]["web_app"], expected);
    assert_eq!(printed["target"]["base"]["dockerfile-inline"], "FROM scratch\nLABEL tag=dev\n");
    assert!(written.contains("default = [\"web_app\", \"base\", \"template\"]"), "{written}");
    assert!(written.contains("no-cache = \"${NO_CACHE}\""), "{written}");
}

#[test]
fn names_with_odd_characters_are_quoted_wherever_they_stand() {
    let text = "services:\n  web:\n    build:\n      context: .\n      args:\n        \u{11}ODD:\n        PLAIN:\n";
    let (_, written) = plan(&[("compose.yaml", text)], &[]).unwrap();
    assert!(written.contains("#     \"\\u0011ODD\" = \"\"\n"), "{written}");
}

#[test]
fn mistakes_in_compose_files_are_pointed_at() {
    let check = |text: &str, expected: &[&str]| {
        let found =
            plan(&[("compose.yml", text)], &[]).map(|_| Vec::<String>::new()).unwrap_or_else(|messages| messages);
        assert_eq!(found, expected, "{text}");
    };
    check("", &[]);
    check("- a", &["- a | a compose file is a map"]);
    check("service: {}", &["service | unknown key `service` in a compose file (did you mean `services`?)"]);
    check(
        "include: [a]",
        &["include | `include` is not supported (name each file with -f: later ones are merged over earlier ones)"],
    );
    check(
        "services: {a: {build: {contxt: x}}}",
        &["contxt | unknown key `contxt` in `build` (did you mean `context`?)"],
    );
    check("services: {a: {build: .}}\nmore: 1\nservice: 2", &[]);
    check("services: {a: {build: [x]}}", &["[x] | `build` must be a folder or a map"]);
    check("services: {a: {build: {tags: x}}}", &["x | `tags` must be a list, not a single value"]);
    check(
        "services: {a: {build: {context: \"${A!}\"}}}",
        &["\"${A!}\" | `${A!}` is no reference to a variable (write `${NAME}`, `${NAME:-default}`, or `$$` for a `$`)"],
    );
    check(
        "services: {a: {build: {secrets: [s]}}}",
        &[
            "s | the secret `s` is neither a file nor a variable (declare it: `secrets: { s: { file: PATH } }`, or with `environment: NAME`)",
        ],
    );
    check("services: {a: {extends: {service: b}}}", &["b | no service is called `b`"]);
    check(
        "services: {a: {extends: {service: a}}}",
        &["{service: a} | services extend each other in a circle, or in too long a chain"],
    );
    check(
        "services: {a: {extends: {file: x.yaml, service: b}}}",
        &[
            "x.yaml | a service of another file cannot be extended (write its `build` section here, or share it with `inherits` in a build.toml)",
        ],
    );
    check(
        "services: {a: {build: {dockerfile: x, dockerfile_inline: y}}}",
        &["{dockerfile: x, dockerfile_inline: y} | `dockerfile` and `dockerfile_inline` exclude each other"],
    );
    check("a: b: c", &[" | not YAML: mapping values are not allowed in this context"]);
}

#[test]
fn hostile_files_are_refused() {
    let first = |text: &str, part: &str| {
        let found = plan(&hcl(text), &[]).map(|_| Vec::new()).unwrap_or_else(|messages| messages);
        assert!(found.first().is_some_and(|message| message.contains(part)), "{part}: {found:?}");
    };
    let in_target = |expression: &str| format!("target \"t\" {{ args = {{ X = {expression} }} }}");
    first(&in_target(&"(".repeat(2000)), "at most 64 nested levels");
    first(&in_target(&format!("{}1", "!".repeat(2000))), "at most 64 nested levels");
    first(&in_target(&format!("1{}", " + 1".repeat(2000))), "at most 128 chained");
    first(&in_target(&"\"${".repeat(2000)), "nested levels");
    let chain: String = (0..2000).map(|n| format!("v{n} = v{}\n", n + 1)).collect();
    first(&format!("{chain}v2000 = 1\n{}", in_target("v0")), "levels deep");
    let doubling: String = (0..40).map(|n| format!("v{n} = \"${{v{}}}${{v{}}}\"\n", n + 1, n + 1)).collect();
    first(&format!("{doubling}v40 = \"x\"\n{}", in_target("v0")), "longer than a mebibyte");
    let lists: String = (0..40).map(|n| format!("v{n} = [v{}, v{}]\n", n + 1, n + 1)).collect();
    first(&format!("{lists}v40 = \"x\"\n{}", in_target("length(flatten(v0))")), "too much work");
    first(&in_target("length([for a in range(4000) : [for b in range(4000) : b]])"), "too much work");
    first(&in_target("pow(10, 1000)"), "too large");
    first(
        &in_target("f(1)").replace("target", "function \"f\" {\nparams = [x]\nresult = f(x)\n}\ntarget"),
        "needs its own value",
    );
    first(
        "target \"a\" {\nname = \"a${x}${y}\"\nmatrix = { x = range(100), y = range(100) }\n}",
        "more than 1000 targets",
    );
}

/// Files with all that there is in the languages.
const COLLECTION: &[(&str, &str)] = &[
    ("functions.hcl", include_str!("../../../../tests/bake-files/functions/docker-bake.hcl")),
    ("matrix.hcl", include_str!("../../../../tests/bake-files/matrix/docker-bake.hcl")),
    ("templates.hcl", include_str!("../../../../tests/bake-files/templates/docker-bake.hcl")),
    ("docker-bake.json", include_str!("../../../../tests/bake-files/json/docker-bake.json")),
    ("compose.yaml", include_str!("../../../../tests/bake-files/compose/compose.yaml")),
    ("docker-compose.yml", include_str!("../../../../tests/bake-files/compose-anchors/docker-compose.yml")),
];

#[test]
fn damaged_files_do_not_panic() {
    for (name, text) in COLLECTION {
        for at in (0..text.len()).step_by(23) {
            for (to, between) in [(text.len(), ""), (at + 5, ""), (at, "\""), (at, "\n}"), (at, "${"), (at, "ä: &")] {
                let (Some(head), Some(tail)) = (text.get(..at), text.get(to..)) else { continue };
                // Every message must point at bytes of the text, and what is converted must mean the same.
                let _ = plan(&[(name, &[head, between, tail].concat())], &[]);
            }
        }
    }
}
