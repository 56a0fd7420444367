//! The one integration binary: each further one would cost a link. Its modules drive the real program, or look after the sources.

mod debian;
mod support;
mod tidy;
//! The integration tests: one program, since each costs a link.

mod sandbox;
//! The one integration binary: the library against the real world.

mod images;
