//! Customers: accounts with access to the cdn family, and the cdns each is mapped to.

use async_trait::async_trait;

use super::cdn::{Cdn, cdn_named, check_cdn_name};
use crate::account::{
    Account, AccountId, Caller, CallerTransaction, Entry, Group, Scope, check_mail, digest,
};
use crate::cdn::identifier::CdnId;
use crate::ports::{LockKey, Repositories, StorageResult, UnitOfWork};
use crate::{Error, Listing, Page, Pilothouse, Result};

/// The most cdns one request may name.
const MAX_CDNS: usize = 100;

/// An account's access to the cdn family.
#[derive(Clone, PartialEq, Eq)]
pub struct Customer {
    /// Account that has the access.
    pub account_id: AccountId,
    /// The account's mail: what the documents call `login_email` and `user`.
    pub mail: String,
    /// The argon2id PHC string of the password for `/level3/login`, or the Django hash of an imported one; the account's own
    /// password is another.
    pub password: String,
    /// Whether it may refresh and preload.
    pub operations: bool,
    /// Grows by one with every change.
    pub version: i64,
}

impl std::fmt::Debug for Customer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Customer")
            .field("account_id", &self.account_id)
            .field("operations", &self.operations)
            .finish_non_exhaustive()
    }
}

impl Customer {
    pub(crate) fn digest(&self) -> String {
        digest(&[&self.mail, &self.operations.to_string(), &self.version.to_string()])
    }
}

/// Access to be given.
#[derive(Clone)]
pub struct NewCustomer {
    /// The mail of the account that gets it.
    pub login_email: String,
    /// Password for `/level3/login`: at least as many characters as the settings say, at most 1,024 bytes.
    pub password: String,
    /// Whether it may refresh and preload.
    pub operations: bool,
}

/// A change of access. At least one of password and operations is given.
#[derive(Clone)]
pub struct UpdateCustomer {
    /// The mail of the account that has it.
    pub login_email: String,
    /// New password of the cdn family; the account's own stays.
    pub password: Option<String>,
    /// Whether it may refresh and preload from now on.
    pub operations: Option<bool>,
}

/// A customer as operators list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerOverview {
    /// The customer itself.
    pub customer: Customer,
    /// Cdns it is mapped to, by id, each under the alias of its mapping where it has one.
    pub cdns: Vec<Cdn>,
    /// Number of names of domains that it holds; one that several cdns serve counts once.
    pub domains: i64,
}

/// Customers in a store. Every write happens under [`LockKey::Customer`] of that account.
#[async_trait]
pub trait CustomerRepository: Send {
    /// Gives an account access, ignoring `mail` and `version`; false when it has access already.
    async fn insert(&mut self, customer: &Customer) -> StorageResult<bool>;
    /// A page of customers by account id, each with its cdns and the number of its domains.
    async fn list(&mut self, page: Page) -> StorageResult<Vec<CustomerOverview>>;
    /// Number of customers.
    async fn count(&mut self) -> StorageResult<u64>;
    /// The access of an account.
    async fn find(&mut self, account_id: AccountId) -> StorageResult<Option<Customer>>;
    /// Changes password and operations if `version` is still the stored one, which then grows by one.
    async fn update(&mut self, customer: &Customer) -> StorageResult<bool>;
    /// Withdraws access: its mappings go, its domains are released; whether there was any. Deleting the account does
    /// the same.
    async fn delete(&mut self, account_id: AccountId) -> StorageResult<bool>;
    /// The cdns it is mapped to, by id, each under the alias of its mapping where it has one.
    async fn cdns(&mut self, account_id: AccountId) -> StorageResult<Vec<Cdn>>;
    /// Maps it to a cdn, under another name than the cdn's own where `alias` is given. Where it is mapped already only
    /// the alias changes.
    async fn map(&mut self, account_id: AccountId, cdn_id: CdnId, alias: Option<&str>) -> StorageResult<()>;
}

impl Pilothouse {
    /// The customer a request is about: the one rule of authority in the cdn family.
    ///
    /// A caller may name itself in `login_email`, and a holder of group 8 anyone. Without a `login_email`, in calls
    /// that have none, it is the caller itself. Ownership and operations are always those of the customer returned,
    /// whoever called. Refuses a caller that names another, whether or not that other exists, and one that has no cdn
    /// access itself; for a holder of group 8 an unknown mail, or an account without access, does not exist.
    pub(crate) async fn customer_of(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        login_email: Option<&str>,
    ) -> Result<Customer> {
        self.require_cdn_scope(caller)?;
        let own = login_email.is_none_or(|mail| mail.to_lowercase() == caller.mail.to_lowercase());
        if own {
            return match repositories.customers().find(caller.id).await? {
                Some(customer) => Ok(customer),
                None if caller.holds(Group::Cdn) => Err(Error::not_found("the cdn access of this account")),
                None => Err(self.refuse(caller, "cdn access")),
            };
        }
        self.require(caller, Group::Cdn)?;
        named(repositories, login_email.unwrap_or_default()).await
    }
}

/// The use cases of customers.
#[derive(Clone, Copy, Debug)]
pub struct Customers<'a>(pub(crate) &'a Pilothouse);

impl Customers<'_> {
    /// Gives the account with this mail access to the cdn family; needs group 8. Its own password stays as it is.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn create(&self, caller: &Caller, new: NewCustomer) -> Result<Customer> {
        self.0.require(caller, Group::Cdn)?;
        check_mail("login_email", &new.login_email)?;
        self.0.passwords().check("password", &new.password)?;
        // Before the transaction: hashing takes tens of milliseconds.
        let password = self.0.passwords().hash(&new.password).await?;
        let mut work = self.0.write_as(caller).await?;
        let account = lock_account(&mut work, &new.login_email).await?;
        let Account { id: account_id, mail, .. } = account;
        let customer = Customer { account_id, mail, password, operations: new.operations, version: 1 };
        if !work.customers().insert(&customer).await? {
            return Err(Error::exists("the cdn access of this account"));
        }
        let entry = Entry::new("customer.create", &*customer.mail).new_digest(customer.digest());
        work.record(entry).await?;
        work.commit().await?;
        Ok(customer)
    }

    /// Changes password or operations and revokes the customer's cdn tokens; needs group 8. Answers the customer as it
    /// is now, and the cdns it is mapped to.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn update(&self, caller: &Caller, change: UpdateCustomer) -> Result<(Customer, Vec<Cdn>)> {
        self.0.require(caller, Group::Cdn)?;
        check_mail("login_email", &change.login_email)?;
        let password = match &change.password {
            Some(password) => {
                self.0.passwords().check("password", password)?;
                Some(self.0.passwords().hash(password).await?)
            }
            None if change.operations.is_none() => {
                return Err(Error::invalid("password", "or operations must be given"));
            }
            None => None,
        };
        let mut work = self.0.write_as(caller).await?;
        let mut customer = lock_customer(&mut work, &change.login_email).await?;
        let old = customer.digest();
        customer.password = password.unwrap_or(customer.password);
        customer.operations = change.operations.unwrap_or(customer.operations);
        if !work.customers().update(&customer).await? {
            return Err(Error::conflict("the customer was changed meanwhile"));
        }
        customer.version += 1;
        end_sessions(&mut *work, customer.account_id).await?;
        let cdns = work.customers().cdns(customer.account_id).await?;
        let entry = Entry::new("customer.update", &*customer.mail).old(old).new_digest(customer.digest());
        work.record(entry).await?;
        work.commit().await?;
        Ok((customer, cdns))
    }

    /// Withdraws access: releases the customer's domains and revokes its cdn tokens; needs group 8. The account stays.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn delete(&self, caller: &Caller, login_email: &str) -> Result<()> {
        self.0.require(caller, Group::Cdn)?;
        let mut work = self.0.write_as(caller).await?;
        let customer = lock_customer(&mut work, login_email).await?;
        work.lock(LockKey::Cdns).await?;
        self.0.release_all(&mut *work, customer.account_id).await?;
        work.customers().delete(customer.account_id).await?;
        end_sessions(&mut *work, customer.account_id).await?;
        let entry = Entry::new("customer.delete", &*customer.mail).old(customer.digest());
        work.record(entry).await?;
        Ok(work.commit().await?)
    }

    /// The caller's own access to the cdn family; `None` where it has none. Refuses nobody, and counts no refusal.
    pub async fn own(&self, caller: &Caller) -> Result<Option<Customer>> {
        if !caller.opens_cdn() {
            return Ok(None);
        }
        Ok(self.0.storage().read().await?.customers().find(caller.id).await?)
    }

    /// A page of customers by account id; needs group 8.
    pub async fn list(&self, caller: &Caller, page: Page) -> Result<Listing<CustomerOverview>> {
        self.0.require(caller, Group::Cdn)?;
        let mut snapshot = self.0.storage().read().await?;
        let rows = snapshot.customers().list(page).await?;
        let total = if page.total { Some(snapshot.customers().count().await?) } else { None };
        Ok(Listing::new(rows, total))
    }

    /// The cdns a customer is mapped to, by id; for whom [`Pilothouse`] lets the caller ask.
    pub async fn cdns(&self, caller: &Caller, login_email: &str) -> Result<Vec<Cdn>> {
        let mut snapshot = self.0.storage().read().await?;
        let customer = self.0.customer_of(&mut *snapshot, caller, Some(login_email)).await?;
        Ok(snapshot.customers().cdns(customer.account_id).await?)
    }

    /// Maps a customer to 1 to 100 more cdns, by name, and answers all it is mapped to; needs group 8.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn map(&self, caller: &Caller, login_email: &str, cdns: &[String]) -> Result<Vec<Cdn>> {
        self.0.require(caller, Group::Cdn)?;
        check_cdns("cdns", cdns)?;
        let mut work = self.0.write_as(caller).await?;
        let customer = lock_customer(&mut work, login_email).await?;
        let old = mapping_digest(&work.customers().cdns(customer.account_id).await?);
        for named in cdns_named(&mut *work, "cdns", cdns).await? {
            work.customers().map(customer.account_id, named.cdn.id, named.alias()).await?;
        }
        let mapped = work.customers().cdns(customer.account_id).await?;
        let entry = Entry::new("customer.map", &*customer.mail).old(old).new_digest(mapping_digest(&mapped));
        work.record(entry).await?;
        work.commit().await?;
        Ok(mapped)
    }
}

/// Ends what a customer's cdn password opened: its cdn tokens, and its sessions of the console.
async fn end_sessions(work: &mut dyn UnitOfWork, account_id: AccountId) -> StorageResult<()> {
    for scope in [Scope::Cdn, Scope::ConsoleCdn] {
        work.tokens().delete_of_account(account_id, Some(scope)).await?;
    }
    Ok(())
}

/// Digest of the cdns that a customer is mapped to.
pub(crate) fn mapping_digest(cdns: &[Cdn]) -> String {
    digest(&cdns.iter().map(|cdn| &*cdn.name).collect::<Vec<_>>())
}

/// The account with this mail, locked: nobody else gives it access, takes it, or deletes it meanwhile.
async fn lock_account(work: &mut CallerTransaction<'_>, login_email: &str) -> Result<Account> {
    let account = account_named(&mut **work, login_email).await?;
    work.lock(LockKey::Customer(account.id)).await?;
    // It may have been deleted while this waited.
    account_named(&mut **work, login_email).await
}

/// The customer with this mail, locked as by [`lock_account`].
pub(super) async fn lock_customer(work: &mut CallerTransaction<'_>, login_email: &str) -> Result<Customer> {
    lock_account(work, login_email).await?;
    named(&mut **work, login_email).await
}

/// The customer with this mail; not found without the account, and without its access.
async fn named(repositories: &mut dyn Repositories, login_email: &str) -> Result<Customer> {
    let account = account_named(repositories, login_email).await?;
    let customer = repositories.customers().find(account.id).await?;
    customer.ok_or_else(|| Error::not_found("the cdn access of this account"))
}

async fn account_named(repositories: &mut dyn Repositories, login_email: &str) -> Result<Account> {
    check_mail("login_email", login_email)?;
    let account = repositories.accounts().by_mail(login_email).await?;
    account.ok_or_else(|| Error::not_found("the account of this login_email"))
}

/// Refuses a list that is empty or holds more than 100, and what is no name of a cdn.
pub(super) fn check_cdns(field: &'static str, names: &[String]) -> Result<()> {
    if names.is_empty() || names.len() > MAX_CDNS {
        return Err(Error::invalid(field, format!("must name 1 to {MAX_CDNS} cdns")));
    }
    names.iter().try_for_each(|name| check_cdn_name(field, name))
}

/// A cdn, and the name that a request gave it.
pub(super) struct NamedCdn<'a> {
    pub(super) cdn: Cdn,
    given: &'a str,
}

impl NamedCdn<'_> {
    /// The given name, where it is not the cdn's own: the customer is answered with it.
    pub(super) fn alias(&self) -> Option<&str> {
        (self.given != self.cdn.name).then_some(self.given)
    }
}

/// The cdns of these names, each once, by id. An unknown one is not found.
pub(super) async fn cdns_named<'a>(
    repositories: &mut dyn Repositories,
    field: &'static str,
    names: &'a [String],
) -> Result<Vec<NamedCdn<'a>>> {
    let mut cdns = Vec::new();
    for name in names {
        cdns.push(NamedCdn { cdn: cdn_named(repositories, field, name).await?, given: name });
    }
    cdns.sort_by_key(|named| named.cdn.id);
    cdns.dedup_by_key(|named| named.cdn.id);
    Ok(cdns)
}
