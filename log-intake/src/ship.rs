//! Shipping of a log: follows the log of an edge on its machine, and sends it to a server elsewhere piece by piece.
//!
//! A server counts an edge's log as one stream that never begins anew, by the bytes of all its files. Here the offset of a line
//! is given once, when it is read: the lines that were not shipped yet follow each other in the order in which a
//! [`Follower`] reads them, the older file first, and each piece of them is put into the journal with its offset before it is
//! sent. So rotation moves no offset, what was sent without an answer is sent again as it was, and what was read is known by
//! its content, like any followed log, under whatever name. The journal also tells which file has which bytes, so that a
//! server that was restored from a backup gets again what it lost.

mod again;
mod begin;
mod delivery;
mod entry;
mod error;
mod journal;
mod ledger;
mod server;
mod state;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use pilothouse_access_log::{Follower, IngestError, IngestOptions, Notice};

use delivery::Delivery;
use entry::EdgeName;
pub use error::ShipError;
use journal::Journal;
use ledger::rules;
pub use server::{LogServer, SendError, ShipEvent, Unavailable};

/// Bytes of a piece, before compression: packed it passes through proxies that take no body over 1 MiB.
const PIECE: usize = 2 << 20;

/// Time without a word after which the server is asked what it wants: so it knows that the log is shipped, and what it lost in a
/// restore is shipped again though nothing is new.
const ASK_INTERVAL: Duration = Duration::from_mins(1);

/// Log to be shipped, and where its state is kept.
#[derive(Clone, Debug)]
pub struct ShippedLog {
    cdn: String,
    edge: String,
    path: PathBuf,
    state: PathBuf,
    rotated_folder: Option<PathBuf>,
    from: Option<ShipFrom>,
    ends_when_shipped: bool,
}

/// First byte of a log that is shipped, where nothing was shipped from here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShipFrom {
    /// The first byte of the file, which is refused where the server has the beginning or the end of the file already.
    Start,
    /// The first byte after the last whole line that the file has at the first start.
    End,
    /// This byte of the file, the first being 0: the server has those before it, which is compared.
    Byte(u64),
}

impl FromStr for ShipFrom {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            _ => text.parse().map(Self::Byte).map_err(|_| "must be start, end or a number of bytes"),
        }
    }
}

impl ShippedLog {
    /// Names the log of an edge of a cdn. The file at `path` need not exist yet; rotated files are looked for beside it, and
    /// beside the file that it is a symbolic link to. The state is kept in the file `state`, which is made at the first start.
    pub fn new(
        cdn: impl Into<String>,
        edge: impl Into<String>,
        path: impl Into<PathBuf>,
        state: impl Into<PathBuf>,
    ) -> Self {
        Self {
            cdn: cdn.into(),
            edge: edge.into(),
            path: path.into(),
            state: state.into(),
            rotated_folder: None,
            from: None,
            ends_when_shipped: false,
        }
    }

    /// Sets a folder in which rotated files are looked for too.
    #[must_use]
    pub fn rotated_folder(self, folder: impl Into<PathBuf>) -> Self {
        Self { rotated_folder: Some(folder.into()), ..self }
    }

    /// Sets the first byte that is shipped. Without it that is the first byte of the file where the server has nothing of this
    /// edge, and the one after those that the server has where the file begins with exactly those. Files that were rotated
    /// before the first start are not shipped. Refused where there is a state, which tells where to go on.
    #[must_use]
    pub fn from(self, from: ShipFrom) -> Self {
        Self { from: Some(from), ..self }
    }

    /// Ends the shipping when everything that is there was shipped, instead of following the log.
    #[must_use]
    pub fn ends_when_shipped(self) -> Self {
        Self { ends_when_shipped: true, ..self }
    }

    /// Ships the log, on this thread, until an error ends it: [`ShipError::Stopped`] where the server's `wait_…` or `send` says
    /// so. It may be killed at any moment; the next start goes on.
    pub fn ship(&self, server: &mut impl LogServer) -> Result<(), ShipError> {
        let edge = EdgeName { cdn: self.cdn.clone(), edge: self.edge.clone() };
        let journal = Journal::open(&self.state, edge)?;
        let mut delivery = Delivery { log: self, journal, server, asked: Instant::now() };
        delivery.begin()?;
        let mut follower = self.follower();
        let mut is_unreadable = false;
        loop {
            match delivery.poll(&mut follower) {
                Ok(true) => continue,
                Ok(false) if self.ends_when_shipped => return Ok(()),
                Ok(false) => is_unreadable = false,
                Err(error @ ShipError::Log { .. }) if !self.ends_when_shipped => {
                    if !std::mem::replace(&mut is_unreadable, true) {
                        delivery.server.report(ShipEvent::Unreadable(&error));
                    }
                }
                Err(error) => return Err(error),
            }
            delivery.server.wait_for_lines()?;
            delivery.ask_when_idle()?;
        }
    }

    fn follower(&self) -> Follower {
        let follower = Follower::new(&self.path);
        self.rotated_folder.iter().fold(follower, |follower, folder| follower.rotated_folder(folder.clone()))
    }
}

impl<S: LogServer> Delivery<'_, S> {
    /// Asks the server what it wants, where nothing was sent for some time.
    fn ask_when_idle(&mut self) -> Result<(), ShipError> {
        if self.asked.elapsed() < ASK_INTERVAL {
            return Ok(());
        }
        let wanted = self.ask()?;
        self.reconcile(wanted)
    }

    /// Ships what is new, up to a piece of every file; whether there is more.
    fn poll(&mut self, follower: &mut Follower) -> Result<bool, ShipError> {
        // Left by the last run, or by a file that could not be read again.
        self.deliver()?;
        let now = Instant::now();
        if !follower.has_changed(now) {
            return Ok(false);
        }
        let mut options = IngestOptions::default();
        options.batch_bytes = PIECE;
        options.threads = 1;
        // Rotated files that were there before the first start are known, if only by their positions.
        let had_logs = self.journal.state().has_logs();
        let report = follower
            .poll(&rules(), &options, self, true, now)
            .map_err(|error: IngestError<ShipError>| ShipError::of_reading(error))?;
        for notice in &report.notices {
            // Before the first line there was no file that could be missed.
            if had_logs || !matches!(notice, Notice::Gap) {
                self.server.report(ShipEvent::Notice(notice));
            }
        }
        Ok(report.has_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_a_word_or_a_number() {
        assert_eq!("start".parse(), Ok(ShipFrom::Start));
        assert_eq!("end".parse(), Ok(ShipFrom::End));
        assert_eq!("4096".parse(), Ok(ShipFrom::Byte(4096)));
        for wrong in ["", "-1", "1k", "End"] {
            assert!(wrong.parse::<ShipFrom>().is_err(), "{wrong}");
        }
    }
}
