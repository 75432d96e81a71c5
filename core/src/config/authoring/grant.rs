//! Grants: permissions of accounts on apps and on single profiles of them.

use async_trait::async_trait;

use super::app::{open_app, require, retain_readable};
use crate::account::{AccountId, Caller, CallerTransaction, Entry, Reach, digest};
use crate::config::identifier::{AppId, check_identifier};
use crate::id::id;
use crate::ports::{LockKey, Repositories, StorageResult, UnitOfWork};
use crate::{Error, Pilothouse, Result, check_text};

id! {
    /// The id of a grant.
    GrantId
}

/// Name of a grant on every app, where others name one.
pub(crate) const ALL: &str = "all";

/// Permission of a grant, ascending: each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// 0: read items with their versions, nodes and releases.
    Read = 0,
    /// 1: also create, update and roll back items, and delete those never published.
    Develop = 1,
    /// 9: also delete any item, approve, publish, manage grants and keys, update and delete the app.
    Manage = 9,
}

impl Permission {
    /// Number on the wire and in a store.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// Permission of a wire number; `None` when it is not 0, 1 or 9.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Read, Self::Develop, Self::Manage].into_iter().find(|permission| permission.id() == id)
    }
}

/// A grant of one account on one app, on one profile of it, or on all apps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Identifies the grant on the wire.
    pub id: GrantId,
    /// Account that holds it: the uid.
    pub account: AccountId,
    /// Account name as given with the grant; not updated.
    pub uname: String,
    /// The app; `None` is the grant on `all`, which reaches every app.
    pub app: Option<AppId>,
    /// The profile of the app; `None` is the grant on the app as a whole.
    pub profile: Option<String>,
    /// Permission on the app or profile.
    pub permission: Permission,
}

impl Grant {
    pub(crate) fn digest(&self) -> String {
        digest(&[&self.account.to_string(), &self.uname, &self.permission.id().to_string()])
    }
}

/// A grant to be given. Every field is required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGrant {
    /// The app, or `all`.
    pub app: String,
    /// The profile of the app; `None` for all of it, and on `all`.
    pub profile: Option<String>,
    /// Account that is to hold it: the uid.
    pub account: AccountId,
    /// Account name to show: at most 128 bytes, kept as given.
    pub uname: String,
    /// Permission on the app or profile; on `all` only [`Permission::Manage`].
    pub permission: Permission,
}

/// Grants in a store. `None` for an app is the grant on `all`.
#[async_trait]
pub trait GrantRepository: Send {
    /// Adds a grant, ignoring `id`; `None` when the account has one on that app and profile. Account and app must exist.
    async fn insert(&mut self, grant: &Grant) -> StorageResult<Option<GrantId>>;
    /// Finds a grant by id.
    async fn find(&mut self, id: GrantId) -> StorageResult<Option<Grant>>;
    /// The grants on an app and on its profiles, by id.
    async fn list(&mut self, app: Option<AppId>) -> StorageResult<Vec<Grant>>;
    /// The grants of an account on `app`, on its profiles and on `all`, by id.
    async fn held(&mut self, account: AccountId, app: Option<AppId>) -> StorageResult<Vec<Grant>>;
    /// Changes what a grant permits; whether there is one.
    async fn update(&mut self, id: GrantId, permission: Permission) -> StorageResult<bool>;
    /// Removes a grant; whether there was one.
    async fn delete(&mut self, id: GrantId) -> StorageResult<bool>;
}

/// Permission that the grants of one account on one app and on `all` give there: that of the one on `all`, else that of
/// the most specific.
pub(in crate::config) fn permitted(grants: &[Grant], reach: Reach<'_>) -> Option<Permission> {
    let on_all = grants.iter().find(|grant| grant.app.is_none());
    let on = |profile: Option<&str>| {
        grants.iter().find(|grant| grant.app.is_some() && grant.profile.as_deref() == profile)
    };
    let deciding = on_all.or_else(|| match reach {
        Reach::App => on(None),
        Reach::Profile(profile) => on(Some(profile)).or_else(|| on(None)),
        Reach::SomeProfiles => grants.iter().max_by_key(|grant| grant.permission),
    });
    deciding.map(|grant| grant.permission)
}

/// Permission of an account's grant on `all`; `None` without one.
pub(crate) async fn permission_on_all(
    repositories: &mut dyn Repositories,
    account: AccountId,
) -> Result<Option<Permission>> {
    Ok(permitted(&repositories.grants().held(account, None).await?, Reach::App))
}

/// The use cases of grants.
///
/// Giving, changing and taking them is serialised by [`LockKey::Accounts`], like everything that decides who may do
/// what: the last admin stays, and nobody takes over an account in the moment it is given `all`.
///
/// An account's grants end with it. An app whose last admin went that way keeps its configuration, and whoever holds
/// `all` manages it; should nobody hold `all` any more, the command line makes a superuser.
#[derive(Clone, Copy, Debug)]
pub struct Grants<'a>(pub(crate) &'a Pilothouse);

impl Grants<'_> {
    /// The grants on an app as a whole, by id; needs permission 0 on it. Those on `all` are listed to its holders, under
    /// its name.
    pub async fn list(&self, caller: &Caller, app: &str) -> Result<Vec<Grant>> {
        let mut snapshot = self.0.storage().read().await?;
        let app = if app == ALL {
            require(self.0, &mut *snapshot, caller, (None, Reach::App), Permission::Manage).await?;
            None
        } else {
            Some(open_app(self.0, &mut *snapshot, caller, (app, Reach::App), Permission::Read).await?.id)
        };
        let mut grants = snapshot.grants().list(app).await?;
        grants.retain(|grant| grant.profile.is_none());
        Ok(grants)
    }

    /// The grants on those profiles of an app that the caller may read, by id.
    pub async fn of_profiles(&self, caller: &Caller, app: &str) -> Result<Vec<Grant>> {
        let mut snapshot = self.0.storage().read().await?;
        let place = (app, Reach::SomeProfiles);
        let app = open_app(self.0, &mut *snapshot, caller, place, Permission::Read).await?;
        let mut grants = snapshot.grants().list(Some(app.id)).await?;
        grants.retain(|grant| grant.profile.is_some());
        let profile_of = |grant: &Grant| grant.profile.clone().unwrap_or_default();
        retain_readable(&mut *snapshot, caller, &app, &mut grants, profile_of).await?;
        Ok(grants)
    }

    /// What the caller may in a profile of an app, or on the app as a whole; `None` where nothing, whether or not there is
    /// such an app. Refuses nobody, and counts no refusal.
    pub async fn held(
        &self,
        caller: &Caller,
        app: &str,
        profile: Option<&str>,
    ) -> Result<Option<Permission>> {
        let reach = profile.map_or(Reach::App, Reach::Profile);
        if !caller.opens_app(Some(app), reach) {
            return Ok(None);
        }
        let mut snapshot = self.0.storage().read().await?;
        let Some(app) = snapshot.apps().by_name(app).await? else { return Ok(None) };
        let grants = snapshot.grants().held(caller.id, Some(app.id)).await?;
        Ok(permitted(&grants, reach))
    }

    /// Gives a grant; needs permission 9 on the app as a whole.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn create(&self, caller: &Caller, new: NewGrant) -> Result<GrantId> {
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Accounts).await?;
        let app = if new.app == ALL {
            require(self.0, &mut *work, caller, (None, Reach::App), Permission::Manage).await?;
            None
        } else {
            Some(open_app(self.0, &mut *work, caller, (&new.app, Reach::App), Permission::Manage).await?.id)
        };
        check_text("username", &new.uname, 0, 128, false)?;
        check_reach(app, new.profile.as_deref(), new.permission)?;
        if work.accounts().by_id(new.account).await?.is_none() {
            return Err(Error::not_found("the account of this uid"));
        }
        let NewGrant { app: name, profile, account, uname, permission } = new;
        let grant = Grant { id: GrantId::UNSAVED, account, uname, app, profile, permission };
        let id = work.grants().insert(&grant).await?;
        let id = id.ok_or_else(|| {
            let on = if grant.profile.is_some() { "profile" } else { "app" };
            Error::exists(format!("a grant of this uid on this {on}"))
        })?;
        let entry = Entry::new("grant.create", object(&name, &grant)).new_digest(grant.digest());
        work.record(entry).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Changes what a grant permits; needs permission 9 on its app as a whole. The last admin cannot be demoted.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn update(&self, caller: &Caller, id: GrantId, permission: Permission) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        let (grant, app) = self.open(&mut work, caller, id).await?;
        check_reach(grant.app, grant.profile.as_deref(), permission)?;
        if permission < Permission::Manage {
            keep_an_admin(&mut *work, &grant).await?;
        }
        if !work.grants().update(id, permission).await? {
            return Err(Error::not_found("the grant"));
        }
        let (old, grant) = (grant.digest(), Grant { permission, ..grant });
        let entry = Entry::new("grant.update", object(&app, &grant)).old(old).new_digest(grant.digest());
        work.record(entry).await?;
        Ok(work.commit().await?)
    }

    /// Takes a grant away; needs permission 9 on its app as a whole. The last admin cannot be removed.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn delete(&self, caller: &Caller, id: GrantId) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        let (grant, app) = self.open(&mut work, caller, id).await?;
        keep_an_admin(&mut *work, &grant).await?;
        if !work.grants().delete(id).await? {
            return Err(Error::not_found("the grant"));
        }
        let entry = Entry::new("grant.delete", object(&app, &grant)).old(grant.digest());
        work.record(entry).await?;
        Ok(work.commit().await?)
    }

    /// A grant and the name of its app, under the lock, for a caller that manages the app. An unknown id is refused
    /// like one of a foreign app, except to those who may see every grant.
    async fn open(
        &self,
        work: &mut CallerTransaction<'_>,
        caller: &Caller,
        id: GrantId,
    ) -> Result<(Grant, String)> {
        work.lock(LockKey::Accounts).await?;
        let grant = work.grants().find(id).await?;
        let app = grant.as_ref().and_then(|grant| grant.app);
        require(self.0, &mut **work, caller, (app, Reach::App), Permission::Manage).await?;
        let grant = grant.ok_or_else(|| Error::not_found("the grant"))?;
        let name = match app {
            Some(app) => work.apps().by_id(app).await?.ok_or_else(|| Error::not_found("the app"))?.app,
            None => ALL.to_owned(),
        };
        Ok((grant, name))
    }
}

/// Name of a grant in the audit trail.
fn object(app: &str, grant: &Grant) -> String {
    let account = grant.account;
    match &grant.profile {
        Some(profile) => format!("{app}/{profile} uid {account}"),
        None => format!("{app} uid {account}"),
    }
}

/// Refuses a grant on `all` of less than everything, and what cannot name a profile.
pub(crate) fn check_reach(app: Option<AppId>, profile: Option<&str>, permission: Permission) -> Result<()> {
    if let Some(profile) = profile {
        check_identifier("profile", profile)?;
        if app.is_none() {
            return Err(Error::invalid("profile", "must not be given on all"));
        }
    }
    if app.is_none() && permission != Permission::Manage {
        return Err(Error::invalid("permission", "on all must be 9"));
    }
    Ok(())
}

/// Refuses to take permission 9 from the last that has it on the app itself. The caller holds [`LockKey::Accounts`].
async fn keep_an_admin(work: &mut dyn UnitOfWork, grant: &Grant) -> Result<()> {
    if grant.profile.is_some() {
        return Ok(());
    }
    let grants = work.grants().list(grant.app).await?;
    let another = |other: &Grant| {
        other.id != grant.id && other.profile.is_none() && other.permission == Permission::Manage
    };
    if grant.permission == Permission::Manage && !grants.iter().any(another) {
        return Err(Error::conflict("the last admin of an app must keep permission 9"));
    }
    Ok(())
}
