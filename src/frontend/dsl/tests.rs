//! Projects in, the build file that says the same out.

use super::*;

#[track_caller]
fn check(project: &Project, expected: &str) {
    assert_eq!(project.to_toml().unwrap().trim_start_matches("# Written by a program.\n").trim(), expected.trim());
}

#[test]
fn images_become_stages() {
    let base = Image::from("busybox").workdir("/src");
    let built = base.clone().copy(("src", ".")).run(Run::new("make").mount(Mount::cache("/c"))).named("built");
    let app = Image::scratch()
        .copy(Files::new("/src/app", "/app").from(&built).chmod("755"))
        .copy_from(&built, "/src/doc", "/doc/")
        .env("A", "${A:-1} \"$B\"")
        .arg("V", "1")
        .entrypoint(["/app"]);
    let target = Target::new("app", &app).tag("app:1").description("the app").arg("V", "2").scrub(["apt"]);
    check(
        &Project::new().target(target).group("default", ["app"]),
        r#"
[group]
default = ["app"]

[target.app]
description = "the app"
reproducible = { scrub = ["apt"] }
tags = ["app:1"]
args = { V = "2" }
from = "scratch"
steps = [
    { copy = ["/src/app"], to = "/app", from = "built", chmod = "755" },
    { copy = ["/src/doc"], to = "/doc/", from = "built" },
    { env = { A = "$${A:-1} \"$B\"" } },
    { arg = [{ V = "1" }] },
    { entrypoint = ["/app"] },
]

[target.app.stages.built]
from = "busybox"
steps = [
    { workdir = "/src" },
    { copy = ["src"], to = "." },
    { run = "make", mounts = [{ type = "cache", target = "/c" }] },
]
"#,
    );
}

#[test]
fn used_images_come_first_and_once() {
    let a = Image::from("busybox").run("a").named("a");
    let b = Image::on(&a).run("b").named("b");
    let merged = Image::merge([&a, &Image::diff(&a, &b).named("d")]).named("m");
    let text = Project::new().target(Target::new("t", &Image::on(&merged).copy_from(&b, "/x", "/"))).to_toml().unwrap();
    let stages: Vec<&str> = text.lines().filter(|line| line.starts_with("[target.t.stages.")).collect();
    assert_eq!(stages, ["a", "b", "d", "m"].map(|name| format!("[target.t.stages.{name}]")));
    assert!(
        text.contains("from = { merge = [\"a\", \"d\"] }\n") && text.contains("from = { diff = [\"a\", \"b\"] }\n")
    );
}

#[test]
fn refuses_one_name_for_two_things() {
    let project = |image: &Image| Project::new().target(Target::new("t", image));
    let [one, two] = ["1", "2"].map(|command| Image::scratch().run(command).named("same"));
    let both = Image::scratch().copy_from(&one, "/a", "/").copy_from(&two, "/b", "/");
    let message = "two different images of the target `t` are called `same`: give one of them another name";
    assert_eq!(project(&both).to_toml().unwrap_err().to_string(), message);
    let twice = project(&one).target(Target::new("t", &two));
    assert_eq!(twice.to_toml(), Err(Error::Target("t".into())));
}
