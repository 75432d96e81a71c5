//! Cdns: the names that customers are mapped to. A name that the settings configure has a provider behind it.

use async_trait::async_trait;

use crate::account::{Caller, Entry, Group, digest};
use crate::ports::{LockKey, StorageResult};
use crate::{Error, Pilothouse, Result, check_token};

/// The id of a cdn.
pub type CdnId = i64;

/// A cdn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cdn {
    /// Its id.
    pub id: CdnId,
    /// Its name, as users see it: unique, 1 to 64 of letters, digits, `.`, `_` and `-`.
    pub name: String,
}

/// Cdns in a store. Every write happens under [`LockKey::Cdns`].
#[async_trait]
pub trait CdnRepository: Send {
    /// Adds a cdn; `None` when the name is taken.
    async fn insert(&mut self, name: &str) -> StorageResult<Option<CdnId>>;
    /// By id.
    async fn by_id(&mut self, id: CdnId) -> StorageResult<Option<Cdn>>;
    /// By name.
    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Cdn>>;
    /// All, by id.
    async fn list(&mut self) -> StorageResult<Vec<Cdn>>;
    /// Renames a cdn; false when there is none with this id or another has the name.
    async fn rename(&mut self, cdn: &Cdn) -> StorageResult<bool>;
}

/// A cdn's name as it is kept. The document writes `qcould` where it means `qcloud`; both are understood.
///
/// Refuses anything but 1 to 64 of letters, digits, `.`, `_` and `-`.
pub fn cdn_name(field: &'static str, name: &str) -> Result<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    check_token(field, name, 1, 64, "letters, digits, '.', '_' and '-'", allowed)?;
    Ok(if name == "qcould" { "qcloud" } else { name }.to_owned())
}

/// The use cases of cdns.
#[derive(Clone, Copy, Debug)]
pub struct Cdns<'a>(pub(crate) &'a Pilothouse);

impl Cdns<'_> {
    /// Records every cdn that [`crate::Settings::cdns`] names. To be called once at start, by every program on the
    /// store: those recorded already stay as they are.
    pub async fn ensure_configured(&self) -> Result<()> {
        let names = &self.0.settings().cdns;
        for name in names {
            if cdn_name("cdn", name)? != *name {
                return Err(Error::invalid("cdn", format!("{name} is understood as another name")));
            }
        }
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
    pub async fn add(&self, caller: &Caller, name: &str) -> Result<Cdn> {
        self.0.require(caller, Group::Cdn)?;
        let name = cdn_name("cdn", name)?;
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Cdns).await?;
        let id = work.cdns().insert(&name).await?;
        let id = id.ok_or_else(|| Error::exists("a cdn with this name"))?;
        let entry = Entry::new("cdn.add", &*name).new_digest(digest(&[&name]));
        self.0.audit(&mut *work, caller, entry).await?;
        work.commit().await?;
        Ok(Cdn { id, name })
    }

    /// Renames a cdn; needs group 8. One that the settings configure keeps its name, under which its provider is found.
    pub async fn rename(&self, caller: &Caller, id: CdnId, name: &str) -> Result<Cdn> {
        self.0.require(caller, Group::Cdn)?;
        let name = cdn_name("cdn", name)?;
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Cdns).await?;
        let old = work.cdns().by_id(id).await?.ok_or_else(|| Error::not_found("the cdn"))?;
        if self.0.settings().cdns.contains(&old.name) {
            return Err(Error::conflict("the settings configure this cdn under its present name"));
        }
        let cdn = Cdn { id, name };
        if !work.cdns().rename(&cdn).await? {
            return Err(Error::exists("a cdn with this name"));
        }
        let entry =
            Entry::new("cdn.rename", &*old.name).old(digest(&[&old.name])).new_digest(digest(&[&cdn.name]));
        self.0.audit(&mut *work, caller, entry).await?;
        work.commit().await?;
        Ok(cdn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_slip_is_understood() {
        assert_eq!(cdn_name("cdn", "qcould").unwrap(), "qcloud");
        assert_eq!(cdn_name("cdn", "Maichuang").unwrap(), "Maichuang");
        for name in ["", "a b", "云", &"x".repeat(65)] {
            assert!(cdn_name("cdn", name).is_err(), "{name}");
        }
    }
}
