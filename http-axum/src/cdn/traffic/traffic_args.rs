//! Parameters of series and areas: a customer, domains and two times.

use pilothouse_core::cdn::TrafficQuery;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::list::List;
use crate::optional_member::selector;

/// Customer, domains and interval.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TrafficArgs {
    /// The mail of the customer's account, for a caller with group 8; by default the customer is the caller itself.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
    /// Domains of the customer, separated by commas, or `domain.0`, `domain.1` and so on; none are all it has.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 65_536, example = "cdn.exrqs.com")]
    domain: Option<List>,
    /// Unix seconds; rounded down to five minutes, which are included.
    #[serde(rename = "startTime")]
    #[param(minimum = 0, example = 1_470_297_000)]
    start_time: i64,
    /// Unix seconds, not before `startTime`; rounded down to five minutes, which are included.
    #[serde(rename = "endTime")]
    #[param(minimum = 0, example = 1_470_299_400)]
    end_time: i64,
}

impl From<TrafficArgs> for TrafficQuery {
    fn from(TrafficArgs { login_email, domain, start_time, end_time }: TrafficArgs) -> Self {
        Self {
            login_email,
            domains: domain.map(|List(domains)| domains).unwrap_or_default(),
            start_time,
            end_time,
        }
    }
}
