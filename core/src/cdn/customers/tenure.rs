//! Ended tenures of domains: whose a line of a log is that is read after its domain has passed to somebody else.
//!
//! A tenure lasts until the domain is released, and begins where the one before ended, so that every moment is somebody's: a
//! customer who gets a released domain gets what edges logged since.

use async_trait::async_trait;

use super::domain::{Domain, DomainState};
use crate::account::AccountId;
use crate::cdn::identifier::{CdnId, DomainId};
use crate::ports::{Repositories, StorageResult, UnitOfWork};
use crate::{Pilothouse, Result};

/// Time in which a customer held a domain that it has released, in unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Domain that the lines of this time belong to.
    pub domain_id: DomainId,
    /// Account of the customer.
    pub account_id: AccountId,
    /// Cdn that served the domain.
    pub cdn_id: CdnId,
    /// Name of the domain.
    pub name: String,
    /// Begin; 0 of the first tenure of a name, which has the lines from the first one on.
    pub since: i64,
    /// End, the first second that is no longer part of it; greater than `since`.
    pub until: i64,
}

/// Ended tenures in a store. Every write happens under [`crate::ports::LockKey::Cdns`].
#[async_trait]
pub trait TenureRepository: Send {
    /// Adds an ended tenure. Those of one name and cdn do not overlap.
    async fn insert(&mut self, tenure: &Tenure) -> StorageResult<()>;
    /// End of the last tenure of a name.
    async fn last_end(&mut self, cdn_id: CdnId, name: &str) -> StorageResult<Option<i64>>;
    /// The tenures of a cdn that ended after a time, by domain and begin.
    async fn of_cdn(&mut self, cdn_id: CdnId, after: i64) -> StorageResult<Vec<Tenure>>;
    /// The tenures of an account that ended after a time, by domain and begin.
    async fn of_account(&mut self, account_id: AccountId, after: i64) -> StorageResult<Vec<Tenure>>;
}

impl Pilothouse {
    /// Releases domains that their customers hold, and records until when they held them.
    pub(crate) async fn release(&self, work: &mut dyn UnitOfWork, domains: &[Domain]) -> Result<()> {
        let until = self.clock().now().timestamp();
        for &Domain { id: domain_id, account_id, cdn_id, ref name, .. } in domains {
            let since = work.tenures().last_end(cdn_id, name).await?.unwrap_or(0);
            if since < until {
                let name = name.clone();
                work.tenures().insert(&Tenure { domain_id, account_id, cdn_id, name, since, until }).await?;
            }
        }
        let ids: Vec<_> = domains.iter().map(|domain| domain.id).collect();
        Ok(work.domains().release(&ids).await?)
    }

    /// Releases all domains of an account.
    pub(crate) async fn release_all(&self, work: &mut dyn UnitOfWork, account_id: AccountId) -> Result<()> {
        let held = work.domains().of_account(account_id, None).await?;
        self.release(work, &held).await
    }
}

/// The domains that an account holds, and those that it held at any time since a moment in unix seconds, by id.
pub(in crate::cdn) async fn domains_since(
    repositories: &mut dyn Repositories,
    account_id: AccountId,
    since: i64,
) -> StorageResult<Vec<Domain>> {
    let mut domains = repositories.domains().of_account(account_id, None).await?;
    let former = repositories.tenures().of_account(account_id, since).await?;
    domains.extend(former.into_iter().map(|Tenure { domain_id, cdn_id, name, .. }| Domain {
        id: domain_id,
        cdn_id,
        account_id,
        name,
        state: DomainState::Offline,
    }));
    // Stable, so that of one that is held again the present state stays.
    domains.sort_by_key(|domain| domain.id);
    domains.dedup_by_key(|domain| domain.id);
    Ok(domains)
}
