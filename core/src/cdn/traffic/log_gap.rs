//! Log gaps: stretches of an edge's log that were never read, because the file was gone or could not be read.

use chrono::{DateTime, Utc};

use super::log_intake::{EdgeRef, LogIntake};
use super::log_source::{Counters, LogSource, LogSourceId, SourceKey};
use crate::Result;
use crate::cdn::CdnId;
use crate::ports::{LockKey, Repositories, StorageResult, UnitOfWork};

/// Key of the row that tells of an edge's last gap: no log has it.
const GAP: SourceKey = *b"a gap of the log";

/// Last gap of an edge's log. It is forgotten with the traffic of its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGap {
    /// Time at which it was noticed.
    pub noticed: DateTime<Utc>,
    /// Reason, in one line.
    pub reason: String,
}

impl LogIntake<'_> {
    /// Records that lines of an edge's log are missing, or may be. Of the command line, which needs no permission.
    pub async fn record_gap(&self, edge: &EdgeRef, reason: &str) -> Result<()> {
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        write_gap(&mut *work, edge, reason, self.0.clock().now()).await?;
        Ok(work.commit().await?)
    }

    /// Last gap of an edge's log. Of the command line, which needs no permission.
    pub async fn gap(&self, edge: &EdgeRef) -> Result<Option<LogGap>> {
        let mut snapshot = self.0.storage().read().await?;
        last_gap(&mut *snapshot, edge.cdn_id, &edge.edge).await
    }
}

/// Writes a gap of an edge's log in the place of the one before, within a transaction that holds [`LockKey::Traffic`].
pub(super) async fn write_gap(
    work: &mut dyn UnitOfWork,
    edge: &EdgeRef,
    reason: &str,
    noticed: DateTime<Utc>,
) -> StorageResult<()> {
    let found = work.log_sources().find(edge.cdn_id, &edge.edge, &[GAP]).await?;
    let gap = LogSource {
        id: found.first().map_or(LogSourceId::UNSAVED, |found| found.id),
        cdn_id: edge.cdn_id,
        edge: edge.edge.clone(),
        key: GAP,
        length: 0,
        state: reason.to_owned().into_bytes(),
        counters: Counters::default(),
        recorded: noticed,
        skipped: 0,
    };
    if found.is_empty() {
        work.log_sources().insert(&gap).await?;
    } else {
        work.log_sources().update(&gap, 0).await?;
    }
    Ok(())
}

/// Last gap of the log of an edge of a cdn.
pub(in crate::cdn) async fn last_gap(
    snapshot: &mut dyn Repositories,
    cdn_id: CdnId,
    edge: &str,
) -> Result<Option<LogGap>> {
    let found = snapshot.log_sources().find(cdn_id, edge, &[GAP]).await?;
    Ok(found.into_iter().next().map(|found| LogGap {
        noticed: found.recorded,
        reason: String::from_utf8_lossy(&found.state).into_owned(),
    }))
}
