//! Errors of reading a log.

use std::io;

use crate::Format;
use crate::checkpoint::DamagedCheckpoint;
use crate::rules::RulesError;

/// Reason why a log was not read, or not to its end. What was recorded before stays, and the next attempt goes on there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError<E: std::error::Error + 'static> {
    /// Rules that contradict each other.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Input that cannot be read; gzip that is damaged or ends too early is such a case.
    #[error("cannot read {name}")]
    Read {
        /// Name of the input.
        name: String,
        /// Cause.
        source: io::Error,
    },
    /// Log that begins like one that was read before, but has less than half of its lines: whether the rest was counted cannot be
    /// told, so nothing is.
    #[error(
        "{name} begins with {agreeing} of the {known} lines of a log that was read before, and then differs: whether it was \
         counted cannot be told, and nothing of it was"
    )]
    Unclear {
        /// Name of the input.
        name: String,
        /// Lines that both begin with.
        agreeing: u64,
        /// Lines read before.
        known: u64,
    },
    /// Log none of whose first lines can be read: its format is another.
    #[error("{name} is not in the format {format}: none of its first {lines} lines can be read")]
    Unreadable {
        /// Name of the input.
        name: String,
        /// Format that it was read in.
        format: Format,
        /// Lines that were looked at.
        lines: usize,
    },
    /// Kept lines that could not be compressed.
    #[error("cannot compress the kept lines")]
    Compress(#[source] io::Error),
    /// Stored checkpoint that the log cannot be compared with.
    #[error(transparent)]
    Damaged(#[from] DamagedCheckpoint),
    /// Refusal of the ledger.
    #[error(transparent)]
    Ledger(E),
}
