//! The lockfile's commands with images that are in a registry.

use std::fs;

use super::context;
use super::server::Registry;
use crate::support::{Store, outcome, scratch};

#[test]
fn what_is_pinned_is_fetched_and_renewed() {
    let (registry, publisher) = (Registry::open(), Store::with_busybox());
    let base = format!("{}/base:1", registry.host());
    publisher.run(&["copy", "store:busybox", &base]);
    let folder = scratch();
    let context = context(folder.path(), &format!("FROM {base}\nRUN cp /hello /again || echo hello > /again\n"));
    let run = |store: &Store, arguments: &[&str]| {
        let (code, out, err) = outcome(store.command().current_dir(&context).args(arguments));
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out + &err
    };
    let store = Store::new();
    assert!(run(&store, &["lock"]).contains(&format!("    Adding {base} (linux/amd64)\n")));
    let lock = fs::read_to_string(context.join("Dockerfile.lock")).unwrap();
    let first = lock.split("manifest = \"").nth(1).unwrap()[..71].to_owned();
    assert!(run(&store, &["fetch", "--locked"]).ends_with("In the store: 1 image, 0 files, 0 checkouts\n"));

    // The name moves: only an update follows it.
    let moved = scratch();
    let own = super::context(moved.path(), "FROM busybox\nENV MOVED=1\n");
    publisher.build(&own, &["--push", "-t", &base]);
    assert_eq!(run(&store, &["lock"]), "");
    let said = run(&store, &["update", "--dry-run"]);
    assert!(said.contains(&format!("  Updating {base} (linux/amd64): {}… -> sha256:", &first[..19])), "{said}");
    run(&store, &["update"]);
    assert!(!fs::read_to_string(context.join("Dockerfile.lock")).unwrap().contains(&first));
    // A store that has never seen it gets it by its digest.
    run(&Store::new(), &["update", &base, "--precise", &first]);
    assert_eq!(fs::read_to_string(context.join("Dockerfile.lock")).unwrap(), lock);

    drop(registry);
    run(&store, &["build", "--frozen", "."]);
    assert!(run(&store, &["verify", "--frozen", "-q"]).contains("the same twice"));
}
