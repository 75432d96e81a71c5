//! The documented HTTP API over the memory store.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod account;
mod api;
mod apollo;
mod calls;
mod config;
mod conform;
mod customer;
mod docs;
mod document;
mod edge_logs;
mod job;
mod node;
mod ops;
mod sweep;
mod traffic;
mod transport;
mod walk;
mod world;
