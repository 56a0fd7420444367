//! Files that we print as well as read, and what a registry or an archive says of an image.

use std::collections::BTreeMap;

use imgbuild::frontend::buildfile;
use imgbuild::fstree::Toc;
use imgbuild::lockfile::Lockfile;
use imgbuild::oci::{Document, ImageConfig, Platform, Reference};

/// A lockfile: what is printed parses to the same, and prints the same.
pub fn lockfile(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    match Lockfile::parse(text) {
        Ok(lock) => {
            let printed = lock.to_string();
            let again = Lockfile::parse(&printed).expect("what is printed parses");
            assert_eq!(again, lock);
            assert_eq!(again.to_string(), printed);
            assert!(Lockfile::diff(&lock, &again).is_empty());
        }
        Err(error) => assert!(text.get(error.span.clone()).is_some(), "{:?} is no place in the text", error.span),
    }
}

/// A build file: each of its targets and groups is resolved.
pub fn buildfile(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    let check = |diagnostics: &[imgbuild::frontend::diagnostic::Diagnostic]| {
        for place in diagnostics.iter().flat_map(|one| &one.annotations) {
            assert!(text.get(place.span.clone()).is_some(), "{:?} is no place in the text", place.span);
        }
    };
    let file = match buildfile::parse(text) {
        Ok(file) => file,
        Err(found) => {
            assert!(!found.is_empty());
            return check(&found);
        }
    };
    let environment: BTreeMap<String, String> = [("A".to_owned(), "1".to_owned())].into();
    let overrides: Vec<_> =
        ["*.args.A=b", "*.platform=linux/arm64"].iter().filter_map(|set| set.parse().ok()).collect();
    let names: Vec<String> = file.targets().map(str::to_owned).collect();
    let groups = file.groups().iter().map(|group| group.name.clone());
    let all: Vec<String> = names.iter().cloned().chain(groups).take(32).collect();
    for wanted in all.iter().map(std::slice::from_ref).chain([&[][..], &all]) {
        for overrides in [&[][..], &overrides] {
            match buildfile::resolve(&file, wanted, &environment, overrides) {
                Err(buildfile::Error::File(found)) => check(&found),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// References and platforms: what is printed means the same.
pub fn reference(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    if let Ok(reference) = Reference::parse(text) {
        for form in [reference.to_string(), reference.familiar()] {
            assert_eq!(Reference::parse(&form).as_ref(), Ok(&reference), "{form}");
        }
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse().as_ref(), Ok(&platform));
        assert_eq!(platform.rank(&platform), Some(0));
    }
}

/// Manifests, indexes and configurations: what is written reads the same.
pub fn oci(data: &[u8]) {
    if let Ok(document) = Document::parse(data) {
        let json = match &document {
            Document::Manifest(manifest) => manifest.to_json(),
            Document::Index(index) => index.to_json(),
        };
        document.media_type();
        assert_eq!(Document::parse(&json).expect("what is written reads"), document);
        if let Document::Index(index) = &document {
            let wanted = "linux/arm64".parse().expect("a platform");
            assert!(index.candidates(&wanted).len() <= index.manifests.len());
        }
    }
    if let Ok(config) = ImageConfig::parse(data) {
        assert_eq!(ImageConfig::parse(&config.to_json()).expect("what is written reads"), config);
        config.env("PATH");
    }
}

/// A table of contents: the encoding is canonical, so whatever decodes is what would be encoded.
pub fn toc(data: &[u8]) {
    if let Ok(toc) = Toc::decode(data) {
        assert_eq!(toc.encode(), data, "another encoding of the same table of contents");
        for entry in toc.entries() {
            assert_eq!(toc.get(&entry.path), Some(entry));
        }
    }
}
