//! Permission groups: what an account may do.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::{Error, Result};

/// One right, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Group {
    /// 1: read tasks and their status.
    ReadTasks = 1,
    /// 2: add and delete tasks, report status.
    WriteTasks = 2,
    /// 3: execute, revert and cancel tasks.
    ExecuteTasks = 3,
    /// 4: read the machine inventory.
    ReadMachines = 4,
    /// 5: add, change and delete machines.
    WriteMachines = 5,
    /// 6: read all accounts.
    ReadAccounts = 6,
    /// 7: add, change and delete accounts and companies.
    WriteAccounts = 7,
    /// 8: the cdn family for every customer.
    Cdn = 8,
    /// 9: read the audit trail.
    ReadAudit = 9,
}

impl Group {
    /// All groups by ascending id.
    pub const ALL: [Self; 9] = [
        Self::ReadTasks,
        Self::WriteTasks,
        Self::ExecuteTasks,
        Self::ReadMachines,
        Self::WriteMachines,
        Self::ReadAccounts,
        Self::WriteAccounts,
        Self::Cdn,
        Self::ReadAudit,
    ];

    /// Number on the wire.
    pub fn id(self) -> u8 {
        self as u8
    }
}

/// A set of groups. On the wire a comma-separated list without blanks: any order in, ascending out, empty is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Groups(u16);

impl Groups {
    /// The empty set of groups.
    pub const NONE: Self = Self(0);

    /// The set of all groups.
    pub fn all() -> Self {
        Group::ALL.into_iter().collect()
    }

    /// Whether `group` is among them.
    pub fn holds(self, group: Group) -> bool {
        self.0 & bit(group) != 0
    }

    /// Whether every one of `other` is among them.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Intersection: the groups of `self` that are in `other`.
    #[must_use]
    pub(crate) fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Difference: the groups of `self` that are not in `other`.
    #[must_use]
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Bit set that stores keep: bit `n` is group `n`.
    pub fn bits(self) -> i64 {
        i64::from(self.0)
    }

    /// Parses a store's bit set; `None` when a bit is no group.
    pub fn from_bits(bits: i64) -> Option<Self> {
        u16::try_from(bits).ok().filter(|bits| bits & !Self::all().0 == 0).map(Self)
    }
}

fn bit(group: Group) -> u16 {
    1 << group.id()
}

impl FromIterator<Group> for Groups {
    fn from_iter<I: IntoIterator<Item = Group>>(groups: I) -> Self {
        Self(groups.into_iter().fold(0, |bits, group| bits | bit(group)))
    }
}

impl FromStr for Groups {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut groups = Self::NONE;
        for id in text.split(',').filter(|_| !text.is_empty()) {
            let known = Group::ALL.into_iter().find(|group| group.id().to_string() == id);
            let Some(group) = known else {
                return Err(Error::invalid(
                    "permissions",
                    "must be group numbers 1 to 9, separated by commas",
                ));
            };
            if groups.holds(group) {
                return Err(Error::invalid("permissions", format!("names group {id} twice")));
            }
            groups.0 |= bit(group);
        }
        Ok(groups)
    }
}

impl Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = Group::ALL.into_iter().filter(|group| self.holds(*group));
        for (n, group) in held.enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { "," }, group.id())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_in_ascending_out() {
        assert_eq!("3,1,2".parse::<Groups>().unwrap().to_string(), "1,2,3");
        assert_eq!("".parse::<Groups>().unwrap(), Groups::NONE);
        assert_eq!(Groups::all().to_string(), "1,2,3,4,5,6,7,8,9");
    }

    #[test]
    fn refuses_what_is_not_a_plain_list() {
        for text in ["1,,2", "01", "1, 2", "1,1", "10", "0", ",", "1,", "-1", "x"] {
            assert!(text.parse::<Groups>().is_err(), "{text} must be refused");
        }
    }

    #[test]
    fn survives_a_store() {
        let groups: Groups = "2,9".parse().unwrap();
        assert_eq!(Groups::from_bits(groups.bits()), Some(groups));
        assert_eq!(Groups::from_bits(1), None);
        assert_eq!(Groups::from_bits(1 << 10), None);
    }
}
