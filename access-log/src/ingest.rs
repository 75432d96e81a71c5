//! Ingest of a whole log: reads an input and records what is new in a ledger, while other threads compress.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::thread::{Scope, ScopedJoinHandle};

use crate::input::{CHUNK, Input};
use crate::sample::Sample;
use crate::{
    CheckpointId, IncrementalParser, IngestError, Ledger, LineCounts, LogBatch, LogIdentity, Progress, Rules,
    UncompressedBatch,
};

/// Options of reading a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestOptions {
    /// Bytes of the log after which a batch is recorded; 16 MiB by default. About five times as many are held in memory.
    pub batch_bytes: usize,
    /// Threads that compress, beside the one that reads; 2 by default.
    pub threads: usize,
    /// Gzip level of the kept lines, 1 to 9; 3 by default.
    pub compression: u32,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self { batch_bytes: 16 << 20, threads: 2, compression: 3 }
    }
}

/// Result of reading a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestReport {
    /// Log that the input was recognised as.
    pub identity: LogIdentity,
    /// Counts of its new lines.
    pub counts: LineCounts,
    /// Length of the log in bytes, before compression.
    pub bytes: u64,
    /// Bytes at its beginning that were known before.
    pub known: u64,
    /// Bytes at its end that were left for when it has grown, as [`IncrementalParser::finish`] tells.
    pub unfinished: u64,
}

/// Reads `input` and records in `ledger` what is new in it, batch by batch and in order. A new log is refused if none of its
/// first 100 lines can be read.
pub fn ingest<L: Ledger>(
    mut input: Input,
    rules: &Rules<'_>,
    options: &IngestOptions,
    ledger: &mut L,
) -> Result<IngestReport, IngestError<L::Error>> {
    let (identity, parser) = input.resume(rules, ledger)?;
    let Some(parser) = parser else {
        let counts = LineCounts::default();
        let bytes = input.position();
        return Ok(IngestReport { identity, counts, bytes, known: bytes, unfinished: 0 });
    };
    if identity == LogIdentity::New
        && let Sample::Unreadable { lines, .. } = input.sample(rules).map_err(|source| input.error(source))?
    {
        let (name, format) = (input.name().to_owned(), rules.format);
        return Err(IngestError::Unreadable { name, format, lines });
    }
    let known = parser.position();
    std::thread::scope(|scope| {
        let counts = LineCounts::default();
        let mut run =
            Run { scope, options, ledger, compressing: VecDeque::new(), checkpoint_id: None, counts };
        let unfinished = run.read(&mut input, parser)?;
        while run.record_oldest()? {}
        Ok(IngestReport { identity, counts: run.counts, bytes: input.position(), known, unfinished })
    })
}

struct Run<'scope, 'env, 'l, L> {
    scope: &'scope Scope<'scope, 'env>,
    options: &'l IngestOptions,
    ledger: &'l mut L,
    /// Oldest first.
    compressing: VecDeque<ScopedJoinHandle<'scope, io::Result<LogBatch>>>,
    checkpoint_id: Option<CheckpointId>,
    counts: LineCounts,
}

impl<L: Ledger> Run<'_, '_, '_, L> {
    /// Reads to the end of the input, and returns the number of bytes left unread there.
    fn read(
        &mut self,
        input: &mut Input,
        mut parser: IncrementalParser<'_>,
    ) -> Result<u64, IngestError<L::Error>> {
        let mut chunk = vec![0; CHUNK.min(self.options.batch_bytes).max(1)];
        loop {
            let count = input.read(&mut chunk).map_err(|source| input.error(source))?;
            if count == 0 {
                break;
            }
            parser.feed(&chunk[..count]);
            if parser.pending() >= self.options.batch_bytes {
                let batch = parser.take(self.ledger.pack_name());
                self.compress(batch)?;
            }
            let progress = Progress { bytes: parser.position(), lines: self.counts.lines };
            self.ledger.progress(progress).map_err(IngestError::Ledger)?;
        }
        let (rest, unfinished) = parser.finish(self.ledger.pack_name());
        self.compress(rest)?;
        Ok(unfinished)
    }

    /// Compresses a batch on a thread of its own, once fewer than the permitted number do so.
    fn compress(&mut self, batch: UncompressedBatch) -> Result<(), IngestError<L::Error>> {
        if batch.is_empty() {
            return Ok(());
        }
        while self.compressing.len() >= self.options.threads.max(1) {
            self.record_oldest()?;
        }
        let level = self.options.compression;
        self.compressing.push_back(self.scope.spawn(move || batch.compress(level)));
        Ok(())
    }

    /// Records the oldest batch; whether there was one.
    fn record_oldest(&mut self) -> Result<bool, IngestError<L::Error>> {
        let Some(oldest) = self.compressing.pop_front() else { return Ok(false) };
        let mut batch = oldest
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .map_err(IngestError::Compress)?;
        // The checkpoint of a new log has no id before the first batch is recorded; by then the next ones were taken already.
        batch.checkpoint.replaces = self.checkpoint_id.or(batch.checkpoint.replaces);
        let counts = batch.counts;
        self.checkpoint_id = Some(self.ledger.record(batch).map_err(IngestError::Ledger)?);
        self.counts += counts;
        Ok(true)
    }
}
