#![doc = include_str!("../README.md")]

mod account;
mod cdn;
mod config;
mod idempotency;
mod import;
mod ops;
mod pruning;
mod state;
mod storage;
mod store_identity;
mod strict;
mod webhook;

pub use storage::MemoryStorage;
