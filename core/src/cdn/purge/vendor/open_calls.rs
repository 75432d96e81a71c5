//! Open calls of a vendor: which batches this process is sending or asking about, so that no two calls are about one batch.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::sync::lock;

/// Purpose of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It sends a batch.
    Send,
    /// It asks about tasks, or looks for them.
    Ask,
}

/// Calls that are being made.
#[derive(Debug, Default)]
pub(super) struct OpenCalls {
    batches: Mutex<HashMap<String, Purpose>>,
    ended: Notify,
}

/// A call that is being made, until this is dropped.
#[derive(Debug)]
pub(super) struct OpenCall<'a> {
    calls: &'a OpenCalls,
    batches: Vec<String>,
}

impl OpenCalls {
    /// Opens a call about batches.
    pub(super) fn open(&self, purpose: Purpose, batches: impl IntoIterator<Item = String>) -> OpenCall<'_> {
        let batches: Vec<_> = batches.into_iter().collect();
        lock(&self.batches).extend(batches.iter().map(|id| (id.clone(), purpose)));
        OpenCall { calls: self, batches }
    }

    /// Ids of the batches that calls are about.
    pub(super) fn batches(&self) -> HashSet<String> {
        lock(&self.batches).keys().cloned().collect()
    }

    /// Whether there is a call of a purpose.
    pub(super) fn has(&self, purpose: Purpose) -> bool {
        lock(&self.batches).values().any(|own| *own == purpose)
    }

    /// Waits until a call has ended. One that ended since the last time this was waited for counts.
    pub(super) async fn wait_for_end(&self) {
        self.ended.notified().await;
    }
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        let mut batches = lock(&self.calls.batches);
        for id in &self.batches {
            batches.remove(id);
        }
        drop(batches);
        self.calls.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_open_until_it_is_dropped() {
        let calls = OpenCalls::default();
        let send = calls.open(Purpose::Send, ["a".to_owned()]);
        let ask = calls.open(Purpose::Ask, ["b".to_owned(), "c".to_owned()]);
        assert_eq!(calls.batches(), ["a", "b", "c"].map(str::to_owned).into());
        drop(ask);
        assert!(calls.has(Purpose::Send) && !calls.has(Purpose::Ask));
        // It ended before anybody waited.
        calls.wait_for_end().await;
        drop(send);
        assert!(calls.batches().is_empty());
    }
}
