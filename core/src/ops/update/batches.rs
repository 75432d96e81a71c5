//! Orders for batches: execute, pause, resume, revert, cancel, retry and plan, and the steps that they go on by.

use chrono::{DateTime, Utc};

use super::batch_member::{Member, count, failures, members};
use super::batch_step::{OrderChange, Step};
use super::order_event::count_ended;
use super::updates::save;
use super::{
    Batch, BatchId, BatchLimits, BatchState, FileContent, FileOrder, OnStop, OrderAction, OrderState,
};
use crate::account::{Caller, CallerTransaction, Entry, Group, digest};
use crate::ops::{Machine, TaskFilter, TaskId};
use crate::ports::{Topic, UnitOfWork};
use crate::{Error, Pilothouse, Result};

/// The use cases of batches.
#[derive(Clone, Copy, Debug)]
pub struct Batches<'a>(pub(crate) &'a Pilothouse);

/// Tasks of a batch that an order of an operator is about, with their machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchChanged {
    /// The tasks, by their number.
    pub task_ids: Vec<TaskId>,
    /// Names of their machines, in the same order; empty where the machine was deleted.
    pub machines: Vec<String>,
}

/// Demand of an operator on a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Execute(BatchLimits),
    Pause,
    Resume,
    Cancel,
    Retry,
    Plan,
    Revert { force: bool },
}

impl Demand {
    fn audited(self) -> &'static str {
        match self {
            Self::Execute(_) => "batch.execute",
            Self::Pause => "batch.pause",
            Self::Resume => "batch.resume",
            Self::Cancel => "batch.cancel",
            Self::Retry => "batch.retry",
            Self::Plan => "batch.plan",
            Self::Revert { .. } => "batch.revert",
        }
    }
}

impl Batches<'_> {
    /// Begins to hand out the tasks of a batch, canaries first; needs group 3. Addresses are bound to machines now.
    pub async fn execute(
        &self,
        caller: &Caller,
        batch_id: BatchId,
        limits: BatchLimits,
    ) -> Result<BatchChanged> {
        self.demand(caller, batch_id, Demand::Execute(limits)).await
    }

    /// Hands out no more until it is resumed; needs group 3.
    pub async fn pause(&self, caller: &Caller, batch_id: BatchId) -> Result<BatchChanged> {
        self.demand(caller, batch_id, Demand::Pause).await
    }

    /// Goes on with a batch that was paused or held, and passes over its failures so far; needs group 3.
    pub async fn resume(&self, caller: &Caller, batch_id: BatchId) -> Result<BatchChanged> {
        self.demand(caller, batch_id, Demand::Resume).await
    }

    /// Cancels what no agent has begun, and asks the others to stop before the swap; needs group 3. Answers which tasks.
    pub async fn cancel(&self, caller: &Caller, batch_id: BatchId) -> Result<BatchChanged> {
        self.demand(caller, batch_id, Demand::Cancel).await
    }

    /// Tries again what ended without success; needs group 3. Answers which tasks.
    pub async fn retry(&self, caller: &Caller, batch_id: BatchId) -> Result<BatchChanged> {
        self.demand(caller, batch_id, Demand::Retry).await
    }

    /// Asks the agents what the updates would do; needs group 3. Answers which tasks.
    pub async fn plan(&self, caller: &Caller, batch_id: BatchId) -> Result<BatchChanged> {
        self.demand(caller, batch_id, Demand::Plan).await
    }

    /// Has the old files put back at once wherever they were replaced, over files that were changed since where `force`
    /// says so; needs group 3. Answers which tasks; those that are under way follow when they end.
    pub async fn revert(&self, caller: &Caller, batch_id: BatchId, force: bool) -> Result<BatchChanged> {
        self.demand(caller, batch_id, Demand::Revert { force }).await
    }

    #[tracing::instrument(level = "debug", skip_all)]
    async fn demand(&self, caller: &Caller, batch_id: BatchId, demand: Demand) -> Result<BatchChanged> {
        self.0.require(caller, Group::ExecuteTasks)?;
        if let Demand::Execute(limits) = &demand {
            limits.check()?;
        }
        let mut work = self.0.write_as(caller).await?;
        let old = work.batches().find(batch_id).await?.ok_or_else(|| Error::not_found("the batch"))?;
        let mut all = members(&mut *work, batch_id).await?;
        if matches!(demand, Demand::Execute(_) | Demand::Plan) {
            work.bind(&mut all).await?;
        }
        let content = content(&mut *work, &all).await?;
        let now = work.now().await?;
        let Step { batch, changes } = old.demanded(demand, &all, &content, now)?;
        if changes.is_empty() && matches!(demand, Demand::Cancel | Demand::Retry | Demand::Plan) {
            return Err(Error::conflict("no task of the batch is in a state that allows it"));
        }
        let answer = match demand {
            Demand::Execute(_) | Demand::Pause | Demand::Resume => BatchChanged::of(all.iter()),
            _ => {
                let is_changed = |member: &&Member| {
                    changes.iter().any(|change| change.old.task_id == member.order.task_id)
                };
                BatchChanged::of(all.iter().filter(is_changed))
            }
        };
        let entry = Entry::new(demand.audited(), batch_id.to_string());
        work.record(entry.old(old.digest()).new_digest(batch.digest())).await?;
        work.record_all(changes.iter().map(OrderChange::entry).collect()).await?;
        let changed = self.0.apply(&mut *work, &old, &batch, changes).await?;
        work.commit().await?;
        self.0.announce_orders(&changed).await;
        // The worker would do it within a second; who asked sees it begin.
        match self.step(batch_id).await {
            Ok(_) | Err(Error::Conflict(_)) => Ok(answer),
            Err(error) => Err(error),
        }
    }

    /// Takes the next step of a batch; whether there was anything to do. A conflict where another server was faster.
    pub async fn step(&self, batch_id: BatchId) -> Result<bool> {
        let mut work = self.0.storage().begin().await?;
        let Some(old) = work.batches().find(batch_id).await? else { return Ok(false) };
        let all = members(&mut *work, batch_id).await?;
        if all.is_empty() {
            return Ok(false);
        }
        let content = content(&mut *work, &all).await?;
        let now = work.now().await?;
        let Some(Step { batch, changes }) = old.step(&all, &content, now)? else {
            work.rollback().await?;
            return Ok(false);
        };
        let entries = changes.iter().map(OrderChange::entry).collect();
        self.0.audit_process_all(&mut *work, "batch worker", entries).await?;
        let changed = self.0.apply(&mut *work, &old, &batch, changes).await?;
        if batch.state != old.state {
            let entry = Entry::new(batch.state.audited(), batch_id.to_string());
            let entry = entry.old(old.digest()).new_digest(batch.digest());
            self.0.audit_process(&mut *work, "batch worker", entry).await?;
            self.0.queue_batch_event(&mut *work, &batch, &all).await?;
        }
        work.commit().await?;
        if batch.state != old.state {
            let (from, to) = (old.state.as_str(), batch.state.as_str());
            tracing::info!(batch = %batch_id, from, to, failures = failures(&all), "batch state changed");
            metrics::counter!("pilothouse_batch_changes_total", "state" => to).increment(1);
        }
        self.0.announce_orders(&changed).await;
        Ok(true)
    }
}

impl Batch {
    fn demanded(
        &self,
        demand: Demand,
        all: &[Member],
        content: &FileContent,
        now: DateTime<Utc>,
    ) -> Result<Step> {
        let unchanged = |batch: Self| Step { batch, changes: Vec::new() };
        Ok(match demand {
            Demand::Execute(limits) => unchanged(self.execute(limits, now)?),
            Demand::Pause => unchanged(self.pause()?),
            Demand::Resume => unchanged(self.resume(failures(all), now)?),
            Demand::Cancel => Step { batch: self.cancel()?, changes: Self::cancel_all(all) },
            Demand::Plan => Step { batch: self.clone(), changes: Self::plan_all(all, content, now) },
            Demand::Retry => {
                let batch = self.retry(now)?;
                let changes = match batch.state {
                    BatchState::Reverting => batch.revert_again(all, content, now)?,
                    _ => Self::retry_all(all),
                };
                Step { batch, changes }
            }
            Demand::Revert { force } => {
                let batch = self.revert(force)?;
                let again = batch.revert_again(all, content, now)?;
                let stepped = batch.step(all, content, now)?;
                let mut changes = stepped.map(|step| step.changes).unwrap_or_default();
                changes.extend(again);
                Step { batch, changes }
            }
        })
    }

    fn digest(&self) -> String {
        let BatchLimits { canary, batch_size, max_failures, on_stop } = self.limits;
        let numbers = [canary, batch_size, max_failures, self.forgiven].map(|number| number.to_string());
        let [canary, batch_size, max_failures, forgiven] = &numbers;
        let on_stop = if on_stop == OnStop::Revert { "revert" } else { "hold" };
        digest(&[self.state.as_str(), canary, batch_size, max_failures, on_stop, forgiven])
    }
}

impl BatchState {
    /// Name in the audit trail of coming into the state by itself.
    fn audited(self) -> &'static str {
        match self {
            Self::Held => "batch.held",
            Self::Succeeded => "batch.succeeded",
            Self::Failed => "batch.failed",
            Self::Reverting => "batch.reverting",
            Self::Reverted => "batch.reverted",
            Self::RevertFailed => "batch.revert_failed",
            Self::Pending | Self::Running | Self::Paused | Self::Cancelled => "batch.step",
        }
    }
}

impl BatchChanged {
    fn of<'m>(changed: impl Iterator<Item = &'m Member>) -> Self {
        let name = |member: &Member| member.machine.as_ref().map(|machine| machine.machine_name.clone());
        let row = |member: &'m Member| (member.order.task_id, name(member).unwrap_or_default());
        let (task_ids, machines) = changed.map(row).unzip();
        Self { task_ids, machines }
    }
}

/// Content of the tasks of a batch, which all have the same.
pub(super) async fn content<W: crate::ports::Repositories + ?Sized>(
    work: &mut W,
    all: &[Member],
) -> Result<FileContent> {
    let missing = || Error::conflict("the tasks of the batch were deleted");
    let first = all.first().ok_or_else(missing)?.order.task_id;
    work.orders().find_content(first).await?.ok_or_else(missing)
}

impl OrderChange {
    /// Row of the audit trail.
    fn entry(&self) -> Entry {
        let Self { old, new } = self;
        let action = match new.state {
            _ if new.action == OrderAction::Plan => "update.plan",
            OrderState::Running if new.may_have_swapped() => "update.revert",
            OrderState::Reverting => "update.revert",
            OrderState::Running | OrderState::Cancelled => "update.cancel",
            OrderState::Expired => "update.lapse",
            OrderState::Pending if old.state == OrderState::Queued => "update.recall",
            OrderState::Pending => "update.retry",
            _ => "update.execute",
        };
        Entry::new(action, new.task_id.to_string()).old(old.digest()).new_digest(new.digest())
    }
}

impl CallerTransaction<'_> {
    /// Binds the tasks for addresses to the machines that have them, each to one and none to the same.
    async fn bind(&mut self, all: &mut [Member]) -> Result<()> {
        let mut refused = Vec::new();
        for index in 0..all.len() {
            let task_id = all[index].order.task_id;
            if all[index].order.machine.is_some() {
                if all[index].machine.is_none() {
                    refused.push(format!("the machine of task {task_id} was deleted"));
                }
                continue;
            }
            let task = self.tasks().find(task_id).await?.ok_or_else(|| Error::not_found("the task"))?;
            match super::updates::machine_of(&mut **self, &task).await {
                Ok(machine) if all.iter().any(|member| member.is_of(&machine)) => {
                    refused.push(format!("{} has another of the addresses, too", machine.machine_name));
                }
                Ok(machine) => self.bind_to(&mut all[index], machine).await?,
                Err(Error::Conflict(why)) => refused.push(why.to_string()),
                Err(error) => return Err(error),
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let shown = refused.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("; ");
        let others = count(refused.len()) - 10;
        Err(Error::conflict(if others > 0 { format!("{shown}; and {others} more") } else { shown }))
    }

    async fn bind_to(&mut self, member: &mut Member, machine: Machine) -> Result<()> {
        let bound = FileOrder { machine: Some(machine.id), ..member.order.clone() };
        let now = self.now().await?;
        member.order = save(&mut **self, &member.order, bound, now).await?;
        member.agent = self.agents().find(machine.id).await?;
        member.machine = Some(machine);
        Ok(())
    }

    /// Removes a batch that has no task any more.
    pub(in crate::ops) async fn forget_empty_batch(&mut self, batch: BatchId) -> Result<()> {
        let filter = TaskFilter { batch: Some(batch), ..TaskFilter::default() };
        if self.tasks().count(&filter, 0, i64::MAX).await? == 0 {
            self.batches().delete(batch).await?;
        }
        Ok(())
    }
}

impl Member {
    fn is_of(&self, machine: &Machine) -> bool {
        self.order.machine == Some(machine.id)
    }
}

impl Pilothouse {
    /// Writes a step. The batch is written first, so that of two servers one waits here and then finds it changed.
    async fn apply(
        &self,
        work: &mut dyn UnitOfWork,
        old: &Batch,
        new: &Batch,
        mut changes: Vec<OrderChange>,
    ) -> Result<Vec<FileOrder>> {
        let now = work.now().await?;
        if !work.batches().update(&Batch { version: old.version, ..new.clone() }).await? {
            return Err(Error::conflict("the batch was changed meanwhile"));
        }
        // Everybody who changes several orders does so in this order, so that nobody waits for one another.
        changes.sort_by_key(|change| change.old.task_id);
        let mut changed = Vec::with_capacity(changes.len());
        for OrderChange { old, new } in changes {
            let new = save(work, &old, new, now).await?;
            self.queue_order_event(work, &new).await?;
            changed.push(new);
        }
        Ok(changed)
    }

    /// Counts orders that ended by the change that was just committed, and wakes the polls of the machines of the others.
    async fn announce_orders(&self, orders: &[FileOrder]) {
        orders.iter().for_each(count_ended);
        let is_due = |order: &&FileOrder| order.due.is_some();
        let mut topics: Vec<_> =
            orders.iter().filter(is_due).filter_map(|order| order.machine.map(Topic::Machine)).collect();
        topics.dedup();
        if !topics.is_empty() {
            self.storage().announce(&topics).await;
        }
    }
}
