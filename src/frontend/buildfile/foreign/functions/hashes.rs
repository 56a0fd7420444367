//! The hashes that bake files can ask for. Those that nobody should trust any more are here for names that are made of
//! them, and nothing else in the program uses them.

use super::{Arguments, Problem, Row};
use crate::frontend::buildfile::foreign::value::Value;

pub(super) const ROWS: &[Row] = &[
    ("md5", 1, 1, |a| Ok(Value::text(hex(&md5(a.text(0)?.as_bytes()))))),
    ("sha1", 1, 1, |a| Ok(Value::text(hex(&sha1(a.text(0)?.as_bytes()))))),
    ("sha256", 1, 1, |a| Ok(Value::text(hex(&sha2::<sha2::Sha256>(&a.text(0)?))))),
    ("sha512", 1, 1, |a| Ok(Value::text(hex(&sha2::<sha2::Sha512>(&a.text(0)?))))),
    ("uuidv5", 2, 2, uuid),
];

fn sha2<D: sha2::Digest>(text: &str) -> Vec<u8> {
    D::digest(text.as_bytes()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The message in blocks of 64 bytes: a one, zeros, and its length in bits.
fn padded(message: &[u8], length: [u8; 8]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    bytes.push(0x80);
    bytes.resize((bytes.len() + 8).next_multiple_of(64) - 8, 0);
    bytes.extend(length);
    bytes
}

fn bits(message: &[u8]) -> u64 {
    (message.len() as u64).wrapping_mul(8)
}

/// RFC 1321.
fn md5(message: &[u8]) -> Vec<u8> {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded(message, bits(message).to_le_bytes()).chunks_exact(64) {
        let words: Vec<u32> =
            block.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
        let [mut a, mut b, mut c, mut d] = state;
        for (step, shift) in (0..64).map(|step: usize| (step, SHIFTS[step / 16][step % 4])) {
            let (mixed, word) = match step / 16 {
                0 => (b & c | !b & d, step),
                1 => (d & b | !d & c, 5 * step + 1),
                2 => (b ^ c ^ d, 3 * step + 5),
                _ => (c ^ (b | !d), 7 * step),
            };
            let sine = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a.wrapping_add(mixed).wrapping_add(sine).wrapping_add(words[word % 16]);
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
        }
        for (part, more) in state.iter_mut().zip([a, b, c, d]) {
            *part = part.wrapping_add(more);
        }
    }
    state.iter().flat_map(|part| part.to_le_bytes()).collect()
}

/// RFC 3174.
fn sha1(message: &[u8]) -> Vec<u8> {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded(message, bits(message).to_be_bytes()).chunks_exact(64) {
        let mut words: Vec<u32> =
            block.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]])).collect();
        for at in 16..80 {
            words.push((words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (step, word) in words.iter().enumerate() {
            let (mixed, constant) = match step / 20 {
                0 => (b & c | !b & d, 0x5a82_7999_u32),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let sum = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, sum);
        }
        for (part, more) in state.iter_mut().zip([a, b, c, d, e]) {
            *part = part.wrapping_add(more);
        }
    }
    state.iter().flat_map(|part| part.to_be_bytes()).collect()
}

/// The UUID of a name in a space of names, which is one of the four known ones or a UUID: RFC 4122.
fn uuid(arguments: &Arguments<'_>) -> super::Answer {
    let space = arguments.text(0)?;
    let known = |last: u8| format!("6ba7b81{last}9dad11d180b400c04fd430c8");
    let space = match space.as_str() {
        "dns" => known(0),
        "url" => known(1),
        "oid" => known(2),
        "x500" => known(4),
        uuid => uuid.replace('-', ""),
    };
    let is_uuid = space.len() == 32 && space.bytes().all(|b| b.is_ascii_hexdigit());
    let number = u128::from_str_radix(&space, 16).ok().filter(|_| is_uuid);
    let Some(number) = number else {
        return Err(Problem::at(0, "`dns`, `url`, `oid`, `x500` or a UUID is needed here"));
    };
    let mut hash = sha1(&[&number.to_be_bytes()[..], arguments.text(1)?.as_bytes()].concat());
    hash[6] = hash[6] & 0x0f | 0x50;
    hash[8] = hash[8] & 0x3f | 0x80;
    let text = hex(&hash);
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..32]];
    Ok(Value::text(parts.join("-")))
}
