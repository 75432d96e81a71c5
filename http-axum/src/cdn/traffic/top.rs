//! `/level3/top`: the most requested URLs of domains.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::cdn::{TopUrl, TopUrlsAnswer, TrafficQuery};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::list::List;
use crate::optional_member::selector;
use crate::state::ApiState;

/// URLs that are answered where no other number is asked for.
const COUNT: i64 = 20;

/// Customer, domains, interval, and how many URLs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TopArgs {
    /// The mail of the customer's account, for a caller with group 8; by default the customer is the caller itself.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
    /// Up to 30 domains of the customer, separated by commas, or `domain.0`, `domain.1` and so on; none are all it has.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 65_536, example = "cdn.exrqs.com")]
    domain: Option<List>,
    /// Unix seconds; rounded down to the hour (UTC), which is included.
    #[serde(rename = "startTime")]
    #[param(minimum = 0, example = 1_470_297_000)]
    start_time: i64,
    /// Unix seconds, not before `startTime` and at most 31 days after it; rounded down to the hour (UTC), which is included.
    #[serde(rename = "endTime")]
    #[param(minimum = 0, example = 1_470_299_400)]
    end_time: i64,
    /// The most URLs returned.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 20, example = 20)]
    count: Option<i64>,
}

/// A path and its requests.
#[derive(Serialize, ToSchema)]
pub(super) struct TopRow {
    /// The domain; of one name on several cdns the requests are added up.
    #[schema(example = "cdn.exrqs.com")]
    domain: String,
    /// Path as visitors wrote it, without the query; at most 256 bytes of it.
    #[schema(example = "/static/app.js")]
    path: String,
    /// Billed requests, at most `error` too many and never too few.
    #[schema(example = 1202)]
    requests: i64,
    /// Greatest number by which `requests` may be too high; 0 where it is exact.
    #[schema(example = 0)]
    error: i64,
}

/// The most requested paths.
#[derive(Serialize, ToSchema)]
pub(super) struct TopList {
    /// Paths, the most requested first.
    results: Vec<TopRow>,
    /// The most requests that a path may have which is not among them.
    #[schema(example = 17)]
    missed: i64,
}

/// Shows the most requested paths of domains in some hours, from counts of bounded size: each says by how much it may be too
/// high, and the whole how many requests of a path may be missing.
#[utoipa::path(
    get,
    path = "/level3/top",
    tag = "cdn",
    params(TopArgs),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself; group 8 for others"))),
    responses((status = 200, description = "The most requested paths.", body = Done<TopList>)),
)]
pub(super) async fn get_top(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<TopArgs>,
) -> Reply<Done<TopList>> {
    let TopArgs { login_email, domain, start_time, end_time, count } = args;
    let domains = domain.map(|List(domains)| domains).unwrap_or_default();
    let query = TrafficQuery { login_email, domains, start_time, end_time };
    let count = usize::try_from(count.unwrap_or(COUNT));
    let count = count.map_err(|_| Error::invalid("count", "must be from 1 to 200"))?;
    let TopUrlsAnswer { urls, missed } = api.pilothouse.traffic().top_urls(&caller, &query, count).await?;
    let row = |TopUrl { domain, count }| TopRow {
        domain,
        path: count.path,
        requests: count.requests,
        error: count.error,
    };
    done(TopList { results: urls.into_iter().map(row).collect(), missed })
}
