//! A build as a small Rust program: a tool that is compiled in one image and put into another.
//!
//! `cargo run --example program -- build` builds it; `-- build --print` shows what it comes to, `-- toml` the same as a build file.

use imgbuild::dsl::{Files, Image, Mount, Project, Run, Target};

/// Where the tool is made. The cache outlives the build; the source is only borrowed.
fn compiled() -> Image {
    let compile = Run::new("sh /src/compile.sh /src/tool.txt > /tool && chmod 755 /tool")
        .mount(Mount::bind("src", "/src"))
        .mount(Mount::cache("/root/.cache"))
        .network("none");
    Image::from("busybox").run(compile).named("compiled")
}

/// What is shipped: the tool, and as many words as the caller likes.
fn shipped(words: &[&str]) -> Image {
    let image = Image::from("busybox").copy_from(&compiled(), "/tool", "/usr/bin/tool");
    let image = image.copy(Files::new("src/LICENSE", "/usr/share/tool/"));
    words
        .iter()
        .fold(image, |image, word| image.write(&format!("/usr/share/tool/{word}"), format!("{word}\n")))
        .entrypoint(["tool"])
}

fn project() -> Project {
    let image = shipped(&["one", "two", "three"]);
    Project::new()
        .root(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/program"))
        .target(Target::new("tool", &image).tag("program/tool:1").description("the tool and its words"))
        .target(
            Target::new("words", &Image::scratch().copy_from("target:tool", "/usr/share/tool/", "/"))
                .output("type=local,dest=out"),
        )
        .group("default", ["tool", "words"])
}

fn main() -> std::process::ExitCode {
    imgbuild::dsl::main(project)
}
