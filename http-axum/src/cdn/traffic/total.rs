//! `/level3/total`: sums of traffic by cdn and customer, for operators.

use axum::extract::State;
use axum::response::Response;
use pilothouse_core::Result;
use pilothouse_core::cdn::{Figures, TotalRow, TotalRun};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Failure};
use crate::row_stream::{RowPages, RowText, push_json, row_stream};
use crate::state::ApiState;

/// Interval of the sums.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TotalArgs {
    /// Unix seconds; rounded down to five minutes, which are included.
    #[serde(rename = "startTime")]
    #[param(minimum = 0, example = 1_470_297_000)]
    start_time: i64,
    /// Unix seconds, not before `startTime`; rounded down to five minutes, which are included.
    #[serde(rename = "endTime")]
    #[param(minimum = 0, example = 1_470_299_400)]
    end_time: i64,
}

/// Traffic of a customer on a cdn.
#[derive(Serialize, ToSchema)]
pub(super) struct TotalInfo {
    /// Name of the cdn.
    #[schema(example = "level3")]
    cdn: String,
    /// The mail of the customer's account.
    #[schema(example = "user@example.com")]
    login_email: String,
    /// Bytes sent.
    #[schema(example = 151_012)]
    flux: i64,
    /// Bytes among these that were sent from the cache.
    #[serde(rename = "hitFlux")]
    #[schema(example = 120_400)]
    hit_flux: i64,
    /// Billed requests of any status.
    #[schema(example = 12)]
    requests: i64,
    /// Requests among these that were answered from the cache.
    #[schema(example = 8)]
    hits: i64,
}

impl From<TotalRow> for TotalInfo {
    fn from(TotalRow { cdn, mail, figures }: TotalRow) -> Self {
        let Figures { flux, hit_flux, requests, hits, .. } = figures;
        Self { cdn, login_email: mail, flux, hit_flux, requests, hits }
    }
}

/// Sums of all customers.
#[derive(ToSchema)]
pub(super) struct TotalList {
    /// A row per cdn and customer with traffic, by name of the cdn and account id.
    #[expect(dead_code, reason = "sent row by row; this documents the whole")]
    results: Vec<TotalInfo>,
}

const JSON: RowText<TotalRow> = RowText::json_list(|row, text| push_json(&TotalInfo::from(row), text));

impl RowPages for TotalRun {
    type Row = TotalRow;

    async fn next_page(&mut self) -> Result<Option<Vec<TotalRow>>> {
        self.next_sums().await
    }
}

/// Sums of bytes, bytes of hits, requests and hits by cdn and customer, of the domains that are held now. At most 400 days.
///
/// The answer is made while it is sent, and breaks off where that fails.
#[utoipa::path(
    get,
    path = "/level3/total",
    tag = "cdn",
    params(TotalArgs),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "The sums.", body = Done<TotalList>)),
)]
pub(super) async fn get_total(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(TotalArgs { start_time, end_time }): Args<TotalArgs>,
) -> Result<Response, Failure> {
    let sums = api.pilothouse.traffic().totals(&caller, start_time, end_time).await?;
    Ok(row_stream(sums, JSON).await?)
}
