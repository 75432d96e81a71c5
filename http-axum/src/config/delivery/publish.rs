//! `/publish`, `/publish/promote` and `/publish/abort`: releases.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::config::{ItemId, ReleaseId, Released, Selector};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::config::write::{Null, Writer, done};
use crate::envelope::{Data, Reply, data};
use crate::list::List;
use crate::optional_member::selector;
use crate::state::ApiState;

/// Config to publish, and the nodes it is for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Publish {
    /// Id of the config.
    #[param(example = 1)]
    id: i64,
    /// Only to these nodes: node ids separated by commas, or a list; they may be offline. Where they are exactly the nodes
    /// that are online, the release is a full one, unless `grey` is true or `percent` or `labels` are given.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 65_536, example = "11,22,33,44")]
    nodes: Option<List>,
    /// Only to this share, rounded up, of the nodes that are online. A share that grows only adds nodes.
    #[serde(default, deserialize_with = "selector")]
    #[param(minimum = 1, maximum = 100, example = 10)]
    percent: Option<i64>,
    /// Only to nodes with all of these labels: `name:value`, separated by commas, or a list.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 2, max_length = 4096, example = "zone:a")]
    labels: Option<List>,
    /// Whether a release to nodes stays a grey one, also where they are all that are online.
    #[param(default = false, example = false)]
    grey: Option<bool>,
    /// The version the caller saw.
    #[param(minimum = 1, example = 1)]
    version: Option<i64>,
}

/// Release to act on, by its id.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReleaseQuery {
    /// Id of the release.
    #[param(example = 1)]
    pub(super) release: i64,
}

/// Grey release to promote.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PublishPromote {
    /// Id of the release.
    #[param(example = 1)]
    release: i64,
    /// Whether to promote it also while nodes reject or fail it.
    #[param(default = false, example = false)]
    force: Option<bool>,
}

/// A release that was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReleaseInfo {
    /// Id of the release.
    release: i64,
    /// `full`, or `grey` for a part of the nodes.
    #[schema(pattern = "^(full|grey)$", example = "full")]
    kind: &'static str,
    /// Number of nodes it is to reach now.
    #[schema(minimum = 0, example = 4)]
    targets: i64,
}

/// Publishes the current version of a config, which must be approved: to every node, or to those given. Nodes that appear
/// later hold the last full release. `Kind` in the answer says which it was.
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
    let Publish { id, nodes, percent, labels, grey, version } = args;
    let selector = selection((nodes, percent, labels), grey == Some(true))?;
    data(release_info(api.pilothouse.releases().publish(&caller, ItemId(id), &selector, version).await?))
}

/// Makes a grey release the full one: a new release of its versions to every node. It holds while a node of it rejects or fails
/// it.
#[utoipa::path(
    method(get, post),
    path = "/publish/promote",
    tag = "config",
    params(PublishPromote),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "The full release.", body = Data<ReleaseInfo>)),
)]
pub(super) async fn publish_promote(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<PublishPromote>,
) -> Reply<Data<ReleaseInfo>> {
    let (id, is_forced) = (ReleaseId(args.release), args.force.unwrap_or(false));
    data(release_info(api.pilothouse.releases().promote(&caller, id, is_forced).await?))
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
    api.pilothouse.releases().abort(&caller, ReleaseId(args.release)).await?;
    done()
}

/// The selection of nodes that arguments make.
pub(super) fn selection(
    (nodes, percent, labels): (Option<List>, Option<i64>, Option<List>),
    stays_grey: bool,
) -> Result<Selector, Error> {
    Ok(Selector {
        nodes: nodes.map(|nodes| nodes.joined().parse()).transpose()?,
        percent: percent.map(i64::try_into).transpose()?,
        labels: labels.map(|labels| labels.joined().parse()).transpose()?,
        stays_grey,
    })
}

fn release_info(released: Released) -> ReleaseInfo {
    ReleaseInfo { release: released.release.0, kind: released.kind.as_str(), targets: released.targets }
}
