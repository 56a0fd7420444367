//! Archives that are small and become large: compressed, sparse, or of so many entries that lists of them fill the memory.

use std::io::Write;
use std::process::{Command, Stdio};

use super::doors::{Case, Ended, Layout, Outcome, World, config, docker_archive, holds};
use super::pass;
use super::tar::{Header, Tar, packed, record};
use crate::support::{put, scratch, text};

/// Runs the program with this on standard input; how it ended, and the most memory that it took, in MiB.
fn measured(world: &World, arguments: &[&str], input: &[u8]) -> (Ended, u64) {
    // The memory of a process that was forked counts what its parent had; so the parent is a small one.
    let script = "import resource, subprocess, sys\n\
                  code = subprocess.call(sys.argv[2:])\n\
                  open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n\
                  sys.exit(code if code >= 0 else 128 - code)\n";
    let folder = scratch();
    let peak = folder.path().join("peak");
    let program = world.command(arguments);
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(&peak).arg(program.get_program()).args(program.get_args());
    command.current_dir(world.path("here")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    let ended = Ended { code: output.status.code().unwrap(), out: output.stdout, err: text(&output.stderr) };
    ended.is_orderly();
    let peak: u64 = std::fs::read_to_string(peak).unwrap().parse().unwrap();
    println!("{arguments:?}: {} MiB", peak >> 10);
    (ended, peak >> 10)
}

/// Limits so low that reaching them takes no time: beyond 1 GiB any ratio counts, so the size is what is low.
fn limits(world: &World) -> String {
    put(&world.path("context"), "imgbuild.toml", "[archives]\nmax-unpacked = '1m'\n").display().to_string()
}

/// Loads, imports, adds and builds from two megabytes where one may be.
#[test]
fn sizes() {
    for world in World::each() {
        let config_file = limits(&world);
        let large = Tar::new().file("f", vec![0; 2 << 20]).end();
        let sparse = Tar::new().pax(&[("GNU.sparse.map", "0,1"), ("GNU.sparse.size", "2097152")]).file("f", "x").end();
        let mut passes = 0;
        for (what, tar) in [("zeros", &large), ("a hole", &sparse)] {
            let archive = docker_archive(&[tar]);
            let layout = Layout::new(&[tar], "gzip").archive();
            let run = |arguments: &[&str], input: &[u8]| {
                let mut command = world.command(arguments);
                command
                    .env("IMGBUILD_CONFIG", &config_file)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped());
                let mut child = command.spawn().unwrap();
                let _ = child.stdin.take().unwrap().write_all(input);
                let output = child.wait_with_output().unwrap();
                Ended { code: output.status.code().unwrap(), out: Vec::new(), err: text(&output.stderr) }
            };
            for packer in ["", "gzip", "zstd", "xz", "bzip2"] {
                let bytes = packed(packer, tar);
                let context = put(&world.path("context"), "a", &bytes);
                let context = context.parent().unwrap().to_str().unwrap();
                let dockerfile = b"FROM scratch\nADD a /\n";
                for ended in [
                    run(&["import", "-", "evil"], &bytes),
                    run(&["build", "--no-lock", "-f", "-", context], dockerfile),
                    run(&["build", "-"], &bytes),
                ] {
                    assert_eq!(ended.code, 1, "{what} {packer}: {}", ended.err);
                    assert!(ended.err.contains("more than the limit of 1048576"), "{what} {packer}: {}", ended.err);
                    assert!(!ended.err.contains("no Dockerfile"), "{what} {packer}: {}", ended.err);
                    passes += 1;
                }
            }
            for archive in [&archive, &layout] {
                let loaded = run(&["load"], archive);
                let ended = if loaded.code == 0 {
                    run(&["build", "-o", "type=tar,dest=-", "-"], b"FROM evil\n")
                } else {
                    loaded
                };
                assert_eq!(ended.code, 1, "{what}: {}", ended.err);
                assert!(ended.err.contains("limit of 1048576"), "{what}: {}", ended.err);
                passes += 1;
            }
            world.is_untouched(what);
        }
        println!("2 archives, {passes} passes {}", world.name());
        world.is_sound();
    }
}

/// What unpacks to more than a gigabyte may be 200 times what came, and no more.
#[test]
fn ratios() {
    let world = World::new();
    let zeros = Tar::new().raw(Header::new(b'0', "f").size(3 << 30), b"").0;
    let folder = scratch();
    let head = put(folder.path(), "head", &zeros);
    let bomb = folder.path().join("bomb.gz");
    // Members of gzip behind one another are one stream.
    let script = "{ cat \"$0\"; head -c 1M /dev/zero; } | gzip -1 > \"$1\"; head -c 64M /dev/zero | gzip > \"$1.part\"; \
                  for number in $(seq 48); do cat \"$1.part\"; done >> \"$1\"";
    crate::support::run(Command::new("sh").args(["-c", script]).arg(&head).arg(&bomb));
    let bytes = std::fs::read(&bomb).unwrap();
    assert!(bytes.len() < 8 << 20, "{}", bytes.len());
    let sparse = Tar::new().pax(&[("GNU.sparse.map", "0,1"), ("GNU.sparse.size", "999999999999")]).file("f", "x").end();
    let nested = packed("gzip", &packed("gzip", &bytes));
    for (what, bytes, refused) in
        [("zeros", &bytes, true), ("a hole", &sparse, true), ("zeros in zeros", &nested, false)]
    {
        let context = put(&world.path("context"), "a", bytes);
        let dockerfile = b"FROM scratch\nADD a /\n";
        let arguments = ["build", "-q", "--no-lock", "-f", "-", context.parent().unwrap().to_str().unwrap()];
        let (ended, peak) = measured(&world, &arguments, dockerfile);
        // An archive in an archive is a file.
        assert_eq!(ended.code, i32::from(refused), "{what}: {}", ended.err);
        assert!(!refused || ended.err.contains("200 times as many (`max-ratio`"), "{what}: {}", ended.err);
        assert!(peak < 256, "{what}: {peak} MiB");
        let imported = world.run(&["import", "-", "evil"], bytes);
        assert_eq!(imported.code, 1, "{what}: {}", imported.err);
        world.is_untouched(what);
    }
    println!("3 archives, 6 passes");
    world.is_sound();
}

/// A million entries are listed in bounded memory.
#[test]
fn a_million_entries() {
    let world = World::new();
    let tar = many(1_000_000);
    let (imported, peak) = measured(&world, &["import", "-q", "-", "evil"], &packed("gzip", &tar));
    assert_eq!(imported.code, 0, "{}", imported.err);
    assert!(peak < 128, "import: {peak} MiB");
    let dockerfile = b"FROM evil\nCOPY --from=busybox /bin/busybox /b\n";
    let (built, peak) = measured(&world, &["build", "-q", "-"], dockerfile);
    assert_eq!(built.code, 0, "{}", built.err);
    assert!(peak < 1000, "build: {peak} MiB");
    println!("1 archive, 2 passes");
}

/// A tar of so many empty files in a hundred folders.
fn many(entries: usize) -> Vec<u8> {
    let blank = Tar::new().raw(Header::new(b'0', ""), b"").0;
    // The checksum field counts as spaces.
    let sum: u32 =
        blank.iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { u32::from(byte) }).sum();
    let mut tar = Vec::with_capacity((entries + 2) * 512);
    for number in 0..entries {
        let (name, start) = (format!("d{}/{}", number % 100, number / 100), tar.len());
        tar.extend_from_slice(&blank);
        tar[start..start + name.len()].copy_from_slice(name.as_bytes());
        let sum = sum + name.bytes().map(u32::from).sum::<u32>();
        tar[start + 148..start + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// Names and attributes are held in memory by whoever lists a layer, so there are limits to all of them together.
#[test]
fn attributes_that_fill_the_memory() {
    let world = World::new();
    let records = record(b"SCHILY.xattr.user.note", &vec![b'v'; 900 << 10]);
    let folder = scratch();
    let one = put(folder.path(), "one", Tar::new().pax_bytes(b'x', &records).file("f", "").0);
    let all = folder.path().join("all");
    let script = "for n in $(seq 1300); do cat \"$0\"; done | gzip -1 > \"$1\"";
    crate::support::run(Command::new("sh").args(["-c", script]).arg(&one).arg(&all));
    // Nobody gets as far as to see that this is not its diff ID.
    let mut layout = Layout::new(&[], "");
    let blob = layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", std::fs::read(&all).unwrap());
    layout.image(&config(&[b"other"]), &[blob]);
    assert_eq!(world.run(&["load", "-q"], &layout.archive()).code, 0);
    let dockerfile = b"FROM evil\nCOPY --from=busybox /bin/busybox /b\n";
    let (ended, peak) = measured(&world, &["build", "-q", "-"], dockerfile);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("limit of 1073741824") || ended.err.contains("max-ratio"), "{}", ended.err);
    assert!(peak < 1500, "{peak} MiB");
    println!("1 archive, 1 pass");
    world.is_sound();
}

/// Streams that end too early, go on with something else, or lie about themselves.
#[test]
fn streams() {
    let tar = Tar::new().file("f", vec![b'x'; 5000]).end();
    let world = World::new();
    let mut passes = 0;
    for packer in ["gzip", "zstd", "xz", "bzip2"] {
        let whole = packed(packer, &tar);
        let half = tar.len() / 2;
        let two = [packed(packer, &tar[..half]), packed(packer, &tar[half..])].concat();
        let damaged: Vec<u8> = whole
            .iter()
            .enumerate()
            .map(|(at, byte)| if at == whole.len() / 2 { byte ^ 0x55 } else { *byte })
            .collect();
        for (what, bytes, fine) in [
            ("two parts", two.clone(), Some(true)),
            ("cut", whole[..whole.len() / 2].to_vec(), Some(false)),
            ("only a mark", whole[..6].to_vec(), Some(false)),
            ("damaged", damaged, None),
            ("garbage behind", [&whole[..], b"garbage"].concat(), None),
            ("zeros behind", [&whole[..], &[0; 512]].concat(), None),
            ("compressed twice", packed(packer, &whole), Some(false)),
        ] {
            let imported = world.run(&["import", "-q", "-", "evil"], &bytes);
            let expected = fine.map(i32::from).map(|fine| 1 - fine);
            assert!(expected.is_none_or(|expected| imported.code == expected), "{packer} {what}: {}", imported.err);
            let built = world.run(&["build", "-q", "-"], &bytes);
            assert_eq!(built.code, 1, "{packer} {what}: there is no Dockerfile in it");
            let _ = world.run(&["load", "-q"], &bytes);
            passes += 3;
        }
    }
    println!("28 archives, {passes} passes");
    world.is_untouched("streams");
    world.is_sound();
    // A window of a terabyte, and one of 128 MiB with nothing in it.
    let windows = [[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff].as_slice(), &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0, 0]];
    for window in windows {
        let (ended, peak) = measured(&world, &["import", "-q", "-", "evil"], window);
        assert!(ended.code <= 1, "{}", ended.err);
        assert!(peak < 256, "{peak} MiB");
    }
    pass(&[Case::new("an empty tar", Tar::new(), holds(&[])).but(Outcome::Any)], 1);
}
