//! `/publish/list` and `/publish/status`: how far releases have come.

use axum::extract::State;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use pilothouse_core::config::{
    Latency, NodePage, NodeRollout, NodeState, ReleaseId, ReleaseState, Rollout, RolloutStatus,
};
use pilothouse_core::{Error, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::optional_member::selector;
use crate::state::ApiState;

/// Releases of a list, unless `count` says otherwise.
const LISTED: i64 = 100;

/// Profile or key whose releases are listed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PublishListQuery {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Only those of this key.
    #[serde(default, deserialize_with = "selector")]
    #[param(min_length = 1, max_length = 256, example = "k1")]
    key: Option<String>,
    /// The smallest id returned.
    #[param(minimum = 0, default = 0, example = 0)]
    start: Option<i64>,
    /// The most rows returned.
    #[param(minimum = 1, maximum = 1000, default = 100, example = 10)]
    count: Option<i64>,
    /// Only releases with an id less than this: the page after one that ended with it.
    #[param(minimum = 0, example = 1_000_000)]
    before: Option<i64>,
}

/// Release whose status is asked for, and a page of its nodes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PublishStatusQuery {
    /// Id of the release.
    #[param(example = 1)]
    release: i64,
    /// Only the nodes in this state.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, pattern = "^(pending|sent|applied|rejected|failed|offline)$", example = "pending")]
    state: Option<String>,
    /// Number of those nodes that come before the page.
    #[param(minimum = 0, default = 0, example = 0)]
    start: Option<i64>,
    /// The most nodes returned.
    #[param(minimum = 1, maximum = 1000, default = 1000, example = 100)]
    count: Option<i64>,
}

/// An item of a release.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReleasedItemInfo {
    /// Key of the config.
    #[schema(example = "k1")]
    key: String,
    /// Id of the config.
    #[schema(example = 1)]
    config_id: i64,
    /// The version that is published; 0 where the nodes lose the key.
    #[schema(example = 2)]
    version: i64,
}

/// Number of nodes in each state.
#[derive(Serialize, ToSchema)]
pub(super) struct CountsInfo {
    /// Online, not sent it yet.
    #[schema(example = 0)]
    pending: usize,
    /// Sent it, nothing heard so far.
    #[schema(example = 1)]
    sent: usize,
    /// The released version is in effect.
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
    /// Id of the release.
    #[schema(example = 1)]
    release: i64,
    /// Title of the release; empty where it has none.
    #[schema(example = "feature x")]
    title: String,
    /// Id of its first config.
    #[schema(example = 1)]
    config_id: i64,
    /// Key of its first config.
    #[schema(example = "k1")]
    key: String,
    /// The version of its first config that it publishes; 0 where the nodes lose the key.
    #[schema(example = 2)]
    version: i64,
    /// `full`, or `grey` for certain nodes.
    #[schema(pattern = "^(full|grey)$", example = "full")]
    kind: &'static str,
    /// State of the release.
    #[schema(pattern = "^(active|promoted|aborted|superseded)$", example = "active")]
    state: &'static str,
    /// The uid of who published it.
    #[schema(example = "1")]
    publisher: String,
    /// Time of its publication: RFC 3339 with the offset of the server's zone.
    #[schema(example = "2017-07-13T18:14:22.000+08:00")]
    publish_time: String,
    /// Number of known target nodes.
    #[schema(example = 4)]
    targets: usize,
    /// Number of them in each state.
    counts: CountsInfo,
}

/// State of one node in a release.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeRolloutInfo {
    /// Node id, unique within app and profile.
    #[schema(example = "11")]
    node_id: String,
    /// State of the node in this release.
    #[schema(pattern = "^(pending|sent|applied|rejected|failed|offline)$", example = "applied")]
    state: &'static str,
    /// The version of the key that it last said it holds; 0 where it never did.
    #[schema(example = 2)]
    version: i64,
    /// Explanation that came with the acknowledgement.
    #[schema(example = "")]
    message: String,
    /// Time of the first sending, to the millisecond; empty where it was not sent.
    #[schema(example = "2017-07-13T18:14:22.011+08:00")]
    sent_time: String,
    /// Time of the acknowledgement, to the millisecond; empty where there is none.
    #[schema(example = "2017-07-13T18:14:22.042+08:00")]
    ack_time: String,
}

/// Milliseconds from publishing until nodes held it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LatencyInfo {
    /// Latency of the first node.
    #[schema(example = 12.5)]
    first: f64,
    /// Half of those that hold it.
    #[schema(example = 14.0)]
    median: f64,
    /// The last so far.
    #[schema(example = 42.0)]
    last: f64,
}

/// A release in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedReleaseInfo {
    #[serde(flatten)]
    rollout: RolloutInfo,
    /// Number of its items.
    #[schema(minimum = 1, example = 1)]
    items: usize,
}

/// A release, and what each of its nodes made of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RolloutStatusInfo {
    #[serde(flatten)]
    rollout: RolloutInfo,
    /// Its items, by id.
    items: Vec<ReleasedItemInfo>,
    /// Of the nodes that hold it and did not before; null as long as there is none.
    latency: Option<LatencyInfo>,
    /// Nodes of the page, in the order in which they first registered; those of a grey release by node id.
    nodes: Vec<NodeRolloutInfo>,
}

/// The releases of a profile, or those that one key of it is in, newest first: the last 100 unless `count` says otherwise. What nodes made of one that has ended is
/// known for 92 days.
#[utoipa::path(
    method(get, post),
    path = "/publish/list",
    tag = "config",
    params(PublishListQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((status = 200, description = "The releases.", body = Data<Vec<ListedReleaseInfo>>)),
)]
pub(super) async fn publish_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<PublishListQuery>,
) -> Reply<Data<Vec<ListedReleaseInfo>>> {
    let PublishListQuery { app, profile, key, start, count, before } = args;
    let page = Page::new(start, count.or(Some(LISTED)))?.before(before)?;
    let rollouts = api.pilothouse.rollouts().list(&caller, &app, &profile, key.as_deref(), page).await?;
    let listed = rollouts
        .into_iter()
        .map(|rollout| ListedReleaseInfo { items: rollout.items, rollout: rollout_info(&api, rollout) });
    data(listed.collect())
}

/// Status of a release: its counts and latency over all of its nodes, and the state of each node of a page, with times.
#[utoipa::path(
    method(get, post),
    path = "/publish/status",
    tag = "config",
    params(PublishStatusQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((status = 200, description = "The release and its nodes.", body = Data<RolloutStatusInfo>)),
)]
pub(super) async fn publish_status(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<PublishStatusQuery>,
) -> Reply<Data<RolloutStatusInfo>> {
    let PublishStatusQuery { release, state, start, count } = args;
    let page = Page::new(start, count.or(Some(Page::MAX)))?;
    let state = state.map(|name| {
        let wrong = || Error::invalid("state", "must be pending, sent, applied, rejected, failed or offline");
        NodeState::from_name(&name).ok_or_else(wrong)
    });
    let [start, count] = [page.start, page.count].map(|number| usize::try_from(number).unwrap_or_default());
    let page = NodePage { state: state.transpose()?, start, count };
    let RolloutStatus { rollout, items, nodes, latency } =
        api.pilothouse.rollouts().status_page(&caller, ReleaseId(release), page).await?;
    let nodes = nodes.into_iter().map(|node| node_info(&api, node));
    let latency = latency.map(latency_info);
    let items = items.into_iter().map(|item| ReleasedItemInfo {
        key: item.key,
        config_id: item.item.0,
        version: item.version,
    });
    let items = items.collect();
    data(RolloutStatusInfo { rollout: rollout_info(&api, rollout), items, latency, nodes: nodes.collect() })
}

pub(super) fn node_info(api: &ApiState, node: NodeRollout) -> NodeRolloutInfo {
    let NodeRollout { node_id, state, version, message, sent, acked } = node;
    let (sent_time, ack_time) = (api.moment(sent), api.moment(acked));
    NodeRolloutInfo { node_id, state: state.as_str(), version, message, sent_time, ack_time }
}

pub(super) fn latency_info(latency: Latency) -> LatencyInfo {
    let Latency { first, median, last } = latency;
    LatencyInfo { first: millis(first), median: millis(median), last: millis(last) }
}

pub(super) fn rollout_info(api: &ApiState, rollout: Rollout) -> RolloutInfo {
    let Rollout { release, key, targets, counts, .. } = rollout;
    let [pending, sent, applied, rejected, failed, offline] = counts;
    RolloutInfo {
        release: release.id.0,
        title: release.title,
        config_id: release.item.0,
        key,
        version: release.version,
        kind: release.kind.as_str(),
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

fn millis(time: TimeDelta) -> f64 {
    time.as_seconds_f64() * 1000.0
}

impl ApiState {
    /// A time to the millisecond, with the offset of the server's zone; empty where there is none.
    pub(super) fn moment(&self, time: Option<DateTime<Utc>>) -> String {
        let zone = self.pilothouse.settings().timezone;
        time.map(|time| time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Millis, false))
            .unwrap_or_default()
    }
}
