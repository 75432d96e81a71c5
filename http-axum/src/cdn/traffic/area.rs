//! `/level3/bandwidths/area` and `/level3/fluxs/area`: traffic by city.

use axum::extract::State;
use pilothouse_core::cdn;
use serde::Serialize;
use utoipa::ToSchema;

use super::traffic_args::TrafficArgs;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Rows of an area.
#[derive(Serialize, ToSchema)]
pub(super) struct Area {
    /// A row per city, largest first.
    results: Vec<AreaRow>,
}

/// Traffic of a city.
#[derive(Serialize, ToSchema)]
pub(super) struct AreaRow {
    /// English name; `Unknown` for addresses without a city.
    #[schema(example = "Miami")]
    city: String,
    /// Chinese name, else the English one; `未知` for addresses without a city.
    #[schema(example = "迈阿密")]
    city_cn: String,
    /// Bits per second, or bytes.
    #[schema(example = 785)]
    value: i64,
}

fn area(rows: Vec<cdn::AreaRow>) -> Reply<Done<Area>> {
    let row = |cdn::AreaRow { city, city_cn, value }| AreaRow { city, city_cn, value };
    done(Area { results: rows.into_iter().map(row).collect() })
}

/// The highest bandwidth of each city in bit/s: its busiest five minutes, of all domains asked for together. At most 31
/// days and 30 domains. Needs a city database.
#[utoipa::path(
    get,
    path = "/level3/bandwidths/area",
    tag = "cdn",
    params(TrafficArgs),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains; group 8 for others"))),
    responses((status = 200, description = "The cities.", body = Done<Area>)),
)]
pub(super) async fn get_bandwidths_area(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<TrafficArgs>,
) -> Reply<Done<Area>> {
    area(api.pilothouse.traffic().bandwidths_area(&caller, &args.into()).await?)
}

/// The bytes of each city over the range; the rows add up to the total. At most 31 days and 30 domains. Needs a city
/// database.
#[utoipa::path(
    get,
    path = "/level3/fluxs/area",
    tag = "cdn",
    params(TrafficArgs),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains; group 8 for others"))),
    responses((status = 200, description = "The cities.", body = Done<Area>)),
)]
pub(super) async fn get_fluxs_area(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<TrafficArgs>,
) -> Reply<Done<Area>> {
    area(api.pilothouse.traffic().fluxs_area(&caller, &args.into()).await?)
}
