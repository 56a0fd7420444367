//! The program is killed, without any chance to tidy up.

use std::time::Instant;

use super::{World, ended, is_root, pause, wait_for_ready};

/// In how many places a build is cut off.
const MOMENTS: u32 = 30;

#[test]
fn at_any_moment() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let noise: Vec<u8> = (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    world.file("noise", &noise).file("d/f", "x").dockerfile(&format!(
        "FROM busybox AS one\nENV WORLD={}\nRUN mkdir /d && cp /bin/busybox /d/ && ln /d/busybox /d/again\n\
         FROM one AS two\nCOPY noise d /e/\n\
         FROM busybox\nCOPY --from=one /d /d\nCOPY --from=two /e /e\nRUN (sleep 1000 &); rm /e/f; mv /d /g\n",
        world.mark()
    ));
    let started = Instant::now();
    let digest = world.succeeds(&["-t", "a"]);
    let whole = started.elapsed();
    let mut store = World::new();
    for moment in 0..MOMENTS {
        // Where exactly it is cut off does not matter, only that it is somewhere else each time. A new store has nothing
        // yet, the others have what was made before.
        if moment % 4 == 0 {
            store = World::new();
            for path in ["noise", "d/f", "Dockerfile"] {
                store.file(path, std::fs::read(world.context().join(path)).unwrap());
            }
        }
        let mut child = store.start(&["-t", "a", "--no-cache"]);
        let until = Instant::now() + whole * moment / MOMENTS;
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            pause();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        store.is_quiet();
        let listed = ended(&mut store.command(&["images"]));
        assert_eq!(listed.code, 0, "{}", listed.err);
        assert_eq!(store.succeeds(&["-t", "a"]), digest, "cut off after {moment}/{MOMENTS} of {whole:?}");
        store.is_clean();
    }
}

/// A process that changed its user is no longer told of the builder's death by the kernel.
#[test]
fn while_a_set_user_id_program_runs() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let mark = world.mark();
    for run in [
        // Executed by another user, it becomes root.
        format!(
            "FROM busybox\nRUN cp /bin/busybox /busybox && chmod 4755 /busybox\nUSER 1000\nENV WORLD={mark}\n\
                 RUN [\"/busybox\", \"sh\", \"-c\", \"echo ready ; exec sleep 1000\"]\n"
        ),
        // It gives root up by itself, as `su` does.
        format!(
            "FROM busybox\nENV WORLD={mark}\nRUN [\"su\", \"-s\", \"/bin/sh\", \"nobody\", \"-c\", \"echo ready ; exec sleep 1000\"]\n"
        ),
    ] {
        world.dockerfile(&run);
        let mut child = world.start(&[]);
        drop(wait_for_ready(&mut child));
        child.kill().unwrap();
        child.wait().unwrap();
        world.is_quiet();
        world.dockerfile("FROM busybox\nRUN true\n").succeeds(&[]);
        world.is_clean();
    }
}
