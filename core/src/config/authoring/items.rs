//! The use cases of configuration items.

use super::app::{App, lock_app, open_app, open_app_of, retain_readable};
use super::grant::Permission;
use super::item::{Content, ContentChange, Item, ItemName, ItemVersion};
use crate::account::{Caller, CallerTransaction, Entry, Reach};
use crate::config::identifier::{AppId, ItemId, check_identifier};
use crate::ports::Repositories;
use crate::{Error, Pilothouse, Result};

/// The use cases of items.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a>(pub(crate) &'a Pilothouse);

impl Items<'_> {
    /// One item; needs permission 0.
    pub async fn find(&self, caller: &Caller, name: &ItemName) -> Result<Item> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app_of(self.0, &mut *snapshot, caller, name, Permission::Read).await?;
        find(&mut *snapshot, &app, name).await
    }

    /// The items of a profile, by id; needs permission 0.
    pub async fn list(&self, caller: &Caller, app: &str, profile: &str) -> Result<Vec<Item>> {
        let mut snapshot = self.0.storage().read().await?;
        let place = (app, Reach::Profile(profile));
        let app = open_app(self.0, &mut *snapshot, caller, place, Permission::Read).await?;
        check_identifier("profile", profile)?;
        Ok(snapshot.items().list(app.id, profile).await?)
    }

    /// The profiles of an app that have items and that the caller may read, by name; needs permission 0 on some profile.
    pub async fn profiles(&self, caller: &Caller, app: &str) -> Result<Vec<String>> {
        let mut snapshot = self.0.storage().read().await?;
        let place = (app, Reach::SomeProfiles);
        let app = open_app(self.0, &mut *snapshot, caller, place, Permission::Read).await?;
        let mut profiles = snapshot.items().profiles(app.id).await?;
        retain_readable(&mut *snapshot, caller, &app, &mut profiles, String::clone).await?;
        Ok(profiles)
    }

    /// Creates an item; needs permission 1. Its version is 1, or follows the last one where the key was deleted.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn create(&self, caller: &Caller, name: &ItemName, content: Content) -> Result<ItemId> {
        let content = content.checked().await;
        let mut work = self.0.write_as(caller).await?;
        let app = lock_app(
            self.0,
            &mut work,
            caller,
            (&name.app, Reach::Profile(&name.profile)),
            Permission::Develop,
        )
        .await?;
        name.check_new()?;
        let mut first = self.version_by(caller, 1, content?);
        let inserted = work.items().insert(app.id, &name.profile, &name.key, &first).await?;
        let (id, version) = inserted.ok_or_else(|| Error::exists("a config with this key"))?;
        first.version = version;
        let entry = Entry::new("config.create", name.to_string()).new_digest(first.digest());
        work.record(entry).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Makes a new version, which nobody has approved, of what is given and else of the current one; needs permission 1.
    /// An update that changes neither value nor validator nor description makes none and leaves the approval. `seen` is
    /// the version the caller saw.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn update(
        &self,
        caller: &Caller,
        name: &ItemName,
        change: impl Into<ContentChange> + Send,
        seen: Option<i64>,
    ) -> Result<()> {
        let change = change.into();
        let id = change.id;
        // What stays is checked together with what changes, and before the transaction, as that may take long.
        let base = if change.is_whole() { None } else { Some(self.current(caller, name).await?) };
        let old = base.as_ref().map(|item| item.current.content.clone()).unwrap_or_default();
        let content = change.of(old).checked().await;
        let mut work = self.0.write_as(caller).await?;
        let item = self.lock_for_developer(&mut work, caller, name).await?;
        let content = content?;
        if id.is_some_and(|id| id != item.id) {
            return Err(Error::invalid("id", "is not that of this config"));
        }
        item.check_seen(seen)?;
        if base.is_some_and(|base| base.id != item.id || base.current.version != item.current.version) {
            return Err(Error::conflict("the config was changed meanwhile"));
        }
        let action = "config.update";
        self.amend(&mut work, caller, Amendment { action, name, item: &item, content }).await?;
        Ok(work.commit().await?)
    }

    /// Makes a new version with what an old one says; needs permission 1. It is approved and published like any other.
    /// Equal content makes no new version, as with an update.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn roll_back(&self, caller: &Caller, name: &ItemName, version: i64) -> Result<()> {
        let (app, content) = self.old(caller, name, version).await?;
        // What was stored may be older than the validators.
        let content = content.checked().await?;
        let mut work = self.0.write_as(caller).await?;
        let item = self.lock_for_developer(&mut work, caller, name).await?;
        if item.app != app {
            return Err(Error::conflict("the config was changed meanwhile"));
        }
        let action = "config.rollback";
        self.amend(&mut work, caller, Amendment { action, name, item: &item, content }).await?;
        Ok(work.commit().await?)
    }

    /// The item of that name, for a caller who is about to change it.
    async fn current(&self, caller: &Caller, name: &ItemName) -> Result<Item> {
        let mut snapshot = self.0.storage().read().await?;
        self.0.require_current(&mut *snapshot, caller).await?;
        let app = open_app_of(self.0, &mut *snapshot, caller, name, Permission::Develop).await?;
        find(&mut *snapshot, &app, name).await
    }

    /// Content of an old version of an item, and its app.
    async fn old(&self, caller: &Caller, name: &ItemName, version: i64) -> Result<(AppId, Content)> {
        let mut snapshot = self.0.storage().read().await?;
        self.0.require_current(&mut *snapshot, caller).await?;
        let app = open_app_of(self.0, &mut *snapshot, caller, name, Permission::Develop).await?;
        find(&mut *snapshot, &app, name).await?;
        let old = snapshot.items().version(app.id, &name.profile, &name.key, version).await?;
        let old = old.ok_or_else(|| Error::not_found(format!("version {version}")))?;
        Ok((app.id, old.content))
    }

    /// Approves the current version; needs permission 9, and in a profile under four-eyes another account than its
    /// modifier's. What is approved already stays so, by its first approver. `seen` is the version the caller saw.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn approve(&self, caller: &Caller, name: &ItemName, seen: Option<i64>) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        let item = self.lock(&mut work, caller, name, Permission::Manage).await?;
        let four_eyes = self.0.settings().four_eyes_profiles.contains(&name.profile);
        if four_eyes && item.current.modifier == caller.id {
            return Err(self.0.refuse(caller, "to approve its own change in a profile under four-eyes"));
        }
        item.check_seen(seen)?;
        if work.items().approve(item.id, item.current.version, caller.id).await? {
            let digest = item.current.digest();
            let entry = Entry::new("config.approve", name.to_string()).old(digest.clone()).new_digest(digest);
            work.record(entry).await?;
        }
        Ok(work.commit().await?)
    }

    /// The item of that name, for a caller who may develop its app, in a transaction that holds the app's lock.
    pub(in crate::config) async fn lock_for_developer(
        &self,
        work: &mut CallerTransaction<'_>,
        caller: &Caller,
        name: &ItemName,
    ) -> Result<Item> {
        self.lock(work, caller, name, Permission::Develop).await
    }

    /// The item of that name, in a transaction that holds its app's lock.
    async fn lock(
        &self,
        work: &mut CallerTransaction<'_>,
        caller: &Caller,
        name: &ItemName,
        needed: Permission,
    ) -> Result<Item> {
        let app = lock_app(self.0, work, caller, (&name.app, Reach::Profile(&name.profile)), needed).await?;
        find(&mut **work, &app, name).await
    }

    /// Makes the new content the next version of the item, unless it is what the current one says.
    async fn amend(
        &self,
        work: &mut CallerTransaction<'_>,
        caller: &Caller,
        amendment: Amendment<'_>,
    ) -> Result<()> {
        let Amendment { action, name, item, content } = amendment;
        if content == item.current.content {
            return Ok(());
        }
        let next = self.version_by(caller, item.current.version + 1, content);
        if !work.items().amend(item.id, &next).await? {
            return Err(Error::conflict("the config was changed meanwhile"));
        }
        let entry = Entry::new(action, name.to_string()).old(item.current.digest()).new_digest(next.digest());
        work.record(entry).await
    }

    fn version_by(self, caller: &Caller, version: i64, content: Content) -> ItemVersion {
        let modify_time = self.0.clock().now();
        ItemVersion { version, content, modifier: caller.id, modify_time, approver: None }
    }
}

/// New content of an item.
struct Amendment<'a> {
    /// Use case, by its name in the audit trail.
    action: &'static str,
    name: &'a ItemName,
    item: &'a Item,
    content: Content,
}

async fn find(repositories: &mut dyn Repositories, app: &App, name: &ItemName) -> Result<Item> {
    name.check()?;
    let found = repositories.items().find(app.id, &name.profile, &name.key).await?;
    found.ok_or_else(|| Error::not_found("the config"))
}
