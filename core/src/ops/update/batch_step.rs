//! Step of a batch: what becomes of its tasks next, decided from their states alone.

use chrono::{DateTime, TimeDelta, Utc};

use super::batch_member::{Member, count, failures};
use super::{Batch, BatchState, FileContent, FileOrder, OnStop, OrderAction, OrderState};
use crate::Result;

/// Change of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OrderChange {
    pub(super) old: FileOrder,
    pub(super) new: FileOrder,
}

/// Changes of one step, made in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) batch: Batch,
    pub(super) changes: Vec<OrderChange>,
}

impl Batch {
    /// The next step; `None` where there is nothing to do.
    pub(super) fn step(
        &self,
        members: &[Member],
        content: &FileContent,
        now: DateTime<Utc>,
    ) -> Result<Option<Step>> {
        let step = match self.state {
            BatchState::Running => self.step_running(members, content, now)?,
            BatchState::Reverting => self.step_reverting(members, content, now)?,
            _ => return Ok(None),
        };
        let is_news = step.batch != *self || !step.changes.is_empty();
        Ok(is_news.then_some(step))
    }

    fn step_running(&self, members: &[Member], content: &FileContent, now: DateTime<Utc>) -> Result<Step> {
        if failures(members) - self.forgiven >= self.limits.max_failures {
            return self.stopped(members, content, now);
        }
        if members.iter().all(Member::is_settled) {
            let all = members.iter().all(|member| member.is_in(OrderState::Succeeded));
            let state = if all { BatchState::Succeeded } else { BatchState::Failed };
            return Ok(Step { batch: Self { state, ..self.clone() }, changes: Vec::new() });
        }
        let begun = self.begun.unwrap_or(now);
        let begun = content.not_before.map_or(begun, |time| time.max(begun));
        let is_late = now - begun > TimeDelta::seconds(content.deadline_seconds);
        let under_way = count(members.iter().filter(|member| member.is_under_way(now)).count());
        let mut free = self.places(members) - under_way;
        let mut changes = Vec::new();
        for member in members {
            let is_online = member.is_online(now);
            match (member.order.state, member.order.machine) {
                (OrderState::Pending, Some(machine)) if is_online && free > 0 => {
                    free -= 1;
                    changes.push(member.becomes(member.order.execute(machine, content, now)?));
                }
                (OrderState::Pending, _) if !is_online && is_late => {
                    changes.push(member.becomes(member.order.expire_offline()));
                }
                // It would begin whenever the machine comes back, with however many others.
                (OrderState::Queued, _) if !is_online => {
                    changes.extend(member.order.recall().map(|new| member.becomes(new)));
                }
                _ => {}
            }
        }
        Ok(Step { batch: self.clone(), changes })
    }

    /// Machines that may be at work at once: the canaries that have not succeeded yet, and then a batch.
    fn places(&self, members: &[Member]) -> i64 {
        let succeeded = count(members.iter().filter(|member| member.is_in(OrderState::Succeeded)).count());
        if succeeded < self.limits.canary { self.limits.canary - succeeded } else { self.limits.batch_size }
    }

    /// Whether the canaries are still awaited.
    pub(super) fn awaits_canaries(&self, members: &[Member]) -> bool {
        let succeeded = count(members.iter().filter(|member| member.is_in(OrderState::Succeeded)).count());
        succeeded < self.limits.canary
    }

    fn stopped(&self, members: &[Member], content: &FileContent, now: DateTime<Utc>) -> Result<Step> {
        if self.limits.on_stop == OnStop::Revert {
            let batch = Self { state: BatchState::Reverting, is_forced: false, ..self.clone() };
            return batch.step_reverting(members, content, now);
        }
        let recalled = |member: &Member| member.order.recall().map(|new| member.becomes(new));
        let changes = members.iter().filter_map(recalled).collect();
        Ok(Step { batch: Self { state: BatchState::Held, ..self.clone() }, changes })
    }

    /// What has not begun is cancelled, what succeeded is reverted, and what is under way is awaited.
    fn step_reverting(&self, members: &[Member], content: &FileContent, now: DateTime<Utc>) -> Result<Step> {
        let mut changes = Vec::new();
        for member in members {
            let order = &member.order;
            match order.state {
                OrderState::Pending | OrderState::Queued => changes.push(member.becomes(order.cancel()?)),
                OrderState::Running if !order.is_cancelling && !order.may_have_swapped() => {
                    changes.push(member.becomes(order.cancel()?));
                }
                // Past the swap its agent is told to put the old file back.
                OrderState::Running if !order.is_cancelling => {
                    changes.push(member.becomes(order.revert(content, self.is_forced, now)?));
                }
                OrderState::Succeeded => {
                    changes.push(member.becomes(order.revert(content, self.is_forced, now)?));
                }
                _ => {}
            }
        }
        let is_over = changes.is_empty() && members.iter().all(Member::is_settled);
        let is_left = |member: &Member| {
            matches!(member.order.state, OrderState::RevertFailed)
                || member.is_in(OrderState::Conflict) && member.order.action == OrderAction::Revert
        };
        let state = match (is_over, members.iter().any(is_left)) {
            (false, _) => BatchState::Reverting,
            (true, false) => BatchState::Reverted,
            (true, true) => BatchState::RevertFailed,
        };
        Ok(Step { batch: Self { state, ..self.clone() }, changes })
    }

    /// Additions of an operator's revert to that of a step: reverts that failed before, and by force the files that were
    /// changed.
    pub(super) fn revert_again(
        &self,
        members: &[Member],
        content: &FileContent,
        now: DateTime<Utc>,
    ) -> Result<Vec<OrderChange>> {
        let is_asked = |member: &&Member| match member.order.state {
            OrderState::RevertFailed => true,
            OrderState::Conflict => self.is_forced || member.order.action == OrderAction::Revert,
            _ => false,
        };
        let reverted =
            |member: &Member| Ok(member.becomes(member.order.revert(content, self.is_forced, now)?));
        members.iter().filter(is_asked).map(reverted).collect()
    }

    /// Cancels what has not been begun, and asks the agents of the others to stop before the swap.
    pub(super) fn cancel_all(members: &[Member]) -> Vec<OrderChange> {
        let cancelled = |member: &Member| Some(member.becomes(member.order.cancel().ok()?));
        members.iter().filter_map(cancelled).collect()
    }

    /// Puts back in line what ended without success.
    pub(super) fn retry_all(members: &[Member]) -> Vec<OrderChange> {
        let again = |member: &Member| Some(member.becomes(member.order.put_back()?));
        members.iter().filter_map(again).collect()
    }

    /// Asks the agents of all tasks that can be planned.
    pub(super) fn plan_all(
        members: &[Member],
        content: &FileContent,
        now: DateTime<Utc>,
    ) -> Vec<OrderChange> {
        let planned = |member: &Member| {
            let machine = member.order.machine?;
            Some(member.becomes(member.order.plan(machine, content, now).ok()?))
        };
        members.iter().filter_map(planned).collect()
    }
}

impl FileOrder {
    /// The order before it was handed out, where no agent has begun since.
    fn recall(&self) -> Option<Self> {
        let is_waiting = self.state == OrderState::Queued && self.tries == 0 && self.lease_until.is_none();
        is_waiting.then(|| Self { state: OrderState::Pending, due: None, deadline: None, ..self.clone() })
    }

    fn expire_offline(&self) -> Self {
        let message = "the machine was not online before the deadline".to_owned();
        Self { state: OrderState::Expired, due: None, lease_until: None, message, ..self.clone() }
    }

    /// The order of an update that ended without success, before it was handed out.
    fn put_back(&self) -> Option<Self> {
        use OrderState::{Cancelled, Conflict, Expired, Failed};
        let is_over = matches!(self.state, Failed | Expired | Cancelled | Conflict);
        (is_over && self.action != OrderAction::Revert).then(|| Self {
            state: OrderState::Pending,
            action: OrderAction::Update,
            phase: None,
            percent: 0,
            tries: 0,
            due: None,
            lease_until: None,
            deadline: None,
            is_cancelling: false,
            message: String::new(),
            log: String::new(),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ops::update::{Agent, BatchId};
    use crate::ops::{BatchLimits, MachineNumber, Phase, TaskId};

    use OrderState::{Conflict, Expired, Failed, Pending, Queued, Reverted, Running, Succeeded, Unknown};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_480_471_675, 0).unwrap()
    }

    fn member(n: i64, state: OrderState, is_online: bool) -> Member {
        let task_id = TaskId(Uuid::from_u128(n.unsigned_abs().into()));
        let machine = MachineNumber(n);
        let order = FileOrder { state, machine: Some(machine), ..FileOrder::pending(task_id) };
        let last_seen = is_online.then(now);
        let agent = Agent { token: Some([1; 32]), last_seen, ..Agent::new(machine) };
        Member { order, machine: None, agent: Some(agent) }
    }

    fn members(states: &[OrderState]) -> Vec<Member> {
        (1..).zip(states).map(|(n, state)| member(n, *state, true)).collect()
    }

    fn running(limits: BatchLimits) -> Batch {
        Batch::pending(BatchId(Uuid::nil()), now()).execute(limits, now()).unwrap()
    }

    /// States of the orders after a step, and that of the batch.
    fn stepped(batch: &Batch, members: &mut [Member], at: DateTime<Utc>) -> BatchState {
        let Some(step) = batch.step(members, &FileContent::plain(), at).unwrap() else { return batch.state };
        for OrderChange { old, new } in step.changes {
            let member = members.iter_mut().find(|member| member.order == old).unwrap();
            member.order = new;
        }
        step.batch.state
    }

    fn states(members: &[Member]) -> Vec<&'static str> {
        members.iter().map(|member| member.order.state.as_str()).collect()
    }

    #[test]
    fn canaries_are_online_and_come_first() {
        let batch = running(BatchLimits { batch_size: 2, ..BatchLimits::default() });
        let mut all = members(&[Pending; 5]);
        all[0].agent = member(1, Pending, false).agent;
        assert_eq!(stepped(&batch, &mut all, now()), BatchState::Running);
        assert_eq!(states(&all), ["pending", "queued", "pending", "pending", "pending"]);
        stepped(&batch, &mut all, now());
        assert_eq!(states(&all)[2..], ["pending"; 3], "the canary is awaited");
        all[1].order.state = Succeeded;
        stepped(&batch, &mut all, now());
        assert_eq!(states(&all), ["pending", "succeeded", "queued", "queued", "pending"]);
        stepped(&batch, &mut all, now());
        assert_eq!(states(&all)[4], "pending", "both places are taken");
        all[2].order.state = Succeeded;
        stepped(&batch, &mut all, now());
        assert_eq!(states(&all)[4], "queued");
    }

    #[test]
    fn failures_stop_it() {
        let hold = running(BatchLimits::default());
        for failure in [Failed, Conflict, Expired, Unknown] {
            let mut all = members(&[failure, Queued, Running, Pending]);
            assert_eq!(stepped(&hold, &mut all, now()), BatchState::Held, "{failure:?}");
            assert_eq!(states(&all)[1..], ["pending", "running", "pending"], "nobody new begins");
        }
        let tolerant = running(BatchLimits { max_failures: 2, canary: 0, ..BatchLimits::default() });
        let mut all = members(&[Failed, Pending]);
        assert_eq!(stepped(&tolerant, &mut all, now()), BatchState::Running);
        assert_eq!(states(&all), ["failed", "queued"]);
        let resumed = Batch { state: BatchState::Held, ..hold }.resume(1, now()).unwrap();
        let mut all = members(&[Failed, Pending]);
        assert_eq!(stepped(&resumed, &mut all, now()), BatchState::Running, "it was passed over");
        let mut all = members(&[Failed, Failed]);
        assert_eq!(stepped(&resumed, &mut all, now()), BatchState::Held, "one more");
    }

    #[test]
    fn a_stop_may_revert() {
        let batch = running(BatchLimits { on_stop: OnStop::Revert, ..BatchLimits::default() });
        let mut all = members(&[Failed, Succeeded, Queued, Running, Pending]);
        assert_eq!(stepped(&batch, &mut all, now()), BatchState::Reverting);
        assert_eq!(states(&all), ["failed", "reverting", "cancelled", "running", "cancelled"]);
        assert!(all[3].order.is_cancelling);
        let batch = Batch { state: BatchState::Reverting, ..batch };
        assert_eq!(
            batch.step(&all, &FileContent::plain(), now()).unwrap(),
            None,
            "what is under way is awaited"
        );
        all[3].order.state = Succeeded;
        stepped(&batch, &mut all, now());
        assert_eq!(states(&all)[3], "reverting", "it swapped before it could be told");
        for member in &mut all[1..4] {
            member.order.state = Reverted;
        }
        assert_eq!(stepped(&batch, &mut all, now()), BatchState::Reverted);
        all[1].order.state = OrderState::RevertFailed;
        assert_eq!(stepped(&batch, &mut all, now()), BatchState::RevertFailed);
    }

    #[test]
    fn offline_machines_wait_and_count_at_their_deadline() {
        let batch = running(BatchLimits { canary: 0, max_failures: 9, ..BatchLimits::default() });
        let mut all = vec![member(1, Pending, false), member(2, Queued, false), member(3, Succeeded, true)];
        stepped(&batch, &mut all, now());
        assert_eq!(states(&all), ["pending", "pending", "succeeded"], "one is called back");
        let late = now() + TimeDelta::seconds(3601);
        assert_eq!(batch.step(&all, &FileContent::plain(), now() + TimeDelta::seconds(3600)).unwrap(), None);
        stepped(&batch, &mut all, late);
        assert_eq!(states(&all), ["expired", "expired", "succeeded"]);
        assert_eq!(stepped(&batch, &mut all, late), BatchState::Failed);
        let mut once = member(1, Queued, false);
        once.order.tries = 1;
        assert_eq!(
            batch.step(&[once], &FileContent::plain(), now()).unwrap(),
            None,
            "an agent had it already"
        );
    }

    #[test]
    fn it_ends_with_its_last_task() {
        let batch = running(BatchLimits { max_failures: 2, ..BatchLimits::default() });
        assert_eq!(stepped(&batch, &mut members(&[Succeeded; 3]), now()), BatchState::Succeeded);
        assert_eq!(stepped(&batch, &mut members(&[Succeeded, Failed]), now()), BatchState::Failed);
        let paused = batch.pause().unwrap();
        assert_eq!(paused.step(&members(&[Pending, Pending]), &FileContent::plain(), now()).unwrap(), None);
    }

    #[test]
    fn a_retry_puts_failures_back_and_a_revert_takes_failed_reverts_again() {
        let all = members(&[Failed, Expired, OrderState::Cancelled, Conflict, Succeeded, Unknown]);
        let changes = Batch::retry_all(&all);
        assert!(changes.iter().all(|change| change.new.state == Pending && change.new.due.is_none()));
        assert_eq!(changes.len(), 4);
        let batch = Batch { state: BatchState::RevertFailed, ..running(BatchLimits::default()) };
        let mut all = members(&[Conflict, OrderState::RevertFailed, Conflict]);
        all[2].order.action = OrderAction::Revert;
        let again = |force| {
            batch.revert(force).unwrap().revert_again(&all, &FileContent::plain(), now()).unwrap().len()
        };
        assert_eq!((again(false), again(true)), (2, 3));
        let mut swapping = member(1, Running, true);
        swapping.order.phase = Some(Phase::Swap);
        assert_eq!(Batch::cancel_all(&[swapping, member(2, Pending, true)]).len(), 1);
    }
}
