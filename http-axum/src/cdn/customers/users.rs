//! `/level3/users`: all customers, for operators.

use axum::extract::State;
use pilothouse_core::cdn::CustomerOverview;
use serde::Serialize;
use utoipa::ToSchema;

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, done};
use crate::page::{ListReply, list_query, listed};
use crate::state::ApiState;

list_query! {
    /// Page of the customers.
    pub(super) struct UsersQuery {}
}

/// A customer of the cdns, as operators list it.
#[derive(Serialize, ToSchema)]
pub(super) struct UserRow {
    /// Id of its account, which orders the list.
    #[schema(example = 7)]
    id: i64,
    /// The mail of its account.
    #[schema(example = "user@example.com")]
    login_email: String,
    /// Whether it may refresh and preload.
    #[schema(example = true)]
    operations: bool,
    /// The cdns it is mapped to.
    #[schema(example = json!(["level3"]))]
    cdns: Vec<String>,
    /// Number of names of domains that it holds; one that several cdns serve counts once.
    #[schema(example = 2)]
    domains: i64,
}

/// Customers by account id.
#[derive(Serialize, ToSchema)]
pub(super) struct UserList {
    /// A page of them.
    results: Vec<UserRow>,
}

impl From<CustomerOverview> for UserRow {
    fn from(CustomerOverview { customer, cdns, domains }: CustomerOverview) -> Self {
        Self {
            id: customer.account_id.0,
            login_email: customer.mail,
            operations: customer.operations,
            cdns: cdns.into_iter().map(|cdn| cdn.name).collect(),
            domains,
        }
    }
}

/// Lists the customers by the id of their account, each with its cdns and the number of its domains.
#[utoipa::path(
    get,
    path = "/level3/users",
    tag = "cdn",
    params(UsersQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((
        status = 200,
        description = "The customers.",
        body = Done<UserList>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it."),
        ),
    )),
)]
pub(super) async fn get_users(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<UsersQuery>,
) -> ListReply<Done<UserList>> {
    let page = query.page()?;
    let found = api.pilothouse.customers().list(&caller, page).await?;
    listed(found, page, UserRow::from, |results| done(UserList { results }))
}
