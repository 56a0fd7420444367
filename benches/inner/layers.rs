//! Layers as data: tables of contents, stacks, tars, compression.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use imgbuild::compress::{Compression, writer};
use imgbuild::digest::{ContentDigest, HashingWriter};
use imgbuild::fstree::tar::{self, Contents, Dialect, Limits, TarReader, Verify};
use imgbuild::fstree::{Entry, Kind, Merged, Meta, Toc, TreePath, View};

pub fn all(criterion: &mut Criterion) {
    tables(criterion);
    stacks(criterion);
    tars(criterion);
    compression(criterion);
}

/// The path of a file in a tree with a hundred files in each folder.
pub fn path_of(number: usize) -> TreePath {
    TreePath::clean(format!("src/d{}/d{}/file-{}.rs", number / 10_000, number / 100 % 100, number % 100))
}

/// A layer of so many files of 64 bytes, with their folders.
pub fn toc(files: usize, first: usize) -> Toc {
    let entry = |path: TreePath, kind| Entry { path, meta: Meta { mode: 0o644, ..Meta::default() }, kind };
    let mut entries = Vec::new();
    for number in first..first + files {
        let path = path_of(number);
        if number % 100 == 0 || number == first {
            let above = path.ancestors().skip(1).map(|folder| entry(folder, Kind::Dir { opaque: false }));
            entries.extend(above);
        }
        entries.push(entry(path, Kind::File { size: 64, content: ContentDigest::from_bytes([number as u8; 32]) }));
    }
    Toc::new(entries)
}

fn tables(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("toc");
    for files in [10_000, 100_000] {
        let toc = toc(files, 0);
        let bytes = toc.encode();
        group.throughput(Throughput::Elements(files as u64));
        group.bench_function(format!("encode {files} files"), |bencher| bencher.iter(|| black_box(&toc).encode()));
        group
            .bench_function(format!("decode {files} files"), |bencher| bencher.iter(|| Toc::decode(black_box(&bytes))));
        group.bench_function(format!("digest {files} files"), |bencher| bencher.iter(|| black_box(&toc).digest()));
        let mut entries = toc.entries().to_vec();
        entries.reverse();
        group.bench_function(format!("sort {files} files"), |bencher| bencher.iter(|| Toc::new(entries.clone())));
    }
    group.finish();
}

fn stacks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merged");
    for layers in [8, 64] {
        // Each covers a half of the one below.
        let layers: Vec<Arc<Toc>> = (0..layers).map(|layer| Arc::new(toc(2000, layer * 1000))).collect();
        let count = layers.len();
        let paths: Vec<TreePath> = (0..1000).map(|number| path_of(number * (count + 1))).collect();
        group.throughput(Throughput::Elements(paths.len() as u64));
        for indexed in [false, true] {
            let merged = Merged::new(layers.clone());
            if indexed {
                merged.prepare();
            }
            let how = if indexed { "with the index" } else { "without the index" };
            group.bench_function(format!("1000 lookups in {count} layers {how}"), |bencher| {
                bencher
                    .iter(|| paths.iter().filter(|path| merged.lookup(path).is_ok_and(|node| node.is_some())).count());
            });
        }
        group.throughput(Throughput::Elements(2000 * count as u64));
        group.bench_function(format!("index of {count} layers"), |bencher| {
            bencher.iter(|| Merged::new(layers.clone()).prepare());
        });
    }
    group.finish();
}

struct Same(&'static [u8]);

impl Contents for Same {
    fn open(&self, _: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.0))
    }
}

fn tars(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tar");
    for files in [10_000, 100_000] {
        let toc = toc(files, 0);
        group.throughput(Throughput::Elements(files as u64));
        group.bench_function(format!("write {files} files"), |bencher| {
            bencher.iter(|| tar::write(&toc, &Same(&[7; 64]), Verify::Size, io::sink()).expect("a sink takes all"));
        });
        let bytes = tar::write(&toc, &Same(&[7; 64]), Verify::Size, Vec::new()).expect("a vector takes all");
        group.bench_function(format!("read {files} files"), |bencher| {
            bencher.iter(|| {
                let mut reader = TarReader::new(&bytes[..], Dialect::Layer, Limits::default());
                let mut count = 0;
                while reader.next().expect("it is a tar").is_some() {
                    count += 1;
                }
                count
            });
        });
    }
    group.finish();
}

/// Bytes that compress to about a half, as programs do.
fn bytes(size: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes()[4..]);
        bytes.extend_from_slice(b"text");
    }
    bytes
}

fn compression(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compress");
    let bytes = bytes(64 << 20);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for (name, compression) in [("gzip", Compression::GZIP), ("zstd", Compression::ZSTD)] {
        group.bench_function(format!("64 MiB with {name}"), |bencher| {
            bencher.iter(|| {
                let mut out = writer(io::sink(), compression).expect("the level exists");
                out.write_all(&bytes).expect("a sink takes all");
                out.finish().expect("a sink takes all")
            });
        });
    }
    group.bench_function("64 MiB through SHA-256", |bencher| {
        bencher.iter(|| {
            let mut out = HashingWriter::new(io::sink());
            out.write_all(&bytes).expect("a sink takes all");
            out.finish().1
        });
    });
    group.finish();
}
