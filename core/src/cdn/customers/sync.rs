//! Provider sync: asks each provider for its domains and records their states, groups and services.

use super::cdn::Cdn;
use super::domain::{Domain, DomainState};
use crate::account::AccountId;
use crate::cdn::identifier::DomainId;
use crate::ports::{CdnProvider, LockKey, ProviderError, ServedDomain, UnitOfWork};
use crate::{Pilothouse, Result};

/// Result of syncing one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Name of the cdn.
    pub cdn: String,
    /// Number of domains that changed their state; or the provider's failure, and then none did.
    pub changed: Result<usize, ProviderError>,
}

impl Pilothouse {
    /// Asks every provider for its domains and records them: one that is served is active, one that was and no longer is
    /// is offline, one never seen stays pending. A provider that knows no domains serves those customers are given. What it serves
    /// is recorded with its groups and services, also the domains that no customer has.
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

    /// Whether a cdn serves a domain, as far as that is known without asking its provider: it serves whatever customers
    /// are given, or its settings list the domain.
    fn surely_serves(&self, cdn: &str, domain: &str) -> bool {
        self.providers().get(cdn).is_some_and(|provider| {
            let can = provider.capabilities();
            !can.list_domains || can.known_domains.iter().any(|known| known == domain)
        })
    }

    /// Makes those of an account's domains active that its cdn serves, as far as that is known without asking.
    pub(crate) async fn activate_served(
        &self,
        work: &mut dyn UnitOfWork,
        account: AccountId,
        cdn: &Cdn,
        names: &[String],
    ) -> Result<()> {
        let mut held = work.domains().of_account(account, Some(cdn.id)).await?;
        held.retain(|domain| {
            domain.state != DomainState::Active
                && names.contains(&domain.name)
                && self.surely_serves(&cdn.name, &domain.name)
        });
        let active: Vec<_> = held.iter().map(|domain| (domain.id, DomainState::Active)).collect();
        Ok(work.domains().set_states(&active).await?)
    }

    /// Records the domains served by a cdn, or that all are; how many states changed.
    async fn record_served(&self, cdn: &str, served: Option<&[ServedDomain]>) -> Result<usize> {
        let mut snapshot = self.storage().read().await?;
        let Some(cdn) = snapshot.cdns().by_name(cdn).await? else { return Ok(0) };
        let known = snapshot.cdn_services().of_cdn(cdn.id).await?;
        let is_known = served.is_none_or(|served| served == known);
        if is_known && changes(&snapshot.domains().of_cdn(cdn.id).await?, served).is_empty() {
            return Ok(0);
        }
        drop(snapshot);
        let mut work = self.storage().begin().await?;
        work.lock(LockKey::Cdns).await?;
        let changes = changes(&work.domains().of_cdn(cdn.id).await?, served);
        work.domains().set_states(&changes).await?;
        if let Some(served) = served {
            work.cdn_services().replace(cdn.id, served).await?;
        }
        work.commit().await?;
        Ok(changes.len())
    }
}

/// Domains that a provider serves; `None` where it serves whatever customers are given.
async fn served(provider: &dyn CdnProvider) -> Result<Option<Vec<ServedDomain>>, ProviderError> {
    if !provider.capabilities().list_domains {
        return Ok(None);
    }
    let mut served = provider.services().await?;
    // What no store keeps is no name.
    served.retain(|one| ![&one.domain, &one.group, &one.service].into_iter().any(|text| has_control(text)));
    served.sort_unstable();
    served.dedup_by(|one, other| one.domain == other.domain);
    Ok(Some(served))
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

fn changes(domains: &[Domain], served: Option<&[ServedDomain]>) -> Vec<(DomainId, DomainState)> {
    let next = |domain: &Domain| match (
        served.is_none_or(|served| served.binary_search_by(|one| one.domain.cmp(&domain.name)).is_ok()),
        domain.state,
    ) {
        (true, _) => DomainState::Active,
        (false, DomainState::Active) => DomainState::Offline,
        (false, state) => state,
    };
    let changed = domains.iter().filter(|domain| next(domain) != domain.state);
    changed.map(|domain| (domain.id, next(domain))).collect()
}
