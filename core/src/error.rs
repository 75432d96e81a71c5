//! Errors of use cases, and the kinds that the wire contract knows.

use std::borrow::Cow;
use std::time::Duration;

use crate::ports::StorageError;

/// The answer of every use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Refusal or failure of a use case. The HTTP families map [`Error::kind`] to their own codes, once each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Our own fault: the store failed. The text never reaches a client.
    #[error("the store failed")]
    Storage(#[from] StorageError),
    /// Our own fault: something that cannot happen did. The text never reaches a client.
    #[error("{0}")]
    Internal(String),
    /// Something we depend on is down or not set up.
    #[error("{0}")]
    Unavailable(String),
    /// An argument is missing, malformed or outside its limit.
    #[error("{field}: {reason}")]
    Invalid {
        /// The parameter, by its name on the wire.
        field: Cow<'static, str>,
        /// Violated rule, with the limit.
        reason: Cow<'static, str>,
    },
    /// No caller, or one whose token expired or was revoked.
    #[error("not authenticated")]
    Unauthenticated,
    /// The caller is known and may not do this. Decided before the object is looked up.
    #[error("not permitted")]
    Forbidden,
    /// The thing, named by the text, exists already.
    #[error("{0} already exists")]
    AlreadyExists(Cow<'static, str>),
    /// The thing, named by the text, does not exist.
    #[error("{0} does not exist")]
    NotFound(Cow<'static, str>),
    /// The request contradicts the present state: a stale version, a forbidden move, the last administrator.
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// Too many attempts; try again after the time given.
    #[error("too many requests")]
    TooMany {
        /// Time until the next attempt can succeed.
        retry_after: Duration,
    },
}

/// Kind of an error, as adapters map it to their codes. An adapter treats a kind it does not know as
/// [`ErrorKind::Internal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A fault of the server: storage, or a bug.
    Internal,
    /// The store is out of reach or overloaded for the moment. Nothing was done.
    Busy,
    /// The store's answer to a commit was lost: it may have been done.
    OutcomeUnknown,
    /// Something we depend on is down or not set up.
    Unavailable,
    /// An argument that is missing, malformed or outside its limit.
    Invalid,
    /// Not authenticated, expired or revoked.
    Unauthenticated,
    /// A known caller without the right.
    Forbidden,
    /// The name is taken.
    AlreadyExists,
    /// Nothing has that name or id.
    NotFound,
    /// A stale version or another conflict with the present state.
    Conflict,
    /// Throttled, with a time to wait.
    TooMany,
}

impl ErrorKind {
    /// Every kind of this version, for tests of an adapter's mapping.
    pub const ALL: [Self; 11] = [
        Self::Internal,
        Self::Busy,
        Self::OutcomeUnknown,
        Self::Unavailable,
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::AlreadyExists,
        Self::NotFound,
        Self::Conflict,
        Self::TooMany,
    ];
}

impl Error {
    /// An invalid argument: the field by its name on the wire, and what is wrong, with the limit.
    pub fn invalid(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// The thing named does not exist.
    pub fn not_found(what: impl Into<Cow<'static, str>>) -> Self {
        Self::NotFound(what.into())
    }

    /// The thing named exists already.
    pub fn exists(what: impl Into<Cow<'static, str>>) -> Self {
        Self::AlreadyExists(what.into())
    }

    /// The request contradicts the present state.
    pub fn conflict(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Conflict(why.into())
    }

    /// The kind, for mapping to a code.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(StorageError::Unavailable(_)) => ErrorKind::Busy,
            Self::Storage(StorageError::CommitUnknown(_) | StorageError::Stopped(_)) => {
                ErrorKind::OutcomeUnknown
            }
            Self::Storage(_) | Self::Internal(_) => ErrorKind::Internal,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::Forbidden => ErrorKind::Forbidden,
            Self::AlreadyExists(_) => ErrorKind::AlreadyExists,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::TooMany { .. } => ErrorKind::TooMany,
        }
    }
}

/// An error and its causes, for a log line.
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::ErrorKind;

    /// Position of a kind in [`ErrorKind::ALL`]; a new kind does not compile until it is listed.
    fn position(kind: ErrorKind) -> usize {
        match kind {
            ErrorKind::Internal => 0,
            ErrorKind::Busy => 1,
            ErrorKind::OutcomeUnknown => 2,
            ErrorKind::Unavailable => 3,
            ErrorKind::Invalid => 4,
            ErrorKind::Unauthenticated => 5,
            ErrorKind::Forbidden => 6,
            ErrorKind::AlreadyExists => 7,
            ErrorKind::NotFound => 8,
            ErrorKind::Conflict => 9,
            ErrorKind::TooMany => 10,
        }
    }

    #[test]
    fn every_kind_is_listed() {
        assert_eq!(ErrorKind::ALL.map(position), std::array::from_fn(|n| n));
    }
}
