//! Cdns: the names that customers are mapped to. A name that the settings configure has a provider behind it.

use async_trait::async_trait;

use crate::account::{Caller, Entry, Group, digest};
use crate::cdn::identifier::CdnId;
use crate::ports::{LockKey, Repositories, StorageResult};
use crate::{Error, Pilothouse, Result, check_token};

/// A cdn that customers can be given domains on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cdn {
    /// Unique within the store; the document's cdn id.
    pub id: CdnId,
    /// Name, as users see it: unique, 1 to 64 of letters, digits, `.`, `_` and `-`.
    pub name: String,
}

/// Cdns in a store. Every write happens under [`LockKey::Cdns`].
#[async_trait]
pub trait CdnRepository: Send {
    /// Adds a cdn; `None` when the name is taken.
    async fn insert(&mut self, name: &str) -> StorageResult<Option<CdnId>>;
    /// Finds a cdn by id.
    async fn by_id(&mut self, id: CdnId) -> StorageResult<Option<Cdn>>;
    /// Finds a cdn by its exact name.
    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Cdn>>;
    /// All cdns, by id.
    async fn list(&mut self) -> StorageResult<Vec<Cdn>>;
    /// Renames a cdn; false when there is none with this id or another has the name.
    async fn rename(&mut self, cdn: &Cdn) -> StorageResult<bool>;
}

/// Refuses what is no name of a cdn: anything but 1 to 64 of letters, digits, `.`, `_` and `-`.
pub fn check_cdn_name(field: &'static str, name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    check_token(field, name, 1, 64, "letters, digits, '.', '_' and '-'", allowed)
}

/// The name that is meant by one that no cdn has: the document writes `qcould` where it means `qcloud`.
pub fn misspelt_cdn(name: &str) -> Option<&'static str> {
    (name == "qcould").then_some("qcloud")
}

/// The cdn of that name, or of the one that is meant by it. Refuses what is no name of a cdn.
pub(in crate::cdn) async fn cdn_named(
    repositories: &mut dyn Repositories,
    field: &'static str,
    name: &str,
) -> Result<Cdn> {
    check_cdn_name(field, name)?;
    let found = understood_cdn(repositories, name).await?;
    found.ok_or_else(|| Error::not_found(format!("the cdn {name}")))
}

/// The cdn of that name, or of the one that is meant by it.
pub(crate) async fn understood_cdn(repositories: &mut dyn Repositories, name: &str) -> Result<Option<Cdn>> {
    match (repositories.cdns().by_name(name).await?, misspelt_cdn(name)) {
        (None, Some(meant)) => Ok(repositories.cdns().by_name(meant).await?),
        (found, _) => Ok(found),
    }
}

/// The use cases of cdns.
#[derive(Clone, Copy, Debug)]
pub struct Cdns<'a>(pub(crate) &'a Pilothouse);

impl Cdns<'_> {
    /// Records every cdn that [`crate::Settings::cdns`] names. To be called once at start, by every program on the
    /// store: those recorded already stay as they are.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn ensure_configured(&self) -> Result<()> {
        let names = &self.0.settings().cdns;
        names.iter().try_for_each(|name| check_cdn_name("cdn", name))?;
        let known = self.0.storage().read().await?.cdns().list().await?;
        if names.iter().all(|name| known.iter().any(|cdn| cdn.name == *name)) {
            return Ok(());
        }
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Cdns).await?;
        for name in names {
            if work.cdns().insert(name).await?.is_some() {
                let entry = Entry::new("cdn.add", &**name).new_digest(digest(&[name]));
                self.0.audit_command(&mut *work, entry).await?;
            }
        }
        Ok(work.commit().await?)
    }

    /// All cdns for a holder of group 8; for a customer those it is mapped to.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Cdn>> {
        let mut snapshot = self.0.storage().read().await?;
        if caller.holds(Group::Cdn) {
            return Ok(snapshot.cdns().list().await?);
        }
        let customer = self.0.customer_of(&mut *snapshot, caller, None).await?;
        Ok(snapshot.customers().cdns(customer.account_id).await?)
    }

    /// Adds a cdn without a provider; needs group 8.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn add(&self, caller: &Caller, name: &str) -> Result<Cdn> {
        self.0.require(caller, Group::Cdn)?;
        check_cdn_name("cdn", name)?;
        let exists = || Error::exists("a cdn with this name");
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Cdns).await?;
        if understood_cdn(&mut *work, name).await?.is_some() {
            return Err(exists());
        }
        let id = work.cdns().insert(name).await?.ok_or_else(exists)?;
        let entry = Entry::new("cdn.add", name).new_digest(digest(&[name]));
        work.record(entry).await?;
        work.commit().await?;
        Ok(Cdn { id, name: name.to_owned() })
    }

    /// Renames a cdn; needs group 8. One that the settings configure keeps its name, under which its provider is found.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn rename(&self, caller: &Caller, id: CdnId, name: &str) -> Result<Cdn> {
        self.0.require(caller, Group::Cdn)?;
        check_cdn_name("cdn", name)?;
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Cdns).await?;
        let old = work.cdns().by_id(id).await?.ok_or_else(|| Error::not_found("the cdn"))?;
        if self.0.settings().cdns.contains(&old.name) {
            return Err(Error::conflict("the settings configure this cdn under its present name"));
        }
        let cdn = Cdn { id, name: name.to_owned() };
        if !work.cdns().rename(&cdn).await? {
            return Err(Error::exists("a cdn with this name"));
        }
        let entry =
            Entry::new("cdn.rename", &*old.name).old(digest(&[&old.name])).new_digest(digest(&[&cdn.name]));
        work.record(entry).await?;
        work.commit().await?;
        Ok(cdn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for name in ["qcould", "Maichuang", "a.b_c-1"] {
            assert!(check_cdn_name("cdn", name).is_ok(), "{name}");
        }
        for name in ["", "a b", "云", &"x".repeat(65)] {
            assert!(check_cdn_name("cdn", name).is_err(), "{name}");
        }
    }
}
