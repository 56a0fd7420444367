//! What is read before anything is built: Dockerfiles, build files, lockfiles, and the keys of steps.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use imgbuild::digest::{DiffId, Digest};
use imgbuild::frontend::buildfile;
use imgbuild::frontend::dockerfile::{Dockerfile, Lowered, Need, Options, Resolved, ResolvedImage, lower, parse};
use imgbuild::graph::{ExecOp, Graph, Label, Op, key};
use imgbuild::lockfile::{LockedHttp, LockedImage, Lockfile};
use imgbuild::oci::{ImageConfig, Platform};

pub fn all(criterion: &mut Criterion) {
    dockerfiles(criterion);
    shapes(criterion);
    keys(criterion);
    build_files(criterion);
    lockfiles(criterion);
}

fn amd64() -> Platform {
    Platform::new("linux", "amd64", None)
}

/// Stages of twenty instructions of all kinds, up to a size in bytes.
fn dockerfile(size: usize) -> String {
    let mut text = String::from("ARG VERSION=1.2\n");
    let mut stage = 0;
    while text.len() < size {
        let copy = if stage == 0 { String::new() } else { format!("COPY --from=stage{} /out /in/\n", stage - 1) };
        write!(
            text,
            "# A comment.\nFROM base AS stage{stage}\nARG VERSION\nENV A=a B=\"${{A:-b}} c\" N={stage}\nWORKDIR /src/$N\n\
             COPY --chown=1:1 a b* c/ ./\nRUN --mount=type=cache,target=/cache \\\n    make \\\n    # why\n    -j8 && make install\n\
             RUN <<EOF\nset -e\necho \"$A\" > /out\nEOF\nCOPY <<-\"ONE\" <<TWO /etc/\n\tone\nONE\n$A\nTWO\n{copy}\
             LABEL a.b=\"c d\" e=f\nEXPOSE 80 443/tcp\nUSER 1000:1000\nVOLUME [\"/data\"]\nHEALTHCHECK --interval=1m CMD true\n\
             ENTRYPOINT [\"/bin/app\", \"--flag\"]\nCMD run ${{B}}\nRUN echo one && echo two && echo three && echo four\n"
        )
        .expect("a string takes all");
        stage += 1;
    }
    text
}

fn lowered(file: &Dockerfile, options: &Options, resolved: &mut Resolved) -> Graph {
    loop {
        let mut graph = Graph::new();
        match lower(file, options, resolved, &mut graph).unwrap_or_else(|errors| panic!("{errors:?}")) {
            Lowered::Done(_) => return graph,
            Lowered::Needs(needs) => {
                for need in needs {
                    let Need::Image { reference, platform, .. } = need else { panic!("{need:?}") };
                    let mut config =
                        ImageConfig { os: "linux".into(), architecture: "amd64".into(), ..ImageConfig::default() };
                    config.rootfs.diff_ids = vec![DiffId::from_bytes([1; 32])];
                    let image = ResolvedImage { reference: reference.clone(), config };
                    resolved.images.insert((reference, platform), image);
                }
            }
        }
    }
}

fn dockerfiles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dockerfile");
    for (name, size) in [("10 KB", 10_000), ("100 KB", 100_000), ("1 MB", 1_000_000)] {
        let text = dockerfile(size);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("parse {name}"), |bencher| bencher.iter(|| parse(black_box(&text))));
        let file = parse(&text).dockerfile.expect("it parses");
        let options = Options::new("Dockerfile", amd64());
        let mut resolved = Resolved::default();
        lowered(&file, &options, &mut resolved);
        group.bench_function(format!("lower {name}"), |bencher| {
            bencher.iter(|| lowered(&file, &options, &mut resolved));
        });
    }
    group.finish();
}

/// Files that are large in one way only: twice the size must take twice the time.
fn shapes(criterion: &mut Criterion) {
    let shape = |start: &str, line: &dyn Fn(usize) -> String, end: &str, size: usize| {
        let mut text = start.to_owned();
        let mut number = 0;
        while text.len() < size {
            text.push_str(&line(number));
            number += 1;
        }
        text + end
    };
    let mut group = criterion.benchmark_group("dockerfile shapes");
    for (name, start, line, end) in [
        ("continuations", "FROM scratch\nRUN true", (|_| " && \\\n  true".into()) as fn(usize) -> String, "\n"),
        ("small instructions", "FROM scratch\n", |_| "EXPOSE 1\n".into(), ""),
        ("a heredoc", "FROM scratch\nCOPY <<EOF /\n", |_| "a line\n".into(), "EOF\n"),
        ("stages", "", |number| format!("FROM scratch AS s{number}\n"), ""),
        ("variables", "FROM scratch\n", |number| format!("ENV A{number}=$B{number}\n"), ""),
        ("a list", "FROM scratch\nENV", |number| format!(" A{number}=b \\\n"), "\n"),
        ("mistakes", "FROM scratch\n", |_| "RUNN a\n".into(), ""),
    ] {
        for (title, size) in [("50 KB", 50_000), ("100 KB", 100_000)] {
            let text = shape(start, &line, end, size);
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(format!("parse {title}: {name}"), |bencher| bencher.iter(|| parse(black_box(&text))));
            let Some(file) = parse(&text).dockerfile else { continue };
            let options = Options::new("Dockerfile", amd64());
            group.bench_function(format!("lower {title}: {name}"), |bencher| {
                bencher.iter(|| lowered(&file, &options, &mut Resolved::default()));
            });
        }
    }
    group.finish();
}

fn keys(criterion: &mut Criterion) {
    let env = (0..50).map(|number| (format!("NAME_{number}"), "value".repeat(5))).collect();
    let args = vec!["/bin/sh".into(), "-c".into(), "make -j8 && make install".into()];
    let op = Op::Exec(Box::new(ExecOp { args, env, cwd: "/src".into(), ..ExecOp::default() }));
    let mut group = criterion.benchmark_group("keys");
    group.bench_function("of one RUN", |bencher| bencher.iter(|| key::definition(black_box(&op), &amd64(), &[])));
    for steps in [1000, 10_000] {
        group.throughput(Throughput::Elements(steps));
        group.bench_function(format!("a chain of {steps} RUNs"), |bencher| {
            bencher.iter(|| {
                let mut graph = Graph::new();
                let mut last = graph.add(Op::Scratch, &[], amd64(), Label::default(), false);
                for number in 0..steps {
                    let args = vec!["/bin/sh".into(), "-c".into(), number.to_string()];
                    let op = Op::Exec(Box::new(ExecOp { args, ..ExecOp::default() }));
                    last = graph.add(op, &[last], amd64(), Label::default(), false);
                }
                graph[last].definition
            });
        });
    }
    group.finish();
}

fn build_file(targets: usize) -> String {
    let mut text =
        String::from("[variable]\nTAG = \"1\"\nREGISTRY = \"host:5000/shop-${TAG}\"\n\n[group]\ndefault = [");
    (0..targets).for_each(|number| write!(text, "\"t{number}\", ").expect("a string takes all"));
    text.push_str(
        "]\n\n[target.common]\nargs = { A = \"${TAG}\", B = \"b\" }\nlabels = { \"a.b\" = \"${REGISTRY}\" }\n",
    );
    for number in 0..targets {
        let context = if number == 0 { String::new() } else { format!("before = \"target:t{}\", ", number / 2) };
        let context = if number / 2 == number { String::new() } else { context };
        write!(
            text,
            "\n[target.t{number}]\ninherits = [\"common\"]\ncontext = \"services/{number}\"\ncontexts = {{ {context}here = \".\" }}\n\
             args = {{ N = {number}, V = \"${{TAG}}-{number}\" }}\ntags = [\"${{REGISTRY}}/t{number}:${{TAG}}\"]\n"
        )
        .expect("a string takes all");
    }
    text
}

fn build_files(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build file");
    for targets in [50, 500, 5000] {
        let text = build_file(targets);
        group.throughput(Throughput::Elements(targets as u64));
        group.bench_function(format!("parse {targets} targets"), |bencher| {
            bencher.iter(|| buildfile::parse(black_box(&text)).expect("it parses"));
        });
        let file = buildfile::parse(&text).unwrap_or_else(|errors| panic!("{errors:?}"));
        group.bench_function(format!("plan {targets} targets"), |bencher| {
            bencher.iter(|| buildfile::resolve(&file, &[], &BTreeMap::new(), &[]).expect("it resolves"));
        });
    }
    group.finish();
}

fn lockfiles(criterion: &mut Criterion) {
    let mut lock = Lockfile::new();
    for number in 0..500 {
        let digest = Digest::of(format!("{number}").as_bytes());
        let image = LockedImage { index: Some(digest), manifest: digest, config: digest };
        lock.record_image(&format!("host:5000/image-{number}:1.2"), &amd64(), image);
        let file = LockedHttp { sha256: digest, size: number, last_modified: Some(1_700_000_000) };
        lock.record_http(&format!("https://example.org/{number}.tar.gz"), file);
        lock.record_git(&format!("https://example.org/{number}.git"), "main", &"a".repeat(40));
    }
    let text = lock.to_string();
    let mut group = criterion.benchmark_group("lockfile");
    group.throughput(Throughput::Elements(1500));
    group.bench_function("parse 1500 entries", |bencher| bencher.iter(|| Lockfile::parse(black_box(&text))));
    group.bench_function("print 1500 entries", |bencher| bencher.iter(|| black_box(&lock).to_string()));
    group.finish();
}
