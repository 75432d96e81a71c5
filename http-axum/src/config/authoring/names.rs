//! `/userauth/names`: names of the accounts whose ids other answers hold.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::account::{AccountId, AccountName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::list::List;
use crate::state::ApiState;

/// Accounts by id.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserauthNames {
    /// Ids of 1 to 100 accounts, with commas between them.
    #[param(value_type = String, min_length = 1, max_length = 2000, example = "1,2")]
    uids: List,
}

/// Name of an account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NameInfo {
    /// Id of the account.
    #[schema(example = 1)]
    uid: i64,
    /// Its log-in name.
    #[schema(example = "dd")]
    name: String,
}

/// Names of accounts, by id; those that are not there are left out.
#[utoipa::path(
    method(get, post),
    path = "/userauth/names",
    tag = "config",
    params(UserauthNames),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account"))),
    responses((status = 200, description = "The names.", body = Data<Vec<NameInfo>>)),
)]
pub(super) async fn userauth_names(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(UserauthNames { uids: List(uids) }): Args<UserauthNames>,
) -> Reply<Data<Vec<NameInfo>>> {
    let ids = uids.iter().map(|uid| uid.parse().map(AccountId));
    let ids = ids.collect::<Result<Vec<_>, _>>();
    let ids = ids.map_err(|_| Error::invalid("uids", "must be ids of accounts, with commas between them"))?;
    let names = api.pilothouse.accounts().names(&caller, &ids).await?;
    data(names.into_iter().map(|AccountName { id, name }| NameInfo { uid: id.0, name }).collect())
}
