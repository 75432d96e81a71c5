//! Failures of reading and writing.

use std::fmt::{self, Display};

/// The answer of everything that reads or writes.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A file that cannot be read, or configuration that a format cannot hold: nothing of it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// File, with the line where there is one.
    pub place: String,
    /// Fault of the file, with the limit.
    pub reason: String,
}

impl Failure {
    pub(crate) fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for Failure {}
