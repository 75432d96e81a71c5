//! `/publish/set` and `/publish/rollback`: releases of several configs, and the way back.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::config::{ChangeSetId, NewReleaseSet, ReleaseContent, ReleaseId, RolledBackItem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::publish::selection;
use crate::args::Args;
use crate::config::write::Writer;
use crate::envelope::{Data, Reply, data};
use crate::list::List;
use crate::optional_member::selector;
use crate::state::ApiState;

/// Configs to publish as one release, and the nodes it is for.
#[derive(Deserialize, ToSchema)]
pub(super) struct PublishSet {
    /// Name of the app.
    #[schema(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[schema(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// The change set to release; either this or `keys`.
    #[serde(default, deserialize_with = "selector")]
    #[schema(example = 1)]
    changeset: Option<i64>,
    /// The keys whose current versions are released, at most 10,000; either this or `changeset`. Each is at most 256 bytes.
    #[serde(default, deserialize_with = "selector")]
    #[schema(max_items = 10_000, example = json!(["k1"]))]
    keys: Option<Vec<String>>,
    /// Only to these nodes, as in `/publish`; at most 65,536 bytes.
    #[serde(default, deserialize_with = "selector")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 65_536, example = "11,22,33,44")]
    nodes: Option<List>,
    /// Only to this share, rounded up, of the nodes that are online.
    #[serde(default, deserialize_with = "selector")]
    #[schema(minimum = 1, maximum = 100, example = 10)]
    percent: Option<i64>,
    /// Only to nodes with all of these labels: `name:value`, separated by commas, or a list; at most 4096 bytes.
    #[serde(default, deserialize_with = "selector")]
    #[schema(value_type = Option<String>, min_length = 2, max_length = 4096, example = "zone:a")]
    labels: Option<List>,
    /// Whether a release to nodes is a grey one; `nodes` that name all that are online stay a grey release unless it is false.
    #[schema(default = true, example = true)]
    grey: Option<bool>,
    /// Title of the release; at most 256 bytes. That of the change set where it is not given.
    #[schema(max_length = 256, example = "feature x")]
    title: Option<String>,
}

/// Release to take back.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublishRollback {
    /// Id of the release.
    #[schema(example = 1)]
    release: i64,
    /// Whether to answer what would be done, and do nothing.
    #[schema(default = false, example = false)]
    dry_run: Option<bool>,
}

/// A release of several configs that was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReleaseSetInfo {
    /// Id of the release.
    #[schema(example = 1)]
    release: i64,
    /// `full`, or `grey` for a part of the nodes.
    #[schema(pattern = "^(full|grey)$", example = "full")]
    kind: &'static str,
    /// Number of nodes it is to reach now.
    #[schema(minimum = 0, example = 4)]
    targets: i64,
    /// Number of its items.
    #[schema(minimum = 1, example = 2)]
    items: i64,
}

/// A release that took another one back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RollbackInfo {
    /// Id of the release that was made; of a grey release, which is aborted, its own; 0 in a dry run.
    #[schema(example = 2)]
    release: i64,
    /// Number of its items.
    #[schema(minimum = 1, example = 2)]
    items: i64,
    /// In a dry run: what each item goes back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<RolledBackInfo>>,
}

/// An item that a dry run would take back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RolledBackInfo {
    /// The key.
    #[schema(example = "k1")]
    key: String,
    /// The version that the release published; 0 where it deleted the key.
    #[schema(minimum = 0, example = 2)]
    from: i64,
    /// The version that nodes go back to; 0 where they lose the key.
    #[schema(minimum = 0, example = 1)]
    version: i64,
}

/// Publishes an approved change set, or the approved current versions of some keys, as one release: at one revision, and in one
/// event to each node.
#[utoipa::path(
    post,
    path = "/publish/set",
    tag = "config",
    request_body = PublishSet,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "The release.", body = Data<ReleaseSetInfo>)),
)]
pub(super) async fn publish_set(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<PublishSet>,
) -> Reply<Data<ReleaseSetInfo>> {
    let PublishSet { app, profile, changeset, keys, nodes, percent, labels, grey, title } = args;
    let content = match (changeset, keys) {
        (Some(id), None) => ReleaseContent::ChangeSet(ChangeSetId(id)),
        (None, Some(keys)) => ReleaseContent::Keys(keys),
        _ => return Err(Error::invalid("changeset", "either this or keys must be given").into()),
    };
    let selector = selection((nodes, percent, labels), grey != Some(false))?;
    let new = NewReleaseSet { app, profile, content, selector, title: title.unwrap_or_default() };
    let released = api.pilothouse.releases().publish_set(&caller, &new).await?;
    data(ReleaseSetInfo {
        release: released.release.0,
        kind: released.kind.as_str(),
        targets: released.targets,
        items: released.items,
    })
}

/// Takes a release back at once, also under four-eyes: everything of it goes back to what was released before, and drafts stay.
/// An active grey release is aborted. Where a key was released again since, nothing is done and the keys are named.
#[utoipa::path(
    post,
    path = "/publish/rollback",
    tag = "config",
    request_body = PublishRollback,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "The release that does it.", body = Data<RollbackInfo>)),
)]
pub(super) async fn publish_rollback(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<PublishRollback>,
) -> Reply<Data<RollbackInfo>> {
    let (releases, id) = (api.pilothouse.releases(), ReleaseId(args.release));
    if args.dry_run == Some(true) {
        let planned = releases.preview_rollback(&caller, id).await?;
        let items = i64::try_from(planned.len()).unwrap_or(i64::MAX);
        let changes = planned.into_iter().map(|RolledBackItem { key, from, to }| RolledBackInfo {
            key,
            from,
            version: to,
        });
        return data(RollbackInfo { release: 0, items, changes: Some(changes.collect()) });
    }
    let released = releases.roll_back(&caller, id).await?;
    data(RollbackInfo { release: released.release.0, items: released.items, changes: None })
}
