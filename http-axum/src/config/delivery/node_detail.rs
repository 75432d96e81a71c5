//! `/node/detail`: a node with what it holds.

use std::collections::BTreeMap;

use axum::extract::State;
use pilothouse_core::config::{Ack, Node, NodeDetail, NodeItem, NodeRelease};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// Node by its id.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(super) struct NodeDetailQuery {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Node id, unique within app and profile.
    #[param(min_length = 1, max_length = 128, example = "11")]
    node_id: String,
}

/// A key at a node.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeItemInfo {
    /// Key of the config.
    #[schema(example = "k1")]
    key: String,
    /// The version that the node should hold; 0 where it should not have the key.
    #[schema(example = 2)]
    expected: i64,
    /// The version that it last acknowledged as applied; 0 where it never did.
    #[schema(example = 2)]
    version: i64,
    /// Whether it holds another version than it should, or said so.
    #[schema(example = false)]
    drift: bool,
    /// Its newest acknowledgement of the key; empty without one.
    #[schema(pattern = "^(|applied|rejected|failed)$", example = "applied")]
    result: &'static str,
    /// Explanation that came with it.
    #[schema(example = "")]
    message: String,
    /// Time of it, to the millisecond; empty without one.
    #[schema(example = "2017-07-13T18:14:22.042+08:00")]
    ack_time: String,
}

/// A registered node with what it holds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeDetailInfo {
    /// Node id, unique within app and profile.
    #[schema(example = "11")]
    node_id: String,
    /// Name of the app.
    #[schema(example = "app1")]
    app: String,
    /// Profile within the app.
    #[schema(example = "dev")]
    profile: String,
    /// Process id, as the node names it.
    #[schema(example = "4711")]
    pid: String,
    /// Address that the node named or its request came from; empty where none is known.
    #[schema(example = "10.2.2.2")]
    ip: String,
    /// Labels by name.
    #[schema(example = json!({"zone": "a"}))]
    labels: BTreeMap<String, String>,
    /// Time of its registration in unix seconds.
    #[schema(example = 1_111_111_111)]
    register_time: i64,
    /// Whether it is online.
    #[schema(example = true)]
    online: bool,
    /// Time of its last request, to 5 seconds.
    #[schema(example = "2017-07-13T18:14:22.000+08:00")]
    last_seen: String,
    /// Until when it is online without another request.
    #[schema(example = "2017-07-13T18:14:37.000+08:00")]
    lease_until: String,
    /// Revision of the app that the items are of.
    #[schema(example = 4_294_967_298_i64)]
    revision: i64,
    /// What it should hold, and the keys of which it said that it holds something else, by key.
    items: Vec<NodeItemInfo>,
    /// The newest 100 releases that were sent to it or that it acknowledged, newest first.
    releases: Vec<NodeReleaseInfo>,
}

/// A release at a node.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeReleaseInfo {
    /// Id of the release.
    #[schema(example = 1)]
    release: i64,
    /// Key of its first config.
    #[schema(example = "k1")]
    key: String,
    /// The version of its first config that it publishes; 0 where the nodes lose the key.
    #[schema(example = 2)]
    version: i64,
    /// Number of its configs.
    #[schema(example = 1)]
    configs: i64,
    /// `full`, or `grey` for certain nodes.
    #[schema(pattern = "^(full|grey)$", example = "full")]
    kind: &'static str,
    /// State of the node in its rollout.
    #[schema(pattern = "^(sent|applied|rejected|failed|offline)$", example = "applied")]
    state: &'static str,
    /// Explanation that came with its acknowledgement.
    #[schema(example = "")]
    message: String,
    /// Time at which it was first sent, to the millisecond; empty where it was not.
    #[schema(example = "2017-07-13T18:14:22.012+08:00")]
    sent_time: String,
    /// Time of its acknowledgement; empty without one.
    #[schema(example = "2017-07-13T18:14:22.042+08:00")]
    ack_time: String,
}

/// A registered node, also one that is offline: where it runs, and what it holds of each key beside what it should hold.
#[utoipa::path(
    method(get, post),
    path = "/node/detail",
    tag = "config",
    params(NodeDetailQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((status = 200, description = "The node.", body = Data<NodeDetailInfo>)),
)]
pub(super) async fn node_detail(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<NodeDetailQuery>,
) -> Reply<Data<NodeDetailInfo>> {
    let NodeDetailQuery { app, profile, node_id } = args;
    let detail = api.pilothouse.nodes().detail(&caller, (&app, &profile), &node_id).await?;
    let NodeDetail { node, is_online, last_seen, revision, items, releases, .. } = detail;
    let Node { node_id, profile, pid, ip, labels, register_time, lease_until, .. } = node;
    data(NodeDetailInfo {
        node_id,
        app,
        profile,
        pid,
        ip: ip.map(|ip| ip.to_string()).unwrap_or_default(),
        labels,
        register_time: register_time.timestamp(),
        online: is_online,
        last_seen: api.moment(Some(last_seen)),
        lease_until: api.moment(Some(lease_until)),
        revision,
        items: items.into_iter().map(|item| node_item(&api, item)).collect(),
        releases: releases.into_iter().map(|release| node_release(&api, release)).collect(),
    })
}

fn node_item(api: &ApiState, item: NodeItem) -> NodeItemInfo {
    let NodeItem { key, expected, version, has_drifted: drift, ack, .. } = item;
    let ack_time = api.moment(ack.as_ref().map(|ack| ack.time));
    let (result, message) = match ack {
        Some(Ack { result, message, .. }) => (result.as_str(), message),
        None => ("", String::new()),
    };
    NodeItemInfo { key, expected, version, drift, result, message, ack_time }
}

fn node_release(api: &ApiState, node: NodeRelease) -> NodeReleaseInfo {
    let NodeRelease { release, key, items, state, sent, ack, .. } = node;
    NodeReleaseInfo {
        release: release.id.0,
        key,
        version: release.version,
        configs: items,
        kind: release.kind.as_str(),
        state: state.as_str(),
        sent_time: api.moment(sent),
        ack_time: api.moment(ack.as_ref().map(|ack| ack.time)),
        message: ack.map(|ack| ack.message).unwrap_or_default(),
    }
}
