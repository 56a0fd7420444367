//! A private key under a password, as cosign keeps it: scrypt makes a key of the password, and NaCl's secretbox (XSalsa20 and
//! Poly1305) seals with it. The numbers and all that is needed to open it stand in a JSON document.

use base64ct::{Base64, Encoding};
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use serde::{Deserialize, Serialize};

use super::KeyError;

/// The logarithm of how much work opening is, at most and as cosign has it: 64 MiB and a quarter of a second.
const WORK: u8 = 16;
/// Sizes of a salt, a nonce and a tag, in bytes.
pub(super) const SALT: usize = 32;
pub(super) const NONCE: usize = 24;
const TAG: usize = 16;

#[derive(Serialize, Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Params {
    n: u64,
    #[serde(rename = "r")]
    r: u32,
    #[serde(rename = "p")]
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Seals something under a password.
pub(super) fn seal(plain: &[u8], password: &[u8], salt: &[u8; SALT], nonce: &[u8; NONCE]) -> Result<Vec<u8>, KeyError> {
    let params = Params { n: 1 << WORK, r: 8, p: 1 };
    let key = derive(password, salt, &params)?;
    let mut out = vec![0; TAG];
    out.extend_from_slice(plain);
    let (tag, text) = out.split_at_mut(TAG);
    let one_time = stream(&key, nonce, text);
    tag.copy_from_slice(&Poly1305::new(&one_time.into()).compute_unpadded(text));
    let document = Sealed {
        kdf: Kdf { name: "scrypt".into(), params, salt: Base64::encode_string(salt) },
        cipher: Cipher { name: "nacl/secretbox".into(), nonce: Base64::encode_string(nonce) },
        ciphertext: Base64::encode_string(&out),
    };
    serde_json::to_vec(&document).map_err(|_| KeyError::Sealed("it cannot be written as JSON"))
}

/// Opens it again.
pub(super) fn open(json: &[u8], password: &[u8]) -> Result<Vec<u8>, KeyError> {
    let Sealed { kdf, cipher, ciphertext } =
        serde_json::from_slice(json).map_err(|_| KeyError::Sealed("what is in it is not what cosign writes"))?;
    if kdf.name != "scrypt" || cipher.name != "nacl/secretbox" {
        return Err(KeyError::Sealed("it is sealed in another way than by scrypt and nacl/secretbox"));
    }
    let bytes =
        |text: &str| Base64::decode_vec(text).map_err(|_| KeyError::Sealed("it has something that is no Base64"));
    let (salt, nonce, sealed) = (bytes(&kdf.salt)?, bytes(&cipher.nonce)?, bytes(&ciphertext)?);
    let Ok(nonce) = <[u8; NONCE]>::try_from(nonce) else {
        return Err(KeyError::Sealed("its nonce has the wrong length"));
    };
    let Some((tag, text)) = sealed.split_at_checked(TAG) else {
        return Err(KeyError::Sealed("it is too short"));
    };
    let key = derive(password, &salt, &kdf.params)?;
    let mut plain = text.to_vec();
    let one_time = stream(&key, &nonce, &mut plain);
    let expected = Poly1305::new(&one_time.into()).compute_unpadded(text);
    // All of them are looked at, wherever they differ.
    let different = expected.iter().zip(tag).fold(0, |different, (a, b)| different | (a ^ b));
    if different != 0 { Err(KeyError::Password) } else { Ok(plain) }
}

fn derive(password: &[u8], salt: &[u8], params: &Params) -> Result<[u8; 32], KeyError> {
    // A key file of somebody else must not make us work for hours.
    let log = params.n.checked_ilog2().and_then(|log| u8::try_from(log).ok());
    let log = log.filter(|log| (1..=WORK).contains(log) && params.n.is_power_of_two());
    let fits = (1..=8).contains(&params.r) && params.p == 1;
    let (Some(log), true) = (log, fits) else {
        return Err(KeyError::Sealed("it asks for more work than cosign's keys do"));
    };
    let invalid = |_| KeyError::Sealed("its numbers for scrypt make no sense");
    let params = scrypt::Params::new(log, params.r, params.p).map_err(invalid)?;
    let mut key = [0; 32];
    scrypt::scrypt(password, salt, &params, &mut key)
        .map_err(|_| KeyError::Sealed("its numbers for scrypt make no sense"))?;
    Ok(key)
}

/// Turns text into what is sealed, or back. The first 32 bytes of the stream are the key of the tag.
fn stream(key: &[u8; 32], nonce: &[u8; NONCE], text: &mut [u8]) -> [u8; 32] {
    let mut cipher = XSalsa20::new(key.into(), nonce.into());
    let mut one_time = [0; 32];
    cipher.apply_keystream(&mut one_time);
    cipher.apply_keystream(text);
    one_time
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of NaCl's own tests (`tests/secretbox.c`): key, nonce, the first bytes of the message, tag.
    #[test]
    fn seals_as_nacl_does() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let key = hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
        let nonce = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        let mut text = hex(
            "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705",
        );
        let one_time = stream(&key.try_into().unwrap(), &nonce.try_into().unwrap(), &mut text);
        let tag = Poly1305::new(&one_time.into()).compute_unpadded(&text);
        assert_eq!(tag.to_vec(), hex("f3ffc7703f9400e52a7dfb4b3d3305d9"));
        assert_eq!(text[..16], hex("8e993b9f48681273c29650ba32fc76ce")[..]);
    }

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let sealed = seal(b"a key", b"word", &[1; SALT], &[2; NONCE]).unwrap();
        assert_eq!(open(&sealed, b"word").unwrap(), b"a key");
        assert_eq!(open(&sealed, b"ward"), Err(KeyError::Password));
        let text = String::from_utf8(sealed).unwrap();
        let check = |old: &str, new: &str, expected: &str| {
            assert!(text.contains(old), "{text}");
            let message = open(text.replace(old, new).as_bytes(), b"word").unwrap_err().to_string();
            assert!(message.contains(expected), "{new}: {message}");
        };
        check("\"N\":65536", "\"N\":1048576", "more work");
        check("\"N\":65536", "\"N\":65535", "more work");
        check("\"N\":65536", "\"N\":0", "more work");
        check("\"p\":1", "\"p\":4000", "more work");
        check("\"r\":8", "\"r\":0", "more work");
        check("secretbox", "box", "another way");
        check("\"nonce\":\"", "\"nonce\":\"AAAA", "nonce");
        check("\"salt\":\"", "\"salt\":\"!", "Base64");
        check("{\"kdf\"", "[{\"kdf\"", "cosign");
    }
}
