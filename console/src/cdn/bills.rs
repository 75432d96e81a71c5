//! `/cdn/bills`: the bills of all customers for a month, as a page and as a file.

use std::fmt::Write;

use askama::Template;
use axum::http::header;
use axum::response::IntoResponse;
use pilothouse_core::cdn::{BillingRule, CustomerBill};
use serde::Deserialize;

use crate::cdn::figure::scaled;
use crate::failure::{Answer, Failure};
use crate::form::{Query, filled};
use crate::page::{Page, Visitor, html};

/// Month and rule.
#[derive(Default, Deserialize)]
pub(crate) struct Shown {
    /// `YYYY-MM`; the present month where it is empty.
    #[serde(default)]
    month: String,
    #[serde(default)]
    rule: String,
}

#[derive(Template)]
#[template(path = "bills.html")]
struct BillsPage {
    page: Page,
    month: String,
    rule: BillingRule,
    rules: [BillingRule; 3],
    bills: Vec<CustomerBill>,
    flux: i64,
    requests: i64,
}

/// Bills that were asked for.
struct Bills {
    month: String,
    rule: BillingRule,
    bills: Vec<CustomerBill>,
}

async fn find(visitor: &Visitor, shown: &Shown) -> Result<Bills, Failure> {
    let pilothouse = visitor.pilothouse();
    let now = pilothouse.clock().now().with_timezone(&pilothouse.settings().timezone);
    let month = filled(&shown.month).map_or_else(|| now.format("%Y-%m").to_string(), str::to_owned);
    let rule = filled(&shown.rule).map_or(Ok(BillingRule::Month95), str::parse)?;
    let asked = month.replace('-', "").parse()?;
    let mut run = pilothouse.billing().bills(&visitor.caller, asked, rule).await?;
    let mut bills = Vec::new();
    while let Some(page) = run.next_bills().await? {
        bills.extend(page);
    }
    Ok(Bills { month, rule, bills })
}

/// The page.
pub(crate) async fn get_bills(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let Bills { month, rule, bills } = find(&visitor, &shown).await?;
    let flux = bills.iter().fold(0_i64, |sum, bill| sum.saturating_add(bill.flux));
    let requests = bills.iter().fold(0_i64, |sum, bill| sum.saturating_add(bill.requests));
    let page = visitor.page(visitor.t.delivery().bills).await?;
    html(&BillsPage { page, month, rule, rules: BillingRule::ALL, bills, flux, requests })
}

/// A field of a line, in quotes where it must be, and never the beginning of a formula.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// The same bills as a file, a line per customer and domain. Points are the unix seconds at which they begin.
pub(crate) async fn get_csv(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let Bills { month, rule, bills } = find(&visitor, &shown).await?;
    let mut text = String::from("login_email,domain,rule,bandwidth,points,flux,requests\r\n");
    for CustomerBill { mail, domain, bill, flux, requests, .. } in bills {
        let points: Vec<_> = bill.points.iter().map(|point| point.time_stamp.to_string()).collect();
        let (mail, domain, bandwidth, points) =
            (field(&mail), field(&domain), bill.bandwidth, points.join(" "));
        // Writing into a string does not fail.
        let _ = write!(text, "{mail},{domain},{rule},{bandwidth},{points},{flux},{requests}\r\n");
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"bills-{month}-{rule}.csv\"")),
    ];
    Ok((headers, text).into_response())
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(field("ann@example.com"), "ann@example.com");
        assert_eq!(field("a,\"b\"@example.com"), "\"a,\"\"b\"\"@example.com\"");
        assert_eq!(field("=1+2@example.com"), "'=1+2@example.com");
    }
}
