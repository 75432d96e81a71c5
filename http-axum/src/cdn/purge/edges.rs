//! `/level3/edges`: how the edges of a cdn stand.

use axum::extract::State;
use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::EdgeInfo;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::cdn::time;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Cdn whose edges are listed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EdgesQuery {
    /// The cdn, by name.
    #[param(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "level3")]
    cdn: String,
}

/// An edge with its serving state.
#[derive(Serialize, ToSchema)]
pub(super) struct EdgeRow {
    /// Name of the edge, unique within the cdn.
    #[schema(example = "edge-2")]
    edge: String,
    /// `in_service`: it answers from its cache. `unreachable`: it missed heartbeats; when its lease has ended it sends every request to
    /// the origin. `catching_up`: it answers again, and missed purges are replayed before it gets a lease.
    #[schema(example = "unreachable", pattern = "^(in_service|unreachable|catching_up)$")]
    state: &'static str,
    /// Time of the last change of state, in the server's zone.
    #[schema(example = "2016/09/13 15:44:07")]
    since: String,
    /// Time of its last answer, in the server's zone, to within some seconds while it is in service; empty where it never answered.
    #[schema(example = "2016/09/13 15:44:06")]
    heard: String,
    /// Reason why it is not in service; empty where it is.
    #[schema(example = "the edge cannot be reached")]
    reason: String,
    /// URLs of waiting refreshes that it has not confirmed.
    #[schema(example = 3)]
    debt: usize,
    /// Whether there are more of them than were counted.
    #[schema(example = false)]
    more: bool,
    /// Offset that its shipped log is wanted from next; `null` where nothing of one was taken.
    #[schema(required = true, example = 8192)]
    log_offset: Option<i64>,
    /// Bytes of its shipped log that operators gave up, with `/level3/edge_logs/skip`.
    #[schema(example = 0)]
    log_skipped: i64,
    /// Age of this row in seconds, to within two: the time since a server last looked after the edges of the cdn. Beyond 10 nobody
    /// does, and the state is that of then. `null` where none ever has, or the clock of the one that did was ahead.
    #[schema(required = true, example = 1)]
    age_seconds: Option<i64>,
    /// Time at which lines of its followed log were last found to be missing, in the server's zone; empty where none are.
    #[schema(example = "2016/09/13 15:44:07")]
    log_gap: String,
    /// Reason why they are; empty where none are.
    #[schema(example = "the file that was being read is gone, and no rotated file continues it")]
    log_gap_reason: String,
}

/// The edges of a cdn.
#[derive(Serialize, ToSchema)]
pub(super) struct EdgeList {
    /// Edges of the cdn, ordered by name.
    results: Vec<EdgeRow>,
}

fn row(pilothouse: &Pilothouse, info: EdgeInfo) -> EdgeRow {
    let EdgeInfo { edge, owed, more, shipped, age, log_gap } = info;
    let log_gap = log_gap.map(|gap| (time(pilothouse, gap.noticed), gap.reason));
    let (log_gap, log_gap_reason) = log_gap.unwrap_or_default();
    EdgeRow {
        edge: edge.name,
        state: edge.state.as_str(),
        since: time(pilothouse, edge.since),
        heard: edge.last_seen.map(|at| time(pilothouse, at)).unwrap_or_default(),
        reason: edge.reason,
        debt: owed,
        more,
        log_offset: shipped.map(|log| log.offset),
        log_skipped: shipped.map_or(0, |log| log.skipped),
        age_seconds: age.map(|age| age.num_seconds()),
        log_gap,
        log_gap_reason,
    }
}

/// Shows every edge of a cdn that Pilothouse itself looks after, in service or not, and what it has yet to purge.
#[utoipa::path(
    get,
    path = "/level3/edges",
    tag = "cdn",
    params(EdgesQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "The edges.", body = Done<EdgeList>)),
)]
pub(super) async fn get_edges(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<EdgesQuery>,
) -> Reply<Done<EdgeList>> {
    let edges = api.pilothouse.edges().list(&caller, &query.cdn).await?;
    done(EdgeList { results: edges.into_iter().map(|info| row(&api.pilothouse, info)).collect() })
}
