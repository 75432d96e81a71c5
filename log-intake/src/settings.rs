//! Settings of log intake.

use std::time::Duration;

use pilothouse_access_log::IngestOptions;

/// Settings of a [`crate::LogPipeline`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IntakeSettings {
    /// Batch size, threads and gzip level. About five batches of each log are held in memory while it is read.
    pub ingest: IngestOptions,
    /// Interval at which a followed log is polled; 500 ms by default. Lines are in the statistics at most about this much
    /// later than they were written.
    pub poll_interval: Duration,
    /// Wait after a failure before a followed log is tried again; 2 s by default.
    pub retry_interval: Duration,
    /// Time without progress after which a log that another server follows is taken over; 3 s by default.
    pub takeover_after: Duration,
}

impl Default for IntakeSettings {
    fn default() -> Self {
        Self {
            ingest: IngestOptions::default(),
            poll_interval: Duration::from_millis(500),
            retry_interval: Duration::from_secs(2),
            takeover_after: Duration::from_secs(3),
        }
    }
}
