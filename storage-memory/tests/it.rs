//! The conformance suite on the memory store.

use std::sync::Arc;

use pilothouse_core::ports::Storage;
use pilothouse_storage_memory::MemoryStorage;

#[expect(clippy::unused_async, reason = "other stores have to wait")]
async fn fresh(_case: &'static str) -> Option<(Arc<dyn Storage>, ())> {
    Some((Arc::new(MemoryStorage::new()), ()))
}

pilothouse_core::conformance_tests!(crate::fresh);
