//! One graph, three front ends: the same build as a Dockerfile, as steps of a build file and as a Rust program has the
//! same cache keys and makes the same image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use imgbuild::dsl::{Files, Folder, Health, Image, Mount, Project, Run, Target};

use crate::support::{Store, outcome, run, scratch};

/// A build, three times.
struct Build {
    name: &'static str,
    dockerfile: &'static str,
    steps: &'static str,
    program: Image,
}

fn builds() -> Vec<Build> {
    vec![
        Build {
            name: "empty",
            dockerfile: "FROM scratch\nLABEL a=b",
            steps: "steps = [{ label = { a = 'b' } }]",
            program: Image::scratch().label("a", "b"),
        },
        Build {
            name: "copies",
            dockerfile: "FROM scratch\nCOPY --chmod=640 --chown=1:2 src/a src/b /files/\nCOPY src /all\nADD src/a.tar /tar/",
            steps: "steps = [
                { copy = ['src/a', 'src/b'], to = '/files/', chmod = '640', chown = '1:2' },
                { copy = 'src', to = '/all' },
                { add = 'src/a.tar', to = '/tar/' },
            ]",
            program: Image::scratch()
                .copy(Files::new(["src/a", "src/b"], "/files/").chmod("640").chown("1:2"))
                .copy(("src", "/all"))
                .add(("src/a.tar", "/tar/")),
        },
        Build {
            name: "selected",
            dockerfile: "FROM scratch\nCOPY --parents --exclude=src/b src/* /p/\nCOPY --link src/a /linked/",
            steps: "steps = [
                { copy = 'src/*', to = '/p/', parents = true, exclude = ['src/b'] },
                { copy = 'src/a', to = '/linked/', link = true },
            ]",
            program: Image::scratch()
                .copy(Files::new("src/*", "/p/").parents().exclude("src/b"))
                .copy(Files::new("src/a", "/linked/").link()),
        },
        Build {
            name: "commands",
            dockerfile: "FROM busybox\nRUN echo \"$HOME\" ${X:-none} > /h\nRUN [\"/bin/sh\", \"-c\", \"echo 'exec form'\"]",
            steps: "from = 'busybox'\nsteps = [
                { run = 'echo \"$HOME\" $${X:-none} > /h' },
                { run = ['/bin/sh', '-c', \"echo 'exec form'\"] },
            ]",
            program: Image::from("busybox").run("echo \"$HOME\" ${X:-none} > /h").run([
                "/bin/sh",
                "-c",
                "echo 'exec form'",
            ]),
        },
        Build {
            name: "environment",
            dockerfile: "FROM busybox\nENV B=\"it's  two\" A=$PATH:/opt\nENV PRICE=\\$5 EMPTY=\nRUN echo \"$A$B$PRICE\" > /env",
            steps: r#"from = "busybox"
            steps = [
                { env = { B = "it's  two", A = "$PATH:/opt" } },
                { env = { PRICE = '\$5', EMPTY = "" } },
                { run = 'echo "$A$B$PRICE" > /env' },
            ]"#,
            program: Image::from("busybox")
                .envs([("B", "it's  two"), ("A", "$PATH:/opt")])
                .envs([("PRICE", "\\$5"), ("EMPTY", "")])
                .run("echo \"$A$B$PRICE\" > /env"),
        },
        Build {
            name: "arguments",
            dockerfile: "FROM busybox\nARG GIVEN=1\nARG OTHER=${GIVEN}x\nARG TARGETARCH\nENV V=$OTHER\nRUN echo $GIVEN $TARGETARCH > /args",
            steps: "from = 'busybox'\nargs = { GIVEN = 7 }\nsteps = [
                { arg = { GIVEN = 1 } },
                { arg = { OTHER = '$${GIVEN}x' } },
                { arg = 'TARGETARCH' },
                { env = { V = '$OTHER' } },
                { run = 'echo $GIVEN $TARGETARCH > /args' },
            ]",
            program: Image::from("busybox")
                .arg("GIVEN", "1")
                .arg("OTHER", "${GIVEN}x")
                .declare("TARGETARCH")
                .env("V", "$OTHER")
                .run("echo $GIVEN $TARGETARCH > /args"),
        },
        Build {
            name: "files",
            dockerfile: "FROM busybox\nENV N=1\nCOPY <<\"EOF\" /etc/motd\n$N: hello\nEOF\nRUN <<EOF\n#!/bin/sh\necho script > /s\nEOF\nRUN <<EOF\necho one > /1\necho two > /2\nEOF",
            steps: "from = 'busybox'\nsteps = [
                { env = { N = 1 } },
                { write = '/etc/motd', content = \"$N: hello\\n\" },
                { run = '''\n#!/bin/sh\necho script > /s\n''' },
                { run = '''\necho one > /1\necho two > /2\n''' },
            ]",
            program: Image::from("busybox")
                .env("N", "1")
                .write("/etc/motd", "$N: hello\n")
                .run("#!/bin/sh\necho script > /s\n")
                .run("echo one > /1\necho two > /2\n"),
        },
        Build {
            name: "mounts",
            dockerfile: "FROM busybox\nRUN --mount=type=cache,target=/cache,sharing=locked --mount=type=tmpfs,target=/t --network=none echo x > /cache/x\nRUN --mount=source=src,target=/in,rw cp /in/a /a",
            steps: "from = 'busybox'\nsteps = [
                { run = 'echo x > /cache/x', network = 'none', mounts = [
                    { type = 'cache', target = '/cache', sharing = 'locked' },
                    { type = 'tmpfs', target = '/t' },
                ] },
                { run = 'cp /in/a /a', mounts = [{ source = 'src', target = '/in', rw = true }] },
            ]",
            program: Image::from("busybox")
                .run(
                    Run::new("echo x > /cache/x")
                        .network("none")
                        .mount(Mount::cache("/cache").with("sharing", "locked"))
                        .mount(Mount::tmpfs("/t")),
                )
                .run(Run::new("cp /in/a /a").mount(Mount::bind("src", "/in").with("rw", "true"))),
        },
        Build {
            name: "stages",
            dockerfile: "FROM busybox AS made\nWORKDIR /out\nRUN echo made > made\nFROM scratch AS empty\nCOPY src/a /a\nFROM busybox\nCOPY --from=made /out/made /\nRUN --mount=from=empty,target=/e cp /e/a /b",
            steps: "from = 'busybox'\nsteps = [
                { copy = '/out/made', to = '/', from = 'made' },
                { run = 'cp /e/a /b', mounts = [{ from = 'empty', target = '/e' }] },
            ]
            [target.stages-steps.stages.made]
            from = 'busybox'
            steps = [{ workdir = '/out' }, { run = 'echo made > made' }]
            [target.stages-steps.stages.empty]
            steps = [{ copy = 'src/a', to = '/a' }]",
            program: {
                let made = Image::from("busybox").workdir("/out").run("echo made > made").named("made");
                let empty = Image::scratch().copy(("src/a", "/a")).named("empty");
                Image::from("busybox")
                    .copy_from(&made, "/out/made", "/")
                    .run(Run::new("cp /e/a /b").mount(Mount::bind("/", "/e").from(&empty)))
            },
        },
        Build {
            name: "base",
            dockerfile: "FROM busybox AS base\nARG A=1\nCMD [\"old\"]\nRUN echo base > /base\nFROM base\nRUN echo $A > /child\nENTRYPOINT [\"new\"]",
            steps: "from = 'base'\nsteps = [{ run = 'echo $A > /child' }, { entrypoint = ['new'] }]
            [target.base-steps.stages.base]
            from = 'busybox'
            steps = [{ arg = { A = 1 } }, { cmd = ['old'] }, { run = 'echo base > /base' }]",
            program: {
                let base = Image::from("busybox").arg("A", "1").cmd(["old"]).run("echo base > /base").named("base");
                Image::on(&base).run("echo $A > /child").entrypoint(["new"])
            },
        },
        Build {
            name: "config",
            dockerfile: "FROM busybox\nUSER 1000:1000\nWORKDIR /w\nEXPOSE 80 53/udp\nVOLUME /data /more\nENTRYPOINT [\"sh\", \"-c\"]\nCMD echo hi\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=30s --retries=3 CMD true\nLABEL a.b=\"c d\" e=f\nONBUILD RUN true",
            steps: "from = 'busybox'\nsteps = [
                { user = '1000:1000' }, { workdir = '/w' }, { expose = [80, '53/udp'] }, { volume = ['/data', '/more'] },
                { entrypoint = ['sh', '-c'] }, { cmd = 'echo hi' }, { stopsignal = 'SIGINT' },
                { healthcheck = 'true', interval = '30s', retries = 3 },
                { label = { 'a.b' = 'c d', e = 'f' } }, { onbuild = 'RUN true' },
            ]",
            program: Image::from("busybox")
                .user("1000:1000")
                .workdir("/w")
                .expose(["80", "53/udp"])
                .volume(["/data", "/more"])
                .entrypoint(["sh", "-c"])
                .cmd("echo hi")
                .stop_signal("SIGINT")
                .healthcheck(Health::new("true").interval("30s").retries(3))
                .labels([("a.b", "c d"), ("e", "f")])
                .onbuild("RUN true"),
        },
        Build {
            name: "platform",
            dockerfile: "FROM --platform=$BUILDPLATFORM busybox AS tool\nRUN echo tool > /tool\nFROM scratch\nCOPY --from=tool /tool /",
            steps: "steps = [{ copy = '/tool', to = '/', from = 'tool' }]
            [target.platform-steps.stages.tool]
            from = { image = 'busybox', platform = '$BUILDPLATFORM' }
            steps = [{ run = 'echo tool > /tool' }]",
            program: {
                let tool = Image::from_platform("busybox", "$BUILDPLATFORM").run("echo tool > /tool").named("tool");
                Image::scratch().copy_from(&tool, "/tool", "/")
            },
        },
        Build {
            name: "shell",
            dockerfile: "FROM busybox\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN true && echo e > /e\nHEALTHCHECK NONE\nCMD top",
            steps: "from = 'busybox'\nsteps = [
                { shell = ['/bin/sh', '-ec'] }, { run = 'true && echo e > /e' }, { healthcheck = 'none' }, { cmd = 'top' },
            ]",
            program: Image::from("busybox")
                .shell(["/bin/sh", "-ec"])
                .run("true && echo e > /e")
                .healthcheck(Health::none())
                .cmd("top"),
        },
    ]
}

/// The definition of each target in a lockfile.
fn definitions(lock: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut name = String::new();
    for line in lock.lines() {
        if let Some(text) = line.strip_prefix("name = ") {
            name = text.trim_matches('"').to_owned();
        } else if let Some(text) = line.strip_prefix("definition = ") {
            found.insert(name.clone(), text.to_owned());
        }
    }
    found
}

#[test]
fn three_front_ends_make_one_graph() {
    let folder = scratch();
    let src = folder.path().join("src");
    fs::create_dir(&src).unwrap();
    for (name, text) in [("a", "file a\n"), ("b", "file b\n")] {
        fs::write(src.join(name), text).unwrap();
    }
    run(std::process::Command::new("tar").arg("-C").arg(&src).args(["-cf", "a.tar", "b"]).current_dir(&src));

    let mut text = String::new();
    let mut project = Project::new();
    for build in builds() {
        let Build { name, dockerfile, steps, program } = build;
        let args = if name == "arguments" { "args = { GIVEN = 7 }\n" } else { "" };
        text.push_str(&format!("[target.{name}-file]\n{args}dockerfile-inline = '''\n{dockerfile}\n'''\n"));
        text.push_str(&format!("[target.{name}-steps]\n{steps}\n"));
        let target = Target::new(&format!("{name}-dsl"), &program);
        project = project.target(if name == "arguments" { target.arg("GIVEN", "7") } else { target });
    }
    text.push_str(&project.to_toml().unwrap());
    fs::write(folder.path().join("build.toml"), text).unwrap();

    let store = Store::with_busybox();
    let names: Vec<String> = builds().iter().map(|build| build.name.to_owned()).collect();
    let forms = ["file", "steps", "dsl"];
    let targets = |form: &str| names.iter().map(|name| format!("{name}-{form}")).collect::<Vec<_>>();
    let first = store.bake(folder.path(), &targets("file"));
    assert!(first.executed > 20, "{first:?}");
    let mut images = first.images;
    for form in &forms[1..] {
        let built = store.bake(folder.path(), &targets(form));
        assert_eq!(built.ran, [""; 0], "{form}: everything is in the cache of the Dockerfiles");
        images.extend(built.images);
    }
    let lock = fs::read_to_string(folder.path().join("build.lock")).unwrap();
    let definitions = definitions(&lock);
    for name in &names {
        let all = |of: &BTreeMap<String, String>| -> BTreeSet<String> {
            forms.iter().map(|form| of[&format!("{name}-{form}")].clone()).collect()
        };
        assert_eq!(all(&definitions).len(), 1, "{name}: one cache key");
        assert_eq!(all(&images).len(), 1, "{name}: one image");
    }
    let different: BTreeSet<&String> = images.values().collect();
    assert_eq!(different.len(), names.len(), "and each build another one");

    let together = store.bake(folder.path(), &[targets("file"), targets("steps"), targets("dsl")].concat());
    assert_eq!(together.executed, 0);
    assert_eq!(together.images, images);
}

#[test]
fn folders_links_and_removals_are_steps() {
    let folder = scratch();
    let image = Image::from("busybox")
        .workdir("/srv")
        .write("/etc/passwd", "app:x:7:8::/:/bin/sh\n")
        .mkdir(Folder::new("data/cache").chown("app").chmod("2750"))
        .symlink("current", "data")
        .write("/tmp/a.log", "a")
        .write("/tmp/b.log", "b")
        .write("/tmp/kept", "kept")
        .remove("/tmp/*.log")
        .remove_if_there(["/nowhere", "data/gone"])
        .run(
            "stat -c '%n %a %u:%g' data data/cache > /stat; readlink current >> /stat; ls /tmp >> /stat; pwd >> /stat",
        );
    let files = Image::scratch().copy_from(&image.clone().named("all"), "/stat", "/");
    let missing = Image::from("busybox").remove("/nowhere");
    let project = Project::new()
        .target(Target::new("dsl", &image))
        .target(Target::new("files", &files).output("out"))
        .target(Target::new("missing", &missing));
    let steps = "[target.steps]
        from = 'busybox'
        steps = [
            { workdir = '/srv' },
            { write = '/etc/passwd', content = \"app:x:7:8::/:/bin/sh\\n\" },
            { mkdir = 'data/cache', chown = 'app', chmod = '2750' },
            { symlink = 'current', to = 'data' },
            { write = '/tmp/a.log', content = 'a' },
            { write = '/tmp/b.log', content = 'b' },
            { write = '/tmp/kept', content = 'kept' },
            { remove = '/tmp/*.log' },
            { remove = ['/nowhere', 'data/gone'], allow-missing = true },
            { run = \"stat -c '%n %a %u:%g' data data/cache > /stat; readlink current >> /stat; ls /tmp >> /stat; pwd >> /stat\" },
        ]";
    fs::write(folder.path().join("build.toml"), project.to_toml().unwrap() + steps).unwrap();
    let store = Store::with_busybox();
    let built = store.bake(folder.path(), &["dsl", "steps", "files"]);
    assert_eq!(built.images["dsl"], built.images["steps"]);
    let seen = fs::read_to_string(folder.path().join("out/stat")).unwrap();
    assert_eq!(seen, "data 755 7:8\ndata/cache 2750 7:8\ndata\nkept\n/srv\n");
    let history = store.run(&["history", "--no-trunc", "--format", "json", &built.images["dsl"]]);
    assert!(history.contains("MKDIR --chown=app --chmod=2750 data/cache"), "{history}");
    assert!(history.contains("SYMLINK current data"), "{history}");
    assert!(history.contains("REMOVE /tmp/*.log"), "{history}");
    let (code, _, error) = outcome(store.command().args(["bake", "missing"]).current_dir(folder.path()));
    assert_eq!(code, 1);
    assert!(error.contains("REMOVE /nowhere"), "{error}");
}

#[test]
fn states_are_merged_and_subtracted() {
    let folder = scratch();
    let base = Image::from("busybox").env("BASE", "1").named("base");
    let part = |name: &str| base.clone().run(format!("echo {name} > /{name}")).named(name);
    let [one, two] = ["one", "two"].map(part);
    let merged = Image::merge([&base, &Image::diff(&base, &one).named("d1"), &Image::diff(&base, &two).named("d2")])
        .run("cat /one /two > /both");
    let files = Image::scratch().copy_from(&merged.clone().named("merged"), ["/one", "/two", "/both"], "/");
    let project = Project::new()
        .target(Target::new("merged", &merged).output("type=oci,dest=merged.tar"))
        .target(Target::new("files", &files).output("out"));
    fs::write(folder.path().join("build.toml"), project.to_toml().unwrap()).unwrap();
    let store = Store::with_busybox();
    let built = store.bake(folder.path(), &["merged", "files"]);
    assert_eq!(fs::read_to_string(folder.path().join("out/both")).unwrap(), "one\ntwo\n");
    store.run(&["load", "--quiet", "-i", folder.path().join("merged.tar").to_str().unwrap()]);
    let config: serde_json::Value = serde_json::from_str(&store.run(&["inspect", &built.images["merged"]])).unwrap();
    let layers = config[0]["RootFS"]["Layers"].as_array().unwrap().len();
    assert_eq!(layers, 4, "busybox, two parts and what was made of both: {config}");
    assert!(config[0]["Config"]["Env"].as_array().unwrap().contains(&"BASE=1".into()));
}
