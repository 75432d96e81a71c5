//! The conformance suite on the memory store, and the use cases over it.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod config;
mod customer;
mod delivery;
mod engine;
mod job;
mod keeper;
mod login;
mod statistics;
mod sync;
mod workers;
mod world;

use std::sync::Arc;

use pilothouse_core::ports::Storage;
use pilothouse_storage_memory::MemoryStorage;

#[expect(clippy::unused_async, reason = "other stores have to wait")]
async fn fresh(_case: &'static str) -> Option<(Arc<dyn Storage>, ())> {
    Some((Arc::new(MemoryStorage::new()), ()))
}

mod conformance {
    pilothouse_core::conformance_tests!(crate::fresh);
}
