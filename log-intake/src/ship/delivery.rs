//! Delivery of pieces: sends the pending piece until the server has it, and earlier ones again where the server lost them.

use std::io::{self, Write};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::ShippedLog;
use super::again::ShippedAgain;
use super::entry::Entry;
use super::error::ShipError;
use super::journal::{Durability, Journal};
use super::server::{LogServer, SendError, ShipEvent};

/// Attempts at a piece that conflicts with what the server has, though the offset it wants is right.
const ATTEMPTS: u32 = 5;

/// Answer of the server.
pub(super) enum Answer {
    /// Offset wanted next.
    Wanted(u64),
    /// Conflict, in the server's words.
    Conflict(String),
}

/// Connection of a log's journal with the server.
pub(super) struct Delivery<'s, S> {
    pub(super) log: &'s ShippedLog,
    pub(super) journal: Journal,
    pub(super) server: &'s mut S,
    /// Time at which something was last sent.
    pub(super) asked: Instant,
}

impl<S: LogServer> Delivery<'_, S> {
    /// Offset that the server wants next.
    pub(super) fn ask(&mut self) -> Result<u64, ShipError> {
        match self.send(0, &[])? {
            Answer::Wanted(wanted) => Ok(wanted),
            // The log is followed as a file too, say.
            Answer::Conflict(why) => Err(ShipError::Refused(why)),
        }
    }

    /// Sends bytes until the server answers.
    pub(super) fn send(&mut self, offset: u64, gzip: &[u8]) -> Result<Answer, ShipError> {
        let mut attempt = 1;
        self.asked = Instant::now();
        loop {
            match self.server.send(offset, gzip) {
                Ok(wanted) => return Ok(Answer::Wanted(wanted)),
                Err(SendError::Conflict(why)) => return Ok(Answer::Conflict(why)),
                Err(SendError::Refused(why)) => return Err(ShipError::Refused(why)),
                Err(SendError::Stopped) => return Err(ShipError::Stopped),
                Err(SendError::Unavailable(unavailable)) => {
                    attempt += 1;
                    self.server.wait_for_server(attempt, &unavailable)?;
                }
            }
        }
    }

    /// Sends the pending piece, if there is one, until the server has it. It is sent as it is in the journal, with the same
    /// bytes at the same offset, since the server may have taken it already.
    pub(super) fn deliver(&mut self) -> Result<(), ShipError> {
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS {
            let Some(piece) = self.journal.state().pending().cloned() else { return Ok(()) };
            let (bytes, end) = (piece.segment.length, piece.segment.end());
            match self.send(piece.segment.offset, &piece.gzip)? {
                Answer::Wanted(wanted) if wanted == end => {
                    self.journal.append(Entry::Taken(end), Durability::Relaxed)?;
                    self.server.report(ShipEvent::Shipped { offset: end, bytes });
                    return Ok(());
                }
                Answer::Wanted(wanted) if wanted > end => return Err(self.ahead(wanted, end)),
                Answer::Wanted(wanted) => {
                    refusal =
                        format!("it took the log up to {wanted} only, and not to the line end at {end}");
                }
                Answer::Conflict(why) => {
                    refusal = why;
                    let wanted = self.ask()?;
                    self.reconcile(wanted)?;
                }
            }
        }
        Err(self.differs(refusal))
    }

    /// Compares the offset wanted with what was shipped, and ships again what the server has lost.
    pub(super) fn reconcile(&mut self, mut wanted: u64) -> Result<(), ShipError> {
        let state = self.journal.state();
        let shipped = state.offset().unwrap_or_default();
        let most = state.pending().map_or(shipped, |piece| piece.segment.end());
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS {
            if wanted > most {
                return Err(self.ahead(wanted, most));
            }
            if wanted >= shipped {
                return Ok(());
            }
            self.server.report(ShipEvent::Rewinding { from: wanted, to: shipped });
            match self.ship_again(wanted, shipped)? {
                ShippedAgain::Whole => return Ok(()),
                ShippedAgain::Interrupted(why) => refusal = why,
            }
            // It may have lost something once more.
            wanted = self.ask()?;
        }
        Err(self.differs(refusal))
    }

    fn differs(&self, why: String) -> ShipError {
        ShipError::Differs { why, state: self.log.state.clone() }
    }

    pub(super) fn ahead(&self, wanted: u64, shipped: u64) -> ShipError {
        ShipError::Ahead { wanted, shipped, state: self.log.state.clone() }
    }
}

/// Compresses lines as one gzip member.
pub(super) fn gzip(lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(3));
    gzip.write_all(lines)?;
    gzip.finish()
}
