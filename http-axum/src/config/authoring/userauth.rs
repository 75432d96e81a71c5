//! `/userauth/*`: grants on apps and on single profiles of them.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{Grant, GrantId, NewGrant, Permission};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{Args, NoArgs, Segment};
use crate::caller::Auth;
use crate::config::write::{Null, Writer, done};
use crate::envelope::{Data, Reply, data};
use crate::optional_member::selector;
use crate::state::ApiState;

/// A grant to give.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserauthCreate {
    /// The app; `all` is every app, which only its holders give.
    #[param(min_length = 1, max_length = 64, example = "app10")]
    app: String,
    /// The profile, which the grant is on alone; all of the app where it is not given.
    #[serde(default, deserialize_with = "selector")]
    #[param(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "dev")]
    profile: Option<String>,
    /// 0 read, 1 develop, 9 manage; on `all` only 9.
    #[param(minimum = 0, maximum = 9, example = 1)]
    permission: i64,
    /// Id of the account.
    #[param(example = 2)]
    uid: i64,
    /// Account name to show; kept as given, at most 128 bytes.
    #[param(max_length = 128, example = "dd")]
    username: String,
}

fn permission(number: i64) -> Result<Permission, Error> {
    Permission::from_id(number).ok_or_else(|| Error::invalid("permission", "must be 0, 1 or 9"))
}

/// Gives an account a grant on an app or on one profile of it, and answers its id. Of the two, the one on the profile
/// decides there, also where it permits less.
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
) -> Reply<Data<i64>> {
    let UserauthCreate { app, profile, permission: number, uid, username: uname } = args;
    let new = NewGrant { app, profile, account: AccountId(uid), uname, permission: permission(number)? };
    data(api.pilothouse.grants().create(&caller, new).await?.0)
}

/// A grant of an account on an app.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GrantInfo {
    /// Id of the grant.
    #[schema(example = 1)]
    id: i64,
    /// Id of the account.
    #[schema(example = 50_002_304)]
    uid: i64,
    /// Account name as given with the grant.
    #[schema(example = "dd")]
    uname: String,
    /// The app, or `all`.
    #[schema(example = "app1")]
    app: String,
    /// 0 read, 1 develop, 9 manage.
    #[schema(example = 9)]
    permission: i64,
}

/// The grants on an app as a whole, by id.
#[utoipa::path(
    method(get, post),
    path = "/userauth/list/{app}",
    tag = "config",
    params(("app" = String, Path, min_length = 1, max_length = 64, description = "The app, or `all`.", example = "app1")),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0 on the whole app"))),
    responses((status = 200, description = "The grants.", body = Data<Vec<GrantInfo>>)),
)]
pub(super) async fn userauth_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Segment(app): Segment,
    Args(NoArgs {}): Args<NoArgs>,
) -> Reply<Data<Vec<GrantInfo>>> {
    let grants = api.pilothouse.grants().list(&caller, &app).await?;
    let grants = grants.into_iter().map(|grant| {
        let Grant { id, account, uname, permission, .. } = grant;
        GrantInfo { id: id.0, uid: account.0, uname, app: app.clone(), permission: permission.id() }
    });
    data(grants.collect())
}

/// A grant of an account on one profile of an app.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProfileGrantInfo {
    /// Id of the grant.
    #[schema(example = 1)]
    id: i64,
    /// Id of the account.
    #[schema(example = 50_002_304)]
    uid: i64,
    /// Account name as given with the grant.
    #[schema(example = "dd")]
    uname: String,
    /// The app.
    #[schema(example = "app1")]
    app: String,
    /// The profile that the grant is on.
    #[schema(example = "dev")]
    profile: String,
    /// 0 read, 1 develop, 9 manage.
    #[schema(example = 1)]
    permission: i64,
}

/// The grants on those profiles of an app that the caller may read, by id.
#[utoipa::path(
    method(get, post),
    path = "/userauth/profiles/{app}",
    tag = "config",
    params(("app" = String, Path, min_length = 1, max_length = 64, description = "The app.", example = "app1")),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0 on a profile"))),
    responses((status = 200, description = "The grants.", body = Data<Vec<ProfileGrantInfo>>)),
)]
pub(super) async fn userauth_profiles(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Segment(app): Segment,
    Args(NoArgs {}): Args<NoArgs>,
) -> Reply<Data<Vec<ProfileGrantInfo>>> {
    let grants = api.pilothouse.grants().of_profiles(&caller, &app).await?;
    let grants = grants.into_iter().map(|grant| {
        let Grant { id, account, uname, profile, permission, .. } = grant;
        ProfileGrantInfo {
            id: id.0,
            uid: account.0,
            uname,
            app: app.clone(),
            profile: profile.unwrap_or_default(),
            permission: permission.id(),
        }
    });
    data(grants.collect())
}

/// Grant to withdraw.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserauthDel {
    /// Id of the grant.
    #[param(example = 1)]
    id: i64,
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
    api.pilothouse.grants().delete(&caller, GrantId(args.id)).await?;
    done()
}

/// New permission of a grant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserauthUpdatePermission {
    /// Id of the grant.
    #[param(example = 1)]
    id: i64,
    /// 0 read, 1 develop, 9 manage; on `all` only 9.
    #[param(minimum = 0, maximum = 9, example = 1)]
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
    api.pilothouse.grants().update(&caller, GrantId(args.id), permission(args.permission)?).await?;
    done()
}
