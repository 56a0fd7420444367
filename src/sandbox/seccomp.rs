//! The system call filter: what Docker's default profile refuses with Docker's default capabilities.
//!
//! Docker lists what is allowed. The kernel's system calls are finite, so the same is said more shortly, and checked
//! faster, by what is not: calls newer than this table are answered as by a kernel that has none ([`LAST`]), so that
//! programs fall back to what they did before. The filter is made anew for each process: it takes microseconds.
//!
//! It is installed without `no_new_privs`, so that set-user-ID programs work; that needs `CAP_SYS_ADMIN`.

use nix::libc::{self, c_long, sock_filter};
use rustix::io::{Errno, Result};

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// The last system call that this table was made for (`file_setattr`). From 424 on, numbers are the same everywhere.
const LAST: u32 = 469;

/// Flags of `clone` that make a namespace.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// Calls that programs must believe to be missing: the filter cannot see what `clone3` is asked for.
const MISSING: [u32; 1] = [libc::SYS_clone3 as u32];

/// Calls with the same number on every architecture that are refused.
const REFUSED_EVERYWHERE: [u32; 16] = [
    425, // io_uring_setup
    426, // io_uring_enter
    427, // io_uring_register
    428, // open_tree
    429, // move_mount
    430, // fsopen
    431, // fsconfig
    432, // fsmount
    433, // fspick
    438, // pidfd_getfd
    440, // process_madvise
    442, // mount_setattr
    443, // quotactl_fd
    450, // set_mempolicy_home_node
    457, // statmount
    467, // open_tree_attr
];

/// One instruction set that a process may use, and what it is refused.
struct Abi {
    /// `AUDIT_ARCH_*`.
    audit: u32,
    clone: u32,
    personality: u32,
    /// None where sockets are made by another call as well.
    socket: Option<u32>,
    refused: &'static [u32],
}

macro_rules! numbers {
    ($($name:ident)*) => { &[$(libc::$name as c_long as u32),*] };
}

#[cfg(target_arch = "x86_64")]
const ABIS: [Abi; 2] = [
    Abi {
        audit: 0xc000_003e,
        clone: libc::SYS_clone as u32,
        personality: libc::SYS_personality as u32,
        socket: Some(libc::SYS_socket as u32),
        refused: numbers! {
            SYS_acct SYS_add_key SYS_bpf SYS_clock_settime SYS_delete_module SYS_fanotify_init
            SYS_finit_module SYS_get_mempolicy SYS_init_module SYS_ioperm SYS_iopl SYS_kcmp
            SYS_kexec_file_load SYS_kexec_load SYS_keyctl SYS_lookup_dcookie SYS_mbind SYS_migrate_pages SYS_mount
            SYS_move_pages SYS_nfsservctl SYS_open_by_handle_at SYS_perf_event_open SYS_pivot_root
            SYS_quotactl SYS_reboot SYS_request_key SYS_set_mempolicy SYS_setdomainname SYS_sethostname SYS_setns
            SYS_settimeofday SYS_swapoff SYS_swapon SYS__sysctl SYS_sysfs SYS_syslog SYS_umount2 SYS_unshare SYS_uselib
            SYS_userfaultfd SYS_ustat SYS_vhangup SYS_vserver
        },
    },
    // i386, for images of that platform. In the kernel's order (arch/x86/entry/syscalls/syscall_32.tbl).
    Abi {
        audit: 0x4000_0003,
        clone: 120,
        personality: 136,
        socket: None,
        refused: &[
            21, 22, 25, 51, 52, 62, 79, 86, 87, 88, 101, 103, 110, 111, 113, 115, 121, 127, 128, 129, 130, 131, 135,
            149, 166, 167, 169, 217, 253, 264, 273, 274, 275, 276, 283, 286, 287, 288, 294, 310, 317, 336, 338, 342,
            346, 349, 350, 357, 374, 404,
        ],
    },
];

#[cfg(target_arch = "aarch64")]
const ABIS: [Abi; 2] = [
    Abi {
        audit: 0xc000_00b7,
        clone: libc::SYS_clone as u32,
        personality: libc::SYS_personality as u32,
        socket: Some(libc::SYS_socket as u32),
        refused: numbers! {
            SYS_acct SYS_add_key SYS_bpf SYS_clock_settime SYS_delete_module SYS_fanotify_init SYS_finit_module
            SYS_get_mempolicy SYS_init_module SYS_kcmp SYS_kexec_file_load SYS_kexec_load SYS_keyctl SYS_lookup_dcookie
            SYS_mbind SYS_migrate_pages SYS_mount SYS_move_pages SYS_nfsservctl SYS_open_by_handle_at
            SYS_perf_event_open SYS_pivot_root SYS_quotactl SYS_reboot SYS_request_key SYS_set_mempolicy
            SYS_setdomainname SYS_sethostname SYS_setns SYS_settimeofday SYS_swapoff SYS_swapon SYS_syslog SYS_umount2
            SYS_unshare SYS_userfaultfd SYS_vhangup
        },
    },
    // 32-bit Arm, for images of that platform. In the kernel's order (arch/arm/tools/syscall.tbl).
    Abi {
        audit: 0x4000_0028,
        clone: 120,
        personality: 136,
        socket: Some(281),
        refused: &[
            21, 22, 25, 51, 52, 62, 79, 86, 87, 88, 103, 111, 115, 121, 128, 129, 131, 135, 149, 169, 218, 249, 262,
            309, 310, 311, 313, 319, 320, 321, 337, 344, 347, 364, 367, 371, 375, 378, 379, 386, 388, 400, 401, 404,
        ],
    },
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the sandbox has no system call numbers for this architecture yet: add them here and in spawn.rs");

/// Offsets in `struct seccomp_data`; of arguments, the lower half (both architectures are little-endian).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn answer(action: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: action }
}

/// Goes on if the loaded value compares (`BPF_JEQ`, `BPF_JGE`, `BPF_JGT`, `BPF_JSET`) with `k`, else skips some instructions.
fn unless_skip(comparison: u32, k: u32, skip: usize) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | comparison | libc::BPF_K) as u16, jt: 0, jf: skip as u8, k }
}

/// Skips some instructions. Conditional jumps reach 255 of them only, this one any number.
fn jump(skip: usize) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JA) as u16, jt: 0, jf: 0, k: skip as u32 }
}

/// The filter as classic BPF.
pub fn filter() -> Vec<sock_filter> {
    let mut program = vec![load(ARCHITECTURE)];
    for abi in &ABIS {
        let body = abi_filter(abi);
        program.push(sock_filter { jt: 1, jf: 0, ..unless_skip(libc::BPF_JEQ, abi.audit, 0) });
        program.push(jump(body.len()));
        program.extend(body);
    }
    program.push(answer(REFUSE));
    program
}

/// What to answer for one system call: instructions that end with an answer.
type Rule = (u32, Vec<sock_filter>);

fn abi_filter(abi: &Abi) -> Vec<sock_filter> {
    let mut rules: Vec<Rule> = Vec::new();
    let namespaces = unless_skip(libc::BPF_JSET, NAMESPACES, 1);
    rules.push((abi.clone, vec![load(FIRST_ARGUMENT), namespaces, answer(REFUSE), answer(ALLOW)]));
    if let Some(socket) = abi.socket {
        let virtual_machines = unless_skip(libc::BPF_JEQ, libc::AF_VSOCK as u32, 1);
        rules.push((socket, vec![load(FIRST_ARGUMENT), virtual_machines, answer(REFUSE), answer(ALLOW)]));
    }
    // Linux or 32-bit Linux, either with the old uname, or a mere question.
    let mut personality = vec![load(FIRST_ARGUMENT)];
    for allowed in [0, 8, 0x20000, 0x20008, u32::MAX] {
        personality.extend([unless_skip(libc::BPF_JEQ, allowed, 1), answer(ALLOW)]);
    }
    personality.push(answer(REFUSE));
    rules.push((abi.personality, personality));
    rules.extend(MISSING.map(|number| (number, vec![answer(UNKNOWN)])));
    rules.extend(abi.refused.iter().chain(&REFUSED_EVERYWHERE).map(|&number| (number, vec![answer(REFUSE)])));
    rules.sort_by_key(|&(number, _)| number);

    let mut body = vec![load(NUMBER), unless_skip(libc::BPF_JGT, LAST, 1), answer(UNKNOWN)];
    body.extend(search(&rules));
    body
}

/// Finds the rule for the loaded number by halving: when a filter is installed, the kernel tries every system call on it.
fn search(rules: &[Rule]) -> Vec<sock_filter> {
    let mut program = Vec::new();
    if rules.len() <= 2 {
        for (number, then) in rules {
            program.push(unless_skip(libc::BPF_JEQ, *number, then.len()));
            program.extend_from_slice(then);
        }
        program.push(answer(ALLOW));
        return program;
    }
    let (lower, upper) = rules.split_at(rules.len() / 2);
    let below = search(lower);
    program.push(unless_skip(libc::BPF_JGE, upper[0].0, 1));
    program.push(jump(below.len()));
    program.extend(below);
    program.extend(search(upper));
    program
}

/// Puts this process and all that it will start under the filter.
pub(super) fn install() -> Result<()> {
    let mut program = filter();
    let description = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the description and the program live during the call, which copies both.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0 as libc::c_ulong, &raw const description)
    };
    if result == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(nix::Error::last_raw())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: an interpreter of the few instructions that we use.
    fn run(program: &[sock_filter], architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut accumulator, mut at) = (0, 0);
        loop {
            let instruction = program[at];
            let (code, k) = (u32::from(instruction.code), instruction.k);
            let (jt, jf) = (usize::from(instruction.jt), usize::from(instruction.jf));
            at += 1;
            let jump = |yes: bool| if yes { jt } else { jf };
            if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS {
                accumulator = [(NUMBER, number), (ARCHITECTURE, architecture), (FIRST_ARGUMENT, argument)]
                    .iter()
                    .find_map(|&(offset, value)| (offset == k).then_some(value))
                    .unwrap();
            } else if code == libc::BPF_RET | libc::BPF_K {
                return k;
            } else if code == libc::BPF_JMP | libc::BPF_JA {
                at += k as usize;
            } else if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K {
                at += jump(accumulator == k);
            } else if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K {
                at += jump(accumulator >= k);
            } else if code == libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K {
                at += jump(accumulator > k);
            } else if code == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K {
                at += jump(accumulator & k != 0);
            } else {
                panic!("instruction {code:#x}");
            }
        }
    }

    #[test]
    fn refuses_what_docker_refuses() {
        let program = filter();
        assert!(program.len() < 4096, "the kernel's limit");
        let native = ABIS[0].audit;
        let check = |number: c_long, argument: u32, expected: u32| {
            assert_eq!(run(&program, native, number as u32, argument), expected, "{number} {argument:#x}");
        };
        check(libc::SYS_read, 0, ALLOW);
        check(libc::SYS_chroot, 0, ALLOW);
        check(libc::SYS_ptrace, 0, ALLOW);
        check(libc::SYS_clone, libc::SIGCHLD as u32, ALLOW);
        check(libc::SYS_clone, libc::CLONE_NEWUSER as u32, REFUSE);
        check(libc::SYS_clone3, 0, UNKNOWN);
        check(libc::SYS_unshare, 0, REFUSE);
        check(libc::SYS_mount, 0, REFUSE);
        check(libc::SYS_open_tree, 0, REFUSE);
        check(libc::SYS_keyctl, 0, REFUSE);
        check(libc::SYS_bpf, 0, REFUSE);
        check(libc::SYS_socket, libc::AF_INET as u32, ALLOW);
        check(libc::SYS_socket, libc::AF_VSOCK as u32, REFUSE);
        check(libc::SYS_personality, u32::MAX, ALLOW);
        check(libc::SYS_personality, 0x4_0000, REFUSE);
        check(9999, 0, UNKNOWN);
        for abi in &ABIS {
            for &number in abi.refused.iter().chain(&REFUSED_EVERYWHERE) {
                assert_eq!(run(&program, abi.audit, number, 0), REFUSE, "{number}");
            }
        }
        // x32, or whatever else sets high bits.
        check(0x4000_0000, 0, UNKNOWN);
    }

    #[test]
    fn knows_the_32_bit_processes_too() {
        let program = filter();
        let check = |number: u32, argument: u32, expected: u32| {
            assert_eq!(run(&program, ABIS[1].audit, number, argument), expected, "{number}");
        };
        check(3, 0, ALLOW); // read
        check(21, 0, REFUSE); // mount
        check(120, 17, ALLOW); // clone
        check(120, libc::CLONE_NEWNS as u32, REFUSE);
        check(435, 0, UNKNOWN); // clone3
        check(430, 0, REFUSE); // fsopen
        assert_eq!(run(&program, 0x1234, 0, 0), REFUSE, "an unknown architecture");
    }
}
