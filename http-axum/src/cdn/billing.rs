//! `/level3/billing`: what is billed for a month.

use std::fmt;

use axum::extract::State;
use pilothouse_core::cdn::{Bill, BillingQuery};
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::series::SeriesPoint;
use super::traffic_args::domains_of;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Which domains, which month, and how.
pub(super) struct BillingArgs {
    domains: Vec<String>,
    month: String,
    rule: String,
}

/// Which domains, which month, and how.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of BillingArgs, for the document")]
pub(super) struct BillingParams {
    /// A domain of the caller. Several are named `domain.0`, `domain.1` and so on; none are all the caller has.
    #[param(min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    domain: Option<String>,
    /// A domain of the caller.
    #[param(rename = "domain.0", min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    first: Option<String>,
    /// Another one; more follow.
    #[param(rename = "domain.1", min_length = 1, max_length = 253, example = "cdn.exrqs1.com")]
    second: Option<String>,
    /// `YYYYMM` in the server's zone; it must have begun.
    #[param(pattern = "^[0-9]{6}$", example = "201609")]
    month: String,
    /// How the bandwidth is found.
    #[param(pattern = "^(month95|daily_peak|top5)$", example = "month95")]
    rule: String,
}

impl<'de> Deserialize<'de> for BillingArgs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ArgsVisitor)
    }
}

struct ArgsVisitor;

impl<'de> Visitor<'de> for ArgsVisitor {
    type Value = BillingArgs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BillingArgs, A::Error> {
        let (mut month, mut rule) = (None, None);
        let domains = domains_of(&mut map, |name, map| {
            match name {
                "month" => month = Some(map.next_value()?),
                "rule" => rule = Some(map.next_value()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(BillingArgs {
            domains,
            month: month.ok_or_else(|| A::Error::missing_field("month"))?,
            rule: rule.ok_or_else(|| A::Error::missing_field("rule"))?,
        })
    }
}

/// What is billed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BillRow {
    /// Bits per second.
    #[schema(example = 4027)]
    bandwidth: i64,
    /// What it comes from: one point, or of `daily_peak` the highest of each day. None before the first five minutes
    /// are over, and of `top5` before the fifth day.
    points: Vec<SeriesPoint>,
    /// When the month begins, unix seconds.
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

/// What is billed for a month of the domains together, in bit/s. Times without traffic are 0 and count.
///
/// `month95`: the five-minute bandwidths from the highest to the lowest, without the first 5 % of them (rounded down):
/// the next one. `daily_peak`: the average of the days' highest. `top5`: the days by their highest: that of the fifth,
/// 0 before the fifth day. Of a month that is not over counts what is over of it, today included.
#[utoipa::path(
    get,
    path = "/level3/billing",
    tag = "cdn",
    params(BillingParams),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains"))),
    responses((status = 200, description = "The bandwidth.", body = Done<BillRow>)),
)]
pub(super) async fn get_billing(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(BillingArgs { domains, month, rule }): Args<BillingArgs>,
) -> Reply<Done<BillRow>> {
    let query = BillingQuery { domains, month, rule: rule.parse()? };
    done(api.pilothouse.traffic().billing(&caller, &query).await?.into())
}
