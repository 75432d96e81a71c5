//! `/level3/user` and `/level3/user/update`: access to the cdn family.

use axum::extract::State;
use pilothouse_core::cdn::{Cdn, Customer, NewCustomer, UpdateCustomer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::args::{AnywhereArgs, Args};
use crate::caller::Auth;
use crate::cdn::{Named, Nothing};
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// A customer of the cdns.
#[derive(Serialize, ToSchema)]
pub(super) struct CdnUser {
    /// The mail of its account.
    #[schema(example = "user@example.com")]
    user: String,
    /// Whether it may refresh and preload.
    #[schema(example = true)]
    operate_right: bool,
    /// The cdns it is mapped to.
    #[schema(example = json!([]))]
    cdns: Vec<String>,
}

impl CdnUser {
    fn new(customer: Customer, cdns: Vec<Cdn>) -> Self {
        let cdns = cdns.into_iter().map(|cdn| cdn.name).collect();
        Self { user: customer.mail, operate_right: customer.operations, cdns }
    }
}

/// Access to be given.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreateCdnUser {
    /// The mail of an account.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: String,
    /// The password for `/level3/login`; the account's own is another. The least number of characters is a
    /// setting, 8 by default.
    #[schema(max_length = 1024, example = "12345678")]
    password: String,
    /// Whether it may refresh and preload: by default it may.
    #[schema(default = true, example = true)]
    operations: Option<bool>,
}

/// Gives an account access to the cdn family.
#[utoipa::path(
    post,
    path = "/level3/user",
    tag = "cdn",
    params(("login_email" = Option<String>, Query, min_length = 3, max_length = 254, example = "user@example.com", description = "The mail of an account, unless the body has it.")),
    request_body = CreateCdnUser,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "The customer.", body = Done<CdnUser>)),
)]
pub(super) async fn post_cdn_user(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    AnywhereArgs(user): AnywhereArgs<CreateCdnUser>,
) -> Reply<Done<CdnUser>> {
    let CreateCdnUser { login_email, password, operations } = user;
    let new = NewCustomer { login_email, password, operations: operations.unwrap_or(true) };
    let customer = api.pilothouse.customers().create(&caller, new).await?;
    // New access starts without cdns.
    done(CdnUser::new(customer, Vec::new()))
}

/// Changes to a customer: at least one of password and operations.
#[derive(Deserialize, ToSchema)]
pub(super) struct UpdateCdnUser {
    /// The mail of the customer's account.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: String,
    /// The new password for `/level3/login`. The least number of characters is a setting, 8 by default.
    #[schema(max_length = 1024, example = "12345678")]
    password: Option<String>,
    /// Whether it may refresh and preload from now on.
    #[schema(example = true)]
    operations: Option<bool>,
}

/// Changes a customer and ends its cdn tokens.
#[utoipa::path(
    post,
    path = "/level3/user/update",
    tag = "cdn",
    request_body = UpdateCdnUser,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "The customer as it is now.", body = Done<CdnUser>)),
)]
pub(super) async fn post_cdn_user_update(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(user): Args<UpdateCdnUser>,
) -> Reply<Done<CdnUser>> {
    let UpdateCdnUser { login_email, password, operations } = user;
    let change = UpdateCustomer { login_email, password, operations };
    let (customer, cdns) = api.pilothouse.customers().update(&caller, change).await?;
    done(CdnUser::new(customer, cdns))
}

/// Withdraws a customer's access: its domains are released and its cdn tokens end. The account stays.
#[utoipa::path(
    delete,
    path = "/level3/user",
    tag = "cdn",
    params(Named),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "Withdrawn.", body = Done<Nothing>)),
)]
pub(super) async fn delete_cdn_user(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(named): Args<Named>,
) -> Reply<Done<Nothing>> {
    api.pilothouse.customers().delete(&caller, &named.login_email).await?;
    done(Nothing {})
}
