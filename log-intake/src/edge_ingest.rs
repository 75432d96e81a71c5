//! Ingest of whole logs of one edge: files and streams.

use std::fmt;
use std::io::{self, Read};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pilothouse_access_log::{
    CheckpointId, DomainIndex, IngestError, Input, LogIdentity, Progress, Recognised, Rules, ingest,
};
use pilothouse_core::Error;
use pilothouse_core::cdn::{Counters, EdgeRef, ForgetLog, LogSourceId};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::recorder::{OnProgress, Recorder, internal};
use crate::unbilled_share::UnbilledShare;
use crate::{LogLayout, LogPipeline, convert};

/// Attempts at a file that somebody else reads at the same time.
const ATTEMPTS: usize = 3;

/// Summary of ingested logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestSummary {
    /// Counts of the new lines, by outcome.
    pub counters: Counters,
    /// Bytes, before compression, that were recorded earlier and are not counted again.
    pub known_bytes: u64,
}

impl AddAssign for IngestSummary {
    fn add_assign(&mut self, other: Self) {
        self.counters.add(other.counters);
        self.known_bytes += other.known_bytes;
    }
}

impl fmt::Display for IngestSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counters { lines, billed, kept, unreadable, unregistered, purges } = self.counters;
        write!(
            f,
            "lines {lines}, billed {billed}, kept {kept}, unreadable {unreadable}, unregistered {unregistered}, \
             purges {purges}, known bytes {}",
            self.known_bytes
        )
    }
}

/// Reason why a log was not ingested, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestFileError {
    /// File that does not exist or cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Path as it was given.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Log that cannot be forgotten, because it is not one that was read, or not as it was read.
    #[error("{name} {reason}")]
    NotForgotten {
        /// Name of the log as it was given.
        name: String,
        /// Reason, which goes on after the name.
        reason: &'static str,
    },
    /// Failure while reading or recording. What was recorded before stays, and the next attempt goes on there.
    #[error(transparent)]
    Ingest(#[from] IngestError<Error>),
}

/// Ingest of logs of one edge; [`LogPipeline::edge`] makes it.
#[derive(Clone)]
pub struct EdgeIngest {
    pipeline: LogPipeline,
    edge: EdgeRef,
    domains: Arc<DomainIndex>,
    layout: LogLayout,
    on_progress: Option<OnProgress>,
}

impl fmt::Debug for EdgeIngest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { edge, layout, .. } = self;
        f.debug_struct("EdgeIngest").field("edge", edge).field("layout", layout).finish_non_exhaustive()
    }
}

impl EdgeIngest {
    pub(crate) fn new(pipeline: LogPipeline, edge: EdgeRef, domains: DomainIndex, layout: LogLayout) -> Self {
        Self { pipeline, edge, domains: Arc::new(domains), layout, on_progress: None }
    }

    /// Sets a receiver of the progress. It is called about every 256 KiB, on the thread that reads.
    #[must_use]
    pub fn on_progress(mut self, receiver: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(receiver));
        self
    }

    /// Ingests a file, gzipped or not; lines that were recorded before under any name are not counted again. Reading ends
    /// soon after the future is dropped.
    #[tracing::instrument(name = "ingest_file", skip_all, fields(edge = self.edge.edge, file = %path.display()))]
    pub async fn file(&self, path: &Path) -> Result<IngestSummary, IngestFileError> {
        let path = path.to_owned();
        self.read(move |run| {
            for _ in 1..ATTEMPTS {
                match run.ingest(open(&path)?) {
                    Err(IngestError::Ledger(Error::Conflict(_))) => {}
                    done => return Ok(done?),
                }
            }
            Ok(run.ingest(open(&path)?)?)
        })
        .await
    }

    /// Ingests a stream, gzipped or not, such as standard input; errors call it `name`. Reading ends soon after the future is
    /// dropped, unless it waits for the stream.
    #[tracing::instrument(name = "ingest_stream", skip_all, fields(edge = self.edge.edge, stream = name))]
    pub async fn stream(
        &self,
        name: &str,
        stream: impl Read + Send + 'static,
    ) -> Result<IngestSummary, IngestFileError> {
        let name = name.to_owned();
        self.read(move |run| Ok(run.ingest(Input::stream(name, stream))?)).await
    }

    /// Forgets logs that were ingested with the same layout: everything that they added, and that they were read. Where one is
    /// refused, nothing changes. Answers the counts of each.
    #[tracing::instrument(name = "forget_logs", skip_all, fields(edge = self.edge.edge, files = paths.len()))]
    pub async fn forget(&self, paths: &[PathBuf]) -> Result<Vec<Counters>, IngestFileError> {
        let mut logs = Vec::new();
        for path in paths {
            logs.push(self.recognised(path.clone()).await?);
        }
        let intake = self.pipeline.pilothouse.log_intake();
        Ok(intake.forget(&self.edge, &logs).await.map_err(IngestError::Ledger)?)
    }

    async fn recognised(&self, path: PathBuf) -> Result<ForgetLog, IngestFileError> {
        let (name, options) = (path.display().to_string(), self.layout.undo_options());
        let found = self.read(move |run| Ok(open(&path)?.recognise(&run.rules, &mut run.recorder)?)).await?;
        let reason = match found {
            Recognised::Whole(CheckpointId(id)) => {
                return Ok(ForgetLog { name, source_id: LogSourceId(id), options });
            }
            Recognised::Unknown => "was never read",
            Recognised::Grown => "has lines that were not read yet; read them first",
            Recognised::Beginning => "is only the beginning of a log that was read",
            Recognised::Truncated => "has lost lines of a log that was read",
        };
        Err(IngestFileError::NotForgotten { name, reason })
    }

    /// Does `work` on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Run<'_>) -> Result<T, IngestFileError> + Send + 'static,
    ) -> Result<T, IngestFileError> {
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        let (this, runtime, span) = (self.clone(), Handle::current(), tracing::Span::current());
        let work = move || {
            let _entered = span.entered();
            let EdgeIngest { pipeline, edge, domains, layout, on_progress } = this;
            let timezone = pipeline.pilothouse.settings().timezone;
            let recorder = Recorder::new(runtime, &pipeline, edge, stop).on_progress(on_progress);
            let recorder = recorder.undo_options(layout.undo_options());
            let rules = layout.rules(&domains, pipeline.cities.as_ref(), timezone);
            work(&mut Run { recorder, rules })
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| IngestError::Ledger(internal("the reading of logs failed", &error)))?
    }
}

fn open(path: &Path) -> Result<Input, IngestFileError> {
    Input::open(path).map_err(|source| IngestFileError::Open { path: path.to_owned(), source })
}

struct Run<'p> {
    recorder: Recorder<'p>,
    rules: Rules<'p>,
}

impl Run<'_> {
    fn ingest(&mut self, input: Input) -> Result<IngestSummary, IngestError<Error>> {
        let options = self.recorder.options();
        let report = ingest(input, &self.rules, &options, &mut self.recorder)?;
        match report.identity {
            LogIdentity::Truncated { skipped } => tracing::warn!(
                skipped,
                "a log has lost lines that were read before; lines that may have been are skipped"
            ),
            LogIdentity::New | LogIdentity::Continued | LogIdentity::Copy => {}
        }
        let counters = convert::counters(report.counts);
        if let Some(share) = UnbilledShare::of(counters) {
            tracing::warn!(%share, "lines of a log are not billed");
        }
        Ok(IngestSummary { counters, known_bytes: report.known })
    }
}
