//! Repository of pending work over the state in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::config::{
    ActiveGrey, AppId, ChangeSet, ChangeSetId, ChangeSetState, ItemId, PendingItem, PendingRepository,
    Release, ReleaseId, ReleaseKind, ReleaseState,
};
use pilothouse_core::ports::StorageResult;

use crate::config::ConfigState;
use crate::storage::Transaction;

impl ConfigState {
    /// Parts of grey releases that are active.
    fn active_grey_parts(&self) -> impl Iterator<Item = &Release> {
        let is_active =
            |part: &&Release| part.kind == ReleaseKind::Grey && part.state == ReleaseState::Active;
        self.releases.iter().filter(is_active)
    }

    /// The newest change set in a state that made a version.
    fn set_of(&self, item: ItemId, version: i64, state: ChangeSetState) -> Option<ChangeSetId> {
        let sets = self.change_sets.iter().filter(|row| row.set.state == state);
        let made = sets.filter(|row| row.changes().iter().any(|of| of.item == item && of.version == version));
        made.map(|row| row.set.id).max()
    }
}

fn bounded(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}

#[async_trait]
impl PendingRepository for Transaction {
    async fn pending_items(
        &mut self,
        apps: &[AppId],
        is_approved: bool,
        start: ItemId,
        count: i64,
    ) -> StorageResult<Vec<PendingItem>> {
        let config = &self.state().config;
        let state = if is_approved { ChangeSetState::Approved } else { ChangeSetState::Draft };
        let open = config.items.from(start).filter(|row| apps.contains(&row.app) && row.is_live());
        let items = open.filter(|row| row.is_draft() && !row.says_what_is_published()).filter_map(|row| {
            let current = row.current().filter(|current| current.approver.is_some() == is_approved)?;
            let is_grey = |part: &Release| part.item == row.id && part.version == current.version;
            (!config.active_grey_parts().any(is_grey)).then(|| PendingItem {
                item: row.id,
                app: row.app,
                profile: row.profile.clone(),
                key: row.key.clone(),
                version: current.version,
                modifier: current.modifier,
                modify_time: current.modify_time,
                change_set: config.set_of(row.id, current.version, state),
            })
        });
        Ok(items.take(bounded(count)).collect())
    }

    async fn pending_sets(
        &mut self,
        apps: &[AppId],
        state: ChangeSetState,
        start: ChangeSetId,
        count: i64,
    ) -> StorageResult<Vec<ChangeSet>> {
        let sets = &self.state().config.change_sets;
        let page = Page::at(start.0, count);
        let rows = sets.page(page, |row| row.set.state == state && apps.contains(&row.set.app));
        Ok(rows.into_iter().map(|row| row.set).collect())
    }

    async fn active_greys(
        &mut self,
        apps: &[AppId],
        start: ReleaseId,
        count: i64,
    ) -> StorageResult<Vec<ActiveGrey>> {
        let config = &self.state().config;
        let mut by_release: BTreeMap<ReleaseId, Vec<&Release>> = BTreeMap::new();
        for part in config.active_grey_parts().filter(|part| part.head() >= start) {
            by_release.entry(part.head()).or_default().push(part);
        }
        let greys = by_release.into_iter().filter_map(|(head, parts)| {
            let first = parts.first()?;
            let item = config.items.get(first.item).filter(|item| apps.contains(&item.app))?;
            Some(ActiveGrey {
                release: head,
                app: item.app,
                profile: item.profile.clone(),
                title: config.releases.get(head).map(|head| head.title.clone()).unwrap_or_default(),
                change_set: first.change_set,
                item: first.item,
                key: item.key.clone(),
                version: first.version,
                items: i64::try_from(parts.len()).unwrap_or(i64::MAX),
                nodes: i64::try_from(first.nodes.len()).unwrap_or(i64::MAX),
                publisher: first.publisher,
                publish_time: first.publish_time,
            })
        });
        Ok(greys.take(bounded(count)).collect())
    }
}
