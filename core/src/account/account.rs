//! Accounts: the one identity of all families.

use async_trait::async_trait;

use super::changeable::held_on_all;
use super::identity::check_identity;
use super::{Caller, Entry, Group, Groups, digest};
use crate::config::{Permission, permission_on_all};
use crate::id::id;
use crate::ports::{LockKey, Repositories, StorageResult, UnitOfWork};
use crate::text::is_name_taken;
use crate::{Error, Listing, Page, Pilothouse, Result, check_text};

id! {
    /// The id of an account: the config family's uid.
    AccountId
}

/// An account: the one identity of all families.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Unique and never given again; the config family's uid.
    pub id: AccountId,
    /// Name; unique, never changes, holds no `@` unless it is the mail.
    pub name: String,
    /// Mail; unique without regard to case, never changes.
    pub mail: String,
    /// Department, as people name it: at most 128 bytes.
    pub department: String,
    /// Permission groups of the account.
    pub groups: Groups,
    /// The argon2id PHC string, or the Django hash of an imported account that has not logged in yet; `None` until a
    /// password is set, and then nobody can log in with it.
    pub password: Option<String>,
    /// Whether nobody can act as it: no log-in succeeds, and its tokens open nothing.
    pub is_disabled: bool,
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
    /// Password: at least as many characters as the settings say, at most 1,024 bytes.
    pub passwd: String,
    /// The department: at most 128 bytes.
    pub department: String,
    /// Permission groups of the account.
    pub groups: Groups,
}

/// A change of an account: of the one named, else of the caller itself.
#[derive(Clone, Default)]
pub struct UpdateAccount {
    /// Id, where the caller sends it back: that of the account named.
    pub id: Option<AccountId>,
    /// The mail of the account to change.
    pub mail: Option<String>,
    /// The name of the account to change; where both are given they must be of one account.
    pub name: Option<String>,
    /// The present password, required for changing one's own.
    pub old_passwd: Option<String>,
    /// New password: at least as many characters as the settings say, at most 1,024 bytes.
    pub new_passwd: Option<String>,
    /// New department, within the limits of an account's.
    pub department: Option<String>,
    /// New permission groups; the caller must hold each that is added.
    pub groups: Option<Groups>,
}

impl UpdateAccount {
    fn is_own(&self, caller: &Caller) -> bool {
        self.mail.as_deref().is_none_or(|mail| mail.to_lowercase() == caller.mail.to_lowercase())
            && self.name.as_deref().is_none_or(|name| name == caller.name)
    }
}

/// Accounts in a store.
#[async_trait]
pub trait AccountRepository: Send {
    /// Adds an account, ignoring `id` and `version`; `None` when the name or the mail is taken.
    async fn insert(&mut self, account: &Account) -> StorageResult<Option<AccountId>>;
    /// Finds an account by id.
    async fn by_id(&mut self, id: AccountId) -> StorageResult<Option<Account>>;
    /// Finds an account by its exact name.
    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Account>>;
    /// Finds an account by mail, without regard to case.
    async fn by_mail(&mut self, mail: &str) -> StorageResult<Option<Account>>;
    /// The names of all accounts.
    async fn names(&mut self) -> StorageResult<Vec<String>>;
    /// A page of accounts, by id; of the disabled ones or of the others where that is asked.
    async fn list(&mut self, is_disabled: Option<bool>, page: Page) -> StorageResult<Vec<Account>>;
    /// Counts all accounts, or the disabled ones, or the others.
    async fn count(&mut self, is_disabled: Option<bool>) -> StorageResult<u64>;
    /// Counts the accounts that hold `group` and are not disabled.
    async fn count_holding(&mut self, group: Group) -> StorageResult<u64>;
    /// Changes department, groups, password and whether it is disabled if `version` is still the stored one, which then grows by one.
    async fn update(&mut self, account: &Account) -> StorageResult<bool>;
    /// Removes an account and all that hangs on it; whether there was one.
    async fn delete(&mut self, id: AccountId) -> StorageResult<bool>;
}

/// The use cases of accounts.
#[derive(Clone, Copy, Debug)]
pub struct Accounts<'a>(pub(crate) &'a Pilothouse);

impl Accounts<'_> {
    /// A page of accounts, or of those that are disabled or not; without group 6 only the caller itself.
    pub async fn list(
        &self,
        caller: &Caller,
        is_disabled: Option<bool>,
        page: Page,
    ) -> Result<Listing<Account>> {
        self.0.require_account_scope(caller)?;
        let mut snapshot = self.0.storage().read().await?;
        if !caller.holds(Group::ReadAccounts) {
            let own = snapshot.accounts().by_id(caller.id).await?;
            let passes = |own: &Account| is_disabled.is_none_or(|is_disabled| own.is_disabled == is_disabled);
            let own: Vec<_> = own.into_iter().filter(|own| page.has(own.id) && passes(own)).collect();
            return Ok(Listing::new(own, page.total.then_some(1)));
        }
        let rows = snapshot.accounts().list(is_disabled, page).await?;
        let total = if page.total { Some(snapshot.accounts().count(is_disabled).await?) } else { None };
        Ok(Listing::new(rows, total))
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
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn add(&self, caller: &Caller, new: NewAccount) -> Result<AccountId> {
        self.0.require(caller, Group::WriteAccounts)?;
        check_identity(&new.name, &new.mail, &new.department)?;
        self.0.passwords().check("passwd", &new.passwd)?;
        if !caller.groups.covers(new.groups) {
            return Err(self.0.refuse(caller, "to grant groups it does not hold"));
        }
        let hash = self.0.passwords().hash(&new.passwd).await?;
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Accounts).await?;
        let account = Account::from_new(new, Some(hash));
        let id = insert(&mut *work, &account).await?;
        let entry = Entry::new("account.add", &*account.name).new_digest(account.digest());
        work.record(entry).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Changes an account. One's own password takes the right old one; anything else of value takes group 7 and every
    /// group the account has and shall have, and its grant on `all` apps where it has one. Setting the password of another
    /// account that has grants or cdn access takes a grant on `all` and group 8. An old password that is given must be the
    /// account's. A changed password or group revokes the account's tokens.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn update(&self, caller: &Caller, change: UpdateAccount) -> Result<()> {
        self.0.require_account_scope(caller)?;
        let own = change.is_own(caller);
        if own {
            self.0.require_log_in(caller)?;
        } else {
            self.0.require(caller, Group::WriteAccounts)?;
        }
        if let Some(department) = &change.department {
            check_text("department", department, 0, 128, false)?;
        }
        if let Some(password) = &change.new_passwd {
            self.0.passwords().check("new_passwd", password)?;
        }
        if own && change.new_passwd.is_some() && change.old_passwd.is_none() {
            return Err(Error::invalid("old_passwd", "is required to change one's own password"));
        }
        // Before the transaction: hashing takes tens of milliseconds.
        let checked = match &change.old_passwd {
            Some(old_passwd) => Some(self.check_old_password(caller, &change, own, old_passwd).await?),
            None => None,
        };
        let hash = match &change.new_passwd {
            Some(password) => Some(self.0.passwords().hash(password).await?),
            None => None,
        };

        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Accounts).await?;
        let mut account = named(&mut *work, caller, &change).await?;
        let old = account.digest();
        if checked.is_some_and(|checked| checked != account.password) {
            return Err(Error::conflict("the password was changed meanwhile"));
        }
        if !own {
            self.require_all_of(&mut *work, caller, &account).await?;
            if hash.is_some() {
                self.require_accesses_of(&mut *work, caller, &account).await?;
            }
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
        work.record(entry).await?;
        Ok(work.commit().await?)
    }

    /// Deletes an account with its grants, tokens and cdn access; needs group 7, every group it has, and its grant
    /// on `all` apps where it has one.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn delete(&self, caller: &Caller, name: &str) -> Result<()> {
        self.0.require(caller, Group::WriteAccounts)?;
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Accounts).await?;
        let account = work.accounts().by_name(name).await?.ok_or_else(|| Error::not_found("the account"))?;
        self.require_all_of(&mut *work, caller, &account).await?;
        keep_an_administrator(&mut *work, &account, Groups::NONE).await?;
        // Its cdn access and its domains go with it.
        work.lock(LockKey::Customer(account.id)).await?;
        work.lock(LockKey::Cdns).await?;
        self.0.release_all(&mut *work, account.id).await?;
        work.accounts().delete(account.id).await?;
        work.record(Entry::new("account.delete", name).old(account.digest())).await?;
        Ok(work.commit().await?)
    }

    /// Refuses a caller that does not itself hold everything the account holds that reaches beyond single apps: who
    /// could set its password could take it over. The caller of this holds [`LockKey::Accounts`].
    pub(super) async fn require_all_of(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        account: &Account,
    ) -> Result<()> {
        if !caller.groups.covers(account.groups) {
            return Err(self.0.refuse(caller, "to change an account with groups it does not hold"));
        }
        let held = held_on_all(repositories, caller).await?;
        if permission_on_all(repositories, account.id).await? > held {
            return Err(self
                .0
                .refuse(caller, "to change an account with a grant on all that it does not hold"));
        }
        Ok(())
    }

    /// Refuses to set the password of an account with grants or cdn access, unless the caller holds what gives both on
    /// everything: whoever knows the password acts as that account. The caller of this holds [`LockKey::Accounts`].
    async fn require_accesses_of(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        account: &Account,
    ) -> Result<()> {
        let has_grants = permission_on_all(repositories, account.id).await?.is_some()
            || !repositories.apps().of_account(account.id).await?.is_empty();
        if !has_grants && repositories.customers().find(account.id).await?.is_none() {
            return Ok(());
        }
        let manages_all = held_on_all(repositories, caller).await? >= Some(Permission::Manage);
        if manages_all && caller.holds(Group::Cdn) {
            return Ok(());
        }
        Err(self.0.refuse(caller, "to set the password of an account with grants or cdn access"))
    }

    /// The password hash of the account to change, for which `old_passwd` was found right.
    async fn check_old_password(
        &self,
        caller: &Caller,
        change: &UpdateAccount,
        own: bool,
        old_passwd: &str,
    ) -> Result<Option<String>> {
        let mut snapshot = self.0.storage().read().await?;
        self.0.require_current(&mut *snapshot, caller).await?;
        let account = named(&mut *snapshot, caller, change).await?;
        if !own {
            self.require_all_of(&mut *snapshot, caller, &account).await?;
        }
        drop(snapshot);
        let hash = account.password.as_deref();
        if !self.0.logins().attempt("name", &account.name, caller.address, old_passwd, hash).await? {
            return Err(self.0.refuse(caller, "to change an account with a wrong old password"));
        }
        Ok(account.password)
    }
}

impl Account {
    /// An account that is not stored yet, with the hash of its password.
    pub(crate) fn from_new(new: NewAccount, password: Option<String>) -> Self {
        let NewAccount { name, mail, department, groups, .. } = new;
        Self {
            id: AccountId::UNSAVED,
            name,
            mail,
            department,
            groups,
            password,
            is_disabled: false,
            version: 1,
        }
    }
}

pub(super) async fn insert(work: &mut dyn UnitOfWork, account: &Account) -> Result<AccountId> {
    let id = insert_account(work, account).await?;
    id.ok_or_else(|| Error::exists("an account with this name or mail"))
}

/// Inserts an account; `None` when its mail is taken, or a name that differs from its name by no more than case. The caller
/// holds [`LockKey::Accounts`].
pub(crate) async fn insert_account(
    work: &mut dyn UnitOfWork,
    account: &Account,
) -> StorageResult<Option<AccountId>> {
    if is_name_taken(&account.name, &work.accounts().names().await?) {
        return Ok(None);
    }
    work.accounts().insert(account).await
}

async fn named(
    repositories: &mut dyn Repositories,
    caller: &Caller,
    change: &UpdateAccount,
) -> Result<Account> {
    let found = match (&change.mail, &change.name) {
        (Some(mail), _) => repositories.accounts().by_mail(mail).await?,
        (None, Some(name)) => repositories.accounts().by_name(name).await?,
        (None, None) => repositories.accounts().by_id(caller.id).await?,
    };
    let account = found.ok_or_else(|| Error::not_found("the account"))?;
    if change.name.as_ref().is_some_and(|name| *name != account.name) {
        return Err(Error::invalid("name", "is not the account of that mail"));
    }
    if change.id.is_some_and(|id| id != account.id) {
        return Err(Error::invalid("id", "is not that of the account named"));
    }
    Ok(account)
}

/// Refuses to take group 7 from its last holder. The caller holds [`LockKey::Accounts`].
pub(super) async fn keep_an_administrator(
    work: &mut dyn UnitOfWork,
    account: &Account,
    groups: Groups,
) -> Result<()> {
    let held = account.groups.holds(Group::WriteAccounts) && !account.is_disabled;
    let loses = held && !groups.holds(Group::WriteAccounts);
    if loses && work.accounts().count_holding(Group::WriteAccounts).await? <= 1 {
        return Err(Error::conflict("the last account that may change accounts must keep group 7"));
    }
    Ok(())
}
