//! What steps and images leave in the store, and what is made of it later.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Jail, jails};
use crate::support::outcome;
use crate::users::User;

/// The files of this name in a store's layers.
fn in_store(jail: &Jail, name: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|own| own == name) {
                found.push(path.clone());
            }
            if path.symlink_metadata().unwrap().is_dir() {
                walk(&path, name, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(&jail.store(), name, &mut found);
    found
}

#[test]
fn nobody_else_gets_at_what_is_in_the_store() {
    for jail in jails() {
        let (code, said) = jail.build("FROM busybox\nRUN cp /bin/busybox /escape-suid; chmod 4755 /escape-suid\n", &[]);
        assert_eq!(code, 0, "{said}");
        assert_eq!(fs::metadata(jail.store()).unwrap().permissions().mode() & 0o7777, 0o700, "{}", jail.name());
        let programs = in_store(&jail, "escape-suid");
        assert!(!programs.is_empty());
        // All that is above the store lets everybody through.
        for folder in jail.store().ancestors().skip(1).take_while(|folder| folder.starts_with(jail.path())) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for program in programs {
            assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o7777, 0o4755);
            if !rustix::process::geteuid().is_root() {
                continue;
            }
            let stranger = User::Lone.id();
            let error = Command::new(&program).arg("id").uid(stranger).gid(stranger).output().unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{}", jail.name());
        }
    }
}

#[test]
fn notes_of_the_overlay_cannot_be_forged() {
    for jail in jails() {
        let folder = jail.put("context/given/file", "given").parent().unwrap().to_owned();
        let names = ["user.overlay.opaque", "user.overlay.redirect", "user.overlay.metacopy", "user.overlay.whiteout"];
        for path in [&folder, &folder.join("file")] {
            for name in names {
                let value: &[u8] = if name.ends_with("redirect") { b"/etc" } else { b"y" };
                rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
            }
        }
        let dockerfile = "FROM busybox AS one\nCOPY --chmod=755 attack /attack\n\
             RUN mkdir -p /d/e; echo below > /d/below; echo below > /d/e/file; echo empty > /d/empty\n\
             RUN echo above > /d/above; for f in /d /d/above /d/e /d/e/file; do /attack attributes $f; done; : > /d/empty; /attack attributes /d/empty\n\
             COPY given /d/e\n\
             RUN --mount=type=cache,target=/cache mkdir -p /cache/d; echo x > /cache/d/x; /attack attributes /cache/d; /attack attributes /cache/d/x\n\
             RUN --mount=type=cache,target=/cache cat /cache/d/x; ls -R /d; cat /d/above /d/below /d/e/file; wc -c < /d/empty\n\
             FROM scratch\nCOPY --from=one /d /d\n";
        let (code, said) = jail.build(dockerfile, &["-o", "out", "--no-cache"]);
        assert_eq!(code, 0, "{} {said}", jail.name());
        let lines: Vec<&str> =
            said.lines().filter_map(|line| line.strip_prefix("#6 ")?.split_once(' ')).map(|(_, text)| text).collect();
        let shown = lines.join("\n");
        assert!(
            shown.contains("x\n/d:\nabove\nbelow\ne\nempty\n/d/e:\nfile\nabove\nbelow\ngiven0"),
            "{} {shown} {said}",
            jail.name()
        );
        assert_eq!(fs::read_to_string(jail.path().join("out/d/e/file")).unwrap(), "given");
        assert_eq!(fs::read_to_string(jail.path().join("out/d/below")).unwrap(), "below\n");
    }
}

#[test]
fn capabilities_of_files_are_those_of_the_builder() {
    for jail in jails() {
        let (code, said) = jail.build("FROM busybox\nCOPY --chmod=755 attack /attack\nRUN cp /attack /escape-caps; /attack attributes /escape-caps\n", &[]);
        assert_eq!(code, 0, "{said}");
        let mut value = [0; 64];
        let file = in_store(&jail, "escape-caps").pop().unwrap();
        let length = rustix::fs::getxattr(&file, "security.capability", &mut value).unwrap();
        if let Jail::User(_) = jail {
            // They are worth something only where this user is root: linux/capability.h, revision 3.
            assert_eq!((length, value[3]), (24, 3), "{:?}", &value[..length]);
            assert_eq!(u32::from_le_bytes(value[20..24].try_into().unwrap()), User::Mapped.id());
        } else {
            assert_eq!((length, value[3]), (20, 2), "{:?}", &value[..length]);
        }
    }
}

#[test]
fn devices_and_pipes_in_layers_are_not_opened() {
    for jail in jails() {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, kind, (major, minor)) in [
            ("zero", tar::EntryType::Char, (1, 5)),
            ("terminal", tar::EntryType::Char, (5, 1)),
            ("disk", tar::EntryType::Block, (254, 0)),
            ("pipe", tar::EntryType::Fifo, (0, 0)),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
            header.set_mode(0o666);
            header.set_size(0);
            archive.append_data(&mut header, format!("src/{name}"), std::io::empty()).unwrap();
        }
        jail.put("context/devices.tar", archive.into_inner().unwrap());
        let dockerfile = "FROM busybox AS one\nADD devices.tar /\nRUN ls /src; mkfifo /src/other\nFROM busybox\n\
             COPY --from=one /src /all\nCOPY --from=one /src/pipe /src/zero /some/\nCOPY --from=one /src/disk /disk\n\
             RUN --mount=type=bind,from=one,source=/src,target=/m ls -l /all /m > /listing\n";
        let (code, said) = jail.build(dockerfile, &["-o", "out"]);
        assert_eq!(code, 0, "{} {said}", jail.name());
        let listing = fs::read_to_string(jail.path().join("out/listing")).unwrap();
        assert!(listing.matches("prw-").count() >= 2, "{listing}");
        assert!(!jail.path().join("out/all/zero").exists() && !jail.path().join("out/all/pipe").exists());
        let (code, said) = jail.build(dockerfile, &["-o", "type=tar,dest=out.tar", "-t", "jail"]);
        assert_eq!(code, 0, "{} {said}", jail.name());
        assert!(fs::metadata(jail.path().join("out.tar")).unwrap().len() < 16 << 20);
        // A container can be asked for them as well.
        let (_, _, said) = outcome(jail.command().args(["run", "--name", "c", "busybox", "mkfifo", "/pipe"]));
        assert_eq!(said, "", "{}", jail.name());
        let (code, archive, said) = outcome(jail.command().args(["cp", "c:/pipe", "-"]));
        assert!(code == 0 && archive.len() < 64 << 10, "{} {said}", jail.name());
        // In a context, there is nobody at the other end.
        let pipe = jail.path().join("context/pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
        for instruction in
            ["COPY pipe /", "ADD pipe /", "COPY . /all", "RUN --mount=type=bind,source=.,target=/m ls -l /m/pipe"]
        {
            let (code, said) = jail.build(&format!("FROM busybox\n{instruction}\n"), &["-o", "out"]);
            assert!((0..=1).contains(&code), "{} {instruction} {said}", jail.name());
        }
    }
}
