//! The one integration binary: each further one would cost a link. Its modules drive the real program, or look after the sources.

mod bake;
mod debian;
mod images;
mod monorepo;
mod one_graph;
mod sandbox;
mod support;
mod tidy;
