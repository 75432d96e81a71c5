//! Errors of the agent: refusals before anything is touched, and failures of the system.

use std::error::Error as StdError;
use std::io;

/// Result of the agent's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of the agent. `Display` does not repeat the source; [`Error::chain`] does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings that cannot be used: exit status 2.
    #[error("{0}")]
    Settings(String),
    /// An order that is refused by name of the reason.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A system call or file operation that failed.
    #[error("{what}")]
    Io {
        /// Operation that failed, with its file.
        what: String,
        /// Error of the system.
        #[source]
        source: io::Error,
    },
    /// The server refused a request, or cannot be reached.
    #[error("{0}")]
    Server(String),
    /// Damaged state folder.
    #[error("{0}; `fsck` tells more")]
    Damaged(String),
}

impl Error {
    /// The error with its chain of causes, as one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// Names what was being done when a system call failed.
pub(crate) trait Context<T> {
    /// Converts the error; `what` completes "… failed".
    fn context(self, what: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::Io { what: what.into(), source: error.into() })
    }
}

/// Reason for which an order is refused, or given up before the file is replaced.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A path that names no file unambiguously.
    #[error("path {0}")]
    Path(&'static str),
    /// `allow` of the settings is empty, which is the default.
    #[error("`allow` in the settings is empty, so every order is refused")]
    NothingAllowed,
    /// No line of `allow` covers the path.
    #[error("{0} is not covered by `allow` in the settings")]
    NotAllowed(String),
    /// A line of `deny` covers the path.
    #[error("{path} is refused by `deny` in the settings ({place})")]
    Denied {
        /// Path of the order.
        path: String,
        /// Line of `deny`.
        place: String,
    },
    /// A built-in refusal covers the path.
    #[error("{path} is refused unless `allow` names {place} or something in it ({why})")]
    BuiltIn {
        /// Path of the order.
        path: String,
        /// Refused place.
        place: String,
        /// Contents of that place, which are the reason.
        why: &'static str,
    },
    /// A folder above the file, or of an `allow` line, is a symbolic link.
    #[error("{0} leads through a symbolic link, or is no folder")]
    SymbolicLink(String),
    /// The folder of the file does not exist.
    #[error("the folder of {0} does not exist")]
    NoFolder(String),
    /// Something that cannot be replaced as a regular file.
    #[error("{path} is {what}")]
    Unfit {
        /// Path of the order.
        path: String,
        /// Kind of the file that is there, with its article.
        what: &'static str,
    },
    /// `expect_sha256` is not the hash of the file.
    #[error("the file has the SHA-256 {found}, not the `expect_sha256` {expected}")]
    Expectation {
        /// Hash in the order.
        expected: String,
        /// Hash of the file, or "none" for an absent one.
        found: String,
    },
    /// An order of an attempt that a later one has replaced.
    #[error("stale attempt {attempt}: attempt {highest} of this task has been seen")]
    StaleAttempt {
        /// Attempt of the order.
        attempt: u32,
        /// Highest attempt seen.
        highest: u32,
    },
    /// A task is unfinished on this path.
    #[error("task {0} on this path is unfinished and could not be resolved")]
    Unresolved(String),
    /// The deadline of the order is over.
    #[error("the deadline of the order passed at {0} (Unix time)")]
    Deadline(u64),
    /// Too little space.
    #[error(
        "{folder} has {free} bytes free, but {needed} are needed ({reserve} of them are kept in reserve)"
    )]
    Space {
        /// Folder whose file system is meant.
        folder: String,
        /// Free bytes.
        free: u64,
        /// Needed bytes, reserve included.
        needed: u64,
        /// Reserve in bytes.
        reserve: u64,
    },
    /// The blob is not what the order says.
    #[error("the blob {0}")]
    Blob(String),
    /// A command that the settings do not declare, or declare for another use.
    #[error("{0}")]
    Command(String),
    /// A user or group that this machine does not have.
    #[error("there is no {kind} {name} on this machine")]
    Unknown {
        /// "user" or "group".
        kind: &'static str,
        /// Name in the order.
        name: String,
    },
    /// The file changed while the order was carried out.
    #[error("{0} changed while it was being replaced")]
    Changed(String),
    /// The staged check failed.
    #[error("check {0}")]
    Check(String),
    /// The server ended the attempt, or could not be asked, before the file was replaced.
    #[error("stopped: {0}")]
    Stopped(String),
    /// An order whose members do not fit together or are not known.
    #[error("order: {0}")]
    Order(String),
    /// A revert that cannot be done.
    #[error("{0}")]
    Revert(String),
    /// Another agent works on the same state folder.
    #[error("another agent is at work: it holds the lock in {0}")]
    Busy(String),
}
