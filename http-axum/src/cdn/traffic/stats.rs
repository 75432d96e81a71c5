//! `/level3/stats`: all figures over time, as rows or as columns, together or told apart.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::cdn::{StatsBy, StatsQuery, StatsStep, TrafficQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::stats_answer::{By, Form, StatsAnswer, WantedColumns, answer};
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::list::List;
use crate::optional_member::selector;
use crate::state::ApiState;

/// Customer, domains, interval and form.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsArgs {
    /// The mail of the customer's account, for a caller with group 8; by default the customer is the caller itself.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
    /// Domains of the customer, separated by commas, or `domain.0`, `domain.1` and so on; none are all it has.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 65_536, example = "cdn.exrqs.com")]
    domain: Option<List>,
    /// Unix seconds; rounded down to its step, which is included.
    #[serde(rename = "startTime")]
    #[param(minimum = 0, example = 1_470_297_000)]
    start_time: i64,
    /// Unix seconds, not before `startTime`; rounded down to its step, which is included.
    #[serde(rename = "endTime")]
    #[param(minimum = 0, example = 1_470_299_400)]
    end_time: i64,
    /// What the figures are told apart by: `domain`, `cdn` or `status`; by default they are added up.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, pattern = "^(domain|cdn|status)$", example = "domain")]
    by: Option<String>,
    /// Seconds of a step: 300, 3600 or 86400. Hours and days are those of the server's zone.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<i64>, minimum = 300, maximum = 86_400, default = 300, example = 3600)]
    step: Option<i64>,
    /// `arrays` for a column of each figure in place of a row per step.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, pattern = "^(objects|arrays)$", default = "objects", example = "arrays")]
    form: Option<String>,
    /// Columns of `form=arrays`, separated by commas: `flux`, `hitFlux`, `requests`, `hits`, `2xx`, `3xx`, `4xx` and `5xx`; by
    /// default all but `hitFlux`.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 64, example = "flux,hitFlux")]
    columns: Option<List>,
}

impl StatsArgs {
    /// What is asked of core, how the answer is told apart, and its form.
    fn read(self) -> Result<(StatsQuery, By, Form), Error> {
        let (split, by) = match self.by.as_deref() {
            None => (By::Nothing, None),
            Some("status") => (By::Status, None),
            Some("domain") => (By::Group, Some(StatsBy::Domain)),
            Some("cdn") => (By::Group, Some(StatsBy::Cdn)),
            Some(_) => return Err(Error::invalid("by", "must be domain, cdn or status")),
        };
        let columns = self.columns.map(|List(names)| WantedColumns::named(&names)).transpose()?;
        let form = match self.form.as_deref() {
            Some("arrays") if columns.is_some() && matches!(split, By::Status) => {
                return Err(Error::invalid("columns", "must not be given with by=status"));
            }
            Some("arrays") => Form::Arrays(columns.unwrap_or_default()),
            None | Some("objects") if columns.is_some() => {
                return Err(Error::invalid("columns", "must only be given with form=arrays"));
            }
            None | Some("objects") => Form::Objects,
            Some(_) => return Err(Error::invalid("form", "must be objects or arrays")),
        };
        let step = self.step.map(StatsStep::of).transpose()?.unwrap_or_default();
        let traffic = TrafficQuery {
            login_email: self.login_email,
            domains: self.domain.map(|List(domains)| domains).unwrap_or_default(),
            start_time: self.start_time,
            end_time: self.end_time,
        };
        Ok((StatsQuery { traffic, by, step }, split, form))
    }
}

/// Bytes, bytes of hits, requests, hits and answers by class per step, and their sums with the hit ratios by requests and by
/// bytes; otherwise as `fluxs`.
///
/// `by` tells domains, cdns or classes of status apart, and `form=arrays` gives columns, which are shorter. Groups times
/// steps are limited to what 400 days of five minutes are.
#[utoipa::path(
    get,
    path = "/level3/stats",
    tag = "cdn",
    params(StatsArgs),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer that holds the domains; group 8 for others"))),
    responses((status = 200, description = "The figures.", body = Done<StatsAnswer>)),
)]
pub(super) async fn get_stats(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<StatsArgs>,
) -> Reply<Done<StatsAnswer>> {
    let (query, by, form) = args.read()?;
    let stats = api.pilothouse.traffic().stats(&caller, &query).await?;
    done(answer(stats, &by, form))
}
