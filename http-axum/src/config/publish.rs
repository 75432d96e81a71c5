//! `/publish`: releases.

use axum::extract::State;
use pilothouse_core::config::{ItemId, ReleaseId, ReleaseKind, Selector};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::write::Writer;
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
    /// Only to these nodes: node ids separated by commas.
    #[param(min_length = 1, example = "11,22,33,44")]
    nodes: Option<String>,
    /// Only to this share of the nodes.
    #[param(minimum = 1, maximum = 100, example = 10)]
    percent: Option<i64>,
    /// Only to nodes with these labels: `name:value`, separated by commas.
    #[param(min_length = 3, example = "zone:a")]
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
    #[schema(example = 4)]
    targets: u64,
}

/// Publishes the current version of a config, which must be approved: to every node, or to those given.
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
    let released = api.pilothouse.releases().publish(&caller, id, &selector, version).await?;
    let kind = match released.kind {
        ReleaseKind::Full => "full",
    };
    data(ReleaseInfo { release: released.release, kind, targets: released.targets })
}
