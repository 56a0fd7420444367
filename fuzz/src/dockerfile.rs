//! Dockerfiles: reading them, their variables, and lowering.

use imgbuild::digest::{DiffId, Digest};
use imgbuild::frontend::diagnostic::{Diagnostic, Severity};
use imgbuild::frontend::dockerfile::{
    Lowered, Need, Options, Resolved, ResolvedGit, ResolvedHttp, ResolvedImage, lower as lower_file, parse,
};
use imgbuild::graph::Graph;
use imgbuild::oci::ImageConfig;

/// Reads a Dockerfile. There is a file or an error, never both, and errors point into the text.
pub fn dockerfile(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    let parsed = parse(text);
    assert_eq!(parsed.dockerfile.is_none(), !parsed.diagnostics.is_empty());
    check_places(text, &parsed.diagnostics);
}

/// Expands variables: the text is the value of an `ENV`.
pub fn expand(data: &[u8]) {
    let Some(text) = crate::text(data).filter(|text| !text.contains(['\n', '\r'])) else { return };
    let head = "FROM scratch\nENV a=value e= p=/usr/lib/libx.so.1 s=a*b*c long=aaaaaaaaaaaaaaaaaaaaaaaa\n";
    for escape in ["", "# escape=`\n"] {
        lower_all(&format!("{escape}{head}ENV x {text}\nLABEL y=\"{text}\"\nUSER {text}\n"));
    }
}

/// Reads and lowers a Dockerfile; whatever it wants to have looked up is found.
pub fn lower(data: &[u8]) {
    if let Some(text) = crate::text(data) {
        lower_all(text);
    }
}

fn lower_all(text: &str) {
    let Some(file) = parse(text).dockerfile else { return };
    let mut options = Options::new("Dockerfile", "linux/amd64".parse().expect("a platform"));
    options.all_stages = true;
    let mut resolved = Resolved::default();
    let mut graph = Graph::new();
    // Each round makes at least one more stage known.
    for _ in 0..file.stages.len() + 8 {
        let needs = match lower_file(&file, &options, &resolved, &mut graph) {
            Ok(Lowered::Needs(needs)) => needs,
            Ok(Lowered::Done(build)) => {
                check_places(text, &build.warnings);
                assert!(build.config.history.len() >= build.base_history);
                return;
            }
            Err(found) => {
                check_places(text, &found);
                assert!(found.iter().any(|one| one.severity == Severity::Error), "fails without an error");
                return;
            }
        };
        assert!(!needs.is_empty());
        for need in needs {
            match need {
                Need::Image { reference, platform, span } => {
                    check_place(text, &span);
                    let config = image(&reference, platform.os.clone(), platform.architecture.clone());
                    let found = ResolvedImage { reference: reference.clone(), config };
                    let before = resolved.images.insert((reference, platform), found);
                    assert!(before.is_none(), "asks twice for one image");
                }
                Need::Http { url, span } => {
                    check_place(text, &span);
                    let found = ResolvedHttp { digest: Digest::of(url.as_bytes()), modified: Some(0) };
                    assert!(resolved.http.insert(url, found).is_none(), "asks twice for one URL");
                }
                Need::Git { url, reference, span } => {
                    check_place(text, &span);
                    let found = ResolvedGit { commit: "0123456789abcdef".repeat(3)[..40].to_owned() };
                    let before = resolved.git.insert((url, reference), found);
                    assert!(before.is_none(), "asks twice for one commit");
                }
            }
        }
    }
    panic!("lowering never ends");
}

/// An image whose triggers depend on its name.
fn image(reference: &str, os: String, architecture: String) -> ImageConfig {
    let mut config = ImageConfig { os, architecture, ..ImageConfig::default() };
    config.config.env = vec!["PATH=/bin".into(), "EMPTY=".into(), "odd".into()];
    config.config.working_dir = "/w".into();
    if reference.contains("onbuild") {
        config.config.on_build = vec!["COPY . .".into(), "RUN make <<E\nx\nE".into(), format!("ENV R={reference}")];
    }
    if !reference.contains("empty") {
        config.rootfs.diff_ids = vec![DiffId::from_bytes([7; 32])];
    }
    config
}

fn check_places(text: &str, diagnostics: &[Diagnostic]) {
    diagnostics.iter().flat_map(|one| &one.annotations).for_each(|place| check_place(text, &place.span));
}

fn check_place(text: &str, span: &std::ops::Range<usize>) {
    assert!(text.get(span.clone()).is_some(), "{span:?} is no place in the text");
}
