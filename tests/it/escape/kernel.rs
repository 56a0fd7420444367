//! What the kernel would do for a step: system calls, devices, `/proc` and `/sys`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::jails;

/// The calls that `attack calls` makes, and what the filter says to each.
const REFUSED: &str = "acct add_key bpf clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick \
     init_module io_uring_setup iopl ioperm kcmp kexec_file_load kexec_load keyctl mount mount_setattr move_mount \
     open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise quotactl reboot request_key \
     setdomainname sethostname setns settimeofday swapoff swapon syslog umount2 unshare unshare userfaultfd clone clone3 \
     socket(AF_VSOCK) remount";

#[test]
fn dangerous_system_calls_are_refused() {
    let elsewhere = ["iopl", "ioperm"];
    let calls = REFUSED.split(' ').filter(|call| cfg!(target_arch = "x86_64") || !elsewhere.contains(call));
    let answer = |call: &str| if call == "clone3" { "ENOSYS" } else { "EPERM" };
    let expected: String = calls.map(|call| format!("{call}: {}\n", answer(call))).collect();
    for jail in jails() {
        jail.check("", "/attack calls", &expected);
        // Also for a user of the image, and with the file handles that Shocker guesses.
        jail.check("", "/attack handle", "open by handle: EPERM\n");
        jail.build("FROM busybox\nCOPY --chmod=755 attack /attack\n", &["-t", "jail"]);
        assert_eq!(jail.run(&["run", "--rm", "-u", "1234:5", "jail", "/attack", "calls"]), expected, "{}", jail.name());
    }
}

#[test]
fn devices_are_out_of_reach() {
    let disk = fs::metadata(env!("CARGO_TARGET_TMPDIR")).unwrap().dev();
    let (major, minor) = (rustix::fs::major(disk), rustix::fs::minor(disk));
    let mounts = "--mount=type=cache,target=/cache --mount=type=tmpfs,target=/memory";
    for jail in jails() {
        let script = format!("/attack devices {major} {minor} / /dev /dev/shm /cache /memory /sys /proc");
        jail.check(mounts, &script, "end\n");
        jail.check(
            "",
            "ls -d /dev/mem /dev/kmsg /dev/console /dev/loop* /dev/sd* /dev/vd* 2> /dev/null | wc -l",
            "0\n",
        );
    }
}

#[test]
fn the_devices_of_a_step_are_not_those_of_the_machine() {
    let names = ["null", "zero", "full", "random", "urandom", "tty"];
    let look = || {
        names.map(|name| {
            fs::metadata(format!("/dev/{name}")).map(|it| (it.mode(), it.uid(), it.gid(), it.ctime_nsec())).unwrap()
        })
    };
    let before = look();
    for jail in jails() {
        let script = "for n in null zero full random urandom tty; do chmod 0 /dev/$n; chown 7:7 /dev/$n; touch /dev/$n; done; \
             for n in 0 1 2; do chmod 0 /proc/self/fd/$n; done; rm /dev/null /dev/zero; echo end";
        assert!(jail.step("", &format!("({script}) 2>&1 | tail -n 1"), &[]).ends_with("end\n"));
        assert_eq!(look(), before, "{}", jail.name());
        jail.run(&["run", "--rm", "busybox", "sh", "-c", script]);
        assert_eq!(look(), before, "{}", jail.name());
    }
}

#[test]
fn the_interior_of_the_kernel_is_hidden() {
    let hidden = "/proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/interrupts";
    for jail in jails() {
        // Nothing is read where a device stands for it, and where there is nothing.
        jail.check("", &format!("cat {hidden} 2> /dev/null | wc -c; ls /sys/firmware /proc/acpi /proc/scsi 2> /dev/null | grep -v : | grep -c ."), "0\n0\n");
        jail.check("", "head -c 1 /proc/kmsg 2> /dev/null | wc -c; dmesg 2> /dev/null | wc -c", "0\n0\n");
    }
}

#[test]
fn settings_of_the_kernel_cannot_be_written() {
    let files = "/proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/panic_on_oom /proc/sys/fs/binfmt_misc/register \
         /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_helper /sys/kernel/mm/transparent_hugepage/enabled \
         /sys/power/state /sys/fs/cgroup/release_agent /sys/fs/cgroup/cgroup.procs /sys/class/net/lo/mtu /proc/kcore /proc/mtrr \
         /proc/acpi/wakeup /proc/scsi/scsi";
    let pattern = fs::read("/proc/sys/kernel/core_pattern").unwrap();
    for jail in jails() {
        // What is covered by `/dev/null` can be opened, and nothing comes of it.
        jail.check("", &format!("/attack write {files} | grep -v -e kcore -e mtrr"), "end\n");
        jail.check(
            "",
            "for m in / /proc /proc/sys /sys /dev; do mount -o remount,rw $m 2> /dev/null && echo $m; umount -l $m 2> /dev/null && echo gone $m; \
             mount -t proc none /mnt 2> /dev/null && echo again; done; mkdir /sys/fs/cgroup/x 2> /dev/null && echo made; echo end",
            "end\n",
        );
    }
    assert_eq!(fs::read("/proc/sys/kernel/core_pattern").unwrap(), pattern);
}
