//! Speaker of one vendor: leads its cdn, chooses what is due, and writes what a call brought.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{self, BoxFuture, Either};
use tokio::time::{Instant, sleep, timeout};

use super::batch::{BatchState, VendorBatch};
use super::open_calls::{OpenCalls, Purpose};
use super::outcome::{CREDENTIALS_PAUSE, Effect, Moment, waits};
use super::vendor_calls::{POLL, VendorCalls};
use super::vendor_memory::VendorMemory;
use crate::cdn::purge::attempt::Attempt;
use crate::cdn::purge::edge::LEADERSHIP;
use crate::cdn::purge::job::{Job, JobState};
use crate::cdn::purge::job_runner::{count_ended, report};
use crate::cdn::purge::progress::JobCell;
use crate::ports::{Capabilities, CdnProvider, Operation, ProviderError, Repeat, UnitOfWork};
use crate::sync::lock;
use crate::{Error, Result};

/// Time limit of a vendor's call, after which its outcome is unknown.
const CALL: Duration = Duration::from_secs(30);
/// Times that a transaction is repeated because a job was changed meanwhile.
const CONFLICTS: usize = 10;

/// Longest wait of a batch, for the quota of another day. One that is due later was written by a clock that was ahead.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(25);

/// Speaker of one vendor.
#[derive(Clone, Copy)]
pub(super) struct Speaker<'a> {
    pub(super) calls: &'a VendorCalls,
    pub(super) cdn: &'a str,
    pub(super) provider: &'a Arc<dyn CdnProvider>,
    pub(super) memory: &'a Mutex<VendorMemory>,
    pub(super) open: &'a OpenCalls,
}

/// A call to be made, beside others, until what it brought is written.
pub(super) type Call<'a> = BoxFuture<'a, Result<()>>;

/// Result of looking for something to do.
pub(super) enum Step<'a> {
    /// A call is due.
    Call(Call<'a>),
    /// Something was done, and more may be due.
    Done,
    /// Nothing is due for so long, unless something new comes.
    Idle(Duration),
}

impl<'a> Speaker<'a> {
    pub(super) fn can(&self) -> &Capabilities {
        self.provider.capabilities()
    }

    /// Does the most urgent thing that is due, if this server leads. A call is only prepared.
    pub(super) async fn step(&self) -> Result<Step<'a>> {
        // Known before the rows are read: a batch whose call ends meanwhile is not taken for one whose answer was lost.
        let open = self.open.batches();
        let Some((rows, now)) = self.rows().await? else {
            lock(self.memory).lose_leadership();
            return Ok(Step::Idle(POLL));
        };
        if lock(self.memory).paused_until.is_some_and(|until| now < until && until <= now + CREDENTIALS_PAUSE)
        {
            return Ok(Step::Idle(POLL));
        }
        let (mut due, mut pause) = (Vec::new(), POLL);
        for row in rows.iter().filter(|row| !open.contains(&row.id)) {
            let at = lock(self.memory).poll_times.due(row, now);
            if at <= now || at > now + LONGEST_WAIT {
                due.push(row);
            } else {
                pause = pause.min((at - now).to_std().unwrap_or_default());
            }
        }
        if let Some(question) = self.question(&due, now) {
            return Ok(Step::Call(question));
        }
        let looks_first = self.can().repeat == Repeat::LookFirst;
        for operation in operations(&due) {
            let wait = lock(self.memory).wait(self.can(), operation);
            if wait > Duration::ZERO {
                pause = pause.min(wait);
                continue;
            }
            let own = || due.iter().copied().filter(move |row| row.operation == operation);
            // Of one whose answer was lost, the vendor is asked before it is sent again where that costs.
            let is_cut = |row: &&VendorBatch| match row.state {
                BatchState::Cut => true,
                BatchState::Sent => !looks_first,
                BatchState::Waiting | BatchState::Running => false,
            };
            if let Some(row) = own().find(is_cut) {
                return self.send(row.clone(), None).await;
            }
            let waiting: Vec<_> = own().filter(|row| row.state == BatchState::Waiting).collect();
            if let Some(step) = self.cut(operation, &waiting, &rows, now).await? {
                return Ok(step);
            }
        }
        if lock(self.memory).shows_old_quotas() && !self.open.has(Purpose::Send) {
            self.learn_quotas(now).await?;
        }
        Ok(Step::Idle(pause))
    }

    /// The rows of the cdn, at which time; `None` where another server leads.
    async fn rows(&self) -> Result<Option<(Vec<VendorBatch>, DateTime<Utc>)>> {
        let begun = Instant::now();
        let Some((mut work, now)) = self.lead().await? else { return Ok(None) };
        let rows = work.vendor_batches().list(self.cdn).await?;
        work.commit_relaxed().await?;
        lock(self.memory).renewed = Some(begun);
        Ok(Some((rows, now)))
    }

    /// Begins a transaction that takes or extends leadership, with the time of the store; `None` where another server leads.
    pub(super) async fn lead(&self) -> Result<Option<(Box<dyn UnitOfWork>, DateTime<Utc>)>> {
        let mut work = self.calls.pilothouse.storage().begin().await?;
        let now = work.now().await?;
        if work.edges().lead(self.cdn, &self.calls.name, now, LEADERSHIP).await? {
            return Ok(Some((work, now)));
        }
        work.rollback().await?;
        Ok(None)
    }

    pub(super) async fn step_down(&self) -> Result<()> {
        let mut work = self.calls.pilothouse.storage().begin().await?;
        work.edges().step_down(self.cdn, &self.calls.name).await?;
        Ok(work.commit().await?)
    }

    /// Makes a call while it keeps leadership; `None` where leadership was lost, and the call given up.
    pub(super) async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Option<Result<T, ProviderError>> {
        let call = pin!(timeout(CALL, call));
        match future::select(call, pin!(self.keep_leadership())).await {
            Either::Left((Ok(answer), _)) => Some(answer),
            Either::Left((Err(_), _)) => {
                Some(Err(ProviderError::Ambiguous(format!("no answer within {} s", CALL.as_secs()))))
            }
            Either::Right(_) => None,
        }
    }

    /// Renews leadership until it is lost. Calls beside each other, and the looks at what is due, do so for all of them.
    async fn keep_leadership(&self) {
        let length = LEADERSHIP.length().to_std().unwrap_or_default();
        let mut until = Instant::now() + length;
        while Instant::now() < until {
            sleep(POLL).await;
            let renewed = lock(self.memory).renewed.filter(|at| at.elapsed() < POLL);
            if let Some(at) = renewed {
                until = at + length;
                continue;
            }
            let begun = Instant::now();
            match self.renew().await {
                Ok(true) => until = begun + length,
                Ok(false) => return,
                // Leadership lasts until its end.
                Err(_) => {}
            }
        }
    }

    /// Extends leadership; false where another server leads.
    async fn renew(&self) -> Result<bool> {
        let begun = Instant::now();
        let Some((work, _)) = self.lead().await? else { return Ok(false) };
        work.commit_relaxed().await?;
        lock(self.memory).renewed = Some(begun);
        Ok(true)
    }

    /// The present by the store's clock, with a source of ids.
    pub(super) async fn moment(&self) -> Result<Moment<'_>> {
        let now = self.calls.pilothouse.store_time().await?;
        Ok(Moment { now, ids: self.calls.pilothouse.ids() })
    }

    /// Writes what became of a batch, with the jobs that wait for it. Nothing where another server leads.
    pub(super) async fn write(&self, row: &VendorBatch, effect: Effect) -> Result<()> {
        for _ in 0..CONFLICTS {
            let Some((mut work, _)) = self.lead().await? else { return Ok(()) };
            let Some(ended) = self.write_jobs(&mut *work, &row.jobs, &effect.cells).await? else {
                work.rollback().await?;
                continue;
            };
            match &effect.next {
                Some(next) => work.vendor_batches().update(next).await?,
                None => work.vendor_batches().remove(&row.id).await?,
            };
            for more in &effect.more {
                work.vendor_batches().insert(more).await?;
            }
            work.commit().await?;
            ended.iter().for_each(count_ended);
            return Ok(());
        }
        Err(Error::conflict("the jobs of a vendor's batch change all the time"))
    }

    /// Writes the cells of jobs; those that ended by it. `None` where a job was changed meanwhile.
    async fn write_jobs(
        &self,
        work: &mut dyn UnitOfWork,
        jobs: &[String],
        cells: &HashMap<String, JobCell>,
    ) -> Result<Option<Vec<Job>>> {
        let mut ended = Vec::new();
        for task_id in jobs {
            let Some(job) = work.jobs().find(task_id).await? else { continue };
            if job.state != JobState::Pending {
                continue;
            }
            let known = work.jobs().progress(&job).await?;
            let mut attempt = Attempt::new(job, &self.can().edges, known);
            attempt.set_running(cells);
            if !attempt.is_changed() {
                continue;
            }
            attempt.settle();
            if !report(&self.calls.pilothouse, work, &attempt.job).await? {
                return Ok(None);
            }
            for progress in attempt.changed() {
                work.jobs().record(attempt.job.id, progress).await?;
            }
            if attempt.job.state != JobState::Pending {
                ended.push(attempt.job);
            }
        }
        Ok(Some(ended))
    }

    /// Lets batches wait until a time, and their jobs say why.
    pub(super) async fn postpone(
        &self,
        rows: &[&VendorBatch],
        until: DateTime<Utc>,
        reason: &str,
    ) -> Result<()> {
        let now = self.moment().await?.now;
        for row in rows {
            let next = VendorBatch { due: until, tries: row.tries + 1, ..(*row).clone() };
            self.write(row, waits(row, next, reason, now)).await?;
        }
        self.tell(reason);
        Ok(())
    }

    /// Makes no call for a while, since the vendor does not accept the credentials.
    pub(super) fn pause(&self, now: DateTime<Utc>, reason: &str) {
        lock(self.memory).paused_until = Some(now + CREDENTIALS_PAUSE);
        tracing::error!(
            cdn = self.cdn,
            reason,
            "a vendor does not accept the credentials; it is not called for 5 minutes"
        );
    }

    /// Logs why batches wait, once until there is another reason.
    pub(super) fn tell(&self, reason: &str) {
        let mut memory = lock(self.memory);
        if memory.told != reason {
            reason.clone_into(&mut memory.told);
            tracing::warn!(cdn = self.cdn, reason, "a vendor's batch waits");
        }
    }
}

/// Operations of what is due, the one that waits longest first.
fn operations(due: &[&VendorBatch]) -> Vec<Operation> {
    let mut operations = Vec::new();
    for row in due {
        if row.state != BatchState::Running && !operations.contains(&row.operation) {
            operations.push(row.operation);
        }
    }
    operations
}
