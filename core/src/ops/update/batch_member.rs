//! Members of a batch: the order of each task with its machine and agent.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::batch_step::OrderChange;
use super::{Agent, BatchId, FileOrder, OrderState};
use crate::Result;
use crate::ops::Machine;
use crate::ports::Repositories;

/// Order of a batch, with its machine and its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) order: FileOrder,
    /// `None` before an address is bound to a machine, and where the machine was deleted.
    pub(super) machine: Option<Machine>,
    pub(super) agent: Option<Agent>,
}

/// The orders of a batch, by the number of their task.
pub(super) async fn members<R: Repositories + ?Sized>(
    repositories: &mut R,
    batch: BatchId,
) -> Result<Vec<Member>> {
    let orders = repositories.orders().of_batch(batch).await?;
    let machines = repositories.machines().of_batch(batch).await?;
    let mut machines: BTreeMap<_, _> = machines.into_iter().map(|machine| (machine.id, machine)).collect();
    let agents = repositories.agents().of_batch(batch).await?;
    let mut agents: BTreeMap<_, _> = agents.into_iter().map(|agent| (agent.machine, agent)).collect();
    let member = |order: FileOrder| {
        let machine = order.machine.and_then(|id| machines.remove(&id));
        let agent = order.machine.and_then(|id| agents.remove(&id));
        Member { order, machine, agent }
    };
    Ok(orders.into_iter().map(member).collect())
}

/// Tasks that failed, or whose machine is silent since the file may have been replaced.
pub(super) fn failures(members: &[Member]) -> i64 {
    use OrderState::{Conflict, Expired, Failed, RevertFailed, Unknown};
    let has_failed =
        |member: &&Member| matches!(member.order.state, Failed | Conflict | Expired | RevertFailed | Unknown);
    count(members.iter().filter(has_failed).count())
}

pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Member {
    /// Whether its agent polls.
    pub(super) fn is_online(&self, now: DateTime<Utc>) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.is_online(now))
    }

    pub(super) fn becomes(&self, new: FileOrder) -> OrderChange {
        OrderChange { old: self.order.clone(), new }
    }

    pub(super) fn is_in(&self, state: OrderState) -> bool {
        self.order.state == state
    }

    /// Whether it takes one of the places: an agent has it, or is about to take it.
    pub(super) fn is_under_way(&self, now: DateTime<Utc>) -> bool {
        match self.order.state {
            OrderState::Running | OrderState::Reverting => true,
            OrderState::Queued => self.is_online(now) || self.order.tries > 0,
            _ => false,
        }
    }

    /// Whether it has ended, as far as the update is concerned.
    pub(super) fn is_settled(&self) -> bool {
        use OrderState::{Pending, Queued, Reverting, Running, Unknown};
        !matches!(self.order.state, Pending | Queued | Running | Reverting | Unknown)
    }
}
