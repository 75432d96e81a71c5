//! Why a command ends without having done its work.

use std::error::Error as StdError;
use std::fmt::{self, Display};
use std::process::ExitCode;

use pilothouse_core::{Error, ErrorKind};

/// What is printed, and the exit status it ends with.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    usage: bool,
}

impl Failure {
    /// Wrong settings or usage: exit status 2.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), usage: true }
    }

    /// The work failed: exit status 1. `what` was being done or used.
    pub(crate) fn failed(what: impl Display, error: impl StdError + 'static) -> Self {
        let mut text = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { text, usage: false }
    }

    pub(crate) fn status(&self) -> ExitCode {
        if self.usage { ExitCode::from(2) } else { ExitCode::FAILURE }
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
