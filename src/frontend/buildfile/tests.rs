//! Build files in, targets or messages out.

use std::collections::BTreeMap;

use super::*;
use crate::frontend::diagnostic::Diagnostic;

/// The example that comes with the program.
const EXAMPLE: &str = include_str!("../../../build.toml.example");

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn try_plan(text: &str, names: &[&str], env: &[(&str, &str)], sets: &[&str]) -> Result<Plan, Error> {
    let file = parse(text).map_err(Error::File)?;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let sets: Vec<Override> = sets.iter().map(|set| set.parse()).collect::<Result<_, _>>()?;
    resolve(&file, &names, &environment(env), &sets)
}

fn plan(text: &str, names: &[&str], env: &[(&str, &str)], sets: &[&str]) -> Plan {
    try_plan(text, names, env, sets).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

/// One target with these lines in it.
fn target(lines: &str) -> Target {
    plan(&format!("[target.default]\n{lines}\n"), &[], &[], &[]).targets.remove(0)
}

/// Messages as a person would see them, roughly: what is pointed at, the message, the advice.
fn shown(text: &str, diagnostics: &[Diagnostic]) -> Vec<String> {
    let show = |diagnostic: &Diagnostic| {
        let at = &text[diagnostic.annotations[0].span.clone()];
        let help: String = diagnostic.help.iter().map(|help| format!(" ({help})")).collect();
        format!("{at} | {}{help}", diagnostic.message)
    };
    diagnostics.iter().map(show).collect()
}

fn errors(text: &str, names: &[&str], env: &[(&str, &str)], sets: &[&str]) -> Vec<String> {
    match try_plan(text, names, env, sets) {
        Ok(plan) => panic!("no error, but {plan:?}"),
        Err(Error::File(diagnostics)) => shown(text, &diagnostics),
        Err(other) => vec![other.to_string()],
    }
}

/// The example, with a file in the place of those that it includes.
fn example() -> BuildFile {
    let mut loading = Loading::new("build.toml", "build.toml", EXAMPLE);
    for need in loading.needs() {
        let path = need.pattern.replace('*', "worker");
        let text = "[target.worker]\ninherits = ['common']\ncontexts.toolchain = 'target:toolchain'".into();
        loading.answer(&need, vec![Found { name: path.clone(), path, text: Ok(text) }]);
    }
    loading.finish().unwrap_or_else(|broken| panic!("{:?}", shown(&broken.text, &broken.list)))
}

#[test]
fn the_example_has_every_key_and_resolves() {
    let file = example();
    for row in keys::KEYS {
        let found = EXAMPLE.lines().any(|line| line.starts_with(&format!("{} = ", row.name)))
            || EXAMPLE.contains(&format!(".{}]", row.name))
            || EXAMPLE.contains(&format!(".{}.", row.name));
        assert!(found, "build.toml.example does not show `{}`", row.name);
        assert_eq!(row.key.info().name, row.name);
    }
    for key in super::variables::VARIABLE {
        assert!(EXAMPLE.contains(&format!("\n{key} = ")), "build.toml.example does not show `{key}` of variables");
    }
    let env = environment(&[("SIGNING_KEY", "key.pem"), ("CHANNEL", "stable")]);
    let plan = super::resolve(&file, &["default".into(), "docs".into(), "release".into()], &env, &[]).unwrap();
    let order: Vec<(&str, bool)> = plan.targets.iter().map(|t| (t.name.as_str(), t.requested)).collect();
    assert_eq!(order, [("toolchain", false), ("web", true), ("worker", true), ("docs", true), ("release", true)]);
    let web = &plan.targets[1];
    let tags = ["stable-latest", "latest", "de", "en"].map(|tag| format!("localhost:5000/shop/web:{tag}"));
    assert_eq!(web.tags, tags);
    assert_eq!(web.args["NODE_MAJOR"], "20");
    assert_eq!(web.args["DEBUG"], "false");
    assert_eq!(web.contexts["toolchain"], ContextSource::Target("toolchain".into()));
    assert_eq!(web.ssh[0], Ssh { id: "deploy".into(), paths: vec!["secrets/deploy_key".into()] });
    let release = plan.targets.last().unwrap();
    let ids: Vec<&str> = release.secrets.iter().map(|secret| secret.id.as_str()).collect();
    assert_eq!(ids, ["token", "npmrc", "signing-key"]);
    assert_eq!(list(&file).len(), 7 + 4 + 3 + 8);
}

#[test]
fn an_empty_target_has_defaults() {
    let target = target("");
    assert_eq!(target.context, ContextSource::Path(".".into()));
    assert_eq!(target.dockerfile, Dockerfile::Path("Dockerfile".into()));
    assert!(target.requested && target.platforms.is_empty() && target.outputs.is_empty() && !target.pull);
}

#[test]
fn parents_are_merged_in_order() {
    let text = r#"
        [target.a]
        context = "a"
        args = { A = "a", B = "a", C = "a" }
        tags = ["a:1", "a:2"]
        secrets = ["id=x,src=a", "id=y,src=a"]
        dockerfile = "a.Dockerfile"
        [target.b]
        context = "b"
        args = { B = "b", C = "b" }
        tags = ["b:1"]
        secrets = ["id=x,src=b"]
        dockerfile-inline = "FROM scratch"
        [target.c]
        inherits = ["a", "b"]
        args = { C = "c" }
    "#;
    let c = plan(text, &["c"], &[], &[]).targets.remove(0);
    assert_eq!(c.context, ContextSource::Path("b".into()));
    assert_eq!(c.args, environment(&[("A", "a"), ("B", "b"), ("C", "c")]));
    assert_eq!(c.tags, ["b:1"]);
    assert_eq!(c.dockerfile, Dockerfile::Inline("FROM scratch".into()));
    let secrets: Vec<String> = c.secrets.iter().map(Secret::to_argument).collect();
    assert_eq!(secrets, ["id=x,src=b", "id=y,src=a"]);
}

#[test]
fn set_counts_as_if_it_stood_in_the_file() {
    let text = r#"
        [target.base]
        args = { V = "1" }
        tags = ["base:1"]
        [target.app]
        inherits = ["base"]
        tags = ["app:1"]
        [target.other]
    "#;
    let check = |sets: &[&str], expected: &str| {
        let targets = plan(text, &["app", "other"], &[], sets).targets;
        let show = |t: &Target| format!("{} {} {:?} {}", t.name, t.tags.join(","), t.args, t.no_cache);
        assert_eq!(targets.iter().map(show).collect::<Vec<_>>().join("; "), expected, "{sets:?}");
    };
    check(&[], r#"app app:1 {"V": "1"} false; other  {} false"#);
    check(&["app.args.V=2"], r#"app app:1 {"V": "2"} false; other  {} false"#);
    check(&["base.args.V=2"], r#"app app:1 {"V": "2"} false; other  {} false"#);
    check(&["*.args.W=3"], r#"app app:1 {"V": "1", "W": "3"} false; other  {"W": "3"} false"#);
    check(&["app.tags=x:1", "app.tags=x:2"], r#"app x:1,x:2 {"V": "1"} false; other  {} false"#);
    check(&["app.tags+=x:1"], r#"app app:1,x:1 {"V": "1"} false; other  {} false"#);
    check(&["o*.no-cache=true"], r#"app app:1 {"V": "1"} false; other  {} true"#);
    check(&["app.platform=linux/amd64"], r#"app app:1 {"V": "1"} false; other  {} false"#);
    check(&["app.args.V=${V}"], r#"app app:1 {"V": "${V}"} false; other  {} false"#);
}

#[test]
fn variables_have_defaults_and_the_environment_wins() {
    let text = r#"
        [variable]
        VERSION = 1.20
        TAG = "${VERSION}-${SUFFIX}"
        [variable.SUFFIX]
        default = "dev"
        [target.default]
        tags = ["app:${TAG}"]
        no-cache = "${SUFFIX}"
    "#;
    let check = |env: &[(&str, &str)], expected: &str| {
        assert_eq!(plan(text, &[], env, &["default.no-cache=1"]).targets[0].tags, [expected], "{env:?}");
    };
    check(&[], "app:1.20-dev");
    check(&[("SUFFIX", "rc")], "app:1.20-rc");
    check(&[("VERSION", "${SUFFIX}"), ("OTHER", "x")], "app:${SUFFIX}-dev");
    check(&[("TAG", "x")], "app:x");
    let expected = "\"${SUFFIX}\" | `rc` is neither `true` nor `false` (`${SUFFIX}` is `rc` here)";
    assert_eq!(errors(text, &[], &[("SUFFIX", "rc")], &[]), [expected]);
}

#[test]
fn variables_have_types_and_limits() {
    let text = r#"
[variable.PORT]
type = "int"
default = 80
[variable.DEBUG]
type = "bool"
default = false
[variable.LANGS]
default = ["de", "${EXTRA}"]
[variable.EXTRA]
type = "list"
default = "en"
[variable.CHANNEL]
default = "edge"
values = ["edge", "stable"]
[variable.VERSION]
default = "1.2"
pattern = "[0-9]*.[0-9]*"
message = "major and minor"
[variable.NAME]
default = "app"
condition = "${equal(NAME, lower(NAME))}"
message = "small letters only"
[target.default]
tags = ["${formatlist('a:%s', LANGS)}"]
args = { PORT = "${PORT}", DEBUG = "${DEBUG}", V = "${CHANNEL}-${VERSION}-${NAME}" }
"#;
    let check = |env: &[(&str, &str)], expected: &str| {
        let shown = match try_plan(text, &[], env, &[]) {
            Ok(plan) => format!("{:?} {:?}", plan.targets[0].tags, plan.targets[0].args.values().collect::<Vec<_>>()),
            Err(Error::File(found)) => shown(text, &found).join("; "),
            Err(other) => other.to_string(),
        };
        assert_eq!(shown, expected, "{env:?}");
    };
    check(&[], r#"["a:de", "a:en"] ["false", "80", "edge-1.2-app"]"#);
    let env = [("PORT", "007"), ("DEBUG", "1"), ("EXTRA", "fr,\"x,y\""), ("VERSION", "10.0")];
    check(&env, r#"["a:de", "a:fr", "a:x,y"] ["true", "7", "edge-10.0-app"]"#);
    let leave = |name: &str| format!("(change {name} in the environment, or leave it out there)");
    check(&[("PORT", "x")], &format!("PORT | PORT=`x` of the environment is not a whole number {}", leave("PORT")));
    check(
        &[("DEBUG", "")],
        &format!("DEBUG | DEBUG=`` of the environment is neither `true` nor `false` {}", leave("DEBUG")),
    );
    check(
        &[("CHANNEL", "stabel")],
        "CHANNEL | CHANNEL=`stabel` of the environment is none of `edge`, `stable` (did you mean `stable`?)",
    );
    check(
        &[("VERSION", "x")],
        &format!(
            "VERSION | VERSION=`x` of the environment does not fit `[0-9]*.[0-9]*`: major and minor {}",
            leave("VERSION")
        ),
    );
    check(
        &[("NAME", "App")],
        &format!("NAME | NAME=`App` of the environment is not as it must be: small letters only {}", leave("NAME")),
    );
    let listed = serde_json::to_value(variables(&parse(text).unwrap(), &environment(&[("PORT", "8")]))).unwrap();
    assert_eq!(
        listed[0],
        serde_json::json!({"name": "PORT", "type": "int", "required": false, "default": "80", "value": 8, "source": "environment"})
    );
    assert_eq!(listed[2]["value"], serde_json::json!(["de", "en"]));
    assert_eq!(listed[4]["values"], serde_json::json!(["edge", "stable"]));
}

#[test]
fn variables_are_checked_in_the_file_too() {
    let check = |lines: &str, expected: &str| {
        let text = format!("[variable.V]\n{lines}\n[target.default]");
        assert_eq!(errors(&text, &[], &[], &[]), [expected], "{lines}");
    };
    check("type = 'int'\ndefault = 'x'", "'x' | `x`, the default of `V`, is not a whole number");
    check("type = 'inte'", "'inte' | no type is called `inte` (did you mean `int`?)");
    check("type = 'float'", "'float' | no type is called `float` (the types are string, int, bool, list)");
    check("type = 'string'\ndefault = ['x']", "['x'] | `x`, the default of `V`, is a list");
    check("default = 'c'\nvalues = ['aaa', 'b b']", "'c' | `c`, the default of `V`, is none of `aaa`, `b b`");
    check("message = 'x'", "message | `message` is for a variable with a `condition` or a `pattern`");
    check("default = ''\nrequired = true", "'' | ``, the default of `V`, is empty, and it is required");
    check("default = 'x'\ncondition = 'maybe'", "'maybe' | `maybe` is neither `true` nor `false`");
    check("condition = '${W}'", "${W} | no variable is called `W` (did you mean `V`?)");
    check(
        "sensitive = true",
        "sensitive | unknown key `sensitive` in a variable (known are `default`, `description`, `type`, `required`, `values`, `pattern`, `condition`, `message`)",
    );
    check(
        "required = true\ndescription = 'the key'",
        "V | the variable `V` is required and has no value (set it in the environment: V=… (the key))",
    );
}

#[test]
fn functions_are_called_in_strings() {
    let text = r#"
        [variable]
        BRANCH = "feature/Login"
        VERSION = "1.2.3"
        LANGS = "${split(' ', 'de en')}"
        MINOR = "${join('.', split('.', substr(VERSION, 0, 3)))}"
        [variable.COMMIT]
        [target.default]
        matrix = { v = ["A", "b"] }
        name = "app-${lower(v)}"
        tags = [
            "app:${tag(lower(BRANCH))}",
            "app:${default(COMMIT, 'none')}",
            "${formatlist('app:%s-%s', MINOR, LANGS)}",
            "app:${if(equal(v, 'A'), 'first', 'second')}",
        ]
        args = { HASH = "${truncate(sha256(VERSION), 8)}", N = "${length(LANGS)}" }
    "#;
    let tags = |name: &str, env: &[(&str, &str)]| plan(text, &[name], env, &[]).targets.remove(0).tags;
    let expected = ["app:feature-login", "app:none", "app:1.2-de", "app:1.2-en", "app:first"];
    assert_eq!(tags("app-a", &[]), expected);
    assert_eq!(tags("app-b", &[("COMMIT", "c0ffee")])[1..], ["app:c0ffee", "app:1.2-de", "app:1.2-en", "app:second"]);
    let args = plan(text, &["app-a"], &[], &[]).targets.remove(0).args;
    assert_eq!(args, environment(&[("HASH", "c47f5b18"), ("N", "2")]));
}

#[test]
fn mistakes_in_calls_are_pointed_at_to_the_letter() {
    let check = |value: &str, expected: &str| {
        let text = format!("[variable]\nV = 'a,b'\n[variable.NONE]\n[target.default]\ntags = [\"{value}\"]");
        assert_eq!(errors(&text, &[], &[], &[]), [expected], "{value}");
    };
    check("${truncate(V, 'x')}", "'x' | `x` is not a whole number");
    check("a${upper(split(',', V))}", "split(',', V) | a list where a text is needed: use `join(',', …)`");
    check(
        "a:${split(',', V)}",
        "split(',', V) | a list cannot stand in a text (put its items together: `${join(',', …)}`)",
    );
    check(
        "${upper(NONE)}",
        "NONE | the variable `NONE` has no value (set NONE in the environment, or give it a `default`)",
    );
    check("${if('', NONE, W)}", "W | no variable is called `W` (did you mean `V`?)");
    check("${if(V, NONE, '')}", "V | `a,b` is neither `true` nor `false`");
    check(
        "${timestamp()}",
        "timestamp | `timestamp` gives something else each time, and such a build cannot be reproduced: take the value from a variable",
    );
    check("${upper(V}", "} | `}` where `,` or `)` is expected (write `$${` for a `${` that is meant as it is)");
}

#[test]
fn values_are_read_in_all_their_forms() {
    let output = |text: &str| target(&format!("output = [{text}]")).outputs.remove(0).to_argument();
    assert_eq!(output(r#""out""#), "type=local,dest=out");
    assert_eq!(output(r#""-""#), "type=tar,dest=-");
    assert_eq!(output(r#""dest=a.tar,type=oci""#), "type=oci,dest=a.tar");
    assert_eq!(output(r#"{ type = "oci", compression-level = 3 }"#), "type=oci,compression-level=3");
    let ssh = |text: &str| target(&format!("ssh = [{text}]")).ssh.remove(0).to_argument();
    assert_eq!(ssh(r#""default""#), "default");
    assert_eq!(ssh(r#""a=b,c""#), "a=b,c");
    assert_eq!(ssh(r#"{ id = "a", paths = ["b", "c"] }"#), "a=b,c");
    let secret = |text: &str| target(&format!("secrets = [{text}]")).secrets.remove(0).to_argument();
    assert_eq!(secret(r#""id=a""#), "id=a");
    assert_eq!(secret(r#""type=env,id=a,src=B""#), "id=a,env=B");
    assert_eq!(secret(r#"{ id = "a", src = "b,c" }"#), "id=a,\"src=b,c\"");
    let context = |text: &str| target(&format!("contexts = {{ x = {text:?} }}")).contexts.remove("x").unwrap();
    assert_eq!(context("../src"), ContextSource::Path("../src".into()));
    assert_eq!(context("docker-image://alpine"), ContextSource::Image("alpine".into()));
    assert_eq!(context("oci-layout:///x:y"), ContextSource::OciLayout("/x:y".into()));
    assert_eq!(context("git@example.com:x.git"), ContextSource::Url("git@example.com:x.git".into()));
    let platforms = target(r#"platforms = ["linux/amd64", "x86_64", "linux/arm64/v8"]"#).platforms;
    assert_eq!(platforms.iter().map(ToString::to_string).collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);
    let inline = target("dockerfile-inline = 'FROM ${BASE}'").dockerfile;
    assert_eq!(inline, Dockerfile::Inline("FROM ${BASE}".into()));
}

#[test]
fn linked_targets_come_first_and_once() {
    let text = r#"
        group = { default = ["app", "test"], all = ["default", "app"] }
        [target]
        app.contexts = { base = "target:base", lib = "target:lib" }
        test.contexts = { app = "target:app" }
        lib.contexts = { base = "target:base" }
        base = {}
        unused = {}
    "#;
    let order = |names: &[&str]| {
        let plan = plan(text, names, &[], &[]);
        plan.targets
            .iter()
            .map(|t| if t.requested { t.name.to_uppercase() } else { t.name.clone() })
            .collect::<Vec<_>>()
    };
    assert_eq!(order(&[]), ["base", "lib", "APP", "TEST"]);
    assert_eq!(order(&["all"]), ["base", "lib", "APP", "TEST"]);
    assert_eq!(order(&["test", "base"]), ["BASE", "lib", "app", "TEST"]);
    assert_eq!(order(&["lib", "lib"]), ["base", "LIB"]);
    assert_eq!(plan(text, &["all"], &[], &[]).groups, [("all".to_string(), vec!["app".to_string(), "test".into()])]);
}

#[test]
fn keys_of_docker_bake_are_known() {
    let text = r#"
[variable.COMMIT]
[target.default]
args = { A = "${unset()}", B = "${default(COMMIT, unset())}", C = "x" }
tags = ["a:1", "${if(equal('a', 'b'), 'a:2', unset())}"]
target = "${unset()}"
attest = ["type=provenance,mode=max", { type = "sbom" }]
cache-from = ["user/app:cache", { type = "local", src = "cache" }, "type=azblob", "type=gha,token=secret"]
cache-to = ["type=inline"]
call = "check"
entitlements = ["network.host"]
extra-hosts = { db = "10.0.0.2", me = "host-gateway" }
shm-size = "128m"
ulimits = ["nofile=1024:2048"]
resources = { memory = "2g", cpus = 1.5, memory-swap = -1, pids = "${unset()}" }
step-timeout = "90m"
secret = [{ id = "a", src = "x" }, "id=b"]
annotations = { k = "v" }
"#;
    let file = parse(text).unwrap();
    let set = ["default.secret.a=env=A".parse().unwrap(), "default.shm-size=1g".parse().unwrap()];
    let plan = super::resolve(&file, &[], &Default::default(), &set).unwrap();
    let printed = serde_json::to_value(Printed::from(&plan)).unwrap();
    let expected = serde_json::json!({
        "context": ".", "dockerfile": "Dockerfile", "args": {"C": "x"}, "tags": ["a:1"],
        "attest": ["type=provenance,mode=max", "type=sbom"],
        "cache-from": ["type=registry,ref=user/app:cache", "type=local,src=cache", "type=azblob", "type=gha,token=…"], "cache-to": ["type=inline"],
        "call": "check", "entitlements": ["network.host"], "extra-hosts": {"db": "10.0.0.2", "me": "host-gateway"},
        "shm-size": "1073741824", "ulimits": ["nofile=1024:2048"],
        "resources": {"memory": "2147483648", "memory-swap": "-1", "cpus": "1.500"}, "step-timeout": "1h30m", "secret": ["id=a,env=A", "id=b"],
        "annotations": ["k=v"],
    });
    assert_eq!(printed["target"]["default"], expected);
    let warned: Vec<&str> = plan.warnings.iter().map(|warning| &text[warning.annotations[0].span.clone()]).collect();
    assert_eq!(warned, ["\"type=azblob\""]);
}

#[test]
fn several_mistakes_get_several_messages() {
    let text = r#"
        [targets.x]
        [variable]
        TAG = [["x"]]
        "A-B" = 1
        [group]
        default = ["appp"]
        [target.app]
        tag = ["x"]
        policy = {}
        context = 5
        args = { A = [] }
        tags = ["app:${TAGS}", "${x", "${uper(TAG)}"]
        secrets = [{ id = "a", source = "x" }]
        inherits = ["base"]
        dockerfile = "a"
        dockerfile-inline = "b"
        [target."a b"]
    "#;
    let expected = [
        "targets | unknown key `targets` in a build file (did you mean `target`?)",
        "[\"x\"] | an item of a variable must be a string, a number or a truth value, not an array",
        "\"A-B\" | `A-B` cannot be the name of a variable (names are letters, digits and `_`, and do not start with a digit)",
        "\"appp\" | no target or group is called `appp` (did you mean `app`?)",
        "tag | unknown key `tag` in a target (did you mean `tags`?)",
        "policy | `policy` is not supported yet",
        "5 | `context` must be a string, not an integer",
        "[] | `A` in `args` must be a string, a number or a truth value, not an array",
        "${TAGS} | no variable is called `TAGS` (did you mean `TAG`?)",
        "${x | `${` without a `}` (write `$${` for a `${` that is meant as it is)",
        "uper | no function is called `uper` (did you mean `upper`?)",
        "source | unknown key `source` in `secrets` (known are `id`, `src`, `env`)",
        "\"base\" | no target is called `base`",
        "dockerfile-inline | `dockerfile` and `dockerfile-inline` exclude each other",
        "\"a b\" | `a b` cannot be the name of a target (names are letters, digits, `_` and `-`, and do not start with `-`)",
    ];
    assert_eq!(errors(text, &[], &[], &[]), expected);
}

#[test]
fn values_that_make_no_sense_are_pointed_at() {
    let check = |lines: &str, expected: &str| {
        assert_eq!(errors(&format!("[target.default]\n{lines}"), &[], &[], &[]), [expected], "{lines}");
    };
    check("network = 'hots'", "'hots' | `hots` is no network: use `default`, `none`, `host` or `private`");
    check(
        "context = 'docker-image://x'",
        "'docker-image://x' | the main context is a folder or a URL: give this one a name under `contexts`",
    );
    check("contexts.x = 'target:y'", "'target:y' | no target is called `y`");
    check(
        "contexts.x = 'ftp://y'",
        "'ftp://y' | `ftp://` is no kind of context: use a path, `target:`, `docker-image://`, `oci-layout://`, or an http, https, git or ssh URL",
    );
    check("contexts.x = 'target:'", "'target:' | `target:` without the name of a target");
    check(
        "platforms = ['nonsense']",
        "'nonsense' | \"nonsense\" is not a platform: write it as os/architecture[/variant], such as linux/arm64",
    );
    check("secrets = ['src=x']", "'src=x' | a secret without an `id`");
    check("output = [{ dest = 'x' }]", "{ dest = 'x' } | an output without a `type`");
    check("output = ['type=oci,\"dest=x']", "'type=oci,\"dest=x' | a quote is not closed");
    check("pull = 1", "1 | `pull` must be true or false, not an integer");
    check("tags = ['']", "'' | a tag is empty");
    check("shm-size = 'x'", "'x' | write a size such as 64m, 1g or a number of bytes");
    check("extra-hosts.a = 'b'", "'b' | `b` is not an IP address; allowed are IPv4, IPv6 and `host-gateway`");
    check("ulimits = ['a']", "'a' | `a` is no limit: write it as `nofile=1024:4096`");
    check(
        "resources.mem = '1g'",
        "'1g' | `mem` cannot be limited: there are memory, memory-swap, cpus, cpu-shares, cpu-quota, cpu-period, cpuset-cpus, pids",
    );
    check("step-timeout = '5'", "'5' | `5` is no time: write one such as 90s, 10m or 1h30m, a year at most");
    check("call = 'x'", "'x' | `x` cannot be called: use `build`, `check`, `outline` or `targets`");
    check("entitlements = ['x']", "'x' | `x` is no entitlement: use `network.host` or `security.insecure`");
    check("attest = ['type=x']", "'type=x' | `x` is no attestation: use `provenance` or `sbom`");
    check("tags = 'x'", "'x' | `tags` must be a list of strings, not a string");
    check("reproducible.scrub = ['shadw']", "'shadw' | `shadw` is no scrub; did you mean `shadow`?");
    check("reproducible.scrub = 'apt'", "'apt' | `reproducible.scrub` must be a list of strings, not a string");
    check("reproducible.scrubs = []", "scrubs | unknown key `scrubs` in `reproducible` (did you mean `scrub`?)");
    check("reproducible = 'apt'", "'apt' | `reproducible` must be a table, not a string");
    let quoted = errors("[target.default]\n'reproducible.scrub' = []", &[], &[], &[]);
    assert!(quoted[0].starts_with("'reproducible.scrub' | unknown key"), "{quoted:?}");
}

#[test]
fn cycles_are_reported_with_the_cycle() {
    let check = |text: &str, expected: &str| assert_eq!(errors(text, &[], &[], &[]), [expected], "{text}");
    check(
        "[variable]\nA = '${B}'\nB = '${C}'\nC = '${A}'\n[target.default]",
        "${B} | a variable needs its own value: A → B → C → A",
    );
    check(
        "[target.default]\ninherits = ['b']\n[target.b]\ninherits = ['default']",
        "'default' | a target inherits from itself: b → default → b",
    );
    check("group.default = ['default']", "'default' | a group is a member of itself: default → default");
    check(
        "[target.default]\ncontexts.x = 'target:a'\n[target.a]\ncontexts.y = 'target:default'",
        "'target:default' | targets need each other: a → default → a",
    );
}

#[test]
fn what_is_asked_for_must_exist() {
    let check = |text: &str, names: &[&str], sets: &[&str], expected: &str| {
        assert_eq!(errors(text, names, &[], sets), [expected]);
    };
    let text = "target.app = {}\ntarget.web = {}";
    check(text, &[], &[], "there is no target or group called `default`: name what to build: `app`, `web`");
    check("", &[], &[], "there is no target or group called `default`: name what to build: the file has no targets");
    check(text, &["ap"], &[], "no target or group is called `ap`: did you mean `app`?");
    check(text, &["other"], &[], "no target or group is called `other`: there are `app`, `web`");
    check(text, &["app"], &["apps.pull=1"], "--set apps.pull=1: no target is called `apps`; did you mean `app`?");
    check(text, &["app"], &["app.pull=maybe"], "--set app.pull=maybe: `maybe` is neither `true` nor `false`");
    check("target.x = {}\ngroup.x = []", &["x"], &[], "x | `x` is the name of both a group and a target");
}

#[test]
fn a_variable_without_a_value_matters_only_where_it_is_used() {
    let text = "[variable.KEY]\n[target.default]\n[target.signed]\nargs = { KEY = '${KEY}' }";
    plan(text, &[], &[], &[]);
    let expected = "${KEY} | the variable `KEY` has no value (set KEY in the environment, or give it a `default`)";
    assert_eq!(errors(text, &["signed"], &[], &[]), [expected]);
    assert_eq!(plan(text, &["signed"], &[("KEY", "")], &[]).targets[0].args["KEY"], "");
}

#[test]
fn messages_point_into_strings_where_the_file_has_them_as_they_are() {
    let at = |line: &str| {
        errors(&format!("[target.default]\ncontext = {line}"), &[], &[], &[])[0].split(" | ").next().unwrap().to_owned()
    };
    assert_eq!(at("'a/${X}'"), "${X}");
    assert_eq!(at("\"ä/${X}\""), "${X}");
    assert_eq!(at("'''a/${X}'''"), "${X}");
    assert_eq!(at("\"\\t/${X}\""), "\"\\t/${X}\"");
    assert_eq!(at("\"\"\"\n/${X}\"\"\""), "\"\"\"\n/${X}\"\"\"");
}

#[test]
fn hostile_files_are_refused() {
    let chain = |n: usize| (0..n).map(|i| format!("[target.t{i}]\ninherits = ['t{}']\n", i + 1)).collect::<String>();
    let deep = format!("{}[target.t999]\n", chain(999));
    assert!(errors(&deep, &["t0"], &[], &[])[0].ends_with("references deep: too deep"));
    let doubling: String = (0..40).map(|i| format!("V{i} = '${{V{}}}${{V{}}}'\n", i + 1, i + 1)).collect();
    let doubling = format!("[variable]\n{doubling}V40 = 'x'\n[target.default]\nargs = {{ A = '${{V0}}' }}");
    assert!(errors(&doubling, &[], &[], &[])[0].ends_with("longer than a mebibyte with its variables"));
    let groups: String = (0..40).map(|i| format!("g{i} = ['g{}', 'g{}']\n", i + 1, i + 1)).collect();
    assert_eq!(plan(&format!("[group]\n{groups}g40 = ['t']\n[target.t]"), &["g0"], &[], &[]).targets.len(), 1);
    for text in ["[", "a = ", "[target.x]\n[target.x]", "\u{feff}[target]", "x = \"\\q\"", "target = 3", "[[target]]"] {
        let found = parse(text).map(|_| ()).map_err(|errors| errors.len());
        assert!(found != Ok(()) || text.starts_with('\u{feff}'), "{text:?}");
    }
}

#[test]
fn damaged_files_do_not_panic() {
    for at in (0..EXAMPLE.len()).step_by(11) {
        for (from, to, between) in
            [(at, EXAMPLE.len(), ""), (at, at + 5, ""), (at, at, "\""), (at, at, "\n[target.x"), (at, at, "${")]
        {
            let (Some(head), Some(tail)) = (EXAMPLE.get(..from), EXAMPLE.get(to..)) else { continue };
            let text = [head, between, tail].concat();
            // Every message must point at bytes of the text.
            if let Err(Error::File(messages)) = try_plan(&text, &[], &[], &[]) {
                assert_eq!(shown(&text, &messages).len(), messages.len());
            }
        }
    }
}

#[test]
fn prints_what_a_build_would_come_to() {
    let text = r#"
        group.default = ["app"]
        [target.app]
        context = "src"
        args = { B = "2", A = "1" }
        contexts = { base = "target:base" }
        no-cache = true
        network = "none"
        reproducible.scrub = ["shadow", "apt", "shadow"]
        platforms = ["x86_64"]
        output = [{ dest = "x.tar", type = "oci" }]
        [target.base]
        dockerfile-inline = "FROM scratch"
    "#;
    let plan = plan(text, &[], &[], &[]);
    let printed = serde_json::to_string(&Printed::from(&plan)).unwrap();
    let expected = concat!(
        r#"{"group":{"default":{"targets":["app"]}},"target":{"#,
        r#""app":{"context":"src","dockerfile":"Dockerfile","args":{"A":"1","B":"2"},"contexts":{"base":"target:base"},"#,
        r#""platforms":["linux/amd64"],"no-cache":true,"network":"none","reproducible":{"scrub":["apt","shadow"]},"output":["type=oci,dest=x.tar"]},"#,
        r#""base":{"context":".","dockerfile-inline":"FROM scratch"}}}"#
    );
    assert_eq!(printed, expected);
}

#[test]
fn lists_what_a_file_has() {
    let text =
        "variable.V = 1\ngroup.g = { targets = ['b'], description = 'two' }\n[target.b]\ndescription = 'x'\n[target.a]";
    let listed = serde_json::to_string(&list(&parse(text).unwrap())).unwrap();
    let expected = concat!(
        r#"[{"kind":"target","name":"b","description":"x"},{"kind":"target","name":"a"},"#,
        r#"{"kind":"group","name":"g","description":"two","targets":["b"]},{"kind":"variable","name":"V","default":"1"}]"#
    );
    assert_eq!(listed, expected);
}

#[test]
fn a_matrix_makes_targets_and_a_group() {
    let text = r#"
[variable]
TAG = "1"
[target.base-de]
[target.base-en]
[target.site]
matrix = { lang = ["de", "en"], size = [1, 2] }
name = "site-${size}${lang}"
tags = ["site:${TAG}-${lang}"]
from = "target:base-${lang}"
steps = [{ env = { SIZE = "${size}", PRICE = "$${size}" } }, { run = "make ${lang}" }]
[target.both]
inherits = ["site-1de"]
args = { A = "${TAG}" }
[target.plain]
matrix = { "v" = ["1.20", "2"] }
"#;
    let file = parse(text).unwrap();
    let names: Vec<&str> = file.targets().collect();
    assert_eq!(
        names,
        ["base-de", "base-en", "site-1de", "site-2de", "site-1en", "site-2en", "both", "plain-1-20", "plain-2"]
    );
    let group = file.groups().iter().find(|group| group.name == "site").unwrap();
    assert_eq!(group.members().collect::<Vec<_>>(), ["site-1de", "site-2de", "site-1en", "site-2en"]);
    let plan = super::resolve(&file, &["site-2en".into(), "both".into()], &Default::default(), &[]).unwrap();
    let order: Vec<&str> = plan.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(order, ["base-en", "site-2en", "base-de", "both"]);
    assert_eq!(plan.targets[1].tags, ["site:1-en"]);
    let printed = serde_json::to_value(super::Printed::from(&plan)).unwrap();
    let target = &printed["target"]["site-2en"];
    assert_eq!(target["from"], "target:base-en");
    assert_eq!(target["steps"][0]["env"], serde_json::json!({"SIZE": "2", "PRICE": "${size}"}));
    assert_eq!(target["contexts"]["target:base-en"], "target:base-en");
    assert_eq!(printed["target"]["both"]["steps"][1]["run"], "make de");
}

#[test]
fn mistakes_in_steps_and_matrices_are_told_once() {
    let messages =
        |text: &str| -> Vec<String> { parse(text).unwrap_err().into_iter().map(|error| error.message).collect() };
    let check = |text: &str, expected: &[&str]| assert_eq!(messages(text), expected, "{text}");
    check("[target.a]\nmatrix = { x = [] }", &["a matrix of 0 targets"]);
    check("[target.a]\nname = 'b'", &["`name` is for targets with a `matrix`"]);
    check("[target.a]\nmatrix = { x = [1, 2] }\nname = 'a-${y}'", &["`y` is no axis of this matrix"]);
    check("[target.a]\nmatrix = { x = [1, 2] }\ntags = ['${z}']", &["no variable is called `z`"]);
    check("[target.a]\nmatrix = { x = ['1', '1'] }", &["two targets are called `a-1`"]);
    check("[target.a]\ndockerfile = 'x'\nfrom = 'y'", &["`dockerfile` and `from` exclude each other"]);
    check("[target.a]\nsteps = [{ rum = 'x' }]", &["a step without an instruction"]);
    check("[target.a]\nsteps = [{ run = 'x', copy = 'y' }]", &["`run` and `copy` are two steps"]);
    check("[target.a]\nsteps = [{ copy = 'x' }]", &["`copy` needs `to`"]);
    check("[target.a]\nsteps = [{ run = 'x', mount = [] }]", &["unknown key `mount` in a step `run`"]);
    check("[target.a]\nsteps = [{ env = 'x' }]", &["`env` must be a table of names and values, not a string"]);
    check("[target.a]\nsteps = [{ run = '${NONE}' }]", &["no variable is called `NONE`"]);
    check("[target.a]\nfrom = { diff = ['a'] }", &["`diff` needs two names"]);
    check("[target.a.stages.A]\nfrom = 'a'", &["`A` cannot be the name of a stage"]);
}

#[test]
fn the_reference_has_everything() {
    let reference = include_str!("../../../docs/build-file.md");
    let has = |what: &str, text: String| assert!(reference.contains(&text), "docs/build-file.md lacks {what}");
    keys::KEYS.iter().for_each(|row| has(row.name, format!("| `{}` |", row.name)));
    functions::FUNCTIONS.iter().for_each(|function| has(function.name, format!("`{}(", function.name)));
    super::variables::VARIABLE.iter().for_each(|key| has(key, format!("| `{key}` |")));
    for (step, options) in super::steps::STEPS {
        has(step, format!("`{step}`"));
        options.iter().for_each(|option| has(option, format!("`{option}`")));
    }
}
