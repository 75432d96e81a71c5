//! Apps: what has configuration.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{ALL, Grant, Permission};
use crate::account::{Caller, Entry, digest};
use crate::ports::{LockKey, Repositories, StorageResult, UnitOfWork};
use crate::{Error, Pilothouse, Result, check_text, check_token};

/// The id of an app. Never given twice, also not when an app of the same name is created again.
pub type AppId = i64;

/// An app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// What identifies it on the wire; unique, never changes.
    pub app: String,
    /// 0 a server, 9 a client app; other values are kept as given.
    pub app_type: u8,
    /// Its name for people.
    pub name: String,
    /// The name of the person in charge; no uid.
    pub charger: String,
    /// When it was created.
    pub create_time: DateTime<Utc>,
    /// Grows by one with every change of what is published, without gaps and in the order of commits; 0 before the first.
    pub revision: i64,
}

impl App {
    fn digest(&self) -> String {
        digest(&[&self.app, &self.app_type.to_string(), &self.name, &self.charger])
    }

    fn check(&self) -> Result<()> {
        check_text("name", &self.name, 1, 128, false)?;
        check_text("charger", &self.charger, 1, 128, false)
    }
}

/// An app to be created. Every field is required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApp {
    /// 1 to 64 of `[A-Za-z0-9._-]`, not `.`, `..` or `all`.
    pub app: String,
    /// 0 a server, 9 a client app.
    pub app_type: u8,
    /// 1 to 128 bytes.
    pub name: String,
    /// 1 to 128 bytes.
    pub charger: String,
}

/// A change of an app; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateApp {
    /// 0 a server, 9 a client app.
    pub app_type: Option<u8>,
    /// 1 to 128 bytes.
    pub name: Option<String>,
    /// 1 to 128 bytes.
    pub charger: Option<String>,
}

/// Apps in a store.
#[async_trait]
pub trait AppRepository: Send {
    /// Adds an app at revision 0, ignoring `id` and `revision`; `None` when `app` is taken.
    async fn insert(&mut self, app: &App) -> StorageResult<Option<AppId>>;
    /// By id.
    async fn by_id(&mut self, id: AppId) -> StorageResult<Option<App>>;
    /// By what identifies it on the wire.
    async fn by_name(&mut self, app: &str) -> StorageResult<Option<App>>;
    /// The apps an account has a grant on, by id; with a grant on `all` every app.
    async fn of_account(&mut self, account: crate::account::AccountId) -> StorageResult<Vec<App>>;
    /// Replaces type, name and charger; whether there is such an app.
    async fn update(&mut self, app: &App) -> StorageResult<bool>;
    /// Raises the revision by one and answers the new one; `None` without such an app. Until the transaction ends no
    /// other one raises it, so call it last.
    async fn raise_revision(&mut self, id: AppId) -> StorageResult<Option<i64>>;
    /// The revisions of some apps, by id; those gone meanwhile are left out.
    async fn revisions(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, i64)>>;
    /// Removes an app with its grants, keys, nodes, items, versions and releases; whether there was one.
    async fn delete(&mut self, id: AppId) -> StorageResult<bool>;
}

/// The use cases of apps.
#[derive(Clone, Copy, Debug)]
pub struct Apps<'a>(pub(crate) &'a Pilothouse);

impl Apps<'_> {
    /// The apps the caller has a grant on, by id; with a grant on `all` every app.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<App>> {
        self.0.require_account_scope(caller)?;
        Ok(self.0.storage().read().await?.apps().of_account(caller.id).await?)
    }

    /// Creates an app and makes the caller its admin. Any account may.
    pub async fn create(&self, caller: &Caller, new: NewApp) -> Result<AppId> {
        self.0.require_account_scope(caller)?;
        check_identifier("app", &new.app)?;
        if new.app == ALL {
            return Err(Error::invalid("app", "all is reserved"));
        }
        let NewApp { app, app_type, name, charger } = new;
        let app = App { id: 0, app, app_type, name, charger, create_time: self.0.clock().now(), revision: 0 };
        app.check()?;
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Accounts).await?;
        if work.accounts().by_id(caller.id).await?.is_none() {
            return Err(Error::not_found("the caller's account"));
        }
        let id = work.apps().insert(&app).await?.ok_or_else(|| Error::exists("an app with this app"))?;
        let grant = Grant {
            id: 0,
            account: caller.id,
            uname: caller.name.clone(),
            app: Some(id),
            permission: Permission::Manage,
        };
        work.grants().insert(&grant).await?;
        let entry = Entry::new("app.create", &*app.app).new_digest(app.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Changes an app; needs permission 9.
    pub async fn update(&self, caller: &Caller, app: &str, change: UpdateApp) -> Result<()> {
        let mut work = self.0.storage().begin().await?;
        let old = lock_app(self.0, &mut *work, caller, app, Permission::Manage).await?;
        let before = old.digest();
        let app = App {
            app_type: change.app_type.unwrap_or(old.app_type),
            name: change.name.unwrap_or(old.name),
            charger: change.charger.unwrap_or(old.charger),
            ..old
        };
        app.check()?;
        if !work.apps().update(&app).await? {
            return Err(Error::not_found("the app"));
        }
        let entry = Entry::new("app.update", &*app.app).old(before).new_digest(app.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        Ok(work.commit().await?)
    }

    /// Deletes an app with its grants, keys, nodes and the history of its items; needs permission 9. Refused while it has items.
    pub async fn delete(&self, caller: &Caller, app: &str) -> Result<()> {
        let mut work = self.0.storage().begin().await?;
        // Its grants go with it, and no grant may be given to it meanwhile.
        work.lock(LockKey::Accounts).await?;
        let app = lock_app(self.0, &mut *work, caller, app, Permission::Manage).await?;
        if !work.items().profiles(app.id).await?.is_empty() {
            return Err(Error::conflict("the app still has configs: delete them first"));
        }
        if !work.apps().delete(app.id).await? {
            return Err(Error::not_found("the app"));
        }
        let entry = Entry::new("app.delete", &*app.app).old(app.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        work.commit().await?;
        self.0.changed(app.id).await;
        Ok(())
    }
}

/// The app of that name, for a caller with `needed` on it. Without a grant that reaches far enough the answer is
/// [`Error::Forbidden`], whether or not there is such an app.
pub(super) async fn open_app(
    pilothouse: &Pilothouse,
    repositories: &mut dyn Repositories,
    caller: &Caller,
    name: &str,
    needed: Permission,
) -> Result<App> {
    let app = repositories.apps().by_name(name).await?;
    require(pilothouse, repositories, caller, app.as_ref().map(|app| app.id), needed).await?;
    match app {
        Some(app) => Ok(app),
        None => {
            check_identifier("app", name)?;
            Err(Error::not_found("the app"))
        }
    }
}

/// The same, in a transaction that holds the app's lock: nothing of the app changes beside it.
pub(super) async fn lock_app(
    pilothouse: &Pilothouse,
    work: &mut dyn UnitOfWork,
    caller: &Caller,
    name: &str,
    needed: Permission,
) -> Result<App> {
    let app = open_app(pilothouse, work, caller, name, needed).await?;
    work.lock(LockKey::App(app.id)).await?;
    // Before the lock was ours the app may have been deleted, or the grant withdrawn.
    open_app(pilothouse, work, caller, name, needed).await
}

/// Refuses a caller without `needed` on the app; without an app, without `needed` on `all`.
pub(super) async fn require(
    pilothouse: &Pilothouse,
    repositories: &mut dyn Repositories,
    caller: &Caller,
    app: Option<AppId>,
    needed: Permission,
) -> Result<()> {
    pilothouse.require_account_scope(caller)?;
    if repositories.grants().strongest(caller.id, app).await? >= Some(needed) {
        return Ok(());
    }
    // Without the app's name, which the caller chooses: refusals are summed per right, and must stay few.
    Err(pilothouse.refuse(caller, &format!("permission {} on the app", needed.id())))
}

/// Refuses what cannot name an app or a profile: 1 to 64 of `[A-Za-z0-9._-]`, not `.` or `..`.
pub(super) fn check_identifier(field: &'static str, text: &str) -> Result<()> {
    check_token(field, text, 1, 64, "A-Z, a-z, 0-9, ., _ and -", |c| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
    })?;
    if matches!(text, "." | "..") { Err(Error::invalid(field, "must not be . or ..")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::check_identifier;

    #[test]
    fn identifiers() {
        for good in ["a", "app1", "A.b_c-9", "...", &"x".repeat(64)] {
            assert!(check_identifier("app", good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "应用", "a\n", &"x".repeat(65)] {
            let refused = check_identifier("app", bad).unwrap_err().to_string();
            assert!(refused.starts_with("app: "), "{refused}");
        }
    }
}
