//! The JSON Schemas: those in `schemas/` are the program's, and say what the program says. Python's `jsonschema` is the second opinion.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Store, copy_folder, outcome, put, repository, run, scratch, text};

/// Says of each document why it does not fit, or null. TOML is read by Python, too.
const VALIDATE: &str = r#"
import json, sys, tomllib
try:
    import jsonschema
except ImportError:
    sys.exit("python3's jsonschema is missing: on Debian, apt-get install python3-jsonschema")
asked = json.load(sys.stdin)
jsonschema.Draft202012Validator.check_schema(asked["schema"])
validator = jsonschema.Draft202012Validator(asked["schema"])
def wrong(document):
    if isinstance(document, str):
        document = json.loads(json.dumps(tomllib.loads(document), default=str))
    error = next(iter(validator.iter_errors(document)), None)
    return error and error.message
print(json.dumps([wrong(document) for document in asked["documents"]]))
"#;

fn schema(name: &str) -> Value {
    serde_json::from_str(&Store::new().run(&["schema", name])).unwrap()
}

/// The Python that has `jsonschema`: the first in the PATH, or that of the system, for which the package is.
fn python() -> &'static str {
    let has = |python: &&str| {
        let tried = Command::new(python).args(["-c", "import jsonschema"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3"].into_iter().find(has).unwrap_or("python3")
}

/// What is wrong with each document; those that are strings are TOML.
fn validate(name: &str, documents: &[Value]) -> Vec<Option<String>> {
    let asked = json!({"schema": schema(name), "documents": documents}).to_string();
    let mut command = Command::new(python());
    let mut python = command
        .args(["-c", VALIDATE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn all_fit(name: &str, documents: &[Value]) {
    for (document, wrong) in documents.iter().zip(validate(name, documents)) {
        assert_eq!(wrong, None, "{name}: {document}");
    }
}

#[test]
fn the_files_are_what_the_program_says() {
    let listed = Store::new().run(&["schema"]);
    let names: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["build-file", "lockfile", "progress-events", "metadata"]);
    for name in &names {
        let file = repository("schemas").join(format!("{name}.json"));
        let kept = fs::read_to_string(&file).unwrap_or_default();
        let said = Store::new().run(&["schema", name]);
        assert!(kept == said, "{} is not current: imgbuild schema {name} > schemas/{name}.json", file.display());
    }
    assert_eq!(fs::read_dir(repository("schemas")).unwrap().count(), names.len());
}

#[test]
fn build_files_that_are_there_fit() {
    let mut documents = Vec::new();
    for path in [
        "build.toml.example",
        "examples/steps/build.toml",
        "examples/monorepo/build.toml",
        "examples/monorepo/services/build.toml",
        "examples/monorepo/tools/greeter/build.toml",
    ] {
        let text = fs::read_to_string(repository(path)).unwrap();
        let first = text.lines().next().unwrap();
        let schema = first.strip_prefix("#:schema ").unwrap_or_else(|| panic!("{path} names no schema"));
        assert!(repository(path).parent().unwrap().join(schema).exists(), "{path}: {schema}");
        documents.push(Value::from(text));
    }
    all_fit("build-file", &documents);
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let folder = scratch();
    let store = Store::new();
    let parsed = |text: &str| {
        put(folder.path(), "build.toml", text);
        let (code, _, error) = outcome(store.command().current_dir(folder.path()).args(["bake", "--list"]));
        (code == 0, error)
    };
    let good = [
        "",
        "[variable]\nA = 1\nB = ['x', 2]\nC = true\n[variable.D]\ntype = 'int'\nvalues = [1]\npattern = '*'\nmessage = 'x'",
        "group.a = ['t']\ngroup.b = { targets = ['a'], description = 'x' }\ntarget.t = {}",
        "[target.t]\nargs = { A = 1, B = true, C = 'x' }\nno-cache = 'true'\npull = true\nshm-size = 1000",
        "[target.t]\nsecret = ['id=a', { id = 'b', env = 'B' }]\nssh = ['default', { id = 'x', paths = ['a'] }]",
        "[target.t]\noutput = ['out', { type = 'oci', dest = 'x', compression-level = 3 }]\ncache-to = ['type=inline']",
        "[target.t]\nreproducible.scrub = ['apt']\nsteps = [{ remove = ['a', 'b'], allow-missing = true }, { symlink = 'a', to = 'b' }]",
        "[target.t]\nmatrix = { a = [1, 'x'] }\nname = 't-${a}'\ninherits = []",
        "[target.t]\nfrom = { merge = ['a', 'b'] }\n[target.t.stages.x]\nfrom = { diff = ['a', 'b'] }\nsteps = []",
        "[target.t]\nsteps = [{ run = ['a'], mounts = [{ type = 'tmpfs', target = '/x' }] }, { copy = ['a', 'b'], to = '/', link = true }, \
         { write = 'x', content = 'y', chmod = 644 }, { arg = ['A', { B = 1 }] }, { expose = 80 }, { cmd = 'x' }]",
    ];
    let bad = [
        "targets.x = {}",
        "include = 'x'",
        "variable.A = { defualt = 1 }",
        "variable.A = { type = 'float' }",
        "variable.A = { required = 'yes' }",
        "variable.A = { message = 'x' }",
        "variable.'A-B' = 1",
        "group.a = 'b'",
        "target.'a b' = {}",
        "target.t = 1",
        "target.t.tag = ['x']",
        "target.t.tags = 'x'",
        "target.t.context = 5",
        "target.t.args = { A = [] }",
        "target.t.args = ['A=1']",
        "target.t.pull = 1",
        "target.t.shm-size = true",
        "target.t.secrets = [{ id = 'a', source = 'x' }]",
        "target.t.name = 'x'",
        "target.t.matrix = { a = 'x' }",
        "target.t = { dockerfile = 'a', dockerfile-inline = 'b' }",
        "target.t = { dockerfile = 'a', steps = [] }",
        "target.t = { secret = [], secrets = [] }",
        "target.t.policy = {}",
        "target.t.reproducible.scrubs = []",
        "target.t.reproducible = 'apt'",
        "target.t.steps = [{ symlink = 'x' }]",
        "target.t.steps = {}",
        "target.t.steps = [{ rum = 'x' }]",
        "target.t.steps = [{ run = 'x', copy = 'y', to = 'z' }]",
        "target.t.steps = [{ run = 'x', mount = [] }]",
        "target.t.steps = [{ copy = 'x' }]",
        "target.t.steps = [{ copy = [], to = 'x' }]",
        "target.t.steps = [{ write = 'x' }]",
        "target.t.steps = [{ env = 'x' }]",
        "target.t.steps = [{ env = {} }]",
        "target.t.steps = [{ copy = 'x', to = 'y', link = 'yes' }]",
        "target.t.from = { diff = ['a'] }",
        "target.t.from = { merge = [] }",
        "target.t.stages.A = {}",
    ];
    let documents: Vec<Value> = good.iter().chain(&bad).map(|text| Value::from(*text)).collect();
    for (index, (document, wrong)) in documents.iter().zip(validate("build-file", &documents)).enumerate() {
        let (accepted, error) = parsed(document.as_str().unwrap());
        assert_eq!(accepted, index < good.len(), "the parser: {document}: {error}");
        assert_eq!(wrong.is_none(), index < good.len(), "the schema: {document}: {wrong:?}");
    }
}

#[test]
fn what_is_written_fits() {
    let folder = scratch();
    copy_folder(&repository("examples/monorepo"), folder.path());
    let store = Store::with_busybox();
    let mut command = store.command();
    let words = ["bake", "web-en", "greetings", "--progress=json", "--metadata-file", "metadata.json"];
    let stream = run(command.current_dir(folder.path()).args(words)).stderr;
    put(folder.path(), "broken/Dockerfile", "FROM busybox\nRUN echo x; exit 3\n");
    let mut command = store.command();
    let failed = command.current_dir(folder.path()).args(["build", "--progress=json", "broken"]).output().unwrap();
    put(folder.path(), "wrong/Dockerfile", "FORM busybox\n");
    let mut command = store.command();
    let wrong = command.current_dir(folder.path()).args(["build", "--progress=json", "wrong"]).output().unwrap();
    let lines: Vec<Value> = [stream, failed.stderr, wrong.stderr]
        .iter()
        .flat_map(|stream| text(stream).lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
        .collect();
    for event in ["planned", "step_output", "step_finished", "summary", "error"] {
        assert!(lines.iter().any(|line| line["event"] == event), "no {event}");
    }
    all_fit("progress-events", &lines);
    let odd = [
        json!({"event": "summary"}),
        json!({"time": 1.0, "event": "nonsense"}),
        json!({"time": "1", "event": "stream", "version": 1}),
    ];
    assert!(validate("progress-events", &odd).iter().all(Option::is_some));

    let several = fs::read_to_string(folder.path().join("metadata.json")).unwrap();
    put(folder.path(), "one/Dockerfile", "FROM busybox\nRUN true\n");
    let mut command = store.command();
    run(command.current_dir(folder.path()).args(["build", "one", "--metadata-file", "metadata.json"]));
    let one = fs::read_to_string(folder.path().join("metadata.json")).unwrap();
    all_fit("metadata", &[serde_json::from_str(&several).unwrap(), serde_json::from_str(&one).unwrap()]);

    let locks = [folder.path().join("build.lock"), repository("examples/quickstart/Dockerfile.lock")];
    let locks: Vec<Value> = locks.iter().map(|path| fs::read_to_string(path).unwrap().into()).collect();
    all_fit("lockfile", &locks);
    let odd = [Value::from("version = 'x'"), "version = 2\n[[imgae]]".into(), "version = 2\n[[git]]\nurl = 'x'".into()];
    assert!(validate("lockfile", &odd).iter().all(Option::is_some));
}
