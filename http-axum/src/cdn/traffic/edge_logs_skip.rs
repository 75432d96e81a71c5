//! `/level3/edge_logs/skip`: lets a shipped log with a hole go on.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::edge_logs::Taken;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Bytes of an edge's log that are given up.
#[derive(Deserialize, ToSchema)]
pub(super) struct Skip {
    /// The cdn that the edge belongs to.
    #[schema(min_length = 1, max_length = 64, example = "level3")]
    cdn: String,
    /// Name of the edge.
    #[schema(min_length = 1, max_length = 64, example = "edge-1")]
    edge: String,
    /// Offset wanted next, as the refused piece was told: the first byte that is given up.
    #[schema(minimum = 0, example = 0)]
    from: i64,
    /// Offset to go on at: the first byte that the edge still has.
    #[schema(minimum = 1, example = 4096)]
    to: i64,
}

/// Lets the shipped log of an edge go on after a hole. Where an edge has lost a part of its log (a rotated file that was
/// deleted, a disk that was replaced), every later piece is refused with 7, since a hole in what is billed must be decided
/// upon by somebody. This gives up the bytes from `from` to before `to`; the next piece is to begin at `to`, or earlier.
///
/// `from` must be the offset wanted next, so that nothing is given up that has arrived meanwhile: else 7. What was given up
/// is a row of the audit trail (`cdn.log_skip`), and its bytes are added to `log_skipped` of `/level3/edges`.
#[utoipa::path(
    post,
    path = "/level3/edge_logs/skip",
    tag = "cdn",
    request_body = Skip,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "The offset wanted next.", body = Done<Taken>)),
)]
pub(super) async fn post_edge_logs_skip(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(skip): Args<Skip>,
) -> Reply<Done<Taken>> {
    let Skip { cdn, edge, from, to } = skip;
    let offset = api.pilothouse.log_intake().skip(&caller, &cdn, &edge, from, to).await?;
    done(Taken { offset })
}
