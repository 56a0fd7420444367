//! Streams that are written and read again, whole and damaged.

use std::io::{Read, Write};

use super::*;
use crate::digest::Digest;

/// Text with letters, words and whole phrases that come again, the same on every machine.
fn sample(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % below
    };
    let mut text = Vec::with_capacity(length + 64);
    while text.len() < length {
        if next(3) == 0 && text.len() > 1000 {
            let start = text.len() - 1 - next(900);
            let end = (start + 3 + next(60)).min(text.len());
            text.extend_from_within(start..end);
        } else {
            text.push(b"etaoin shrdlu\n.,"[next(16)]);
        }
    }
    text.truncate(length);
    text
}

fn compress(data: &[u8], compression: Compression, step: usize) -> Vec<u8> {
    let mut writer = writer(Vec::new(), compression).unwrap();
    for part in data.chunks(step) {
        writer.write_all(part).unwrap();
        writer.flush().unwrap();
    }
    writer.finish().unwrap()
}

fn decompress(data: &[u8]) -> (Format, Vec<u8>) {
    let (format, mut reader) = reader(data).unwrap();
    let mut out = Vec::new();
    reader.read_to_end(&mut out).unwrap();
    (format, out)
}

#[test]
fn reads_what_it_writes() {
    for length in [0, 1, 5, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20] {
        let data = sample(length);
        for (compression, format) in
            [(Compression::None, Format::Plain), (Compression::GZIP, Format::Gzip), (Compression::ZSTD, Format::Zstd)]
        {
            let compressed = compress(&data, compression, 1 << 16);
            assert!(decompress(&compressed) == (format, data.clone()), "{length} bytes, {compression:?}");
        }
    }
}

#[test]
fn neither_threads_nor_writes_change_the_bytes() {
    let data = sample((9 << 20) + 17);
    for compression in [Compression::GZIP, Compression::Gzip { level: 1 }, Compression::ZSTD] {
        let whole = compress(&data, compression, data.len());
        assert!(compress(&data, compression, 4099) == whole, "{compression:?}");
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let inside = pool.install(|| compress(&data, compression, 1 << 20));
            assert!(inside == whole, "{compression:?} in a pool of {threads}");
        }
    }
}

/// What another version of an encoder may change: then the profile must change with it, or caches and lockfiles lie.
#[test]
fn the_bytes_of_each_profile_are_pinned() {
    let data = sample((3 << 20) + 5);
    let check = |compression: Compression, profile: &str, digest: &str| {
        assert_eq!(compression.profile(), profile);
        assert_eq!(Digest::of(&compress(&data, compression, 8192)).short(), digest, "{profile}");
    };
    check(Compression::GZIP, "gzip/libdeflate-1.26.1/5/1MiB", "3d772acbbcae");
    check(Compression::Gzip { level: 6 }, "gzip/libdeflate-1.26.1/6/1MiB", "33c6c0964e73");
    check(Compression::ZSTD, "zstd/libzstd-1.5.7/3/mt", "be4199ad17aa");
}

#[test]
fn gzip_headers_say_nothing_of_this_machine() {
    let compressed = compress(b"x", Compression::GZIP, 1);
    assert_eq!(compressed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
}

#[test]
fn refuses_levels_that_do_not_exist() {
    for compression in
        [Compression::Gzip { level: 0 }, Compression::Gzip { level: 13 }, Compression::Zstd { level: 20 }]
    {
        assert!(writer(Vec::new(), compression).is_err(), "{compression:?}");
    }
    let error = Compression::Gzip { level: 13 }.check().unwrap_err().to_string();
    assert_eq!(error, "there is no gzip level 13: it goes from 1 to 12");
}

#[test]
fn reads_several_members_of_every_format() {
    let xz = |data: &[u8]| {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let bzip2 = |data: &[u8]| {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let gzip = |data: &[u8]| compress(data, Compression::GZIP, 100);
    let zstd = |data: &[u8]| compress(data, Compression::ZSTD, 100);
    let check = |format: Format, encode: &dyn Fn(&[u8]) -> Vec<u8>| {
        let both = [encode(b"one "), encode(b"two")].concat();
        assert_eq!(decompress(&both), (format, b"one two".to_vec()));
        let (_, mut cut) = reader(&both[..both.len() - 3]).unwrap();
        assert!(cut.read_to_end(&mut Vec::new()).is_err(), "{format:?} cut off");
    };
    check(Format::Gzip, &gzip);
    check(Format::Zstd, &zstd);
    check(Format::Xz, &xz);
    check(Format::Bzip2, &bzip2);
}

#[test]
fn sniffs() {
    let check = |head: &[u8], format| assert_eq!(Format::sniff(head), format, "{head:?}");
    check(b"", Format::Plain);
    check(b"\x1f\x8b", Format::Plain);
    check(b"\x1f\x8b\x08", Format::Gzip);
    check(b"BZh", Format::Plain);
    check(b"BZh9", Format::Bzip2);
    check(b"\xfd7zXZ\0", Format::Xz);
    check(b"\x28\xb5\x2f\xfd", Format::Zstd);
    check(b"\x5a\x2a\x4d\x18", Format::Zstd);
    check(b"ustar", Format::Plain);
}
