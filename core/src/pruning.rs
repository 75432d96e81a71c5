//! Pruning limits: what keeps a wrong clock from deleting what has to be kept.
//!
//! Whatever is deleted by its age asks here first. At most an eighth of the rows of a kind are deleted in a day, and
//! none at all for a day after a clock was seen to jump, or after a start that lies far behind the last stored time.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::lease::Lease;
use crate::ports::{LockKey, StorageResult, UnitOfWork};
use crate::sync::lock;
use crate::{Pilothouse, Result};

/// Share of a kind's rows that may be deleted in a day: one of this many.
const SHARE: i64 = 8;
/// The time in which one share may be deleted.
const DAY: Lease = Lease::of(TimeDelta::days(1));
/// The time without pruning after a suspicion.
const HOLD: Lease = Lease::of(TimeDelta::days(1));
/// Difference between the advances of a clock and of the monotonic one that is a jump.
const JUMP: TimeDelta = TimeDelta::hours(1);
/// The longest time between the last stored time and a start that is not suspicious.
const ABSENCE: TimeDelta = TimeDelta::days(1);
/// Interval between two stored times, which keeps writes few.
const MARK_INTERVAL: TimeDelta = TimeDelta::hours(1);

/// Kind of row that is deleted by its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Prunable {
    /// Nodes that were offline for long.
    Nodes,
    /// Delivery records of ended releases.
    Deliveries,
    /// Ended jobs.
    Jobs,
    /// Log sources.
    LogSources,
    /// Kept lines of access logs.
    LogChunks,
    /// Sealed days of bytes.
    FluxBlocks,
    /// Sealed days of requests, hits, answers and bytes of hits.
    CountBlocks,
    /// Sealed days of cities.
    CityBlocks,
    /// Kept-aside lines of unregistered hosts.
    UnregisteredLines,
    /// Ended alarms.
    Alarms,
    /// Most requested paths.
    TopUrls,
}

impl Prunable {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Nodes,
        Self::Deliveries,
        Self::Jobs,
        Self::LogSources,
        Self::LogChunks,
        Self::FluxBlocks,
        Self::CountBlocks,
        Self::CityBlocks,
        Self::UnregisteredLines,
        Self::Alarms,
        Self::TopUrls,
    ];

    /// As a number for a store.
    pub fn id(self) -> i64 {
        match self {
            Self::Nodes => 1,
            Self::Deliveries => 2,
            Self::Jobs => 3,
            Self::LogSources => 4,
            Self::LogChunks => 5,
            Self::FluxBlocks => 6,
            Self::CountBlocks => 7,
            Self::CityBlocks => 8,
            Self::UnregisteredLines => 9,
            Self::Alarms => 10,
            Self::TopUrls => 11,
        }
    }
}

/// Rows of one kind that may still be deleted in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Begin of the day, by the store's clock.
    pub since: DateTime<Utc>,
    /// Rows that are left of the share.
    pub left: i64,
}

/// The last time that a store was pruned at, which the next start is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockMark {
    /// Store's clock, to within an hour.
    pub seen: DateTime<Utc>,
    /// End of the time without pruning, where a clock was suspicious.
    pub hold_until: Option<DateTime<Utc>>,
}

/// Limits of pruning in a store.
#[async_trait]
pub trait PruningRepository: Send {
    /// Counts the rows of a kind.
    async fn count(&mut self, kind: Prunable) -> StorageResult<i64>;
    /// The allowance of a kind.
    async fn allowance(&mut self, kind: Prunable) -> StorageResult<Option<Allowance>>;
    /// Replaces the allowance of a kind.
    async fn set_allowance(&mut self, kind: Prunable, allowance: &Allowance) -> StorageResult<()>;
    /// The clock mark.
    async fn clock_mark(&mut self) -> StorageResult<Option<ClockMark>>;
    /// Replaces the clock mark.
    async fn set_clock_mark(&mut self, mark: &ClockMark) -> StorageResult<()>;
}

/// Clocks of this process as it last looked at them.
#[derive(Debug, Default)]
pub(crate) struct ClockWatch(Mutex<Watched>);

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// `None` before the first look.
    last: Option<Readings>,
    /// Reading of the monotonic clock up to which nothing is pruned.
    hold_until: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Readings {
    store: DateTime<Utc>,
    server: DateTime<Utc>,
    monotonic: Duration,
}

impl Readings {
    /// Whether one of the wall clocks advanced otherwise than the monotonic one.
    fn has_jumped(&self, since: &Self) -> bool {
        let elapsed = delta(self.monotonic.saturating_sub(since.monotonic));
        let parted = |now: DateTime<Utc>, then: DateTime<Utc>| (now - then - elapsed).abs() > JUMP;
        parted(self.store, since.store) || parted(self.server, since.server)
    }

    /// Whether one of the wall clocks is far behind what was stored.
    fn is_late(&self, mark: &ClockMark) -> bool {
        self.store.max(self.server) - mark.seen > ABSENCE
    }
}

fn delta(of: Duration) -> TimeDelta {
    TimeDelta::from_std(of).unwrap_or(TimeDelta::MAX)
}

impl ClockWatch {
    /// Takes a reading; the remaining time without pruning.
    fn look(&self, now: Readings, mark: Option<&ClockMark>) -> Option<TimeDelta> {
        let mut watched = lock(&self.0);
        let is_suspect = match &watched.last {
            Some(last) => now.has_jumped(last),
            None => mark.is_some_and(|mark| now.is_late(mark)),
        };
        watched.last = Some(now);
        if is_suspect {
            tracing::warn!(
                server = %now.server,
                store = %now.store,
                last_stored = ?mark.map(|mark| mark.seen),
                "a clock jumped or the last stored time is long ago; nothing is deleted by age for 24 hours"
            );
            watched.hold_until = Some(now.monotonic + HOLD.length().to_std().unwrap_or_default());
        }
        let left = watched.hold_until?.checked_sub(now.monotonic).filter(|left| !left.is_zero());
        left.map(delta)
    }
}

/// Leave to prune within one transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pruning {
    /// The store's clock at its begin.
    pub(crate) now: DateTime<Utc>,
}

impl Pilothouse {
    /// Begins pruning within a transaction, which is to be committed in any case; `None` while nothing may be deleted.
    pub(crate) async fn begin_pruning(&self, work: &mut dyn UnitOfWork) -> Result<Option<Pruning>> {
        work.lock(LockKey::Pruning).await?;
        let now = work.now().await?;
        let mark = work.pruning().clock_mark().await?;
        let readings =
            Readings { store: now, server: self.clock().now(), monotonic: self.clock().monotonic() };
        let hold = self.clock_watch().look(readings, mark.as_ref());
        let stored = mark.and_then(|mark| mark.hold_until).filter(|until| HOLD.is_held(*until, now));
        let hold_until = stored.max(hold.map(|left| now + left));
        let is_recent = mark.is_some_and(|mark| (now - mark.seen).abs() < MARK_INTERVAL);
        let is_held = |until: Option<DateTime<Utc>>| until.is_some_and(|until| HOLD.is_held(until, now));
        if !is_recent || is_held(hold_until) != is_held(stored) {
            work.pruning().set_clock_mark(&ClockMark { seen: now, hold_until }).await?;
        }
        Ok((!is_held(hold_until)).then_some(Pruning { now }))
    }
}

impl Pruning {
    /// The rows of a kind that may be deleted in this transaction, at most `at_once`.
    pub(crate) async fn limit(
        self,
        work: &mut dyn UnitOfWork,
        kind: Prunable,
        at_once: i64,
    ) -> StorageResult<i64> {
        let allowance = self.allowance(work, kind).await?;
        Ok(allowance.left.min(at_once))
    }

    /// Records that rows of a kind were deleted.
    pub(crate) async fn spend(
        self,
        work: &mut dyn UnitOfWork,
        kind: Prunable,
        deleted: u64,
    ) -> StorageResult<()> {
        if deleted == 0 {
            return Ok(());
        }
        let mut allowance = self.allowance(work, kind).await?;
        allowance.left = (allowance.left - i64::try_from(deleted).unwrap_or(i64::MAX)).max(0);
        work.pruning().set_allowance(kind, &allowance).await
    }

    async fn allowance(self, work: &mut dyn UnitOfWork, kind: Prunable) -> StorageResult<Allowance> {
        let known = work.pruning().allowance(kind).await?;
        if let Some(allowance) = known.filter(|known| DAY.is_held(DAY.end(known.since), self.now)) {
            return Ok(allowance);
        }
        // Rounded up, or a handful of rows would stay for ever.
        let count = work.pruning().count(kind).await?;
        let allowance = Allowance { since: self.now, left: (count + SHARE - 1) / SHARE };
        work.pruning().set_allowance(kind, &allowance).await?;
        Ok(allowance)
    }
}
