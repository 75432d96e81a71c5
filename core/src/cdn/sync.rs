//! What the providers serve, recorded as the states of domains.

use super::{Domain, DomainState};
use crate::ports::{CdnProvider, LockKey, ProviderError};
use crate::{Pilothouse, Result};

/// What came of asking one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The cdn.
    pub cdn: String,
    /// How many of its domains changed their state; or why the provider did not say, and then none did.
    pub changed: Result<usize, ProviderError>,
}

impl Pilothouse {
    /// Asks every provider for its domains and records them: one that is served is active, one that was and no longer is
    /// is offline, one never seen stays pending. A provider that knows no domains serves those customers are given.
    ///
    /// A provider that fails keeps nothing from the others.
    pub async fn sync(&self) -> Result<Vec<Synced>> {
        let mut all = Vec::new();
        for (cdn, provider) in self.providers().iter() {
            let changed = match served(&**provider).await {
                Ok(served) => Ok(self.record_served(cdn, served.as_deref()).await?),
                Err(error) => Err(error),
            };
            all.push(Synced { cdn: cdn.to_owned(), changed });
        }
        Ok(all)
    }

    /// Records the domains served by a cdn, or that all are; how many states changed.
    async fn record_served(&self, cdn: &str, served: Option<&[String]>) -> Result<usize> {
        let mut snapshot = self.storage().read().await?;
        let Some(cdn) = snapshot.cdns().by_name(cdn).await? else { return Ok(0) };
        if changes(&snapshot.domains().of_cdn(cdn.id).await?, served).is_empty() {
            return Ok(0);
        }
        drop(snapshot);
        let mut work = self.storage().begin().await?;
        work.lock(LockKey::Cdns).await?;
        let changes = changes(&work.domains().of_cdn(cdn.id).await?, served);
        work.domains().set_states(&changes).await?;
        work.commit().await?;
        Ok(changes.len())
    }
}

/// What a provider serves; `None` is whatever customers are given.
async fn served(provider: &dyn CdnProvider) -> Result<Option<Vec<String>>, ProviderError> {
    if !provider.capabilities().list_domains {
        return Ok(None);
    }
    let mut domains = provider.domains().await?;
    domains.sort_unstable();
    Ok(Some(domains))
}

fn changes(domains: &[Domain], served: Option<&[String]>) -> Vec<(super::DomainId, DomainState)> {
    let next = |domain: &Domain| match (
        served.is_none_or(|names| names.binary_search(&domain.name).is_ok()),
        domain.state,
    ) {
        (true, _) => DomainState::Active,
        (false, DomainState::Active) => DomainState::Offline,
        (false, state) => state,
    };
    let changed = domains.iter().filter(|domain| next(domain) != domain.state);
    changed.map(|domain| (domain.id, next(domain))).collect()
}
