//! `/node/list`: the nodes that are online.

use std::collections::BTreeMap;

use axum::extract::State;
use pilothouse_core::config::Node;
use serde::Serialize;
use utoipa::ToSchema;

use crate::args::Args;
use crate::caller::Auth;
use crate::config::authoring::ConfigQuery;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// A registered node that is online.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeInfo {
    /// Node id, unique within app and profile.
    #[schema(example = "11")]
    node_id: String,
    /// Name of the app.
    #[schema(example = "app")]
    app: String,
    /// Profile within the app.
    #[schema(example = "profile")]
    profile: String,
    /// Process id, as the node names it.
    #[schema(example = "pid")]
    pid: String,
    /// Time of its registration in unix seconds.
    #[schema(example = 1_111_111_111)]
    register_time: i64,
}

/// The nodes of an app and profile that are online, by node id.
#[utoipa::path(
    method(get, post),
    path = "/node/list",
    tag = "config",
    params(ConfigQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((status = 200, description = "The nodes.", body = Data<BTreeMap<String, NodeInfo>>)),
)]
pub(super) async fn node_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<ConfigQuery>,
) -> Reply<Data<BTreeMap<String, NodeInfo>>> {
    let ConfigQuery { app, profile } = args;
    let nodes = api.pilothouse.nodes().list(&caller, &app, &profile).await?;
    let nodes = nodes.into_iter().map(|node| {
        let Node { node_id, pid, register_time, .. } = node;
        let (app, profile, register_time) = (app.clone(), profile.clone(), register_time.timestamp());
        (node_id.clone(), NodeInfo { node_id, app, profile, pid, register_time })
    });
    data(nodes.collect())
}
