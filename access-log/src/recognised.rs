//! Recognition of a log that was read before, without reading on.

use std::io::Read;

use crate::{CheckpointId, IncrementalParser, IngestError, Input, Ledger, LogIdentity, Rules};

/// Relation of a whole input to the logs that were read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognised {
    /// Log that was not read before.
    Unknown,
    /// Log that was read before from its first to its last byte.
    Whole(CheckpointId),
    /// Log that was read before, and has lines that were not.
    Grown,
    /// Beginning of a log that was read before.
    Beginning,
    /// Log that was read before and has lost its last lines.
    Truncated,
}

impl Input {
    /// Compares the whole input with the stored checkpoints, and records nothing.
    pub fn recognise<L: Ledger>(
        mut self,
        rules: &Rules<'_>,
        ledger: &mut L,
    ) -> Result<Recognised, IngestError<L::Error>> {
        let (identity, parser) = self.resume(rules, ledger)?;
        Ok(match (identity, parser.as_ref().and_then(IncrementalParser::checkpoint_id)) {
            (LogIdentity::New, _) => Recognised::Unknown,
            (LogIdentity::Continued, Some(id)) => {
                let mut next = [0];
                match self.read(&mut next).map_err(|source| self.error(source))? {
                    0 => Recognised::Whole(id),
                    _ => Recognised::Grown,
                }
            }
            (LogIdentity::Truncated { .. }, _) => Recognised::Truncated,
            (LogIdentity::Copy | LogIdentity::Continued, _) => Recognised::Beginning,
        })
    }
}
