//! `/node/list`: the nodes that are online.

use std::collections::BTreeMap;

use axum::extract::State;
use pilothouse_core::config::Node;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::ConfigQuery;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// A node.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeInfo {
    /// What identifies it.
    #[schema(example = "11")]
    node_id: String,
    /// Its app.
    #[schema(example = "app")]
    app: String,
    /// Its profile.
    #[schema(example = "profile")]
    profile: String,
    /// Its process.
    #[schema(example = "pid")]
    pid: String,
    /// When it registered, unix seconds.
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
    extensions(("x-permission" = json!("grant 1"))),
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
