//! A whole log from its input into a ledger.

mod recognise;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::thread::{Scope, ScopedJoinHandle};

use crate::feeder::{Batch, Feeder, Parsed, RulesError};
use crate::input::{CHUNK, Input};
use crate::source::DamagedSource;
use crate::{Counters, Rules, SourceKey};

/// Where the figures and positions of one edge are recorded.
///
/// Nobody else should read logs of the same edge at the same time: what two read at once is refused to the second, by
/// [`crate::SourceChange::previous_length`], unless both see a log for the first time. A lock per edge prevents that too.
pub trait Ledger {
    /// Why something could not be recorded.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The sources of this edge that have one of these keys.
    fn sources(&mut self, keys: [SourceKey; 2]) -> Result<Vec<Known>, Self::Error>;

    /// A new name for the pack of the next batch, as [`crate::archive::Pack::name`] wants it. It may remain unused.
    fn pack_name(&mut self) -> String;

    /// Records a batch as a whole or not at all, and answers the number of its source's row.
    fn record(&mut self, batch: Batch) -> Result<i64, Self::Error>;

    /// Told now and then how far the reading is. An error stops it; what was recorded stays, and a later run goes on there.
    fn progress(&mut self, progress: Progress) -> Result<(), Self::Error>;
}

/// A source as a ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The number of its row.
    pub id: i64,
    /// The row's content: the last recorded [`crate::SourceChange::state`].
    pub state: Vec<u8>,
}

/// How far the reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the log, before compression, what was known already included.
    pub bytes: u64,
    /// Lines of the recorded batches.
    pub lines: i64,
}

/// How a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A batch is recorded every so many bytes. About five times as many are held in memory.
    pub batch_bytes: usize,
    /// Threads that compress, beside the one that reads.
    pub threads: usize,
    /// Of gzip, 1 to 9.
    pub compression: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { batch_bytes: 16 << 20, threads: 2, compression: 3 }
    }
}

/// What became of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// What it was recognised as.
    pub found: Found,
    /// What its new lines were.
    pub counters: Counters,
    /// Its length in bytes, before compression.
    pub bytes: u64,
    /// Bytes at its end that were left for when it has grown, as [`Feeder::finish`] says.
    pub unfinished: u64,
}

/// What an input was recognised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing that was read before.
    New,
    /// A log read before: only what it has grown by, perhaps nothing, is new.
    Continued,
    /// The beginning of a log read before: nothing is new.
    Copy,
}

/// A log was not read, or not to its end. What was recorded before stays, and the next attempt goes on there.
#[derive(Debug, thiserror::Error)]
pub enum IngestError<E: std::error::Error + 'static> {
    /// The rules contradict each other.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The input cannot be read; gzip that is damaged or ends too early is such a case.
    #[error("cannot read {name}")]
    Read {
        /// Which input.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The kept lines could not be compressed.
    #[error("cannot compress the kept lines")]
    Pack(#[source] io::Error),
    /// A known source cannot be compared with.
    #[error(transparent)]
    Damaged(#[from] DamagedSource),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(E),
}

/// Reads `input` and records in `ledger` what is new in it, batch by batch and in order.
pub fn ingest<L: Ledger>(
    mut input: Input,
    rules: &Rules<'_>,
    options: &Options,
    ledger: &mut L,
) -> Result<Report, IngestError<L::Error>> {
    let (found, feeder) = input.start(rules, ledger)?;
    let Some(feeder) = feeder else {
        return Ok(Report { found, counters: Counters::default(), bytes: input.position(), unfinished: 0 });
    };
    std::thread::scope(|scope| {
        let counters = Counters::default();
        let mut run = Run { scope, options, ledger, packing: VecDeque::new(), known: None, counters };
        let unfinished = run.read(&mut input, feeder)?;
        while run.record_oldest()? {}
        Ok(Report { found, counters: run.counters, bytes: input.position(), unfinished })
    })
}

fn read_error<E: std::error::Error>(input: &Input, source: io::Error) -> IngestError<E> {
    IngestError::Read { name: input.name().to_owned(), source }
}

struct Run<'scope, 'env, 'l, L> {
    scope: &'scope Scope<'scope, 'env>,
    options: &'l Options,
    ledger: &'l mut L,
    /// Oldest first.
    packing: VecDeque<ScopedJoinHandle<'scope, io::Result<Batch>>>,
    known: Option<i64>,
    counters: Counters,
}

impl<L: Ledger> Run<'_, '_, '_, L> {
    /// Answers how many bytes were left unfinished.
    fn read(&mut self, input: &mut Input, mut feeder: Feeder<'_>) -> Result<u64, IngestError<L::Error>> {
        let mut chunk = vec![0; CHUNK.min(self.options.batch_bytes).max(1)];
        loop {
            let count = input.read(&mut chunk).map_err(|source| read_error(input, source))?;
            if count == 0 {
                break;
            }
            feeder.feed(&chunk[..count]);
            if feeder.pending() >= self.options.batch_bytes {
                let parsed = feeder.take(self.ledger.pack_name());
                self.pack(parsed)?;
            }
            let progress = Progress { bytes: feeder.position(), lines: self.counters.lines };
            self.ledger.progress(progress).map_err(IngestError::Ledger)?;
        }
        let (rest, unfinished) = feeder.finish(self.ledger.pack_name());
        self.pack(rest)?;
        Ok(unfinished)
    }

    fn pack(&mut self, parsed: Parsed) -> Result<(), IngestError<L::Error>> {
        if parsed.is_empty() {
            return Ok(());
        }
        while self.packing.len() >= self.options.threads.max(1) {
            self.record_oldest()?;
        }
        let level = self.options.compression;
        self.packing.push_back(self.scope.spawn(move || parsed.pack(level)));
        Ok(())
    }

    fn record_oldest(&mut self) -> Result<bool, IngestError<L::Error>> {
        let Some(oldest) = self.packing.pop_front() else { return Ok(false) };
        let mut batch = oldest
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .map_err(IngestError::Pack)?;
        // A log's row has no number before its first batch is recorded; by then the next ones were taken already.
        batch.source.known = self.known.or(batch.source.known);
        let counters = batch.counters;
        self.known = Some(self.ledger.record(batch).map_err(IngestError::Ledger)?);
        self.counters += counters;
        Ok(true)
    }
}
