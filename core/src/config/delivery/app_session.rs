//! App session: one app's configuration as its nodes get it.

use std::sync::Arc;

use tokio::sync::watch;

use super::node_registry::AppState;
use super::snapshot::ConfigSnapshot;
use crate::config::identifier::{AppId, AppKeyId};
use crate::{Error, Pilothouse, Result};

/// Access to an app's configuration, opened with one of its keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AppSession {
    pub(in crate::config) pilothouse: Pilothouse,
    pub(in crate::config) state: Arc<AppState>,
    /// Key that opened the session; none where the app needs none.
    pub(super) key: Option<AppKeyId>,
}

impl AppSession {
    /// The id of the app.
    pub fn app(&self) -> AppId {
        self.state.app
    }

    /// The app's name on the wire.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The newest snapshot of this server.
    pub fn snapshot(&self) -> Arc<ConfigSnapshot> {
        self.state.snapshot()
    }

    /// A snapshot of at least `revision`, where the store has one: a node that knows more than this server never gets
    /// older content. Where the session ended meanwhile the caller has to open another.
    pub async fn snapshot_at(&self, revision: i64) -> Result<Arc<ConfigSnapshot>> {
        if self.snapshot().revision() < revision { self.reloaded().await } else { Ok(self.snapshot()) }
    }

    /// The snapshot that the store has now; [`Error::Unavailable`] where the session has ended, so that nothing of another
    /// history is taken for an answer.
    pub(super) async fn reloaded(&self) -> Result<Arc<ConfigSnapshot>> {
        self.pilothouse.delivery().reload(&self.state).await?;
        if self.has_ended() {
            return Err(Error::Unavailable(format!("the configuration of {} is read again", self.name())));
        }
        Ok(self.snapshot())
    }

    /// The session that the same key opens by the store, where the key that opened this one is gone: its app may have been deleted
    /// and created again, with the same key, which this server has not heard of. [`Error::Unauthenticated`] where it opens none.
    pub(super) async fn opened_again(&self) -> Result<Self> {
        let snapshot = self.snapshot();
        let key = snapshot.keys().iter().find(|key| self.key == Some(key.id));
        let digest = key.ok_or(Error::Unauthenticated)?.digest;
        let delivery = self.pilothouse.delivery();
        delivery.reload(&self.state).await?;
        delivery.open_by_digest(self.name(), &[digest]).await
    }

    /// A receiver of every later snapshot. Subscribe before looking at the newest one to miss none.
    pub fn subscribe(&self) -> watch::Receiver<Arc<ConfigSnapshot>> {
        self.state.subscribe()
    }

    /// Whether the key that opened the session was deleted. A snapshot holds the keys that are valid with it, and one
    /// follows whenever a key is made or deleted, on whichever server.
    pub fn is_revoked(&self, snapshot: &ConfigSnapshot) -> bool {
        self.key.is_some_and(|key| snapshot.keys().iter().all(|valid| valid.id != key))
    }

    /// Whether no snapshot will follow: the app was deleted, its epoch renewed, or the server stops.
    pub fn has_ended(&self) -> bool {
        self.state.has_ended()
    }
}
