//! `/level3/threshold`: what customers want to be told of their domains.

use axum::extract::State;
use chrono::DateTime;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Share, Threshold};
use pilothouse_core::{Error, Pilothouse};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::cdn::{Nothing, time};
use crate::envelope::{Done, Reply, done};
use crate::optional_member::selector;
use crate::state::ApiState;

/// Requests of five minutes below which shares say nothing, where nothing else is asked for.
const MIN_REQUESTS: i64 = 100;

/// Customer and perhaps a domain whose thresholds are listed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ThresholdQuery {
    /// The mail of the customer's account, for a caller with group 8; by default the customer is the caller itself.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
    /// A domain of the customer; by default all of them.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    domain: Option<String>,
}

/// Customer and domain whose thresholds are deleted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ThresholdKey {
    /// The mail of the customer's account, for a caller with group 8; by default the customer is the caller itself.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
    /// The domain of the customer.
    #[param(min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    domain: String,
}

/// Thresholds of one domain, in place of those that it had: at least one of bandwidth and the two shares.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewThreshold {
    /// The mail of the customer's account, for a caller with group 8; by default the customer is the caller itself.
    #[serde(default, deserialize_with = "selector")]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
    /// The domain of the customer; on several cdns it is one.
    #[schema(min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    domain: String,
    /// Bandwidth in bits per second, above which there is an alarm.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_000_i64, example = 800_000_000)]
    bandwidth: Option<i64>,
    /// Share of answers with a status of 500 to 599, above which there is an alarm; counted in millionths.
    #[serde(rename = "errorRatio")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1, example = 0.05)]
    error_ratio: Option<String>,
    /// Share of requests that are answered from the cache, below which there is an alarm; counted in millionths.
    #[serde(rename = "hitRatio")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1, example = 0.8)]
    hit_ratio: Option<String>,
    /// Requests of five minutes below which shares say nothing.
    #[serde(rename = "minRequests")]
    #[schema(minimum = 1, maximum = 1_000_000_000, default = 100, example = 100)]
    min_requests: Option<i64>,
}

impl TryFrom<NewThreshold> for Threshold {
    type Error = Error;

    fn try_from(new: NewThreshold) -> Result<Self, Error> {
        Ok(Self {
            account_id: AccountId::UNSAVED,
            domain: new.domain,
            bandwidth: new.bandwidth,
            error_ratio: share("errorRatio", new.error_ratio)?,
            hit_ratio: share("hitRatio", new.hit_ratio)?,
            min_requests: new.min_requests.unwrap_or(MIN_REQUESTS),
            changed: DateTime::UNIX_EPOCH,
        })
    }
}

/// Share of a number, or of text that is one.
fn share(field: &'static str, number: Option<String>) -> Result<Option<Share>, Error> {
    let Some(number) = number else { return Ok(None) };
    let fraction = number.parse().map_err(|_| Error::invalid(field, "must be from 0 to 1"))?;
    Share::of_fraction(field, fraction).map(Some)
}

/// Thresholds of a domain.
#[derive(Serialize, ToSchema)]
pub(super) struct ThresholdRow {
    /// The domain.
    #[schema(example = "cdn.exrqs.com")]
    domain: String,
    /// Bandwidth in bits per second, above which there is an alarm; `null` for none.
    #[schema(required = true, example = 800_000_000)]
    bandwidth: Option<i64>,
    /// Share of 5xx answers, above which there is an alarm; `null` for none.
    #[serde(rename = "errorRatio")]
    #[schema(required = true, minimum = 0, maximum = 1, example = 0.05)]
    error_ratio: Option<f64>,
    /// Share of requests answered from the cache, below which there is an alarm; `null` for none.
    #[serde(rename = "hitRatio")]
    #[schema(required = true, minimum = 0, maximum = 1, example = 0.8)]
    hit_ratio: Option<f64>,
    /// Requests of five minutes below which shares say nothing.
    #[serde(rename = "minRequests")]
    #[schema(example = 100)]
    min_requests: i64,
    /// Time of the last change, in the server's zone.
    #[schema(example = "2016/09/13 15:44:07")]
    changed: String,
}

/// Thresholds of a customer.
#[derive(Serialize, ToSchema)]
pub(super) struct ThresholdList {
    /// A row per domain that has any, by name.
    results: Vec<ThresholdRow>,
}

fn row(pilothouse: &Pilothouse, threshold: Threshold) -> ThresholdRow {
    ThresholdRow {
        domain: threshold.domain,
        bandwidth: threshold.bandwidth,
        error_ratio: threshold.error_ratio.map(Share::fraction),
        hit_ratio: threshold.hit_ratio.map(Share::fraction),
        min_requests: threshold.min_requests,
        changed: time(pilothouse, threshold.changed),
    }
}

/// Lists the thresholds of a customer's domains.
#[utoipa::path(
    get,
    path = "/level3/threshold",
    tag = "cdn",
    params(ThresholdQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself; group 8 for others"))),
    responses((status = 200, description = "The thresholds.", body = Done<ThresholdList>)),
)]
pub(super) async fn get_threshold(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(ThresholdQuery { login_email, domain }): Args<ThresholdQuery>,
) -> Reply<Done<ThresholdList>> {
    let thresholds = api.pilothouse.thresholds();
    let found = thresholds.list(&caller, login_email.as_deref(), domain.as_deref()).await?;
    done(ThresholdList {
        results: found.into_iter().map(|threshold| row(&api.pilothouse, threshold)).collect(),
    })
}

/// Sets the thresholds of a domain: five minutes beyond one begin an alarm, three times five minutes in a row that are not
/// end it. What is left out is not looked at any more.
#[utoipa::path(
    post,
    path = "/level3/threshold",
    tag = "cdn",
    request_body = NewThreshold,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself; group 8 for others"))),
    responses((status = 200, description = "The thresholds of the domain.", body = Done<ThresholdRow>)),
)]
pub(super) async fn post_threshold(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(mut new): Args<NewThreshold>,
) -> Reply<Done<ThresholdRow>> {
    let login_email = new.login_email.take();
    let set = api.pilothouse.thresholds().set(&caller, login_email.as_deref(), new.try_into()?).await?;
    done(row(&api.pilothouse, set))
}

/// Deletes the thresholds of a domain, which ends their alarms.
#[utoipa::path(
    delete,
    path = "/level3/threshold",
    tag = "cdn",
    params(ThresholdKey),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself; group 8 for others"))),
    responses((status = 200, description = "Deleted.", body = Done<Nothing>)),
)]
pub(super) async fn delete_threshold(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(ThresholdKey { login_email, domain }): Args<ThresholdKey>,
) -> Reply<Done<Nothing>> {
    api.pilothouse.thresholds().delete(&caller, login_email.as_deref(), &domain).await?;
    done(Nothing {})
}
