//! `/level3/regions`: traffic by city, province and country.

use axum::extract::State;
use pilothouse_core::cdn::{RegionFailure, RegionRow, Regions};
use pilothouse_core::ports::AreaLevel;
use serde::Serialize;
use utoipa::ToSchema;

use super::traffic_args::TrafficArgs;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Traffic of a region.
#[derive(Serialize, ToSchema)]
pub(super) struct RegionInfo {
    /// Kind of the region: `city` where access logs tell the traffic, `province` or `country` where a vendor does, and
    /// `unknown`.
    #[schema(example = "city", pattern = "^(city|province|country|unknown)$")]
    level: &'static str,
    /// English name, where there is one; `Unknown` for what has no region.
    #[schema(example = "Miami")]
    name: String,
    /// Chinese name, else the other one; `未知` for what has no region.
    #[schema(example = "迈阿密")]
    name_cn: String,
    /// Bytes sent there.
    #[schema(example = 785)]
    value: i64,
}

/// A cdn that could not tell all its regions.
#[derive(Serialize, ToSchema)]
pub(super) struct RegionFailureInfo {
    /// Name of the cdn.
    #[schema(example = "qcloud")]
    cdn: String,
    /// Reason; the bytes of which the regions are missing are `Unknown`.
    #[schema(example = "the vendor cannot be reached")]
    reason: String,
}

/// Traffic by region.
#[derive(Serialize, ToSchema)]
pub(super) struct RegionList {
    /// A row per region with traffic, largest first.
    results: Vec<RegionInfo>,
    /// The cdns that could not tell all their regions.
    failures: Vec<RegionFailureInfo>,
}

impl From<RegionRow> for RegionInfo {
    fn from(RegionRow { level, name, name_cn, flux }: RegionRow) -> Self {
        Self { level: level.map_or("unknown", AreaLevel::as_str), name, name_cn, value: flux }
    }
}

impl From<RegionFailure> for RegionFailureInfo {
    fn from(RegionFailure { cdn, reason }: RegionFailure) -> Self {
        Self { cdn, reason }
    }
}

/// The bytes of each region over the range, with the level that each figure has: cities where access logs tell the
/// traffic, provinces and countries where a vendor does. What has no region is `Unknown`, so the rows add up to the total. A vendor that
/// fails is named in `failures` and hides nothing of the others. At most 31 days and 30 domains.
#[utoipa::path(
    get,
    path = "/level3/regions",
    tag = "cdn",
    params(TrafficArgs),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains; group 8 for others"))),
    responses((status = 200, description = "The regions.", body = Done<RegionList>)),
)]
pub(super) async fn get_regions(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<TrafficArgs>,
) -> Reply<Done<RegionList>> {
    let Regions { rows, failures } = api.pilothouse.traffic().regions(&caller, &args.into()).await?;
    done(RegionList {
        results: rows.into_iter().map(RegionInfo::from).collect(),
        failures: failures.into_iter().map(RegionFailureInfo::from).collect(),
    })
}
