//! Ledgers of a shipped log: where its reading is recorded.

use std::sync::LazyLock;

use pilothouse_access_log::{
    CheckpointId, CheckpointUpdate, DomainIndex, Fingerprint, Format, Ledger, LogBatch, Progress, Rules,
    Stamp, StoredCheckpoint,
};

use super::delivery::{Delivery, gzip};
use super::entry::{Entry, Piece, Segment, StoredLog};
use super::error::ShipError;
use super::journal::{Durability, Journal};
use super::server::{LogServer, ShipEvent};

static NO_DOMAINS: LazyLock<DomainIndex> = LazyLock::new(DomainIndex::default);

/// Rules that lines are shipped by: as they are.
pub(super) fn rules() -> Rules<'static> {
    Rules {
        format: Format::Verbatim,
        domains: &NO_DOMAINS,
        default_domain: None,
        cities: None,
        keeps_unregistered: None,
        timezone: chrono_tz::Tz::UTC,
        stamp: Stamp::End,
    }
}

/// Ledger that ships what is new: a batch is recorded when the server has it.
impl<S: LogServer> Ledger for Delivery<'_, S> {
    type Error = ShipError;

    fn checkpoints(&mut self, fingerprints: [Fingerprint; 2]) -> Result<Vec<StoredCheckpoint>, ShipError> {
        Ok(stored(&self.journal, fingerprints))
    }

    fn pack_name(&mut self) -> String {
        String::new()
    }

    fn record(&mut self, batch: LogBatch) -> Result<CheckpointId, ShipError> {
        let log = position(&self.journal, batch.checkpoint);
        let id = CheckpointId(log.id);
        let lines = batch.verbatim.unwrap_or_default();
        if lines.left_out > 0 {
            self.server.report(ShipEvent::LeftOut { bytes: lines.left_out });
        }
        if lines.bytes.is_empty() {
            self.journal.append(Entry::Log(log), Durability::Relaxed)?;
            return Ok(id);
        }
        let failed = |source| ShipError::Log { path: self.log.path.clone(), source };
        let gzip = gzip(&lines.bytes).map_err(failed)?;
        let offset = self.journal.state().offset().unwrap_or_default();
        let segment = Segment { offset, length: lines.bytes.len() as u64, log: log.id, at: lines.from };
        let piece = Piece { segment, is_exact: lines.left_out == 0, log, gzip };
        // Durable before it is sent: whatever happens next, these bytes have this offset and no others do.
        self.journal.append(Entry::Piece(piece), Durability::Flushed)?;
        self.deliver()?;
        Ok(id)
    }

    fn progress(&mut self, _: Progress) -> Result<(), ShipError> {
        Ok(())
    }
}

/// Ledger that only remembers positions: what is read with it is not shipped.
pub(super) struct PositionLedger<'j> {
    pub(super) journal: &'j mut Journal,
}

impl Ledger for PositionLedger<'_> {
    type Error = ShipError;

    fn checkpoints(&mut self, fingerprints: [Fingerprint; 2]) -> Result<Vec<StoredCheckpoint>, ShipError> {
        Ok(stored(self.journal, fingerprints))
    }

    fn pack_name(&mut self) -> String {
        String::new()
    }

    fn record(&mut self, batch: LogBatch) -> Result<CheckpointId, ShipError> {
        let log = position(self.journal, batch.checkpoint);
        let id = CheckpointId(log.id);
        self.journal.append(Entry::Log(log), Durability::Relaxed)?;
        Ok(id)
    }

    fn progress(&mut self, _: Progress) -> Result<(), ShipError> {
        Ok(())
    }
}

fn stored(journal: &Journal, fingerprints: [Fingerprint; 2]) -> Vec<StoredCheckpoint> {
    let logs = journal.state().logs_with(fingerprints);
    logs.map(|log| StoredCheckpoint { id: CheckpointId(log.id), state: log.state.clone() }).collect()
}

fn position(journal: &Journal, update: CheckpointUpdate) -> StoredLog {
    let CheckpointUpdate { fingerprint, replaces, state, .. } = update;
    let id = replaces.map_or_else(|| journal.state().unused_id(), |CheckpointId(id)| id);
    StoredLog { id, fingerprint, state }
}
