//! `/publish/follow`: a rollout as it goes on, by server-sent events.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, select};
use futures_util::stream;
use pilothouse_core::Error;
use pilothouse_core::config::{ReleaseId, RolloutChange, RolloutFollow};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use utoipa::{IntoParams, ToSchema};

use super::rollout::{LatencyInfo, NodeRolloutInfo, RolloutInfo, latency_info, node_info, rollout_info};
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::Failure;
use crate::state::ApiState;

/// Interval between comments of a stream without news.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The longest stream, and the usual one, in seconds.
const MAX_WAIT: i64 = 600;

/// Release that is followed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PublishFollowQuery {
    /// Id of the release.
    #[param(example = 1)]
    release: i64,
    /// Seconds after which the stream ends, whatever is still awaited.
    #[param(minimum = 0, maximum = 600, default = 600, example = 0)]
    wait: Option<i64>,
}

/// What changed in a rollout since the event before.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RolloutChangeInfo {
    #[serde(flatten)]
    rollout: RolloutInfo,
    /// Of the nodes that hold it and did not before; null as long as there is none.
    latency: Option<LatencyInfo>,
    /// Nodes that are in another state than before, in the first event all; at most 1000, the others come in the next one.
    nodes: Vec<NodeRolloutInfo>,
    /// Whether this is the last event: the release has ended, or each of its nodes that is online has answered.
    #[schema(example = false)]
    settled: bool,
}

/// Follows a rollout: an event `rollout` at once, and one whenever counts or nodes have changed, at most one a second, until
/// the rollout is settled. A comment shows every 15 seconds that the stream lives. At most 256 are open at once on a server,
/// then 429. It ends early where the server stops, and where the caller may not read the app any more.
#[utoipa::path(
    get,
    path = "/publish/follow",
    tag = "config",
    params(PublishFollowQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((
        status = 200,
        description = "Events; the data of each is JSON.",
        content((RolloutChangeInfo = "text/event-stream")),
    )),
)]
pub(super) async fn publish_follow(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<PublishFollowQuery>,
) -> Result<Response, Failure> {
    let PublishFollowQuery { release, wait } = args;
    let wait = wait.unwrap_or(MAX_WAIT);
    if !(0..=MAX_WAIT).contains(&wait) {
        return Err(Error::invalid("wait", "must be from 0 to 600 seconds").into());
    }
    let end = Instant::now() + Duration::from_secs(wait.unsigned_abs());
    let mut follow = api.pilothouse.rollouts().follow(&caller, ReleaseId(release)).await?;
    // A refusal is told by the status of the answer, so the first change comes before it.
    let first = follow.next().await?.map(|change| event(&api, change));
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (HeaderName::from_static("x-accel-buffering"), "no")];
    let events = Events { api, follow, first, end };
    Ok((headers, Body::from_stream(stream::unfold(events, Events::next))).into_response())
}

/// Events of a stream that are still to come.
struct Events {
    api: ApiState,
    follow: RolloutFollow,
    first: Option<Bytes>,
    end: Instant,
}

impl Events {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        const COMMENT: Bytes = Bytes::from_static(b":\n\n");
        if let Some(first) = self.first.take() {
            return Some((Ok(first), self));
        }
        let heartbeat = Instant::now() + HEARTBEAT;
        let wake = sleep_until(heartbeat.min(self.end));
        let bytes = match select(pin!(self.follow.next()), pin!(wake)).await {
            // Whoever may not read it any more is told nothing more.
            Either::Left((change, _)) => event(&self.api, change.ok()??),
            Either::Right(_) if Instant::now() >= self.end => return None,
            Either::Right(_) => COMMENT,
        };
        Some((Ok(bytes), self))
    }
}

fn event(api: &ApiState, change: RolloutChange) -> Bytes {
    let RolloutChange { rollout, latency, nodes, is_settled: settled } = change;
    let info = RolloutChangeInfo {
        rollout: rollout_info(api, rollout),
        latency: latency.map(latency_info),
        nodes: nodes.into_iter().map(|node| node_info(api, node)).collect(),
        settled,
    };
    let data = serde_json::to_string(&info).unwrap_or_default();
    format!("event: rollout\ndata: {data}\n\n").into()
}
