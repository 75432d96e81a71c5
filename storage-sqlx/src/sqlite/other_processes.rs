//! Detection of commits by other processes on the same file, as by the command that reads access logs.

use std::time::Duration;

use pilothouse_core::ports::Signal;
use sqlx::sqlite::SqlitePool;
use tokio::sync::broadcast;

/// Polling interval: the delay with which another process' commit is detected.
const PERIOD: Duration = Duration::from_millis(250);

/// Announces commits of other processes. `data_version` changes with every commit of another connection, and the writer
/// is the only connection of this process that commits.
pub(super) async fn watch_other_processes(writer: SqlitePool, signals: broadcast::Sender<Signal>) {
    let mut last = None;
    loop {
        tokio::time::sleep(PERIOD).await;
        if signals.receiver_count() == 0 {
            continue;
        }
        let version = sqlx::query_scalar::<_, i64>("PRAGMA data_version").fetch_one(&writer).await.ok();
        if last.is_some() && version.is_some() && version != last {
            // Sending fails only without receivers.
            let _ = signals.send(Signal::Lost);
        }
        last = version.or(last);
    }
}
