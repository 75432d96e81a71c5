//! `/config/pending`: what waits for an approval, a release, or the end of a grey release.

use axum::extract::State;
use pilothouse_core::Page;
use pilothouse_core::config::{
    ActiveGrey, ChangeSet, Pending, PendingChange, PendingGrey, PendingItem, PendingSubject,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// Size of the lists.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigPending {
    /// The most rows of each list.
    #[param(minimum = 1, maximum = 1000, default = 1000, example = 100)]
    count: Option<i64>,
}

/// A change that waits: of one config, or of a change set in the place of its configs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PendingChangeInfo {
    /// Name of the app.
    #[schema(example = "app1")]
    app: String,
    /// Profile within the app.
    #[schema(example = "dev")]
    profile: String,
    /// Id of the change set; 0 for one config.
    #[schema(example = 0)]
    change_set: i64,
    /// Title of the change set; empty for one config.
    #[schema(example = "")]
    title: String,
    /// Id of the config; 0 for a change set.
    #[schema(example = 1)]
    config_id: i64,
    /// Key of the config; empty for a change set.
    #[schema(example = "k1")]
    key: String,
    /// The current version of the config; 0 for a change set.
    #[schema(example = 2)]
    version: i64,
    /// Number of configs.
    #[schema(minimum = 1, example = 1)]
    items: i64,
    /// The uid of who made it.
    #[schema(example = "1")]
    author: String,
    /// Time it was made: RFC 3339 with the offset of the server's zone.
    #[schema(example = "2017-07-13T18:14:22+08:00")]
    time: String,
}

/// An active grey release.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PendingGreyInfo {
    /// Id of the release.
    #[schema(example = 1)]
    release: i64,
    /// Name of the app.
    #[schema(example = "app1")]
    app: String,
    /// Profile within the app.
    #[schema(example = "dev")]
    profile: String,
    /// Id of the change set that was released; 0 without one.
    #[schema(example = 0)]
    change_set: i64,
    /// Title of the release; empty where it has none.
    #[schema(example = "feature x")]
    title: String,
    /// Id of the first config that is still released.
    #[schema(example = 1)]
    config_id: i64,
    /// Key of that config.
    #[schema(example = "k1")]
    key: String,
    /// The version of that config; 0 where the nodes lose the key.
    #[schema(example = 2)]
    version: i64,
    /// Number of configs that are still released.
    #[schema(minimum = 1, example = 1)]
    items: i64,
    /// Number of nodes that it is for.
    #[schema(minimum = 1, example = 1)]
    nodes: i64,
    /// The uid of who published it.
    #[schema(example = "1")]
    publisher: String,
    /// Time of its publication: RFC 3339 to the millisecond, with the offset of the server's zone.
    #[schema(example = "2017-07-13T18:14:22.000+08:00")]
    publish_time: String,
}

/// What waits in the apps and profiles that the caller may read.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PendingInfo {
    /// Drafts that nobody approved; in a profile under four-eyes without the caller's own.
    to_approve: Vec<PendingChangeInfo>,
    /// What is approved and not published.
    to_publish: Vec<PendingChangeInfo>,
    /// Grey releases that are neither promoted nor aborted.
    grey: Vec<PendingGreyInfo>,
    /// Names of the lists that have more rows than are answered.
    #[schema(example = json!(["ToApprove"]))]
    more: Vec<&'static str>,
}

/// What waits in all apps and profiles that the caller may read, in each list at most `count` rows by id, change sets first.
///
/// Where the caller has grant 1 a change set stands for those of its configs that are as it made them; elsewhere they are listed
/// one by one. A version that a grey release has is in `Grey` alone.
#[utoipa::path(
    method(get, post),
    path = "/config/pending",
    tag = "config",
    params(ConfigPending),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account"))),
    responses((status = 200, description = "What waits.", body = Data<PendingInfo>)),
)]
pub(super) async fn config_pending(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(ConfigPending { count }): Args<ConfigPending>,
) -> Reply<Data<PendingInfo>> {
    let page = Page::new(None, count.or(Some(Page::MAX)))?;
    let Pending { to_approve, to_publish, grey, .. } =
        api.pilothouse.releases().pending(&caller, page).await?;
    let cut =
        [("ToApprove", to_approve.has_more), ("ToPublish", to_publish.has_more), ("Grey", grey.has_more)];
    data(PendingInfo {
        to_approve: to_approve.rows.into_iter().map(|change| pending_change(&api, change)).collect(),
        to_publish: to_publish.rows.into_iter().map(|change| pending_change(&api, change)).collect(),
        grey: grey.rows.into_iter().map(|row| pending_grey(&api, row)).collect(),
        more: cut.into_iter().filter(|(_, has_more)| *has_more).map(|(name, _)| name).collect(),
    })
}

fn pending_change(api: &ApiState, PendingChange { app, subject, .. }: PendingChange) -> PendingChangeInfo {
    match subject {
        PendingSubject::Item(PendingItem { item, profile, key, version, modifier, modify_time, .. }) => {
            PendingChangeInfo {
                app,
                profile,
                change_set: 0,
                title: String::new(),
                config_id: item.0,
                key,
                version,
                items: 1,
                author: modifier.to_string(),
                time: api.local(modify_time),
            }
        }
        PendingSubject::ChangeSet(ChangeSet { id, profile, title, author, time, size, .. }) => {
            PendingChangeInfo {
                app,
                profile,
                change_set: id.0,
                title,
                config_id: 0,
                key: String::new(),
                version: 0,
                items: size,
                author: author.to_string(),
                time: api.local(time),
            }
        }
    }
}

fn pending_grey(api: &ApiState, PendingGrey { app, grey, .. }: PendingGrey) -> PendingGreyInfo {
    let ActiveGrey { release, profile, title, change_set, item, key, version, items, nodes, .. } = grey;
    PendingGreyInfo {
        release: release.0,
        app,
        profile,
        change_set: change_set.map_or(0, |set| set.0),
        title,
        config_id: item.0,
        key,
        version,
        items,
        nodes,
        publisher: grey.publisher.to_string(),
        publish_time: api.moment(Some(grey.publish_time)),
    }
}
