//! `/useful/create/company`: adds a company and its owner's account.

use axum::extract::State;
use pilothouse_core::cdn::{Company, NewCompany};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// A company to be made.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreateCompany {
    /// Full name of the company, unique.
    #[schema(min_length = 1, max_length = 128, example = "Example Company")]
    company_name: String,
    /// Short name of the company.
    #[schema(max_length = 128, example = "Example")]
    company_alias: String,
    /// The name of the person who owns it; never a log-in.
    #[schema(min_length = 1, max_length = 64, example = "owner")]
    owner_name: String,
    /// The mail of its owner's account, which logs in by it.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    owner_email: String,
}

/// A company that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedCompany {
    /// Company as it was created.
    company: CompanyInfo,
}

/// A company and its owner.
#[derive(Serialize, ToSchema)]
pub(super) struct CompanyInfo {
    /// Id of the company.
    #[schema(example = 1)]
    id: i64,
    /// Full name of the company.
    #[schema(example = "Example Company")]
    company_name: String,
    /// Short name of the company.
    #[schema(example = "Example")]
    company_alias: String,
    /// The name of the person who owns it.
    #[schema(example = "owner")]
    owner_name: String,
    /// The mail of its owner's account; empty once that was deleted.
    #[schema(example = "user@example.com")]
    owner_email: String,
}

impl CompanyInfo {
    /// A company, and the mail of its owner's account.
    pub(super) fn new(company: Company, owner_email: String) -> Self {
        let Company { id, name, alias, owner_name, .. } = company;
        Self { id: id.0, company_name: name, company_alias: alias, owner_name, owner_email }
    }
}

/// Adds a company, and where it is new its owner's account: without groups, and without a password until one is set.
#[utoipa::path(
    post,
    path = "/useful/create/company",
    tag = "cdn",
    request_body = CreateCompany,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 7"))),
    responses((status = 200, description = "The company.", body = Done<CreatedCompany>)),
)]
pub(super) async fn post_create_company(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(create): Args<CreateCompany>,
) -> Reply<Done<CreatedCompany>> {
    let CreateCompany { company_name, company_alias, owner_name, owner_email } = create;
    let new = NewCompany { company_name, company_alias, owner_name, owner_email };
    let (company, owner) = api.pilothouse.companies().create(&caller, new).await?;
    done(CreatedCompany { company: CompanyInfo::new(company, owner.mail) })
}
