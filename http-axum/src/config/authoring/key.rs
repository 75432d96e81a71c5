//! `/app/key/*`: the keys with which an app's nodes authenticate.

use axum::extract::State;
use axum::http::Method;
use pilothouse_core::Error;
use pilothouse_core::config::{AppKey, AppKeyId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{Args, NoArgs, Segment};
use crate::caller::Auth;
use crate::config::write::{Null, Writer, done};
use crate::envelope::{Data, Reply, data};
use crate::optional_member::selector;
use crate::state::ApiState;

/// App that the key is for, and the secret that its clients have.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyCreate {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Secret that clients of the app sign with already, to be taken over: printable ASCII without blanks. Only in the body
    /// of a POST; without it a key is made.
    #[serde(default, deserialize_with = "selector")]
    #[param(
        min_length = 16,
        max_length = 128,
        pattern = "^[!-~]+$",
        example = "df23df3f59884980844ff3dada30fa97"
    )]
    secret: Option<String>,
}

/// A key that was made just now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewKey {
    /// Id of the key; not a secret.
    id: i64,
    /// The key itself, which is never told again: nodes send it as Bearer, or sign with it. A secret that was taken over is
    /// answered as it was sent.
    #[schema(example = "5f2b8c0e9d4a1776b3c2e8f0a94d1e6b5f2b8c0e9d4a1776b3c2e8f0a94d1e6b")]
    key: String,
}

/// Makes a key of an app, or takes over the secret that its clients have. An app may have 100, so that one can be replaced
/// while the other still opens. A secret that is a key of any app already is 5.
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
    method: Method,
    Writer(caller): Writer,
    Args(args): Args<KeyCreate>,
) -> Reply<Data<NewKey>> {
    let keys = api.pilothouse.app_keys();
    let made = match &args.secret {
        Some(_) if method != Method::POST => {
            return Err(Error::invalid("secret", "is taken from the body of a POST only").into());
        }
        Some(secret) => keys.bring(&caller, &args.app, secret).await?,
        None => keys.create(&caller, &args.app).await?,
    };
    data(NewKey { id: made.id.0, key: made.text })
}

/// A key, without the key itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyInfo {
    /// Id of the key; not a secret.
    #[schema(example = 1)]
    id: i64,
    /// Time of its creation: RFC 3339 with the offset of the server's zone.
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
    Args(NoArgs {}): Args<NoArgs>,
) -> Reply<Data<Vec<KeyInfo>>> {
    let keys = api.pilothouse.app_keys().list(&caller, &app).await?;
    let keys = keys.into_iter().map(|AppKey { id, create_time, .. }| {
        let create_time = api.local(create_time);
        KeyInfo { id: id.0, create_time }
    });
    data(keys.collect())
}

/// App key to delete, by its id.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyDel {
    /// Id of the key; not a secret.
    #[param(example = 1)]
    id: i64,
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
    api.pilothouse.app_keys().delete(&caller, AppKeyId(args.id)).await?;
    done()
}
