//! File order: the aggregate of what was ordered for a task, its state machine, and its leases by the store's clock.

use chrono::{DateTime, TimeDelta, Utc};

use super::{FileContent, OrderAction, OrderState, Phase, Sha256Digest};
use crate::ops::{MachineNumber, TaskId, TaskStatus};
use crate::{Error, Lease, Result};

/// Lease of an order, by the store's clock: 60 s from the claim or the last report.
pub const UPDATE_LEASE: Lease = Lease::of(TimeDelta::seconds(60));
/// The most claims of one order that end without an outcome before the swap.
const MOST_TRIES: i64 = 3;
/// Pause after the first lost lease; each is twice the one before.
const PAUSE: TimeDelta = TimeDelta::seconds(5);

/// The longest pause before an order is given again.
const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(5);

/// Order for a task's file, with the progress of its attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOrder {
    /// Task.
    pub task_id: TaskId,
    /// Machine that the order is bound to; `None` before the first order.
    pub machine: Option<MachineNumber>,
    /// State. A plan leaves it as it is.
    pub state: OrderState,
    /// Action asked for last.
    pub action: OrderAction,
    /// Whether a revert may overwrite a file that was changed since.
    pub is_forced: bool,
    /// Phase of the attempt.
    pub phase: Option<Phase>,
    /// Progress of the attempt: 0 to 99, and 100 with the outcome.
    pub percent: i64,
    /// Number of the last claim, from 1; 0 before.
    pub attempt: i64,
    /// Claims since it was ordered.
    pub tries: i64,
    /// Time from which an agent may take it; `None` where nobody may.
    pub due: Option<DateTime<Utc>>,
    /// End of the lease; `None` where nobody has it.
    pub lease_until: Option<DateTime<Utc>>,
    /// Time after which an agent may no longer begin.
    pub deadline: Option<DateTime<Utc>>,
    /// Whether the agent is to stop before the swap, or past it to put the old file back.
    pub is_cancelling: bool,
    /// Instance of the agent that has it, or had it last; empty before.
    pub instance: String,
    /// Number of the last report of the attempt.
    pub seq: i64,
    /// Hash of the file that the update found.
    pub old_sha256: Option<Sha256Digest>,
    /// Hash of the file as the agent saw it last.
    pub observed_sha256: Option<Sha256Digest>,
    /// Cause of a failure, or a warning beside a success: at most 4096 bytes.
    pub message: String,
    /// End of the output of commands: at most 65536 bytes.
    pub log: String,
    /// Outcome of the last plan, as the agent's JSON; empty before.
    pub plan: String,
    /// Grows by one with every change.
    pub version: i64,
}

impl FileOrder {
    /// The order of a task that nobody has ordered yet.
    pub fn pending(task_id: TaskId) -> Self {
        Self {
            task_id,
            machine: None,
            state: OrderState::Pending,
            action: OrderAction::Update,
            is_forced: false,
            phase: None,
            percent: 0,
            attempt: 0,
            tries: 0,
            due: None,
            lease_until: None,
            deadline: None,
            is_cancelling: false,
            instance: String::new(),
            seq: 0,
            old_sha256: None,
            observed_sha256: None,
            message: String::new(),
            log: String::new(),
            plan: String::new(),
            version: 1,
        }
    }

    /// Whether the file may have been replaced by this attempt.
    pub fn may_have_swapped(&self) -> bool {
        self.phase >= Some(Phase::Swap)
    }

    /// Whether an agent has it, or may have replaced the file without having said so.
    pub fn is_held(&self) -> bool {
        self.lease_until.is_some() || self.state == OrderState::Unknown
    }

    /// Orders the update of a task that was not ordered yet.
    pub fn execute(&self, machine: MachineNumber, content: &FileContent, now: DateTime<Utc>) -> Result<Self> {
        match self.state {
            OrderState::Pending => Ok(self.ordered(machine, content, OrderAction::Update, now)),
            _ => self.refused("execute", "pending"),
        }
    }

    /// Orders again what ended without success.
    pub fn retry(&self, machine: MachineNumber, content: &FileContent, now: DateTime<Utc>) -> Result<Self> {
        use OrderState::{Cancelled, Conflict, Expired, Failed, RevertFailed};
        match (self.state, self.action) {
            (RevertFailed, _) | (Conflict, OrderAction::Revert) => self.revert(content, self.is_forced, now),
            (Failed | Expired | Cancelled | Conflict, _) => {
                Ok(self.ordered(machine, content, OrderAction::Update, now))
            }
            _ => self.refused("retry", "failed, expired, cancelled, conflict or revert_failed"),
        }
    }

    /// Orders the revert of an update that was carried out, and of one that is past the swap, whose agent is told.
    pub fn revert(&self, content: &FileContent, force: bool, now: DateTime<Utc>) -> Result<Self> {
        use OrderState::{Conflict, RevertFailed, Succeeded};
        match (self.state, self.machine) {
            (Succeeded | Conflict | RevertFailed, Some(machine)) => {
                let ordered = self.ordered(machine, content, OrderAction::Revert, now);
                Ok(Self { is_forced: force, ..ordered })
            }
            (OrderState::Running, _) if self.may_have_swapped() => {
                Ok(Self { is_cancelling: true, ..self.clone() })
            }
            _ => self.refused("revert", "succeeded, conflict or revert_failed, or running and past the swap"),
        }
    }

    /// Asks the agent what an update would do; the state stays.
    pub fn plan(&self, machine: MachineNumber, content: &FileContent, now: DateTime<Utc>) -> Result<Self> {
        use OrderState::{Cancelled, Expired, Failed, Pending, Reverted};
        match self.state {
            Pending | Failed | Cancelled | Expired | Reverted if self.lease_until.is_none() => {
                let state = self.state;
                let percent = self.percent;
                let ordered = self.ordered(machine, content, OrderAction::Plan, now);
                Ok(Self { state, percent, due: Some(now), plan: String::new(), ..ordered })
            }
            _ => self.refused("plan", "pending, failed, cancelled, expired or reverted"),
        }
    }

    /// Cancels at once what nobody has, and otherwise asks the agent to stop before the swap.
    pub fn cancel(&self) -> Result<Self> {
        use OrderState::{Pending, Queued, Running};
        match self.state {
            Running if self.may_have_swapped() => {
                Err(Error::conflict("the file may have been replaced already; revert it instead"))
            }
            Running => Ok(Self { is_cancelling: true, ..self.clone() }),
            Pending | Queued => {
                let state = OrderState::Cancelled;
                Ok(Self { state, due: None, lease_until: None, ..self.clone() })
            }
            _ => self.refused("cancel", "pending, queued or running"),
        }
    }

    fn ordered(
        &self,
        machine: MachineNumber,
        content: &FileContent,
        action: OrderAction,
        now: DateTime<Utc>,
    ) -> Self {
        let is_revert = action == OrderAction::Revert;
        // A revert is never put off: whoever asks for it wants the old file now.
        let due = content.not_before.filter(|_| !is_revert).map_or(now, |time| time.max(now));
        Self {
            machine: Some(machine),
            state: if is_revert { OrderState::Reverting } else { OrderState::Queued },
            action,
            is_forced: false,
            phase: None,
            percent: 0,
            tries: 0,
            due: Some(due),
            lease_until: None,
            deadline: Some(due + TimeDelta::seconds(content.deadline_seconds)),
            is_cancelling: false,
            message: String::new(),
            log: String::new(),
            ..self.clone()
        }
    }

    /// A new attempt of an instance of the agent.
    #[must_use]
    pub fn claim(&self, instance: &str, now: DateTime<Utc>) -> Self {
        let state = match self.action {
            OrderAction::Update => OrderState::Running,
            OrderAction::Revert | OrderAction::Plan => self.state,
        };
        Self {
            state,
            phase: None,
            percent: if self.action == OrderAction::Plan { self.percent } else { 0 },
            attempt: self.attempt + 1,
            tries: self.tries + 1,
            due: None,
            lease_until: Some(UPDATE_LEASE.end(now)),
            instance: instance.to_owned(),
            seq: 0,
            ..self.clone()
        }
    }

    /// The order after its lease ended, or its deadline passed before an agent began; `None` where nothing changes.
    pub fn lapse(&self, now: DateTime<Utc>) -> Option<Self> {
        let lapsed = Self { lease_until: None, is_cancelling: false, ..self.clone() };
        match self.lease_until {
            Some(end) if UPDATE_LEASE.is_held(end, now) => None,
            Some(_) => Some(lapsed.after_lost_lease(now, self.is_cancelling)),
            None if self.due.is_some() && self.deadline.is_some_and(|deadline| deadline < now) => {
                Some(lapsed.given_up(OrderState::Expired, "no agent began before the deadline"))
            }
            None => None,
        }
    }

    /// The latest time at which an order is due that waits for no `not_before`. A later one was set by a clock that was ahead.
    pub fn latest_due(now: DateTime<Utc>) -> DateTime<Utc> {
        now + LONGEST_PAUSE
    }

    /// The order as if the clock had not been ahead when it was put off to a time after [`FileOrder::latest_due`].
    pub(super) fn recalled(&self, now: DateTime<Utc>) -> Option<Self> {
        let due = self.due.filter(|due| *due > Self::latest_due(now))?;
        let deadline = self.deadline.map(|deadline| deadline - (due - now));
        Some(Self { due: Some(now), deadline, ..self.clone() })
    }

    fn after_lost_lease(self, now: DateTime<Utc>, was_cancelled: bool) -> Self {
        let is_update = self.action == OrderAction::Update;
        if is_update && self.may_have_swapped() {
            let message = "the lease ended when the file may have been replaced".to_owned();
            return Self { state: OrderState::Unknown, message, ..self };
        }
        if is_update && was_cancelled {
            return self.given_up(OrderState::Cancelled, "");
        }
        if self.tries >= MOST_TRIES && !self.may_have_swapped() {
            return self.given_up(OrderState::Failed, "the agent's lease ended three times before the swap");
        }
        let doubled = (PAUSE * (1 << (self.tries - 1).clamp(0, 6))).min(LONGEST_PAUSE);
        let state = if is_update { OrderState::Queued } else { self.state };
        let message = "the agent's lease ended; it is tried again".to_owned();
        Self { state, due: Some(now + doubled), message, ..self }
    }

    /// Ends an order that touched nothing: an update in `state`, a revert as failed, and a plan without an outcome.
    fn given_up(self, state: OrderState, message: &str) -> Self {
        let state = match self.action {
            OrderAction::Update => state,
            OrderAction::Revert => OrderState::RevertFailed,
            OrderAction::Plan => self.state,
        };
        Self { state, due: None, message: message.to_owned(), ..self }
    }

    fn refused(&self, action: &str, allowed: &str) -> Result<Self> {
        let state = self.state.as_str();
        Err(Error::conflict(format!("a task that is {state} cannot {action}; it must be {allowed}")))
    }

    /// The status of the task as `/api/task_status` shows it.
    pub(crate) fn status(&self, held: &TaskStatus, now: DateTime<Utc>) -> TaskStatus {
        let (status, revert) = self.state.status(self.action, held.status);
        let percent = match self.state {
            OrderState::Succeeded | OrderState::Reverted => 100,
            OrderState::Pending | OrderState::Queued => 0,
            _ => self.percent,
        };
        let first = |held: i64, begins: bool| if held == 0 && begins { now.timestamp() } else { held };
        TaskStatus {
            start_time: first(held.start_time, self.state == OrderState::Running),
            revert_time: first(held.revert_time, self.state == OrderState::Reverting),
            status,
            percent,
            revert,
            ..held.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: MachineNumber = MachineNumber(1);

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_480_471_675, 0).unwrap()
    }

    fn at(state: OrderState) -> FileOrder {
        FileOrder { state, machine: Some(MACHINE), ..FileOrder::pending(FileContent::plain().task_id) }
    }

    #[test]
    fn only_the_moves_of_the_contract() {
        for state in OrderState::ALL {
            let order = at(*state);
            let allowed = |names: &str| names.split(' ').any(|name| name == state.as_str());
            let executed = order.execute(MACHINE, &FileContent::plain(), now());
            assert_eq!(executed.is_ok(), allowed("pending"), "execute {state:?}");
            let reverted = order.revert(&FileContent::plain(), false, now());
            assert_eq!(reverted.is_ok(), allowed("succeeded conflict revert_failed"), "revert {state:?}");
            let retried = order.retry(MACHINE, &FileContent::plain(), now());
            assert_eq!(retried.is_ok(), allowed("failed expired cancelled conflict revert_failed"));
            assert_eq!(order.cancel().is_ok(), allowed("pending queued running"), "cancel {state:?}");
        }
    }

    #[test]
    fn a_lost_lease_queues_again_three_times() {
        let mut order = at(OrderState::Pending).execute(MACHINE, &FileContent::plain(), now()).unwrap();
        for tries in 1..=3 {
            let claimed = order.claim("a", now());
            assert_eq!((claimed.attempt, claimed.state), (tries, OrderState::Running));
            assert_eq!(claimed.lapse(now() + TimeDelta::seconds(59)), None);
            order = claimed.lapse(now() + TimeDelta::seconds(60)).unwrap();
        }
        assert_eq!((order.state, order.due), (OrderState::Failed, None));
    }

    #[test]
    fn a_lease_lost_from_the_swap_on_is_unknown() {
        let claimed =
            at(OrderState::Pending).execute(MACHINE, &FileContent::plain(), now()).unwrap().claim("a", now());
        let swapping = FileOrder { phase: Some(Phase::Swap), ..claimed };
        assert!(swapping.cancel().is_err());
        let lapsed = swapping.lapse(now() + TimeDelta::seconds(61)).unwrap();
        assert_eq!((lapsed.state, lapsed.due, lapsed.lease_until), (OrderState::Unknown, None, None));
        assert!(lapsed.is_held() && lapsed.revert(&FileContent::plain(), true, now()).is_err());
    }

    #[test]
    fn a_lease_of_a_clock_ahead_is_over() {
        let order = at(OrderState::Pending).execute(MACHINE, &FileContent::plain(), now()).unwrap();
        let claimed = order.claim("a", now() + TimeDelta::hours(1));
        assert_eq!(claimed.lapse(now()).unwrap().state, OrderState::Queued);
    }

    #[test]
    fn what_nobody_begins_expires() {
        let order = at(OrderState::Pending).execute(MACHINE, &FileContent::plain(), now()).unwrap();
        assert_eq!(order.lapse(now() + TimeDelta::seconds(3600)), None);
        assert_eq!(order.lapse(now() + TimeDelta::seconds(3601)).unwrap().state, OrderState::Expired);
        let plan = at(OrderState::Pending).plan(MACHINE, &FileContent::plain(), now()).unwrap();
        assert_eq!(plan.lapse(now() + TimeDelta::seconds(3601)).unwrap().state, OrderState::Pending);
    }
}
