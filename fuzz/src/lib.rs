//! What is fuzzed: every parser that reads what somebody else wrote.
//!
//! Each function takes any bytes and must return, soon, without a panic; beyond that it checks what must hold for every
//! input, such as that what is printed parses again. The programs in `fuzz_targets/` hand it libFuzzer's inputs;
//! `seeds.py` makes the first ones.

mod archive;
mod dockerfile;
mod foreign;
mod formats;
mod intake;
mod kept;
mod packages;
mod patterns;
mod trust;
mod words;

pub use archive::{archive, tar};
pub use dockerfile::{dockerfile, expand, lower};
pub use foreign::{bakejson, compose, hcl};
pub use formats::{buildfile, lockfile, oci, reference, toc};
pub use intake::{compressed, unpack};
pub use packages::packages;
pub use kept::{answers, kept, settings};
pub use patterns::{glob, ignore};
pub use trust::trust;
pub use words::{address, cache, passwd, policy};

/// The input as text; what is no UTF-8 has no target that wants it.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
