//! Calls that fail, and a program that dies, at points of real commands: a few of those that the programs in `tests/faults`
//! try when they are run by hand.

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

#[test]
fn at_some_moments_of_other_commands() {
    if !is_root() {
        return;
    }
    let mut command = Command::new("python3");
    command.arg(repository("tests/faults/kills.py")).arg(env!("CARGO_BIN_EXE_imgbuild"));
    command.args(["--kills", "30", "--only", "bake,archive,files,cacheto,load,prune,remove,run,commit,repair"]);
    let killed = ended(&mut command);
    assert_eq!(killed.code, 0, "{}{}", killed.out, killed.err);
    assert!(killed.out.contains("30 kills tried, "), "{}", killed.out);
}
