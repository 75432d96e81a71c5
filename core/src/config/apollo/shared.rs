//! A namespace as the Apollo clients of an app get it: what another app shares under its name, and their app's own keys on
//! top.

use std::sync::Arc;

use super::namespace::NamespaceContent;
use crate::config::authoring::SharedNamespaces;
use crate::config::delivery::{AppSession, ConfigSnapshot};
use crate::config::identifier::AppId;
use crate::{Epoch, Result};

/// Namespaces that other apps share, or shared, with an app under one name.
#[derive(Clone, Debug)]
pub struct NamespaceShare {
    /// Session of the app that shares it; `None` where it was withdrawn, and for the clients of that app itself.
    pub source: Option<AppSession>,
    /// Whether no app shares it any more. Clients that have what was shared drop it.
    pub is_withdrawn: bool,
    /// Names who shares it: greater whenever that changes.
    pub revision: i64,
    epoch: Epoch,
    base: i64,
}

/// Content of a namespace for one client, and the parts that it is made of.
#[derive(Clone, Debug)]
pub struct ClientNamespace<'a> {
    /// Namespace as the client gets it.
    pub content: Arc<NamespaceContent>,
    /// Profile that it comes from; of two, that of the client's own app.
    pub profile: &'a str,
    /// Content of the client's own app there, by profile.
    pub own: Option<(&'a str, Arc<NamespaceContent>)>,
    /// Content of the sharing app there, by profile.
    pub shared: Option<(&'a str, Arc<NamespaceContent>)>,
}

impl AppSession {
    /// What another app shares, or shared, with the clients of this one under the name of a namespace. `None` where no
    /// other ever did. `known` is the revision of it that a client was told of: the answer is not older.
    pub async fn namespace_share(&self, name: &str, known: i64) -> Result<Option<NamespaceShare>> {
        let delivery = self.pilothouse.delivery();
        let namespaces = delivery.shared_namespaces().await?;
        let mut share = self.share_of(namespaces.borrow().as_deref(), name);
        if known > share.as_ref().map_or(0, |(share, _)| share.revision) {
            delivery.read_shared_namespaces().await?;
            share = self.share_of(namespaces.borrow().as_deref(), name);
        }
        let Some((mut share, app)) = share else { return Ok(None) };
        if let Some(app) = app {
            share.source = delivery.open_shared(app).await?;
        }
        Ok(Some(share))
    }

    /// The share, without its session, and the app that it is of.
    fn share_of(
        &self,
        namespaces: Option<&SharedNamespaces>,
        name: &str,
    ) -> Option<(NamespaceShare, Option<AppId>)> {
        let found = namespaces?.find(name)?;
        let share = NamespaceShare {
            source: None,
            is_withdrawn: found.app.is_none(),
            revision: found.epoch.revision(found.base),
            epoch: found.epoch,
            base: found.base,
        };
        Some((share, found.app.filter(|app| *app != self.app())))
    }

    /// A receiver that is told when an app shares a namespace or withdraws one. Subscribe before looking at one to miss no
    /// change.
    pub async fn shared_namespaces(
        &self,
    ) -> Result<tokio::sync::watch::Receiver<Option<Arc<SharedNamespaces>>>> {
        self.pilothouse.delivery().shared_namespaces().await
    }
}

impl NamespaceShare {
    /// Notification id of a namespace whose last changes were at the revision `own` of the app with this snapshot, and at
    /// `shared` of the sharing one; 0 for none. It grows with either, and whenever another app shares it.
    pub fn notification_id(&self, snapshot: &ConfigSnapshot, own: i64, shared: i64) -> i64 {
        let source = self.source.as_ref().map_or(Epoch(0), |source| source.snapshot().epoch());
        let epoch = snapshot.epoch().max(source).max(self.epoch);
        epoch.revision(Epoch::number_of(own) + Epoch::number_of(shared) + self.base)
    }
}

impl ConfigSnapshot {
    /// Content of a namespace for the Apollo client that is this node, from the first of `profiles` in which its app, and the
    /// one with the snapshot `shared` that shares the namespace, have something for it. `None` where nothing was ever published
    /// there.
    pub fn client_namespace<'a>(
        &self,
        shared: Option<&Self>,
        profiles: &[&'a str],
        node_id: &str,
        name: &str,
    ) -> Option<ClientNamespace<'a>> {
        let held = |snapshot: &Self| {
            let content = |profile: &&'a str| Some((*profile, snapshot.namespace(profile, node_id, name)?));
            let found: Vec<_> = profiles.iter().filter_map(content).collect();
            // A profile has a namespace for a client that holds something of it there; what is for others, or was, is not it.
            found.iter().find(|(_, content)| !content.items.is_empty()).or(found.first()).cloned()
        };
        let (own, shared) = (held(self), shared.and_then(held));
        let (profile, content) = match (&own, &shared) {
            (Some((profile, own)), Some((_, shared)))
                if !own.items.is_empty() && !shared.items.is_empty() =>
            {
                (*profile, own.on_top_of(shared))
            }
            (Some((_, own)), Some((profile, shared))) if own.items.is_empty() => (*profile, shared.clone()),
            (Some((profile, own)), _) => (*profile, own.clone()),
            (None, Some((profile, shared))) => (*profile, shared.clone()),
            (None, None) => return None,
        };
        Some(ClientNamespace { content, profile, own, shared })
    }
}
