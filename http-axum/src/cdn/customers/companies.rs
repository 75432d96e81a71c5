//! `/useful/companies`: all companies, with the accounts of their owners.

use axum::extract::State;
use pilothouse_core::cdn::CompanyOverview;
use serde::Serialize;
use utoipa::ToSchema;

use crate::args::Args;
use crate::caller::Auth;
use crate::cdn::customers::company::CompanyInfo;
use crate::envelope::{Done, done};
use crate::page::{ListReply, list_query, listed};
use crate::state::ApiState;

list_query! {
    /// Page of the companies.
    pub(super) struct CompaniesQuery {}
}

/// Answer to a list of companies.
#[derive(Serialize, ToSchema)]
pub(super) struct CompanyList {
    /// A page of them.
    results: Vec<CompanyInfo>,
}

impl From<CompanyOverview> for CompanyInfo {
    fn from(CompanyOverview { company, mail, .. }: CompanyOverview) -> Self {
        Self::new(company, mail.unwrap_or_default())
    }
}

/// Lists the companies by id, each with its owner.
#[utoipa::path(
    get,
    path = "/useful/companies",
    tag = "cdn",
    params(CompaniesQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 6"))),
    responses((
        status = 200,
        description = "The companies.",
        body = Done<CompanyList>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it."),
        ),
    )),
)]
pub(super) async fn get_companies(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<CompaniesQuery>,
) -> ListReply<Done<CompanyList>> {
    let page = query.page()?;
    let found = api.pilothouse.companies().list(&caller, page).await?;
    listed(found, page, CompanyInfo::from, |results| done(CompanyList { results }))
}
