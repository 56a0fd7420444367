//! The binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    imgbuild::sandbox::init_if_asked();
    imgbuild::cli::main()
}
