//! Accounts: the one identity of all families.

use async_trait::async_trait;

use super::{Caller, Entry, Group, Groups, digest};
use crate::config::{Grant, Permission};
use crate::ports::{LockKey, StorageResult, UnitOfWork};
use crate::{Error, Page, Pilothouse, Result, check_text};

/// The id of an account: the config family's uid.
pub type AccountId = i64;

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name; unique, never changes, holds no `@`.
    pub name: String,
    /// Its mail; unique without regard to case, never changes.
    pub mail: String,
    /// Its department.
    pub department: String,
    /// What it may do.
    pub groups: Groups,
    /// The argon2id PHC string; `None` until a password is set, and then nobody can log in with it.
    pub password: Option<String>,
    /// Grows by one with every change.
    pub version: i64,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Account {
    pub(crate) fn digest(&self) -> String {
        digest(&[
            &self.name,
            &self.mail,
            &self.department,
            &self.groups.to_string(),
            &self.version.to_string(),
        ])
    }
}

/// An account to be made. Every field is required.
#[derive(Clone)]
pub struct NewAccount {
    /// The name: 1 to 64 bytes, without `@` and blanks.
    pub name: String,
    /// The mail: 3 to 254 bytes with one `@`, without blanks.
    pub mail: String,
    /// The password, under the rules of [`super::Passwords`].
    pub passwd: String,
    /// The department: at most 128 bytes.
    pub department: String,
    /// What it may do.
    pub groups: Groups,
}

/// A change of an account: of the one named, else of the caller itself.
#[derive(Clone, Default)]
pub struct UpdateAccount {
    /// The mail of the account to change.
    pub mail: Option<String>,
    /// The name of the account to change; where both are given they must be of one account.
    pub name: Option<String>,
    /// The present password, required for changing one's own.
    pub old_passwd: Option<String>,
    /// The new password.
    pub new_passwd: Option<String>,
    /// The new department.
    pub department: Option<String>,
    /// The new groups.
    pub groups: Option<Groups>,
}

/// Accounts in a store.
#[async_trait]
pub trait AccountRepository: Send {
    /// Adds an account, ignoring `id` and `version`; `None` when the name or the mail is taken.
    async fn insert(&mut self, account: &Account) -> StorageResult<Option<AccountId>>;
    /// By id.
    async fn by_id(&mut self, id: AccountId) -> StorageResult<Option<Account>>;
    /// By name.
    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Account>>;
    /// By mail, without regard to case.
    async fn by_mail(&mut self, mail: &str) -> StorageResult<Option<Account>>;
    /// A page of accounts, by id.
    async fn list(&mut self, page: Page) -> StorageResult<Vec<Account>>;
    /// How many accounts hold `group`.
    async fn count_holding(&mut self, group: Group) -> StorageResult<u64>;
    /// Changes department, groups and password if `version` is still the stored one, which then grows by one.
    async fn update(&mut self, account: &Account) -> StorageResult<bool>;
    /// Removes an account and all that hangs on it; whether there was one.
    async fn delete(&mut self, id: AccountId) -> StorageResult<bool>;
}

/// The use cases of accounts.
#[derive(Clone, Copy, Debug)]
pub struct Accounts<'a>(pub(crate) &'a Pilothouse);

impl Accounts<'_> {
    /// A page of accounts; without group 6 only the caller itself.
    pub async fn list(&self, caller: &Caller, page: Page) -> Result<Vec<Account>> {
        self.0.require_account_scope(caller)?;
        let mut snapshot = self.0.storage().read().await?;
        if caller.holds(Group::ReadAccounts) {
            return Ok(snapshot.accounts().list(page).await?);
        }
        let own = snapshot.accounts().by_id(caller.id).await?;
        Ok(own.into_iter().filter(|account| account.id >= page.start).collect())
    }

    /// The account of that name; without group 6 every other than the caller's does not exist.
    pub async fn find(&self, caller: &Caller, name: &str) -> Result<Account> {
        self.0.require_account_scope(caller)?;
        let visible = caller.holds(Group::ReadAccounts) || caller.name == name;
        let found =
            if visible { self.0.storage().read().await?.accounts().by_name(name).await? } else { None };
        found.ok_or_else(|| Error::not_found("the account"))
    }

    /// Adds an account; needs group 7 and every group it gives.
    pub async fn add(&self, caller: &Caller, new: NewAccount) -> Result<AccountId> {
        self.0.require(caller, Group::WriteAccounts)?;
        check_new(&new)?;
        self.0.passwords().check("passwd", &new.passwd)?;
        if !caller.groups.covers(new.groups) {
            return Err(self.0.refuse(caller, "to grant groups it does not hold"));
        }
        let hash = self.0.passwords().hash(&new.passwd).await?;
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Accounts).await?;
        let account = Account::from_new(new, Some(hash));
        let id = insert(&mut *work, &account).await?;
        let entry = Entry::new("account.add", &*account.name).new_digest(account.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Adds an account with every group and a grant on `all` apps, for the command line. Needs no caller: whoever runs it holds the store.
    pub async fn create_superuser(&self, name: &str, mail: &str, password: &str) -> Result<AccountId> {
        let new = NewAccount {
            name: name.into(),
            mail: mail.into(),
            passwd: password.into(),
            department: String::new(),
            groups: Groups::all(),
        };
        check_new(&new)?;
        self.0.passwords().check("password", password)?;
        let hash = self.0.passwords().hash(password).await?;
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Accounts).await?;
        let account = Account::from_new(new, Some(hash));
        let id = insert(&mut *work, &account).await?;
        let (uname, permission) = (account.name.clone(), Permission::Manage);
        work.grants().insert(&Grant { id: 0, account: id, uname, app: None, permission }).await?;
        let entry = Entry::new("account.create-superuser", name).new_digest(account.digest());
        self.0.audit_command(&mut *work, entry).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Whether there is any account; without one nobody can log in.
    pub async fn any(&self) -> Result<bool> {
        let mut snapshot = self.0.storage().read().await?;
        Ok(!snapshot.accounts().list(Page { start: 0, count: 1 }).await?.is_empty())
    }

    /// Changes an account. One's own password takes the right old one; anything else of value takes group 7 and every
    /// group the account has and shall have, and its grant on `all` apps where it has one. A changed password or group revokes the account's tokens.
    pub async fn update(&self, caller: &Caller, change: UpdateAccount) -> Result<()> {
        self.0.require_account_scope(caller)?;
        let own = change.mail.as_deref().is_none_or(|mail| mail.to_lowercase() == caller.mail.to_lowercase())
            && change.name.as_deref().is_none_or(|name| name == caller.name);
        if !own {
            self.0.require(caller, Group::WriteAccounts)?;
        }
        if let Some(department) = &change.department {
            check_text("department", department, 0, 128, false)?;
        }
        if let Some(password) = &change.new_passwd {
            self.0.passwords().check("new_passwd", password)?;
        }
        // Before the transaction: hashing takes tens of milliseconds.
        let checked = match (&change.new_passwd, own) {
            (Some(_), true) => Some(self.check_old_password(caller, &change).await?),
            _ => None,
        };
        let hash = match &change.new_passwd {
            Some(password) => Some(self.0.passwords().hash(password).await?),
            None => None,
        };

        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Accounts).await?;
        let mut account = named(&mut *work, caller, &change).await?;
        let old = account.digest();
        if checked.is_some_and(|checked| checked != account.password) {
            return Err(Error::conflict("the password was changed meanwhile"));
        }
        if !own {
            self.require_all_of(&mut *work, caller, &account).await?;
        }
        let groups = change.groups.unwrap_or(account.groups);
        if groups != account.groups {
            self.0.require(caller, Group::WriteAccounts)?;
            if !caller.groups.covers(groups.without(account.groups)) {
                return Err(self.0.refuse(caller, "to grant groups it does not hold"));
            }
            keep_an_administrator(&mut *work, &account, groups).await?;
        }
        if groups != account.groups || hash.is_some() {
            work.tokens().delete_of_account(account.id, None).await?;
        }
        account.groups = groups;
        account.department = change.department.unwrap_or(account.department);
        account.password = hash.or(account.password);
        if !work.accounts().update(&account).await? {
            return Err(Error::conflict("the account was changed meanwhile"));
        }
        account.version += 1;
        let entry = Entry::new("account.update", &*account.name).old(old).new_digest(account.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        Ok(work.commit().await?)
    }

    /// Deletes an account with its grants, tokens and cdn access; needs group 7, every group it has, and its grant
    /// on `all` apps where it has one.
    pub async fn delete(&self, caller: &Caller, name: &str) -> Result<()> {
        self.0.require(caller, Group::WriteAccounts)?;
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Accounts).await?;
        let account = work.accounts().by_name(name).await?.ok_or_else(|| Error::not_found("the account"))?;
        self.require_all_of(&mut *work, caller, &account).await?;
        keep_an_administrator(&mut *work, &account, Groups::NONE).await?;
        // Its cdn access and its domains go with it.
        work.lock(LockKey::Customer(account.id)).await?;
        work.lock(LockKey::Cdns).await?;
        work.accounts().delete(account.id).await?;
        self.0.audit(&mut *work, caller, Entry::new("account.delete", name).old(account.digest())).await?;
        Ok(work.commit().await?)
    }

    /// Refuses a caller that does not itself hold everything the account holds that reaches beyond single apps: who
    /// could set its password could take it over. The caller of this holds [`LockKey::Accounts`].
    async fn require_all_of(
        &self,
        work: &mut dyn UnitOfWork,
        caller: &Caller,
        account: &Account,
    ) -> Result<()> {
        if !caller.groups.covers(account.groups) {
            return Err(self.0.refuse(caller, "to change an account with groups it does not hold"));
        }
        let grants = work.grants();
        if grants.strongest(account.id, None).await? > grants.strongest(caller.id, None).await? {
            return Err(self
                .0
                .refuse(caller, "to change an account with a grant on all that it does not hold"));
        }
        Ok(())
    }

    /// The password hash that `old_passwd` was found right for.
    async fn check_old_password(&self, caller: &Caller, change: &UpdateAccount) -> Result<Option<String>> {
        let Some(old) = &change.old_passwd else {
            return Err(Error::invalid("old_passwd", "is required to change one's own password"));
        };
        let account = self.0.storage().read().await?.accounts().by_id(caller.id).await?;
        let account = account.ok_or(Error::Unauthenticated)?;
        let hash = account.password.as_deref();
        if !self.0.logins().attempt("name", &account.name, caller.address, old, hash).await? {
            return Err(self.0.refuse(caller, "to change a password without the right old one"));
        }
        Ok(account.password)
    }
}

impl Account {
    pub(crate) fn from_new(new: NewAccount, password: Option<String>) -> Self {
        let NewAccount { name, mail, department, groups, .. } = new;
        Self { id: 0, name, mail, department, groups, password, version: 1 }
    }
}

async fn insert(work: &mut dyn UnitOfWork, account: &Account) -> Result<AccountId> {
    let id = work.accounts().insert(account).await?;
    id.ok_or_else(|| Error::exists("an account with this name or mail"))
}

async fn named(work: &mut dyn UnitOfWork, caller: &Caller, change: &UpdateAccount) -> Result<Account> {
    let found = match (&change.mail, &change.name) {
        (Some(mail), _) => work.accounts().by_mail(mail).await?,
        (None, Some(name)) => work.accounts().by_name(name).await?,
        (None, None) => work.accounts().by_id(caller.id).await?,
    };
    let account = found.ok_or_else(|| Error::not_found("the account"))?;
    match &change.name {
        Some(name) if *name != account.name => Err(Error::invalid("name", "is not the account of that mail")),
        _ => Ok(account),
    }
}

/// Refuses to take group 7 from its last holder. The caller holds [`LockKey::Accounts`].
async fn keep_an_administrator(work: &mut dyn UnitOfWork, account: &Account, groups: Groups) -> Result<()> {
    let loses = account.groups.holds(Group::WriteAccounts) && !groups.holds(Group::WriteAccounts);
    if loses && work.accounts().count_holding(Group::WriteAccounts).await? <= 1 {
        return Err(Error::conflict("the last account that may change accounts must keep group 7"));
    }
    Ok(())
}

fn check_new(new: &NewAccount) -> Result<()> {
    check_name("name", &new.name)?;
    check_mail("mail", &new.mail)?;
    check_text("department", &new.department, 0, 128, false)
}

/// Refuses what cannot be an account's name: 1 to 64 bytes, no `@`, no blanks.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<()> {
    check_text(field, name, 1, 64, false)?;
    if name.contains(|c: char| c == '@' || c.is_whitespace()) {
        return Err(Error::invalid(field, "must not hold @ or blanks"));
    }
    Ok(())
}

/// Refuses what cannot be a mail address: 3 to 254 bytes, one `@` between two parts, no blanks.
pub(crate) fn check_mail(field: &'static str, mail: &str) -> Result<()> {
    check_text(field, mail, 3, 254, false)?;
    match mail.split_once('@') {
        Some((user, host))
            if !user.is_empty()
                && !host.is_empty()
                && !host.contains('@')
                && !mail.contains(char::is_whitespace) =>
        {
            Ok(())
        }
        _ => Err(Error::invalid(field, "must be a mail address, user@host")),
    }
}
