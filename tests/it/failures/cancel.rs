//! Ctrl-C and its like, at every stage of a build.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{World, is_root, names, pause, wait_for_ready};
use crate::support::text;

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

/// What else it says, and its exit code.
fn end(mut child: Child, mut lines: impl Read) -> (i32, String) {
    let mut rest = Vec::new();
    lines.read_to_end(&mut rest).unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), text(&rest))
}

/// A step with children, grandchildren and a process that wants to go on in the background.
fn endless(world: &World) -> String {
    format!(
        "FROM busybox\nENV WORLD={}\nRUN sleep 1000 & (setsid sleep 1000 &) ; trap '' INT TERM; echo ready ; sleep 1000\n",
        world.mark()
    )
}

#[test]
fn during_a_command() {
    if !is_root() {
        return;
    }
    let world = World::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        world.dockerfile(&endless(&world));
        let mut child = world.start(&[]);
        let lines = wait_for_ready(&mut child);
        // The builder, the shell and what it started; the first process of the sandbox has no name here.
        assert!(world.processes().len() >= 4, "{:?}", world.processes());
        send(&child, signal);
        let (code, said) = end(child, lines);
        assert_eq!(code, 130, "{said}");
        assert!(said.contains("interrupted"), "{said}");
        assert!(!said.contains("failed"), "{said}");
        world.is_clean();
    }
    world.dockerfile("FROM busybox\nRUN true\n").succeeds(&[]);
}

#[test]
fn while_files_are_hashed() {
    let world = World::new();
    // Nobody would want to wait for the hash of so many zeros.
    let big = world.context().join("big");
    File::create(&big).unwrap().set_len(1 << 40).unwrap();
    world.dockerfile("FROM busybox\nCOPY big /\n");
    let child = world.start(&[]);
    let open = format!("/proc/{}/fd", child.id());
    while !names(open.as_ref()).iter().any(|fd| fs::read_link(format!("{open}/{fd}")).is_ok_and(|file| file == big)) {
        pause();
    }
    send(&child, Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    world.is_clean();
    File::create(&big).unwrap().set_len(10).unwrap();
    world.succeeds(&[]);
}

#[test]
fn while_the_layer_of_a_command_is_read() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.dockerfile("FROM busybox\nRUN truncate -s 1000G /big && echo ready ; true\n");
    let mut child = world.start(&[]);
    let lines = wait_for_ready(&mut child);
    // Its command ends by itself; then only the program is left.
    while world.processes().len() > 1 {
        pause();
    }
    send(&child, Signal::SIGINT);
    let (code, said) = end(child, lines);
    assert_eq!(code, 130, "{said}");
    world.is_clean();
    world.dockerfile("FROM busybox\nRUN truncate -s 1000 /big\n").succeeds(&[]);
}

#[test]
fn during_an_export() {
    let world = World::new();
    let noise: Vec<u8> = (0..16u32 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    world.file("noise", noise).dockerfile("FROM busybox\nCOPY noise /\n");
    let pipe = world.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for kind in ["tar", "oci", "docker"] {
        let child = world.start(&["-o", &format!("type={kind},dest=pipe")]);
        // It waits for us now, in the middle of the archive.
        let mut archive = File::open(&pipe).unwrap();
        archive.read_exact(&mut [0; 512]).unwrap();
        send(&child, Signal::SIGINT);
        let mut rest = Vec::new();
        archive.read_to_end(&mut rest).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{kind}: {}", text(&output.stderr));
        assert!(rest.len() < 60 << 20, "{kind}: it went on to the end");
        world.is_clean();
    }
    world.succeeds(&["-o", "type=tar,dest=whole.tar"]);
}

#[test]
fn while_standard_input_is_awaited() {
    let world = World::new();
    world.file("f", "x");
    for arguments in [&["build", "-"][..], &["build", "-f", "-", "context"]] {
        let mut command = world.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It takes what there is, and waits for more.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"FROM busybox\n").unwrap();
        let mut waiting = 1;
        while waiting > 0 {
            pause();
            waiting = rustix::io::ioctl_fionread(&stdin).unwrap();
        }
        send(&child, Signal::SIGINT);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        drop(stdin);
        world.is_clean();
    }
}

#[test]
fn the_second_time_at_once() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.dockerfile(&endless(&world));
    let mut child = world.start(&[]);
    let lines = wait_for_ready(&mut child);
    send(&child, Signal::SIGINT);
    send(&child, Signal::SIGTERM);
    assert_eq!(end(child, lines).0, 130);
    world.is_quiet();
    // Whoever ended so quickly did not tidy up; the next one does.
    world.dockerfile("FROM busybox\nRUN true\n").succeeds(&[]);
    world.is_clean();
}

#[test]
fn the_first_failure_stops_the_others() {
    if !is_root() {
        return;
    }
    let world = World::new();
    // The failing step fails once the others are running, which it learns from a cache mount that they share.
    let mount = "--mount=type=cache,target=/c";
    let long = format!("RUN {mount} touch /c/$NAME; (setsid sleep 1000 &); sleep 1000");
    let stage = |name: &str| format!("FROM busybox AS {name}\nENV WORLD={} NAME={name}\n{long}\n", world.mark());
    let failing = format!(
        "FROM busybox AS bad\nRUN {mount} while [ ! -e /c/a ] || [ ! -e /c/b ]; do :; done; echo gone wrong; exit 4\n"
    );
    let all = "FROM busybox\nCOPY --from=a / /\nCOPY --from=b / /\nCOPY --from=bad / /\n";
    world.dockerfile(&[stage("a"), stage("b"), failing, all.into()].concat());
    world.fails(&[], 1, &["failed with exit code 4", "gone wrong", "Dockerfile:8:1"]);
    world.dockerfile("FROM busybox\nRUN true\n").succeeds(&[]);
}
