//! The documented HTTP API over the memory store.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod account;
mod api;
mod conform;
mod customer;
mod docs;
mod document;
mod job;
mod ops;
mod transport;
