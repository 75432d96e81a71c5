//! `/app/mine`: the caller's apps with what is in them.

use axum::extract::State;
use pilothouse_core::config::{App, AppCounts, OwnApp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, data};
use crate::page::{ListReply, list_query, listed};
use crate::state::ApiState;

list_query! {
    /// Page of the caller's apps.
    pub(super) struct AppMine {}
}

/// App of the caller.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OwnAppInfo {
    /// Id of the app, by which the list is ordered.
    #[schema(example = 1)]
    id: i64,
    /// Name of the app on the wire.
    #[schema(example = "app1")]
    app: String,
    /// 0 a server, 9 a client app.
    #[schema(example = 1)]
    app_type: u8,
    /// Name that people read.
    #[schema(example = "test")]
    name: String,
    /// The name of the person in charge.
    #[schema(example = "dyf")]
    charger: String,
    /// Permission of the caller: 1 develop, 9 manage.
    #[schema(example = 9)]
    permission: i64,
    /// Number of profiles that have configs.
    #[schema(example = 1)]
    profiles: i64,
    /// Number of configs.
    #[schema(example = 1)]
    items: i64,
    /// Number of configs whose current version is not the published one.
    #[schema(example = 0)]
    drafts: i64,
    /// Number of grey releases that are active.
    #[schema(example = 0)]
    grey: i64,
    /// Number of nodes that are online.
    #[schema(example = 0)]
    online: i64,
}

impl From<OwnApp> for OwnAppInfo {
    fn from(OwnApp { app, permission, counts, .. }: OwnApp) -> Self {
        let App { id, app, app_type, name, charger, .. } = app;
        let AppCounts { profiles, items, drafts, grey, online, .. } = counts;
        let permission = permission.id();
        Self { id: id.0, app, app_type, name, charger, permission, profiles, items, drafts, grey, online }
    }
}

/// The apps that `/app/list` has, by id, each with the caller's permission and its counts.
#[utoipa::path(
    method(get, post),
    path = "/app/mine",
    tag = "config",
    params(AppMine),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account"))),
    responses((
        status = 200,
        description = "The apps.",
        body = Data<Vec<OwnAppInfo>>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it."),
        ),
    )),
)]
pub(super) async fn app_mine(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<AppMine>,
) -> ListReply<Data<Vec<OwnAppInfo>>> {
    let page = args.page()?;
    let apps = api.pilothouse.apps().mine(&caller, page).await?;
    listed(apps, page, OwnAppInfo::from, data)
}
