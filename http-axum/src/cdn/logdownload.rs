//! `/level3/logdownload`: the days of a domain's access logs, with links.

use axum::extract::State;
use pilothouse_core::cdn::LogDay;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Which logs.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// A domain of the caller.
    #[param(min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    domain: String,
    /// The first day, `YYYYMMDD` in the server's zone.
    #[param(pattern = "^[0-9]{8}$", example = "20160928")]
    start_date: String,
    /// The last day, at most the 92nd from the first on.
    #[param(pattern = "^[0-9]{8}$", example = "20160930")]
    end_date: String,
}

/// Logs by day.
#[derive(Serialize, ToSchema)]
pub(super) struct LogDays {
    /// A row per day, all of them.
    results: Vec<LogRow>,
}

/// The log of a day.
#[derive(Serialize, ToSchema)]
pub(super) struct LogRow {
    /// The domain.
    #[schema(example = "cdn.exrqs.com")]
    domain: String,
    /// The day, `YYYY-MM-DD`.
    #[schema(example = "2016-09-29")]
    date: String,
    /// Bytes of the gzip file; 0 where there is none.
    #[schema(example = 1904)]
    size: i64,
    /// Where to get it within an hour, without a token; empty where there is none.
    #[schema(example = "")]
    url: String,
}

impl From<LogDay> for LogRow {
    fn from(LogDay { domain, date, size, url }: LogDay) -> Self {
        Self { domain, date: date.format("%Y-%m-%d").to_string(), size, url }
    }
}

/// Lists the days of a domain's access logs.
#[utoipa::path(
    get,
    path = "/level3/logdownload",
    tag = "cdn",
    params(LogQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domain"))),
    responses((status = 200, description = "The days.", body = Done<LogDays>)),
)]
pub(super) async fn get_logdownload(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<LogQuery>,
) -> Reply<Done<LogDays>> {
    let LogQuery { domain, start_date, end_date } = query;
    let days = api.pilothouse.traffic().logs(&caller, &domain, &start_date, &end_date).await?;
    done(LogDays { results: days.into_iter().map(LogRow::from).collect() })
}
