//! Order events: what webhooks are told of orders that ended and of batches, and what is counted.

use serde_json::json;

use super::batch_member::{Member, failures};
use super::{Batch, BatchState, FileOrder, OrderAction, OrderState};
use crate::ports::UnitOfWork;
use crate::webhook::EventKind;
use crate::{Pilothouse, Result};

/// Counts an order that ended here, by the state that it ended in; others are passed over.
pub(super) fn count_ended(order: &FileOrder) {
    let is_plan = order.action == OrderAction::Plan;
    if !is_plan && !order.state.is_open() && order.state != OrderState::Pending {
        metrics::counter!("pilothouse_updates_ended_total", "state" => order.state.as_str()).increment(1);
    }
}

/// Event of an order that came into a state; `None` of one that goes on.
fn event_of(state: OrderState) -> Option<EventKind> {
    use OrderState::{
        Cancelled, Conflict, Expired, Failed, Pending, Queued, RevertFailed, Reverted, Reverting, Running,
        Succeeded, Unknown,
    };
    match state {
        Failed | Conflict | Expired | RevertFailed | Unknown => Some(EventKind::UpdateFailed),
        Succeeded => Some(EventKind::UpdateSucceeded),
        Reverted => Some(EventKind::UpdateReverted),
        Cancelled => Some(EventKind::UpdateCancelled),
        Pending | Queued | Running | Reverting => None,
    }
}

impl Pilothouse {
    /// Queues the event of an order that has just ended, or whose machine is silent since the file may have been replaced.
    pub(super) async fn queue_order_event(&self, work: &mut dyn UnitOfWork, order: &FileOrder) -> Result<()> {
        let kind = event_of(order.state).filter(|kind| self.has_subscribers(*kind));
        let Some(kind) = kind.filter(|_| order.action != OrderAction::Plan) else { return Ok(()) };
        let machine = match order.machine {
            Some(id) => work.machines().by_id(id).await?.map(|machine| machine.machine_name),
            None => None,
        };
        let task = work.tasks().find(order.task_id).await?;
        let data = json!({
            "task_id": order.task_id.to_string(), "machine": machine.unwrap_or_default(),
            "path": task.as_ref().map(|task| &task.content), "state": order.state.as_str(),
            "batch": task.and_then(|task| task.batch).map(|batch| batch.to_string()),
            "attempt": order.attempt, "message": order.message,
        });
        self.queue_event(work, kind, data).await
    }

    /// Queues the event of a batch that was held, or has ended.
    pub(super) async fn queue_batch_event(
        &self,
        work: &mut dyn UnitOfWork,
        batch: &Batch,
        all: &[Member],
    ) -> Result<()> {
        use BatchState::{Failed, Held, RevertFailed, Reverted, Succeeded};
        let kind = match batch.state {
            Held => EventKind::BatchHeld,
            Succeeded | Failed | Reverted | RevertFailed => EventKind::BatchEnded,
            _ => return Ok(()),
        };
        let (state, failures) = (batch.state.as_str(), failures(all));
        let data = json!({
            "batch": batch.batch_id.to_string(), "state": state, "machines": all.len(), "failures": failures,
        });
        self.queue_event(work, kind, data).await
    }
}
