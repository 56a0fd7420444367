//! Mounts that a Dockerfile asks for: where they are made, what they show, what is left of them.

use std::fs;
use std::path::Path;

use super::{Canary, jails};
use crate::support::outcome;

/// Links of an image that lead out of wherever they are followed from.
const LINKS: &str = "RUN ln -s / /link; ln -s ../../../../../.. /up; ln -s /proc/self/root /root-link; ln -s /proc/1/cwd /cwd-link; ln -s /etc /config\n";

#[test]
fn targets_stay_inside() {
    let canary = Canary::new();
    let path = canary.path();
    for jail in jails() {
        let targets = [
            "/",
            "/proc",
            "/proc/self",
            "/proc/sys/kernel",
            "/proc/self/root",
            "/proc/1/cwd",
            "/proc/self/fd/5",
            "/sys",
            "/sys/kernel",
            "/dev",
            "/dev/fd/0",
            "../../../../..",
            "/config",
            "/config/new",
            "/cwd-link/new",
        ];
        let outside =
            ["", "/../../../..", "../../../../../..", "/link", "/up", "/root-link", "/cwd-link", "/link/up/link"];
        let targets =
            targets.iter().map(|&target| target.to_owned()).chain(outside.map(|start| format!("{start}{path}")));
        for target in targets {
            for kind in ["type=tmpfs", "type=cache,id=x", "type=bind,from=other,rw"] {
                let dockerfile = format!(
                    "FROM busybox AS other\nFROM busybox\n{LINKS}RUN --mount={kind},target={target} \
                     touch {target}/escaped {path}/escaped 2> /dev/null; rm -f {target}/file {path}/file; true\n"
                );
                let (code, said) = jail.build(&dockerfile, &[]);
                assert!(
                    (0..=3).contains(&code) && !said.contains("panicked"),
                    "{} {kind} {target} {code} {said}",
                    jail.name()
                );
                canary.check();
            }
        }
        for place in ["/escaped", "/etc/escaped", "/proc/escaped", "/dev/escaped"] {
            assert!(!Path::new(place).exists(), "{place}");
        }
    }
}

#[test]
fn names_of_cache_mounts_are_no_paths() {
    let canary = Canary::new();
    for jail in jails() {
        for id in [
            "..",
            "../..",
            "a/../../../b",
            "/etc",
            "./.",
            canary.path(),
            &format!("../../../../../../..{}", canary.path()),
        ] {
            let dockerfile = format!(
                "FROM busybox\nRUN --mount=type=cache,id={id},target=/c touch /c/escaped; rm -f /c/file; ls /c\n"
            );
            let (code, said) = jail.build(&dockerfile, &["--no-cache"]);
            assert_eq!(code, 0, "{} {id} {said}", jail.name());
        }
        let names = fs::read_dir(jail.store().join("mounts"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names: Vec<String> = names.collect();
        assert_eq!(names.len(), 7, "{names:?}");
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit())), "{names:?}");
        canary.check();
    }
}

#[test]
fn sources_stay_inside() {
    let canary = Canary::new();
    let path = canary.path();
    for jail in jails() {
        for start in ["/link", "/up", "/root-link", "../../../../..", "/cwd-link", "/link/../../.."] {
            for (source, shown) in
                [(format!("{start}{path}"), "/m".to_owned()), (start.to_owned(), format!("/m{path}"))]
            {
                let dockerfile = format!(
                    "FROM busybox AS other\n{LINKS}FROM busybox\n\
                     RUN --mount=type=bind,from=other,source={source},target=/m cat {shown}/file 2> /dev/null; true\n\
                     RUN --mount=type=cache,id={start},from=other,source={source},target=/m cat {shown}/file 2> /dev/null; true\n\
                     COPY --from=other {source} /copied\nRUN cat /copied/file /copied{path}/file 2> /dev/null; true\n"
                );
                let (_, said) = jail.build(&dockerfile, &[]);
                assert!(!said.contains("untouched"), "{} {source} {said}", jail.name());
            }
        }
        canary.check();
    }
}

#[test]
fn what_is_read_only_stays_as_it_is() {
    for jail in jails() {
        let file = jail.put("context/given/file", "as it was");
        let options = "--mount=type=bind,source=given,target=/given --mount=type=bind,source=given,target=/loose,rw \
             --mount=type=bind,from=busybox,target=/image --mount=type=secret,id=word --mount=type=cache,target=/cache,ro";
        let script = "for f in /given/file /image/etc/passwd /run/secrets/word /cache/new /etc/hosts /etc/resolv.conf; do\n\
             (echo x >> $f) 2> /dev/null && echo $f written; chmod 777 $f 2> /dev/null && echo $f changed; done\n\
             for m in /given /image /run/secrets/word /cache /etc/hosts; do mount -o remount,rw $m 2> /dev/null && echo $m remounted; done\n\
             ln /given/file /linked 2> /dev/null && echo linked; ln /loose/file /linked 2> /dev/null && echo linked\n\
             mv /given/file /moved 2> /dev/null && echo moved; echo x >> /loose/file; rm /loose/file; echo end";
        let word = jail.put("word", "secret");
        let said = jail.step(options, script, &["--secret", "id=word,src=word"]);
        assert_eq!(said, "end\n", "{}", jail.name());
        assert_eq!(fs::read_to_string(file).unwrap(), "as it was");
        assert_eq!(fs::read_to_string(word).unwrap(), "secret");
    }
}

#[test]
fn nothing_is_tidied_up_outside() {
    let canary = Canary::new();
    let path = canary.path();
    for jail in jails() {
        // Mount points that were made for a step are replaced by links before it ends (CVE-2024-23652).
        let dockerfile = format!(
            "FROM busybox\nRUN --mount=type=tmpfs,target=/a/b/file --mount=type=cache,target=/x/y/z --mount=type=secret,id=word,target=/s/t/file \
             for d in /a/b /x/y /s/t; do mv $d $d.old 2> /dev/null; rm -rf $d 2> /dev/null; ln -s {path} $d; done; \
             rm -rf /etc/hosts /etc/resolv.conf /a /x /s; ln -s {path} /a; ln -s {path} /x; true\nRUN ls -la /a /x\n"
        );
        jail.put("word", "secret");
        let (code, said) = jail.build(&dockerfile, &["--secret", "id=word,src=word"]);
        assert!((0..=1).contains(&code), "{} {said}", jail.name());
        canary.check();
    }
}

#[test]
fn files_that_every_step_has_follow_no_link_out() {
    let canary = Canary::new();
    let pattern = fs::read("/proc/sys/kernel/core_pattern").unwrap();
    for jail in jails() {
        let file = format!("{}/file", canary.path());
        for to in [
            &file,
            &format!("../../../../../..{file}"),
            "/proc/sys/kernel/core_pattern",
            "/proc/self/fd/1",
            "/proc/1/root/etc/hosts",
            "/dev/null",
            "/etc/hosts",
            ".",
        ] {
            let dockerfile = format!(
                "FROM busybox\nCOPY --chmod=755 attack /attack\nRUN mkdir -p /e; ln -s {to} /e/hosts; ln -s {to} /e/resolv.conf; ln -s {to} /e/passwd\n\
                 FROM busybox\nCOPY --from=0 /e /etc\nRUN cat /etc/passwd /etc/hosts; (echo x > /etc/hosts; echo x > /etc/resolv.conf) 2> /dev/null; true\n"
            );
            let (code, said) = jail.build(&dockerfile, &["-t", "jail"]);
            assert!((0..=1).contains(&code) && !said.contains("untouched"), "{} {to} {said}", jail.name());
            if code == 0 {
                outcome(jail.command().args(["run", "--rm", "jail", "sh", "-c", "echo x > /etc/hosts"]));
            }
            canary.check();
            assert_eq!(fs::read("/proc/sys/kernel/core_pattern").unwrap(), pattern);
        }
    }
}

#[test]
fn privileges_must_be_granted() {
    for jail in jails() {
        for (option, right) in [("--security=insecure", "security.insecure"), ("--network=host", "network.host")] {
            let dockerfile = format!("FROM busybox\nRUN {option} echo has run\n");
            let (code, said) = jail.build(&dockerfile, &[]);
            assert!(
                code == 1 && said.contains(&format!("--allow {right}")) && !said.contains("#1"),
                "{} {said}",
                jail.name()
            );
            let steps = option.trim_start_matches("--").replace('=', " = \"") + "\"";
            let file = format!(
                "[target.app]\nfrom = \"busybox\"\nsteps = [{{ run = \"echo has run\", {steps} }}]\nentitlements = [\"{right}\"]\n"
            );
            jail.put("build.toml", file);
            let (code, _, said) = outcome(jail.command().args(["bake", "--no-lock", "--progress", "plain", "app"]));
            assert!(code != 0 && said.contains(right) && !said.contains("#1"), "{} {said}", jail.name());
        }
    }
}

#[test]
fn set_user_id_programs_can_be_made_powerless() {
    for jail in jails() {
        jail.put("context/script", "id -u");
        let image =
            "FROM busybox\nRUN cp /bin/busybox /su && chmod 4755 /su && echo root::0:0::/:/bin/sh > /etc/passwd\n";
        let become_root = |arguments: &[&str]| {
            let (code, said) = jail.build(&format!("{image}USER 7\nRUN /su root -c 'echo user $(id -u)'\n"), arguments);
            (code, said.contains("user 0"))
        };
        assert_eq!(become_root(&["-t", "plain"]), (0, true), "{}", jail.name());
        assert_eq!(become_root(&["--security-opt", "no-new-privileges"]), (1, false), "{}", jail.name());
        assert_eq!(become_root(&["--no-cache", "--security-opt", "no-new-privileges=false"]), (0, true));
        assert_eq!(become_root(&["--security-opt", "seccomp=unconfined"]).0, 2);
        let words = ["plain", "/su", "root", "-c", "id -u"];
        let run = |options: &[&str]| outcome(jail.command().args(["run", "--rm"]).args(options).args(words)).1;
        assert_eq!((run(&[]).as_str(), run(&["--security-opt", "no-new-privileges"]).as_str()), ("0\n", ""));
        let file = "[target.app]\ncontext = \"context\"\nno-new-privileges = true\ndockerfile-inline = \"\"\"\nFROM plain\nRUN grep NoNewPrivs:.1 /proc/self/status\n\"\"\"\n";
        jail.put("build.toml", file);
        let (code, _, said) = outcome(jail.command().args(["bake", "--no-lock", "app"]));
        assert_eq!(code, 0, "{} {said}", jail.name());
    }
}
