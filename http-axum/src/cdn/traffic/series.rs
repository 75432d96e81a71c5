//! `/level3/bandwidths` and `/level3/fluxs`: traffic over time.

use axum::extract::State;
use pilothouse_core::cdn::Point;
use serde::Serialize;
use utoipa::ToSchema;

use super::traffic_args::TrafficArgs;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// A series of five-minute buckets.
#[derive(Serialize, ToSchema)]
pub(super) struct Series {
    /// A value per five minutes, all of them.
    results: Vec<SeriesPoint>,
}

/// Value of one bucket.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeriesPoint {
    /// Beginning of its five minutes in unix seconds.
    #[schema(example = 1_470_297_000)]
    pub(super) time_stamp: i64,
    /// Bits per second, or bytes.
    #[schema(example = 4027)]
    pub(super) value: i64,
}

impl From<Point> for SeriesPoint {
    fn from(Point { time_stamp, value }: Point) -> Self {
        Self { time_stamp, value }
    }
}

fn series(points: Vec<Point>) -> Reply<Done<Series>> {
    done(Series { results: points.into_iter().map(SeriesPoint::from).collect() })
}

/// Bandwidth in bit/s per five minutes: the bytes of that time, times eight, by 300, rounded. Several domains are added
/// up; times without traffic are 0. At most 400 days.
#[utoipa::path(
    get,
    path = "/level3/bandwidths",
    tag = "cdn",
    params(TrafficArgs),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains; group 8 for others"))),
    responses((status = 200, description = "The series.", body = Done<Series>)),
)]
pub(super) async fn get_bandwidths(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<TrafficArgs>,
) -> Reply<Done<Series>> {
    series(api.pilothouse.traffic().bandwidths(&caller, &args.into()).await?)
}

/// Bytes per five minutes. Several domains are added up; times without traffic are 0. At most 400 days.
#[utoipa::path(
    get,
    path = "/level3/fluxs",
    tag = "cdn",
    params(TrafficArgs),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains; group 8 for others"))),
    responses((status = 200, description = "The series.", body = Done<Series>)),
)]
pub(super) async fn get_fluxs(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<TrafficArgs>,
) -> Reply<Done<Series>> {
    series(api.pilothouse.traffic().fluxs(&caller, &args.into()).await?)
}
