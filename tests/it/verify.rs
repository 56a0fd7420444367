//! `verify`, with steps that are not reproducible: each is found, and what it did has a name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::support::{Store, edit, outcome, put, scratch};
use crate::web::{Reply, Web};

/// Verifies a folder: the exit code and the report.
fn verify(store: &Store, folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let (code, out, err) =
        outcome(store.command().current_dir(folder).args(["verify", "--format", "json", "-q"]).args(arguments));
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    (code, report)
}

/// The kinds of differences of each file in a report.
fn kinds(report: &Value) -> BTreeMap<String, Vec<String>> {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for layer in report["images"][0]["differences"].as_array().unwrap() {
        for file in layer["files"].as_array().into_iter().flatten() {
            let word = |name: &str| file[name].as_str().unwrap().to_owned();
            kinds.entry(word("path")).or_default().push(word("kind"));
        }
    }
    kinds
}

/// A file of a report.
fn file<'a>(report: &'a Value, path: &str) -> &'a Value {
    let layers = report["images"][0]["differences"].as_array().unwrap();
    let mut files = layers.iter().flat_map(|layer| layer["files"].as_array().into_iter().flatten());
    files.find(|file| file["path"] == path).unwrap_or_else(|| panic!("{path} in {report:#}"))
}

/// What is in a store, but for times.
fn content(store: &Store) -> Vec<String> {
    let mut all = Vec::new();
    for folder in ["blobs/sha256", "snapshots", "actions/v1", "tmp", "mounts"] {
        for entry in fs::read_dir(store.path().join(folder)).unwrap() {
            all.push(format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()));
        }
    }
    all.sort();
    all
}

#[test]
fn each_kind_of_difference_is_found_and_named() {
    // Says how often it was asked before: 0 in the first build, 1 in the second.
    let web = Web::serve(|_, before| Reply::file(format!("{before}\n")));
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    let steps = [
        &format!("wget -qO /n {}", web.url("/")),
        "date > /now",
        "head -c 40 /dev/urandom > /bytes",
        "printf 'one\\ntwo %s\\nthree\\n' $(cat /n) > /lines",
        "touch /mode && chmod 60$(cat /n) /mode",
        "touch /owner && chown 100$(cat /n):7 /owner",
        "touch -d @100$(cat /n) /time",
        "ln -s target$(cat /n) /link",
        "echo > /a; if [ $(cat /n) = 0 ]; then ln /a /b; else cp /a /b; fi",
        "touch /name$(cat /n)",
        "mknod /device c 1 $((3 + 2 * $(cat /n)))",
        "if [ $(cat /n) = 0 ]; then mkdir /kind; else touch /kind; fi",
        "rm /bin/wget; if [ $(cat /n) = 1 ]; then touch /bin/wget; fi",
        "echo the same > /same",
    ];
    let dockerfile: String = steps.iter().map(|step| format!("RUN {step}\n")).collect();
    put(folder, "Dockerfile", format!("FROM busybox\n{dockerfile}"));
    let before = content(&store);
    let (code, report) = verify(&store, folder, &["--network", "host"]);
    assert_eq!((code, &report["expected"], &report["reproducible"]), (1, &json!("second-build"), &json!(false)));
    let kinds = kinds(&report);
    let expected = [
        ("/a", ""),
        ("/b", "hard-link"),
        ("/bin/wget", "kind"),
        ("/bytes", "content"),
        ("/device", "device"),
        ("/kind", "kind mode"),
        ("/lines", "content"),
        ("/link", "link-target"),
        ("/mode", "mode"),
        ("/n", "content"),
        ("/name0", "removed"),
        ("/name1", "added"),
        ("/now", "content"),
        ("/owner", "owner"),
        ("/time", "time"),
    ];
    for (path, words) in expected {
        let found = kinds.get(path).map(|kinds| kinds.join(" ")).unwrap_or_default();
        assert!(found.starts_with(words) && found.is_empty() == words.is_empty(), "{path}: {found:?}");
    }
    assert_eq!(kinds.len(), expected.len() - 1, "nothing else: {kinds:?}");
    let lines = file(&report, "/lines");
    assert_eq!((&lines["line"], &lines["offset"]), (&json!(2), &json!(8)));
    assert_eq!((&lines["was"]["text"], &lines["is"]["text"]), (&json!("two 0"), &json!("two 1")));
    assert_eq!(file(&report, "/bytes")["line"], Value::Null, "bytes are no text");
    assert_eq!((&file(&report, "/owner")["was"], &file(&report, "/owner")["is"]), (&json!("1000:7"), &json!("1001:7")));
    for layer in report["images"][0]["differences"].as_array().unwrap() {
        let number = layer["layer"]["number"].as_u64().unwrap() as usize;
        assert_eq!(layer["layer"]["instruction"], format!("RUN {}", steps[number - 2]));
        assert_eq!(layer["layer"]["line"], number, "the base image has one layer");
        assert!(number - 2 < steps.len() - 1, "the last step makes the same twice");
    }
    assert_eq!(content(&store), before, "nothing of it is in the store");
}

#[test]
fn what_would_help_is_said() {
    let web = Web::serve(|_, before| Reply::file(format!("{before}\n")));
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    let step = format!("mkdir -p /var/log && wget -qO /var/log/dpkg.log {}", web.url("/"));
    put(folder, "Dockerfile", format!("FROM busybox\nRUN {step}\n"));
    let (code, report) = verify(&store, folder, &["--network", "host"]);
    assert_eq!((code, &file(&report, "/var/log/dpkg.log")["scrub"]), (1, &json!("apt")));
    let (_, out, _) = outcome(store.command().current_dir(folder).args(["verify", "-q", "--network", "host"]));
    assert!(out.ends_with("  help: --scrub apt would take 1 difference away\n"), "{out}");
    let (code, report) = verify(&store, folder, &["--network", "host", "--scrub", "apt"]);
    assert_eq!(code, 0, "{report:#}");
}

#[test]
fn what_is_recorded_is_compared() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    put(folder, "Dockerfile", "FROM busybox\nCOPY text /\nRUN cat /text > /copy\nENV A=1\n");
    put(folder, "text", "one\ntwo\n");
    let run = |arguments: &[&str]| outcome(store.command().current_dir(folder).args(arguments));
    let (code, _, said) = run(&["lock", "--outputs", "--check", "-q"]);
    assert!(code == 1 && said.contains("output of target (linux/amd64): is not pinned yet"), "{said}");
    let (code, _, said) = run(&["lock", "--outputs"]);
    assert!(code == 0 && said.contains("Adding output of target (linux/amd64)"), "{said}");
    let (code, out, said) = run(&["verify"]);
    assert!(code == 0 && out.starts_with("linux/amd64: as recorded, sha256:"), "{out}{said}");
    let (code, _, said) = run(&["lock", "--outputs", "--check", "-q"]);
    assert_eq!(code, 0, "{said}");

    edit(&folder.join("text"), "two", "2");
    let (code, out, _) = run(&["verify"]);
    assert_eq!(code, 1);
    for line in [
        "linux/amd64: differs: sha256:",
        "  layer 2, COPY text / (./Dockerfile:2)\n    /text: content: 6 bytes, was 8; line 2 (byte 4) is \"2\", was \"two\"\n",
        "  layer 3, RUN cat /text > /copy (./Dockerfile:3)\n    /copy: content: 6 bytes, was 8;",
    ] {
        assert!(out.contains(line), "{line:?} in {out}");
    }
    assert!(!out.contains("definition"), "files are not the definition: {out}");

    // Configuration, history and annotations have their names as well.
    edit(&folder.join("text"), "2", "two");
    edit(&folder.join("Dockerfile"), "ENV A=1", "ENV A=2");
    let (code, report) = verify(&store, folder, &["--label", "l=1", "--annotation", "note=x"]);
    assert_eq!((code, &report["images"][0]["definition-changed"]), (1, &json!(true)));
    let found: Vec<String> = report["images"][0]["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| format!("{} {}", found["kind"].as_str().unwrap(), found["path"].as_str().unwrap_or_default()))
        .collect();
    let expected =
        ["config config.Env[1]", "config config.Labels", "history history[4].created_by", "annotation annotations"];
    for one in expected {
        assert!(found.iter().any(|found| found.starts_with(one)), "{one} in {found:?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
}

#[test]
fn of_what_the_store_has_lost_only_the_digest_is_known() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    put(folder, "Dockerfile", "FROM busybox\nCOPY text /\n");
    put(folder, "text", "one\n");
    store.run(&["lock", "--outputs", "-q", folder.to_str().unwrap()]);
    let lock: String = fs::read_to_string(folder.join("Dockerfile.lock")).unwrap();
    let manifest = lock.rsplit_once("manifest = \"sha256:").unwrap().1[..64].to_owned();
    let manifest = store.path().join("blobs/sha256").join(manifest);
    let read: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let layer = read["layers"][1]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    fs::remove_file(store.path().join("blobs/sha256").join(layer)).unwrap();
    let (code, report) = verify(&store, folder, &[]);
    assert_eq!((code, &report["reproducible"]), (0, &json!(true)), "digests are enough if nothing differs");
    put(folder, "text", "two\n");
    let check = |report: &Value| {
        let found = &report["images"][0]["differences"][0];
        assert_eq!(
            (&found["kind"], &found["layer"]["number"], &found["files"]),
            (&json!("layer"), &json!(2), &Value::Null)
        );
    };
    check(&verify(&store, folder, &[]).1);
    fs::remove_file(manifest).unwrap();
    check(&verify(&store, folder, &[]).1);
    let (_, out, _) = outcome(store.command().current_dir(folder).arg("verify"));
    assert!(out.contains("only its digest is known"), "{out}");
}

#[test]
fn another_compression_is_no_other_layer() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let folder = folder.path();
    put(folder, "Dockerfile", "FROM busybox\nCOPY Dockerfile /\n");
    put(folder, "build.toml", "[target.default]\n");
    let run = |arguments: &[&str]| outcome(store.command().current_dir(folder).args(arguments));
    let (code, _, said) = run(&["lock", "--outputs"]);
    assert_eq!(code, 0, "{said}");
    let zstd = "default.output=type=oci,dest=x.tar,compression=zstd";
    let (code, report) = verify(&store, folder, &["--set", zstd]);
    assert_eq!(code, 1);
    let found = &report["images"][0]["differences"];
    assert_eq!((&found[0]["kind"], &found[0]["layer"]["number"]), (&json!("compression"), &json!(2)), "{report:#}");
    assert_eq!(found.as_array().unwrap().len(), 1, "{report:#}");
    assert!(!folder.join("x.tar").exists(), "outputs are not written");
}

#[test]
fn capabilities_are_looked_at() {
    let (store, folder) = (Store::new(), scratch());
    let folder = folder.path();
    let archive = |capability: u8| {
        let value = [1, 0, 0, 2, 0, capability, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_pax_extensions([("SCHILY.xattr.security.capability", &value[..])]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.set_mode(0o755);
        tar.append_data(&mut header, "ping", &b"x"[..]).unwrap();
        put(folder, "files.tar", tar.into_inner().unwrap());
    };
    put(folder, "Dockerfile", "FROM scratch\nADD files.tar /\n");
    archive(0x20);
    store.run(&["lock", "--outputs", "-q", folder.to_str().unwrap()]);
    archive(0x04);
    let (code, report) = verify(&store, folder, &[]);
    assert_eq!(code, 1);
    let ping = file(&report, "/ping");
    assert_eq!((&ping["kind"], &ping["name"]), (&json!("xattr"), &json!("security.capability")), "{report:#}");
    assert_ne!(ping["was"], ping["is"]);
}

#[test]
fn every_platform_and_target_is_verified() {
    let (store, folder) = (Store::new(), scratch());
    let folder = folder.path();
    for name in ["a", "b"] {
        put(folder, &format!("{name}/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
    }
    put(
        folder,
        "build.toml",
        "[group]\ndefault = [\"a\"]\n[target.a]\ncontext = \"a\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n\
         [target.b]\ncontext = \"b\"\ncontexts = { a = \"target:a\" }\n",
    );
    let (code, report) = verify(&store, folder, &[]);
    assert_eq!(code, 0);
    let names: Vec<String> = report["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| format!("{} {}", image["target"].as_str().unwrap(), image["platform"].as_str().unwrap()))
        .collect();
    assert_eq!(names, ["a linux/amd64", "a linux/arm64", "b linux/amd64"]);
    let (_, report) = verify(&store, folder, &["b"]);
    assert_eq!(report["images"].as_array().unwrap().len(), 1);
    let (code, _, said) = outcome(store.command().current_dir(folder).args(["lock", "--outputs", "-q"]));
    assert_eq!(code, 0, "{said}");
    let lock = fs::read_to_string(folder.join("build.lock")).unwrap();
    assert_eq!(lock.matches("[[output]]").count(), 3, "{lock}");
    assert_eq!(verify(&store, folder, &["--locked"]).1["expected"], "recorded");
}

#[test]
fn ctrl_c_leaves_no_store_behind() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let (asked, heard) = std::sync::mpsc::channel();
    let asked = Mutex::new(asked);
    let web = Web::start(move |_, stream| {
        asked.lock().unwrap().send(()).unwrap();
        // The answer never comes; the end of the connection does.
        std::io::Read::read_to_end(stream, &mut Vec::new()).map(drop)
    });
    let (store, folder) = (Store::with_busybox(), scratch());
    put(folder.path(), "Dockerfile", format!("FROM busybox\nRUN wget -qO /n {}\n", web.url("/")));
    let mut command = store.command();
    command.current_dir(folder.path()).args(["verify", "-q", "--network", "host"]).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    heard.recv().unwrap();
    let temporary = || -> Vec<String> {
        let names = fs::read_dir(store.path().join("tmp")).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name != "locks").collect()
    };
    assert_ne!(temporary(), [""; 0]);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(temporary(), [""; 0]);
}
