//! `/publish/list` and `/publish/status`: how far releases have come.

use axum::extract::State;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use pilothouse_core::config::{
    ItemId, Latency, NodeRollout, NodeState, ReleaseId, ReleaseState, Rollout, RolloutStatus,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::publish::kind_name;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// Which releases.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PublishListQuery {
    /// The app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// The profile.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Only those of this key.
    #[param(min_length = 1, max_length = 256, example = "k1")]
    key: Option<String>,
}

/// How many nodes are in each state.
#[derive(Serialize, ToSchema)]
pub(super) struct CountsInfo {
    /// Online, not sent it yet.
    #[schema(example = 0)]
    pending: usize,
    /// Sent it, nothing heard so far.
    #[schema(example = 1)]
    sent: usize,
    /// Hold it.
    #[schema(example = 3)]
    applied: usize,
    /// Will not have it.
    #[schema(example = 0)]
    rejected: usize,
    /// Could not hold it.
    #[schema(example = 0)]
    failed: usize,
    /// Not online, nothing heard.
    #[schema(example = 0)]
    offline: usize,
}

/// A release, and how far it has come.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RolloutInfo {
    /// Its id.
    #[schema(example = 1)]
    release: ReleaseId,
    /// The config's id.
    #[schema(example = 1)]
    config_id: ItemId,
    /// The config's key.
    #[schema(example = "k1")]
    key: String,
    /// The version it publishes.
    #[schema(example = 2)]
    version: i64,
    /// `full`, or `grey` for certain nodes.
    #[schema(pattern = "^(full|grey)$", example = "full")]
    kind: &'static str,
    /// What became of it.
    #[schema(pattern = "^(active|promoted|aborted|superseded)$", example = "active")]
    state: &'static str,
    /// The uid of who published it.
    #[schema(example = "1")]
    publisher: String,
    /// When it was published: RFC 3339 with the offset of the server's zone.
    #[schema(example = "2017-07-13T18:14:22.000+08:00")]
    publish_time: String,
    /// How many nodes it is for, as far as they are known.
    #[schema(example = 4)]
    targets: usize,
    /// How many of them are in each state.
    counts: CountsInfo,
}

/// What a node made of a release.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeRolloutInfo {
    /// What identifies the node.
    #[schema(example = "11")]
    node_id: String,
    /// What it made of it.
    #[schema(pattern = "^(pending|sent|applied|rejected|failed|offline)$", example = "applied")]
    state: &'static str,
    /// The version of the key that it last said it holds; 0 where it never did.
    #[schema(example = 2)]
    version: i64,
    /// Its own words.
    #[schema(example = "")]
    message: String,
    /// When it was sent the release, to the millisecond; empty where it was not.
    #[schema(example = "2017-07-13T18:14:22.011+08:00")]
    sent_time: String,
    /// When it said what it made of it, to the millisecond; empty where it did not.
    #[schema(example = "2017-07-13T18:14:22.042+08:00")]
    ack_time: String,
}

/// Milliseconds from publishing until nodes held it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LatencyInfo {
    /// The first node.
    #[schema(example = 12.5)]
    first: f64,
    /// Half of those that hold it.
    #[schema(example = 14.0)]
    median: f64,
    /// The last so far.
    #[schema(example = 42.0)]
    last: f64,
}

/// A release, and what each of its nodes made of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RolloutStatusInfo {
    #[serde(flatten)]
    rollout: RolloutInfo,
    /// Of the nodes that hold it and did not before; null as long as there is none.
    latency: Option<LatencyInfo>,
    /// Its nodes.
    nodes: Vec<NodeRolloutInfo>,
}

/// The releases of a profile, or of one key of it, newest first: the last 100. What nodes made of one that has ended is
/// known for 92 days.
#[utoipa::path(
    method(get, post),
    path = "/publish/list",
    tag = "config",
    params(PublishListQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "The releases.", body = Data<Vec<RolloutInfo>>)),
)]
pub(super) async fn publish_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<PublishListQuery>,
) -> Reply<Data<Vec<RolloutInfo>>> {
    let PublishListQuery { app, profile, key } = args;
    let rollouts = api.pilothouse.rollouts().list(&caller, &app, &profile, key.as_deref()).await?;
    data(rollouts.into_iter().map(|rollout| rollout_info(&api, rollout)).collect())
}

/// Which release.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReleaseQuery {
    /// The release.
    #[param(value_type = i64, example = 1)]
    pub(super) release: ReleaseId,
}

/// How far a release has come: what each of its nodes made of it, when, and how fast.
#[utoipa::path(
    method(get, post),
    path = "/publish/status",
    tag = "config",
    params(ReleaseQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "The release and its nodes.", body = Data<RolloutStatusInfo>)),
)]
pub(super) async fn publish_status(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<ReleaseQuery>,
) -> Reply<Data<RolloutStatusInfo>> {
    let RolloutStatus { rollout, nodes, latency } =
        api.pilothouse.rollouts().status(&caller, args.release).await?;
    let nodes = nodes.into_iter().map(|node| {
        let NodeRollout { node_id, state, version, message, sent, acked } = node;
        let (sent_time, ack_time) = (api.moment(sent), api.moment(acked));
        NodeRolloutInfo { node_id, state: state_name(state), version, message, sent_time, ack_time }
    });
    let latency = latency.map(|Latency { first, median, last }| LatencyInfo {
        first: millis(first),
        median: millis(median),
        last: millis(last),
    });
    data(RolloutStatusInfo { rollout: rollout_info(&api, rollout), latency, nodes: nodes.collect() })
}

fn rollout_info(api: &ApiState, rollout: Rollout) -> RolloutInfo {
    let Rollout { release, key, targets, counts } = rollout;
    let [pending, sent, applied, rejected, failed, offline] = counts;
    RolloutInfo {
        release: release.id,
        config_id: release.item,
        key,
        version: release.version,
        kind: kind_name(release.kind),
        state: match release.state {
            ReleaseState::Active => "active",
            ReleaseState::Superseded => "superseded",
            ReleaseState::Promoted => "promoted",
            ReleaseState::Aborted => "aborted",
        },
        publisher: release.publisher.to_string(),
        publish_time: api.moment(Some(release.publish_time)),
        targets,
        counts: CountsInfo { pending, sent, applied, rejected, failed, offline },
    }
}

fn state_name(state: NodeState) -> &'static str {
    match state {
        NodeState::Pending => "pending",
        NodeState::Sent => "sent",
        NodeState::Applied => "applied",
        NodeState::Rejected => "rejected",
        NodeState::Failed => "failed",
        NodeState::Offline => "offline",
    }
}

fn millis(time: TimeDelta) -> f64 {
    time.as_seconds_f64() * 1000.0
}

impl ApiState {
    /// A time to the millisecond, with the offset of the server's zone; empty where there is none.
    fn moment(&self, time: Option<DateTime<Utc>>) -> String {
        let zone = self.pilothouse.settings().timezone;
        time.map(|time| time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Millis, false))
            .unwrap_or_default()
    }
}
