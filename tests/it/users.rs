//! Users of this machine that are not root, as tests need them: made where there are none, so only root can run what uses them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::{self, run};

/// Users that are not root: one with a range of other users, and one without. They have numbers that no system gives.
#[derive(Clone, Copy, Debug)]
pub enum User {
    /// With a range.
    Mapped,
    /// Without one.
    Lone,
}

impl User {
    /// The number of the user and of its group.
    pub fn id(self) -> u32 {
        match self {
            Self::Mapped => 61_001,
            Self::Lone => 61_002,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mapped => "imgbuild-test-mapped",
            Self::Lone => "imgbuild-test-lone",
        }
    }
}

/// Makes the users where there are none, and a copy of the program that they can reach; none where this is not root.
pub fn program() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<TempDir>> = OnceLock::new();
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can become other users");
            return None;
        }
        for user in [User::Mapped, User::Lone] {
            let known = Command::new("id").arg(user.name()).output().unwrap().status.success();
            if !known {
                let id = user.id().to_string();
                run(Command::new("groupadd").args(["--gid", &id, user.name()]));
                run(Command::new("useradd").args(["--no-create-home", "--uid", &id, "--gid", &id, user.name()]));
            }
        }
        for file in ["/etc/subuid", "/etc/subgid"] {
            let text = fs::read_to_string(file).unwrap_or_default();
            let mut lines: Vec<String> =
                text.lines().filter(|line| !line.starts_with("imgbuild-test-")).map(str::to_owned).collect();
            lines.push(format!("{}:1879048192:65536", User::Mapped.name()));
            fs::write(file, lines.join("\n") + "\n").unwrap();
        }
        let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir_in("/var/tmp");
        let folder = folder.unwrap();
        fs::copy(env!("CARGO_BIN_EXE_imgbuild"), folder.path().join("imgbuild")).unwrap();
        Some(folder)
    });
    let folder = folder.as_ref()?;
    Some(PROGRAM.get_or_init(|| folder.path().join("imgbuild")))
}

/// A user's folder, with the user's store in it.
pub struct Home {
    user: User,
    folder: TempDir,
    program: &'static Path,
}

impl Home {
    /// An empty one; none where this is not root.
    pub fn of(user: User) -> Option<Self> {
        let program = program()?;
        let home = Self { user, folder: tempfile::tempdir_in("/var/tmp").unwrap(), program };
        home.give(home.path());
        Some(home)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the user a file, or a folder with all that is in it.
    pub fn give(&self, path: &Path) {
        lchown(path, Some(self.user.id()), Some(self.user.id())).unwrap();
        if path.symlink_metadata().unwrap().is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| self.give(&entry.unwrap().path()));
        }
    }

    /// Another command as the user.
    pub fn command_of(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path()).current_dir(self.path());
        self.become_user(&mut command);
        command
    }

    /// Has a command run as the user.
    pub fn become_user(&self, command: &mut Command) {
        command.uid(self.user.id()).gid(self.user.id());
    }

    /// The program as the user.
    pub fn command(&self) -> Command {
        self.command_of(self.program)
    }

    /// Runs the program as the user; returns what it printed.
    pub fn run(&self, words: &[&str]) -> String {
        support::text(&run(self.command().args(words)).stdout)
    }
}
