//! Companies, each with the account of its owner.

use async_trait::async_trait;

use crate::account::{
    Account, AccountId, Caller, CallerTransaction, Entry, Group, Groups, check_mail, digest, insert_account,
};
use crate::id::id;
use crate::ports::{LockKey, StorageResult};
use crate::text::check_visible;
use crate::{Error, Listing, Page, Pilothouse, Result, check_text};

id! {
    /// The id of a company.
    CompanyId
}

/// A company, with the account that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    /// Unique within the store.
    pub id: CompanyId,
    /// Full name, unique: 1 to 128 bytes.
    pub name: String,
    /// Short name of the company, up to 128 bytes; may be empty.
    pub alias: String,
    /// The account of its owner; `None` once that account was deleted.
    pub owner_id: Option<AccountId>,
    /// Name of the person who owns it: 1 to 64 bytes.
    pub owner_name: String,
}

/// A company as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompanyOverview {
    /// Company, with the number of its owner's account.
    pub company: Company,
    /// Name of its owner's account; `None` once that account was deleted.
    pub account: Option<String>,
    /// Mail of that account.
    pub mail: Option<String>,
}

/// A company to be made, by the names of the document.
#[derive(Clone)]
pub struct NewCompany {
    /// Name: 1 to 128 bytes.
    pub company_name: String,
    /// Short name: at most 128 bytes.
    pub company_alias: String,
    /// Name of the person who owns it, which nobody logs in with: 1 to 64 bytes.
    pub owner_name: String,
    /// The mail of its owner's account: 3 to 254 bytes with one `@`, without blanks.
    pub owner_email: String,
}

/// Companies in a store.
#[async_trait]
pub trait CompanyRepository: Send {
    /// Adds a company, ignoring `id`; `None` when the name is taken.
    async fn insert(&mut self, company: &Company) -> StorageResult<Option<CompanyId>>;
    /// Finds a company by its full name.
    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Company>>;
    /// A page of companies by id.
    async fn list(&mut self, page: Page) -> StorageResult<Vec<CompanyOverview>>;
    /// Number of companies, with and without an owner's account.
    async fn count(&mut self) -> StorageResult<u64>;
}

/// The use cases of companies.
#[derive(Clone, Copy, Debug)]
pub struct Companies<'a>(pub(crate) &'a Pilothouse);

impl Companies<'_> {
    /// Adds a company, and its owner's account where the mail has none: without groups, without a password until one is
    /// set, and with the mail as its name too. Needs group 7. Answers the company and its owner.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn create(&self, caller: &Caller, new: NewCompany) -> Result<(Company, Account)> {
        self.0.require(caller, Group::WriteAccounts)?;
        check_text("company_name", &new.company_name, 1, 128, false)?;
        check_text("company_alias", &new.company_alias, 0, 128, false)?;
        check_text("owner_name", &new.owner_name, 1, 64, false)?;
        check_mail("owner_email", &new.owner_email)?;
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Accounts).await?;
        let owner = self.owner(&mut work, new.owner_email).await?;
        let NewCompany { company_name: name, company_alias: alias, owner_name, .. } = new;
        let company = Company { id: CompanyId::UNSAVED, name, alias, owner_id: Some(owner.id), owner_name };
        let id = work.companies().insert(&company).await?;
        let id = id.ok_or_else(|| Error::exists("a company with this name"))?;
        let parts = [&*company.name, &company.alias, &owner.mail, &company.owner_name];
        let entry = Entry::new("company.create", &*company.name).new_digest(digest(&parts));
        work.record(entry).await?;
        work.commit().await?;
        Ok((Company { id, ..company }, owner))
    }

    /// A page of companies by id; needs group 6.
    pub async fn list(&self, caller: &Caller, page: Page) -> Result<Listing<CompanyOverview>> {
        self.0.require(caller, Group::ReadAccounts)?;
        let mut snapshot = self.0.storage().read().await?;
        let rows = snapshot.companies().list(page).await?;
        let total = if page.total { Some(snapshot.companies().count().await?) } else { None };
        Ok(Listing::new(rows, total))
    }

    async fn owner(&self, work: &mut CallerTransaction<'_>, mail: String) -> Result<Account> {
        if let Some(owner) = work.accounts().by_mail(&mail).await? {
            return Ok(owner);
        }
        check_visible("owner_email", &mail)?;
        let department = String::new();
        let owner = Account {
            id: AccountId::UNSAVED,
            name: mail.clone(),
            mail,
            department,
            groups: Groups::NONE,
            password: None,
            is_disabled: false,
            version: 1,
        };
        let id = insert_account(&mut **work, &owner).await?;
        let id = id.ok_or_else(|| Error::exists("an account with this owner_email"))?;
        let entry = Entry::new("account.add", &*owner.name).new_digest(owner.digest());
        work.record(entry).await?;
        Ok(Account { id, ..owner })
    }
}
