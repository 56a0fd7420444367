//! Docker's build files: what they are converted to means the same.

use std::collections::BTreeMap;

use imgbuild::frontend::buildfile::foreign::{Source, Sources, Surroundings, read, toml};
use imgbuild::frontend::buildfile::{self, Plan};
use imgbuild::frontend::diagnostic::Diagnostic;

/// `docker-bake.hcl`.
pub fn hcl(data: &[u8]) {
    check("docker-bake.hcl", data);
}

/// `docker-bake.json`.
pub fn bakejson(data: &[u8]) {
    check("docker-bake.json", data);
}

/// `compose.yaml`.
pub fn compose(data: &[u8]) {
    check("compose.yaml", data);
}

fn check(name: &str, data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    let environment: BTreeMap<String, String> = [("A".to_owned(), "1".to_owned())].into();
    let variable = |name: &str| environment.get(name).cloned();
    let dotenv = Some("B=2\n".to_owned());
    let surroundings = Surroundings { variable: &variable, dotenv, platform: "linux/amd64".into(), epoch: 0 };
    let sources = Sources::new(vec![Source { name: name.into(), text: text.into() }]);
    let in_text = |list: &[Diagnostic]| {
        for place in list.iter().flat_map(|one| &one.annotations) {
            assert!(text.get(place.span.clone()).is_some(), "{:?} is no place in the text", place.span);
        }
    };
    let found = match read(&sources, &surroundings) {
        Ok(found) => found,
        Err(broken) => return in_text(&broken.list),
    };
    let names: Vec<String> = found.file.targets().take(16).map(str::to_owned).collect();
    let plan = match buildfile::resolve(&found.file, &names, &environment, &[]) {
        Ok(plan) => plan,
        Err(buildfile::Error::File(list)) => return in_text(&list),
        Err(_) => return,
    };
    let written = toml(&found, name);
    let again = buildfile::parse(&written).unwrap_or_else(|list| panic!("{list:?}\n{written}"));
    let again = buildfile::resolve(&again, &names, &environment, &[]).expect("what is written resolves");
    let bare = |plan: Plan| Plan { warnings: Vec::new(), ..plan };
    assert_eq!(bare(again), bare(plan), "{written}");
}
