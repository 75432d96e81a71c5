//! `/changeset/*`: change sets, their approval, and taking them back.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::config::{ChangeSet, ChangeSetDiff, ChangeSetId, ChangeSetState, ItemDiff};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::config::write::{Null, Writer, done};
use crate::envelope::{Data, Reply, data};
use crate::optional_member::selector;
use crate::page::{ListReply, list_query, listed};
use crate::state::ApiState;

list_query! {
    /// Profile whose change sets are listed.
    pub(super) struct ChangeSetListQuery {
        /// Name of the app.
        #[param(min_length = 1, max_length = 64, example = "app1")]
        app: String,
        /// Profile within the app.
        #[param(min_length = 1, max_length = 64, example = "dev")]
        profile: String,
        /// Only those in this state.
        #[serde(default, deserialize_with = "selector")]
        #[param(pattern = "^(draft|approved|released|discarded)$", example = "draft")]
        state: Option<String>,
    }
}

/// Change set by its id.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangeSetQuery {
    /// Id of the change set.
    #[param(example = 1)]
    changeset: i64,
}

/// Change set to act on, by its id.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeSetAction {
    /// Id of the change set.
    #[schema(example = 1)]
    changeset: i64,
}

/// A change set.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeSetInfo {
    /// Id of the change set.
    #[schema(example = 1)]
    change_set: i64,
    /// Title for people.
    #[schema(example = "feature x")]
    title: String,
    /// Name of the app.
    #[schema(example = "app1")]
    app: String,
    /// Profile within the app.
    #[schema(example = "dev")]
    profile: String,
    /// State of the change set.
    #[schema(pattern = "^(draft|approved|released|discarded)$", example = "draft")]
    state: &'static str,
    /// The uid of who made it.
    #[schema(example = "1")]
    author: String,
    /// Time it was made: RFC 3339 with the offset of the server's zone.
    #[schema(example = "2017-07-13T18:14:22+08:00")]
    time: String,
    /// The uid of who approved it; empty where nobody did.
    #[schema(example = "")]
    approver: String,
    /// Number of its items.
    #[schema(example = 2)]
    size: i64,
}

/// An item of a change set, with the difference that the set makes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeDiffInfo {
    /// Key of the config.
    #[schema(example = "k1")]
    key: String,
    /// Id of the config.
    #[schema(example = 1)]
    id: i64,
    /// What the change does.
    #[schema(pattern = "^(create|update|delete)$", example = "update")]
    action: &'static str,
    /// The version before; 0 where the key was not there.
    #[schema(example = 1)]
    from: i64,
    /// The version that the set made; 0 for a deletion.
    #[schema(example = 2)]
    version: i64,
    /// Unified diff of the values.
    #[schema(example = "")]
    diff: String,
}

/// A change set with what it changes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeSetDiffInfo {
    #[serde(flatten)]
    set: ChangeSetInfo,
    /// Its items, by id.
    changes: Vec<ChangeDiffInfo>,
}

/// The change sets of a profile, newest first unless `order` says otherwise.
#[utoipa::path(
    method(get, post),
    path = "/changeset/list",
    tag = "config",
    params(ChangeSetListQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((
        status = 200,
        description = "The change sets.",
        body = Data<Vec<ChangeSetInfo>>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it."),
        ),
    )),
)]
pub(super) async fn changeset_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(mut query): Args<ChangeSetListQuery>,
) -> ListReply<Data<Vec<ChangeSetInfo>>> {
    query.order.get_or_insert_with(|| "newest".to_owned());
    let page = query.page()?;
    let ChangeSetListQuery { app, profile, state, .. } = query;
    let state = state.map(|name| {
        let wrong = || Error::invalid("state", "must be draft, approved, released or discarded");
        ChangeSetState::from_name(&name).ok_or_else(wrong)
    });
    let sets = api.pilothouse.change_sets();
    let found = sets.list(&caller, (&app, &profile), state.transpose()?, page).await?;
    listed(found, page, |set| change_set_info(&api, set, &app), data)
}

/// A change set, with a diff of each of its items.
#[utoipa::path(
    method(get, post),
    path = "/changeset/get",
    tag = "config",
    params(ChangeSetQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "The change set.", body = Data<ChangeSetDiffInfo>)),
)]
pub(super) async fn changeset_get(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<ChangeSetQuery>,
) -> Reply<Data<ChangeSetDiffInfo>> {
    let found = api.pilothouse.change_sets().get(&caller, ChangeSetId(args.changeset)).await?;
    let ChangeSetDiff { set, app, items } = found;
    let changes = items.into_iter().map(|ItemDiff { item, diff }| ChangeDiffInfo {
        key: item.key,
        id: item.item.0,
        action: item.action.as_str(),
        from: item.from,
        version: item.version,
        diff,
    });
    data(ChangeSetDiffInfo { set: change_set_info(&api, set, &app), changes: changes.collect() })
}

/// Approves every version and deletion of a change set. In a profile under four-eyes who made one of them cannot. Where an item
/// was edited since, nothing is approved and the keys are named.
#[utoipa::path(
    post,
    path = "/changeset/approve",
    tag = "config",
    request_body = ChangeSetAction,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "Approved.", body = Data<Null>)),
)]
pub(super) async fn changeset_approve(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<ChangeSetAction>,
) -> Reply<Data<Null>> {
    api.pilothouse.change_sets().approve(&caller, ChangeSetId(args.changeset)).await?;
    done()
}

/// Takes a change set back that was not released: its items say again what is released of them. Items that were edited since
/// stay as they are.
#[utoipa::path(
    post,
    path = "/changeset/discard",
    tag = "config",
    request_body = ChangeSetAction,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "Taken back.", body = Data<Null>)),
)]
pub(super) async fn changeset_discard(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<ChangeSetAction>,
) -> Reply<Data<Null>> {
    api.pilothouse.change_sets().discard(&caller, ChangeSetId(args.changeset)).await?;
    done()
}

fn change_set_info(api: &ApiState, set: ChangeSet, app: &str) -> ChangeSetInfo {
    ChangeSetInfo {
        change_set: set.id.0,
        title: set.title,
        app: app.to_owned(),
        profile: set.profile,
        state: set.state.as_str(),
        author: set.author.to_string(),
        time: api.local(set.time),
        approver: set.approver.map(|uid| uid.to_string()).unwrap_or_default(),
        size: set.size,
    }
}
