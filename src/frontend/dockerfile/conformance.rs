//! Lowers the recorded cases of `tests/conformance` and compares what can be told without running anything: the
//! configuration, the history, the number of layers, and whether there is an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::parse::without_lone_surrogates;
use super::{ContextSource, Lowered, Need, Options, Resolved, ResolvedImage, apply_fixes, check, lower, parse};
use crate::digest::{CacheKey, DiffId};
use crate::frontend::diagnostic::{Diagnostic, Severity};
use crate::fstree::pattern::{IgnoreList, parse_ignore_file};
use crate::graph::{FileAction, Graph, Op, StepId};
use crate::oci::{History, ImageConfig};

/// Cases whose error only shows when steps run, files are looked at, or a registry is asked.
const FAILS_LATER: &[&str] = &[
    "copy/add-missing-source",
    "copy/add-tar-onto-file",
    "copy/add-tar-through-image-symlink-out",
    "copy/chown-name-on-empty-scratch",
    "copy/dest-symlink-loop",
    "copy/dockerignore-explicit-dir",
    "copy/dockerignore-of-named-context-explicit",
    "copy/dockerignore-symlink-target-ignored",
    "copy/file-below-file",
    "copy/from-empty-stage",
    "copy/from-missing-source",
    "copy/link-chown-name",
    "copy/missing-source-file",
    "copy/nested-dir-onto-file",
    "copy/nested-dir-onto-symlink-to-dir",
    "copy/nested-symlink-onto-dir",
    "copy/parents-missing-literal",
    "copy/parents-through-symlink",
    "copy/shell-form-cannot-escape-space",
    "copy/source-symlink-loop",
    "copy/wildcard-in-missing-dir",
    "image/copy-from-stage-without-layers-fails",
    "image/real-test-stage-fails-build",
    "image/user-unknown-name-run-fails",
    "image/workdir-over-file-fails",
    "image/workdir-symlink-loop-fails",
    "run/bind-excluded-source-fails",
    "run/bind-from-failing-stage-fails",
    "run/bind-missing-source-fails",
    "run/cache-not-writable-for-other-user",
    "run/cache-source-without-from-fails",
    "run/exec-form-command-not-found-fails",
    "run/exec-form-directory-as-command-fails",
    "run/exec-form-empty-command-fails",
    "run/exec-form-file-without-exec-bit-fails",
    "run/exec-form-script-without-shebang-fails",
    "run/exit-code-nonzero-fails",
    "run/heredoc-after-exec-form-fails",
    "run/heredoc-shebang-missing-interpreter-fails",
    "run/heredoc-status-is-the-last-line",
    "run/heredoc-with-errexit-shell-fails",
    "run/layer-remove-the-shell-fails-next-step",
    "run/secret-required-missing-fails",
    "run/secret-required-true-missing-fails",
    "run/shell-instruction-errexit-fails",
    "run/shell-instruction-pipefail-fails",
    "run/shell-missing-in-scratch-fails",
    "run/ssh-required-without-agent-fails",
    "run/stage-needed-and-failing-fails",
    "run/syntax-error-in-shell-fails",
    "run/user-cannot-write-where-root-owns",
    "run/user-name-on-scratch-fails",
    "run/user-unknown-group-fails",
];

fn busybox() -> ImageConfig {
    let entry =
        |created_by: &str, empty_layer| History { created_by: created_by.into(), empty_layer, ..History::default() };
    let mut config = ImageConfig { os: "linux".into(), architecture: "amd64".into(), ..ImageConfig::default() };
    config.config.env = vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()];
    config.config.cmd = Some(vec!["sh".into()]);
    config.config.working_dir = "/".into();
    config.rootfs.diff_ids = vec![DiffId::from_bytes([1; 32])];
    config.history = vec![entry("ADD rootfs.tar / # buildkit", false), entry("CMD [\"sh\"]", true)];
    config
}

fn read(path: &Path) -> Option<String> {
    std::fs::read(path).ok().map(|bytes| String::from_utf8(bytes).expect("Dockerfiles are UTF-8"))
}

fn strings(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// The patterns of a folder's ignore file; an error if one cannot be used.
fn ignore(file: Option<String>) -> Result<IgnoreList, String> {
    let lines = parse_ignore_file(&file.unwrap_or_default()).into_iter();
    IgnoreList::new(lines.map(|(_, pattern)| pattern).collect()).map_err(|error| error.to_string())
}

fn build(case: &Path) -> Result<(ImageConfig, usize), String> {
    let (text, chosen) = prepare(case)?;
    let (config, layers, _) = build_text(&text, &chosen)?;
    Ok((config, layers))
}

/// A case's text and options.
fn prepare(case: &Path) -> Result<(String, Options), String> {
    let options: Value = read(&case.join("case.json")).map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    let name = options["file"].as_str().unwrap_or("Dockerfile");
    let find = |name: &str| read(&case.join(name)).or_else(|| read(&case.join("context").join(name)));
    let Some(text) = find(name) else { return Err("skip".into()) };
    let mut chosen = Options::new(name, "linux/amd64".parse().unwrap());
    chosen.build_args = strings(&options["args"]);
    chosen.target = options["target"].as_str().map(str::to_owned);
    let patterns = ignore(find(&format!("{name}.dockerignore")).or_else(|| find(".dockerignore")))?;
    chosen.context = ContextSource::Local { name: "context".into(), ignore: patterns.into() };
    for name in strings(&options["contexts"]).into_keys() {
        chosen.contexts.insert(name.clone(), ContextSource::Local { name, ignore: Arc::default() });
    }
    Ok((text, chosen))
}

/// The configuration, the number of layers, and the key of the definition.
fn build_text(text: &str, chosen: &Options) -> Result<(ImageConfig, usize, CacheKey), String> {
    let show = |errors: Vec<Diagnostic>| {
        let errors = errors.into_iter().filter(|error| error.severity == Severity::Error);
        errors.map(|error| error.message).collect::<Vec<_>>().join("; ")
    };
    let parsed = parse(text);
    let Some(file) = parsed.dockerfile else {
        assert!(!parsed.diagnostics.is_empty());
        return Err(show(parsed.diagnostics));
    };
    let mut resolved = Resolved::default();
    let mut graph = Graph::new();
    for _ in 0..10 {
        match lower(&file, chosen, &resolved, &mut graph).map_err(show)? {
            Lowered::Done(build) => {
                let layers = layers(&graph, build.step);
                let key = graph[build.step].definition;
                return Ok((build.config, layers, key));
            }
            Lowered::Needs(needs) => {
                for need in needs {
                    let Need::Image { reference, platform, .. } = need else { return Err("not an image".into()) };
                    let short = reference.trim_start_matches("docker.io/").trim_start_matches("library/");
                    if short.trim_end_matches(":latest") != "busybox" {
                        return Err(format!("there is no image {reference}"));
                    }
                    let image = ResolvedImage { reference: reference.clone(), config: busybox() };
                    resolved.images.insert((reference, platform), image);
                }
            }
        }
    }
    Err("it never ends".into())
}

/// How many layers a step's output has.
fn layers(graph: &Graph, step: StepId) -> usize {
    let inputs = graph.inputs(step);
    match &graph[step].op {
        Op::Image(image) => image.layers.len(),
        Op::Exec(_) => 1 + layers(graph, inputs[0]),
        Op::File(file) => {
            for action in &file.actions {
                if let FileAction::Copy(copy) = action {
                    assert!(copy.dest.starts_with('/'), "{copy:?}");
                }
            }
            1 + layers(graph, inputs[0])
        }
        Op::Merge => inputs.iter().map(|input| layers(graph, *input)).sum(),
        _ => 0,
    }
}

/// The configuration as the recorded facts have it.
fn facts(config: &ImageConfig) -> Value {
    let json: Value = serde_json::from_slice(&config.to_json()).unwrap();
    let names = [
        "User",
        "ExposedPorts",
        "Env",
        "Entrypoint",
        "Cmd",
        "Volumes",
        "WorkingDir",
        "Labels",
        "StopSignal",
        "Healthcheck",
        "OnBuild",
        "Shell",
    ];
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    let kept = names.into_iter().map(|name| (name.to_owned(), json["config"][name].clone()));
    Value::Object(kept.filter(|(_, value)| !empty(value)).collect())
}

fn compare(case: &Path, name: &str) -> Result<(), String> {
    // Names that are not UTF-8 are recorded with halves of surrogate pairs, which are no JSON.
    let expected = without_lone_surrogates(&read(&case.join("expected.json")).unwrap());
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let outcome = build(case);
    if outcome.as_ref().is_err_and(|error| error == "skip") {
        return Ok(());
    }
    if let Some(error) = expected.get("error") {
        return match outcome {
            Ok(_) if !FAILS_LATER.contains(&name) => Err(format!("no error, but it must fail: {error}")),
            Err(message) if FAILS_LATER.contains(&name) => Err(format!("it is listed as failing later: {message}")),
            _ => Ok(()),
        };
    }
    let (config, layers) = outcome?;
    let mut differences = Vec::new();
    if facts(&config) != expected["config"] {
        differences.push(format!("config {} instead of {}", facts(&config), expected["config"]));
    }
    let platform = format!("{}/{}", config.os, config.architecture);
    for (have, want) in [(&config.author, &expected["author"]), (&platform, &expected["platform"])] {
        if Some(have.as_str()) != want.as_str() {
            differences.push(format!("{have} instead of {want}"));
        }
    }
    let history: Vec<Value> = config
        .history
        .iter()
        .map(|entry| serde_json::json!({"created_by": entry.created_by, "empty_layer": entry.empty_layer}))
        .collect();
    if Value::Array(history.clone()) != expected["history"] {
        differences.push(format!("history {} instead of {}", Value::Array(history), expected["history"]));
    }
    if Some(layers as u64) != expected["layers"].as_u64() {
        differences.push(format!("{layers} layers instead of {}", expected["layers"]));
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n    ")) }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn recorded_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let mut failed = Vec::new();
    let mut count = 0;
    for category in ["syntax", "image", "run", "copy"] {
        for case in folders(&root.join(category)) {
            let name = format!("{category}/{}", case.file_name().unwrap_or_default().to_string_lossy());
            count += 1;
            failed.extend(compare(&case, &name).err().map(|why| format!("{name}:\n    {why}")));
        }
    }
    assert!(failed.is_empty(), "{} of {count} cases differ:\n{}", failed.len(), failed.join("\n"));
}

/// Applies all fixes that promise to leave the image as it is, until there are none; the text and how many there were.
fn fix_all(text: &str, options: &Options) -> (String, usize) {
    let (mut text, mut count) = (text.to_owned(), 0);
    let mut resolved = Resolved::default();
    let image = ResolvedImage { reference: "busybox".into(), config: busybox() };
    resolved.images.insert(("busybox".into(), "linux/amd64".parse().unwrap()), image);
    for _ in 0..10 {
        let Some(file) = parse(&text).dockerfile else { return (text, count) };
        let found = check(&file, options, &resolved, &mut Graph::new(), &|_| false);
        let fixed = apply_fixes(&text, &found.diagnostics, false);
        if fixed.rules.is_empty() {
            return (text, count);
        }
        count += fixed.rules.len();
        text = fixed.text;
    }
    panic!("there is always something to fix:\n{text}");
}

#[test]
fn fixes_change_no_image() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let (mut failed, mut fixed_cases) = (Vec::new(), 0);
    for case in ["syntax", "image", "run", "copy"].iter().flat_map(|category| folders(&root.join(category))) {
        let Ok((text, options)) = prepare(&case) else { continue };
        let (fixed, count) = fix_all(&text, &options);
        if count == 0 {
            continue;
        }
        fixed_cases += 1;
        let outcome =
            |text: &str| build_text(text, &options).map(|(config, layers, key)| (config.to_json(), layers, key));
        let (before, after) = (outcome(&text), outcome(&fixed));
        let same = match (&before, &after) {
            (Ok(before), Ok(after)) => before == after,
            // Messages may name what was spelled differently.
            (Err(_), Err(_)) => true,
            _ => false,
        };
        if !same {
            failed.push(format!("{}:\n{text}\n---\n{fixed}", case.display()));
        }
    }
    assert!(failed.is_empty(), "{} of {fixed_cases} cases differ:\n{}", failed.len(), failed.join("\n"));
    assert!(fixed_cases > 15, "{fixed_cases}");
}

/// The cases were not written to be well: advice may be right for many. What it must not do is fail, or point nowhere.
#[test]
fn checking_never_fails() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    for case in ["syntax", "image", "run", "copy"].iter().flat_map(|category| folders(&root.join(category))) {
        let Ok((text, options)) = prepare(&case) else { continue };
        let Some(file) = parse(&text).dockerfile else { continue };
        let found = check(&file, &options, &Resolved::default(), &mut Graph::new(), &|_| false);
        for one in &found.diagnostics {
            for place in &one.annotations {
                assert!(text.get(place.span.clone()).is_some(), "{}: {one:?}", case.display());
            }
        }
    }
}
