//! Apps.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{App, AppId, AppRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl AppRepository for Transaction {
    async fn insert(&mut self, app: &App) -> StorageResult<Option<AppId>> {
        let apps = &mut self.state_mut()?.config.apps;
        if apps.iter().any(|held| held.app == app.app) {
            return Ok(None);
        }
        Ok(Some(apps.insert(|id| App { id, revision: 0, ..app.clone() })))
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

    async fn revisions(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, i64)>> {
        let held = self.state().config.apps.iter().filter(|app| apps.contains(&app.id));
        Ok(held.map(|app| (app.id, app.revision)).collect())
    }

    async fn delete(&mut self, id: AppId) -> StorageResult<bool> {
        let config = &mut self.state_mut()?.config;
        config.grants.retain(|grant| grant.app != Some(id));
        let gone: Vec<_> = config.items.iter().filter(|item| item.app == id).map(|item| item.id).collect();
        config.items.retain(|item| item.app != id);
        config.releases.retain(|release| !gone.contains(&release.item));
        config.keys.retain(|key| key.app != id);
        config.remove_nodes(|node| node.app == id);
        config.remove_stray_deliveries();
        Ok(config.apps.remove(id))
    }
}
