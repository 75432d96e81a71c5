//! States of a release task: of its run and of its revert.

use crate::{Error, Result};

/// State of a task's run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// 0: nobody has begun.
    #[default]
    Pending = 0,
    /// 1: an agent is at it.
    Running = 1,
    /// 2: ended with success.
    Succeeded = 2,
    /// 3: it failed; it may be run again.
    Failed = 3,
    /// 4: cancelled before its end.
    Cancelled = 4,
    /// 5: its agent fell silent.
    Unknown = 5,
}

impl Status {
    pub(super) const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Unknown];

    /// Parses the number on the wire.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.id() == id)
    }

    /// Number on the wire.
    pub fn id(self) -> i64 {
        self as i64
    }

    pub(super) fn may_become(self, next: Self) -> bool {
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

impl TryFrom<i64> for Status {
    type Error = Error;

    /// The state of a number on the wire.
    fn try_from(id: i64) -> Result<Self> {
        Self::from_id(id).ok_or_else(|| Error::invalid("status", "must be from 0 to 5"))
    }
}

/// State of a task's revert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Revert {
    /// 0: not requested.
    #[default]
    None = 0,
    /// 1: requested, not done yet.
    Asked = 1,
    /// 2: ended with success.
    Done = 2,
    /// 3: it failed; it may be asked for again.
    Failed = 3,
}

impl Revert {
    pub(super) const ALL: [Self; 4] = [Self::None, Self::Asked, Self::Done, Self::Failed];

    /// Parses the number on the wire.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|revert| revert.id() == id)
    }

    /// Number on the wire.
    pub fn id(self) -> i64 {
        self as i64
    }

    pub(super) fn may_become(self, next: Self) -> bool {
        match self {
            Self::None | Self::Done | Self::Failed => next == Self::Asked,
            Self::Asked => matches!(next, Self::Done | Self::Failed),
        }
    }
}

impl TryFrom<i64> for Revert {
    type Error = Error;

    /// The state of a number on the wire.
    fn try_from(id: i64) -> Result<Self> {
        Self::from_id(id).ok_or_else(|| Error::invalid("revert", "must be from 0 to 3"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_the_numbers_of_the_wire() {
        for (id, status) in (0..).zip(Status::ALL) {
            assert_eq!((Status::try_from(id).unwrap(), status.id()), (status, id));
        }
        for (id, revert) in (0..).zip(Revert::ALL) {
            assert_eq!((Revert::try_from(id).unwrap(), revert.id()), (revert, id));
        }
        for wrong in [-1, 6, 256] {
            assert_eq!(Status::try_from(wrong).unwrap_err().to_string(), "status: must be from 0 to 5");
        }
        for wrong in [-1, 4, 256] {
            assert_eq!(Revert::try_from(wrong).unwrap_err().to_string(), "revert: must be from 0 to 3");
        }
    }
}
