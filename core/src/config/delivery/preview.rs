//! Preview of a publish: how many nodes a selection would reach.

use std::collections::HashSet;

use super::release::ReleaseKind;
use super::releases::Releases;
use super::selector::Selector;
use crate::account::{Caller, Reach};
use crate::config::authoring::ItemName;
use crate::{Error, Result};

/// Nodes that a publish would reach, as things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Nodes that it would reach at once.
    pub reached: usize,
    /// Nodes that are online.
    pub online: usize,
}

impl Releases<'_> {
    /// Counts the nodes that publishing an item with a selection would reach now; needs permission 9. Refuses a selection
    /// that the publish would refuse.
    pub async fn preview(&self, caller: &Caller, name: &ItemName, selector: &Selector) -> Result<Preview> {
        let place = (&*name.app, Reach::Profile(&name.profile));
        let mut snapshot = self.0.storage().read().await?;
        let app = self.0.apps().open_for_reader(&mut *snapshot, caller, place).await?;
        self.0.apps().require_manager(&mut *snapshot, caller, (Some(app.id), place.1)).await?;
        drop(snapshot);
        self.0.flush_reports().await?;
        let now = self.0.store_time().await?;
        let mut snapshot = self.0.storage().read().await?;
        let item = snapshot.items().find(app.id, &name.profile, &name.key).await?;
        let item = item.ok_or_else(|| Error::not_found("the config"))?;
        let registered = snapshot.nodes().list(app.id, &name.profile).await?;
        let online = registered.iter().filter(|node| node.is_online(now)).count();
        if selector.is_full() {
            return Ok(Preview { reached: online, online });
        }
        let active = snapshot.releases().active(item.id).await?;
        let greys = active.iter().filter(|release| release.kind == ReleaseKind::Grey);
        let held: HashSet<&str> = greys.flat_map(|release| &release.nodes).map(String::as_str).collect();
        let reached = selector.choose(item.id, &registered, &held, now)?.len();
        Ok(Preview { reached, online })
    }
}
