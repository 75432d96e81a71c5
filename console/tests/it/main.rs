//! Tests of the pages, in process.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod access;
mod cdn;
mod change_sets;
mod config;
mod crawl;
mod fixture;
mod markup;
mod moves;
mod nodes;
mod ops;
mod routes;
mod safety;
mod seed;
mod session;
