//! `/level3/logdownload`: the days of a domain's access logs, with links.

use axum::extract::State;
use chrono::NaiveDate;
use pilothouse_core::Error;
use pilothouse_core::cdn::{LogDay, LogLink};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::base_url::BaseUrl;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::optional_member::selector;
use crate::state::ApiState;

/// Customer, domain and days of the logs.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// The mail of the customer's account, for a caller with group 8; by default the customer is the caller itself.
    #[serde(rename = "login_email", default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
    /// A domain of the customer.
    #[param(min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    domain: String,
    /// The first day, `YYYYMMDD` in the server's zone.
    #[param(pattern = "^[0-9]{8}$", example = "20160928")]
    start_date: String,
    /// The last day, at most the 92nd from the first on.
    #[param(pattern = "^[0-9]{8}$", example = "20160930")]
    end_date: String,
}

/// Logs of a domain, one row a day.
#[derive(Serialize, ToSchema)]
pub(super) struct LogDays {
    /// A row per day, all of them.
    results: Vec<LogRow>,
}

/// The log of a day.
#[derive(Serialize, ToSchema)]
pub(super) struct LogRow {
    /// Name of the domain.
    #[schema(example = "cdn.exrqs.com")]
    domain: String,
    /// The day, `YYYY-MM-DD`.
    #[schema(example = "2016-09-29")]
    date: String,
    /// Bytes of the gzip file; 0 where there is none.
    #[schema(example = 1904)]
    size: i64,
    /// Link to it, good for an hour, without a token; empty where there is none.
    #[schema(example = "")]
    url: String,
}

impl LogRow {
    fn new(day: LogDay, base: &BaseUrl) -> Self {
        let LogDay { domain, date, size, link } = day;
        let url = link.map_or_else(String::new, |link| url(base, &link));
        Self { domain, date: date.format("%Y-%m-%d").to_string(), size, url }
    }
}

/// URL of a link, which `get_log` takes apart again.
fn url(base: &BaseUrl, link: &LogLink) -> String {
    let LogLink { file, expires, sig } = link;
    format!("{base}/level3/log/{file}?expires={expires}&sig={sig}")
}

/// Lists the days of a domain's access logs.
#[utoipa::path(
    get,
    path = "/level3/logdownload",
    tag = "cdn",
    params(LogQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domain; group 8 for others"))),
    responses((status = 200, description = "The days.", body = Done<LogDays>)),
)]
pub(super) async fn get_logdownload(
    State(api): State<ApiState>,
    base: BaseUrl,
    Auth(caller): Auth,
    Args(query): Args<LogQuery>,
) -> Reply<Done<LogDays>> {
    let LogQuery { login_email, domain, start_date, end_date } = query;
    let days = date("startDate", &start_date)?..=date("endDate", &end_date)?;
    let days = api.pilothouse.log_downloads().logs(&caller, login_email.as_deref(), &domain, days).await?;
    done(LogDays { results: days.into_iter().map(|day| LogRow::new(day, &base)).collect() })
}

fn date(field: &'static str, text: &str) -> Result<NaiveDate, Error> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let date = NaiveDate::parse_from_str(text, "%Y%m%d").ok().filter(|_| digits);
    date.ok_or_else(|| Error::invalid(field, "must be a date as YYYYMMDD"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_eight_digits() {
        assert_eq!(date("startDate", "20160928").unwrap(), NaiveDate::from_ymd_opt(2016, 9, 28).unwrap());
        for bad in ["2016-09-28", "20160931", "2016092", "201609280", "", "+2016928", "２0160928"] {
            let refused = date("startDate", bad).unwrap_err().to_string();
            assert_eq!(refused, "startDate: must be a date as YYYYMMDD", "{bad}");
        }
    }
}
