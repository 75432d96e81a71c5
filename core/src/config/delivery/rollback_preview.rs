//! Preview of a rollback: which version of each item the nodes would go back to.

use std::collections::HashMap;

use super::release::{ReleaseId, ReleaseKind, ReleaseState};
use super::release_set::named;
use super::releases::Releases;
use crate::account::{Caller, Reach};
use crate::config::identifier::ItemId;
use crate::{Error, Result};

/// An item of a release that would be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBackItem {
    /// Key of the item.
    pub key: String,
    /// The version that the release published; 0 where its nodes lost the key.
    pub from: i64,
    /// The version that its nodes would go back to; 0 where they would lose the key.
    pub to: i64,
}

impl Releases<'_> {
    /// Preview of [`Releases::roll_back`], item by item; needs permission 9. Refuses what that would refuse.
    pub async fn preview_rollback(&self, caller: &Caller, id: ReleaseId) -> Result<Vec<RolledBackItem>> {
        let absent = || Error::not_found("the release");
        let mut snapshot = self.0.storage().read().await?;
        self.0.require_current(&mut *snapshot, caller).await?;
        let found = snapshot.releases().by_id(id).await?.filter(|release| release.set.is_none());
        let (app, place) = match &found {
            Some(release) => {
                (snapshot.items().app_of(release.item).await?, snapshot.items().place(release.item).await?)
            }
            None => (None, None),
        };
        let reach = place.as_ref().map_or(Reach::App, |(profile, _)| Reach::Profile(profile));
        self.0.apps().require_manager(&mut *snapshot, caller, (app, reach)).await?;
        let first = found.ok_or_else(absent)?;
        let mut parts = snapshot.releases().parts(&[id]).await?;
        if first.kind == ReleaseKind::Grey {
            parts.retain(|(part, _)| part.state == ReleaseState::Active);
            if parts.is_empty() {
                return Err(Error::conflict("the release is not active any more"));
            }
        }
        let ended = parts.iter().filter(|(part, _)| part.state != ReleaseState::Active);
        let ended: Vec<&str> = ended.map(|(_, key)| &**key).collect();
        if !ended.is_empty() {
            return Err(Error::conflict(format!("released again or deleted since: {}", named(&ended))));
        }
        let items: Vec<ItemId> = parts.iter().map(|(part, _)| part.item).collect();
        let before: HashMap<ItemId, i64> = if first.kind == ReleaseKind::Grey {
            let heads = snapshot.items().heads_of(&items).await?;
            heads.into_iter().map(|head| (head.item, head.published_version)).collect()
        } else {
            let ended = snapshot.releases().ended_at(&items, first.revision).await?;
            ended.into_iter().map(|part| (part.item, part.version)).collect()
        };
        let rolled_back = parts.into_iter().map(|(part, key)| RolledBackItem {
            key,
            from: part.version,
            to: before.get(&part.item).copied().unwrap_or(0),
        });
        Ok(rolled_back.collect())
    }
}
