//! `/level3/bills`: what is billed to all customers for a month, as JSON or CSV.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::Response;
use pilothouse_core::Error;
use pilothouse_core::cdn::{BillRun, BillingRule, CustomerBill, Point};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::series::SeriesPoint;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Failure};
use crate::optional_member::selector;
use crate::row_stream::{RowPages, RowText, push_json, row_stream};
use crate::state::ApiState;

/// Month, rule and format.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BillsArgs {
    /// `YYYYMM` in the server's zone; it must have begun.
    #[param(pattern = "^[0-9]{6}$", example = "201609")]
    month: String,
    /// Billing rule.
    #[param(pattern = "^(month95|daily_peak|top5)$", example = "month95")]
    rule: String,
    /// `json` or `csv`.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, pattern = "^(json|csv)$", default = "json", example = "json")]
    format: Option<String>,
}

/// Bill of a domain of a customer.
#[derive(Serialize, ToSchema)]
pub(super) struct BillsRow {
    /// The mail of the customer's account.
    #[schema(example = "user@example.com")]
    login_email: String,
    /// Name of the domain, on all its cdns together.
    #[schema(example = "cdn.exrqs.com")]
    domain: String,
    /// Billing rule.
    #[schema(example = "month95")]
    rule: &'static str,
    /// Billable bandwidth in bits per second.
    #[schema(example = 4027)]
    bandwidth: i64,
    /// Points it comes from, as in `/level3/billing`.
    points: Vec<SeriesPoint>,
    /// Bytes of the time that counts.
    #[schema(example = 151_012)]
    flux: i64,
    /// Billed requests of the time that counts.
    #[schema(example = 12)]
    requests: i64,
}

/// Bills of all customers.
#[derive(ToSchema)]
pub(super) struct BillsList {
    /// A row per customer and domain, by account id and name.
    #[expect(dead_code, reason = "sent row by row; this documents the whole")]
    results: Vec<BillsRow>,
}

impl From<CustomerBill> for BillsRow {
    fn from(CustomerBill { mail, domain, rule, bill, flux, requests }: CustomerBill) -> Self {
        let points = bill.points.into_iter().map(SeriesPoint::from).collect();
        let (rule, bandwidth) = (rule.name(), bill.bandwidth);
        Self { login_email: mail, domain, rule, bandwidth, points, flux, requests }
    }
}

/// Bills as RFC 4180 wants them. Points are the unix seconds at which they begin, with blanks between them.
const CSV: RowText<CustomerBill> = RowText {
    content_type: "text/csv; charset=utf-8",
    before: "login_email,domain,rule,bandwidth,points,flux,requests\r\n",
    between: "",
    after: "",
    write: |CustomerBill { mail, domain, rule, bill, flux, requests }, text| {
        let (mail, domain, bandwidth) = (field(&mail), field(&domain), bill.bandwidth);
        let times: Vec<_> =
            bill.points.iter().map(|Point { time_stamp, .. }| time_stamp.to_string()).collect();
        let points = times.join(" ");
        // Writing into a string does not fail.
        let _ = write!(text, "{mail},{domain},{rule},{bandwidth},{points},{flux},{requests}\r\n");
        Ok(())
    },
};

const JSON: RowText<CustomerBill> = RowText::json_list(|bill, text| push_json(&BillsRow::from(bill), text));

impl RowPages for BillRun {
    type Row = CustomerBill;

    async fn next_page(&mut self) -> Result<Option<Vec<CustomerBill>>, Error> {
        self.next_bills().await
    }
}

/// A field, in quotes where it holds one, a comma or the end of a line. A mail that a spreadsheet would take for a formula
/// gets an apostrophe before it.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Bills for a month, one per customer and domain, each as `/level3/billing` answers it for that domain.
///
/// With `format=csv` a header line and a line per bill, as `text/csv`; `points` then are the unix seconds at which the points
/// begin, with blanks between them. The answer is made while it is sent, and breaks off where that fails.
#[utoipa::path(
    get,
    path = "/level3/bills",
    tag = "cdn",
    params(BillsArgs),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((
        status = 200,
        description = "The bills.",
        content((Done<BillsList> = "application/json"), (String = "text/csv")),
    )),
)]
pub(super) async fn get_bills(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(BillsArgs { month, rule, format }): Args<BillsArgs>,
) -> Result<Response, Failure> {
    let rule: BillingRule = rule.parse()?;
    let in_csv = match format.as_deref() {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(Error::invalid("format", "must be json or csv").into()),
    };
    let bills = api.pilothouse.billing().bills(&caller, month.parse()?, rule).await?;
    Ok(row_stream(bills, if in_csv { CSV } else { JSON }).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(field("user@example.com"), "user@example.com");
        assert_eq!(field("a,\"b\"@example.com"), "\"a,\"\"b\"\"@example.com\"");
        assert_eq!(field("=1+2@example.com"), "'=1+2@example.com");
    }
}
