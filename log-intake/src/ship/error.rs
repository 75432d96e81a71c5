//! Reasons why shipping a log ends.

use std::io;
use std::path::PathBuf;

use pilothouse_access_log::IngestError;

/// Reason why the shipping of a log ended. What was shipped stays, and the next start goes on there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShipError {
    /// It was stopped by its [`crate::LogServer`].
    #[error("stopped")]
    Stopped,
    /// The server was not available for as long as its [`crate::LogServer`] waits.
    #[error("the server is not available: {0}")]
    Unavailable(String),
    /// Refusal by the server that no repetition changes, in its words.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// Log that cannot be read.
    #[error("cannot read {}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Reading that failed otherwise.
    #[error(transparent)]
    Read(Box<IngestError<ShipError>>),
    /// State that cannot be read or written.
    #[error("the state {}", path.display())]
    State {
        /// File of the state.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// File that should be a state and is something else.
    #[error("{} is not the state of a shipped log, or is of a newer version", path.display())]
    NoState {
        /// The file.
        path: PathBuf,
    },
    /// State that another process uses.
    #[error("another process ships with the state {}", path.display())]
    InUse {
        /// File of the state.
        path: PathBuf,
    },
    /// State of another edge.
    #[error("{} is the state of the edge {edge} of the cdn {cdn}", path.display())]
    OtherEdge {
        /// File of the state.
        path: PathBuf,
        /// Cdn of the edge.
        cdn: String,
        /// Name of the edge.
        edge: String,
    },
    /// First byte that was named though there is a state.
    #[error("{} tells where to go on, so no beginning may be named", path.display())]
    BegunBefore {
        /// File of the state.
        path: PathBuf,
    },
    /// No state, while the server has taken a part of the stream that does not end in the log where it should.
    #[error(
        "the server has taken {wanted} bytes of this edge's log, and there is no state {} that says which: name the first \
         byte of {} that it does not have, or `start` if it has none of them", state.display(), log.display()
    )]
    UnknownBeginning {
        /// Offset wanted next.
        wanted: u64,
        /// File that the state would be in.
        state: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// Log that is to be shipped from its start, of which the server has the beginning or the end.
    #[error(
        "the server has the beginning or the end of {} already: name the first byte that it does not have, or 0 to ship \
         everything all the same", log.display()
    )]
    ShippedBefore {
        /// The log.
        log: PathBuf,
    },
    /// First byte that is not the beginning of a line of the log.
    #[error("byte {byte} of {} is not the beginning of a line", log.display())]
    NoLine {
        /// The byte that was named.
        byte: u64,
        /// The log.
        log: PathBuf,
    },
    /// First byte that does not follow what the server has.
    #[error("the bytes of {} before {byte} are not those that the server has taken last", log.display())]
    NotFollowing {
        /// The byte that was named.
        byte: u64,
        /// The log.
        log: PathBuf,
    },
    /// The server has more of the stream than was shipped with this state.
    #[error(
        "the server has taken {wanted} bytes of this edge's log, of which only {shipped} were shipped with the state {}: \
         another program ships this log, or the state is an old copy, or bytes were given up. End the other program; then \
         remove the state, and name the first byte of the log that the server does not have", state.display()
    )]
    Ahead {
        /// Offset wanted next.
        wanted: u64,
        /// Offset up to which this state has shipped.
        shipped: u64,
        /// File of the state.
        state: PathBuf,
    },
    /// The server has other bytes than were shipped with this state.
    #[error(
        "the server has other bytes of this edge's log than were shipped with the state {}: {why}. Another program ships for \
         this edge, or it is another server's state. End the other program; then remove the state, and name the first byte \
         of the log that the server does not have", state.display()
    )]
    Differs {
        /// The server's words.
        why: String,
        /// File of the state.
        state: PathBuf,
    },
    /// The server wants bytes again, as after its restore from a backup, and no file has them any more.
    #[error(
        "the server wants the log from {from} on again, and no file here has the bytes before {to} any more. Put the rotated \
         files back that have them, or give the bytes up: POST /level3/edge_logs/skip (group 8) \
         {{\"cdn\":\"{cdn}\",\"edge\":\"{edge}\",\"from\":{from},\"to\":{to}}}"
    )]
    Lost {
        /// Offset wanted next.
        from: u64,
        /// First offset from which on everything is there.
        to: u64,
        /// Cdn of the edge.
        cdn: String,
        /// Name of the edge.
        edge: String,
    },
}

impl ShipError {
    /// Error of reading the log; that of the ledger is itself.
    pub(super) fn of_reading(error: IngestError<Self>) -> Self {
        match error {
            IngestError::Ledger(error) => error,
            IngestError::Read { name, source } => Self::Log { path: name.into(), source },
            error => Self::Read(Box::new(error)),
        }
    }

    /// Whether what was asked for is wrong, rather than what was done.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoState { .. }
                | Self::OtherEdge { .. }
                | Self::BegunBefore { .. }
                | Self::UnknownBeginning { .. }
                | Self::ShippedBefore { .. }
                | Self::NoLine { .. }
                | Self::NotFollowing { .. }
        )
    }
}
