//! Many processes in one store.

use std::fs;
use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{World, ended, is_root, names, pause, wait_for_ready};

/// A step that says `ready` and then waits until there is a file in its cache mount.
fn waiting(world: &World) {
    world.dockerfile(&format!(
        "FROM busybox\nENV WORLD={}\nRUN --mount=type=cache,target=/c echo ready; until [ -e /c/go ]; do usleep 2000; done; echo ran >/a\n",
        world.mark()
    ));
}

/// Lets the step end.
fn go(world: &World) {
    let mounts = world.store().join("mounts");
    let home: PathBuf = mounts.join(&names(&mounts)[0]);
    fs::write(home.join("0/go"), "").unwrap();
}

/// Reads what a build says until its step counts as running; it must not have begun by itself.
fn wait_for_step(child: &mut Child) -> impl BufRead + use<> {
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("[2/2] RUN") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended early: {said}");
    }
    lines
}

#[test]
fn equal_steps_run_once() {
    if !is_root() {
        return;
    }
    let world = World::new();
    waiting(&world);
    let mut first = world.start(&[]);
    let mut told = wait_for_ready(&mut first);
    let mut second = world.start(&[]);
    let mut lines = wait_for_step(&mut second);
    go(&world);
    let (mut of_first, mut of_second) = (String::new(), String::new());
    told.read_to_string(&mut of_first).unwrap();
    lines.read_to_string(&mut of_second).unwrap();
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success(), "{of_first}{of_second}");
    assert!(of_first.contains("1 step run"), "{of_first}");
    assert!(!of_second.contains("ready") && of_second.contains("CACHED"), "{of_second}");
    world.is_clean();
}

#[test]
fn the_others_take_over_from_one_that_dies() {
    if !is_root() {
        return;
    }
    let world = World::new();
    waiting(&world);
    let mut first = world.start(&[]);
    let told = wait_for_ready(&mut first);
    let mut second = world.start(&[]);
    let mut lines = wait_for_step(&mut second);
    first.kill().unwrap();
    first.wait().unwrap();
    drop(told);
    let mut said = String::new();
    while !said.contains("ready") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended early: {said}");
    }
    go(&world);
    lines.read_to_string(&mut said).unwrap();
    assert!(second.wait().unwrap().success(), "{said}");
    world.is_clean();
}

/// Of eight that want the same step, the one that runs it is killed, and one of those that wait.
#[test]
fn whoever_waits_may_die_as_well() {
    if !is_root() {
        return;
    }
    let world = World::new();
    waiting(&world);
    let mut first = world.start(&[]);
    let told = wait_for_ready(&mut first);
    let mut others: Vec<Child> = (0..7).map(|_| world.start(&[])).collect();
    let readers: Vec<_> = others.iter_mut().map(wait_for_step).collect();
    let mut second = others.remove(3);
    for child in [&mut second, &mut first] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    drop(told);
    // The cache mount is there by now, whoever runs the step next.
    go(&world);
    let mut said: Vec<String> = Vec::new();
    for mut lines in readers {
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        said.push(rest);
    }
    assert!(others.iter_mut().all(|child| child.wait().unwrap().success()), "{said:?}");
    let ran = said.iter().filter(|text| text.contains("1 step run")).count();
    assert_eq!(ran, 1, "{said:?}");
    world.is_clean();
}

/// Eight builds that share some of their steps, twice each, and somebody who throws the cache away all the time.
#[test]
fn builds_beside_prune() {
    if !is_root() {
        return;
    }
    let world = World::new();
    for number in 0..8 {
        world.file(
            &format!("Dockerfile.{number}"),
            format!(
                "FROM busybox AS one\nRUN mkdir /d && cp /bin/busybox /d\nFROM one AS two\nRUN echo {0} >/d/half\n\
                 FROM busybox\nCOPY --from=two /d /d\nCOPY f /f\nRUN echo {number} >/own\n",
                number / 4
            ),
        );
    }
    world.file("f", vec![b'x'; 100_000]);
    let build = |number: usize| {
        let file = format!("context/Dockerfile.{number}");
        world.succeeds(&["-f", &file, "-t", &format!("image-{number}")])
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let prune = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let pruned = ended(&mut world.command(&["prune", "-f", "--wait", "--all", "cache"]));
                assert_eq!(pruned.code, 0, "{}", pruned.err);
                pause();
            }
        });
        let builds: Vec<_> = (0..8)
            .map(|number| {
                let build = &build;
                scope.spawn(move || [build(number), build(number)])
            })
            .collect();
        let results: Vec<_> = builds.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        prune.join().unwrap();
        for digests in results {
            let [first, second] = digests.unwrap();
            assert_eq!(first, second);
        }
    });
    world.is_clean();
    let checked = ended(&mut world.command(&["fsck", "--deep"]));
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    let listed = ended(&mut world.command(&["images"])).out;
    assert!((0..8).all(|number| listed.contains(&format!("image-{number}"))), "{listed}");
}
