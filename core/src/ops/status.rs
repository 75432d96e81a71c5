//! How far a release task has come.

use chrono::{DateTime, Utc};

use super::TaskId;
use crate::account::digest;
use crate::{Error, Result};

/// Where a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// 0: nobody has begun.
    #[default]
    Pending = 0,
    /// 1: an agent is at it.
    Running = 1,
    /// 2: done.
    Succeeded = 2,
    /// 3: it failed; it may be run again.
    Failed = 3,
    /// 4: called off.
    Cancelled = 4,
    /// 5: its agent fell silent.
    Unknown = 5,
}

impl Status {
    const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Unknown];

    /// By its number on the wire.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.id() == id)
    }

    /// Its number on the wire.
    pub fn id(self) -> i64 {
        self as i64
    }

    fn may_become(self, next: Self) -> bool {
        use Status::{Cancelled, Failed, Pending, Running, Succeeded, Unknown};
        match self {
            Pending => matches!(next, Running | Succeeded | Failed | Cancelled),
            Running => matches!(next, Running | Succeeded | Failed | Cancelled | Unknown),
            Unknown => matches!(next, Running | Succeeded | Failed),
            Failed => matches!(next, Running),
            Succeeded | Cancelled => false,
        }
    }
}

/// Where a task's undoing stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Revert {
    /// 0: nobody asked.
    #[default]
    None = 0,
    /// 1: asked for.
    Asked = 1,
    /// 2: done.
    Done = 2,
    /// 3: it failed; it may be asked for again.
    Failed = 3,
}

impl Revert {
    const ALL: [Self; 4] = [Self::None, Self::Asked, Self::Done, Self::Failed];

    /// By its number on the wire.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|revert| revert.id() == id)
    }

    /// Its number on the wire.
    pub fn id(self) -> i64 {
        self as i64
    }

    fn may_become(self, next: Self) -> bool {
        match self {
            Self::None | Self::Done | Self::Failed => next == Self::Asked,
            Self::Asked => matches!(next, Self::Done | Self::Failed),
        }
    }
}

/// The status of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Its place in the list.
    pub id: i64,
    /// Whose status it is.
    pub task_id: TaskId,
    /// When it began; unix seconds, 0 before.
    pub start_time: i64,
    /// When its undoing was asked for; unix seconds, 0 before.
    pub revert_time: i64,
    /// Where it stands.
    pub status: Status,
    /// Progress of this run, 0 to 100.
    pub percent: i64,
    /// Where its undoing stands.
    pub revert: Revert,
    /// Grows by one with every report.
    pub version: i64,
}

/// What an agent reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// When it began, unix seconds; the server's time where it is not given.
    pub start_time: Option<i64>,
    /// When its undoing was asked for, unix seconds; the server's time where it is not given.
    pub revert_time: Option<i64>,
    /// Progress, 0 to 100; 100 only with status 2.
    pub percent: i64,
    /// Where it stands, 0 to 5.
    pub status: i64,
    /// Where its undoing stands, 0 to 3.
    pub revert: i64,
}

impl StatusReport {
    /// Refuses what no state could accept.
    pub fn check(&self) -> Result<()> {
        self.parts().map(|_| ())
    }

    fn parts(&self) -> Result<(Status, Revert)> {
        let status =
            Status::from_id(self.status).ok_or_else(|| Error::invalid("status", "must be from 0 to 5"))?;
        let revert =
            Revert::from_id(self.revert).ok_or_else(|| Error::invalid("revert", "must be from 0 to 3"))?;
        if !(0..=100).contains(&self.percent) {
            return Err(Error::invalid("percent", "must be from 0 to 100"));
        }
        if self.percent == 100 && status != Status::Succeeded {
            return Err(Error::invalid("percent", "is 100 only with status 2"));
        }
        for (field, time) in [("start_time", self.start_time), ("revert_time", self.revert_time)] {
            if time.is_some_and(|time| !(0..=MAX_TIME).contains(&time)) {
                return Err(Error::invalid(field, "must be unix seconds from 0 to 253402300799"));
            }
        }
        Ok((status, revert))
    }
}

/// The last second of the year 9999.
const MAX_TIME: i64 = 253_402_300_799;

impl TaskStatus {
    /// The status after a report that arrives at `now`.
    ///
    /// Moves are 0→1,2,3,4; 1→1,2,3,4,5; 5→1,2,3; 3→1. A report that repeats another status is accepted only where it
    /// moves `revert`, whose moves are 0→1, 1→2,3, 2→1 and 3→1. `percent` never falls within a run; 3→1 begins a new one.
    pub fn report(&self, report: &StatusReport, now: DateTime<Utc>) -> Result<Self> {
        let (status, revert) = report.parts()?;
        let reverting = revert != self.revert;
        if reverting && !self.revert.may_become(revert) {
            return Err(Error::conflict(format!(
                "revert cannot go from {} to {}",
                self.revert.id(),
                revert.id()
            )));
        }
        let stays = status == self.status && reverting;
        if !stays && !self.status.may_become(status) {
            return Err(Error::conflict(format!(
                "status cannot go from {} to {}",
                self.status.id(),
                status.id()
            )));
        }
        let new_run = self.status == Status::Failed && status == Status::Running;
        if !new_run && report.percent < self.percent {
            return Err(Error::conflict(format!(
                "percent cannot fall from {} to {}",
                self.percent, report.percent
            )));
        }
        let first = |given: Option<i64>, held: i64, begins: bool| match given {
            Some(time) => time,
            None if held == 0 && begins => now.timestamp(),
            None => held,
        };
        Ok(Self {
            start_time: first(report.start_time, self.start_time, status == Status::Running),
            revert_time: first(report.revert_time, self.revert_time, revert == Revert::Asked),
            status,
            percent: report.percent,
            revert,
            ..self.clone()
        })
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
            id: 1,
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
                let moved = at(Status::from_id(from).unwrap(), 0, Revert::None).report(&say(to, 0, 0), now());
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
        for (report, field) in [
            (say(6, 0, 0), "status"),
            (say(1, 101, 0), "percent"),
            (say(1, 100, 0), "percent"),
            (say(1, 1, 4), "revert"),
        ] {
            let refused = report.check().unwrap_err();
            assert!(
                matches!(refused, Error::Invalid { field: ref named, .. } if named == field),
                "{refused}"
            );
        }
    }
}
