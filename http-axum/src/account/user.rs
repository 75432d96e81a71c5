//! `/admin/user`: lists, adds, changes and deletes accounts.

use axum::extract::State;
use pilothouse_core::account::{Account, AccountId, Groups, NewAccount, UpdateAccount};
use pilothouse_core::{Error, Listing};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{Action, Args};
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::optional_member::{selector, text_or_empty};
use crate::page::{ListReply, list_query, listed};
use crate::state::ApiState;

/// An account, without its password.
#[derive(Serialize, ToSchema)]
pub(super) struct UserInfo {
    /// Id: the config family's uid.
    #[schema(example = 11)]
    id: i64,
    /// Mail address, unique without regard to case; never changes.
    #[schema(example = "user@example.com")]
    mail: String,
    /// Log-in name, unique; never changes.
    #[schema(example = "xxx")]
    name: String,
    /// Department, as people name it.
    #[schema(example = "dev")]
    department: String,
    /// The groups it is in, ascending.
    #[schema(example = "1,2,3")]
    permissions: String,
}

impl From<Account> for UserInfo {
    fn from(account: Account) -> Self {
        let Account { id, name, mail, department, groups, .. } = account;
        Self { id: id.0, mail, name, department, permissions: groups.to_string() }
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

list_query! {
    /// Accounts to list: a page, or the one of that name.
    pub(super) struct UserQuery {
        /// Only the account of this name.
        #[serde(default, deserialize_with = "selector")]
        #[param(min_length = 1, max_length = 254, example = "xxx")]
        username: Option<String>,
        /// Only accounts that are disabled, or only the others.
        #[serde(default, deserialize_with = "selector")]
        #[param(example = false)]
        disabled: Option<bool>,
    }
}

/// Lists accounts by id, or gives one by name. Without group 6 a caller sees only itself.
#[utoipa::path(
    get,
    path = "/admin/user",
    tag = "ops",
    params(UserQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account; group 6 for others"))),
    responses((
        status = 200,
        description = "The account of `username`, else a list.",
        body = Info<Users>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it."),
        ),
    )),
)]
pub(super) async fn get_user(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<UserQuery>,
) -> ListReply<Info<Users>> {
    let page = query.page()?;
    let accounts = api.pilothouse.accounts();
    match query.username {
        Some(username) => {
            let user = UserInfo::from(accounts.find(&caller, &username).await?);
            listed(Listing::whole(vec![()]), page, |()| (), |_| info(Users::One(user)))
        }
        None => listed(accounts.list(&caller, query.disabled, page).await?, page, UserInfo::from, |list| {
            info(Users::List(list))
        }),
    }
}

/// Body of `/admin/user`: one action on accounts.
#[derive(ToSchema)]
#[serde(tag = "action", content = "data", rename_all = "lowercase")]
#[expect(dead_code, reason = "the shape of an Action, for the document")]
pub(super) enum PostUser {
    /// Adds an account.
    Add(AddUser),
    /// Changes an account.
    Update(UpdateUser),
    /// Ends the log-ins of an account and lets nobody act as it.
    Disable(UserName),
    /// Lets a disabled account be used again.
    Enable(UserName),
}

/// An account by its name or mail.
#[derive(Deserialize, ToSchema)]
pub(super) struct UserName {
    /// Name or mail of the account.
    #[schema(min_length = 1, max_length = 254, example = "xxx")]
    name: String,
}

/// An account to add.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddUser {
    /// Mail, unique without regard to case.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    mail: String,
    /// Name, unique, without @ and blanks.
    #[schema(min_length = 1, max_length = 64, example = "xxx")]
    name: String,
    /// Password. The least number of characters is a setting, 8 by default.
    #[schema(max_length = 1024, example = "12345678")]
    passwd: String,
    /// Department, as people name it.
    #[schema(max_length = 128, example = "dev")]
    department: String,
    /// The groups it is in, separated by commas.
    #[schema(pattern = "^([1-9](,[1-9])*)?$", example = "1,2,3")]
    permissions: String,
}

/// Changes to the account named by `mail` or `name`, else to the caller's own.
#[derive(Deserialize, ToSchema)]
pub(super) struct UpdateUser {
    /// Id of the account, where it is sent back: that of the account named.
    #[schema(example = 11)]
    id: Option<i64>,
    /// The mail of the account.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[schema(max_length = 254, example = "user@example.com")]
    mail: Option<String>,
    /// The name of the account.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[schema(max_length = 254, example = "xxx")]
    name: Option<String>,
    /// The present password, required for changing one's own.
    #[schema(max_length = 1024, example = "12345678")]
    old_passwd: Option<String>,
    /// The new password. The least number of characters is a setting, 8 by default.
    #[schema(max_length = 1024, example = "87654321")]
    new_passwd: Option<String>,
    /// New department; stays where it is not given.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[schema(max_length = 128, example = "dev")]
    department: Option<String>,
    /// The new groups, separated by commas; empty for none. They stay where it is not given.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[schema(pattern = "^([1-9](,[1-9])*)?$", example = "1,2,3")]
    permissions: Option<String>,
}

/// Adds an account, changes, disables or enables one.
#[utoipa::path(
    post,
    path = "/admin/user",
    tag = "ops",
    request_body = PostUser,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 7; any account for its own password and department"))),
    responses((status = 200, description = "`add user ok`, `update user ok`, `disable user ok` or `enable user ok`.", body = Info<String>)),
)]
pub(super) async fn post_user(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(action): Args<Action>,
) -> Reply<Info<&'static str>> {
    let verb = action.verb(&["add", "update", "disable", "enable"])?;
    if matches!(verb, "disable" | "enable") {
        let UserName { name } = action.data()?;
        api.pilothouse.accounts().set_disabled(&caller, &name, verb == "disable").await?;
        return info(if verb == "disable" { "disable user ok" } else { "enable user ok" });
    }
    if verb == "add" {
        let AddUser { mail, name, passwd, department, permissions } = action.data()?;
        let groups = permissions.parse()?;
        api.pilothouse.accounts().add(&caller, NewAccount { name, mail, passwd, department, groups }).await?;
        return info("add user ok");
    }
    let UpdateUser { id, mail, name, old_passwd, new_passwd, department, permissions } = action.data()?;
    let is_named = mail.is_some() || name.is_some();
    let [mail, name] = [mail, name].map(|text| text.filter(|text| !text.is_empty()));
    if is_named && mail.is_none() && name.is_none() {
        let why = "must not be empty; without it the caller's own account is changed";
        return Err(Error::invalid("data.name", why).into());
    }
    let groups = permissions.map(|permissions| permissions.parse::<Groups>()).transpose()?;
    let id = id.map(AccountId);
    let change = UpdateAccount { id, mail, name, old_passwd, new_passwd, department, groups };
    api.pilothouse.accounts().update(&caller, change).await?;
    info("update user ok")
}

/// Account to delete.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteUser {
    /// Log-in name, unique; never changes.
    #[param(min_length = 1, max_length = 254, example = "xxx")]
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
