//! `/userauth/*`: grants on apps.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::config::{Grant, GrantId, NewGrant, Permission};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::write::{Null, Writer, done};
use crate::args::{Args, Segment};
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// A grant to give.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserauthCreate {
    /// The app; `all` is every app, which only its holders give.
    #[param(min_length = 1, max_length = 64, example = "app10")]
    app: String,
    /// 1 develop, 9 manage; on `all` only 9.
    #[param(minimum = 1, maximum = 9, example = 1)]
    permission: i64,
    /// The account's id.
    #[param(example = 2)]
    uid: i64,
    /// What to call the account; kept as given, at most 128 bytes.
    #[param(max_length = 128, example = "dd")]
    username: String,
}

fn permission(number: i64) -> Result<Permission, Error> {
    Permission::from_id(number).ok_or_else(|| Error::invalid("permission", "must be 1 or 9"))
}

/// Gives an account a grant on an app, and answers its id.
#[utoipa::path(
    method(get, post),
    path = "/userauth/create",
    tag = "config",
    params(UserauthCreate),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "The grant's id.", body = Data<i64>)),
)]
pub(super) async fn userauth_create(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<UserauthCreate>,
) -> Reply<Data<GrantId>> {
    let UserauthCreate { app, permission: number, uid: account, username: uname } = args;
    let new = NewGrant { app, account, uname, permission: permission(number)? };
    data(api.pilothouse.grants().create(&caller, new).await?)
}

/// A grant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GrantInfo {
    /// Its id.
    #[schema(example = 1)]
    id: GrantId,
    /// The account's id.
    #[schema(example = 50_002_304)]
    uid: i64,
    /// What the account was called when it was given.
    #[schema(example = "dd")]
    uname: String,
    /// The app, or `all`.
    #[schema(example = "app1")]
    app: String,
    /// 1 develop, 9 manage.
    #[schema(example = 9)]
    permission: i64,
}

/// The grants on an app, by id.
#[utoipa::path(
    method(get, post),
    path = "/userauth/list/{app}",
    tag = "config",
    params(("app" = String, Path, min_length = 1, max_length = 64, description = "The app, or `all`.", example = "app1")),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "The grants.", body = Data<Vec<GrantInfo>>)),
)]
pub(super) async fn userauth_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Segment(app): Segment,
) -> Reply<Data<Vec<GrantInfo>>> {
    let grants = api.pilothouse.grants().list(&caller, &app).await?;
    let grants = grants.into_iter().map(|grant| {
        let Grant { id, account: uid, uname, permission, .. } = grant;
        GrantInfo { id, uid, uname, app: app.clone(), permission: permission.id() }
    });
    data(grants.collect())
}

/// Which grant to take away.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserauthDel {
    /// The grant's id.
    #[param(value_type = i64, example = 1)]
    id: GrantId,
}

/// Takes a grant away. The last admin of an app keeps its.
#[utoipa::path(
    method(get, post),
    path = "/userauth/del",
    tag = "config",
    params(UserauthDel),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "Taken.", body = Data<Null>)),
)]
pub(super) async fn userauth_del(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<UserauthDel>,
) -> Reply<Data<Null>> {
    api.pilothouse.grants().delete(&caller, args.id).await?;
    done()
}

/// What a grant shall permit.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserauthUpdatePermission {
    /// The grant's id.
    #[param(value_type = i64, example = 1)]
    id: GrantId,
    /// 1 develop, 9 manage; on `all` only 9.
    #[param(minimum = 1, maximum = 9, example = 1)]
    permission: i64,
}

/// Changes what a grant permits. The last admin of an app stays one.
#[utoipa::path(
    method(get, post),
    path = "/userauth/update_permission",
    tag = "config",
    params(UserauthUpdatePermission),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "Changed.", body = Data<Null>)),
)]
pub(super) async fn userauth_update_permission(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<UserauthUpdatePermission>,
) -> Reply<Data<Null>> {
    api.pilothouse.grants().update(&caller, args.id, permission(args.permission)?).await?;
    done()
}
