//! `pilothouse ingest`: access logs into the statistics.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pilothouse_log_intake::{
    EdgeIngest, IngestError, IngestFileError, IngestSummary, LogLayout, LogPipeline, Progress, Stamp,
};

use crate::args::Ingest;
use crate::failure::Failure;
use crate::terminal::print;

/// Ingests logs one after the other and prints a summary of each. What was recorded before a failure stays, and the same
/// command goes on there.
pub(crate) async fn ingest(pipeline: &LogPipeline, options: Ingest, stamp: Stamp) -> Result<(), Failure> {
    let mut layout = LogLayout::new(options.format).stamp(stamp);
    if let Some(domain) = options.domain {
        layout = layout.domain(domain);
    }
    let shown = Arc::new(ShownProgress::default());
    let mut edge = pipeline.edge(&options.cdn, &options.edge, layout).await?;
    if std::io::stderr().is_terminal() {
        let shown = shown.clone();
        edge = edge.on_progress(move |progress| shown.show(progress));
    }
    let mut total = IngestSummary::default();
    for file in &options.files {
        let done = ingest_one(&edge, file).await;
        shown.clear();
        let summary = done.map_err(|error| failure(file, error))?;
        print(&format!("{}: {summary}", file.display()))?;
        total += summary;
    }
    if options.files.len() > 1 {
        print(&format!("all: {total}"))?;
    }
    Ok(())
}

/// Forgets logs, all or none, and prints what had been counted of each.
pub(crate) async fn forget(pipeline: &LogPipeline, options: Ingest, stamp: Stamp) -> Result<(), Failure> {
    let mut layout = LogLayout::new(options.format).stamp(stamp);
    if let Some(domain) = options.domain {
        layout = layout.domain(domain);
    }
    let edge = pipeline.edge(&options.cdn, &options.edge, layout).await?;
    let counted = edge.forget(&options.files).await.map_err(|error| match error {
        IngestFileError::Open { path, source } => Failure::failed(path.display(), source),
        IngestFileError::Ingest(IngestError::Rules(error)) => Failure::usage(format!("--domain: {error}")),
        error => Failure::failed("no log was forgotten", error),
    })?;
    for (file, counters) in options.files.iter().zip(counted) {
        let (lines, billed) = (counters.lines, counters.billed);
        print(&format!("{}: forgotten, of {lines} lines {billed} had been billed", file.display()))?;
    }
    Ok(())
}

async fn ingest_one(edge: &EdgeIngest, file: &Path) -> Result<IngestSummary, IngestFileError> {
    if file == Path::new("-") { edge.stream("-", std::io::stdin()).await } else { edge.file(file).await }
}

fn failure(file: &Path, error: IngestFileError) -> Failure {
    match error {
        IngestFileError::Open { source, .. } => Failure::failed(file.display(), source),
        IngestFileError::Ingest(IngestError::Rules(error)) => Failure::usage(format!("--domain: {error}")),
        IngestFileError::Ingest(error) => Failure::failed(file.display(), error),
        error => Failure::failed(file.display(), error),
    }
}

/// Mebibytes last shown on the terminal.
#[derive(Default)]
struct ShownProgress(AtomicU64);

impl ShownProgress {
    fn show(&self, progress: Progress) {
        let mebibytes = progress.bytes >> 20;
        let shown = self.0.swap(mebibytes, Ordering::Relaxed);
        if mebibytes < shown {
            // The log is read from its beginning again, because somebody else read it at the same time.
            eprint!("\r\x1b[K");
        }
        if mebibytes > 0 && mebibytes != shown {
            eprint!("\r{mebibytes} MiB, {} lines", progress.lines);
            // A terminal that went away is no reason to stop.
            let _ = std::io::stderr().flush();
        }
    }

    /// Removes the progress from the terminal.
    fn clear(&self) {
        if self.0.swap(0, Ordering::Relaxed) > 0 {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use pilothouse_core::{Pilothouse, Settings};
    use pilothouse_log_intake::{FolderArchive, Format};
    use pilothouse_storage_memory::MemoryStorage;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn unreadable_files_unknown_cdns_and_wrong_layouts_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let archive = FolderArchive::open(&directory.path().join("logs")).unwrap();
        let settings = Settings::default().with_cdns(["level3"]);
        let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), settings).unwrap();
        pilothouse.cdns().ensure_configured().await.unwrap();
        let pipeline = LogPipeline::new(pilothouse, archive);
        let log = directory.path().join("edge.log");
        fs::write(&log, "a line\n").unwrap();
        let none = directory.path().join("none.log");
        let failed = async |cdn: &str, file: &PathBuf| {
            let (cdn, edge, domain) = (cdn.to_owned(), "edge-1".to_owned(), None);
            let options = Ingest { files: vec![file.clone()], cdn, edge, format: Format::Combined, domain };
            ingest(&pipeline, options, Stamp::End).await.unwrap_err().to_string()
        };
        let expected = format!("{}: No such file or directory (os error 2)", none.display());
        assert_eq!(failed("level3", &none).await, expected);
        assert!(failed("nowhere", &none).await.contains("nowhere"));
        assert!(failed("level3", &log).await.starts_with("--domain: "));
    }
}
