//! Services of cdns: the domains that each provider serves, with their groups and services, as it said last.

use async_trait::async_trait;

use super::cdn::cdn_named;
use crate::account::{Caller, Group};
use crate::cdn::identifier::CdnId;
use crate::ports::{ServedDomain, StorageResult};
use crate::{Pilothouse, Result};

/// Served domains in a store. Every write happens under [`crate::ports::LockKey::Cdns`].
#[async_trait]
pub trait CdnServiceRepository: Send {
    /// Puts these in the place of all that is stored of a cdn. No domain is among them twice.
    async fn replace(&mut self, cdn_id: CdnId, served: &[ServedDomain]) -> StorageResult<()>;
    /// The served domains of a cdn by name.
    async fn of_cdn(&mut self, cdn_id: CdnId) -> StorageResult<Vec<ServedDomain>>;
}

/// The use cases of services.
#[derive(Clone, Copy, Debug)]
pub struct CdnServices<'a>(pub(crate) &'a Pilothouse);

impl CdnServices<'_> {
    /// The domains that the provider of a cdn serves, as the last sync recorded them; needs group 8. Not found where there is no
    /// such cdn. A provider that lists no domains has none.
    pub async fn list(&self, caller: &Caller, cdn: &str) -> Result<Vec<ServedDomain>> {
        self.0.require(caller, Group::Cdn)?;
        let mut snapshot = self.0.storage().read().await?;
        let found = cdn_named(&mut *snapshot, "cdn", cdn).await?;
        Ok(snapshot.cdn_services().of_cdn(found.id).await?)
    }
}
