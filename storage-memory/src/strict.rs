//! Check that nothing but the store is awaited while a transaction or a snapshot is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::{Handle, RuntimeFlavor};

/// Panics when it is dropped if its task waited for something meanwhile.
///
/// No call on an open transaction of this store ever waits. So on a runtime with one thread, a task that was spawned when
/// the transaction was opened runs before it ends only where its owner waits for something else.
#[derive(Debug)]
pub(crate) struct NothingElseAwaited(Arc<AtomicBool>);

impl NothingElseAwaited {
    /// Watches from now on; none where other threads would run the spawned task in any case.
    pub(crate) fn watch() -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread {
            return None;
        }
        let waited = Arc::new(AtomicBool::new(false));
        let open = Arc::downgrade(&waited);
        runtime.spawn(async move {
            if let Some(waited) = open.upgrade() {
                waited.store(true, Ordering::Relaxed);
            }
        });
        Some(Self(waited))
    }
}

impl Drop for NothingElseAwaited {
    fn drop(&mut self) {
        let waited = self.0.load(Ordering::Relaxed);
        assert!(
            !waited || std::thread::panicking(),
            "something other than the store was awaited while a transaction or a snapshot was open"
        );
    }
}
