//! What a step inherits: the builder's program, its descriptors, its working folder.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::{Jail, jails};
use crate::support::outcome;

/// A copy of the program that the builder owns, and may so be changed by whoever is the builder.
fn own_program(jail: &Jail) -> std::path::PathBuf {
    let program = jail.path().join("own");
    fs::copy(env!("CARGO_BIN_EXE_imgbuild"), &program).unwrap();
    jail.give(&program);
    program
}

#[test]
fn the_builders_program_cannot_be_changed() {
    for jail in jails() {
        // In the image, the loader of programs is ours: it runs as the builder's own (CVE-2019-5736).
        let dockerfile = "FROM busybox AS jail\nCOPY --chmod=755 loader /lib64/ld-linux-x86-64.so.2\n\
             COPY --chmod=755 loader /lib/ld-linux-aarch64.so.1\nRUN [\"/proc/self/exe\"]\n";
        jail.put("context/Dockerfile", dockerfile);
        let program = own_program(&jail);
        let look = || {
            let it = fs::metadata(&program).unwrap();
            (it.len(), it.permissions().mode(), it.uid(), it.nlink(), it.mtime_nsec(), it.ctime_nsec())
        };
        let before = look();
        let mut command = jail.command_of(&program);
        let (code, _, said) = outcome(command.args(["build", "--no-lock", "--progress", "plain", "context"]));
        assert_eq!(look(), before, "{} {said}", jail.name());
        // A program that needs no loader says what it is for, and ends.
        if code == 0 {
            // While somebody runs it, a program is busy before it is read-only.
            let refused = [
                ("chmod", &["030"][..]),
                ("chown", &["030"]),
                ("setxattr", &["030"]),
                ("write", &["026", "030"]),
                ("truncate", &["030"]),
                ("reopen", &["026", "030"]),
                ("link", &["018"]),
            ];
            for (attempt, numbers) in refused {
                for path in ["/proc/self/exe", "/proc/1/exe"] {
                    let line = |number: &&str| said.contains(&format!("{attempt} {path}: {number}"));
                    assert!(numbers.iter().any(line), "{} {attempt} {path} {said}", jail.name());
                }
            }
        }
    }
}

#[test]
fn no_descriptor_is_inherited() {
    for jail in jails() {
        let expected = "end\n";
        // One that the builder's caller left open, on top of the world.
        let inherit = |words: &[&str]| {
            let mut command = std::process::Command::new("sh");
            let program = jail.command();
            command
                .args(["-c", "exec 9< / 8< /etc; exec \"$@\"", "sh"])
                .arg(program.get_program())
                .args(program.get_args());
            command.args(words).env_clear().current_dir(jail.path());
            for (name, value) in program.get_envs() {
                command.env(name, value.unwrap_or_default());
            }
            if let Jail::User(home) = &jail {
                home.become_user(&mut command);
            }
            command
        };
        jail.put(
            "context/Dockerfile",
            "FROM busybox\nCOPY --chmod=755 attack /attack\nRUN /attack descriptors > /report\n",
        );
        let (code, _, said) =
            outcome(inherit(&["build", "-q", "--no-lock", "-t", "jail", "context"]).stdin(std::process::Stdio::null()));
        assert_eq!(code, 0, "{} {said}", jail.name());
        assert_eq!(jail.run(&["run", "--rm", "jail", "cat", "/report"]), expected, "{}", jail.name());
        let (_, shown, said) = outcome(&mut inherit(&["run", "--rm", "jail", "/attack", "descriptors"]));
        assert_eq!((shown.as_str(), said.as_str()), (expected, ""), "{}", jail.name());
        // A shell in the middle of a build.
        let (_, shown, said) = outcome(&mut inherit(&["debug", "3", "context", "--", "/attack", "descriptors"]));
        assert_eq!(shown, expected, "{} {said}", jail.name());
    }
}

#[test]
fn a_folder_is_no_stream() {
    for jail in jails() {
        let mut command = jail.command();
        command.args(["run", "--rm", "-i", "busybox", "ls", "/proc/self/fd/0/"]).stdin(fs::File::open("/").unwrap());
        let (code, shown, said) = outcome(&mut command);
        assert_eq!((code, shown.as_str()), (125, ""), "{} {said}", jail.name());
        assert!(said.contains("standard input: it is a folder"), "{said}");
    }
}

#[test]
fn a_working_folder_leads_nowhere_else() {
    for jail in jails() {
        // A descriptor that the builder has open while it sets the step up (CVE-2024-21626).
        for number in 0..12 {
            for folder in
                [format!("/proc/self/fd/{number}"), format!("/proc/1/fd/{number}/.."), "/proc/self/cwd/..".into()]
            {
                let dockerfile =
                    format!("FROM busybox\nWORKDIR {folder}\nRUN pwd -P; ls -d ../../../../etc/hostname\n");
                let (code, said) = jail.build(&dockerfile, &["--no-cache"]);
                assert_ne!(code, 0, "{} {folder} {said}", jail.name());
                let (code, shown, said) = outcome(jail.command().args([
                    "run",
                    "--rm",
                    "-w",
                    &folder,
                    "busybox",
                    "cat",
                    "../../../../etc/hostname",
                ]));
                assert!(code != 0 && shown.is_empty(), "{} {folder} {shown} {said}", jail.name());
            }
        }
        // By a link of the image that is only followed once `/proc` is there.
        let dockerfile = "FROM busybox\nRUN ln -s /proc/self/fd/3 /link; for n in 3 4 5 6 7 8 9; do ln -s /proc/1/fd/$n /link$n; done\n\
             WORKDIR /link\nRUN pwd -P\n";
        let (_, said) = jail.build(dockerfile, &[]);
        assert!(!said.contains(jail.path().to_str().unwrap()), "{} {said}", jail.name());
    }
}
