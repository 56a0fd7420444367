//! Real processes in real sandboxes. Needs root and a static `/bin/busybox`; without them the tests pass unseen and say so.

use std::fs;
use std::io::BufRead;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use imgbuild::event::Stream;
use imgbuild::fstree::{Entry, Kind, Merged, Meta, Toc, TreePath};
use imgbuild::graph::Limits;
use imgbuild::sandbox::{
    Bytes, Cancel, CommandProblem, Executor, Exit, MountKind, Namespaces, Network, SandboxError, SandboxMount, Spec,
    stubs,
};
use tempfile::TempDir;

/// A busybox image in a folder, and room for runs.
struct World {
    folder: TempDir,
    executor: Namespaces,
    runs: usize,
}

/// What came of a run.
#[derive(Debug)]
struct Outcome {
    result: Result<Exit, SandboxError>,
    stdout: String,
    stderr: String,
    upper: PathBuf,
}

fn world() -> Option<World> {
    if !rustix_is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    assert!(Path::new("/bin/busybox").exists(), "needs busybox-static; `sh tests/run.sh` as root installs it");
    let folder = TempDir::new().unwrap();
    let bin = folder.path().join("image/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
    let applets = Command::new("/bin/busybox").arg("--list").output().unwrap().stdout;
    for applet in String::from_utf8(applets).unwrap().lines().filter(|&applet| applet != "busybox") {
        symlink("busybox", bin.join(applet)).unwrap();
    }
    for name in ["dev", "proc", "sys", "etc", "tmp", "home"] {
        fs::create_dir(folder.path().join("image").join(name)).unwrap();
    }
    for name in ["etc/hosts", "etc/resolv.conf"] {
        fs::write(folder.path().join("image").join(name), "").unwrap();
    }
    let executor = Namespaces::with_init(Path::new(env!("CARGO_BIN_EXE_imgbuild"))).unwrap();
    Some(World { folder, executor, runs: 0 })
}

fn rustix_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A spec that runs a shell command as root.
    fn shell(&mut self, script: &str) -> Spec {
        self.runs += 1;
        let (upper, work) = (self.path(&format!("upper{}", self.runs)), self.path(&format!("work{}", self.runs)));
        fs::create_dir(&upper).unwrap();
        fs::create_dir(&work).unwrap();
        Spec {
            lower: vec![self.path("image")],
            upper,
            work,
            args: ["/bin/sh", "-c", script].map(String::from).into(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cwd: "/".into(),
            uid: 0,
            gid: 0,
            groups: vec![0],
            hostname: "buildkitsandbox".into(),
            mounts: Vec::new(),
            network: Network::None,
            privileged: false,
            no_new_privileges: false,
            hosts: Bytes(b"127.0.0.1 localhost\n".to_vec()),
            resolv_conf: Bytes(b"# none\n".to_vec()),
            limits: Limits::default(),
        }
    }

    /// Whether steps run in a group of their own, which only exists to guard devices.
    fn executor_guards_devices(&mut self) -> bool {
        let spec = self.shell("cat /proc/self/cgroup");
        self.run(&spec).stdout.lines().any(|line| line.starts_with("0::") && line.contains("/imgbuild-steps-"))
    }

    fn run(&self, spec: &Spec) -> Outcome {
        self.run_until(spec, &Cancel::new().unwrap(), &mut |_| {})
    }

    fn run_until(&self, spec: &Spec, cancel: &Cancel, heard: &mut dyn FnMut(&str)) -> Outcome {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut output = |stream: Stream, bytes: &[u8]| {
            let to = if stream == Stream::Stdout { &mut stdout } else { &mut stderr };
            to.extend_from_slice(bytes);
            heard(&String::from_utf8_lossy(to));
        };
        let result = self.executor.run(spec, &mut output, cancel);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome { result, stdout: text(stdout), stderr: text(stderr), upper: spec.upper.clone() }
    }

    /// Runs a script and compares what it prints; it must succeed.
    #[track_caller]
    fn check(&mut self, script: &str, expected: &str) -> Outcome {
        let spec = self.shell(script);
        self.check_spec(&spec, expected)
    }

    #[track_caller]
    fn check_spec(&self, spec: &Spec, expected: &str) -> Outcome {
        let outcome = self.run(spec);
        match &outcome.result {
            Ok(Exit::Code(0)) => assert_eq!(outcome.stdout, expected, "{}", outcome.stderr),
            other => panic!("{other:?}\n{}{}", outcome.stdout, outcome.stderr),
        }
        outcome
    }
}

fn mount(target: &str, kind: MountKind) -> SandboxMount {
    SandboxMount { target: target.into(), kind }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = walk(folder, folder);
    names.sort();
    names
}

fn walk(folder: &Path, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
        if path.symlink_metadata().unwrap().is_dir() {
            found.extend(walk(&path, root));
        }
    }
    found
}

#[test]
fn runs_a_command_and_keeps_what_it_writes() {
    let Some(mut world) = world() else { return };
    let outcome =
        world.check("echo out; echo err >&2; echo data > /new; mkdir /dir; rm /etc/nothing 2>/dev/null; true", "out\n");
    assert_eq!(outcome.stderr, "err\n");
    assert_eq!(names(&outcome.upper), ["dir", "new"]);
    assert_eq!(fs::read_to_string(outcome.upper.join("new")).unwrap(), "data\n");
    assert!(!names(&world.path("image")).contains(&"new".to_owned()));
}

#[test]
fn tells_how_the_command_ended() {
    let Some(mut world) = world() else { return };
    let mut check = |script: &str, expected: Exit| {
        let spec = world.shell(script);
        assert_eq!(world.run(&spec).result.unwrap(), expected, "{script}");
    };
    check("exit 3", Exit::Code(3));
    check("(sh -c 'kill -SEGV $$'); exit $?", Exit::Code(139));
    // The command is process 1, which its own signals do not reach.
    check("kill -KILL $$; kill -TERM $$; exit 4", Exit::Code(4));
}

#[test]
fn says_why_a_command_cannot_run() {
    let Some(mut world) = world() else { return };
    let image = world.path("image");
    fs::write(image.join("plain"), "echo hello").unwrap();
    fs::write(image.join("script"), "#!/no/such/interpreter\n").unwrap();
    fs::write(image.join("headless"), "echo hello\n").unwrap();
    for name in ["script", "headless"] {
        fs::set_permissions(image.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut check = |program: &str, expected: CommandProblem| {
        let mut spec = world.shell("");
        spec.args = vec![program.into(), "x".into()];
        match world.run(&spec).result {
            Err(SandboxError::Command { command, problem }) => {
                assert_eq!((command.as_str(), problem), (program, expected))
            }
            other => panic!("{program}: {other:?}"),
        }
    };
    check("no-such-command", CommandProblem::NotFound);
    check("/no/such/command", CommandProblem::NotFound);
    check("", CommandProblem::NotFound);
    check("/etc", CommandProblem::IsDirectory);
    check("/plain", CommandProblem::PermissionDenied);
    check("/script", CommandProblem::NoInterpreter);
    check("/headless", CommandProblem::ExecFormat);
}

#[test]
fn finds_a_program_in_the_path_and_relative_to_the_working_folder() {
    let Some(mut world) = world() else { return };
    let mut spec = world.shell("");
    spec.args = ["echo", "$HOME", "*"].map(String::from).into();
    world.check_spec(&spec, "$HOME *\n");
    let mut spec = world.shell("");
    spec.cwd = "/bin".into();
    spec.args = ["./echo", "here"].map(String::from).into();
    world.check_spec(&spec, "here\n");
}

#[test]
fn starts_clean() {
    let Some(mut world) = world() else { return };
    world.check("echo $$; umask; pwd; hostname; cat /proc/1/comm; true", "1\n0022\n/\nbuildkitsandbox\nsh\n");
    world.check("tr '\\0' '\\n' < /proc/1/environ; true", "PATH=/usr/bin:/bin\n");
    // The fourth is the folder that is listed.
    let mut spec = world.shell("");
    spec.args = ["ls", "/proc/self/fd"].map(String::from).into();
    world.check_spec(&spec, "0\n1\n2\n3\n");
    let mut spec = world.shell("");
    spec.args = ["grep", "-E", "SigIgn|SigBlk|NoNewPrivs", "/proc/self/status"].map(String::from).into();
    world.check_spec(&spec, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nNoNewPrivs:\t0\n");
    world.check("ls -d /proc/[0-9]* | wc -l | grep -cE '^[1-5]$'; cut -d' ' -f4 /proc/1/stat", "1\n0\n");
    world.check(
        "for n in 0 1 2; do [ -t $n ] && echo tty || echo none; done; cat; (: < /dev/tty) 2>/dev/null || echo no tty",
        "none\nnone\nnone\nno tty\n",
    );
    world.check("(yes; echo $? >&2) | head -n 1", "y\n");
}

#[test]
fn shows_only_what_a_container_may_see() {
    let Some(mut world) = world() else { return };
    let nodes = "full character special file 666 1:7\nnull character special file 666 1:3\n\
        random character special file 666 1:8\ntty character special file 666 5:0\n\
        urandom character special file 666 1:9\nzero character special file 666 1:5\n";
    world.check("cd /dev; for n in full null random tty urandom zero; do stat -c '%n %F %a %t:%T' $n; done", nodes);
    world.check(
        "cd /dev; ls; for l in fd stdin ptmx; do readlink $l; done",
        "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n\
         /proc/self/fd\n/proc/self/fd/0\npts/ptmx\n",
    );
    world.check(
        "df -k /dev/shm | tail -n 1 | awk '{print $2}'; stat -c %a /dev/shm; echo x > /dev/shm/x",
        "65536\n1777\n",
    );
    world.check(
        "ls /sys/firmware | wc -l; for f in kcore keys timer_list; do cat /proc/$f 2>/dev/null | wc -c; done; \
         (echo 1 > /proc/sys/kernel/printk) 2>/dev/null || echo refused; (echo h > /proc/sysrq-trigger) 2>/dev/null || echo refused; \
         mkdir /sys/x 2>/dev/null || echo refused",
        "0\n0\n0\n0\nrefused\nrefused\nrefused\n",
    );
}

#[test]
fn opens_only_harmless_devices() {
    let Some(mut world) = world() else { return };
    // Where a control group guards devices, harmless ones that the step makes work as well; elsewhere none does.
    let guarded = world.executor_guards_devices();
    world.check(
        "mknod /loop b 7 0 && mknod /kmsg c 1 11 && mknod /mem c 1 1 && mknod -m 666 /zero c 1 5 || exit 1; \
         for d in loop kmsg mem; do head -c 1 /$d > /dev/null 2>&1 && echo $d opens || echo $d refused; done",
        "loop refused\nkmsg refused\nmem refused\n",
    );
    if guarded {
        world.check("mknod -m 600 /null c 1 3 && echo gone > /null && [ ! -s /null ] && echo works", "works\n");
    }
}

#[test]
fn has_dockers_capabilities_and_filter() {
    let Some(mut world) = world() else { return };
    let caps = "CapInh:0000000000000000\nCapPrm:00000000a80425fb\nCapEff:00000000a80425fb\nCapBnd:00000000a80425fb\nCapAmb:0000000000000000\n";
    world.check(
        "grep Cap /proc/self/status | tr -d '\\t'; grep Seccomp: /proc/self/status | tr -d '\\t'",
        &format!("{caps}Seccomp:2\n"),
    );
    world.check(
        "for n in -m -n -p -u -i -U; do unshare $n true 2>/dev/null && echo allowed || echo refused; done",
        &"refused\n".repeat(6),
    );
    world.check("mount -t tmpfs x /tmp 2>/dev/null || echo refused; hostname x 2>/dev/null || echo refused; chroot / /bin/true && echo fine", "refused\nrefused\nfine\n");
    let mut spec = world.shell("grep -E 'Cap(Prm|Eff|Inh|Amb)|Groups|Uid' /proc/self/status | tr '\\t' ' '");
    (spec.uid, spec.gid, spec.groups) = (700, 710, vec![710, 800]);
    let none = "0000000000000000";
    world.check_spec(
        &spec,
        &format!(
            "Uid: 700 700 700 700\nGroups: 710 800 \nCapInh: {none}\nCapPrm: {none}\nCapEff: {none}\nCapAmb: {none}\n"
        ),
    );
}

#[test]
fn privileged_has_it_all() {
    let Some(mut world) = world() else { return };
    let mut spec = world.shell("mount -t tmpfs x /tmp && echo mounted; grep -E 'Seccomp:' /proc/self/status; mkdir -p /sys/x 2>/dev/null; [ -e /dev/kmsg ] && echo kmsg");
    spec.privileged = true;
    world.check_spec(&spec, "mounted\nSeccomp:\t0\nkmsg\n");
}

#[test]
fn a_set_user_id_program_gains_root() {
    let Some(mut world) = world() else { return };
    let program = world.path("image/bin/mine");
    fs::copy("/bin/busybox", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::write(world.path("image/etc/passwd"), "root::0:0:root:/root:/bin/sh\n").unwrap();
    fs::remove_file(world.path("image/bin/su")).unwrap();
    fs::rename(&program, world.path("image/bin/su")).unwrap();
    let mut spec = world.shell("");
    spec.args = ["su", "root", "-c", "id -u"].map(String::from).into();
    (spec.uid, spec.gid, spec.groups) = (33, 33, vec![33]);
    world.check_spec(&spec, "0\n");
}

#[test]
fn has_a_loopback_device_only() {
    let Some(mut world) = world() else { return };
    world.check("ip -o link | awk '{print $2}' | grep -v -e sit0 -e tunl0 -e gre -e ip6 -e vti; ip route; ping -c 1 -W 2 127.0.0.1 > /dev/null && echo up", "lo:\nup\n");
}

#[test]
fn hosts_and_resolv_conf_cannot_be_changed() {
    let Some(mut world) = world() else { return };
    let outcome = world.check(
        "cat /etc/hosts /etc/resolv.conf; (echo x >> /etc/hosts) 2>/dev/null || echo refused; rm /etc/hosts 2>/dev/null || echo refused; \
         mv /etc/resolv.conf /etc/r 2>/dev/null || echo refused",
        "127.0.0.1 localhost\n# none\nrefused\nrefused\nrefused\n",
    );
    assert_eq!(names(&outcome.upper), [""; 0]);
}

#[test]
fn mounts_what_is_asked_for() {
    let Some(mut world) = world() else { return };
    for (name, text) in [("a/dir/file", "lower"), ("b/dir/other", "upper"), ("cache/kept", "old")] {
        fs::create_dir_all(world.path(name).parent().unwrap()).unwrap();
        fs::write(world.path(name), text).unwrap();
    }
    for name in ["m1", "m2", "m3", "m4", "m5", "t"] {
        fs::create_dir(world.path("image").join(name)).unwrap();
    }
    fs::set_permissions(world.path("image/t"), fs::Permissions::from_mode(0o751)).unwrap();
    fs::write(world.path("image/secret"), "").unwrap();
    let (a, b) = (world.path("a"), world.path("b"));
    let overlay = |lower: Vec<PathBuf>, source: &str, is_file, writable| MountKind::Overlay {
        lower,
        source: source.into(),
        is_file,
        writable,
        scratch: None,
    };
    let mut spec = world.shell(
        "cat /m1/dir/file /m1/dir/other; echo x > /m1/dir/new && echo written; \
         cat /m2/other; (: > /m2/x) 2>/dev/null || echo refused; \
         echo new > /m3/made; ls /m3; (: > /m4/x) 2>/dev/null || echo refused; ls -A /m5; \
         stat -c %a /t; grep -c '^tmpfs /t ' /proc/mounts; cat /t/inside/file; \
         cat /secret; stat -c '%a %u:%g' /secret; (: > /secret) 2>/dev/null || echo refused",
    );
    spec.mounts = vec![
        mount("/m1", overlay(vec![b.clone(), a.clone()], "", false, true)),
        mount("/m2", overlay(vec![b.clone(), a.clone()], "/dir/", false, false)),
        mount("/m3", MountKind::Bind { source: world.path("cache"), readonly: false }),
        mount("/m4", MountKind::Bind { source: world.path("cache"), readonly: true }),
        mount("/m5", overlay(vec![], "", false, false)),
        mount("/t/inside/file", overlay(vec![a.clone()], "dir/file", true, false)),
        mount("/t", MountKind::Tmpfs { size: Some(1 << 20) }),
        mount("/secret", MountKind::File { data: Bytes(b"hush\n".to_vec()), mode: 0o400, uid: 5, gid: 6 }),
    ];
    let outcome = world.check_spec(
        &spec,
        "lowerupperwritten\nupperrefused\nkept\nmade\nrefused\n751\n1\nlowerhush\n400 5:6\nrefused\n",
    );
    assert_eq!(names(&outcome.upper), [""; 0]);
    assert_eq!(names(&world.path("cache")), ["kept", "made"]);
    assert_eq!(names(&a), ["dir", "dir/file"]);
}

#[test]
fn the_last_of_two_mounts_is_seen() {
    let Some(mut world) = world() else { return };
    fs::create_dir(world.path("image/m")).unwrap();
    fs::create_dir(world.path("dir")).unwrap();
    fs::write(world.path("dir/file"), "").unwrap();
    let bind = mount("/m", MountKind::Bind { source: world.path("dir"), readonly: true });
    let tmpfs = mount("/m", MountKind::Tmpfs { size: None });
    let mut spec = world.shell("ls /m");
    spec.mounts = vec![bind.clone(), tmpfs.clone()];
    world.check_spec(&spec, "");
    let mut spec = world.shell("ls /m");
    spec.mounts = vec![tmpfs, bind];
    world.check_spec(&spec, "file\n");
}

#[test]
fn follows_links_of_the_image_inside_the_root() {
    let Some(mut world) = world() else { return };
    let image = world.path("image");
    fs::create_dir(image.join("real")).unwrap();
    fs::write(image.join("real/file"), "").unwrap();
    symlink("/real", image.join("link")).unwrap();
    symlink("../../../../real", image.join("home/up")).unwrap();
    fs::write(world.path("data"), "content").unwrap();
    for target in ["/link/file", "/home/up/file", "/home/../../link/./file"] {
        let mut spec = world.shell("cat /real/file");
        spec.mounts = vec![mount(target, MountKind::Bind { source: world.path("data"), readonly: true })];
        world.check_spec(&spec, "content");
    }
}

#[test]
fn errors_name_the_mount() {
    let Some(mut world) = world() else { return };
    fs::write(world.path("data"), "content").unwrap();
    fs::create_dir(world.path("empty")).unwrap();
    let file = MountKind::Bind { source: world.path("data"), readonly: true };
    let folder = MountKind::Bind { source: world.path("empty"), readonly: true };
    let mut check = |mounts: Vec<SandboxMount>, expected: &[&str]| {
        let mut spec = world.shell("true");
        spec.mounts = mounts;
        let error = world.run(&spec).result.unwrap_err().to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    };
    check(vec![mount("/etc", file.clone())], &["/etc", "a file where a folder is needed"]);
    check(vec![mount("/bin/busybox", folder.clone())], &["/bin/busybox", "a file where a folder is needed"]);
    check(vec![mount("/home", folder), mount("/home/x", file.clone())], &["/home/x", "read-only mount"]);
    check(vec![mount("/not/there", file)], &["/not/there", "No such file"]);
    check(
        vec![mount("/home", MountKind::Bind { source: "/no/such/source".into(), readonly: true })],
        &["/no/such/source"],
    );
}

#[test]
fn a_missing_working_folder_is_made_for_the_user() {
    let Some(mut world) = world() else { return };
    let mut spec = world.shell("pwd; stat -c '%a %u:%g' . ..");
    spec.cwd = "/work/inner".into();
    (spec.uid, spec.gid, spec.groups) = (700, 710, vec![710]);
    let outcome = world.check_spec(&spec, "/work/inner\n755 700:710\n755 700:710\n");
    assert_eq!(names(&outcome.upper), ["work", "work/inner"]);
}

#[test]
fn a_background_process_does_not_hold_the_step() {
    let Some(mut world) = world() else { return };
    let outcome = world.check("(sleep 1000; touch /late) & (sleep 1000 > /dev/null 2>&1) & echo done", "done\n");
    assert_eq!(names(&outcome.upper), [""; 0]);
}

#[test]
fn can_be_canceled() {
    let Some(mut world) = world() else { return };
    let cancel = Cancel::new().unwrap();
    let spec = world.shell("sleep 1000 & echo started; sleep 1000");
    let outcome = world.run_until(&spec, &cancel, &mut |text| {
        if text.contains("started") {
            cancel.cancel();
        }
    });
    assert!(matches!(outcome.result, Err(SandboxError::Canceled)), "{outcome:?}");
    let spec = world.shell("true");
    assert!(matches!(world.run_until(&spec, &cancel, &mut |_| {}).result, Err(SandboxError::Canceled)));
}

#[test]
fn nothing_outlives_a_killed_builder() {
    let Some(world) = world() else { return };
    let mut builder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::a_builder_to_be_killed", "--ignored", "--nocapture"])
        .env("TMPDIR", world.folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(builder.stdout.take().unwrap());
    let line = output.lines().map(Result::unwrap).find(|line| line.starts_with("sandbox ")).unwrap();
    let pid = rustix::process::Pid::from_raw(line["sandbox ".len()..].parse().unwrap()).unwrap();
    let sandbox = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    builder.kill().unwrap();
    builder.wait().unwrap();
    // Returns once the process has ended.
    let mut fds = [rustix::event::PollFd::new(&sandbox, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut fds, None), Ok(1));
}

#[test]
#[ignore = "a part of nothing_outlives_a_killed_builder"]
fn a_builder_to_be_killed() {
    let Some(mut world) = world() else { return };
    let spec = world.shell("echo started; sleep 1000");
    world.run_until(&spec, &Cancel::new().unwrap(), &mut |_| println!("sandbox {}", child_of_this_process()));
}

/// The number of this process's only child.
fn child_of_this_process() -> String {
    let own = format!("PPid:\t{}\n", std::process::id());
    let is_child =
        |pid: &String| fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| text.contains(&own));
    let mut pids = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    pids.find(is_child).unwrap()
}

#[test]
fn large_output_arrives_whole() {
    let Some(mut world) = world() else { return };
    let spec = world.shell("head -c 3000000 /dev/zero; head -c 300000 /dev/zero >&2; printf 'no newline\\377'");
    let mut counts = [0, 0];
    let mut last = Vec::new();
    let mut output = |stream: Stream, bytes: &[u8]| {
        counts[usize::from(stream == Stream::Stderr)] += bytes.len();
        if stream == Stream::Stdout {
            last = bytes.to_vec();
        }
    };
    world.executor.run(&spec, &mut output, &Cancel::new().unwrap()).unwrap();
    assert_eq!(counts, [3_000_011, 300_000]);
    assert!(last.ends_with(b"newline\xff"));
}

#[test]
fn stacks_hundreds_of_layers_with_any_names() {
    let Some(mut world) = world() else { return };
    let mut spec = world.shell("cat /top /top2; ls /layers | wc -l");
    let mut lower = Vec::new();
    for number in 0..200 {
        let long = "x".repeat(240);
        let layer = world.path(&format!("{long}/{number}:,\\ \"layer"));
        fs::create_dir_all(layer.join("layers")).unwrap();
        fs::write(layer.join("layers").join(number.to_string()), "").unwrap();
        fs::write(layer.join("top"), number.to_string()).unwrap();
        lower.push(layer);
    }
    lower.reverse();
    fs::write(lower[0].join("top2"), "\n").unwrap();
    lower.append(&mut spec.lower);
    spec.lower = lower;
    world.check_spec(&spec, "199\n200\n");
}

#[test]
fn the_upper_folder_is_a_plain_layer() {
    let Some(mut world) = world() else { return };
    fs::create_dir_all(world.path("image/d/sub")).unwrap();
    fs::write(world.path("image/d/sub/file"), "x").unwrap();
    fs::write(world.path("image/gone"), "x").unwrap();
    let outcome =
        world.check("rm /gone; mv /d /e 2>&1; rm -r /home; mkdir /home; chmod 700 /tmp; ls -A /e/sub", "file\n");
    assert_eq!(names(&outcome.upper), ["d", "e", "e/sub", "e/sub/file", "gone", "home", "tmp"]);
    // Copied, not redirected; removed ones are marked by a device 0:0, replaced folders by an attribute.
    assert_eq!(fs::read_to_string(outcome.upper.join("e/sub/file")).unwrap(), "x");
    assert_eq!(fs::symlink_metadata(outcome.upper.join("gone")).unwrap().rdev(), 0);
}

#[test]
fn an_agent_socket_has_the_owner_asked_for() {
    let Some(mut world) = world() else { return };
    fs::write(world.path("image/socket"), "").unwrap();
    let mut spec = world.shell("stat -c '%F %a %u:%g' /socket");
    let path = world.path("agent");
    spec.mounts = vec![mount("/socket", MountKind::Socket { path, mode: 0o600, uid: 700, gid: 710 })];
    world.check_spec(&spec, "socket 600 700:710\n");
    assert_eq!(names(&spec.work).iter().filter(|name| name.starts_with("socket")).count(), 0, "it is gone afterwards");
}

#[test]
fn mount_points_that_the_image_lacks_do_not_reach_the_layer() {
    let Some(mut world) = world() else { return };
    let meta = |mode| Meta { mode, ..Meta::default() };
    let folder =
        |path: &str| Entry { path: TreePath::clean(path), meta: meta(0o755), kind: Kind::Dir { opaque: false } };
    let entries = ["", "bin", "home"].map(folder).into();
    let view = Merged::new(vec![Arc::new(Toc::new(entries))]);
    for name in ["dev", "proc", "sys", "tmp"] {
        fs::remove_dir(world.path("image").join(name)).unwrap();
    }
    fs::remove_dir_all(world.path("image/etc")).unwrap();
    fs::create_dir(world.path("stubs")).unwrap();
    let mut spec =
        world.shell("ls -d /new/deep/er /opt/s/s /etc/hosts; touch /new/beside; pwd; stat -c %a /new/deep/er");
    spec.cwd = "/work".into();
    spec.mounts = vec![
        mount("/new/deep/er", MountKind::Tmpfs { size: None }),
        mount("/opt/s/s", MountKind::File { data: Bytes::default(), mode: 0o400, uid: 0, gid: 0 }),
        mount("/dev/pipes/EOF", MountKind::File { data: Bytes::default(), mode: 0o755, uid: 0, gid: 0 }),
    ];
    let targets = stubs::targets(&spec).unwrap();
    let made = stubs::stubs(&view, &spec.cwd, (0, 0), 1_600_000_000, &targets).unwrap();
    stubs::write(&made.hidden, &world.path("stubs")).unwrap();
    stubs::write(&made.kept, &spec.upper).unwrap();
    spec.lower.insert(0, world.path("stubs"));
    let outcome = world.check_spec(&spec, "/etc/hosts\n/new/deep/er\n/opt/s/s\n/work\n1777\n");
    assert_eq!(names(&outcome.upper), ["dev", "new", "new/beside", "proc", "sys", "work"]);
    assert_eq!(fs::metadata(outcome.upper.join("work")).unwrap().mtime(), 1_600_000_000);
}

#[test]
fn many_run_at_once() {
    let Some(mut world) = world() else { return };
    let specs: Vec<Spec> = (0..16).map(|n| world.shell(&format!("echo {n}; exit {n}"))).collect();
    let world = &world;
    std::thread::scope(|scope| {
        let runs: Vec<_> = specs.iter().map(|spec| scope.spawn(move || world.run(spec))).collect();
        for (number, run) in runs.into_iter().enumerate() {
            let outcome = run.join().unwrap();
            assert_eq!(outcome.result.unwrap(), Exit::Code(number as i32));
            assert_eq!(outcome.stdout, format!("{number}\n"));
        }
    });
}

/// Not a test: prints what a step costs. `cargo test --release --test it -- --ignored --nocapture overhead`
#[test]
#[ignore = "a measurement"]
fn overhead() {
    let Some(mut world) = world() else { return };
    for (name, network) in [("host network", Network::Host), ("own network", Network::None)] {
        let mut times = Vec::new();
        for _ in 0..100 {
            let mut spec = world.shell("echo hello");
            spec.network = network;
            let start = std::time::Instant::now();
            world.run(&spec).result.unwrap();
            times.push(start.elapsed());
        }
        times.sort();
        println!("{name}: fastest {:?}, median {:?}, slowest {:?}", times[0], times[50], times[99]);
    }
}
