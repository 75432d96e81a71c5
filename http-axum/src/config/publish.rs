//! `/publish`, `/publish/promote` and `/publish/abort`: releases.

use axum::extract::State;
use pilothouse_core::config::{ItemId, ReleaseId, ReleaseKind, Released, Selector};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::rollout::ReleaseQuery;
use super::write::{Null, Writer, done};
use crate::args::Args;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// What to publish, and to whom.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Publish {
    /// The config's id.
    #[param(value_type = i64, example = 1)]
    id: ItemId,
    /// Only to these nodes: node ids separated by commas; they may be offline.
    #[param(min_length = 1, max_length = 65_536, example = "11,22,33,44")]
    nodes: Option<String>,
    /// Only to this share, rounded up, of the nodes that are online. A share that grows only adds nodes.
    #[param(minimum = 1, maximum = 100, example = 10)]
    percent: Option<i64>,
    /// Only to nodes with all of these labels: `name:value`, separated by commas.
    #[param(min_length = 2, max_length = 4096, example = "zone:a")]
    labels: Option<String>,
    /// The version the caller saw.
    #[param(minimum = 1, example = 1)]
    version: Option<i64>,
}

/// A release.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReleaseInfo {
    /// Its id.
    release: ReleaseId,
    /// `full`, or `grey` for a part of the nodes.
    #[schema(pattern = "^(full|grey)$", example = "full")]
    kind: &'static str,
    /// How many nodes it is to reach now.
    #[schema(minimum = 0, example = 4)]
    targets: i64,
}

/// Publishes the current version of a config, which must be approved: to every node, or to those given. Nodes that appear
/// later hold the last full release.
#[utoipa::path(
    method(get, post),
    path = "/publish",
    tag = "config",
    params(Publish),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "The release.", body = Data<ReleaseInfo>)),
)]
pub(super) async fn publish(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<Publish>,
) -> Reply<Data<ReleaseInfo>> {
    let Publish { id, nodes, percent, labels, version } = args;
    let selector = Selector { nodes, percent, labels };
    data(release_info(api.pilothouse.releases().publish(&caller, id, &selector, version).await?))
}

/// Makes a grey release the full one: a new release of its version to every node.
#[utoipa::path(
    method(get, post),
    path = "/publish/promote",
    tag = "config",
    params(ReleaseQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "The full release.", body = Data<ReleaseInfo>)),
)]
pub(super) async fn publish_promote(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<ReleaseQuery>,
) -> Reply<Data<ReleaseInfo>> {
    data(release_info(api.pilothouse.releases().promote(&caller, args.release).await?))
}

/// Takes a grey release back: its nodes are told to go back to the last full one.
#[utoipa::path(
    method(get, post),
    path = "/publish/abort",
    tag = "config",
    params(ReleaseQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "Taken back.", body = Data<Null>)),
)]
pub(super) async fn publish_abort(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<ReleaseQuery>,
) -> Reply<Data<Null>> {
    api.pilothouse.releases().abort(&caller, args.release).await?;
    done()
}

fn release_info(released: Released) -> ReleaseInfo {
    ReleaseInfo { release: released.release, kind: kind_name(released.kind), targets: released.targets }
}

pub(super) fn kind_name(kind: ReleaseKind) -> &'static str {
    match kind {
        ReleaseKind::Full => "full",
        ReleaseKind::Grey => "grey",
    }
}
