//! The one integration binary: each further one would cost a link. Its modules drive the real program, or look after the sources.

mod bake;
mod bases;
mod check;
mod containers;
mod debian;
mod docker_files;
mod examples;
mod failures;
mod images;
mod monorepo;
mod one_graph;
mod platform;
mod remote;
mod repositories;
mod sandbox;
mod schemas;
mod secrets;
mod ssh;
mod support;
mod tidy;
mod times;
mod web;
mod why;
