//! The integration tests: one program, since each costs a link.

mod sandbox;
