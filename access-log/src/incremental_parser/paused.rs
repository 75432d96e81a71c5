//! Paused parser: the position in a log between two batches.

use super::{IncrementalParser, Position, RulesError};
use crate::{CheckpointId, Rules, UncompressedBatch};

/// Position in a growing log, without the rules: the registered domains may be others when it goes on.
#[derive(Debug)]
pub struct PausedParser(Position);

impl IncrementalParser<'_> {
    /// Emits what was counted since the last batch, as [`IncrementalParser::take`] does, and pauses.
    pub fn pause(mut self, pack_name: String) -> (UncompressedBatch, PausedParser) {
        let batch = self.take(pack_name);
        (batch, PausedParser(self.position))
    }

    /// Pauses before anything was fed.
    pub(crate) fn into_paused(self) -> PausedParser {
        PausedParser(self.position)
    }
}

impl PausedParser {
    /// Stores the id that the last batch was recorded under, which the next batch then names.
    pub fn set_checkpoint_id(&mut self, id: CheckpointId) {
        self.0.checkpoint_id = Some(id);
    }

    /// Goes on by other rules, or the same.
    pub fn resume<'a>(self, rules: &Rules<'a>) -> Result<IncrementalParser<'a>, RulesError> {
        IncrementalParser::at(rules, self.0)
    }
}
