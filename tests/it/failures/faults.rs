//! Calls that fail, and a builder that dies, at points of a real build: a few of those that `tests/faults/run.py` tries
//! when it is run by hand.

use std::process::Command;

use super::{ended, is_root};
use crate::support::repository;

#[test]
fn at_some_calls() {
    if !is_root() || !cfg!(target_arch = "x86_64") {
        return;
    }
    let mut command = Command::new("python3");
    command.arg(repository("tests/faults/run.py")).arg(env!("CARGO_BIN_EXE_imgbuild"));
    let tried = ended(command.args(["--start", "7", "--every", "43"]));
    assert_eq!(tried.code, 0, "{}{}", tried.out, tried.err);
    // All of them, or it has looked at nothing.
    assert!(tried.out.contains(" tried, ") && !tried.out.contains("\n0 tried"), "{}", tried.out);
}
