//! `/level3/log_sources`: what was taken in of the log of each edge.

use axum::extract::State;
use chrono::DateTime;
use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::{Counters, LineStretch, LogOverview};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::cdn::time;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Cdn whose logs are listed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogSourcesQuery {
    /// The name of a cdn; all of them without it.
    #[param(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "level3")]
    cdn: Option<String>,
}

/// Log of an edge, over all its files.
#[derive(Serialize, ToSchema)]
pub(super) struct LogSourceRow {
    /// Name of the cdn.
    #[schema(example = "level3")]
    cdn: String,
    /// Name of the edge.
    #[schema(example = "edge-1")]
    edge: String,
    /// `followed`: a server follows it as a file. `shipped`: the edge ships it. `ingested`: files that the command line read.
    #[schema(example = "shipped", pattern = "^(followed|shipped|ingested)$")]
    kind: &'static str,
    /// Bytes taken in of all its files, before compression.
    #[schema(example = 8192)]
    bytes: i64,
    /// Lines taken in; each is billed, unreadable, unregistered (no customer has its host) or a purge.
    #[schema(example = 120)]
    lines: i64,
    /// Lines that are in the traffic.
    #[schema(example = 117)]
    billed: i64,
    /// Lines of which host, time, request, status or bytes could not be read.
    #[schema(example = 1)]
    unreadable: i64,
    /// Lines of hosts that no customer had when they were read.
    #[schema(example = 2)]
    unregistered: i64,
    /// Purge requests, which are not billed.
    #[schema(example = 0)]
    purges: i64,
    /// Share of unreadable lines among the last that were judged together: at least 100, of at least a minute. `null` before.
    #[schema(required = true, minimum = 0, maximum = 1, example = 0.0083)]
    unreadable_ratio: Option<f64>,
    /// Time in the last line whose time could be read, in the server's zone; empty before the first.
    #[schema(example = "2016/09/13 15:44:07")]
    last_line: String,
    /// Time at which lines were last recorded, in the server's zone; empty before the first.
    #[schema(example = "2016/09/13 15:44:08")]
    recorded: String,
    /// Time at which whoever follows or ships it was last heard, to within a minute, in the server's zone.
    #[schema(example = "2016/09/13 15:44:08")]
    seen: String,
    /// Bytes of the file of a followed log that were yet to be read, as told once a minute; `null` of others, and where it is not
    /// known.
    #[schema(required = true, example = 0)]
    unread: Option<i64>,
    /// Offset that a shipped log is wanted from next; `null` of others.
    #[schema(required = true, example = 8192)]
    offset: Option<i64>,
    /// Bytes of a shipped log that operators gave up, with `/level3/edge_logs/skip`.
    #[schema(example = 0)]
    skipped: i64,
    /// Time since which what the edge ships is refused, in the server's zone; empty where it is not.
    #[schema(example = "")]
    refused_since: String,
    /// Reason of the last refusal; empty where there is none.
    #[schema(example = "")]
    refusal: String,
    /// Time at which lines of the edge's log were last found to be missing, in the server's zone; empty where none are.
    #[schema(example = "2016/09/13 15:44:07")]
    log_gap: String,
    /// Reason why they are; empty where none are.
    #[schema(example = "the file that was being read is gone, and no rotated file continues it")]
    log_gap_reason: String,
}

/// Logs of edges.
#[derive(Serialize, ToSchema)]
pub(super) struct LogSourceList {
    /// Logs by cdn, edge and kind.
    results: Vec<LogSourceRow>,
}

/// Share of the unreadable lines, to four places.
#[expect(clippy::cast_precision_loss, reason = "a ratio to four places")]
fn unreadable_ratio(stretch: LineStretch) -> f64 {
    (stretch.unreadable as f64 / stretch.lines.max(1) as f64 * 10_000.0).round() / 10_000.0
}

fn row(pilothouse: &Pilothouse, LogOverview { cdn, log, offset, skipped, gap }: LogOverview) -> LogSourceRow {
    let text = |at| time(pilothouse, at);
    let Counters { lines, billed, unreadable, unregistered, purges, .. } = log.counters;
    let last_line = log.last_line.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let (refused_since, refusal) =
        log.refusal.map(|refusal| (text(refusal.since), refusal.reason)).unwrap_or_default();
    let (log_gap, log_gap_reason) = gap.map(|gap| (text(gap.noticed), gap.reason)).unwrap_or_default();
    LogSourceRow {
        cdn,
        edge: log.edge,
        kind: log.kind.as_str(),
        bytes: log.bytes,
        lines,
        billed,
        unreadable,
        unregistered,
        purges,
        unreadable_ratio: log.judged.map(unreadable_ratio),
        last_line: last_line.map(text).unwrap_or_default(),
        recorded: log.recorded.map(text).unwrap_or_default(),
        seen: text(log.seen),
        unread: log.unread,
        offset,
        skipped,
        refused_since,
        refusal,
        log_gap,
        log_gap_reason,
    }
}

/// Lists the logs of edges with what was taken in of each, over all its files, and how its reading or shipping goes on.
///
/// A log of which nothing was heard for as long as traffic is kept is not listed any more.
#[utoipa::path(
    get,
    path = "/level3/log_sources",
    tag = "cdn",
    params(LogSourcesQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "The logs.", body = Done<LogSourceList>)),
)]
pub(super) async fn get_log_sources(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<LogSourcesQuery>,
) -> Reply<Done<LogSourceList>> {
    let logs = api.pilothouse.log_intake().logs(&caller, query.cdn.as_deref()).await?;
    done(LogSourceList { results: logs.into_iter().map(|log| row(&api.pilothouse, log)).collect() })
}
