//! `/level3/edges`: how the edges of a cdn stand.

use axum::extract::State;
use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::EdgeInfo;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::job::time;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Which cdn.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EdgesQuery {
    /// The cdn, by name.
    #[param(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "level3")]
    cdn: String,
}

/// An edge.
#[derive(Serialize, ToSchema)]
pub(super) struct EdgeRow {
    /// Its name.
    #[schema(example = "edge-2")]
    edge: String,
    /// `in service`: it answers from its cache. `cut off`: it was not heard; when its lease has ended it sends every request to
    /// the origin. `paying`: it is heard again, and told what it missed before it gets a lease.
    #[schema(example = "cut off", pattern = "^(in service|cut off|paying)$")]
    state: &'static str,
    /// Since when, in the server's zone.
    #[schema(example = "2016/09/13 15:44:07")]
    since: String,
    /// When it was last heard, in the server's zone, to within some seconds while it is in service; empty where it never was.
    #[schema(example = "2016/09/13 15:44:06")]
    heard: String,
    /// Why it is not in service; empty where it is.
    #[schema(example = "it cannot be reached")]
    reason: String,
    /// How many URLs of waiting refreshes it has not confirmed.
    #[schema(example = 3)]
    debt: usize,
    /// Whether there are more of them than were counted.
    #[schema(example = false)]
    more: bool,
}

/// The edges of a cdn.
#[derive(Serialize, ToSchema)]
pub(super) struct EdgeList {
    /// By name.
    results: Vec<EdgeRow>,
}

fn row(pilothouse: &Pilothouse, EdgeInfo { edge, owed, more }: EdgeInfo) -> EdgeRow {
    EdgeRow {
        edge: edge.name,
        state: edge.state.as_str(),
        since: time(pilothouse, edge.since),
        heard: edge.heard.map(|at| time(pilothouse, at)).unwrap_or_default(),
        reason: edge.reason,
        debt: owed,
        more,
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
