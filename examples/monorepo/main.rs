//! A monorepo as a Rust program: a base, a tool, and services for several languages, built from busybox alone.
//!
//! `cargo run --example monorepo -- build` builds all of it, `-- build web-en --print` shows what one target comes to,
//! `-- build --list` what there is, and `-- toml` writes the build file that says the same.

use imgbuild::dsl::{Files, Health, Image, Mount, Project, Run, Target};

/// The services.
const SERVICES: [&str; 4] = ["web", "api", "mail", "search"];
/// The languages that each service is built for.
const LANGUAGES: [&str; 3] = ["de", "en", "fr"];

/// What all services stand on.
fn base() -> Image {
    Image::from("busybox")
        .write("/etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n")
        .write("/etc/motd", "one of the services of the shop\n")
        .label("org.opencontainers.image.vendor", "Example")
}

/// A program for which a compiler would be needed; here it is a script that a script makes.
fn greeter() -> Image {
    let compile = Run::new("sh /src/compile.sh > /greeter && chmod 755 /greeter")
        .mount(Mount::bind(".", "/src"))
        .mount(Mount::cache("/root/.cache"))
        .network("none");
    Image::from("busybox").run(compile).named("greeter")
}

/// A service for a language.
fn service(name: &str, language: &str) -> Image {
    Image::target("base")
        .copy_from("target:greeter", "/greeter", "/usr/bin/greeter")
        .copy(Files::new(name, "/srv/").chown("1000:1000"))
        .env("LANGUAGE", language)
        .run(format!("greeter {name} > /greeting"))
        .user("app")
        .workdir("/srv")
        .expose("8080")
        .healthcheck(Health::new(["test", "-e", "/greeting"]).interval("30s").retries(3))
        .entrypoint(["cat", "/greeting"])
}

fn project() -> Project {
    let mut project = Project::new()
        .root(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/monorepo"))
        .target(Target::new("base", &base()).description("what all services stand on"))
        .target(
            Target::new("greeter", &greeter()).context("tools/greeter").description("the tool that writes greetings"),
        );
    for name in SERVICES {
        let mut of_service = Vec::new();
        for language in LANGUAGES {
            let target = format!("{name}-{language}");
            let image = service(name, language);
            project =
                project.target(Target::new(&target, &image).context("services").tag(format!("shop/{name}:{language}")));
            of_service.push(target);
        }
        project = project.group(name, of_service);
    }
    // A root file system of everything, to look at.
    let greetings = SERVICES.iter().fold(Image::scratch(), |image, name| {
        image.copy_from(format!("target:{name}-en"), "/greeting", &format!("/{name}"))
    });
    project
        .target(Target::new("greetings", &greetings).output("type=local,dest=out/greetings"))
        .group("default", SERVICES)
}

fn main() -> std::process::ExitCode {
    imgbuild::dsl::main(project)
}
