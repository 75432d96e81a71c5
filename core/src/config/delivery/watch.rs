//! Watch: a node's open request for changes, by event stream or long poll.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::{Either, select};
use tokio::sync::watch;

use super::delta::ConfigDelta;
use super::node_session::NodeSession;
use super::snapshot::ConfigSnapshot;

/// An open watch. While it is open its node is online.
#[derive(Debug)]
pub struct Watch {
    session: NodeSession,
    snapshots: watch::Receiver<Arc<ConfigSnapshot>>,
    revision: i64,
}

impl Watch {
    pub(super) fn new(
        session: NodeSession,
        snapshots: watch::Receiver<Arc<ConfigSnapshot>>,
        revision: i64,
    ) -> Self {
        session.node.watches.fetch_add(1, Ordering::Relaxed);
        Self { session, snapshots, revision }
    }

    /// The revision that the node is at: every change up to it was sent.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The next delta for this node, which counts as sent; waits for one. `None` when nothing will follow: the node left,
    /// its app or the app key was deleted, or the server stops. Dropping the future before its end loses nothing.
    pub async fn next(&mut self) -> Option<Arc<ConfigDelta>> {
        loop {
            let node = self.session.node.clone();
            let mut woken = pin!(node.woken.notified());
            woken.as_mut().enable();
            if self.session.app().has_ended() || node.has_left() {
                return None;
            }
            let snapshot = self.snapshots.borrow_and_update().clone();
            if self.session.app().is_revoked(&snapshot) {
                return None;
            }
            let (profile, node_id) = (self.session.profile(), self.session.node_id());
            let delta = snapshot.delta(profile, node_id, self.revision);
            self.revision = snapshot.revision();
            if let Some(delta) = delta {
                self.session.record_sent(&delta);
                return Some(delta);
            }
            let drifted = node.take_resends(self.session.pilothouse().clock().now());
            if !drifted.is_empty() {
                return Some(Arc::new(snapshot.resend(profile, node_id, drifted)));
            }
            let changed = pin!(self.snapshots.changed());
            if let Either::Left((Err(_), _)) = select(changed, woken).await {
                return None;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let node = &self.session.node;
        node.watches.fetch_sub(1, Ordering::Relaxed);
        node.seen(self.session.pilothouse().clock().now());
    }
}
