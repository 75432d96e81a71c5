//! `/admin/companies`: new companies with the accounts of their owners.

use askama::Template;
use pilothouse_core::Error;
use pilothouse_core::account::Group;
use pilothouse_core::cdn::NewCompany;
use serde::Deserialize;

use crate::failure::{Answer, Failure, is_correctable};
use crate::form::Form;
use crate::page::{Page, Visitor, html, html_again};

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

#[derive(Template)]
#[template(path = "companies.html")]
struct CompaniesPage {
    page: Page,
    typed: New,
    created: Option<Created>,
    may_read_accounts: bool,
}

async fn form(visitor: &Visitor, typed: New, created: Option<Created>) -> Result<CompaniesPage, Failure> {
    if !visitor.caller.holds(Group::WriteAccounts) {
        return Err(Error::Forbidden.into());
    }
    let may_read_accounts = visitor.caller.holds(Group::ReadAccounts);
    let page = visitor.page(visitor.t.admin().companies).await?;
    Ok(CompaniesPage { page, typed, created, may_read_accounts })
}

/// The form.
pub(crate) async fn get_companies(visitor: Visitor) -> Answer {
    html(&form(&visitor, New::default(), None).await?)
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
            html(&form(&visitor, New::default(), Some(created)).await?)
        }
        Err(error) if is_correctable(&error) => {
            let mut again = form(&visitor, new, None).await?;
            again.page = again.page.with_problem(&error);
            html_again(&again, &error)
        }
        Err(error) => Err(error.into()),
    }
}
