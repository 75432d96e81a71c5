//! Ledger: the port through which figures and positions of one edge are recorded.

use crate::{CheckpointId, Fingerprint, LogBatch};

/// Store of the figures and checkpoints of one edge.
///
/// Nobody else should read logs of the same edge at the same time: what two read at once is refused to the second, by
/// [`crate::CheckpointUpdate::previous_length`], unless both see a log for the first time. A lock per edge prevents that too.
pub trait Ledger {
    /// Reason why something could not be recorded.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Finds the checkpoints of this edge that have one of these fingerprints.
    fn checkpoints(&mut self, fingerprints: [Fingerprint; 2]) -> Result<Vec<StoredCheckpoint>, Self::Error>;

    /// Makes a new name for the pack of the next batch, by the rules of [`crate::archive::Pack::name`]. It may remain unused.
    fn pack_name(&mut self) -> String;

    /// Records a batch as a whole or not at all, and returns the id of its checkpoint.
    fn record(&mut self, batch: LogBatch) -> Result<CheckpointId, Self::Error>;

    /// Receives the progress, about every 256 KiB. An error stops the reading; what was recorded stays, and a later run goes
    /// on there.
    fn progress(&mut self, progress: Progress) -> Result<(), Self::Error>;
}

/// Checkpoint as a ledger stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Id that its row was recorded under.
    pub id: CheckpointId,
    /// Last recorded [`crate::CheckpointUpdate::state`].
    pub state: Vec<u8>,
}

/// Progress of reading a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of the log read, before compression, those that were known already included.
    pub bytes: u64,
    /// Lines of the batches recorded so far.
    pub lines: i64,
}
