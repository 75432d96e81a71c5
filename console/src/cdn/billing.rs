//! `/cdn/billing`: the billable bandwidth of a month by each rule.

use askama::Template;
use pilothouse_core::cdn::{Bill, BillingQuery, BillingRule};
use serde::Deserialize;

use crate::cdn::whose::Whose;
use crate::failure::Answer;
use crate::form::{Query, filled};
use crate::page::{Page, Visitor, html};

/// Customer, domain and month.
#[derive(Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    customer: String,
    #[serde(default)]
    domain: String,
    /// `YYYY-MM`; the present month where it is empty.
    #[serde(default)]
    month: String,
}

/// A bill by one rule.
struct Row {
    rule: BillingRule,
    bill: Bill,
    /// Time of the one point that it comes from; 0 where it is none or many.
    point: i64,
}

#[derive(Template)]
#[template(path = "billing.html")]
struct BillingPage {
    page: Page,
    whose: Whose,
    domain: String,
    month: String,
    rows: Vec<Row>,
}

/// The page.
pub(crate) async fn get_billing(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let whose = Whose::of(&visitor, &shown.customer).await?;
    let pilothouse = visitor.pilothouse();
    let now = pilothouse.clock().now().with_timezone(&pilothouse.settings().timezone);
    let month = filled(&shown.month).map_or_else(|| now.format("%Y-%m").to_string(), str::to_owned);
    let asked = month.replace('-', "").parse()?;
    let mut rows = Vec::new();
    for rule in BillingRule::ALL {
        if whose.mail.is_empty() {
            break;
        }
        let query = BillingQuery {
            login_email: Some(whose.mail.clone()),
            domains: filled(&shown.domain).map(str::to_owned).into_iter().collect(),
            month: asked,
            rule,
        };
        let bill = pilothouse.billing().bill(&visitor.caller, &query).await?;
        let point = if let [point] = bill.points.as_slice() { point.time_stamp } else { 0 };
        rows.push(Row { rule, bill, point });
    }
    let page = visitor.page(visitor.t.billing).await?;
    html(&BillingPage { page, whose, domain: shown.domain, month, rows })
}
