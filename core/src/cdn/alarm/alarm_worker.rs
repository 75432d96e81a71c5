//! Alarm worker: one server at a time looks at domains, edges and logs, and writes what begins and ends, each with its event.

use std::collections::HashSet;
use std::sync::Mutex;

use chrono::TimeDelta;

use super::alarm_gauge::AlarmGauge;
use super::alarm_list::Alarms;
use super::alarm_row::{Alarm, AlarmKind, AlarmSubject};
use super::survey::{AlarmKey, Change, Survey};
use crate::cdn::purge::one_line;
use crate::ports::{LockKey, UnitOfWork};
use crate::pruning::Pruning;
use crate::sync::lock;
use crate::webhook::EventKind;
use crate::{Lease, Pilothouse, Prunable, Result, check_text};

/// Lease of the server that looks; it is renewed every few seconds.
const LEADERSHIP: Lease = Lease::of(TimeDelta::seconds(20));
/// Retention of alarms that have ended.
const RETENTION: TimeDelta = TimeDelta::days(92);
/// Time after the end of the alarm of an unreadable log in which none begins: of two servers that read one log the slower one
/// may still say what is over.
const READABLE_PAUSE: TimeDelta = TimeDelta::minutes(2);
/// The most alarms forgotten in one transaction.
const PRUNED_AT_ONCE: i64 = 500;

/// Looks for alarms. Several may run on one store, in one process or many.
#[derive(Debug)]
pub struct AlarmWorker {
    pilothouse: Pilothouse,
    /// Random name that tells this worker from others.
    name: String,
    gauge: Mutex<AlarmGauge>,
}

impl AlarmWorker {
    /// A worker over a domain.
    pub fn new(pilothouse: Pilothouse) -> Self {
        let name = pilothouse.ids().uuid().simple().to_string();
        Self { pilothouse, name, gauge: Mutex::default() }
    }

    /// Looks once, unless another server does. To be called every few seconds.
    pub async fn turn(&self) -> Result<()> {
        let storage = self.pilothouse.storage();
        let mut work = storage.begin().await?;
        let now = work.now().await?;
        let leads = work.alarms().lead(&self.name, now, LEADERSHIP).await?;
        work.commit_relaxed().await?;
        if !leads {
            lock(&self.gauge).show([]);
            return Ok(());
        }
        let mut snapshot = storage.read().await?;
        let (changes, mut open) = Survey::run(&self.pilothouse, &mut *snapshot, now, None).await?;
        drop(snapshot);
        if !changes.is_empty() {
            self.apply(&changes.iter().map(Change::key).collect()).await?;
            open = storage.read().await?.alarms().open().await?;
        }
        lock(&self.gauge).show(&open);
        Ok(())
    }

    /// Gives up leadership, so that another server takes over at once.
    pub async fn leave(&self) -> Result<()> {
        lock(&self.gauge).show([]);
        let mut work = self.pilothouse.storage().begin().await?;
        work.alarms().step_down(&self.name).await?;
        Ok(work.commit().await?)
    }

    /// Looks again at what seemed to change, now that nobody else changes it, and writes it.
    async fn apply(&self, keys: &HashSet<AlarmKey>) -> Result<()> {
        let mut work = self.pilothouse.storage().begin().await?;
        work.lock(LockKey::Alarms).await?;
        let now = work.now().await?;
        let (changes, _) = Survey::run(&self.pilothouse, &mut *work, now, Some(keys)).await?;
        for change in &changes {
            self.pilothouse.write_change(&mut *work, change).await?;
        }
        work.commit().await?;
        changes.iter().for_each(log);
        Ok(())
    }
}

impl Pilothouse {
    /// Writes a change of an alarm, with its events.
    async fn write_change(&self, work: &mut dyn UnitOfWork, change: &Change) -> Result<()> {
        match change {
            Change::Begun(alarm) => {
                let Some(id) = work.alarms().insert(alarm).await? else { return Ok(()) };
                let alarm = Alarm { id, ..alarm.clone() };
                let begun = Alarm { ended: None, ..alarm.clone() };
                self.queue_alarm(work, EventKind::AlarmBegun, &begun).await?;
                if alarm.ended.is_some() {
                    self.queue_alarm(work, EventKind::AlarmEnded, &alarm).await?;
                }
            }
            Change::Continued(alarm) => {
                work.alarms().update(alarm).await?;
            }
            Change::Ended(alarm) => {
                if work.alarms().update(alarm).await? {
                    self.queue_alarm(work, EventKind::AlarmEnded, alarm).await?;
                }
            }
        }
        Ok(())
    }

    async fn queue_alarm(&self, work: &mut dyn UnitOfWork, kind: EventKind, alarm: &Alarm) -> Result<()> {
        let mut mail = None;
        if let AlarmSubject::Domain { account_id, .. } = alarm.subject {
            mail = work.accounts().by_id(account_id).await?.map(|account| account.mail);
        }
        self.queue_event(work, kind, alarm.event_data(mail.as_deref())).await
    }
}

impl Alarms<'_> {
    /// Records that the log of an edge cannot be read, or that many of its lines cannot, and why: an alarm, which goes on as
    /// long as this is repeated every minute. Of the program that reads the log, which needs no permission.
    pub async fn log_unreadable(&self, cdn: &str, edge: &str, reason: &str) -> Result<()> {
        check_text("edge", edge, 1, 64, false)?;
        let (key, reason) = (unreadable(cdn, edge), one_line(reason));
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Alarms).await?;
        let now = work.now().await?;
        let open = work.alarms().open().await?;
        let is_it = |alarm: &Alarm| (alarm.kind, &alarm.subject) == (key.0, &key.1);
        let change = if let Some(alarm) = open.into_iter().find(is_it) {
            Change::Continued(Alarm { last_seen: now, reason, ..alarm })
        } else {
            let told = work.alarms().last_seen(key.0, &key.1).await?;
            if told.is_some_and(|told| now - told < READABLE_PAUSE) {
                return Ok(());
            }
            Change::Begun(Alarm::of_edge(key, now, now, reason))
        };
        self.0.write_change(&mut *work, &change).await?;
        work.commit().await?;
        log(&change);
        Ok(())
    }

    /// Records that the log of an edge can be read: the end of its alarm, where there is one. Of the program that reads the
    /// log, which needs no permission.
    pub async fn log_readable(&self, cdn: &str, edge: &str) -> Result<()> {
        let key = unreadable(cdn, edge);
        let is_it = |alarm: &Alarm| (alarm.kind, &alarm.subject) == (key.0, &key.1);
        if !self.0.storage().read().await?.alarms().open().await?.iter().any(is_it) {
            return Ok(());
        }
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Alarms).await?;
        let now = work.now().await?;
        let open = work.alarms().open().await?;
        let Some(alarm) = open.into_iter().find(is_it) else { return Ok(()) };
        let change = Change::Ended(Alarm { last_seen: now, ended: Some(now), ..alarm });
        self.0.write_change(&mut *work, &change).await?;
        work.commit().await?;
        log(&change);
        Ok(())
    }

    /// Forgets alarms that ended long ago, within a transaction.
    pub(crate) async fn prune(&self, work: &mut dyn UnitOfWork, pruning: Pruning) -> Result<()> {
        let count = pruning.limit(work, Prunable::Alarms, PRUNED_AT_ONCE).await?;
        let gone = work.alarms().prune(pruning.now - RETENTION, count).await?;
        Ok(pruning.spend(work, Prunable::Alarms, gone).await?)
    }
}

/// Kind and subject of the alarm of a log that cannot be read.
fn unreadable(cdn: &str, edge: &str) -> AlarmKey {
    let (cdn, edge) = (cdn.to_owned(), edge.to_owned());
    (AlarmKind::UnreadableLog, AlarmSubject::Edge { cdn, edge })
}

fn log(change: &Change) {
    let alarm = change.alarm();
    let (kind, (_, domain, cdn, edge)) = (alarm.kind.as_str(), alarm.subject.columns());
    let (threshold, value, reason) = (alarm.threshold, alarm.value, &*alarm.reason);
    match change {
        Change::Begun(_) => {
            tracing::warn!(kind, domain, cdn, edge, threshold, value, reason, "an alarm began");
        }
        Change::Continued(_) => {}
        Change::Ended(_) => tracing::info!(kind, domain, cdn, edge, "an alarm ended"),
    }
}
