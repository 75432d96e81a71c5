//! Status of a release task: the state machine of its run and of its revert.

use chrono::{DateTime, Utc};

use super::state::{Revert, Status};
use super::{TaskId, TaskNumber};
use crate::account::digest;
use crate::{Error, Result};

/// The status of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Number of its task; lists are ordered by it.
    pub id: TaskNumber,
    /// Task whose status this is.
    pub task_id: TaskId,
    /// Start of the run in unix seconds; 0 before.
    pub start_time: i64,
    /// Request of the revert in unix seconds; 0 before.
    pub revert_time: i64,
    /// State of the run.
    pub status: Status,
    /// Progress of this run, or of the revert once it has begun: 0 to 100.
    pub percent: i64,
    /// State of the revert.
    pub revert: Revert,
    /// Grows by one with every report.
    pub version: i64,
}

/// An agent's status report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// Start of the run in unix seconds; the server's time where it is not given.
    pub start_time: Option<i64>,
    /// Request of the revert in unix seconds; the server's time where it is not given.
    pub revert_time: Option<i64>,
    /// Progress, 0 to 100.
    pub percent: i64,
    /// State of the run.
    pub status: Status,
    /// State of the revert.
    pub revert: Revert,
}

impl StatusReport {
    /// Refuses what no state could accept.
    pub fn check(&self) -> Result<()> {
        if !(0..=100).contains(&self.percent) {
            return Err(Error::invalid("percent", "must be from 0 to 100"));
        }
        let may_be_done =
            matches!(self.status, Status::Running | Status::Succeeded) || self.revert != Revert::None;
        if self.percent == 100 && !may_be_done {
            return Err(Error::invalid("percent", "is 100 only with status 1 or 2, or of a revert"));
        }
        for (field, time) in [("start_time", self.start_time), ("revert_time", self.revert_time)] {
            if time.is_some_and(|time| !(0..=MAX_TIME).contains(&time)) {
                return Err(Error::invalid(field, "must be unix seconds from 0 to 253402300799"));
            }
        }
        Ok(())
    }
}

/// The last second of the year 9999.
const MAX_TIME: i64 = 253_402_300_799;

impl TaskStatus {
    /// Outcome of the run. Agents that know only the flags 0 and 1 end theirs with status 1 at 100 percent, which is
    /// kept as they say it.
    pub fn outcome(&self) -> Status {
        match self.status {
            Status::Running if self.percent == 100 => Status::Succeeded,
            status => status,
        }
    }

    /// The status after a report that arrives at `now`.
    ///
    /// Moves of [`TaskStatus::outcome`] are 0→1,2,3,4; 1→1,2,3,4,5; 5→1,2,3; 3→1. A report that repeats another status is
    /// accepted where it moves `revert`, whose moves are 0→1, 1→2,3, 2→1 and 3→1, and while `revert` is 1; a report that
    /// changes nothing always is. `revert` 0 after 1 says nothing new, and nor does status 1 after 2 while `revert` is 1.
    /// `percent` never falls within a run; 3→1 begins a new one, and while `revert` is 1 it may begin again.
    pub fn report(&self, report: &StatusReport, now: DateTime<Utc>) -> Result<Self> {
        report.check()?;
        let revert = match (self.revert, report.revert) {
            (Revert::Asked, Revert::None) => Revert::Asked,
            (_, revert) => revert,
        };
        let reverting = revert == Revert::Asked;
        let status = match (self.status, report.status) {
            (Status::Succeeded, Status::Running) if reverting || report.percent == 100 => Status::Succeeded,
            (_, status) => status,
        };
        let first = |given: Option<i64>, held: i64, begins: bool| match given {
            Some(time) => time,
            None if held == 0 && begins => now.timestamp(),
            None => held,
        };
        let next = Self {
            start_time: first(report.start_time, self.start_time, status == Status::Running),
            revert_time: first(report.revert_time, self.revert_time, reverting),
            status,
            percent: report.percent,
            revert,
            ..self.clone()
        };
        if next == *self {
            return Ok(next);
        }
        self.check_moves(&next)?;
        Ok(next)
    }

    /// Refuses a move that no report may make.
    fn check_moves(&self, next: &Self) -> Result<()> {
        let refused = |field, from: i64, to: i64| {
            Err(Error::conflict(format!("{field} cannot go from {from} to {to}")))
        };
        let revert_moves = next.revert != self.revert;
        if revert_moves && !self.revert.may_become(next.revert) {
            return refused("revert", self.revert.id(), next.revert.id());
        }
        let reverting = revert_moves || next.revert == Revert::Asked;
        let (from, to) = (self.outcome(), next.outcome());
        // The same success, in the words of either kind of agent.
        let in_flags = [self.status, next.status].contains(&Status::Running);
        let same = in_flags && from == Status::Succeeded && to == from && next.percent == self.percent;
        let may_move = from.may_become(to) || same || reverting && next.status == self.status;
        if !may_move {
            return refused("status", self.status.id(), next.status.id());
        }
        let begins = from == Status::Failed && to != from || next.revert == Revert::Asked;
        if !begins && next.percent < self.percent {
            return Err(Error::conflict(format!(
                "percent cannot fall from {} to {}",
                self.percent, next.percent
            )));
        }
        Ok(())
    }

    pub(crate) fn digest(&self) -> String {
        let Self { start_time, revert_time, status, percent, revert, .. } = self;
        digest(&[&format!("{start_time} {revert_time} {} {percent} {}", status.id(), revert.id())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn at(status: Status, percent: i64, revert: Revert) -> TaskStatus {
        TaskStatus {
            id: TaskNumber(1),
            task_id: "0358c3c78f5211e685855cf9389306a2".parse().unwrap(),
            start_time: 0,
            revert_time: 0,
            status,
            percent,
            revert,
            version: 1,
        }
    }

    fn say(status: i64, percent: i64, revert: i64) -> StatusReport {
        let (status, revert) = (status.try_into().unwrap(), revert.try_into().unwrap());
        StatusReport { start_time: None, revert_time: None, percent, status, revert }
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_480_471_675, 0).unwrap()
    }

    #[test]
    fn only_the_listed_moves() {
        let allowed = [
            (0, 1),
            (0, 2),
            (0, 3),
            (0, 4),
            (1, 1),
            (1, 2),
            (1, 3),
            (1, 4),
            (1, 5),
            (5, 1),
            (5, 2),
            (5, 3),
            (3, 1),
        ];
        for from in 0..=5 {
            for to in 0..=5 {
                // Another time, as a report that changes nothing is no move.
                let report = StatusReport { start_time: Some(1), ..say(to, 0, 0) };
                let moved = at(Status::from_id(from).unwrap(), 0, Revert::None).report(&report, now());
                assert_eq!(moved.is_ok(), allowed.contains(&(from, to)), "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_finished_task_can_be_reverted() {
        let asked = at(Status::Succeeded, 100, Revert::None).report(&say(2, 100, 1), now()).unwrap();
        assert_eq!((asked.revert, asked.revert_time), (Revert::Asked, 1_480_471_675));
        let failed = asked.report(&say(2, 100, 3), now()).unwrap();
        assert!(failed.report(&say(2, 100, 2), now()).is_err());
        assert!(failed.report(&say(2, 100, 1), now()).is_ok());
    }

    #[test]
    fn what_changes_nothing_is_accepted() {
        for id in 0..=5 {
            for revert in Revert::ALL {
                let held = TaskStatus {
                    start_time: 5,
                    revert_time: 6,
                    ..at(Status::from_id(id).unwrap(), 40, revert)
                };
                assert_eq!(held.report(&say(id, 40, revert.id()), now()).unwrap(), held);
            }
        }
        assert!(at(Status::Pending, 0, Revert::None).report(&say(0, 1, 0), now()).is_err());
        assert!(at(Status::Succeeded, 50, Revert::None).report(&say(2, 60, 0), now()).is_err());
    }

    #[test]
    fn agents_that_know_only_flags_are_understood() {
        let done = at(Status::Pending, 0, Revert::None).report(&say(1, 100, 0), now()).unwrap();
        assert_eq!((done.status, done.percent, done.outcome()), (Status::Running, 100, Status::Succeeded));
        for (status, percent) in [(1, 50), (3, 100), (4, 0), (5, 100)] {
            assert!(done.report(&say(status, percent, 0), now()).is_err(), "{status} at {percent}");
        }
        let same = done.report(&say(2, 100, 0), now()).unwrap();
        assert_eq!(same.status, Status::Succeeded);
        assert_eq!(same.report(&say(1, 100, 0), now()).unwrap(), same);
        let reverting = done.report(&say(1, 0, 1), now()).unwrap();
        assert_eq!((reverting.percent, reverting.revert), (0, Revert::Asked));
        let half = reverting.report(&say(1, 50, 0), now()).unwrap();
        assert_eq!((half.percent, half.revert), (50, Revert::Asked), "revert 0 says nothing new");
        assert_eq!(half.report(&say(1, 100, 1), now()).unwrap().outcome(), Status::Succeeded);
        assert!(at(Status::Succeeded, 100, Revert::Done).report(&say(2, 100, 0), now()).is_err());
    }

    #[test]
    fn percent_begins_again_while_reverting() {
        let asked = at(Status::Succeeded, 100, Revert::None).report(&say(2, 100, 1), now()).unwrap();
        let begun = asked.report(&say(1, 10, 1), now()).unwrap();
        assert_eq!((begun.status, begun.percent), (Status::Succeeded, 10), "status 1 leaves 2 as it is");
        assert_eq!(begun.start_time, 0);
        let done = begun.report(&say(2, 100, 2), now()).unwrap();
        assert!(done.report(&say(2, 10, 2), now()).is_err());
    }

    #[test]
    fn percent_never_falls_within_a_run() {
        let running = at(Status::Running, 40, Revert::None);
        assert_eq!(running.report(&say(1, 39, 0), now()).unwrap_err().kind(), ErrorKind::Conflict);
        let failed = running.report(&say(3, 40, 0), now()).unwrap();
        assert_eq!(failed.report(&say(1, 0, 0), now()).unwrap().percent, 0);
        let silent = running.report(&say(5, 40, 0), now()).unwrap();
        assert!(silent.report(&say(1, 10, 0), now()).is_err());
    }

    #[test]
    fn times_are_the_servers_unless_given() {
        let begun = at(Status::Pending, 0, Revert::None).report(&say(1, 0, 0), now()).unwrap();
        assert_eq!(begun.start_time, 1_480_471_675);
        let later = begun.report(&say(1, 5, 0), now() + chrono::TimeDelta::hours(1)).unwrap();
        assert_eq!(later.start_time, 1_480_471_675);
        let given = begun.report(&StatusReport { start_time: Some(7), ..say(1, 5, 0) }, now()).unwrap();
        assert_eq!(given.start_time, 7);
    }

    #[test]
    fn limits_are_named() {
        let timed = |start_time, revert_time| StatusReport { start_time, revert_time, ..say(1, 1, 0) };
        for (report, field) in [
            (say(1, 101, 0), "percent"),
            (say(1, -1, 0), "percent"),
            (say(3, 100, 0), "percent"),
            (timed(Some(-1), None), "start_time"),
            (timed(None, Some(MAX_TIME + 1)), "revert_time"),
        ] {
            let refused = report.check().unwrap_err();
            assert!(
                matches!(refused, Error::Invalid { field: ref named, .. } if named == field),
                "{refused}"
            );
        }
        assert!(timed(Some(0), Some(MAX_TIME)).check().is_ok());
    }
}
