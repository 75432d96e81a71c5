//! Views of batches: how far each is, with a row for every machine; and what is in a state.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::batch_member::{Member, failures, members};
use super::batches::content;
use super::news::NewsWait;
use super::updates::{offline_reason, reason};
use super::{Batch, BatchId, BatchNumber, BatchState, Batches, OrderState, OrderView};
use crate::account::{Caller, Group};
use crate::ports::Repositories;
use crate::{Error, Result};

/// A batch and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchView {
    /// Batch.
    pub batch: Batch,
    /// Reason why it does not go on by itself; else empty.
    pub reason: String,
    /// Tasks in each state; those in which none is are left out.
    pub counts: BTreeMap<OrderState, i64>,
    /// Failures that count towards its stop, those that were passed over included.
    pub failures: i64,
    /// Changes with every change of the batch or one of its orders.
    pub since: i64,
    /// Its orders, by the number of their task, without logs.
    pub rows: Vec<OrderView>,
}

/// Orders and batches that are in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateView {
    /// Orders without their logs, newest task first.
    pub orders: Vec<OrderView>,
    /// Batches, newest first.
    pub batches: Vec<Batch>,
}

impl Batches<'_> {
    /// A batch with its orders; needs group 1. With `wait`, 0 to 60 s, it is answered once its `since` is another than the one
    /// given, and at the end of the wait in any case.
    pub async fn find(
        &self,
        caller: &Caller,
        batch_id: BatchId,
        since: Option<i64>,
        wait: i64,
    ) -> Result<BatchView> {
        self.0.require(caller, Group::ReadTasks)?;
        let wait = NewsWait::begin(self.0.clock(), wait)?;
        loop {
            let view = self.view(batch_id).await?;
            if since != Some(view.since) || !wait.goes_on().await {
                return Ok(view);
            }
        }
    }

    async fn view(&self, batch_id: BatchId) -> Result<BatchView> {
        let now = self.0.clock().now();
        let mut snapshot = self.0.storage().read().await?;
        let batch = snapshot.batches().find(batch_id).await?;
        let batch = batch.ok_or_else(|| Error::not_found("the batch"))?;
        let all = members(snapshot.as_mut(), batch_id).await?;
        let content = content(snapshot.as_mut(), &all).await?;
        let mut counts = BTreeMap::new();
        for member in &all {
            *counts.entry(member.order.state).or_insert(0) += 1;
        }
        let since = batch.version + all.iter().map(|member| member.order.version).sum::<i64>();
        let reason = batch.reason(&all, now);
        let failures = failures(&all);
        let mut rows = Vec::with_capacity(all.len());
        for member in all {
            let reason = row_reason(snapshot.as_mut(), &batch, &member, now).await?;
            let content = super::FileContent { task_id: member.order.task_id, ..content.clone() };
            let machine = member.machine.map(|machine| machine.machine_name).unwrap_or_default();
            rows.push(OrderView { order: member.order, content, machine, reason });
        }
        Ok(BatchView { batch, reason, counts, failures, since, rows })
    }

    /// The newest `count` orders and batches that are in a state of that name, 1 to 1000 of each; needs group 1.
    pub async fn in_state(&self, caller: &Caller, state: &str, count: i64) -> Result<StateView> {
        self.0.require(caller, Group::ReadTasks)?;
        if !(1..=1000).contains(&count) {
            return Err(Error::invalid("count", "must be from 1 to 1000"));
        }
        let (order_state, batch_state) = (OrderState::from_name(state), BatchState::from_name(state));
        if order_state.is_none() && batch_state.is_none() {
            return Err(Error::invalid("state", "is not that of a task or a batch"));
        }
        let mut snapshot = self.0.storage().read().await?;
        let mut orders = Vec::new();
        if let Some(state) = order_state {
            for order in snapshot.orders().in_state(state, count).await? {
                orders.extend(super::updates::view_of(snapshot.as_mut(), order, self.0.clock().now()).await?);
            }
        }
        let batches = match batch_state {
            Some(state) => snapshot.batches().in_state(state, BatchNumber(i64::MAX), count).await?,
            None => Vec::new(),
        };
        Ok(StateView { orders, batches })
    }
}

/// Reason why a task of a batch is not under way.
async fn row_reason(
    repositories: &mut dyn Repositories,
    batch: &Batch,
    member: &Member,
    now: DateTime<Utc>,
) -> Result<String> {
    let Member { order, agent, .. } = member;
    if order.state == OrderState::Pending && batch.state != BatchState::Pending {
        let waits =
            if batch.state == BatchState::Running { "waits for its turn" } else { "the batch has stopped" };
        return Ok(offline_reason(agent.as_ref(), now).unwrap_or_else(|| waits.to_owned()));
    }
    let (Some(_), Some(machine)) = (order.due, order.machine) else { return Ok(String::new()) };
    let held = repositories.orders().held(machine).await?;
    Ok(reason(order, agent.as_ref(), held.first(), now))
}

impl Batch {
    /// Reason why it does not go on by itself.
    fn reason(&self, all: &[Member], now: DateTime<Utc>) -> String {
        let is_waiting = |member: &&Member| member.order.state == OrderState::Pending;
        match self.state {
            BatchState::Held => {
                format!("{} of its machines failed; resume, retry or revert it", failures(all))
            }
            BatchState::Paused => "an operator has paused it".to_owned(),
            BatchState::Running => {
                let is_nobody_at_it = all.iter().all(|member| !member.is_under_way(now));
                let is_offline = all.iter().filter(is_waiting).all(|member| !member.is_online(now));
                let what = if self.awaits_canaries(all) { "canaries" } else { "other machines" };
                let is_stuck = is_nobody_at_it && is_offline && all.iter().any(|member| is_waiting(&member));
                if is_stuck { format!("none of the {what} is online") } else { String::new() }
            }
            _ => String::new(),
        }
    }
}
