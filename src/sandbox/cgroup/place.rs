//! Where control groups are on this machine: what the kernel says of mounts and of this process, read.
//!
//! There can be one tree for all controllers (version 2), a tree for each (version 1), or both, with some controllers in each.
//! This process is at some place in each tree, and new groups are made below it.

use std::path::{Path, PathBuf};

/// Which interface a tree has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Version {
    One,
    Two,
}

/// This process in a tree of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct Place {
    /// The interface.
    pub(in crate::sandbox) version: Version,
    /// The tree's root, as far as it is mounted.
    pub(in crate::sandbox) root: PathBuf,
    /// The group of this process.
    pub(in crate::sandbox) own: PathBuf,
}

/// The place in the tree of version 2, from the texts of `mountinfo` and `cgroup` in `/proc/self` (proc(5), cgroups(7)).
pub(in crate::sandbox) fn unified(mounts: &str, own: &str) -> Option<Place> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    find(mounts, own, Version::Two, |system| system.split(' ').next() == Some("cgroup2"))
}

/// The place in the tree of version 1 that has this controller, from the same texts.
pub(super) fn legacy(mounts: &str, own: &str, controller: &str) -> Option<Place> {
    let has = |list: &str| list.split(',').any(|name| name == controller);
    let own = own.lines().find_map(|line| {
        let (list, path) = line.split_once(':')?.1.split_once(':')?;
        has(list).then_some(path)
    })?;
    find(mounts, own, Version::One, |system| {
        let mut fields = system.split(' ');
        fields.next() == Some("cgroup") && fields.nth(1).is_some_and(has)
    })
}

fn find(mounts: &str, own: &str, version: Version, is_wanted: impl Fn(&str) -> bool) -> Option<Place> {
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, target) = (fields.next()?, fields.next()?);
        if !is_wanted(system) {
            return None;
        }
        // A mount may show a part of the tree only.
        let below = Path::new(own).strip_prefix(root).ok()?;
        Some(Place { version, root: target.into(), own: Path::new(target).join(below) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_our_own_group() {
        let check = |mounts: &str, own: &str, expected: Option<&str>| {
            assert_eq!(unified(mounts, own).map(|place| place.own), expected.map(PathBuf::from));
        };
        let mounts = "35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        check(mounts, "0::/user.slice/a\n", Some("/sys/fs/cgroup/user.slice/a"));
        check(mounts, "5:devices:/x\n0::/\n", Some("/sys/fs/cgroup"));
        check("35 25 0:30 /pod /cg rw - cgroup2 cgroup2 rw\n", "0::/pod/b\n", Some("/cg/b"));
        check("35 25 0:30 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n", "5:devices:/\n", None);
    }

    #[test]
    fn finds_the_group_of_a_controller_that_has_a_tree_of_its_own() {
        let mounts = "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n\
                      32 25 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
                      33 25 0:29 /docker/a /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      35 25 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "9:name=systemd:/\n4:memory:/docker/a/b\n3:cpuset:/\n1:cpu,cpuacct:/user/x:y\n0::/u\n";
        let check = |controller: &str, expected: Option<&str>| {
            let place = legacy(mounts, own, controller);
            assert_eq!(place.map(|place| place.own), expected.map(PathBuf::from), "{controller}");
        };
        check("cpu", Some("/sys/fs/cgroup/cpu,cpuacct/user/x:y"));
        check("cpuset", Some("/sys/fs/cgroup/cpuset"));
        check("memory", Some("/sys/fs/cgroup/memory/b"));
        check("pids", None);
    }
}
