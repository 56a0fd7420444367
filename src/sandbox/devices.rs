//! Which devices a step may open: a control group whose program lets only harmless ones through.
//!
//! A step may make any device node (its image may need one), as in Docker, but a node that it makes gives it no access.
//! All steps share one group (there is nothing in it but this rule), which stays only while somebody uses it. Where no
//! group can be made (no cgroup v2, not root), the sandbox mounts its file systems without devices instead.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::libc;

use crate::sandbox::cgroup;
use crate::sandbox::root::open_folder;

/// The group's name below that of this process. Its number changes with the rule: a group that another version has made is
/// kept as it is.
const NAME: &str = "imgbuild-steps-2";

/// Character devices that any step may use, as container runtimes have them: major and minor number. Not the console, which
/// is the machine's.
const HARMLESS: [(i32, i32); 7] = [
    (1, 3), // null
    (1, 5), // zero
    (1, 7), // full
    (1, 8), // random
    (1, 9), // urandom
    (5, 0), // tty
    (5, 2), // ptmx
];

/// The major number of pseudo-terminals.
const TERMINALS: i32 = 136;

/// The place of the group in the file system, if this machine has cgroup v2.
pub(super) fn place() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    cgroup::place::unified(&mounts, &own).map(|place| place.own.join(NAME))
}

/// Opens the group, made and given its rule if need be.
pub(super) fn open(place: &Path) -> io::Result<OwnedFd> {
    match fs::create_dir(place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let group = rustix::fs::open(
        place,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    watch(&group)?;
    Ok(group)
}

/// Gives a group its rule if it has none.
pub(super) fn watch(group: &OwnedFd) -> io::Result<()> {
    // Of two processes that do this at once, the second replaces the rule by the same.
    if has_rule(group)? { Ok(()) } else { attach(group, &load(&rule())?) }
}

/// Removes the group if no step of any process is in it.
pub(super) fn remove(place: &Path) {
    if open_folder(place).is_ok() {
        let _ = fs::remove_dir(place);
    }
}

/// One instruction of the kernel's virtual machine (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The rule, as a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`: 1 lets an access through, 0 refuses it.
fn rule() -> Vec<Instruction> {
    let op = |code, registers, offset, immediate| Instruction { code, registers, offset, immediate };
    let load = |to: u8, offset| op(0x61, to | 1 << 4, offset, 0);
    let mut program = vec![
        load(2, 0),             // r2 = what is wanted (upper half) and the kind of device
        op(0xbc, 0x23, 0, 0),   // r3 = r2
        op(0x74, 3, 0, 16),     // r3 >>= 16
        op(0x54, 2, 0, 0xffff), // r2 &= 0xffff
        load(4, 4),             // r4 = major
        load(5, 8),             // r5 = minor
    ];
    // What follows, backwards: jumps forward count the instructions that they skip.
    let tail_length = 2 + 2 * HARMLESS.len() as i16;
    let allow = |remaining: i16| remaining + 2;
    program.push(op(0x15, 3, allow(tail_length), 1)); // only mknod: allow
    program.push(op(0x55, 2, tail_length - 1, 2)); // no character device: refuse
    program.push(op(0x15, 4, allow(tail_length - 2), TERMINALS)); // allow
    for (index, &(major, minor)) in HARMLESS.iter().enumerate() {
        let remaining = 2 * (HARMLESS.len() - 1 - index) as i16;
        program.push(op(0x55, 4, 1, major));
        program.push(op(0x15, 5, allow(remaining), minor));
    }
    let (zero, one, exit) = (op(0xb7, 0, 0, 0), op(0xb7, 0, 0, 1), op(0x95, 0, 0, 0));
    program.extend([zero, exit, one, exit]);
    program
}

/// The head of `union bpf_attr` for the three commands that we use.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_QUERY: libc::c_long = 16;
const CGROUP_DEVICE_PROGRAM: u32 = 15;
const CGROUP_DEVICE: u32 = 6;

fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<i32> {
    // SAFETY: `T` is one of the structs above, laid out as the head of the kernel's union, and its size is told.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let mut attr = LoadAttr {
        program_type: CGROUP_DEVICE_PROGRAM,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
        ..LoadAttr::default()
    };
    attr.name[..8].copy_from_slice(b"imgbuild");
    let fd = bpf(BPF_PROG_LOAD, &mut attr)?;
    // SAFETY: the kernel has just made it for us (with close-on-exec).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn attach(group: &OwnedFd, program: &OwnedFd) -> io::Result<()> {
    let (target, program) = (group.as_raw_fd() as u32, program.as_raw_fd() as u32);
    bpf(BPF_PROG_ATTACH, &mut AttachAttr { target, program, kind: CGROUP_DEVICE, ..AttachAttr::default() }).map(drop)
}

fn has_rule(group: &OwnedFd) -> io::Result<bool> {
    let mut attr = QueryAttr { target: group.as_raw_fd() as u32, kind: CGROUP_DEVICE, ..QueryAttr::default() };
    match bpf(BPF_PROG_QUERY, &mut attr) {
        Ok(_) => Ok(attr.count > 0),
        // There are some, and no room was given for their numbers.
        Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers, by an interpreter of the few instructions that it has.
    fn run(program: &[Instruction], context: [i64; 3]) -> i64 {
        let (mut registers, mut at) = ([0i64; 16], 0usize);
        loop {
            let Instruction { code, registers: names, offset, immediate } = program[at];
            let (to, from, immediate) = (usize::from(names & 15), usize::from(names >> 4), i64::from(immediate));
            at += 1;
            match code {
                0x61 => registers[to] = context[offset as usize / 4],
                0xbc => registers[to] = registers[from],
                0x74 => registers[to] >>= immediate,
                0x54 => registers[to] &= immediate,
                0xb7 => registers[to] = immediate,
                0x15 if registers[to] == immediate => at += offset as usize,
                0x55 if registers[to] != immediate => at += offset as usize,
                0x15 | 0x55 => {}
                0x95 => return registers[0],
                _ => panic!("instruction {code:#x}"),
            }
        }
    }

    #[test]
    fn lets_only_harmless_devices_through() {
        let (mknod, read, write, block, char) = (1, 2, 4, 1, 2);
        let check = |access: i64, kind: i64, major: i64, minor: i64, expected: bool| {
            let answer = run(&rule(), [access << 16 | kind, major, minor]);
            assert_eq!(answer == 1, expected, "{access} {kind} {major}:{minor}");
        };
        check(mknod, block, 7, 0, true);
        check(mknod, char, 1, 1, true);
        check(read | write, char, 1, 3, true);
        check(read, char, 5, 2, true);
        check(read, char, 5, 1, false);
        check(read | write, char, 136, 4, true);
        check(read, char, 1, 1, false);
        check(read, char, 1, 11, false);
        check(read, block, 1, 3, false);
        check(read, block, 7, 0, false);
        check(mknod | read, block, 7, 0, false);
    }
}
