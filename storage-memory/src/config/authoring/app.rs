//! App repository over the state in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::Epoch;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{
    App, AppCounts, AppId, AppRepository, AppRevision, ItemId, Release, ReleaseKind,
};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl AppRepository for Transaction {
    async fn insert(&mut self, app: &App) -> StorageResult<Option<AppId>> {
        let state = self.state_mut()?;
        let (apps, epoch) = (&mut state.config.apps, state.identity.epoch);
        if apps.iter().any(|held| held.app == app.app) {
            return Ok(None);
        }
        Ok(Some(apps.insert(|id| App { id, epoch, revision: 0, ..app.clone() })))
    }

    async fn by_id(&mut self, id: AppId) -> StorageResult<Option<App>> {
        Ok(self.state().config.apps.get(id).cloned())
    }

    async fn by_name(&mut self, app: &str) -> StorageResult<Option<App>> {
        Ok(self.state().config.apps.iter().find(|held| held.app == app).cloned())
    }

    async fn of_account(&mut self, account: AccountId) -> StorageResult<Vec<App>> {
        let config = &self.state().config;
        let reached = |app: &&App| {
            let mut grants = config.grants.iter().filter(|grant| grant.account == account);
            grants.any(|grant| grant.app.is_none_or(|on| on == app.id))
        };
        Ok(config.apps.iter().filter(reached).cloned().collect())
    }

    async fn update(&mut self, app: &App) -> StorageResult<bool> {
        let Some(held) = self.state_mut()?.config.apps.get_mut(app.id) else { return Ok(false) };
        held.app_type = app.app_type;
        held.name.clone_from(&app.name);
        held.charger.clone_from(&app.charger);
        Ok(true)
    }

    async fn raise_revision(&mut self, id: AppId) -> StorageResult<Option<i64>> {
        Ok(self.state_mut()?.config.apps.get_mut(id).map(|app| {
            app.revision += 1;
            app.revision
        }))
    }

    async fn revisions(&mut self, apps: &[AppId]) -> StorageResult<Vec<AppRevision>> {
        let held = self.state().config.apps.iter().filter(|app| apps.contains(&app.id));
        Ok(held.map(|app| AppRevision { app: app.id, epoch: app.epoch, number: app.revision }).collect())
    }

    async fn counts(&mut self, apps: &[AppId], now: DateTime<Utc>) -> StorageResult<Vec<AppCounts>> {
        let config = &self.state().config;
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let held = config.apps.iter().filter(|app| apps.contains(&app.id));
        let counts = held.map(|app| {
            let items = || config.items.iter().filter(|item| item.app == app.id && item.is_live());
            let profiles: BTreeSet<_> = items().map(|item| &item.profile).collect();
            let is_of_app = |item: ItemId| config.items.get(item).is_some_and(|item| item.app == app.id);
            let grey = config.releases.iter().filter(|release| {
                release.kind == ReleaseKind::Grey && release.end_revision.is_none() && is_of_app(release.item)
            });
            // A release of several items has a row for each.
            let grey: BTreeSet<_> = grey.map(Release::head).collect();
            let online = config.nodes.iter().filter(|node| node.app == app.id && node.is_online(now));
            AppCounts {
                app: app.id,
                profiles: count(profiles.len()),
                items: count(items().count()),
                drafts: count(items().filter(|item| item.is_draft()).count()),
                grey: count(grey.len()),
                online: count(online.count()),
            }
        });
        Ok(counts.collect())
    }

    async fn delete(&mut self, id: AppId) -> StorageResult<bool> {
        let state = self.state_mut()?;
        let config = &mut state.config;
        if config.apps.get(id).is_some_and(|app| app.revision > 0) {
            state.identity.epoch = Epoch(state.identity.epoch.0 + 1);
        }
        config.grants.retain(|grant| grant.app != Some(id));
        let gone: Vec<_> = config.items.iter().filter(|item| item.app == id).map(|item| item.id).collect();
        config.items.retain(|item| item.app != id);
        config.change_sets.retain(|row| row.set.app != id);
        config.releases.retain(|release| !gone.contains(&release.item));
        config.keys.retain(|key| key.app != id);
        config.remove_nodes(|node| node.app == id);
        config.remove_stray_deliveries();
        Ok(config.apps.remove(id))
    }
}
