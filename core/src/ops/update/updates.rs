//! Orders for tasks with a content: execute, revert, cancel, retry, plan, and how far they are.

use chrono::{DateTime, Utc};

use super::news::NewsWait;
use super::order_event::count_ended;
use super::{Agent, FileContent, FileOrder, OrderAction, OrderState};
use crate::account::{Caller, CallerTransaction, Entry, Group, digest};
use crate::ops::{Machine, MachineNumber, Task, TaskId};
use crate::ports::{Repositories, Topic, UnitOfWork};
use crate::{Error, Pilothouse, Result};

/// The use cases of orders. Each names the machine that the order is bound to; empty for a task that was never ordered.
#[derive(Clone, Copy, Debug)]
pub struct Updates<'a>(pub(crate) &'a Pilothouse);

/// Order of a task with its content, its machine, and why nobody has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// Order.
    pub order: FileOrder,
    /// Content.
    pub content: FileContent,
    /// Name of the machine; empty before the first order, and where the machine was deleted.
    pub machine: String,
    /// Reason why a queued order is not under way; else empty.
    pub reason: String,
}

/// Demand of a caller on an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Execute,
    Retry,
    Plan,
    Cancel,
    Revert { force: bool },
}

impl Updates<'_> {
    /// Orders the update of a task that was not ordered yet; needs group 3.
    pub async fn execute(&self, caller: &Caller, task_id: TaskId) -> Result<String> {
        self.demand(caller, task_id, Demand::Execute).await
    }

    /// Orders again what ended without success; needs group 3.
    pub async fn retry(&self, caller: &Caller, task_id: TaskId) -> Result<String> {
        self.demand(caller, task_id, Demand::Retry).await
    }

    /// Asks the agent what the update would do; needs group 3.
    pub async fn plan(&self, caller: &Caller, task_id: TaskId) -> Result<String> {
        self.demand(caller, task_id, Demand::Plan).await
    }

    /// Cancels before the swap; needs group 3.
    pub async fn cancel(&self, caller: &Caller, task_id: TaskId) -> Result<String> {
        self.demand(caller, task_id, Demand::Cancel).await
    }

    /// Orders that the old file comes back, over a file that was changed since where `force` says so; needs group 3.
    pub async fn revert(&self, caller: &Caller, task_id: TaskId, force: bool) -> Result<String> {
        self.demand(caller, task_id, Demand::Revert { force }).await
    }

    #[tracing::instrument(level = "debug", skip_all)]
    async fn demand(&self, caller: &Caller, task_id: TaskId, demand: Demand) -> Result<String> {
        self.0.require(caller, Group::ExecuteTasks)?;
        let mut work = self.0.write_as(caller).await?;
        let order = work.demand_order(task_id, demand).await?;
        let machine = machine_name(&mut *work, &order).await?;
        work.commit().await?;
        self.0.announce_order(&order).await;
        Ok(machine)
    }

    /// The order of a task; needs group 1. With `wait`, 0 to 60 s, it is answered when its version is greater than
    /// `since`, and at the end of the wait in any case.
    pub async fn find(
        &self,
        caller: &Caller,
        task_id: TaskId,
        since: Option<i64>,
        wait: i64,
    ) -> Result<OrderView> {
        self.0.require(caller, Group::ReadTasks)?;
        let wait = NewsWait::begin(self.0.clock(), wait)?;
        loop {
            let view = self.view(task_id).await?;
            if since.is_none_or(|since| view.order.version > since) || !wait.goes_on().await {
                return Ok(view);
            }
        }
    }

    async fn view(&self, task_id: TaskId) -> Result<OrderView> {
        let mut snapshot = self.0.storage().read().await?;
        if snapshot.tasks().find(task_id).await?.is_none() {
            return Err(Error::not_found("the task"));
        }
        let Stored { order, .. } = stored(snapshot.as_mut(), task_id).await?;
        let view = view_of(snapshot.as_mut(), order, self.0.clock().now()).await?;
        view.ok_or_else(|| Error::not_found("the task"))
    }
}

/// The view of an order; `None` where its task was deleted meanwhile.
pub(super) async fn view_of(
    repositories: &mut dyn Repositories,
    order: FileOrder,
    now: DateTime<Utc>,
) -> Result<Option<OrderView>> {
    let Some(content) = repositories.orders().find_content(order.task_id).await? else { return Ok(None) };
    let machine = machine_name(repositories, &order).await?;
    let reason = waiting_reason(repositories, &order, now).await?;
    Ok(Some(OrderView { order, content, machine, reason }))
}

/// Order with its content.
struct Stored {
    order: FileOrder,
    content: FileContent,
}

async fn stored<R: Repositories + ?Sized>(repositories: &mut R, task_id: TaskId) -> Result<Stored> {
    let order = repositories.orders().find(task_id).await?;
    let content = repositories.orders().find_content(task_id).await?;
    match order.zip(content) {
        Some((order, content)) => Ok(Stored { order, content }),
        None => Err(Error::conflict("the task has no content: it was added without sha256")),
    }
}

/// Name of the machine of an order; empty before the first order, and where the machine was deleted.
async fn machine_name<R: Repositories + ?Sized>(repositories: &mut R, order: &FileOrder) -> Result<String> {
    let Some(id) = order.machine else { return Ok(String::new()) };
    let found = repositories.machines().by_id(id).await?;
    Ok(found.map(|machine| machine.machine_name).unwrap_or_default())
}

/// Reason why a due order is not under way.
async fn waiting_reason(
    repositories: &mut dyn Repositories,
    order: &FileOrder,
    now: DateTime<Utc>,
) -> Result<String> {
    let (Some(_), Some(machine)) = (order.due, order.machine) else { return Ok(String::new()) };
    let agent = repositories.agents().find(machine).await?;
    let held = repositories.orders().held(machine).await?;
    Ok(reason(order, agent.as_ref(), held.first(), now))
}

/// Reason why a due order is not under way, by the agent of its machine and what that holds.
pub(super) fn reason(
    order: &FileOrder,
    agent: Option<&Agent>,
    held: Option<&FileOrder>,
    now: DateTime<Utc>,
) -> String {
    let Some(due) = order.due else { return String::new() };
    if let Some(offline) = offline_reason(agent, now) {
        return offline;
    }
    match held {
        Some(other) if other.task_id != order.task_id => format!("behind task {}", other.task_id),
        _ if due > now => format!("not before {}", due.timestamp()),
        _ => String::new(),
    }
}

/// Reason why an agent takes no orders; `None` of one that polls.
pub(super) fn offline_reason(agent: Option<&Agent>, now: DateTime<Utc>) -> Option<String> {
    let Some(agent) = agent.filter(|agent| agent.is_enrolled()) else {
        return Some("the machine has no agent".to_owned());
    };
    match agent.last_seen {
        _ if agent.is_online(now) => None,
        None => Some("the machine's agent was never seen".to_owned()),
        Some(seen) => Some(format!("the machine is offline since {}", seen.timestamp())),
    }
}

/// The one machine that has the address of a task.
pub(super) async fn machine_of(work: &mut dyn UnitOfWork, task: &Task) -> Result<Machine> {
    let mut found = work.machines().with_address(task.ip).await?;
    match (found.pop(), found.len()) {
        (Some(machine), 0) => Ok(machine),
        (None, _) => Err(Error::conflict(format!("no machine has the address {}", task.ip))),
        (Some(machine), _) => {
            found.push(machine);
            let names: Vec<_> = found.iter().map(|machine| &*machine.machine_name).collect();
            Err(Error::conflict(format!("{} have the address {}", names.join(" and "), task.ip)))
        }
    }
}

impl CallerTransaction<'_> {
    /// Whether a task was ordered, so that its status is the order's.
    pub(in crate::ops) async fn ordered(&mut self, task_id: TaskId) -> Result<Option<FileOrder>> {
        let order = self.orders().find(task_id).await?;
        Ok(order.filter(|order| order.state != OrderState::Pending))
    }

    /// Cancels the order of a task.
    pub(in crate::ops) async fn cancel_order(&mut self, task_id: TaskId) -> Result<FileOrder> {
        self.demand_order(task_id, Demand::Cancel).await
    }

    /// Orders the revert of a task.
    pub(in crate::ops) async fn revert_order(&mut self, task_id: TaskId) -> Result<FileOrder> {
        self.demand_order(task_id, Demand::Revert { force: false }).await
    }

    async fn demand_order(&mut self, task_id: TaskId, demand: Demand) -> Result<FileOrder> {
        let now = self.now().await?;
        let task = self.tasks().find(task_id).await?.ok_or_else(|| Error::not_found("the task"))?;
        let Stored { order: old, content } = stored(&mut **self, task_id).await?;
        let new = match demand {
            Demand::Cancel => old.cancel()?,
            Demand::Revert { force } => old.revert(&content, force, now)?,
            Demand::Execute => old.execute(self.bound(&task, &old).await?, &content, now)?,
            Demand::Retry => old.retry(self.bound(&task, &old).await?, &content, now)?,
            Demand::Plan => old.plan(self.bound(&task, &old).await?, &content, now)?,
        };
        let new = save(&mut **self, &old, new, now).await?;
        let action = match demand {
            Demand::Execute => "update.execute",
            Demand::Retry => "update.retry",
            Demand::Plan => "update.plan",
            Demand::Cancel => "update.cancel",
            Demand::Revert { .. } => "update.revert",
        };
        let entry = Entry::new(action, task_id.to_string());
        self.record(entry.old(old.digest()).new_digest(new.digest())).await?;
        let (pilothouse, work) = self.parts();
        pilothouse.queue_order_event(work, &new).await?;
        Ok(new)
    }

    /// The machine of an order: the one it is bound to since it was first ordered, else that of the task's address.
    async fn bound(&mut self, task: &Task, order: &FileOrder) -> Result<MachineNumber> {
        match order.machine {
            Some(machine) if self.machines().by_id(machine).await?.is_some() => Ok(machine),
            Some(_) => Err(Error::conflict("the machine that the task is bound to was deleted")),
            None => Ok(machine_of(&mut **self, task).await?.id),
        }
    }
}

/// Writes a changed order, and the status of its task with it. A conflict where somebody else was faster.
pub(super) async fn save<W: UnitOfWork + ?Sized>(
    work: &mut W,
    old: &FileOrder,
    new: FileOrder,
    now: DateTime<Utc>,
) -> Result<FileOrder> {
    let changed = || Error::conflict("the order was changed meanwhile");
    if !work.orders().update(old, &new).await? {
        return Err(changed());
    }
    let status = work.tasks().find_status(new.task_id).await?.ok_or_else(changed)?;
    let next = new.status(&status, now);
    // A plan is asked of a task whose status is not the order's.
    let is_shown = new.action != OrderAction::Plan && next != status;
    if is_shown && !work.tasks().update_status(&next).await? {
        return Err(changed());
    }
    Ok(FileOrder { version: old.version + 1, ..new })
}

impl FileOrder {
    pub(super) fn digest(&self) -> String {
        let Self { state, action, attempt, is_forced, .. } = self;
        digest(&[state.as_str(), action.as_str(), &attempt.to_string(), &is_forced.to_string()])
    }
}

impl Pilothouse {
    /// Counts an order that ended by the change that was just committed, and wakes the polls of the machine of another one.
    pub(in crate::ops) async fn announce_order(&self, order: &FileOrder) {
        count_ended(order);
        if let Some(machine) = order.machine.filter(|_| order.due.is_some()) {
            self.storage().announce(&[Topic::Machine(machine)]).await;
        }
    }
}
