//! The one integration binary: the library against the real world.

mod images;
