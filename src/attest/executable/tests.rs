//! Programs that are put together here, whole, cut short and lying.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;
use crate::attest::pieces::Order;

/// Where the parts of the made programs begin, in the file; in memory it is 0x10000 further on.
const DATA: usize = 0x200;

/// A program with one section, which is at the beginning of its only segment; what follows is in the segment only.
fn program(wide: bool, order: Order, section: &str, data: &[u8], after: &[u8]) -> Vec<u8> {
    let number = |value: usize, bytes: usize| match order {
        Order::Little => value.to_le_bytes()[..bytes].to_vec(),
        Order::Big => value.to_be_bytes()[8 - bytes..].to_vec(),
    };
    let word = |value: usize| number(value, if wide { 8 } else { 4 });
    let [segment_size, section_size] = if wide { [56, 64] } else { [32, 40] };
    let header_size = if wide { 64 } else { 52 };
    let names = format!("\0{section}\0.shstrtab\0");
    let names_at = DATA + data.len() + after.len();
    let sections_at = names_at + names.len();
    let ident = [0x7f, b'E', b'L', b'F', 1 + u8::from(wide), if order == Order::Big { 2 } else { 1 }, 1];
    let mut file = ident.to_vec();
    file.resize(16, 0);
    file.extend([number(2, 2), number(62, 2), number(1, 4), word(0), word(header_size), word(sections_at)].concat());
    file.extend([number(0, 4), number(header_size, 2), number(segment_size, 2), number(1, 2)].concat());
    file.extend([number(section_size, 2), number(3, 2), number(2, 2)].concat());
    assert_eq!(file.len(), header_size);
    let length = word(data.len() + after.len());
    let (flags, place, address) = (number(6, 4), word(DATA), word(0x10000 + DATA));
    file.extend(number(1, 4));
    file.extend(match wide {
        true => [flags, place, address.clone(), address, length.clone(), length, word(8)].concat(),
        false => [place, address.clone(), address, length.clone(), length, flags, word(8)].concat(),
    });
    file.resize(DATA, 0);
    file.extend([data, after, names.as_bytes()].concat());
    let entry = |name: usize, kind: usize, place: usize, size: usize| {
        let mut entry = [number(name, 4), number(kind, 4), word(0), word(0), word(place), word(size)].concat();
        entry.resize(section_size, 0);
        entry
    };
    file.extend(entry(0, 0, 0, 0));
    file.extend(entry(1, 1, DATA, data.len()));
    file.extend(entry(2 + section.len(), 3, names_at, names.len()));
    file
}

const MODULES: &str = "path\texample.org/own/cmd\nmod\texample.org/own\t(devel)\t\ndep\texample.org/One\tv1.0.0\th1:x=\n\
                       dep\texample.org/two\tv2.0.0\n=>\texample.org/fork\tv2.0.1\th1:y=\ndep\texample.org/three\tv3.0.0\n\
                       =>\t./three\t(devel)\t\nbuild\t-compiler=gc\nbuild\tvcs.revision=0123abc\n";

fn marked(modules: &str) -> String {
    format!("{}{modules}{}", "<".repeat(16), ">".repeat(16))
}

/// What a linker since 1.18 writes.
fn inline(version: &str, modules: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = Vec::new();
        let mut length = text.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        [bytes, text.as_bytes().to_vec()].concat()
    };
    let mut data = b"\xff Go buildinf:\x08\x02".to_vec();
    data.resize(32, 0);
    [data, text(version), text(modules)].concat()
}

/// What an older one writes: addresses of strings, which are addresses of their bytes and lengths.
fn pointers(wide: bool, order: Order, version: &str, modules: &str) -> (Vec<u8>, Vec<u8>) {
    let size = if wide { 8 } else { 4 };
    let word = |value: usize| match order {
        Order::Little => value.to_le_bytes()[..size].to_vec(),
        Order::Big => value.to_be_bytes()[8 - size..].to_vec(),
    };
    let strings = 0x10000 + DATA + 32;
    let texts = strings + 4 * size;
    let mut data = b"\xff Go buildinf:".to_vec();
    data.extend([size as u8, u8::from(order == Order::Big)]);
    data.extend([word(strings), word(strings + 2 * size)].concat());
    data.resize(32, 0);
    let strings = [word(texts), word(version.len()), word(texts + version.len()), word(modules.len())].concat();
    (data, [strings, version.as_bytes().to_vec(), modules.as_bytes().to_vec()].concat())
}

fn audited(json: &str) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(json.as_bytes()).unwrap();
    program(true, Order::Little, ".dep-v0", &packed.finish().unwrap(), &[])
}

const CRATES: &str = r#"{"packages": [{"name": "own", "version": "0.1.0", "source": "local", "root": true, "dependencies": [1]},
    {"name": "serde", "version": "1.0.2", "source": "crates.io"},
    {"name": "cc", "version": "1.0.0", "source": "crates.io", "kind": "build"},
    {"name": "forked", "version": "0.2.0", "source": "git"}]}"#;

fn list(program: &[u8]) -> Vec<String> {
    let mut file = Cursor::new(program);
    let mut pieces = Pieces::new(&mut file, program.len() as u64);
    let found = read(&mut pieces);
    pieces.finish().unwrap();
    found.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
}

const ALL: [&str; 5] = [
    "example.org/own 0123abc",
    "example.org/One v1.0.0",
    "example.org/fork v2.0.1",
    "example.org/three v3.0.0",
    "stdlib 1.19.8",
];

#[test]
fn programs_of_go() {
    for (wide, order) in [(true, Order::Little), (true, Order::Big), (false, Order::Little), (false, Order::Big)] {
        let data = inline("go1.19.8 X:none", &marked(MODULES));
        assert_eq!(list(&program(wide, order, ".go.buildinfo", &data, &[])), ALL, "{wide} {order:?}");
        let (data, after) = pointers(wide, order, "go1.19.8", &marked(MODULES));
        assert_eq!(list(&program(wide, order, ".go.buildinfo", &data, &after)), ALL, "{wide} {order:?}");
    }
    let check = |data: &[u8], expected: &[&str]| {
        assert_eq!(list(&program(true, Order::Little, ".go.buildinfo", data, &[])), expected);
    };
    check(&inline("go1.22.0", ""), &["stdlib 1.22.0"]);
    check(&inline("devel +abc", &marked("mod\ta\tv1\t\n")), &["a v1"]);
    check(&inline("go1.22.0", &marked("mod\ta\t(devel)\t\n=>\n\ndep\n")), &["a (devel)", "stdlib 1.22.0"]);
    // Without marks it is something else.
    check(&inline("go1.22.0", MODULES), &["stdlib 1.22.0"]);
    check(b"\xff Go buildinf:\x08\x02", &[]);
    check(&[&[0; 8][..], &inline("go1.22.0", "")].concat(), &[]);
    check(&[&[0; 16][..], &inline("go1.22.0", "")].concat(), &["stdlib 1.22.0"]);
    // In another section it is data; where there are no sections, it is looked for.
    let mut elsewhere = program(true, Order::Little, ".data", &inline("go1.22.0", ""), &[]);
    assert_eq!(list(&elsewhere), [""; 0]);
    elsewhere[40..48].fill(0);
    elsewhere[60..64].fill(0);
    assert_eq!(list(&elsewhere), ["stdlib 1.22.0"]);
}

#[test]
fn programs_of_rust() {
    assert_eq!(list(&audited(CRATES)), ["serde 1.0.2", "forked 0.2.0"]);
    assert_eq!(list(&audited("{}")), [""; 0]);
    // What is packed tighter than any list is not unpacked.
    let bomb = format!("{}{CRATES}", " ".repeat(1 << 20));
    assert_eq!(list(&audited(&bomb)), [""; 0]);
    assert_eq!(list(&program(true, Order::Little, ".dep-v0", b"no zlib", &[])), [""; 0]);
}

#[test]
fn other_files() {
    for file in [&b""[..], b"#!/bin/sh\necho\n", b"\x7fELF", &[0; 4096]] {
        assert_eq!(list(file), [""; 0]);
    }
}

fn samples() -> [Vec<u8>; 4] {
    let (data, after) = pointers(false, Order::Big, "go1.17", &marked("mod\ta\tv1\t\n"));
    [
        program(true, Order::Little, ".go.buildinfo", &inline("go1.22.0", &marked("mod\ta\tv1\t\n")), &[]),
        program(false, Order::Big, ".go.buildinfo", &data, &after),
        program(true, Order::Big, ".data", &inline("go1.22.0", ""), &[]),
        audited(CRATES),
    ]
}

#[test]
fn a_broken_program_is_no_panic() {
    for program in samples() {
        for length in 0..program.len() {
            list(&program[..length]);
        }
        let mut changed = program.clone();
        for place in 0..changed.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                changed[place] = value;
                list(&changed);
            }
            changed[place] = program[place];
        }
    }
}

proptest! {
    #[test]
    fn nothing_in_a_program_is_a_panic(
        which in 0_usize..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<[u8; 4]>()), 1..8),
    ) {
        let mut program = samples().into_iter().nth(which).unwrap();
        for (place, bytes) in changes {
            let place = place.index(program.len() - 3);
            program[place..place + 4].copy_from_slice(&bytes);
        }
        list(&program);
    }
}
