//! Apps: programs that have configuration, and the check of a caller's permission on one.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::grant::{ALL, Grant, GrantId, Permission, permission_on_all, permitted};
use super::item::ItemName;
use super::overview::AppCounts;
use crate::account::{Caller, CallerTransaction, Entry, Reach, digest};
use crate::config::identifier::{AppId, check_identifier};
use crate::ports::{LockKey, Repositories, StorageResult};
use crate::{Epoch, Error, Pilothouse, Result, check_text};

/// An app: a program that has configuration, in profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Unique and never given again, so that an app created anew inherits nothing.
    pub id: AppId,
    /// Name on the wire: unique, never changes.
    pub app: String,
    /// 0 a server, 9 a client app; other values are kept as given.
    pub app_type: u8,
    /// Name for people.
    pub name: String,
    /// The name of the person in charge; no uid.
    pub charger: String,
    /// Time of its creation.
    pub create_time: DateTime<Utc>,
    /// Epoch of its revisions: greater than that of an app of the same name before it.
    pub epoch: Epoch,
    /// Grows by one with every change of what is published, without gaps and in the order of commits; 0 before the first.
    pub revision: i64,
}

impl App {
    pub(crate) fn digest(&self) -> String {
        digest(&[&self.app, &self.app_type.to_string(), &self.name, &self.charger])
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_text("name", &self.name, 1, 128, false)?;
        check_text("charger", &self.charger, 1, 128, false)
    }
}

/// Epoch and revision of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppRevision {
    /// Id of the app.
    pub app: AppId,
    /// Epoch of the revision; at most that of the store.
    pub epoch: Epoch,
    /// Its revision within the epoch.
    pub number: i64,
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
    /// Adds an app at revision 0 in the epoch of the store, ignoring `id`, `epoch` and `revision`; `None` when `app` is
    /// taken.
    async fn insert(&mut self, app: &App) -> StorageResult<Option<AppId>>;
    /// Finds an app by id.
    async fn by_id(&mut self, id: AppId) -> StorageResult<Option<App>>;
    /// Finds an app by its name on the wire.
    async fn by_name(&mut self, app: &str) -> StorageResult<Option<App>>;
    /// The apps that an account has a grant on, or on a profile of which it has one, by id; with a grant on `all` every app.
    async fn of_account(&mut self, account: crate::account::AccountId) -> StorageResult<Vec<App>>;
    /// Replaces type, name and charger; whether there is such an app.
    async fn update(&mut self, app: &App) -> StorageResult<bool>;
    /// Raises the revision by one and answers the new one; `None` without such an app. Until the transaction ends no
    /// other one raises it, so call it last.
    async fn raise_revision(&mut self, id: AppId) -> StorageResult<Option<i64>>;
    /// Epochs and revisions of some apps, by id; those gone meanwhile are left out.
    async fn revisions(&mut self, apps: &[AppId]) -> StorageResult<Vec<AppRevision>>;
    /// Counts of some apps at a moment, by id; those gone meanwhile are left out.
    async fn counts(&mut self, apps: &[AppId], now: DateTime<Utc>) -> StorageResult<Vec<AppCounts>>;
    /// Removes an app with its grants, keys, nodes, items, versions and releases; whether there was one. It must share no
    /// namespace. Where it had
    /// revisions the epoch of the store grows by one, so that an app of the same name begins in a greater one.
    async fn delete(&mut self, id: AppId) -> StorageResult<bool>;
}

/// The use cases of apps.
#[derive(Clone, Copy, Debug)]
pub struct Apps<'a>(pub(crate) &'a Pilothouse);

impl Apps<'_> {
    /// The apps that the caller has a grant on, or on a profile of which it has one, by id; with a grant on `all` every app.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<App>> {
        self.0.require_account_scope(caller)?;
        let mut apps = self.0.storage().read().await?.apps().of_account(caller.id).await?;
        apps.retain(|app| caller.opens_app(Some(&app.app), Reach::SomeProfiles));
        Ok(apps)
    }

    /// Creates an app and makes the caller its admin. Any account may.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn create(&self, caller: &Caller, new: NewApp) -> Result<AppId> {
        self.0.require_account_scope(caller)?;
        check_app_name(&new.app)?;
        if !caller.opens_app(Some(&new.app), Reach::App) {
            return Err(self.0.refuse(caller, "a token for the app"));
        }
        let NewApp { app, app_type, name, charger } = new;
        let app = App {
            id: AppId::UNSAVED,
            app,
            app_type,
            name,
            charger,
            create_time: self.0.clock().now(),
            epoch: Epoch::default(),
            revision: 0,
        };
        app.check()?;
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Accounts).await?;
        if work.accounts().by_id(caller.id).await?.is_none() {
            return Err(Error::not_found("the caller's account"));
        }
        let most = self.0.settings().apps_per_account;
        if permission_on_all(&mut *work, caller.id).await?.is_none()
            && work.apps().of_account(caller.id).await?.len() >= most
        {
            let why =
                format!("the account has grants on {most} apps, the most there may be (apps_per_account)");
            return Err(Error::conflict(why));
        }
        let id = work.apps().insert(&app).await?.ok_or_else(|| Error::exists("an app with this app"))?;
        let grant = Grant {
            id: GrantId::UNSAVED,
            account: caller.id,
            uname: caller.name.clone(),
            app: Some(id),
            profile: None,
            permission: Permission::Manage,
        };
        work.grants().insert(&grant).await?;
        let entry = Entry::new("app.create", &*app.app).new_digest(app.digest());
        work.record(entry).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Changes an app; needs permission 9.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn update(&self, caller: &Caller, app: &str, change: UpdateApp) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        let old = lock_app(self.0, &mut work, caller, (app, Reach::App), Permission::Manage).await?;
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
        work.record(entry).await?;
        Ok(work.commit().await?)
    }

    /// Deletes an app with its grants, keys, nodes and the history of its items; needs permission 9. Refused while it has
    /// items or shares a namespace.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn delete(&self, caller: &Caller, app: &str) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        // Its grants go with it, and no grant may be given to it meanwhile.
        work.lock(LockKey::Accounts).await?;
        let app = lock_app(self.0, &mut work, caller, (app, Reach::App), Permission::Manage).await?;
        if !work.items().profiles(app.id).await?.is_empty() {
            return Err(Error::conflict("the app still has configs: delete them first"));
        }
        let shared = work.shared_namespaces().list().await?;
        if let Some(shared) = shared.into_iter().find(|shared| shared.app == Some(app.id)) {
            return Err(Error::conflict(format!("the app still shares the namespace {}", shared.name)));
        }
        if !work.apps().delete(app.id).await? {
            return Err(Error::not_found("the app"));
        }
        let entry = Entry::new("app.delete", &*app.app).old(app.digest());
        work.record(entry).await?;
        work.commit().await?;
        self.0.announce_change(app.id).await;
        Ok(())
    }

    /// The app of that name, for a caller who may read that part of it; see [`open_app`].
    pub(in crate::config) async fn open_for_reader(
        self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        place: (&str, Reach<'_>),
    ) -> Result<App> {
        open_app(self.0, repositories, caller, place, Permission::Read).await
    }

    /// Refuses a caller who may not read that part of the app; without an app, one without a grant on `all`.
    pub(in crate::config) async fn require_reader(
        self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        place: (Option<AppId>, Reach<'_>),
    ) -> Result<()> {
        require(self.0, repositories, caller, place, Permission::Read).await
    }

    /// Refuses a caller who may not manage that part of the app; without an app, one without a grant on `all`.
    pub(in crate::config) async fn require_manager(
        self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        place: (Option<AppId>, Reach<'_>),
    ) -> Result<()> {
        require(self.0, repositories, caller, place, Permission::Manage).await
    }

    /// The app, if it is still there, in a transaction that holds its lock from now on. Refuses a caller who may not manage
    /// it, also where its grant was withdrawn while this waited. An unknown one is refused like a foreign one, except to
    /// those who manage everything.
    pub(in crate::config) async fn lock_for_manager(
        self,
        work: &mut CallerTransaction<'_>,
        caller: &Caller,
        (app, reach): (Option<AppId>, Reach<'_>),
    ) -> Result<Option<App>> {
        self.require_manager(&mut **work, caller, (app, reach)).await?;
        let Some(app) = app else { return Ok(None) };
        work.lock(LockKey::App(app)).await?;
        self.require_manager(&mut **work, caller, (Some(app), reach)).await?;
        Ok(work.apps().by_id(app).await?)
    }
}

/// Refuses what cannot name a new app.
pub(crate) fn check_app_name(app: &str) -> Result<()> {
    check_identifier("app", app)?;
    if app == ALL { Err(Error::invalid("app", "all is reserved")) } else { Ok(()) }
}

/// The app of that name, for a caller with `needed` on that part of it. Without a grant that reaches far enough the answer is
/// [`Error::Forbidden`], whether or not there is such an app.
pub(super) async fn open_app(
    pilothouse: &Pilothouse,
    repositories: &mut dyn Repositories,
    caller: &Caller,
    (name, reach): (&str, Reach<'_>),
    needed: Permission,
) -> Result<App> {
    let app = repositories.apps().by_name(name).await?;
    require(pilothouse, repositories, caller, (app.as_ref().map(|app| app.id), reach), needed).await?;
    match app {
        Some(app) => Ok(app),
        None => {
            check_identifier("app", name)?;
            Err(Error::not_found("the app"))
        }
    }
}

/// The app of an item of that name, for a caller with `needed` on its profile; see [`open_app`].
pub(super) async fn open_app_of(
    pilothouse: &Pilothouse,
    repositories: &mut dyn Repositories,
    caller: &Caller,
    name: &ItemName,
    needed: Permission,
) -> Result<App> {
    let place = (&*name.app, Reach::Profile(&name.profile));
    open_app(pilothouse, repositories, caller, place, needed).await
}

/// Keeps those entries of a list whose profiles of the app the caller may read. It has opened the app by some of them.
pub(super) async fn retain_readable<T>(
    repositories: &mut dyn Repositories,
    caller: &Caller,
    app: &App,
    list: &mut Vec<T>,
    profile_of: impl Fn(&T) -> String + Send,
) -> Result<()> {
    let grants = repositories.grants().held(caller.id, Some(app.id)).await?;
    list.retain(|entry| {
        let profile = profile_of(entry);
        let reach = Reach::Profile(&profile);
        permitted(&grants, reach).is_some() && caller.opens_app(Some(&app.app), reach)
    });
    Ok(())
}

/// The same as [`open_app`], in a transaction that holds the app's lock: nothing of the app changes beside it.
pub(super) async fn lock_app(
    pilothouse: &Pilothouse,
    work: &mut CallerTransaction<'_>,
    caller: &Caller,
    place: (&str, Reach<'_>),
    needed: Permission,
) -> Result<App> {
    let app = open_app(pilothouse, &mut **work, caller, place, needed).await?;
    work.lock(LockKey::App(app.id)).await?;
    // Before the lock was ours the app may have been deleted, or the grant withdrawn.
    open_app(pilothouse, &mut **work, caller, place, needed).await
}

/// Refuses a caller without `needed` on that part of the app; without an app, without `needed` on `all`. A token opens no more than
/// its limits say.
pub(super) async fn require(
    pilothouse: &Pilothouse,
    repositories: &mut dyn Repositories,
    caller: &Caller,
    (app, reach): (Option<AppId>, Reach<'_>),
    needed: Permission,
) -> Result<()> {
    pilothouse.require_account_scope(caller)?;
    if caller.limits.is_some() {
        let known = match app {
            Some(app) => repositories.apps().by_id(app).await?,
            None => None,
        };
        if !caller.opens_app(known.as_ref().map(|app| &*app.app), reach) {
            return Err(pilothouse.refuse(caller, "a token for the app"));
        }
    }
    let grants = repositories.grants().held(caller.id, app).await?;
    if permitted(&grants, reach) >= Some(needed) {
        return Ok(());
    }
    // Without the app's name, which the caller chooses: refusals are summed per right, and must stay few.
    Err(pilothouse.refuse(caller, &format!("permission {} on the app", needed.id())))
}
