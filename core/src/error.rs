//! What a use case answers when it does not do what was asked.

use std::borrow::Cow;
use std::time::Duration;

use crate::ports::StorageError;

/// The answer of every use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a use case was refused or failed. The HTTP families map [`Error::kind`] to their own codes, once each.
#[derive(Debug, thiserror::Error)]
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
        /// What is wrong with it, with the limit.
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
        /// How long to wait.
        retry_after: Duration,
    },
}

/// The kinds the wire contract knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Our own fault.
    Internal,
    /// Something we depend on is down or not set up.
    Unavailable,
    /// An invalid argument.
    Invalid,
    /// Not authenticated, expired or revoked.
    Unauthenticated,
    /// Not permitted.
    Forbidden,
    /// Already exists.
    AlreadyExists,
    /// Does not exist.
    NotFound,
    /// A stale version or another conflict with the present state.
    Conflict,
    /// Too many requests.
    TooMany,
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
