//! Companies, each with the account of its owner.

use async_trait::async_trait;

use crate::account::{Account, AccountId, Caller, Entry, Group, Groups, check_mail, check_name, digest};
use crate::ports::{LockKey, StorageResult, UnitOfWork};
use crate::{Error, Pilothouse, Result, check_text};

/// A company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    /// Its id.
    pub id: i64,
    /// Its name; unique.
    pub name: String,
    /// What it is called for short.
    pub alias: String,
    /// The account of its owner; `None` once that account was deleted.
    pub owner_id: Option<AccountId>,
}

/// A company to be made, by the names of the document.
#[derive(Clone)]
pub struct NewCompany {
    /// Its name: 1 to 128 bytes.
    pub company_name: String,
    /// What it is called for short: at most 128 bytes.
    pub company_alias: String,
    /// The name of its owner's account: 1 to 64 bytes, without `@` and blanks.
    pub owner_name: String,
    /// The mail of its owner's account: 3 to 254 bytes with one `@`, without blanks.
    pub owner_email: String,
}

/// Companies in a store.
#[async_trait]
pub trait CompanyRepository: Send {
    /// Adds a company, ignoring `id`; `None` when the name is taken.
    async fn insert(&mut self, company: &Company) -> StorageResult<Option<i64>>;
    /// By name.
    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Company>>;
}

/// The use cases of companies.
#[derive(Clone, Copy, Debug)]
pub struct Companies<'a>(pub(crate) &'a Pilothouse);

impl Companies<'_> {
    /// Adds a company, and its owner's account where that is new: without groups, and without a password until one is
    /// set. Needs group 7. Answers the company and its owner.
    ///
    /// Where the mail has an account, `owner_name` must be that account's name.
    pub async fn create(&self, caller: &Caller, new: NewCompany) -> Result<(Company, Account)> {
        self.0.require(caller, Group::WriteAccounts)?;
        check_text("company_name", &new.company_name, 1, 128, false)?;
        check_text("company_alias", &new.company_alias, 0, 128, false)?;
        check_name("owner_name", &new.owner_name)?;
        check_mail("owner_email", &new.owner_email)?;
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Accounts).await?;
        let owner = self.owner(&mut *work, caller, new.owner_name, new.owner_email).await?;
        let NewCompany { company_name: name, company_alias: alias, .. } = new;
        let company = Company { id: 0, name, alias, owner_id: Some(owner.id) };
        let id = work.companies().insert(&company).await?;
        let id = id.ok_or_else(|| Error::exists("a company with this name"))?;
        let parts = [&*company.name, &company.alias, &owner.mail];
        let entry = Entry::new("company.create", &*company.name).new_digest(digest(&parts));
        self.0.audit(&mut *work, caller, entry).await?;
        work.commit().await?;
        Ok((Company { id, ..company }, owner))
    }

    async fn owner(
        &self,
        work: &mut dyn UnitOfWork,
        caller: &Caller,
        name: String,
        mail: String,
    ) -> Result<Account> {
        if let Some(owner) = work.accounts().by_mail(&mail).await? {
            return if owner.name == name {
                Ok(owner)
            } else {
                Err(Error::invalid("owner_name", "is not the account of that owner_email"))
            };
        }
        let department = String::new();
        let owner =
            Account { id: 0, name, mail, department, groups: Groups::NONE, password: None, version: 1 };
        let id = work.accounts().insert(&owner).await?;
        let id = id.ok_or_else(|| Error::exists("an account with this owner_name"))?;
        let entry = Entry::new("account.add", &*owner.name).new_digest(owner.digest());
        self.0.audit(work, caller, entry).await?;
        Ok(Account { id, ..owner })
    }
}
