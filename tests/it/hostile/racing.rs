//! A context that changes while it is read: files that grow, shrink, vanish, and become folders and links.
//!
//! A build that says that it succeeded has files each of which is whole: one of its states, and none in between. What it
//! recorded is true, so that a build after the race comes to what a fresh store comes to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::doors::World;
use crate::support::put;

/// How many builds are raced.
const BUILDS: usize = 24;

/// Changes files without end, until it is told to stop.
fn change(folder: &Path, stop: &AtomicBool) {
    let path = |name: &str| folder.join(name);
    let mut turn = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let byte = [b'a' + (turn % 26) as u8];
        // Written in place, in a size that differs each time.
        let _ = fs::write(path("d/grows"), byte.repeat(turn % 40_000));
        let _ = fs::File::options()
            .write(true)
            .open(path("d/shrinks"))
            .and_then(|file| file.set_len((turn % 7 * 100_000) as u64));
        // Replaced as a whole.
        let _ = fs::write(path("new"), byte.repeat(30_000)).and_then(|()| fs::rename(path("new"), path("d/replaced")));
        let _ = fs::remove_file(path("d/vanishes"));
        let _ = fs::write(path("d/vanishes"), byte.repeat(50));
        // One thing, and another.
        let _ = fs::remove_file(path("d/turns"));
        match turn % 4 {
            0 => drop(fs::create_dir(path("d/turns")).and_then(|()| fs::write(path("d/turns/f"), byte))),
            1 => drop(symlink("/etc/passwd", path("d/turns"))),
            2 => drop(nix::unistd::mkfifo(&path("d/turns"), nix::sys::stat::Mode::S_IRWXU)),
            _ => drop(fs::write(path("d/turns"), byte.repeat(1000))),
        }
        let _ = fs::remove_dir_all(path("d/turns"));
        // A folder that becomes a link that leads out, and a folder again.
        let _ = fs::rename(path("d/folder"), path("folder")).and_then(|()| symlink("/etc", path("d/folder")));
        let _ = fs::remove_file(path("d/folder")).and_then(|()| fs::rename(path("folder"), path("d/folder")));
    }
}

#[test]
fn a_context_that_changes() {
    for world in World::each() {
        let context = world.path("context");
        for name in ["d/grows", "d/shrinks", "d/replaced", "d/vanishes", "d/folder/f"] {
            put(&context, name, "start");
        }
        put(&context, "d/large", vec![b'l'; 20 << 20]);
        put(&context, "Dockerfile", "FROM scratch\nCOPY d /d\nADD d/repl* /\n");
        let arguments = ["build", "-q", "--no-lock", "-o", "type=tar,dest=-", "../context"];
        let stop = AtomicBool::new(false);
        let (mut whole, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| change(&context, &stop));
            for _ in 0..BUILDS {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run(&arguments, b"")));
                let Ok(ended) = ended else {
                    stop.store(true, Ordering::Relaxed);
                    panic!("a build ended badly");
                };
                if ended.code == 0 {
                    whole += 1;
                    check(&ended.out, &stop);
                } else {
                    refused += 1;
                    let told = ended.err.contains("d/");
                    if ended.code != 1 || !told {
                        stop.store(true, Ordering::Relaxed);
                        panic!("{}", ended.err);
                    }
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        println!("{BUILDS} builds raced {}: {whole} came to something, {refused} were refused", world.name());
        world.is_sound();
        // Nothing of it was remembered wrongly.
        let archive = |world: &World, from: &Path| {
            let out = world.path("out");
            fs::create_dir_all(&out).unwrap();
            world.give(&out);
            let to = format!("type=oci,dest={}", out.join("image.tar").display());
            let ended = world.run(&["build", "-q", "--no-lock", "-o", &to, from.to_str().unwrap()], b"");
            assert_eq!(ended.code, 0, "{}", ended.err);
            fs::read(out.join("image.tar")).unwrap()
        };
        let raced = archive(&world, &context);
        let fresh = archive(&World::new(), &context);
        assert!(raced == fresh, "a store that was raced comes to something else than a fresh one");
        world.is_untouched("racing");
    }
}

/// Every file of a tar is as long as its header says, and what the writer wrote in place is in one of its states.
fn check(tar: &[u8], stop: &AtomicBool) {
    let mut archive = ::tar::Archive::new(tar);
    let mut wrong = None;
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let (size, name) = (entry.size(), entry.path().unwrap().into_owned());
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        let one = bytes.iter().all(|byte| *byte == bytes[0]);
        // It is replaced as a whole, so it is never anything in between.
        if bytes.len() as u64 != size || (name.ends_with("replaced") && !one && bytes != b"start") {
            wrong = Some(format!("{} is {} bytes of {size}", name.display(), bytes.len()));
        }
    }
    if let Some(wrong) = wrong {
        stop.store(true, Ordering::Relaxed);
        panic!("{wrong}");
    }
}
