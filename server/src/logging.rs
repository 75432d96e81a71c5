//! Log lines on standard error. `RUST_LOG` chooses which; by default everything from `info` on.
//!
//! A log that cannot be written must never stop the server: a thread of its own writes the lines, from a queue. While its
//! reader is gone, its disk full, or nobody reads, lines are dropped and counted.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::repeated_lines::{self, LeftOut, RepeatedLines};
use crate::settings::LogFormat;

/// Lines that wait for the writer before the next ones are dropped: some 4 MiB of usual lines.
const QUEUE: usize = 16 * 1024;
/// Interval between two looks at how many lines were dropped.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);

/// Lines that standard error refused.
static REFUSED: AtomicU64 = AtomicU64::new(0);
static QUEUE_OVERFLOWS: OnceLock<ErrorCounter> = OnceLock::new();

/// Starts the log. The lines that wait are written when the answer is dropped, for a second at the most.
pub(crate) fn start(format: LogFormat) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE)
        .lossy(true)
        .thread_name("log")
        .finish(StandardError);
    let _ = QUEUE_OVERFLOWS.set(writer.error_counter());
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        // What fails is counted; to say so on standard error would fail too.
        .log_internal_errors(false)
        .with_writer(writer);
    match format {
        LogFormat::Text => subscribe(lines.with_filter(filter.and(RepeatedLines))),
        LogFormat::Json => {
            subscribe(lines.json().flatten_event(true).with_filter(filter.and(RepeatedLines)));
        }
    }
    log_panics();
    guard
}

fn subscribe(lines: impl Layer<Registry> + Send + Sync) {
    tracing_subscriber::registry().with(lines).init();
}

/// Lines that were dropped so far.
pub(crate) fn dropped() -> u64 {
    let overflows = QUEUE_OVERFLOWS.get().map_or(0, ErrorCounter::dropped_lines);
    REFUSED.load(Ordering::Relaxed) + u64::try_from(overflows).unwrap_or(u64::MAX)
}

/// Counts dropped lines as a metric, and says so in the log when it can be written again; and how many equal lines were
/// left out.
pub(crate) async fn count_dropped() {
    let counted = metrics::counter!("pilothouse_log_lines_dropped_total");
    let mut known = 0;
    loop {
        tokio::time::sleep(COUNT_INTERVAL).await;
        let dropped = dropped();
        if dropped > known {
            counted.absolute(dropped);
            tracing::warn!(
                lines = dropped - known,
                "log lines were dropped: standard error could not be written"
            );
            known = dropped;
        }
        for LeftOut { target, line, count } in repeated_lines::left_out() {
            tracing::warn!(lines = count, of = target, line, "equal log lines were left out");
        }
    }
}

/// A panic is a log line like any other, since the standard hook would wait for standard error.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = pilothouse_core::panic_text(panic.payload());
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic = text, location, "a thread panicked");
    }));
}

/// Standard error that never fails: what it refuses is counted.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if io::stderr().write_all(line).is_err() {
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
