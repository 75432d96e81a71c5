//! `/app/*`: lists, creates, changes and deletes apps.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::config::{App, NewApp, UpdateApp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{Args, NoArgs, Segment};
use crate::caller::Auth;
use crate::config::write::{Null, Writer, done};
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// An app to create.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AppCreate {
    /// Name of the app on the wire: of `A-Z a-z 0-9 . _ -`, not `.`, `..` or `all`.
    #[param(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "app10")]
    app: String,
    /// 0 a server, 9 a client app.
    #[serde(rename = "appType")]
    #[param(minimum = 0, maximum = 255, example = 1)]
    app_type: i64,
    /// Name; at most 128 bytes.
    #[param(min_length = 1, max_length = 128, example = "test-name2")]
    name: String,
    /// The name of the person in charge, not a uid; at most 128 bytes.
    #[param(min_length = 1, max_length = 128, example = "dyf")]
    charger: String,
}

fn app_type(number: i64) -> Result<u8, Error> {
    number.try_into().map_err(|_| Error::invalid("appType", "must be from 0 to 255"))
}

/// Creates an app, with the caller as its admin.
#[utoipa::path(
    method(get, post),
    path = "/app/create",
    tag = "config",
    params(AppCreate),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account"))),
    responses((status = 200, description = "Created.", body = Data<Null>)),
)]
pub(super) async fn app_create(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<AppCreate>,
) -> Reply<Data<Null>> {
    let AppCreate { app, app_type: number, name, charger } = args;
    let new = NewApp { app, app_type: app_type(number)?, name, charger };
    api.pilothouse.apps().create(&caller, new).await?;
    done()
}

/// Deletes an app that has no configs, with its grants.
#[utoipa::path(
    method(get, post),
    path = "/app/del/{app}",
    tag = "config",
    params(("app" = String, Path, min_length = 1, max_length = 64, description = "The app.", example = "app10")),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "Deleted.", body = Data<Null>)),
)]
pub(super) async fn app_del(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Segment(app): Segment,
    Args(NoArgs {}): Args<NoArgs>,
) -> Reply<Data<Null>> {
    api.pilothouse.apps().delete(&caller, &app).await?;
    done()
}

/// Changes to an app; members that are not given stay.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AppUpdate {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app10")]
    app: String,
    /// 0 a server, 9 a client app.
    #[serde(rename = "appType")]
    #[param(minimum = 0, maximum = 255, example = 1)]
    app_type: Option<i64>,
    /// Name; at most 128 bytes.
    #[param(min_length = 1, max_length = 128, example = "test-name2")]
    name: Option<String>,
    /// The name of the person in charge; at most 128 bytes.
    #[param(min_length = 1, max_length = 128, example = "dyf")]
    charger: Option<String>,
}

/// Changes type, name or person in charge of an app.
#[utoipa::path(
    method(get, post),
    path = "/app/update",
    tag = "config",
    params(AppUpdate),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "Changed.", body = Data<Null>)),
)]
pub(super) async fn app_update(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<AppUpdate>,
) -> Reply<Data<Null>> {
    let AppUpdate { app, app_type: number, name, charger } = args;
    let change = UpdateApp { app_type: number.map(app_type).transpose()?, name, charger };
    api.pilothouse.apps().update(&caller, &app, change).await?;
    done()
}

/// An app of the configuration centre.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AppInfo {
    /// Name of the app on the wire.
    #[schema(example = "app1")]
    app: String,
    /// 0 a server, 9 a client app.
    #[schema(example = 1)]
    app_type: u8,
    /// Name that people read: 1 to 128 bytes.
    #[schema(example = "test")]
    name: String,
    /// The name of the person in charge.
    #[schema(example = "dyf")]
    charger: String,
    /// Time of its creation: RFC 3339 with the offset of the server's zone.
    #[schema(example = "2017-07-13T18:14:22+08:00")]
    create_time: String,
}

/// The apps that the caller has a grant on, or on a profile of which it has one, by id; with a grant on `all` every app.
#[utoipa::path(
    method(get, post),
    path = "/app/list",
    tag = "config",
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account"))),
    responses((status = 200, description = "The apps.", body = Data<Vec<AppInfo>>)),
)]
pub(super) async fn app_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(NoArgs {}): Args<NoArgs>,
) -> Reply<Data<Vec<AppInfo>>> {
    let apps = api.pilothouse.apps().list(&caller).await?;
    let apps = apps.into_iter().map(|app| {
        let App { app, app_type, name, charger, create_time, .. } = app;
        AppInfo { app, app_type, name, charger, create_time: api.local(create_time) }
    });
    data(apps.collect())
}
