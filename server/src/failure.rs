//! Failures of commands, with the exit status they end with.

use std::error::Error as StdError;
use std::fmt::{self, Display};
use std::process::ExitCode;

use pilothouse_core::{Error, ErrorKind, error_chain};

/// Failure of a command: the text to print, and its exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    status: u8,
}

impl Failure {
    /// Wrong settings or usage: exit status 2.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: 2 }
    }

    /// The work failed: exit status 1. `what` was being done or used.
    pub(crate) fn failed(what: impl Display, error: impl StdError + 'static) -> Self {
        let text = format!("{what}: {}", error_chain(&error));
        Self { text, status: 1 }
    }

    /// The process cannot go on: exit status 1.
    pub(crate) fn died(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: 1 }
    }

    /// Difference found by a dry run: exit status 3.
    pub(crate) fn would_change(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: 3 }
    }

    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Invalid => Self::usage(error.to_string()),
            _ => Self::failed("not done", error),
        }
    }
}

impl From<pilothouse_core::ports::StorageError> for Failure {
    fn from(error: pilothouse_core::ports::StorageError) -> Self {
        Self::failed("the store", error)
    }
}
