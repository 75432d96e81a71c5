//! Recorder: the ledger that writes kept lines to the archive and figures to the domain.

use std::sync::Arc;

use pilothouse_access_log::{
    CheckpointId, CheckpointUpdate, Fingerprint, IngestOptions, Ledger, LineCounts, LogBatch, Progress,
    StoredCheckpoint,
};
use pilothouse_core::cdn::{Batch, EdgeRef, LogSourceId, Seen, SourceChange};
use pilothouse_core::ports::{Ids, RandomIds};
use pilothouse_core::{Error, error_chain};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::convert::{filled, signed, stored_checkpoint};
use crate::{FolderArchive, LogPipeline};

/// Receiver of the progress of a log.
pub(crate) type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// Ledger of one edge. It blocks on the domain, so it must not run on the runtime's own threads.
pub(crate) struct Recorder<'p> {
    runtime: Handle,
    pipeline: &'p LogPipeline,
    edge: EdgeRef,
    /// State of the store when the present log was begun.
    seen: Seen,
    stop: CancellationToken,
    on_progress: Option<OnProgress>,
    counts: LineCounts,
    undo_options: Option<String>,
    /// Time in unix seconds from which all former owners of hosts are known.
    former_since: i64,
    has_met_older: bool,
}

impl<'p> Recorder<'p> {
    /// Creates the ledger of an edge. Reading stops when `stop` is cancelled.
    pub(crate) fn new(
        runtime: Handle,
        pipeline: &'p LogPipeline,
        edge: EdgeRef,
        stop: CancellationToken,
    ) -> Self {
        let seen = Seen::default();
        Self {
            runtime,
            pipeline,
            edge,
            seen,
            stop,
            on_progress: None,
            counts: LineCounts::default(),
            undo_options: None,
            former_since: 0,
            has_met_older: false,
        }
    }

    /// Refuses lines of before this time, whose owners are not known; 0 refuses none.
    pub(crate) fn refuse_before(&mut self, former_since: i64) {
        (self.former_since, self.has_met_older) = (former_since, false);
    }

    /// Whether a line was refused because its owner is not known.
    pub(crate) fn has_met_older(&self) -> bool {
        self.has_met_older
    }

    pub(crate) fn on_progress(self, on_progress: Option<OnProgress>) -> Self {
        Self { on_progress, ..self }
    }

    /// Records what it adds, so that the log can be forgotten again, with the options that it is read with.
    pub(crate) fn undo_options(self, options: String) -> Self {
        Self { undo_options: Some(options), ..self }
    }

    /// Counts of all lines recorded.
    pub(crate) fn counts(&self) -> LineCounts {
        self.counts
    }

    pub(crate) fn options(&self) -> IngestOptions {
        self.pipeline.settings.ingest
    }
}

impl Ledger for Recorder<'_> {
    type Error = Error;

    fn checkpoints(&mut self, fingerprints: [Fingerprint; 2]) -> Result<Vec<StoredCheckpoint>, Error> {
        let keys = fingerprints.map(|fingerprint| fingerprint.0);
        let intake = self.pipeline.pilothouse.log_intake();
        let known = self.runtime.block_on(intake.sources(&self.edge, &keys))?;
        self.seen = known.seen;
        Ok(known.sources.into_iter().map(stored_checkpoint).collect())
    }

    fn pack_name(&mut self) -> String {
        pack_name()
    }

    fn record(&mut self, mut batch: LogBatch) -> Result<CheckpointId, Error> {
        if batch.first_time.is_some_and(|first| first < self.former_since) {
            self.has_met_older = true;
            return Err(Error::Unavailable("the owners of the time of a line are not known".to_owned()));
        }
        // The lines are written before the rows that point at them: a crash between leaves a file that pruning deletes.
        write_pack(&self.pipeline.archive, &batch)?;
        let state = std::mem::take(&mut batch.checkpoint.state);
        let CheckpointUpdate { fingerprint, replaces, previous_length, length, .. } = batch.checkpoint;
        let change = match replaces {
            Some(CheckpointId(id)) => SourceChange::Continued(LogSourceId(id), signed(previous_length)),
            None => SourceChange::New(self.seen.clone()),
        };
        let source = Batch {
            edge: self.edge.clone(),
            change,
            key: fingerprint.0,
            length: signed(length),
            state,
            undo_options: self.undo_options.clone(),
            ..Batch::default()
        };
        count_lines(batch.counts);
        let counts = batch.counts;
        let batch = filled(source, batch, self.pipeline.cities.as_deref());
        let id = self.runtime.block_on(self.pipeline.pilothouse.log_intake().record(batch))?;
        self.counts += counts;
        Ok(CheckpointId(id.0))
    }

    fn progress(&mut self, progress: Progress) -> Result<(), Error> {
        if self.stop.is_cancelled() {
            return Err(Error::Unavailable("the reading of logs was stopped".to_owned()));
        }
        if let Some(on_progress) = &self.on_progress {
            on_progress(progress);
        }
        Ok(())
    }
}

/// Makes a name that no pack had before.
pub(crate) fn pack_name() -> String {
    RandomIds.uuid().simple().to_string()
}

/// Writes the kept lines of a batch to the archive, durable on return.
pub(crate) fn write_pack(archive: &FolderArchive, batch: &LogBatch) -> Result<(), Error> {
    let Some(pack) = &batch.pack else { return Ok(()) };
    archive.write(pack).map_err(|error| internal("the log archive failed", &error))
}

/// Adds the lines of a batch to the metrics by outcome.
pub(crate) fn count_lines(counts: LineCounts) {
    let LineCounts { billed, unreadable, unregistered, purges, .. } = counts;
    for (fate, lines) in
        [("billed", billed), ("unreadable", unreadable), ("unregistered", unregistered), ("purge", purges)]
    {
        // A counter never falls, so an open line that is withdrawn and counted anew counts twice here.
        let lines = u64::try_from(lines).unwrap_or_default();
        metrics::counter!("pilothouse_log_lines_total", "fate" => fate).increment(lines);
    }
}

/// Internal error whose text holds the whole chain of causes, since the domain's errors of this kind are text alone.
pub(crate) fn internal(what: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Internal(format!("{what}: {}", error_chain(error)))
}
