//! Hosts of a cdn as a reader of logs needs them: whose the lines of which host and time are.

use std::collections::HashSet;

use chrono::TimeDelta;

use super::log_intake::LogIntake;
use crate::cdn::customers::{Domain, Tenure};
use crate::cdn::identifier::CdnId;
use crate::ports::{Repositories, StorageResult, UnitOfWork};
use crate::{Pilothouse, Result};

/// Age of the tenures that are read at first of a log that goes on: as old as its lines are at most, where they are stamped with the
/// begin of the longest request that is believed.
const RECENT: TimeDelta = TimeDelta::days(8);

/// Hosts of a cdn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogHosts {
    /// Domains that customers hold, by id.
    pub domains: Vec<Domain>,
    /// Times in which others held them: lines of these stay theirs.
    pub former: Vec<Tenure>,
    /// Time in unix seconds from which `former` has all of them; 0 where it has every one.
    pub former_since: i64,
    /// Hosts that the cdn's settings list, of which no line is dropped before somebody holds them.
    pub listed: HashSet<String>,
}

impl LogIntake<'_> {
    /// The hosts of a cdn. Of readers of logs, who need no permission.
    pub async fn hosts(&self, cdn_id: CdnId) -> Result<LogHosts> {
        self.hosts_since(cdn_id, 0).await
    }

    /// The hosts of a cdn without the former owners of long ago, who are many after years. A reader that meets an older line
    /// than [`LogHosts::former_since`] needs [`Self::hosts`].
    pub async fn recent_hosts(&self, cdn_id: CdnId) -> Result<LogHosts> {
        self.hosts_since(cdn_id, (self.0.clock().now() - RECENT).timestamp().max(0)).await
    }

    async fn hosts_since(&self, cdn_id: CdnId, former_since: i64) -> Result<LogHosts> {
        let mut snapshot = self.0.storage().read().await?;
        let domains = snapshot.domains().of_cdn(cdn_id).await?;
        let former = snapshot.tenures().of_cdn(cdn_id, former_since).await?;
        let listed = self.0.listed_hosts(&mut *snapshot, cdn_id).await?;
        Ok(LogHosts { domains, former, former_since, listed })
    }
}

impl Pilothouse {
    /// The hosts that the settings of a cdn list.
    pub(super) async fn listed_hosts(
        &self,
        repositories: &mut dyn Repositories,
        cdn_id: CdnId,
    ) -> StorageResult<HashSet<String>> {
        let cdn = repositories.cdns().by_id(cdn_id).await?;
        let provider = cdn.and_then(|cdn| self.providers().get(&cdn.name));
        let listed = provider.map(|provider| provider.capabilities().known_domains.iter().cloned().collect());
        Ok(listed.unwrap_or_default())
    }

    /// Notes which of the hosts with lines kept aside the settings list now.
    pub(super) async fn note_listed_hosts(&self, work: &mut dyn UnitOfWork) -> StorageResult<()> {
        for cdn in work.cdns().list().await? {
            let listed = self.listed_hosts(work, cdn.id).await?;
            for host in work.unregistered().hosts(cdn.id).await? {
                let is_listed = listed.contains(&host.host);
                if host.is_listed != is_listed {
                    work.unregistered().set_listed(cdn.id, &host.host, is_listed).await?;
                }
            }
        }
        Ok(())
    }
}
