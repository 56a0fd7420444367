<<<<<<< HEAD
//! The binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    imgbuild::cli::main()
=======
//! The program: everything it does is in the library.

fn main() {
    imgbuild::sandbox::init_if_asked();
    println!("{:?}", std::env::args().collect::<Vec<_>>());
>>>>>>> h/sandbox
}
