//! The program: everything it does is in the library.

fn main() {
    imgbuild::sandbox::init_if_asked();
    println!("{:?}", std::env::args().collect::<Vec<_>>());
}
