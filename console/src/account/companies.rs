//! `/admin/companies`: all companies, and new ones, with the accounts of their owners.

use askama::Template;
use pilothouse_core::account::Group;
use pilothouse_core::cdn::{CompanyOverview, NewCompany};
use pilothouse_core::{Error, Listing, Page as Rows};
use serde::Deserialize;

use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Form, Query};
use crate::page::{Page, Visitor, html, html_again, last_of_full};

/// A company to be made, by the names of the API.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    company_name: String,
    #[serde(default)]
    company_alias: String,
    owner_name: String,
    owner_email: String,
}

/// A company that was made.
struct Created {
    number: String,
    name: String,
    account: String,
}

/// Companies of one page.
const ROWS: i64 = 200;

/// Part of the list.
#[derive(Default, Deserialize)]
pub(crate) struct Part {
    #[serde(default)]
    start: i64,
}

#[derive(Template)]
#[template(path = "companies.html")]
struct CompaniesPage {
    page: Page,
    typed: New,
    created: Option<Created>,
    /// The list, for those who may read accounts.
    list: Option<List>,
    may_write: bool,
}

struct List {
    rows: Vec<CompanyOverview>,
    total: u64,
    /// Start of the next page.
    next: Option<i64>,
}

impl List {
    async fn of(visitor: &Visitor, part: &Part) -> Result<Option<Self>, Failure> {
        if !visitor.caller.holds(Group::ReadAccounts) {
            return Ok(None);
        }
        let rows = Rows { total: true, ..Rows::new(Some(part.start), Some(ROWS))? };
        let Listing { rows, total, .. } =
            visitor.pilothouse().companies().list(&visitor.caller, rows).await?;
        let next = last_of_full(&rows, ROWS).map(|last| last.company.id.0 + 1);
        Ok(Some(Self { rows, total: total.unwrap_or_default(), next }))
    }
}

async fn shown(
    visitor: &Visitor,
    part: &Part,
    typed: New,
    created: Option<Created>,
) -> Result<CompaniesPage, Failure> {
    let list = List::of(visitor, part).await?;
    let may_write = visitor.caller.holds(Group::WriteAccounts);
    if list.is_none() && !may_write {
        return Err(Error::Forbidden.into());
    }
    let page = visitor.page(visitor.t.admin().companies).await?;
    Ok(CompaniesPage { page, typed, created, list, may_write })
}

/// The list, and the form.
pub(crate) async fn get_companies(visitor: Visitor, Query(part): Query<Part>) -> Answer {
    html(&shown(&visitor, &part, New::default(), None).await?)
}

/// Makes a company.
pub(crate) async fn post_company(visitor: Visitor, Form(new): Form<New>) -> Answer {
    let company = NewCompany {
        company_name: new.company_name.clone(),
        company_alias: new.company_alias.clone(),
        owner_name: new.owner_name.clone(),
        owner_email: new.owner_email.clone(),
    };
    match visitor.pilothouse().companies().create(&visitor.caller, company).await {
        Ok((company, owner)) => {
            let created = Created { number: company.id.to_string(), name: company.name, account: owner.name };
            html(&shown(&visitor, &Part::default(), New::default(), Some(created)).await?)
        }
        Err(error) if is_correctable(&error) => {
            let mut again = shown(&visitor, &Part::default(), new, None).await?;
            again.page = again.page.with_problem(&error);
            html_again(&again, &error)
        }
        Err(error) => Err(error.into()),
    }
}
