//! `/level3/bandwidths`, `/level3/fluxs` and `/level3/stats`: traffic over time.

use axum::extract::State;
use pilothouse_core::cdn::{Figures, Point};
use serde::Serialize;
use utoipa::ToSchema;

use super::traffic_args::{TrafficArgs, TrafficParams};
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// A series.
#[derive(Serialize, ToSchema)]
pub(super) struct Series {
    /// A value per five minutes, all of them.
    results: Vec<SeriesPoint>,
}

/// A value.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeriesPoint {
    /// When its five minutes begin, unix seconds.
    #[schema(example = 1_470_297_000)]
    time_stamp: i64,
    /// Bits per second, or bytes.
    #[schema(example = 4027)]
    value: i64,
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
    params(TrafficParams),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains"))),
    responses((status = 200, description = "The series.", body = Done<Series>)),
)]
pub(super) async fn get_bandwidths(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(TrafficArgs(query)): Args<TrafficArgs>,
) -> Reply<Done<Series>> {
    series(api.pilothouse.traffic().bandwidths(&caller, &query).await?)
}

/// Bytes per five minutes. Several domains are added up; times without traffic are 0. At most 400 days.
#[utoipa::path(
    get,
    path = "/level3/fluxs",
    tag = "cdn",
    params(TrafficParams),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains"))),
    responses((status = 200, description = "The series.", body = Done<Series>)),
)]
pub(super) async fn get_fluxs(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(TrafficArgs(query)): Args<TrafficArgs>,
) -> Reply<Done<Series>> {
    series(api.pilothouse.traffic().fluxs(&caller, &query).await?)
}

/// All figures over time.
#[derive(Serialize, ToSchema)]
pub(super) struct Stats {
    /// A row per five minutes, all of them.
    results: Vec<StatsRow>,
}

/// The figures of five minutes.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsRow {
    /// When they begin, unix seconds.
    #[serde(rename = "timeStamp")]
    #[schema(example = 1_470_297_000)]
    time_stamp: i64,
    /// Bytes.
    #[schema(example = 151_012)]
    flux: i64,
    /// Requests.
    #[schema(example = 12)]
    requests: i64,
    /// Of these, answered from the cache.
    #[schema(example = 8)]
    hits: i64,
    /// Answers with a status of 200 to 299.
    #[serde(rename = "2xx")]
    #[schema(example = 9)]
    class_2: i64,
    /// Answers with a status of 300 to 399.
    #[serde(rename = "3xx")]
    #[schema(example = 1)]
    class_3: i64,
    /// Answers with a status of 400 to 499.
    #[serde(rename = "4xx")]
    #[schema(example = 2)]
    class_4: i64,
    /// Answers with a status of 500 to 599.
    #[serde(rename = "5xx")]
    #[schema(example = 0)]
    class_5: i64,
}

impl From<(i64, Figures)> for StatsRow {
    fn from((time_stamp, figures): (i64, Figures)) -> Self {
        let Figures { flux, requests, hits, classes: [class_2, class_3, class_4, class_5] } = figures;
        Self { time_stamp, flux, requests, hits, class_2, class_3, class_4, class_5 }
    }
}

/// Bytes, requests, hits and answers by class per five minutes, otherwise as `fluxs`.
#[utoipa::path(
    get,
    path = "/level3/stats",
    tag = "cdn",
    params(TrafficParams),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains"))),
    responses((status = 200, description = "The figures.", body = Done<Stats>)),
)]
pub(super) async fn get_stats(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(TrafficArgs(query)): Args<TrafficArgs>,
) -> Reply<Done<Stats>> {
    let rows = api.pilothouse.traffic().stats(&caller, &query).await?;
    done(Stats { results: rows.into_iter().map(StatsRow::from).collect() })
}
