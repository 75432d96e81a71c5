//! `/metrics` on a listener of its own, in Prometheus text. Every figure is this process' own, so that figures of several
//! servers can be added; no label has a value that callers choose.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use pilothouse_core::Pilothouse;
use tokio_util::sync::CancellationToken;

use crate::connections::{self, Limits};
use crate::failure::Failure;
use crate::{logging, process_metrics};

/// Upper bounds of the histograms of times, in seconds.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Counters, with what they count.
const COUNTERS: [(&str, &str); 17] = [
    ("pilothouse_accept_errors_total", "Connections that could not be accepted, as when no file was left."),
    ("pilothouse_acknowledgements_total", "Acknowledgements of releases by nodes, by result."),
    (
        "pilothouse_batch_changes_total",
        "States that batches of updates came into here by themselves, by state.",
    ),
    ("pilothouse_connections_refused_total", "Connections closed at once, by the cap that they reached."),
    (
        "pilothouse_console_csp_reports_total",
        "Reports of browsers that the content policy of the console stopped something.",
    ),
    ("pilothouse_http_requests_total", "Requests answered, by family, method and status."),
    ("pilothouse_jobs_ended_total", "Refreshes and preloads that ended here, by kind and state."),
    (
        "pilothouse_log_archive_uploaded_bytes_total",
        "Bytes of kept lines that went up into the object storage of `log_archive`.",
    ),
    ("pilothouse_log_lines_dropped_total", "Lines of the server's own log that could not be written."),
    ("pilothouse_log_lines_total", "Lines of access logs taken in, by what became of them."),
    (
        "pilothouse_login_attempts_total",
        "Passwords shown, by outcome: right, wrong, or throttled and not looked at.",
    ),
    ("pilothouse_releases_total", "Releases made (full, grey), promoted and aborted here."),
    ("pilothouse_updates_ended_total", "Updates of files and their reverts that ended here, by state."),
    (
        "pilothouse_vendor_calls_total",
        "Calls of CDN vendors made here, by kind of vendor, operation and outcome.",
    ),
    (
        "pilothouse_webhook_deliveries_total",
        "Attempts at sending events to webhooks, by outcome: delivered, failed and retried, or given up.",
    ),
    ("pilothouse_worker_restarts_total", "Restarts of background jobs after a panic, by job (`worker`)."),
    ("process_cpu_seconds_total", "User and system time of the process in seconds."),
];

/// Gauges, with what they show.
const GAUGES: [(&str, &str); 16] = [
    ("pilothouse_alarms", "Open alarms by kind; shown by the server that looks for them alone."),
    ("pilothouse_build_info", "Always 1; the labels name version and commit."),
    ("pilothouse_connections", "Open connections at all listeners."),
    ("pilothouse_edges", "Edges whose leases this server renews, by state."),
    (
        "pilothouse_log_archive_waiting_files",
        "Files of kept lines in `log_dir` that wait to go up into the object storage of `log_archive`.",
    ),
    (
        "pilothouse_log_gaps",
        "Logs followed here in which lines were found to be missing within the last day.",
    ),
    (
        "pilothouse_log_lag_seconds",
        "Time since each log that is followed here was last read to its end, added up.",
    ),
    (
        "pilothouse_nodes_online",
        "Nodes with an open watch here, or that asked here within the last 15 seconds.",
    ),
    (
        "pilothouse_vendor_quota_left",
        "Items left of the day's quotas of the vendors that this server speaks to, by kind of vendor and operation.",
    ),
    ("pilothouse_watches", "Open watches, and long polls of Apollo's clients."),
    (
        "pilothouse_worker_last_success_timestamp_seconds",
        "Time of the last success of each background job (`worker`).",
    ),
    (
        "pilothouse_worker_stalled",
        "1 for a background job (`worker`) that is overdue or waits to be started again.",
    ),
    ("process_max_fds", "The most files that the process may open."),
    ("process_open_fds", "Files that the process has open."),
    ("process_resident_memory_bytes", "Resident memory of the process in bytes."),
    ("process_start_time_seconds", "Start of the process in unix seconds."),
];

/// Histograms, with what they measure in seconds.
const HISTOGRAMS: [(&str, &str); 4] = [
    ("pilothouse_http_request_seconds", "Time to the head of an answer, by family and method."),
    ("pilothouse_store_commit_seconds", "Time of a commit of the store; on SQLite without the flush."),
    ("pilothouse_store_flush_seconds", "Time of a flush of SQLite's log to the disk, shared by commits."),
    ("pilothouse_vendor_call_seconds", "Time of a call of a CDN vendor, by kind of vendor and operation."),
];

/// Serves `/metrics` until cancelled.
pub(crate) fn serve(
    listener: std::net::TcpListener,
    pilothouse: Pilothouse,
    limits: Limits,
    ended: CancellationToken,
) -> Result<(), Failure> {
    let failed = |error| Failure::failed("metrics", error);
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS);
    let recorder = builder.map_err(failed)?.install_recorder().map_err(failed)?;
    describe();
    let upkeep = recorder.clone();
    let stop = ended.clone();
    tokio::spawn(async move {
        // Without it the histograms would keep every sample.
        while !stop.is_cancelled() {
            upkeep.run_upkeep();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let render = move || async move {
        observe(&pilothouse);
        ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], recorder.render())
    };
    let router = Router::new().route("/metrics", get(render));
    tokio::spawn(async move {
        if let Err(error) = connections::serve(listener, router, None, limits, ended).await {
            tracing::error!(error = &error as &dyn std::error::Error, "metrics are no longer served");
        }
    });
    Ok(())
}

fn describe() {
    for (name, about) in COUNTERS {
        describe_counter!(name, about);
    }
    for (name, about) in GAUGES {
        describe_gauge!(name, about);
    }
    for (name, about) in HISTOGRAMS {
        describe_histogram!(name, Unit::Seconds, about);
    }
    let commit = env!("BUILD_COMMIT");
    gauge!("pilothouse_build_info", "version" => env!("CARGO_PKG_VERSION"), "commit" => commit).set(1);
}

/// Sets what is known without counting, as it is now.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
fn observe(pilothouse: &Pilothouse) {
    let presence = pilothouse.delivery().presence();
    gauge!("pilothouse_nodes_online").set(presence.nodes as f64);
    gauge!("pilothouse_watches").set(presence.watches as f64);
    for job in pilothouse.workers() {
        let stalled = if job.is_stalled { 1.0 } else { 0.0 };
        gauge!("pilothouse_worker_stalled", "worker" => job.name).set(stalled);
        if let Some(at) = job.last_success {
            gauge!("pilothouse_worker_last_success_timestamp_seconds", "worker" => job.name)
                .set(at.timestamp_millis() as f64 / 1000.0);
        }
    }
    counter!("pilothouse_log_lines_dropped_total").absolute(logging::dropped());
    process_metrics::observe();
}
