//! Places in a document, which errors begin with.

use std::fmt::{self, Display};

use super::report::ImportKind;
use crate::Error;

/// Place of a record, as `accounts[3]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// List that holds the record.
    pub(super) kind: ImportKind,
    /// Index in that list, from 0.
    pub(super) index: usize,
}

impl Place {
    /// An error of a member of the record.
    pub(super) fn invalid(self, field: impl Display, reason: impl Into<String>) -> Error {
        Error::invalid(format!("{self}.{field}"), reason.into())
    }

    /// The error of a check, with the place before it.
    pub(super) fn refused(self, error: Error) -> Error {
        match error {
            Error::Invalid { field, reason } => self.invalid(field, reason),
            Error::Storage(_) | Error::Internal(_) => error,
            other => Error::conflict(format!("{self}: {other}")),
        }
    }

    /// The error of a check of a part of the record, with the place before it.
    pub(super) fn refused_in(self, part: &str, error: Error) -> Error {
        match error {
            Error::Invalid { field, reason } => self.invalid(format_args!("{part}.{field}"), reason),
            other => other,
        }
    }

    /// The error of a record that contradicts what the store holds.
    pub(super) fn conflict(self, why: impl Display) -> Error {
        Error::conflict(format!("{self}: {why}"))
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.kind.as_str(), self.index)
    }
}
