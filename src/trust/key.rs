//! Keys. We make and sign with ECDSA on P-256, as cosign does; to check signatures, keys of Ed25519 and RSA do as well.

use std::fmt;

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{self, SigningKey, VerifyingKey};
use p256::pkcs8::der::{Decode, pem};
use p256::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding, SubjectPublicKeyInfoRef,
};

use super::sealed;
use crate::digest::Digest;

/// The first lines of key files.
const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
const SEALED: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// What cosign wrote until 2.0.
const SEALED_BEFORE: &str = "ENCRYPTED COSIGN PRIVATE KEY";

/// Object identifiers of other kinds of keys (RFC 8410, RFC 8017).
const ED25519: &str = "1.3.101.112";
const RSA: &str = "1.2.840.113549.1.1.1";

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is in no form that we know.
    #[error("it is no PEM file with {0}")]
    NoKey(&'static str),
    /// A public key was wanted and this is a private one, or the other way round.
    #[error("it is a {0} key, and a {1} one is needed here")]
    OtherHalf(&'static str, &'static str),
    /// It is a key of another kind.
    #[error("it is a key of another kind than {0}")]
    Kind(&'static str),
    /// It needs a password.
    #[error("it is under a password")]
    Locked,
    /// The password is wrong.
    #[error("the password does not open it")]
    Password,
    /// It is under a password in a way that cannot be opened.
    #[error("it cannot be opened: {0}")]
    Sealed(&'static str),
}

/// A key that signs.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl PrivateKey {
    /// How many random bytes [`Self::to_sealed`] needs.
    pub const SEAL_BYTES: usize = sealed::SALT + sealed::NONCE;

    /// The key of these bytes, which must be random; none if they are among the few that are no key.
    pub fn from_random(bytes: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(bytes).ok().map(Self)
    }

    /// Reads a PEM file: PKCS #8, or what cosign keeps under a password.
    pub fn parse(text: &str, password: Option<&[u8]>) -> Result<Self, KeyError> {
        let wanted = "a private key";
        let (label, bytes) = pem::decode_vec(text.trim_start().as_bytes()).map_err(|_| KeyError::NoKey(wanted))?;
        let der = match label {
            PRIVATE => bytes,
            SEALED | SEALED_BEFORE => sealed::open(&bytes, password.ok_or(KeyError::Locked)?)?,
            PUBLIC => return Err(KeyError::OtherHalf("public", "private")),
            _ => return Err(KeyError::NoKey(wanted)),
        };
        SigningKey::from_pkcs8_der(&der).map(Self).map_err(|_| KeyError::Kind("ECDSA on P-256"))
    }

    /// Whether a PEM file is one that needs a password.
    pub fn is_sealed(text: &str) -> bool {
        [SEALED, SEALED_BEFORE].iter().any(|label| text.trim_start().starts_with(&format!("-----BEGIN {label}-----")))
    }

    /// The text of a file without a password (PKCS #8).
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let text = self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Kind("ECDSA on P-256"))?;
        Ok(text.to_string())
    }

    /// The text of a file under a password, as cosign writes it.
    pub fn to_sealed(&self, password: &[u8], random: &[u8; Self::SEAL_BYTES]) -> Result<String, KeyError> {
        let der = self.0.to_pkcs8_der().map_err(|_| KeyError::Kind("ECDSA on P-256"))?;
        let (mut salt, mut nonce) = ([0; sealed::SALT], [0; sealed::NONCE]);
        salt.copy_from_slice(&random[..sealed::SALT]);
        nonce.copy_from_slice(&random[sealed::SALT..]);
        let bytes = sealed::seal(der.as_bytes(), password, &salt, &nonce)?;
        pem::encode_string(SEALED, LineEnding::LF, &bytes).map_err(|_| KeyError::Sealed("it cannot be written as PEM"))
    }

    /// The other half.
    pub fn public(&self) -> PublicKey {
        PublicKey::of(Kind::P256(Box::new(*self.0.verifying_key())), &self.spki())
    }

    fn spki(&self) -> Vec<u8> {
        self.0.verifying_key().to_public_key_der().map(|der| der.as_bytes().to_vec()).unwrap_or_default()
    }

    /// The signature of some bytes, the same every time (RFC 6979), in DER.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: ecdsa::Signature = self.0.sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}

/// A key that checks what another one signed.
#[derive(Clone)]
pub struct PublicKey {
    kind: Kind,
    id: Digest,
    pem: String,
}

#[derive(Clone)]
enum Kind {
    P256(Box<VerifyingKey>),
    Ed25519(Vec<u8>),
    Rsa(Vec<u8>),
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id.short())
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for PublicKey {}

impl PublicKey {
    fn of(kind: Kind, der: &[u8]) -> Self {
        let pem = pem::encode_string(PUBLIC, LineEnding::LF, der).unwrap_or_default();
        Self { kind, id: Digest::of(der), pem }
    }

    /// Reads a PEM file (SubjectPublicKeyInfo, RFC 7468).
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let wanted = "a public key";
        let (label, der) = pem::decode_vec(text.trim_start().as_bytes()).map_err(|_| KeyError::NoKey(wanted))?;
        match label {
            PUBLIC => {}
            PRIVATE | SEALED | SEALED_BEFORE => return Err(KeyError::OtherHalf("private", "public")),
            _ => return Err(KeyError::NoKey(wanted)),
        }
        let other = KeyError::Kind("ECDSA on P-256, Ed25519 and RSA");
        let info = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| other.clone())?;
        let bytes = || info.subject_public_key.as_bytes().map(<[u8]>::to_vec).ok_or(other.clone());
        let kind = match info.algorithm.oid.to_string().as_str() {
            ED25519 => Kind::Ed25519(bytes()?),
            RSA => Kind::Rsa(bytes()?),
            _ => Kind::P256(Box::new(VerifyingKey::from_public_key_der(&der).map_err(|_| other)?)),
        };
        Ok(Self::of(kind, &der))
    }

    /// What it is known by: the SHA-256 of its DER form.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// The text of a file.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// Whether the other half signed these bytes.
    pub fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
        match &self.kind {
            Kind::P256(key) => {
                use p256::ecdsa::signature::Verifier;
                ecdsa::Signature::from_der(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Kind::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok(),
            Kind::Rsa(key) => {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message, signature).is_ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PrivateKey {
        PrivateKey::from_random(&[7; 32]).unwrap()
    }

    #[test]
    fn signs_the_same_every_time_and_checks_it() {
        let (key, public) = (key(), key().public());
        let signature = key.sign(b"message");
        assert_eq!(signature, key.sign(b"message"));
        assert!(public.accepts(b"message", &signature));
        assert!(!public.accepts(b"massage", &signature));
        assert!(!public.accepts(b"message", &signature[1..]));
        assert!(!public.accepts(b"message", b""));
        let other = PrivateKey::from_random(&[8; 32]).unwrap();
        assert!(!other.public().accepts(b"message", &signature));
    }

    /// RFC 6979, A.2.5, "sample" with SHA-256.
    #[test]
    fn signs_as_the_specification_says() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let key = hex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
        let key = PrivateKey::from_random(&key.try_into().unwrap()).unwrap();
        let signature = ecdsa::Signature::from_der(&key.sign(b"sample")).unwrap();
        let r = hex("EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716");
        assert_eq!(signature.to_bytes()[..32], r[..]);
    }

    #[test]
    fn files_hold_keys() {
        let key = key();
        let plain = key.to_pem().unwrap();
        assert!(plain.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{plain}");
        assert_eq!(PrivateKey::parse(&plain, None).unwrap().public(), key.public());
        let sealed = key.to_sealed(b"word", &[9; PrivateKey::SEAL_BYTES]).unwrap();
        assert!(PrivateKey::is_sealed(&sealed) && !PrivateKey::is_sealed(&plain));
        assert_eq!(PrivateKey::parse(&sealed, Some(b"word")).unwrap().public(), key.public());
        assert_eq!(PrivateKey::parse(&sealed, None).unwrap_err(), KeyError::Locked);
        assert_eq!(PrivateKey::parse(&sealed, Some(b"")).unwrap_err(), KeyError::Password);
        let old = sealed.replace("SIGSTORE", "COSIGN");
        assert!(PrivateKey::parse(&old, Some(b"word")).is_ok());
        let public = key.public();
        assert_eq!(PublicKey::parse(public.to_pem()).unwrap(), public);
    }

    #[test]
    fn says_what_a_file_is_instead() {
        let (private, public) = (key().to_pem().unwrap(), key().public().to_pem().to_owned());
        let check = |text: &str, as_private: &str, as_public: &str| {
            let (a, b) = (PrivateKey::parse(text, None).map(drop), PublicKey::parse(text).map(drop));
            let said = |result: Result<(), KeyError>| result.map_or_else(|error| error.to_string(), |()| String::new());
            let (a, b) = (said(a), said(b));
            assert!(a.contains(as_private) && b.contains(as_public), "{text}\n{a}\n{b}");
        };
        check(&private, "", "it is a private key, and a public one");
        check(&public, "it is a public key, and a private one", "");
        check("hello", "no PEM file with a private key", "no PEM file with a public key");
        check("", "no PEM", "no PEM");
        let certificate = public.replace("PUBLIC KEY", "CERTIFICATE");
        check(&certificate, "no PEM file with a private key", "no PEM file with a public key");
        check("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "public", "another kind");
    }
}
