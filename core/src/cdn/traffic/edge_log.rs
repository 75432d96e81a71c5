//! Edge logs: what was taken in of the log of each edge, over all its files, and how its shipping or reading goes on.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::log_gap::{LogGap, last_gap};
use super::log_intake::{Batch, EdgeRef, LogIntake};
use super::log_shipping::STREAM;
use super::log_source::Counters;
use crate::Result;
use crate::account::{Caller, Group};
use crate::cdn::customers::cdn_named;
use crate::cdn::identifier::CdnId;
use crate::ports::{LockKey, StorageResult, UnitOfWork};

/// Least number of lines whose share of unreadable ones tells anything.
const STRETCH_LINES: i64 = 100;
/// Least time over which lines are judged together.
const STRETCH_TIME: TimeDelta = TimeDelta::minutes(1);
/// Least share of unreadable lines of a stretch that is out of order, in percent.
const GARBLED: i64 = 10;
/// Interval at which it is written down that somebody who had no new lines was heard.
const SEEN_INTERVAL: TimeDelta = TimeDelta::seconds(30);

/// Way by which the log of an edge comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogKind {
    /// A server follows it as a file.
    Followed,
    /// The edge ships it.
    Shipped,
    /// Files that the command line read.
    Ingested,
}

impl LogKind {
    /// Number that stores keep.
    pub fn id(self) -> i64 {
        match self {
            Self::Followed => 0,
            Self::Shipped => 1,
            Self::Ingested => 2,
        }
    }

    /// Kind of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Followed, Self::Shipped, Self::Ingested].into_iter().find(|kind| kind.id() == id)
    }

    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Followed => "followed",
            Self::Shipped => "shipped",
            Self::Ingested => "ingested",
        }
    }

    fn of(batch: &Batch) -> Self {
        if batch.key == STREAM {
            Self::Shipped
        } else if batch.undo_options.is_some() {
            Self::Ingested
        } else {
            Self::Followed
        }
    }
}

/// Consecutive lines that are judged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineStretch {
    /// Time at which the first of them was recorded.
    pub since: DateTime<Utc>,
    /// Number of the lines.
    pub lines: i64,
    /// Number of those that could not be read.
    pub unreadable: i64,
}

impl LineStretch {
    /// Whether so many lines are unreadable that the log is out of order.
    pub fn is_garbled(&self) -> bool {
        self.unreadable * 100 >= self.lines * GARBLED
    }
}

/// Refusal of what an edge ships, since the last piece that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Time of the first refusal.
    pub since: DateTime<Utc>,
    /// Reason of the last one, in one line.
    pub reason: String,
}

/// Log of an edge as far as it was taken in. The counts are of lines since the first batch that was recorded here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeLog {
    /// The cdn of the edge.
    pub cdn_id: CdnId,
    /// The edge, by name.
    pub edge: String,
    /// Way by which the log comes in.
    pub kind: LogKind,
    /// Bytes taken in, of all files of the log, before compression.
    pub bytes: i64,
    /// Counts of its lines.
    pub counters: Counters,
    /// Time of the last line whose time could be read, in unix seconds.
    pub last_line: Option<i64>,
    /// Time at which lines were last recorded; `None` before the first.
    pub recorded: Option<DateTime<Utc>>,
    /// Time at which whoever reads or ships it was last heard, to within half a minute.
    pub seen: DateTime<Utc>,
    /// Bytes that its follower had yet to read, as it tells once a minute; `None` where that is not known.
    pub unread: Option<i64>,
    /// Lines that are not yet as many as are judged.
    pub recent: LineStretch,
    /// Last lines that were judged.
    pub judged: Option<LineStretch>,
    /// Refusal that its shipper has not got over.
    pub refusal: Option<Refusal>,
}

impl EdgeLog {
    fn new(edge: &EdgeRef, kind: LogKind, now: DateTime<Utc>) -> Self {
        Self {
            cdn_id: edge.cdn_id,
            edge: edge.edge.clone(),
            kind,
            bytes: 0,
            counters: Counters::default(),
            last_line: None,
            recorded: None,
            seen: now,
            unread: None,
            recent: LineStretch { since: now, lines: 0, unreadable: 0 },
            judged: None,
            refusal: None,
        }
    }

    /// Adds what a batch recorded.
    fn add(&mut self, bytes: i64, counters: Counters, last_line: Option<i64>, now: DateTime<Utc>) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.counters.add(counters);
        self.last_line = last_line.or(self.last_line);
        self.recorded = Some(now);
        self.seen = self.seen.max(now);
        self.refusal = None;
        self.recent.lines += counters.lines;
        self.recent.unreadable += counters.unreadable;
        // A clock that was set back ends a stretch, too.
        let is_long = (now - self.recent.since).abs() >= STRETCH_TIME;
        if is_long && self.recent.lines >= STRETCH_LINES {
            let next = LineStretch { since: now, lines: 0, unreadable: 0 };
            self.judged = Some(std::mem::replace(&mut self.recent, next));
        }
    }
}

/// Logs of edges in a store. Every write happens under [`LockKey::Traffic`].
#[async_trait]
pub trait EdgeLogRepository: Send {
    /// Finds the log of an edge that comes in one way.
    async fn find(&mut self, cdn_id: CdnId, edge: &str, kind: LogKind) -> StorageResult<Option<EdgeLog>>;
    /// Adds a log, or replaces the one of that cdn, edge and kind.
    async fn put(&mut self, log: &EdgeLog) -> StorageResult<()>;
    /// The logs of a cdn, by edge and kind.
    async fn list(&mut self, cdn_id: CdnId) -> StorageResult<Vec<EdgeLog>>;
}

/// Log of an edge as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOverview {
    /// The cdn, by name.
    pub cdn: String,
    /// The log.
    pub log: EdgeLog,
    /// Offset wanted next of a shipped log.
    pub offset: Option<i64>,
    /// Bytes of a shipped log that operators gave up.
    pub skipped: i64,
    /// Last gap of the edge's log, as long as traffic of that time is kept.
    pub gap: Option<LogGap>,
}

async fn log_of(
    work: &mut dyn UnitOfWork,
    edge: &EdgeRef,
    kind: LogKind,
    now: DateTime<Utc>,
) -> StorageResult<EdgeLog> {
    let found = work.edge_logs().find(edge.cdn_id, &edge.edge, kind).await?;
    Ok(found.unwrap_or_else(|| EdgeLog::new(edge, kind, now)))
}

/// Adds a batch, which moves its source on by `bytes`, to the log of its edge.
pub(super) async fn add_batch(
    work: &mut dyn UnitOfWork,
    batch: &Batch,
    bytes: i64,
    now: DateTime<Utc>,
) -> StorageResult<()> {
    let mut log = log_of(work, &batch.edge, LogKind::of(batch), now).await?;
    log.add(bytes, batch.counters, batch.last_line, now);
    work.edge_logs().put(&log).await
}

/// Takes an ingested log back out of that of its edge.
pub(super) async fn take_back(
    work: &mut dyn UnitOfWork,
    edge: &EdgeRef,
    bytes: i64,
    counters: Counters,
) -> StorageResult<()> {
    let found = work.edge_logs().find(edge.cdn_id, &edge.edge, LogKind::Ingested).await?;
    let Some(mut log) = found else { return Ok(()) };
    // What was read before logs of edges were kept is not in it.
    log.bytes = log.bytes.saturating_sub(bytes).max(0);
    log.counters = log.counters.without(counters);
    work.edge_logs().put(&log).await
}

impl LogIntake<'_> {
    /// Records that whoever follows the log of an edge is at work, and the bytes that it has yet to read, where it knows them.
    /// Of the program that reads the log, which needs no permission.
    pub async fn log_seen(&self, edge: &EdgeRef, unread: Option<i64>) -> Result<()> {
        self.seen(edge, LogKind::Followed, unread).await
    }

    /// Records that an edge asked for the offset of its log, unless it was heard just now.
    pub(super) async fn shipper_seen(&self, edge: &EdgeRef) -> Result<()> {
        let now = self.0.clock().now();
        let mut snapshot = self.0.storage().read().await?;
        let found = snapshot.edge_logs().find(edge.cdn_id, &edge.edge, LogKind::Shipped).await?;
        drop(snapshot);
        if found.is_some_and(|log| (now - log.seen).abs() < SEEN_INTERVAL) {
            return Ok(());
        }
        self.seen(edge, LogKind::Shipped, None).await
    }

    async fn seen(&self, edge: &EdgeRef, kind: LogKind, unread: Option<i64>) -> Result<()> {
        let now = self.0.clock().now();
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let log = log_of(&mut *work, edge, kind, now).await?;
        work.edge_logs().put(&EdgeLog { seen: now, unread, ..log }).await?;
        Ok(work.commit().await?)
    }

    /// Records that what an edge ships is refused, unless it is known.
    pub(super) async fn shipper_refused(&self, edge: &EdgeRef, reason: &str) -> Result<()> {
        let now = self.0.clock().now();
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let log = log_of(&mut *work, edge, LogKind::Shipped, now).await?;
        let since = log.refusal.as_ref().map_or(now, |refusal| refusal.since);
        let is_known = log.refusal.as_ref().is_some_and(|refusal| refusal.reason == reason);
        if is_known && (now - log.seen).abs() < SEEN_INTERVAL {
            return Ok(());
        }
        let refusal = Some(Refusal { since, reason: reason.to_owned() });
        work.edge_logs().put(&EdgeLog { seen: now, refusal, ..log }).await?;
        Ok(work.commit().await?)
    }

    /// Logs of the edges of a cdn, or of all, by cdn, edge and kind; needs group 8. Not those of which nothing was heard for as
    /// long as traffic is kept.
    pub async fn logs(&self, caller: &Caller, cdn: Option<&str>) -> Result<Vec<LogOverview>> {
        self.0.require(caller, Group::Cdn)?;
        let since = self.0.clock().now() - TimeDelta::days(self.0.settings().traffic_days.into());
        let mut snapshot = self.0.storage().read().await?;
        let mut cdns = match cdn {
            Some(cdn) => vec![cdn_named(&mut *snapshot, "cdn", cdn).await?],
            None => snapshot.cdns().list().await?,
        };
        cdns.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let mut logs = Vec::new();
        for cdn in cdns {
            for log in snapshot.edge_logs().list(cdn.id).await? {
                if log.seen < since {
                    continue;
                }
                let mut stream = None;
                if log.kind == LogKind::Shipped {
                    let found = snapshot.log_sources().find(cdn.id, &log.edge, &[STREAM]).await?;
                    stream = found.into_iter().next();
                }
                let gap = last_gap(&mut *snapshot, cdn.id, &log.edge).await?;
                let offset =
                    (log.kind == LogKind::Shipped).then(|| stream.as_ref().map_or(0, |source| source.length));
                let skipped = stream.map_or(0, |source| source.skipped);
                logs.push(LogOverview { cdn: cdn.name.clone(), log, offset, skipped, gap });
            }
        }
        Ok(logs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_judged_by_the_hundred_and_the_minute() {
        let begin = DateTime::UNIX_EPOCH;
        let at = |seconds| begin + TimeDelta::seconds(seconds);
        let mut log = EdgeLog::new(&EdgeRef::default(), LogKind::Shipped, begin);
        let mut add = |seconds, lines, unreadable| {
            log.refusal = Some(Refusal { since: begin, reason: "a hole".to_owned() });
            let counters = Counters { lines, unreadable, ..Counters::default() };
            log.add(10, counters, (lines == 1).then_some(7), at(seconds));
            (log.judged, log.bytes, log.last_line, log.refusal.clone())
        };
        assert_eq!(add(0, 1000, 1000), (None, 10, None, None), "a minute has not passed");
        let first = LineStretch { since: begin, lines: 1001, unreadable: 1000 };
        assert_eq!(add(60, 1, 0), (Some(first), 20, Some(7), None));
        assert!(first.is_garbled());
        assert_eq!(add(200, 99, 0).0, Some(first), "too few lines");
        let second = LineStretch { since: at(60), lines: 199, unreadable: 19 };
        assert_eq!(add(201, 100, 19).0, Some(second));
        assert!(!second.is_garbled());
    }
}
