//! `/app/key/*`: the keys with which an app's nodes authenticate.

use axum::extract::State;
use pilothouse_core::config::{AppKey, AppKeyId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::write::{Null, Writer, done};
use crate::args::{Args, Segment};
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// For which app.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyCreate {
    /// The app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
}

/// A key that was made just now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewKey {
    /// Its id.
    id: AppKeyId,
    /// The key itself, which is never told again: nodes send it as Bearer, or sign with it.
    #[schema(example = "5f2b8c0e9d4a1776b3c2e8f0a94d1e6b5f2b8c0e9d4a1776b3c2e8f0a94d1e6b")]
    key: String,
}

/// Makes a key of an app. An app may have 100, so that one can be replaced while the other still opens.
#[utoipa::path(
    method(get, post),
    path = "/app/key/create",
    tag = "config",
    params(KeyCreate),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "The key.", body = Data<NewKey>)),
)]
pub(super) async fn app_key_create(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<KeyCreate>,
) -> Reply<Data<NewKey>> {
    let made = api.pilothouse.app_keys().create(&caller, &args.app).await?;
    data(NewKey { id: made.id, key: made.text })
}

/// A key, without the key itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyInfo {
    /// Its id.
    #[schema(example = 1)]
    id: AppKeyId,
    /// When it was made: RFC 3339 with the offset of the server's zone.
    #[schema(example = "2017-07-13T18:14:22+08:00")]
    create_time: String,
}

/// The keys of an app, by id. The keys themselves are not told.
#[utoipa::path(
    method(get, post),
    path = "/app/key/list/{app}",
    tag = "config",
    params(("app" = String, Path, min_length = 1, max_length = 64, description = "The app.", example = "app1")),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "The keys.", body = Data<Vec<KeyInfo>>)),
)]
pub(super) async fn app_key_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Segment(app): Segment,
) -> Reply<Data<Vec<KeyInfo>>> {
    let keys = api.pilothouse.app_keys().list(&caller, &app).await?;
    let keys = keys.into_iter().map(|AppKey { id, create_time, .. }| {
        let create_time = api.local(create_time);
        KeyInfo { id, create_time }
    });
    data(keys.collect())
}

/// Which key.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyDel {
    /// Its id.
    #[param(value_type = i64, example = 1)]
    id: AppKeyId,
}

/// Deletes a key, which opens nothing from now on.
#[utoipa::path(
    method(get, post),
    path = "/app/key/del",
    tag = "config",
    params(KeyDel),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "Deleted.", body = Data<Null>)),
)]
pub(super) async fn app_key_del(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<KeyDel>,
) -> Reply<Data<Null>> {
    api.pilothouse.app_keys().delete(&caller, args.id).await?;
    done()
}
