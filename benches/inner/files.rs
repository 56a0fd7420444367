//! Build contexts: ignore files, walking, selecting, hashing what was selected.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use imgbuild::fstree::pattern::{Matcher, Verdict};
use imgbuild::fstree::select::{Source, select, select_hashed, selection_key};
use imgbuild::fstree::{Merged, View};
use imgbuild::source::{LocalContext, StatCache};

use crate::layers::{path_of, toc};

/// The patterns of a large project.
const PATTERNS: &[&str] = &[
    ".git",
    "**/node_modules",
    "**/*.log",
    "**/target",
    "dist/",
    "*.md",
    "!README.md",
    "**/.DS_Store",
    "**/__pycache__",
    "**/*.py[cod]",
    "docs/**",
    "!docs/**/*.txt",
    "d1*/d2?/*.o",
    "tmp*",
    "a/b/c/d",
    "**/coverage/**",
    ".env*",
    "!.env.example",
    "**/*.sw?",
    "build/**/cache",
];

pub fn all(criterion: &mut Criterion) {
    ignoring(criterion);
    selecting(criterion);
    walking(criterion);
}

fn ignoring(criterion: &mut Criterion) {
    let matcher = Matcher::new(PATTERNS).expect("they are patterns");
    let mut group = criterion.benchmark_group("dockerignore");
    for count in [10_000, 100_000] {
        let paths: Vec<_> = (0..count).map(path_of).collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("walk {count} paths, {} patterns", PATTERNS.len()), |bencher| {
            bencher.iter(|| {
                let folder = paths[0].parent().unwrap_or_default();
                let above = matcher.decide(&folder);
                paths.iter().filter(|path| matcher.enter(&above, path).excluded).count()
            });
        });
    }
    let long = imgbuild::fstree::TreePath::clean("ab/".repeat(1000));
    let matcher = Matcher::new(&["**/a*b*a*b/**/c*d?", "**/**/**/**/x"]).expect("they are patterns");
    group.bench_function("one hostile path", |bencher| {
        bencher.iter(|| matcher.enter(&Verdict::default(), black_box(&long)))
    });
    group.finish();
}

fn selecting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("select");
    for count in [10_000, 100_000] {
        let view = Merged::new(vec![Arc::new(toc(count, 0))]);
        view.prepare();
        let source = Source { path: "/", wildcard: false, parents: false, exclude: &[] };
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("all of {count} files"), |bencher| {
            bencher.iter(|| select(&view, black_box(source)).expect("it is there"));
        });
        let matches = select_hashed(&view, source).expect("it is there");
        group.bench_function(format!("hash {count} selected files"), |bencher| {
            bencher.iter(|| selection_key([&matches[..]].into_iter()));
        });
    }
    group.finish();
}

fn walking(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    const FILES: usize = 20_000;
    for number in 0..FILES {
        let path = folder.path().join(std::str::from_utf8(path_of(number).as_bytes()).expect("it is text"));
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, number.to_string()).expect("a file");
    }
    let mut group = criterion.benchmark_group("context");
    group.throughput(Throughput::Elements(FILES as u64));
    let everything = Source { path: "/", wildcard: false, parents: false, exclude: &[] };
    let matcher = || Matcher::new(PATTERNS).expect("they are patterns");
    let open = |cache| {
        LocalContext::open(folder.path(), matcher(), 0, cache, imgbuild::store::Stop::NEVER).expect("it is there")
    };
    group.bench_function(format!("walk {FILES} files for the first time"), |bencher| {
        bencher.iter(|| select_hashed(&open(StatCache::forgetful()), everything).expect("it can be read"));
    });
    let cache = tempfile::tempdir().expect("a temporary folder");
    let cache = cache.path().join("cache");
    let first = open(StatCache::open(&cache));
    select_hashed(&first, everything).expect("it can be read");
    first.save_cache().expect("it can be written");
    group.bench_function(format!("walk {FILES} files that are known"), |bencher| {
        bencher.iter(|| select_hashed(&open(StatCache::open(&cache)), everything).expect("it can be read"));
    });
    group.finish();
}
