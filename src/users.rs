//! Which users there are for this process: those of the machine, or those of a user namespace (user_namespaces(7)).
//!
//! Whom a file can belong to, where overlayfs keeps its notes and what can be mounted depend on it. How a process gets
//! into a namespace is the [`sandbox`](crate::sandbox)'s.

use std::sync::OnceLock;

/// The users of the namespace that a process is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Users {
    /// All: it is the machine's own.
    All,
    /// A part of the machine's.
    Some,
    /// Root, and nobody else.
    OnlyRoot,
}

impl Users {
    /// Those of this process, which are asked for once: to be called when it is where it will stay.
    pub fn of_process() -> Self {
        static USERS: OnceLock<Users> = OnceLock::new();
        // A kernel without user namespaces has no such file.
        *USERS.get_or_init(|| std::fs::read_to_string("/proc/self/uid_map").map_or(Self::All, |map| Self::of_map(&map)))
    }

    /// `map` is that of `/proc/PID/uid_map`: on each line the first user inside, the first outside, and how many.
    fn of_map(map: &str) -> Self {
        match map.split_whitespace().collect::<Vec<_>>()[..] {
            ["0", "0", "4294967295"] => Self::All,
            [_, _, "1"] => Self::OnlyRoot,
            _ => Self::Some,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_maps() {
        let check = |map: &str, expected: Users| assert_eq!(Users::of_map(map), expected, "{map:?}");
        check("         0          0 4294967295\n", Users::All);
        check("         0       1000          1\n", Users::OnlyRoot);
        check("         0       1000          1\n         1     100000      65536\n", Users::Some);
        check("         0     100000      65536\n", Users::Some);
        check("         0          0          1\n         1          1          1\n", Users::Some);
    }
}
