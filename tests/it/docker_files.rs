//! Docker's build files: what they come to, what they are converted to, and real builds from each kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Store, copy_folder, edit, repository, run, scratch, text};

/// The environments in which every file of the collection must mean the same as what it is converted to.
const ENVIRONMENTS: &[&[(&str, &str)]] = &[
    &[],
    &[("TAG", "9.9"), ("REGISTRY", "example.org"), ("DEBUG", "true"), ("MODE", ""), ("OPTIONAL", "x"), ("REPO", "r")],
    &[("VERSION", "v2.0.0"), ("PORT", "1"), ("PLATFORMS", "linux/arm64,linux/amd64"), ("EXTRA_JSON", "{\"X\": 1}")],
    &[("GITHUB_REF", "refs/heads/main"), ("BASE", "a$b${c}"), ("Q", "new ' value"), ("TOKEN", "t"), ("TAG", "")],
];

struct Folder {
    store: Store,
    folder: tempfile::TempDir,
}

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = scratch();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Self { store: Store::with_busybox(), folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bake(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        bake(&self.store, self.folder.path(), arguments, environment)
    }

    fn complaint(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.bake(arguments, &[]).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        stderr
    }
}

fn bake(store: &Store, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = store.command();
    command.current_dir(folder).arg("bake").args(arguments).envs(environment.iter().copied());
    command
}

fn json(command: &mut Command) -> Value {
    serde_json::from_slice(&run(command).stdout).unwrap()
}

/// All targets of the files in a folder, resolved.
fn everything(store: &Store, folder: &Path, environment: &[(&str, &str)]) -> Value {
    let listed = json(&mut bake(store, folder, &["--list"], environment));
    let targets = listed.as_array().unwrap().iter().filter(|one| one["kind"] == "target");
    let names: Vec<&str> = targets.map(|one| one["name"].as_str().unwrap()).collect();
    json(&mut bake(store, folder, &[&["--print"], names.as_slice()].concat(), environment))
}

/// What the files of the collection are converted to, by their folders.
fn converted(store: &Store, folder: &Path, environment: &[(&str, &str)]) -> (tempfile::TempDir, String) {
    let written = text(&run(&mut bake(store, folder, &["--convert"], environment)).stdout);
    let other = scratch();
    fs::write(other.path().join("build.toml"), &written).unwrap();
    (other, written)
}

#[test]
fn converted_files_mean_the_same() {
    let store = Store::new();
    let mut count = 0;
    for entry in fs::read_dir(repository("tests/bake-files")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let folder = scratch();
        copy_folder(&repository("tests/bake-files").join(&name), folder.path());
        for environment in ENVIRONMENTS {
            let (other, written) = converted(&store, folder.path(), environment);
            let expected = everything(&store, folder.path(), environment);
            let found = everything(&store, other.path(), environment);
            assert_eq!(found, expected, "{name} in {environment:?}\n{written}");
            let default = |folder: &Path| bake(&store, folder, &["--print"], environment).output().unwrap().stdout;
            assert_eq!(text(&default(other.path())), text(&default(folder.path())), "{name} in {environment:?}");
        }
        // Where nothing was worked out, the variables of the result are those of the source.
        let (other, written) = converted(&store, folder.path(), &[]);
        if !written.contains("worked out") {
            for environment in ENVIRONMENTS {
                let expected = everything(&store, folder.path(), environment);
                assert_eq!(everything(&store, other.path(), environment), expected, "{name}, then {environment:?}");
            }
        }
        count += 1;
    }
    assert!(count >= 15, "{count} files");
}

#[test]
fn values_of_the_collection() {
    let store = Store::new();
    let check = |name: &str, environment: &[(&str, &str)], target: &str, key: &str, expected: Value| {
        let folder = repository("tests/bake-files").join(name);
        let all = everything(&store, &folder, environment);
        assert_eq!(all["target"][target][key], expected, "{name} {target}.{key}");
    };
    let list = |items: &[&str]| Value::from(items.to_vec());
    check("variables", &[("TAG", "2"), ("REGISTRY", "r")], "default", "tags", list(&["r/shop:2", "r/shop/debug:2"]));
    check(
        "variables",
        &[("DEBUG", "1")],
        "default",
        "args",
        serde_json::json!({
            "PORT": "8080", "DEBUG": "true", "LEVEL": "debug", "IMAGE": "localhost:5000/shop"
        }),
    );
    check("matrix", &[], "lib-py312-slim", "args", serde_json::json!({"PYTHON": "3.12", "FEATURES": ""}));
    check("matrix", &[], "app-b", "tags", list(&["example/b:1", "example/b-latest:1"]));
    check(
        "functions",
        &[],
        "default",
        "tags",
        list(&["example/app:v1.4.2", "example/app:1.4", "example/app:1", "example/app:feature-login-form"]),
    );
    check("inheritance", &[], "both", "no-cache-filter", list(&["fetch", "compile", "test"]));
    check("inheritance", &[], "chain", "entitlements", list(&["network.host", "security.insecure"]));
    check("compose", &[], "worker_high", "args", serde_json::json!({"QUEUE": "high", "LIMIT": "12", "DEBUG": "false"}));
    check("compose-anchors", &[], "api", "tags", list(&["localhost:5000/api:3.1"]));
    check(
        "compose-anchors",
        &[],
        "extended",
        "args",
        serde_json::json!({
            "VERSION": "3.1", "MODE": "release", "PRICE": "$5", "OPTIONAL": ""
        }),
    );
    check("override", &[], "more", "args", serde_json::json!({"A": "1", "B": "2", "C": "2", "SUFFIX": "two"}));
    check("override", &[], "app", "tags", list(&["app:override"]));
    check("compose-and-bake", &[], "check", "args", serde_json::json!({"A": "compose", "B": "bake"}));
    check(
        "templates",
        &[],
        "default",
        "dockerfile-inline",
        "FROM alpine\nRUN adduser -D -u 1000 ann && addgroup ann wheel\nRUN adduser -D -u 1001 bob\nENV PATH=${PATH}:/opt\n".into(),
    );
    check(
        "release",
        &[],
        "image-debug",
        "tags",
        list(&[
            "docker.io/example/app:2.5.0-debug",
            "docker.io/example/app:2.5-debug",
            "ghcr.io/example/app:2.5.0-debug",
            "ghcr.io/example/app:2.5-debug",
        ]),
    );
    check(
        "odd",
        &[],
        "default",
        "args",
        serde_json::json!({
            "PLAIN": "quote\" back\\slash 'single' ''' tab\t ünïcode 😀 $",
            "AROUND": "<quote\" back\\slash 'single' ''' tab\t ünïcode 😀 $>",
            "DOLLAR": "${Q} $Q $$ ${Q}", "dotted.key with space": "x", "COMPUTED": "y", "EMPTY": "",
            "LINES": "one\ntwo\r\nthree", "NUMBER": "12345678901", "FLOAT": "0.1", "SUM": "0.3", "MINUS": "-1"
        }),
    );
}

const HCL: &str = r#"
variable "WHO" { default = "world" }
function "greet" {
  params = [name]
  result = "hello ${name}"
}
group "default" { targets = ["files"] }
target "base" {
  dockerfile-inline = <<-EOT
    FROM busybox
    RUN echo base > /base
  EOT
}
target "app" {
  name     = "app-${lang}"
  matrix   = { lang = ["de", "en"] }
  contexts = { base = "target:base", src = BAKE_CMD_CONTEXT }
  args     = { TEXT = "${greet(WHO)} ${lang}" }
  tags     = ["app:${lang}"]
  dockerfile-inline = "FROM base\nARG TEXT\nCOPY --from=src page /page\nRUN echo \"$TEXT\" > /greeting\n"
}
target "files" {
  dockerfile-inline = "FROM scratch\nCOPY --from=de /greeting /page /\nCOPY --from=en /greeting /en\n"
  contexts = { de = "target:app-de", en = "target:app-en" }
  output   = ["out"]
}
"#;

#[test]
fn builds_from_hcl() {
    let folder = Folder::new(&[("docker-bake.hcl", HCL), ("page", "page\n")]);
    let read = |name: &str| fs::read_to_string(folder.file(name)).unwrap();
    run(&mut folder.bake(&[], &[]));
    assert_eq!(
        (read("out/greeting"), read("out/en"), read("out/page")),
        ("hello world de\n".into(), "hello world en\n".into(), "page\n".into())
    );
    let built = folder.store.bake(folder.folder.path(), &["--set", "app-de.args.TEXT=x", "app"]);
    assert!(built.images["app-de"].starts_with("sha256:"));
    assert_eq!(built.ran, ["RUN echo \"$TEXT\" > /greeting"], "the base and the other language are there");
    assert!(read("build.lock").contains("reference = \"busybox\""));

    // The build file that it is converted to makes the same images.
    let text = run(&mut folder.bake(&["--convert"], &[])).stdout;
    let other = Folder { store: Store::with_busybox(), folder: scratch() };
    fs::write(other.file("build.toml"), text).unwrap();
    fs::write(other.file("page"), "page\n").unwrap();
    let (one, two) =
        (folder.store.bake(folder.folder.path(), &["app"]), other.store.bake(other.folder.path(), &["app"]));
    assert_eq!(one.images["app-en"], two.images["app-en"]);
}

#[test]
fn builds_from_json_and_from_compose() {
    let bake = r#"{
        "target": { "default": {
            "dockerfile-inline": "FROM busybox\nARG A\nRUN echo $A > /a\nFROM scratch\nCOPY --from=0 /a /\n",
            "args": { "A": "${upper(\"json\")}" }, "output": ["json"]
        } }
    }"#;
    let compose = r#"
services:
  lib:
    build:
      dockerfile_inline: |
        FROM busybox
        RUN --mount=type=secret,id=token cat /run/secrets/token > /library
  app:
    image: example/app:${TAG:-1}
    build:
      context: app
      additional_contexts: {lib: "service:lib"}
      args: [FROM_ENV]
    depends_on: [lib]
secrets: {token: {file: token.txt}}
"#;
    let lib = "services: {lib: {build: {secrets: [token]}}}";
    let folder = Folder::new(&[
        ("docker-bake.json", bake),
        ("services/compose.yaml", compose),
        ("services/more.yml", lib),
        ("token.txt", "geheim\n"),
        ("app/Dockerfile", "FROM lib\nARG FROM_ENV\nRUN echo \"$FROM_ENV\" > /env\n"),
    ]);
    run(&mut folder.bake(&[], &[]));
    assert_eq!(fs::read_to_string(folder.file("json/a")).unwrap(), "JSON\n");

    let files = ["-f", "services/compose.yaml", "-f", "services/more.yml"];
    run(&mut folder.bake(&files, &[("FROM_ENV", "e"), ("TAG", "7")]));
    let listed = folder.store.run(&["images", "--format", "json"]);
    assert!(listed.contains("example/app") && listed.contains("\"7\""), "{listed}");
    assert!(folder.file("services/build.lock").is_file(), "the lockfile is beside the first file");
    let dump = [&files[..], &["app", "--set", "app.output=dump"]].concat();
    run(&mut folder.bake(&dump, &[("FROM_ENV", "e")]));
    assert_eq!(fs::read_to_string(folder.file("dump/env")).unwrap(), "e\n");
    assert_eq!(fs::read_to_string(folder.file("dump/library")).unwrap(), "geheim\n");
}

#[test]
fn files_are_found_as_docker_finds_them() {
    let target = |name: &str| format!("target \"default\" {{ args = {{ FROM = \"{name}\" }} }}");
    let folder = Folder::new(&[("docker-bake.override.hcl", &target("override")), ("docker-bake.hcl", &target("hcl"))]);
    let from = |arguments: &[&str]| {
        let printed = json(&mut folder.bake(&[&["--print"], arguments].concat(), &[]));
        printed["target"]["default"]["args"]["FROM"].as_str().unwrap().to_owned()
    };
    assert_eq!(from(&[]), "override");
    assert_eq!(from(&["-f", "docker-bake.hcl"]), "hcl");
    assert_eq!(from(&["-f", "docker-bake.override.hcl", "-f", "docker-bake.hcl"]), "hcl");
    assert!(folder.complaint(2, &["-f", "docker-bake.hcl", "-f", "build.toml"]).contains("cannot be merged"));
    // As a shell makes it before `bake --convert > build.toml` runs.
    fs::write(folder.file("build.toml"), "").unwrap();
    assert!(text(&run(&mut folder.bake(&["--convert"], &[])).stdout).contains("override"));
    fs::write(folder.file("build.toml"), "target.default.args.FROM = 'own'").unwrap();
    assert_eq!(from(&[]), "own");
    assert!(folder.complaint(2, &["--convert"]).contains("is a build.toml already"));
    assert!(folder.complaint(2, &["https://example.org/x.git"]).contains("clone it first"));
    assert!(folder.complaint(1, &["-f", "nothere.hcl"]).contains("there is no build file at nothere.hcl"));
    let empty = Folder::new(&[]);
    assert!(empty.complaint(1, &[]).contains("there is no build file at build.toml, and none of docker's either"));
}

#[test]
fn mistakes_are_shown_in_their_file() {
    let bake = "variable \"N\" {\n  default = 1\n  validation {\n    condition = N > 0\n    error_message = \"N is ${N}\"\n  }\n}\n\
                target \"app\" {\n  tags = [upper(\"a\")]\n  args = { A = \"${N}\" }\n}\n";
    let compose = "services:\n  web:\n    build:\n      context: .\n      args:\n        B: ${A:-1}\n";
    let folder = Folder::new(&[("docker-bake.hcl", bake), ("compose.yaml", compose)]);
    let check = |parts: &[&str], arguments: &[&str]| {
        let error = folder.complaint(1, &[&["--print"], arguments].concat());
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    };
    edit(&folder.file("docker-bake.hcl"), "upper(", "uper(");
    check(&["docker-bake.hcl:9:11", "there is no function `uper`", "did you mean `upper`?"], &[]);
    edit(&folder.file("docker-bake.hcl"), "uper(", "upper(");
    edit(&folder.file("docker-bake.hcl"), "default = 1", "default = 0");
    check(&["docker-bake.hcl:4:17", "`N`: N is 0", "the variable is declared here"], &[]);
    edit(&folder.file("docker-bake.hcl"), "default = 0", "default = 1");
    edit(&folder.file("compose.yaml"), "${A:-1}", "${A:*1}");
    check(&["compose.yaml:6:12", "is no reference to a variable"], &[]);
    edit(&folder.file("compose.yaml"), "${A:*1}", "${A:-1}");
    edit(&folder.file("compose.yaml"), "context: .", "platforms: [nonsense]");
    check(&["compose.yaml:4:19", "\"nonsense\" is not a platform"], &["web"]);
}
