//! The documented HTTP API over the memory store.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod account;
mod api;
mod customer;
mod job;
mod ops;
mod transport;
