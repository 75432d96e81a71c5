//! `/level3/billing`: what is billed for a month.

use axum::extract::State;
use pilothouse_core::cdn::{Bill, BillingQuery};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::series::SeriesPoint;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::list::List;
use crate::optional_member::selector;
use crate::state::ApiState;

/// Customer, domains, month and billing rule.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BillingArgs {
    /// The mail of the customer's account, for a caller with group 8; by default the customer is the caller itself.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
    /// Domains of the customer, separated by commas, or `domain.0`, `domain.1` and so on; none are all it has.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 65_536, example = "cdn.exrqs.com")]
    domain: Option<List>,
    /// `YYYYMM` in the server's zone; it must have begun.
    #[param(pattern = "^[0-9]{6}$", example = "201609")]
    month: String,
    /// Billing rule.
    #[param(pattern = "^(month95|daily_peak|top5)$", example = "month95")]
    rule: String,
}

/// Bill of a month.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BillRow {
    /// Billable bandwidth in bits per second.
    #[schema(example = 4027)]
    bandwidth: i64,
    /// Points it comes from: one, or of `daily_peak` the highest of each day. None before the first five minutes
    /// are over, and of `top5` before the fifth day.
    points: Vec<SeriesPoint>,
    /// Beginning of the month in unix seconds.
    #[schema(example = 1_472_659_200)]
    begin: i64,
    /// Until when it counts, unix seconds: the month's end, or of a month that is not over the last five minutes that are.
    #[schema(example = 1_473_839_100)]
    until: i64,
    /// Whether the month is over.
    over: bool,
}

impl From<Bill> for BillRow {
    fn from(Bill { bandwidth, points, begin, until, is_over }: Bill) -> Self {
        let points = points.into_iter().map(SeriesPoint::from).collect();
        Self { bandwidth, points, begin, until, over: is_over }
    }
}

/// Bill for a month of the domains together, in bit/s. Times without traffic are 0 and count.
///
/// `month95`: the five-minute bandwidths from the highest to the lowest, without the first 5 % of them (rounded down):
/// the next one. `daily_peak`: the average of the days' highest. `top5`: the days by their highest: that of the fifth,
/// 0 before the fifth day. Of a month that is not over counts what is over of it, today included.
#[utoipa::path(
    get,
    path = "/level3/billing",
    tag = "cdn",
    params(BillingArgs),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains; group 8 for others"))),
    responses((status = 200, description = "The bandwidth.", body = Done<BillRow>)),
)]
pub(super) async fn get_billing(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<BillingArgs>,
) -> Reply<Done<BillRow>> {
    let BillingArgs { login_email, domain, month, rule } = args;
    let domains = domain.map(|List(domains)| domains).unwrap_or_default();
    let query = BillingQuery { login_email, domains, month: month.parse()?, rule: rule.parse()? };
    done(api.pilothouse.billing().bill(&caller, &query).await?.into())
}
