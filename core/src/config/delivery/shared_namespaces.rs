//! In-memory copy of the shared namespaces, and the sessions of the apps that share them.

use std::error::Error as StdError;
use std::sync::Arc;

use tokio::sync::watch;

use super::app_cache::Delivery;
use super::app_session::AppSession;
use crate::config::authoring::SharedNamespaces;
use crate::config::identifier::AppId;
use crate::{Pilothouse, Result};

impl Delivery<'_> {
    /// The session of an app that shares a namespace with the clients of another; without a key, as they have shown one of
    /// theirs.
    pub(in crate::config) async fn open_shared(&self, app: AppId) -> Result<Option<AppSession>> {
        let known = self.loaded(app).filter(|state| !state.has_ended());
        let state = match known {
            Some(state) => Some(state),
            None => self.load(app).await?,
        };
        Ok(state.map(|state| self.session(state, None)))
    }

    /// A receiver of the shared namespaces, as this process knows them.
    pub(in crate::config) async fn shared_namespaces(
        &self,
    ) -> Result<watch::Receiver<Option<Arc<SharedNamespaces>>>> {
        let shared = self.cache().shared.subscribe();
        if shared.borrow().is_none() {
            self.read_shared_namespaces().await?;
        }
        Ok(shared)
    }

    /// Reads the shared namespaces again, and wakes those who wait for a change of them.
    pub(in crate::config) async fn read_shared_namespaces(&self) -> Result<()> {
        let listed = self.0.storage().peek().await?.shared_namespaces().list().await?;
        let listed = Arc::new(listed.into_iter().collect::<SharedNamespaces>());
        self.cache().shared.send_if_modified(|known| {
            let differs = known.as_ref() != Some(&listed);
            if differs {
                *known = Some(listed);
            }
            differs
        });
        Ok(())
    }
}

impl Pilothouse {
    /// Reads the shared namespaces again after they were changed; other servers do so at their next poll.
    pub(crate) async fn shared_namespaces_changed(&self) {
        if let Err(error) = self.delivery().read_shared_namespaces().await {
            tracing::warn!(
                error = &error as &dyn StdError,
                "the shared namespaces could not be read; the next poll tries again"
            );
        }
    }
}
