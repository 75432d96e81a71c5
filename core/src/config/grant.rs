//! Grants: who may do what with an app.

use async_trait::async_trait;

use super::AppId;
use super::app::{open_app, require};
use crate::account::{AccountId, Caller, Entry, digest};
use crate::ports::{LockKey, StorageResult, UnitOfWork};
use crate::{Error, Pilothouse, Result, check_text};

/// The id of a grant.
pub type GrantId = i64;

/// What stands for every app where a grant names its app.
pub const ALL: &str = "all";

/// What a grant permits, ascending: each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// 1: read, create, update and roll back items, and delete those never published.
    Develop = 1,
    /// 9: also delete any item, approve, publish, manage grants and keys, update and delete the app.
    Manage = 9,
}

impl Permission {
    /// Its number on the wire and in a store.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// From its number; `None` when it is neither 1 nor 9.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Develop, Self::Manage].into_iter().find(|permission| permission.id() == id)
    }
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who has it: the uid.
    pub account: AccountId,
    /// What the account was called when it was given; kept as given.
    pub uname: String,
    /// The app; `None` is the grant on `all`, which reaches every app.
    pub app: Option<AppId>,
    /// What it permits.
    pub permission: Permission,
}

impl Grant {
    fn digest(&self) -> String {
        digest(&[&self.account.to_string(), &self.uname, &self.permission.id().to_string()])
    }
}

/// A grant to be given. Every field is required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGrant {
    /// The app, or `all`.
    pub app: String,
    /// The uid.
    pub account: AccountId,
    /// What to call the account: at most 128 bytes, kept as given.
    pub uname: String,
    /// What it permits; on `all` only [`Permission::Manage`].
    pub permission: Permission,
}

/// Grants in a store. `None` for an app is the grant on `all`.
#[async_trait]
pub trait GrantRepository: Send {
    /// Adds a grant, ignoring `id`; `None` when the account has one on that app. Account and app must exist.
    async fn insert(&mut self, grant: &Grant) -> StorageResult<Option<GrantId>>;
    /// By id.
    async fn find(&mut self, id: GrantId) -> StorageResult<Option<Grant>>;
    /// The grants on an app itself, by id.
    async fn list(&mut self, app: Option<AppId>) -> StorageResult<Vec<Grant>>;
    /// The most that an account's grants on `app` and on `all` permit.
    async fn strongest(
        &mut self,
        account: AccountId,
        app: Option<AppId>,
    ) -> StorageResult<Option<Permission>>;
    /// Changes what a grant permits; whether there is one.
    async fn update(&mut self, id: GrantId, permission: Permission) -> StorageResult<bool>;
    /// Removes a grant; whether there was one.
    async fn delete(&mut self, id: GrantId) -> StorageResult<bool>;
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
    /// The grants on an app, by id; needs permission 1. Those on `all` are listed to its holders, under its name.
    pub async fn list(&self, caller: &Caller, app: &str) -> Result<Vec<Grant>> {
        let mut snapshot = self.0.storage().read().await?;
        let app = if app == ALL {
            require(self.0, &mut *snapshot, caller, None, Permission::Manage).await?;
            None
        } else {
            Some(open_app(self.0, &mut *snapshot, caller, app, Permission::Develop).await?.id)
        };
        Ok(snapshot.grants().list(app).await?)
    }

    /// Gives a grant; needs permission 9 on the app.
    pub async fn create(&self, caller: &Caller, new: NewGrant) -> Result<GrantId> {
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Accounts).await?;
        let app = if new.app == ALL {
            require(self.0, &mut *work, caller, None, Permission::Manage).await?;
            None
        } else {
            Some(open_app(self.0, &mut *work, caller, &new.app, Permission::Manage).await?.id)
        };
        check_text("username", &new.uname, 0, 128, false)?;
        check_reach(app, new.permission)?;
        if work.accounts().by_id(new.account).await?.is_none() {
            return Err(Error::not_found("the account of this uid"));
        }
        let NewGrant { account, uname, permission, .. } = new;
        let grant = Grant { id: 0, account, uname, app, permission };
        let id = work.grants().insert(&grant).await?;
        let id = id.ok_or_else(|| Error::exists("a grant of this uid on this app"))?;
        let entry = Entry::new("grant.create", object(&new.app, account)).new_digest(grant.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Changes what a grant permits; needs permission 9 on its app. The last admin cannot be demoted.
    pub async fn update(&self, caller: &Caller, id: GrantId, permission: Permission) -> Result<()> {
        let mut work = self.0.storage().begin().await?;
        let (grant, app) = self.open(&mut *work, caller, id).await?;
        check_reach(grant.app, permission)?;
        if permission < Permission::Manage {
            keep_an_admin(&mut *work, &grant).await?;
        }
        if !work.grants().update(id, permission).await? {
            return Err(Error::not_found("the grant"));
        }
        let (old, grant) = (grant.digest(), Grant { permission, ..grant });
        let entry =
            Entry::new("grant.update", object(&app, grant.account)).old(old).new_digest(grant.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        Ok(work.commit().await?)
    }

    /// Takes a grant away; needs permission 9 on its app. The last admin cannot be removed.
    pub async fn delete(&self, caller: &Caller, id: GrantId) -> Result<()> {
        let mut work = self.0.storage().begin().await?;
        let (grant, app) = self.open(&mut *work, caller, id).await?;
        keep_an_admin(&mut *work, &grant).await?;
        if !work.grants().delete(id).await? {
            return Err(Error::not_found("the grant"));
        }
        let entry = Entry::new("grant.delete", object(&app, grant.account)).old(grant.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        Ok(work.commit().await?)
    }

    /// A grant and the name of its app, under the lock, for a caller that manages the app. An unknown id is refused
    /// like one of a foreign app, except to those who may see every grant.
    async fn open(&self, work: &mut dyn UnitOfWork, caller: &Caller, id: GrantId) -> Result<(Grant, String)> {
        work.lock(LockKey::Accounts).await?;
        let grant = work.grants().find(id).await?;
        let app = grant.as_ref().and_then(|grant| grant.app);
        require(self.0, work, caller, app, Permission::Manage).await?;
        let grant = grant.ok_or_else(|| Error::not_found("the grant"))?;
        let name = match app {
            Some(app) => work.apps().by_id(app).await?.ok_or_else(|| Error::not_found("the app"))?.app,
            None => ALL.to_owned(),
        };
        Ok((grant, name))
    }
}

/// What a grant is called in the audit trail.
fn object(app: &str, account: AccountId) -> String {
    format!("{app} uid {account}")
}

fn check_reach(app: Option<AppId>, permission: Permission) -> Result<()> {
    if app.is_none() && permission != Permission::Manage {
        return Err(Error::invalid("permission", "on all must be 9"));
    }
    Ok(())
}

/// Refuses to take permission 9 from the last that has it on the app itself. The caller holds [`LockKey::Accounts`].
async fn keep_an_admin(work: &mut dyn UnitOfWork, grant: &Grant) -> Result<()> {
    let grants = work.grants().list(grant.app).await?;
    let another = |other: &Grant| other.id != grant.id && other.permission == Permission::Manage;
    if grant.permission == Permission::Manage && !grants.iter().any(another) {
        return Err(Error::conflict("the last admin of an app must keep permission 9"));
    }
    Ok(())
}
