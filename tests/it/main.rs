//! The one integration binary: each further one would cost a link. Its modules drive the real program, or look after the sources.

mod bake;
mod bases;
mod check;
mod debian;
mod docker_files;
mod examples;
mod failures;
mod images;
mod lock;
mod monorepo;
mod one_graph;
mod platform;
mod registry;
mod remote;
mod repositories;
mod reproducible;
mod sandbox;
mod schemas;
mod secrets;
mod ssh;
mod support;
mod tidy;
mod times;
mod verify;
mod web;
mod why;
