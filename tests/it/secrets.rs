//! Secrets reach the steps that ask for them and nothing else; and the other things that flags give to steps.

use std::fs;
use std::path::Path;

use crate::support::{Store, outcome, put, repository, run, scratch, text};

const FILE: &str = "Zm9v-first-line-of-the-file\nq8Wc-second-line-of-the-file\n";
const VARIABLE: &str = "kJ3x-value-of-the-variable";

/// What must be nowhere: the values, a part that is in every copy of them, and their base64.
const NOWHERE: &[&str] = &[
    "first-line-of-the-file",
    "second-line-of-the-file",
    "value-of-the-variable",
    // The middle of the base64 of the variable, of the file, and of user:VARIABLE.
    "M3gtdmFsdWUtb2YtdGhlLXZhcmlhYm",
    "b2YtdGhlLWZpbG",
    "rSjN4LXZhbHVlLW9mLXRoZS12YXJpYWJsZ",
];

fn store() -> Store {
    let store = Store::new();
    store.run(&["load", "-q", "-i", repository("tests/conformance/busybox.oci.tar").to_str().unwrap()]);
    store
}

/// Fails if a file below a folder, or its name, holds what must be nowhere.
fn search(folder: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            files += search(&path);
        } else if path.is_file() {
            files += 1;
            let bytes = fs::read(&path).unwrap();
            assert_clean(&String::from_utf8_lossy(&bytes), &path.display().to_string());
            // Layers as they are stored.
            let mut plain = Vec::new();
            let mut gzip = flate2::read::GzDecoder::new(&bytes[..]);
            if std::io::Read::read_to_end(&mut gzip, &mut plain).is_ok() {
                assert_clean(&String::from_utf8_lossy(&plain), &path.display().to_string());
            }
        }
    }
    files
}

#[track_caller]
fn assert_clean(text: &str, place: &str) {
    for part in NOWHERE {
        if let Some(at) = text.find(part) {
            let context: String = text[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{place} holds {part:?} after {context:?}");
        }
    }
}

const USES: &str = r#"
FROM busybox
RUN --mount=type=secret,id=file cat /run/secrets/file; cat /run/secrets/file >&2; wc -c < /run/secrets/file > /size
RUN --mount=type=secret,id=file,target=/etc/file,mode=0440,uid=7,gid=8 stat -c '%a %u %g' /etc/file > /mode; base64 /etc/file
RUN --mount=type=secret,id=variable,env=TOKEN set -x; echo "$TOKEN"; echo "${#TOKEN}" > /length
RUN --mount=type=secret,id=variable,env=TOKEN printf '%.5s' "$TOKEN"; printf '%s\n' "${TOKEN#?????}"
RUN --mount=type=secret,id=variable,env=TOKEN,target=/both printf '%s' "$TOKEN" | base64; printf 'user:%s' "$TOKEN" | base64; cat /both
RUN --mount=type=secret,id=variable,required,target=/root/.token,uid=1000 <<END
test -n "$(cat /root/.token)"
env
END
RUN --mount=type=secret,id=nosuch,env=NONE test -z "$NONE" && test ! -e /run/secrets/nosuch
RUN test -z "$TOKEN" && ! test -s /root/.token && ! test -s /etc/file
"#;

#[test]
fn values_are_nowhere_but_in_the_steps() {
    let work = scratch();
    let secret = put(work.path(), "outside/secret", FILE);
    let context = work.path().join("context");
    put(&context, "Dockerfile", USES);
    let store = store();
    let file = format!("id=file,src={}", secret.display());
    let out = work.path().join("out");
    fs::create_dir(&out).unwrap();
    let path = |name: &str| out.join(name).display().to_string();
    for progress in ["plain", "json"] {
        let mut command = store.command();
        command.args(["build", "--progress", progress, "--no-cache", "-t", "result"]);
        command.args(["--secret", &file, "--secret", "id=variable,env=SECRET_VARIABLE"]);
        command.env("SECRET_VARIABLE", VARIABLE);
        command.args(["-o", "type=image", "-o", &format!("type=oci,dest={}", path("oci.tar"))]);
        command.args(["-o", &format!("type=tar,dest={}", path("root.tar"))]);
        command.args(["-o", &format!("type=local,dest={}", path("files"))]);
        command.args(["--metadata-file", &path("metadata"), "--iidfile", &path("id")]);
        let output = run(command.arg(&context));
        let log = text(&output.stdout) + &text(&output.stderr);
        assert_clean(&log, "the log");
        assert!(log.matches("***").count() >= 8, "{log}");
    }
    let read = |name: &str| fs::read_to_string(out.join("files").join(name)).unwrap();
    assert_eq!(read("size").trim(), FILE.len().to_string());
    assert_eq!(read("mode"), "440 7 8\n");
    assert_eq!(read("length").trim(), VARIABLE.len().to_string());

    // A step that fails shows the last of its output again.
    put(
        work.path(),
        "failing/Dockerfile",
        "FROM busybox\nRUN --mount=type=secret,id=file cat /run/secrets/file; false\n",
    );
    let mut command = store.command();
    command.args(["build", "--secret", &file]).arg(work.path().join("failing"));
    let (code, stdout, stderr) = outcome(&mut command);
    assert!(code == 1 && stderr.contains("***"), "{stderr}");
    assert_clean(&(stdout + &stderr), "the error");

    assert!(search(store.path()) > 10);
    assert!(search(&out) >= 5);
    assert!(search(&context) >= 2, "Dockerfile and lockfile");

    // The value is not what a result depends on; that there is one is not either.
    let mut again = store.command();
    again.args(["build", "--progress", "plain", "--secret", "id=file,src=/dev/null", "--secret"]);
    let log = text(&run(again.arg("id=variable,env=OTHER").env("OTHER", "x").arg(&context)).stderr);
    assert!(log.contains("nothing to do, 8 steps cached"), "{log}");
}

#[test]
fn a_value_that_an_earlier_step_kept_is_masked_too() {
    let work = scratch();
    let secret = put(work.path(), "secret", FILE);
    let context = work.path().join("context");
    put(
        &context,
        "Dockerfile",
        "FROM busybox\nRUN --mount=type=secret,id=file cp /run/secrets/file /kept\nRUN echo \"<$(tail -n 1 /kept)>\"\n",
    );
    let store = store();
    let mut command = store.command();
    command.args(["build", "--progress", "plain", "-o", "type=cacheonly", "--secret"]);
    let log = text(&run(command.arg(format!("id=file,src={}", secret.display())).arg(&context)).stderr);
    assert!(log.contains("<***>"), "{log}");
    assert_clean(&log, "the log");
}

#[test]
fn a_required_secret_that_is_missing_is_an_error() {
    let context = scratch();
    put(context.path(), "Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=token,required true\n");
    let store = store();
    let (code, _, err) = outcome(store.command().arg("build").arg(context.path()));
    assert!(code == 1 && err.contains("\"token\" is required") && err.contains("--secret id=token"), "{err}");
    let (code, _, err) =
        outcome(store.command().args(["build", "--secret", "id=token,src=/nosuch"]).arg(context.path()));
    assert!(code == 1 && err.contains("/nosuch"), "{err}");
}

#[test]
fn targets_have_secrets_of_their_own() {
    let work = scratch();
    put(work.path(), "a.secret", "value-of-a");
    put(work.path(), "b.secret", "value-of-b");
    put(
        work.path(),
        "Dockerfile",
        "FROM busybox\nARG NAME\nRUN --mount=type=secret,id=token test \"$(cat /run/secrets/token)\" = \"value-of-$NAME\"\n",
    );
    let shared = "FROM busybox\nRUN --mount=type=secret,id=token wc -c < /run/secrets/token > /size\n";
    put(work.path(), "shared.Dockerfile", shared);
    let target = |name: &str, file: &str, tail: &str| {
        format!("[target.{name}]\ndockerfile = \"{file}\"\nsecrets = [\"id=token,src={}.secret\"]\n{tail}", &name[..1])
    };
    put(
        work.path(),
        "build.toml",
        [
            target("a", "Dockerfile", "args = { NAME = \"a\" }\n"),
            target("b", "Dockerfile", "args = { NAME = \"b\" }\n"),
            target("a-shared", "shared.Dockerfile", ""),
            target("b-shared", "shared.Dockerfile", ""),
        ]
        .concat(),
    );
    let store = store();
    let bake = |targets: &[&str]| {
        let mut command = store.command();
        text(&run(command.args(["bake", "--progress", "plain"]).args(targets).current_dir(work.path())).stderr)
    };
    for order in [["a", "b"], ["b", "a"]] {
        let log = bake(&[&order[..], &["--no-cache"]].concat());
        assert!(log.contains("2 steps run") && !log.contains("different values"), "{log}");
    }
    let log = bake(&["a-shared", "b-shared"]);
    assert!(log.contains("1 step run") && log.contains("different values for the secret \"token\""), "{log}");
}

#[test]
fn steps_get_the_network_and_the_rights_that_were_allowed() {
    let context = scratch();
    let store = store();
    let build = |dockerfile: &str, arguments: &[&str]| {
        put(context.path(), "Dockerfile", format!("FROM busybox\n{dockerfile}"));
        let mut command = store.command();
        outcome(
            command.args(["build", "--progress", "plain", "-o", "type=cacheonly"]).args(arguments).arg(context.path()),
        )
    };
    let works = |dockerfile: &str, arguments: &[&str], shown: &[&str]| {
        let (code, _, log) = build(dockerfile, arguments);
        assert_eq!(code, 0, "{log}");
        shown.iter().for_each(|word| assert!(log.contains(word), "{word:?} is not in {log}"));
    };
    let refused = |dockerfile: &str, word: &str| {
        let (code, _, log) = build(dockerfile, &[]);
        assert!(code == 1 && log.contains(word), "{log}");
    };
    // Of a network there is the loopback and nothing else, or what the machine has.
    let devices = "sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort | tr '\\n' ' '";
    works(&format!("RUN --network=none echo \"<$({devices})>\""), &[], &["<lo >"]);
    works(&format!("RUN echo \"<$({devices})>\" # flag"), &["--network", "none"], &["<lo >"]);
    let namespace = fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let show = "readlink /proc/self/ns/net";
    works(&format!("RUN --network=host {show}"), &["--allow", "network.host"], &[&namespace]);
    works(&format!("RUN {show} # flag"), &["--network", "host"], &[&namespace]);
    refused(&format!("RUN --network=host {show} # refused"), "--allow network.host");

    let capabilities = "grep CapEff /proc/self/status";
    works(&format!("RUN {capabilities}"), &[], &["00000000a80425fb"]);
    let all = fs::read_to_string("/proc/1/status").unwrap();
    let all = all.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap();
    works(&format!("RUN --security=insecure {capabilities}"), &["--allow", "security.insecure"], &[all]);
    works(
        "RUN --security=insecure mkdir /m && mount -t tmpfs none /m && touch /m/x",
        &["--allow", "security.insecure"],
        &[],
    );
    refused(&format!("RUN --security=insecure {capabilities} # refused"), "--allow security.insecure");

    let hosts = ["--add-host", "db:10.1.2.3", "--add-host", "v6=[::2]"];
    works("RUN tr '\\t' = < /etc/hosts", &hosts, &["10.1.2.3=db", "::2=v6"]);
    works("RUN df -k /dev/shm", &["--shm-size", "5m"], &["5120"]);
    // A limit is no part of a key, so this is another step.
    works("RUN df -k /dev/shm # without", &[], &["65536"]);
}
