//! `/cdn/customers`: who has access to the CDN.

use askama::Template;
use pilothouse_core::cdn::{CustomerOverview, NewCustomer, UpdateCustomer};
use pilothouse_core::{Listing, Page as Rows};
use serde::Deserialize;

use crate::failure::Answer;
use crate::form::{Form, Query, filled};
use crate::page::{Page, Visitor, html, last_of_full};

/// Customers of one page.
const ROWS: i64 = 200;

/// Part of the list, and the customer that is edited.
#[derive(Deserialize)]
pub(crate) struct Part {
    #[serde(default)]
    start: i64,
    #[serde(default)]
    edit: String,
}

#[derive(Template)]
#[template(path = "customers.html")]
struct CustomersPage {
    page: Page,
    rows: Vec<CustomerOverview>,
    total: u64,
    next: Option<i64>,
    edit: String,
}

/// Names of the cdns of a customer.
fn cdns(overview: &CustomerOverview) -> String {
    overview.cdns.iter().map(|cdn| &*cdn.name).collect::<Vec<_>>().join(", ")
}

/// The list.
pub(crate) async fn get_customers(visitor: Visitor, Query(part): Query<Part>) -> Answer {
    let rows = Rows { total: true, ..Rows::new(Some(part.start), Some(ROWS))? };
    let list = visitor.pilothouse().customers().list(&visitor.caller, rows).await?;
    let Listing { rows, total, .. } = list;
    let next = last_of_full(&rows, ROWS).map(|last| last.customer.account_id.0 + 1);
    let page = visitor.page(visitor.t.customers).await?;
    html(&CustomersPage { page, rows, total: total.unwrap_or_default(), next, edit: part.edit })
}

/// Access to be given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    mail: String,
    password: String,
    #[serde(default)]
    operations: bool,
}

/// Gives the account of a mail access.
pub(crate) async fn post_customer(visitor: Visitor, Form(form): Form<Create>) -> Answer {
    let Create { mail: login_email, password, operations } = form;
    let new = NewCustomer { login_email, password, operations };
    visitor.pilothouse().customers().create(&visitor.caller, new).await?;
    Ok(visitor.done("/cdn/customers", "created"))
}

/// A change of access.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    mail: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    operations: bool,
}

/// Changes operations and, where one is typed, the password; the customer has to log in again.
pub(crate) async fn post_update(visitor: Visitor, Form(form): Form<Change>) -> Answer {
    let change = UpdateCustomer {
        login_email: form.mail,
        password: filled(&form.password).map(str::to_owned),
        operations: Some(form.operations),
    };
    visitor.pilothouse().customers().update(&visitor.caller, change).await?;
    Ok(visitor.done("/cdn/customers", "saved"))
}

/// A customer, by its mail.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    mail: String,
}

/// Withdraws access and releases the domains.
pub(crate) async fn post_delete(visitor: Visitor, Form(form): Form<Delete>) -> Answer {
    visitor.pilothouse().customers().delete(&visitor.caller, &form.mail).await?;
    Ok(visitor.done("/cdn/customers", "deleted"))
}
