//! What every step finds: `/proc`, `/dev`, `/sys`, with the kernel's interior hidden as container runtimes hide it.
//!
//! Device nodes are made anew where that is possible. Those of the machine, bound one by one, are shown elsewhere, such as
//! in a user namespace; then read-only, which for a device means that its owner and its mode stay as they are.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::MountAttrFlags;

use crate::sandbox::error::Failure;
use crate::sandbox::path;
use crate::sandbox::spec::Spec;
use crate::sandbox::sys::{self, NOSUID_NODEV};

/// Devices that can do no harm, with their numbers.
const DEVICES: [(&str, (u32, u32)); 6] =
    [("null", NULL), ("zero", (1, 5)), ("full", (1, 7)), ("random", (1, 8)), ("urandom", (1, 9)), ("tty", (5, 0))];
/// The number of `/dev/null`.
const NULL: (u32, u32) = (1, 3);

/// Links in `/dev`.
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
    ("/proc/kcore", "core"),
];

/// Hidden: folders behind an empty one, files behind `/dev/null`. Some exist only on some kernels.
const MASKED: [&str; 12] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/devices/virtual/powercap",
    "sys/firmware",
];

/// May be read only.
const READONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

const PROC: MountAttrFlags =
    MountAttrFlags::from_bits_retain(NOSUID_NODEV.bits() | MountAttrFlags::MOUNT_ATTR_NOEXEC.bits());
const READONLY_PROC: MountAttrFlags =
    MountAttrFlags::from_bits_retain(PROC.bits() | MountAttrFlags::MOUNT_ATTR_RDONLY.bits());

/// Mounts all of it on the root, whose mount points exist.
///
/// With `nodev`, no device that the process makes can be opened. `shm_size` is that of `/dev/shm` in bytes.
pub(super) fn mount(root: BorrowedFd<'_>, spec: &Spec, nodev: bool, shm_size: u64) -> std::result::Result<(), Failure> {
    let at = |action: &'static str, path: &'static str| move |errno| Failure::new(action, path, errno);
    let target = |path: &'static str| path::open(root, path.as_bytes()).map_err(at("find the mount point", path));

    let proc = sys::new_mount(c"proc", &[], PROC).map_err(at("mount", "/proc"))?;
    sys::attach(&proc, target("/proc")?.as_fd()).map_err(at("mount", "/proc"))?;
    let sys = mount_sys(spec).map_err(at("mount", "/sys"))?;
    sys::attach(&sys, target("/sys")?.as_fd()).map_err(at("mount", "/sys"))?;

    let options = [("mode", "0755"), ("size", "64m")];
    let attributes = if nodev { NOSUID_NODEV } else { MountAttrFlags::MOUNT_ATTR_NOSUID };
    let dev = sys::new_mount(c"tmpfs", &options, attributes).map_err(at("mount", "/dev"))?;
    sys::attach(&dev, target("/dev")?.as_fd()).map_err(at("mount", "/dev"))?;
    fill_dev(dev.as_fd(), spec, nodev, shm_size)?;
    own_null(dev.as_fd()).map_err(at("open", "/dev/null"))?;

    if !spec.privileged {
        hide(root, dev.as_fd())?;
    }
    Ok(())
}

fn mount_sys(spec: &Spec) -> Result<OwnedFd> {
    let attributes = if spec.privileged { PROC } else { READONLY_PROC };
    match sys::new_mount(c"sysfs", &[], attributes) {
        // In a user namespace whose network is the host's: what the host has, but read-only.
        Err(Errno::PERM) => {
            let host = super::root::open_folder("/sys".as_ref())?;
            let copy = sys::clone_mount(&host, true)?;
            sys::add_mount_attributes(&copy, READONLY_PROC, true)?;
            Ok(copy)
        }
        result => result,
    }
}

fn fill_dev(dev: BorrowedFd<'_>, spec: &Spec, nodev: bool, shm_size: u64) -> std::result::Result<(), Failure> {
    let failed = |name: &str, errno: Errno| Failure::new("make the device", format!("/dev/{name}"), errno);
    for (name, number) in DEVICES {
        let made = if nodev { Err(Errno::PERM) } else { make_device(dev, name, number) };
        let made = match made {
            // No user namespace may make devices.
            Err(Errno::PERM) => bind_device(dev, name, MountAttrFlags::MOUNT_ATTR_RDONLY),
            made => made,
        };
        made.map_err(|errno| failed(name, errno))?;
    }
    if spec.privileged {
        bind_other_devices(dev).map_err(|errno| failed("", errno))?;
    }
    for (to, name) in LINKS {
        rustix::fs::symlinkat(to, dev, name).map_err(|errno| failed(name, errno))?;
    }
    let shm_size = shm_size.to_string();
    let shm = [("mode", "1777"), ("size", shm_size.as_str())];
    let no_exec = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mounts: [(&str, Result<OwnedFd>); 3] = [
        ("pts", mount_pts(no_exec)),
        ("shm", sys::new_mount(c"tmpfs", &shm, PROC)),
        ("mqueue", sys::new_mount(c"mqueue", &[], PROC)),
    ];
    for (name, mount) in mounts {
        let attached = mount.and_then(|mount| {
            rustix::fs::mkdirat(dev, name, Mode::from_raw_mode(0o755))?;
            sys::attach(&mount, path::open(dev, name.as_bytes())?.as_fd())
        });
        match attached {
            // A kernel without message queues is none the worse for a build.
            Err(Errno::NODEV) if name == "mqueue" => {}
            result => result.map_err(|errno| Failure::new("mount", format!("/dev/{name}"), errno))?,
        }
    }
    Ok(())
}

fn mount_pts(attributes: MountAttrFlags) -> Result<OwnedFd> {
    let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    let with_group = [options[0], options[1], options[2], ("gid", "5")];
    match sys::new_mount(c"devpts", &with_group, attributes) {
        // A user namespace that does not know group 5.
        Err(Errno::INVAL) => sys::new_mount(c"devpts", &options, attributes),
        result => result,
    }
}

fn make_device(dev: BorrowedFd<'_>, name: &str, (major, minor): (u32, u32)) -> Result<()> {
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(dev, name, FileType::CharacterDevice, mode, rustix::fs::makedev(major, minor))?;
    // The mask of this process took some of it away.
    rustix::fs::chmodat(dev, name, mode, rustix::fs::AtFlags::empty())
}

/// Puts this sandbox's own `/dev/null` in place of the machine's where that is one of the streams: who has the file may
/// change its mode.
fn own_null(dev: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the three are open, since whoever starts a sandbox has put something there.
    let streams = unsafe { [0, 1, 2].map(|number| BorrowedFd::borrow_raw(number)) };
    for stream in streams {
        let stat = rustix::fs::fstat(stream)?;
        let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        if !is_device || (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) != NULL {
            continue;
        }
        let flags = rustix::fs::fcntl_getfl(stream)? & OFlags::RWMODE;
        let own = rustix::fs::openat(dev, "null", flags | OFlags::CLOEXEC, Mode::empty())?;
        match stream.as_raw_fd() {
            0 => rustix::stdio::dup2_stdin(own)?,
            1 => rustix::stdio::dup2_stdout(own)?,
            _ => rustix::stdio::dup2_stderr(own)?,
        }
    }
    Ok(())
}

fn bind_device(dev: BorrowedFd<'_>, name: &str, attributes: MountAttrFlags) -> Result<()> {
    let host = rustix::fs::openat(CWD, format!("/dev/{name}"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let node = sys::clone_mount(&host, false)?;
    let usual = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    sys::add_mount_attributes(&node, usual | attributes, false)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
    let target = rustix::fs::openat(dev, name, flags, Mode::from_raw_mode(0o666))?;
    sys::attach(&node, target.as_fd())
}

/// All nodes that stand in the host's `/dev` itself, for privileged steps.
fn bind_other_devices(dev: BorrowedFd<'_>) -> Result<()> {
    let host = rustix::fs::open("/dev", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&host)? {
        let entry = entry?;
        let stat = rustix::fs::statat(&host, entry.file_name(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        let Ok(name) = entry.file_name().to_str() else { continue };
        if is_device && name != "ptmx" && DEVICES.iter().all(|(known, _)| *known != name) {
            match bind_device(dev, name, MountAttrFlags::empty()) {
                // The device was unplugged meanwhile.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn hide(root: BorrowedFd<'_>, dev: BorrowedFd<'_>) -> std::result::Result<(), Failure> {
    let failed = |name: &str, errno| Failure::new("hide", format!("/{name}"), errno);
    let null = path::open(dev, b"null").map_err(|errno| failed("dev/null", errno))?;
    let mut empty: Option<OwnedFd> = None;
    for name in MASKED {
        let target = match path::open(root, name.as_bytes()) {
            Err(Errno::NOENT) => continue,
            result => result.map_err(|errno| failed(name, errno))?,
        };
        let mask = || -> Result<()> {
            if !path::is_dir(&target)? {
                let mask = sys::clone_mount(&null, false)?;
                sys::add_mount_attributes(&mask, MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
                return sys::attach(mask, target.as_fd());
            }
            let mount = match &empty {
                Some(first) => sys::clone_mount(first, false)?,
                None => {
                    sys::new_mount(c"tmpfs", &[("size", "0"), ("nr_inodes", "1"), ("mode", "0755")], READONLY_PROC)?
                }
            };
            sys::attach(&mount, target.as_fd())?;
            empty.get_or_insert(mount);
            Ok(())
        };
        let mut mask = mask;
        mask().map_err(|errno| failed(name, errno))?;
    }
    for name in READONLY {
        let protect = || -> Result<()> {
            let target = path::open(root, name.as_bytes())?;
            let copy = sys::clone_mount(&target, true)?;
            sys::add_mount_attributes(&copy, READONLY_PROC, true)?;
            sys::attach(&copy, target.as_fd())
        };
        match protect() {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(name, errno)),
        }
    }
    Ok(())
}
