//! `builds`, `log`, `report` and `--trace`: what is said of builds that were, in real stores, and a page in a real browser.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Store, outcome, put, run, scratch, text};

/// What nobody may take for markup or for lines of our own.
const HOSTILE: &str = "</pre></script><script>document.title='owned'</script><img src=x onerror=alert(1)>";

const DOCKERFILE: &str = "\
FROM busybox AS one
COPY src /src
RUN echo first && cat /src/a && echo second >&2
FROM busybox AS two
RUN echo '</pre></script><script>document.title=1</script>'
FROM busybox
COPY --from=one /src /one
COPY --from=two /bin/sh /two
RUN cat /one/a
";

fn project() -> tempfile::TempDir {
    let folder = scratch();
    put(folder.path(), "Dockerfile", DOCKERFILE);
    put(folder.path(), "src/a", format!("{HOSTILE}\n"));
    folder
}

fn command(store: &Store, folder: &Path, words: &[&str]) -> Command {
    let mut command = store.command();
    command.current_dir(folder).args(words);
    command
}

fn said(store: &Store, folder: &Path, words: &[&str]) -> String {
    text(&run(&mut command(store, folder, words)).stdout)
}

/// A text with a `T` for each time in it.
fn without_times(text: &str) -> String {
    let mut clean = String::new();
    for word in text.split_inclusive([' ', '\n']) {
        let bare = word.trim_end().trim_end_matches(['s', ':']);
        match bare.contains('.') && bare.parse::<f64>().is_ok() {
            true => clean.push_str(&word.replace(bare, "T")),
            false => clean.push_str(word),
        }
    }
    clean
}

/// The files of a store's records, objects included, with their sizes.
fn records(store: &Store) -> Vec<(String, u64)> {
    let folders = ["builds", "builds/objects"];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(store.path().join(folder)).unwrap());
    let entries = entries.map(|entry| entry.unwrap()).filter(|entry| entry.file_type().unwrap().is_file());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())).collect()
}

#[test]
fn a_log_is_what_the_build_showed() {
    let (store, folder) = (Store::with_busybox(), project());
    let build = ["build", "--progress", "plain", "-t", "app", "--jobs", "1", "."];
    let shown = text(&run(&mut command(&store, folder.path(), &build)).stderr);
    let log = said(&store, folder.path(), &["log"]);
    assert_eq!(without_times(&log), without_times(&shown));
    assert!(log.contains("second") && log.contains(HOSTILE) && log.contains("DONE"), "{log}");

    // One step, by its line; alone, and after the name of the build.
    let id = said(&store, folder.path(), &["builds", "-q"]);
    let step = said(&store, folder.path(), &["log", "Dockerfile:3"]);
    assert_eq!(step, said(&store, folder.path(), &["log", id.trim(), "RUN echo first"]));
    assert!(step.starts_with("#1 [one 3/3] RUN echo first"), "{step}");
    assert!(step.contains(" second\n") && !step.contains("COPY"), "{step}");

    // The same as events.
    let events = said(&store, folder.path(), &["log", "--format", "json"]);
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["event"], "stream");
    assert_eq!(events.last().unwrap()["event"], "summary");
    let output = events.iter().filter(|event| event["event"] == "step_output");
    assert!(output.filter_map(|event| event["text"].as_str()).any(|text| text.contains("second")));
}

#[test]
fn a_build_with_nothing_to_do_writes_one_small_file() {
    let (store, folder) = (Store::with_busybox(), project());
    store.build(folder.path(), &["-t", "app"]);
    let before: BTreeSet<(String, u64)> = records(&store).into_iter().collect();
    assert_eq!(store.build(folder.path(), &["-t", "app"]).executed, 0);
    let after: BTreeSet<(String, u64)> = records(&store).into_iter().collect();
    let new: Vec<&(String, u64)> = after.difference(&before).collect();
    assert!(matches!(new[..], [(_, size)] if *size < 1200), "{new:?}");
    let log = said(&store, folder.path(), &["log"]);
    assert!(log.contains(" ran nothing: ") && log.ends_with(" steps cached.\n"), "{log}");
    let page = said(&store, folder.path(), &["report"]);
    assert!(page.contains("Nothing ran: "), "{page}");
}

#[test]
fn failed_builds_are_told_apart_and_secrets_stay_secret() {
    let (store, folder) = (Store::with_busybox(), scratch());
    let dockerfile = "FROM busybox\nRUN --mount=type=secret,id=token cat /run/secrets/token; exit 7\n";
    put(folder.path(), "Dockerfile", dockerfile);
    put(folder.path(), "token", "hunter2-hunter2");
    let build = ["build", "--secret", "id=token,src=token", "--build-arg", "API_KEY=hunter2-hunter2", "."];
    assert_eq!(outcome(&mut command(&store, folder.path(), &build)).0, 1);
    put(folder.path(), "Dockerfile", "FROM busybox\nRUN true\n");
    run(&mut command(&store, folder.path(), &["build", "-t", "fine:1", "."]));

    let list = said(&store, folder.path(), &["builds"]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert!(rows[1].contains(&"done") && rows[1].contains(&"fine:1"), "{list}");
    assert!(rows[2].contains(&"failed") && rows[2].contains(&"Dockerfile"), "{list}");

    let failed = said(&store, folder.path(), &["builds", "-q", "--filter", "status=failed"]);
    let log = said(&store, folder.path(), &["log", failed.trim()]);
    assert!(log.contains(" ***\n") && log.contains("exit code 7") && log.contains("\nerror: "), "{log}");
    let page = said(&store, folder.path(), &["report", failed.trim()]);
    assert!(page.contains("Why it failed") && page.contains("***"), "{page}");
    for said in [&log, &page] {
        assert!(!said.contains("hunter2"), "{said}");
    }
    let json = said(&store, folder.path(), &["builds", "--format", "json"]);
    assert!(json.contains("API_KEY=***") && !json.contains("hunter2"), "{json}");

    let (code, _, complaint) = outcome(&mut command(&store, folder.path(), &["log", "feedfeed", "1"]));
    assert!(code == 2 && complaint.contains("imgbuild builds"), "{complaint}");
}

/// A trace is what viewers read: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
#[test]
fn a_trace_has_lanes_in_which_nothing_overlaps() {
    let (store, folder) = (Store::with_busybox(), project());
    let trace = folder.path().join("trace.json");
    let words = ["build", "-t", "app", "--trace", trace.to_str().unwrap(), "."];
    run(&mut command(&store, folder.path(), &words));
    let live: Value = serde_json::from_slice(&fs::read(&trace).unwrap()).unwrap();
    let recorded: Value = serde_json::from_str(&said(&store, folder.path(), &["report", "--trace"])).unwrap();
    let names = |trace: &Value, category: &str| -> BTreeSet<String> {
        let events = trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["cat"] == category);
        events.map(|event| event["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(names(&live, "step").contains("[one 3/3] RUN echo first && cat /src/a && echo second >&2"), "{live}");
    assert_eq!(names(&live, "step"), names(&recorded, "step"));
    assert_eq!(names(&live, "phase"), ["export", "keys", "read and pin", "steps"].map(str::to_owned).into());
    for trace in [&live, &recorded] {
        let events = trace["traceEvents"].as_array().unwrap();
        let mut ends = std::collections::BTreeMap::new();
        for event in events.iter().filter(|event| event["ph"] == "X") {
            let [lane, start, length] = ["tid", "ts", "dur"].map(|field| event[field].as_u64().unwrap());
            let end = ends.insert(lane, start + length).unwrap_or_default();
            assert!(end <= start, "{event} begins before {end}");
            assert_eq!(event["pid"], 1);
        }
        let named: BTreeSet<u64> = events
            .iter()
            .filter(|event| event["ph"] == "M" && event["name"] == "thread_name")
            .map(|event| event["tid"].as_u64().unwrap())
            .collect();
        assert_eq!(named, ends.into_keys().collect());
    }
    // Also of a build that fails.
    put(folder.path(), "Dockerfile", "FROM busybox\nRUN exit 3\n");
    assert_eq!(outcome(&mut command(&store, folder.path(), &words)).0, 1);
    assert!(text(&fs::read(&trace).unwrap()).contains("\"outcome\":\"failed\""));
    let (code, _, complaint) = outcome(&mut command(&store, folder.path(), &["build", "--trace", "no/where", "."]));
    assert!(code == 2 && complaint.contains("--trace"), "{complaint}");
}

/// A page after a browser has read it, and what the browser complained of.
fn browse(folder: &Path, page: &str) -> (String, Vec<String>) {
    let file = put(folder, "page.html", page);
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]);
    command.args(["--enable-logging=stderr", "--virtual-time-budget=1000"]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command.env("HOME", folder).arg(format!("file://{}", file.display()));
    let output = run(&mut command);
    let complaints = text(&output.stderr).lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (text(&output.stdout), complaints)
}

#[test]
fn a_browser_shows_the_report() {
    if Command::new("chromium").arg("--version").output().is_err() {
        eprintln!("skipped: chromium is not installed");
        return;
    }
    let (store, folder) = (Store::with_busybox(), project());
    store.build(folder.path(), &["-t", "app"]);
    put(folder.path(), "src/a", format!("{HOSTILE} again\n"));
    store.build(folder.path(), &["-t", "app"]);
    let page = folder.path().join("out.html");
    run(&mut command(&store, folder.path(), &["report", "-o", page.to_str().unwrap()]));
    let page = fs::read_to_string(page).unwrap();
    let browser = scratch();
    let (dom, complaints) = browse(browser.path(), &page);
    assert_eq!(complaints, [""; 0]);
    for known in [
        "<title>Dockerfile · build ",
        "<span class=\"badge done\">done</span>",
        "<h2>Timeline",
        "src/a changed",
        "<code>[one 3/3] RUN echo first &amp;&amp; cat /src/a &amp;&amp; echo second &gt;&amp;2</code>",
        "&lt;/pre&gt;&lt;/script&gt;&lt;script&gt;document.title='owned'&lt;/script&gt;&lt;img src=x",
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"graph\"",
        "sha256:9333b3fb05c27a15aec4ab3bf86aac119515966f3f0b9bd2a03d610c46eea3d7",
        "<code class=\"tag\">app:latest</code>",
    ] {
        assert!(dom.contains(known), "{known} is not in\n{dom}");
    }
    assert_eq!((dom.matches("<script").count(), dom.matches("<img").count()), (0, 0), "{dom}");
    // All of it was read: nothing closed the page before its end.
    assert!(dom.contains("Circumstances") && dom.contains("<footer>"), "{dom}");

    // That complaints are heard, and that a page may not run what it should not have.
    let (_, complaints) = browse(browser.path(), "<script>console.error('heard')</script>");
    assert!(complaints.iter().any(|line| line.contains("heard")), "{complaints:?}");
    let (dom, complaints) =
        browse(browser.path(), &page.replace("</footer>", "<script>document.title='owned'</script></footer>"));
    assert!(!dom.contains("<title>owned") && !complaints.is_empty(), "{complaints:?}");
}
