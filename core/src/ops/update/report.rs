//! Reports of an agent on an order: progress, renewal of the lease, and the result.

use chrono::{DateTime, TimeDelta, Utc};

use super::{FileOrder, OrderAction, OrderState, Phase, Sha256Digest, UPDATE_LEASE};
use crate::{Error, Result, check_text};

/// Time within which an agent must begin a revert that was asked for during the update.
const REVERT_WITHIN: TimeDelta = TimeDelta::days(1);

/// Outcome that an agent reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultState {
    /// The file is the new content.
    Succeeded,
    /// The file is the old content.
    Failed,
    /// The file is neither.
    Conflict,
    /// The old file is back.
    Reverted,
    /// The file is still the new content.
    RevertFailed,
    /// Nothing was done; the plan tells what would be.
    Planned,
}

impl ResultState {
    /// Parses the name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "conflict" => Self::Conflict,
            "reverted" => Self::Reverted,
            "revert_failed" => Self::RevertFailed,
            "planned" => Self::Planned,
            _ => return None,
        })
    }
}

/// Result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderResult {
    /// Outcome.
    pub state: ResultState,
    /// Hash of the file that the update found.
    pub old_sha256: Option<Sha256Digest>,
    /// Outcome of a plan, as JSON: at most 4096 bytes; else empty.
    pub plan: String,
}

/// Report of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderReport {
    /// Attempt that it is about.
    pub attempt: i64,
    /// Number that grows with every report; an earlier one changes nothing.
    pub seq: i64,
    /// Phase of the attempt.
    pub phase: Phase,
    /// Progress, 0 to 100.
    pub percent: i64,
    /// Hash of the file as it is.
    pub observed_sha256: Option<Sha256Digest>,
    /// Result, in the last report.
    pub result: Option<OrderResult>,
    /// Cause of a failure: at most 4096 bytes.
    pub message: String,
    /// Output of commands: at most 65536 bytes.
    pub log: String,
}

/// Command to the agent, for its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Go on.
    Go,
    /// Stop before the swap.
    Cancel,
    /// Put the old file back.
    Revert,
}

impl Command {
    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Cancel => "cancel",
            Self::Revert => "revert",
        }
    }
}

/// Answer to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportAnswer {
    /// End of the lease by the store's clock.
    pub lease_until: DateTime<Utc>,
    /// Command to the agent, for its next step.
    pub command: Command,
}

impl OrderReport {
    pub(super) fn check(&self) -> Result<()> {
        if !(0..=100).contains(&self.percent) {
            return Err(Error::invalid("percent", "must be from 0 to 100"));
        }
        if self.attempt < 1 {
            return Err(Error::invalid("attempt", "must be 1 or more"));
        }
        check_text("message", &self.message, 0, 4096, true)?;
        check_text("log", &self.log, 0, 65_536, true)?;
        let plan = self.result.as_ref().map_or("", |result| &result.plan);
        check_text("result.plan", plan, 0, 4096, true)
    }
}

impl FileOrder {
    /// The order after a report that arrives at `now`. One of an earlier attempt, or of an order that nobody has any more,
    /// is a conflict; a result that was reported before changes nothing.
    pub fn report(&self, report: &OrderReport, now: DateTime<Utc>) -> Result<Self> {
        report.check()?;
        if report.attempt != self.attempt {
            return Err(Error::conflict(format!("attempt {} is stale: {}", report.attempt, self.attempt)));
        }
        if !self.is_held() {
            let is_repeated = report.result.as_ref().is_some_and(|result| self.is_settled_as(result.state));
            return if is_repeated { Ok(self.clone()) } else { Err(Error::conflict("the lease is over")) };
        }
        match &report.result {
            Some(result) => Ok(self.settled(report, result)?.reverted_if_asked(self, now)),
            None => Ok(self.progressed(report, now)),
        }
    }

    /// Command to the agent after a report.
    pub(super) fn command(&self) -> Command {
        match (self.is_cancelling, self.may_have_swapped()) {
            (false, _) => Command::Go,
            (true, false) => Command::Cancel,
            (true, true) => Command::Revert,
        }
    }

    fn progressed(&self, report: &OrderReport, now: DateTime<Utc>) -> Self {
        let renewed = Self { lease_until: Some(UPDATE_LEASE.end(now)), ..self.clone() };
        // One that arrives late says nothing new.
        if report.seq <= self.seq {
            return renewed;
        }
        // Who is to stop has not begun the swap: the answer to this report stops it.
        let is_stopping = self.is_cancelling && !self.may_have_swapped();
        let phase = if is_stopping { report.phase.min(Phase::Check) } else { report.phase };
        let is_plan = self.action == OrderAction::Plan;
        Self {
            state: if self.state == OrderState::Unknown { OrderState::Running } else { self.state },
            phase: self.phase.max(Some(phase)),
            percent: if is_plan { self.percent } else { self.percent.max(report.percent.min(99)) },
            seq: report.seq,
            observed_sha256: report.observed_sha256.or(self.observed_sha256),
            message: report.message.clone(),
            log: if report.log.is_empty() { self.log.clone() } else { report.log.clone() },
            ..renewed
        }
    }

    fn settled(&self, report: &OrderReport, result: &OrderResult) -> Result<Self> {
        let state = self
            .state_after(result.state)
            .ok_or_else(|| Error::invalid("result.state", "is not an outcome of this action"))?;
        let is_done = matches!(state, OrderState::Succeeded | OrderState::Reverted);
        let is_plan = self.action == OrderAction::Plan;
        let percent = if is_done && !is_plan { 100 } else { self.percent };
        Ok(Self {
            state,
            percent,
            due: None,
            lease_until: None,
            is_cancelling: false,
            seq: report.seq.max(self.seq),
            old_sha256: result.old_sha256.or(self.old_sha256),
            observed_sha256: report.observed_sha256.or(self.observed_sha256),
            message: report.message.clone(),
            log: if report.log.is_empty() { self.log.clone() } else { report.log.clone() },
            plan: if is_plan { result.plan.clone() } else { self.plan.clone() },
            ..self.clone()
        })
    }

    /// The order of a revert, where that was asked for while the update was under way, and the new file stayed.
    fn reverted_if_asked(self, old: &Self, now: DateTime<Utc>) -> Self {
        let is_asked = old.is_cancelling && old.may_have_swapped();
        if !(is_asked && self.state == OrderState::Succeeded) {
            return self;
        }
        Self {
            state: OrderState::Reverting,
            action: OrderAction::Revert,
            phase: None,
            percent: 0,
            tries: 0,
            due: Some(now),
            deadline: Some(now + REVERT_WITHIN),
            ..self
        }
    }

    fn state_after(&self, result: ResultState) -> Option<OrderState> {
        Some(match (self.action, result) {
            (OrderAction::Plan, ResultState::Planned | ResultState::Failed) => self.state,
            (OrderAction::Update, ResultState::Succeeded) => OrderState::Succeeded,
            (OrderAction::Update, ResultState::Failed) if self.is_cancelling && !self.may_have_swapped() => {
                OrderState::Cancelled
            }
            (OrderAction::Update, ResultState::Failed) => OrderState::Failed,
            (OrderAction::Revert, ResultState::Reverted) => OrderState::Reverted,
            (OrderAction::Revert, ResultState::RevertFailed) => OrderState::RevertFailed,
            (OrderAction::Update | OrderAction::Revert, ResultState::Conflict) => OrderState::Conflict,
            _ => return None,
        })
    }

    fn is_settled_as(&self, result: ResultState) -> bool {
        let is_cancelled = self.state == OrderState::Cancelled && result == ResultState::Failed;
        is_cancelled || self.state_after(result) == Some(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::ops::FileContent;
    use crate::ops::{MachineNumber, TaskId};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_480_471_675, 0).unwrap()
    }

    fn running(action: OrderAction) -> FileOrder {
        let state = if action == OrderAction::Revert { OrderState::Reverting } else { OrderState::Queued };
        let task_id = TaskId(uuid::Uuid::nil());
        let queued =
            FileOrder { state, action, machine: Some(MachineNumber(1)), ..FileOrder::pending(task_id) };
        queued.claim("a", now())
    }

    fn progress(seq: i64, phase: Phase, percent: i64) -> OrderReport {
        OrderReport {
            attempt: 1,
            seq,
            phase,
            percent,
            observed_sha256: None,
            result: None,
            message: String::new(),
            log: String::new(),
        }
    }

    fn result(state: ResultState) -> OrderReport {
        let result = OrderResult { state, old_sha256: None, plan: String::new() };
        OrderReport { result: Some(result), ..progress(9, Phase::Confirm, 100) }
    }

    #[test]
    fn percent_never_falls_and_100_is_the_outcomes() {
        let half = running(OrderAction::Update).report(&progress(1, Phase::Download, 50), now()).unwrap();
        let late = half.report(&progress(1, Phase::Preflight, 80), now() + TimeDelta::seconds(5)).unwrap();
        assert_eq!((late.percent, late.phase), (50, Some(Phase::Download)), "an earlier report");
        assert_eq!(late.lease_until, Some(now() + TimeDelta::seconds(65)));
        let full = half.report(&progress(2, Phase::Confirm, 100), now()).unwrap();
        assert_eq!((full.percent, full.state), (99, OrderState::Running));
        let done = full.report(&result(ResultState::Succeeded), now()).unwrap();
        assert_eq!((done.percent, done.state, done.lease_until), (100, OrderState::Succeeded, None));
        assert_eq!(done.report(&result(ResultState::Succeeded), now()).unwrap(), done, "a lost answer");
        let other = done.report(&result(ResultState::Failed), now()).unwrap_err();
        assert_eq!(other.kind(), ErrorKind::Conflict);
    }

    #[test]
    fn stale_attempts_are_refused() {
        let order = running(OrderAction::Update);
        let stale = OrderReport { attempt: 2, ..progress(1, Phase::Swap, 1) };
        assert_eq!(order.report(&stale, now()).unwrap_err().kind(), ErrorKind::Conflict);
        let queued = order.lapse(now() + TimeDelta::seconds(60)).unwrap();
        let late = queued.report(&progress(1, Phase::Swap, 1), now()).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Conflict, "queued again");
    }

    #[test]
    fn who_is_to_stop_does_not_swap() {
        let cancelling = running(OrderAction::Update).cancel().unwrap();
        let told = cancelling.report(&progress(1, Phase::Swap, 60), now()).unwrap();
        assert_eq!((told.phase, told.command()), (Some(Phase::Check), Command::Cancel));
        let stopped = told.report(&result(ResultState::Failed), now()).unwrap();
        assert_eq!(stopped.state, OrderState::Cancelled);
        assert_eq!(stopped.report(&result(ResultState::Failed), now()).unwrap(), stopped);
    }

    #[test]
    fn past_the_swap_the_old_file_is_asked_for() {
        let swapped = running(OrderAction::Update).report(&progress(1, Phase::Swap, 80), now()).unwrap();
        let content = |deadline_seconds| FileContent {
            task_id: swapped.task_id,
            confirm_seconds: 30,
            deadline_seconds,
            ..FileContent::plain()
        };
        assert!(
            running(OrderAction::Update).revert(&content(60), false, now()).is_err(),
            "cancel it instead"
        );
        let asked = swapped.revert(&content(60), false, now()).unwrap();
        assert_eq!((asked.state, asked.lease_until), (OrderState::Running, swapped.lease_until));
        let told = asked.report(&progress(2, Phase::Confirm, 90), now()).unwrap();
        assert_eq!((told.phase, told.command()), (Some(Phase::Confirm), Command::Revert));
        let back = told.report(&result(ResultState::Failed), now()).unwrap();
        assert_eq!((back.state, back.due), (OrderState::Failed, None), "it was back at once");
        let stayed = told.report(&result(ResultState::Succeeded), now()).unwrap();
        assert_eq!((stayed.state, stayed.action), (OrderState::Reverting, OrderAction::Revert));
        assert_eq!((stayed.due, stayed.percent, stayed.lease_until), (Some(now()), 0, None));
    }

    #[test]
    fn the_agents_next_word_resolves_what_is_unknown() {
        let swapping = running(OrderAction::Update).report(&progress(1, Phase::Swap, 60), now()).unwrap();
        let unknown = swapping.lapse(now() + TimeDelta::seconds(60)).unwrap();
        for (said, state) in [
            (ResultState::Succeeded, OrderState::Succeeded),
            (ResultState::Failed, OrderState::Failed),
            (ResultState::Conflict, OrderState::Conflict),
        ] {
            assert_eq!(unknown.report(&result(said), now()).unwrap().state, state);
        }
        let again = unknown.report(&progress(2, Phase::Confirm, 70), now()).unwrap();
        assert_eq!(again.state, OrderState::Running);
    }

    #[test]
    fn an_outcome_belongs_to_its_action() {
        for (action, said, is_one) in [
            (OrderAction::Revert, ResultState::Reverted, true),
            (OrderAction::Revert, ResultState::Succeeded, false),
            (OrderAction::Update, ResultState::Reverted, false),
            (OrderAction::Plan, ResultState::Planned, true),
            (OrderAction::Plan, ResultState::Succeeded, false),
        ] {
            assert_eq!(running(action).report(&result(said), now()).is_ok(), is_one, "{action:?} {said:?}");
        }
    }
}
