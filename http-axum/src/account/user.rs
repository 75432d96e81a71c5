//! `/admin/user`: accounts.

use axum::extract::State;
use pilothouse_core::Page;
use pilothouse_core::account::{Account, Groups, NewAccount, UpdateAccount};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{Action, Args};
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::state::ApiState;

/// An account.
#[derive(Serialize, ToSchema)]
pub(super) struct UserInfo {
    /// Its id: the config family's uid.
    #[schema(example = 11)]
    id: i64,
    /// Its mail.
    #[schema(example = "user@example.com")]
    mail: String,
    /// Its name.
    #[schema(example = "xxx")]
    name: String,
    /// Its department.
    #[schema(example = "dev")]
    department: String,
    /// The groups it is in, ascending.
    #[schema(example = "1,2,3")]
    permissions: String,
}

impl From<Account> for UserInfo {
    fn from(account: Account) -> Self {
        let Account { id, name, mail, department, groups, .. } = account;
        Self { id, mail, name, department, permissions: groups.to_string() }
    }
}

/// One account where `username` is given, else a list.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Users {
    /// The account of that name.
    One(UserInfo),
    /// A page of accounts.
    List(Vec<UserInfo>),
}

/// Which accounts to list: a page, or the one of that name.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserQuery {
    /// The smallest id returned.
    #[param(minimum = 0, default = 0, example = 0)]
    start: Option<i64>,
    /// The most rows returned.
    #[param(minimum = 1, maximum = 1000, default = 10, example = 10)]
    count: Option<i64>,
    /// Only the account of this name.
    #[param(min_length = 1, max_length = 64, example = "xxx")]
    username: Option<String>,
}

/// Lists accounts by id, or gives one by name. Without group 6 a caller sees only itself.
#[utoipa::path(
    get,
    path = "/admin/user",
    tag = "ops",
    params(UserQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account; group 6 for others"))),
    responses((status = 200, description = "The account of `username`, else a list.", body = Info<Users>)),
)]
pub(super) async fn get_user(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<UserQuery>,
) -> Reply<Info<Users>> {
    let accounts = api.pilothouse.accounts();
    match query.username {
        Some(username) => info(Users::One(accounts.find(&caller, &username).await?.into())),
        None => {
            let page = Page::new(query.start, query.count)?;
            let list = accounts.list(&caller, page).await?;
            info(Users::List(list.into_iter().map(UserInfo::from).collect()))
        }
    }
}

/// What to do.
#[derive(ToSchema)]
#[serde(tag = "action", content = "data", rename_all = "lowercase")]
#[expect(dead_code, reason = "the shape of an Action, for the document")]
pub(super) enum PostUser {
    /// Adds an account.
    Add(AddUser),
    /// Changes an account.
    Update(UpdateUser),
}

/// An account to add.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddUser {
    /// Its mail, unique without regard to case.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    mail: String,
    /// Its name, unique, without @ and blanks.
    #[schema(min_length = 1, max_length = 64, example = "xxx")]
    name: String,
    /// Its password. The least number of characters is a setting, 8 by default.
    #[schema(max_length = 1024, example = "12345678")]
    passwd: String,
    /// Its department.
    #[schema(max_length = 128, example = "dev")]
    department: String,
    /// The groups it is in, separated by commas.
    #[schema(pattern = "^([1-9](,[1-9])*)?$", example = "1,2,3")]
    permissions: String,
}

/// What to change of the account named by `mail` or `name`, else of the caller's own.
#[derive(Deserialize, ToSchema)]
pub(super) struct UpdateUser {
    /// The mail of the account.
    #[schema(max_length = 254, example = "user@example.com")]
    mail: Option<String>,
    /// The name of the account.
    #[schema(max_length = 64, example = "xxx")]
    name: Option<String>,
    /// The present password, required for changing one's own.
    #[schema(max_length = 1024, example = "12345678")]
    old_passwd: Option<String>,
    /// The new password. The least number of characters is a setting, 8 by default.
    #[schema(max_length = 1024, example = "87654321")]
    new_passwd: Option<String>,
    /// The new department.
    #[schema(max_length = 128, example = "dev")]
    department: Option<String>,
    /// The new groups, separated by commas.
    #[schema(pattern = "^([1-9](,[1-9])*)?$", example = "1,2,3")]
    permissions: Option<String>,
}

/// Adds an account, or changes one.
#[utoipa::path(
    post,
    path = "/admin/user",
    tag = "ops",
    request_body = PostUser,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 7; any account for its own password and department"))),
    responses((status = 200, description = "`add user ok` or `update user ok`.", body = Info<String>)),
)]
pub(super) async fn post_user(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(action): Args<Action>,
) -> Reply<Info<&'static str>> {
    if action.verb(&["add", "update"])? == "add" {
        let AddUser { mail, name, passwd, department, permissions } = action.data()?;
        let groups = permissions.parse()?;
        api.pilothouse.accounts().add(&caller, NewAccount { name, mail, passwd, department, groups }).await?;
        return info("add user ok");
    }
    let UpdateUser { mail, name, old_passwd, new_passwd, department, permissions } = action.data()?;
    let groups = permissions.map(|permissions| permissions.parse::<Groups>()).transpose()?;
    let change = UpdateAccount { mail, name, old_passwd, new_passwd, department, groups };
    api.pilothouse.accounts().update(&caller, change).await?;
    info("update user ok")
}

/// Which account to delete.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteUser {
    /// Its name.
    #[param(min_length = 1, max_length = 64, example = "xxx")]
    name: String,
}

/// Deletes an account with its grants, tokens and cdn access.
#[utoipa::path(
    delete,
    path = "/admin/user",
    tag = "ops",
    params(DeleteUser),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 7"))),
    responses((status = 200, description = "`delete user ok`.", body = Info<String>)),
)]
pub(super) async fn delete_user(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<DeleteUser>,
) -> Reply<Info<&'static str>> {
    api.pilothouse.accounts().delete(&caller, &query.name).await?;
    info("delete user ok")
}
