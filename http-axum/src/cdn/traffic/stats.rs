//! `/level3/stats`: all figures over time, as rows or as columns, together or told apart.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::cdn::{
    FigureSource, Figures, Stats, StatsBy, StatsGroup, StatsQuery, StatsStep, TrafficQuery,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::series::SeriesPoint;
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
    #[param(value_type = Option<String>, pattern = "^(objects|arrays)$", default = "objects", example = "objects")]
    form: Option<String>,
}

/// All figures over time: `results`, or `columns` with `form=arrays`, or `groups` with `by`.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsAnswer {
    /// A row per step, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<StatsRow>>,
    /// A column per figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<StatsColumns>,
    /// Domains, cdns or classes of status, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<StatsPart>>,
    /// Sums over the whole interval.
    total: StatsTotal,
    /// Cdns whose vendors tell the figures; missing where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<StatsSource>,
}

/// A cdn whose vendor tells its figures.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsSource {
    /// Name of the cdn.
    #[schema(example = "qcloud")]
    cdn: String,
    /// Unix seconds up to which its figures are known; what is later is missing, not 0. `null` before anything is known.
    #[schema(required = true, example = 1_470_298_500)]
    known_until: Option<i64>,
    /// Whether its figures are estimates, by which nobody is billed.
    #[schema(example = false)]
    estimated: bool,
}

impl From<FigureSource> for StatsSource {
    fn from(FigureSource { cdn, known_until, is_estimated }: FigureSource) -> Self {
        Self { cdn, known_until, estimated: is_estimated }
    }
}

/// One domain, cdn or class of status over time.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsPart {
    /// Name of the domain or cdn, or `2xx` to `5xx`.
    #[schema(example = "cdn.exrqs.com")]
    name: String,
    /// A row per step, of a domain or cdn.
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<StatsRow>>,
    /// Requests per step, of a class of status: bytes and hits are not counted by status.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<Vec<SeriesPoint>>,
    /// A column per figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<StatsColumns>,
    /// Sums over the whole interval, of a domain or cdn.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<StatsTotal>,
}

/// The figures of a step.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsRow {
    /// Beginning of the step in unix seconds.
    #[serde(rename = "timeStamp")]
    #[schema(example = 1_470_297_000)]
    time_stamp: i64,
    /// Bytes sent.
    #[schema(example = 151_012)]
    flux: i64,
    /// Billed requests of any status.
    #[schema(example = 12)]
    requests: i64,
    /// Requests among these that were answered from the cache.
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

/// Figures as columns: the n-th value of each is of the step that begins at `begin` + n · `step`.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsColumns {
    /// Beginning of the first step in unix seconds.
    #[schema(example = 1_470_297_000)]
    begin: i64,
    /// Seconds of a step.
    #[schema(example = 300)]
    step: i64,
    /// Bytes sent; missing of a class of status, as the columns after `requests` are.
    #[serde(skip_serializing_if = "Option::is_none")]
    flux: Option<Vec<i64>>,
    /// Billed requests of any status, or of the class.
    requests: Vec<i64>,
    /// Requests that were answered from the cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    hits: Option<Vec<i64>>,
    /// Answers with a status of 200 to 299.
    #[serde(rename = "2xx", skip_serializing_if = "Option::is_none")]
    class_2: Option<Vec<i64>>,
    /// Answers with a status of 300 to 399.
    #[serde(rename = "3xx", skip_serializing_if = "Option::is_none")]
    class_3: Option<Vec<i64>>,
    /// Answers with a status of 400 to 499.
    #[serde(rename = "4xx", skip_serializing_if = "Option::is_none")]
    class_4: Option<Vec<i64>>,
    /// Answers with a status of 500 to 599.
    #[serde(rename = "5xx", skip_serializing_if = "Option::is_none")]
    class_5: Option<Vec<i64>>,
}

/// Sums over an interval.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsTotal {
    /// Bytes sent.
    #[schema(example = 151_012)]
    flux: i64,
    /// Billed requests of any status.
    #[schema(example = 12)]
    requests: i64,
    /// Requests among these that were answered from the cache.
    #[schema(example = 8)]
    hits: i64,
    /// Hits by requests, to four places; `null` without requests.
    #[serde(rename = "hitRatio")]
    #[schema(required = true, minimum = 0, maximum = 1, example = 0.6667)]
    hit_ratio: Option<f64>,
}

impl From<Figures> for StatsTotal {
    #[expect(clippy::cast_precision_loss, reason = "a ratio to four places")]
    fn from(Figures { flux, requests, hits, .. }: Figures) -> Self {
        let ratio = || (hits as f64 / requests as f64 * 10_000.0).round() / 10_000.0;
        Self { flux, requests, hits, hit_ratio: (requests > 0).then(ratio) }
    }
}

/// Names of the classes of status, in the order of [`Figures::classes`].
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Beginning and length of steps.
#[derive(Clone, Copy)]
struct Steps {
    begin: i64,
    step: i64,
}

impl Steps {
    fn times(self) -> impl Iterator<Item = i64> {
        (0..).map(move |n| self.begin + n * self.step)
    }

    fn rows(self, figures: &[Figures]) -> Vec<StatsRow> {
        let row = |(time_stamp, figures): (i64, &Figures)| {
            let Figures { flux, requests, hits, classes: [class_2, class_3, class_4, class_5] } = *figures;
            StatsRow { time_stamp, flux, requests, hits, class_2, class_3, class_4, class_5 }
        };
        self.times().zip(figures).map(row).collect()
    }

    fn columns(self, figures: &[Figures]) -> StatsColumns {
        let Self { begin, step } = self;
        let class = |n: usize| Some(figures.iter().map(|figures| figures.classes[n]).collect());
        StatsColumns {
            begin,
            step,
            flux: Some(figures.iter().map(|figures| figures.flux).collect()),
            requests: figures.iter().map(|figures| figures.requests).collect(),
            hits: Some(figures.iter().map(|figures| figures.hits).collect()),
            class_2: class(0),
            class_3: class(1),
            class_4: class(2),
            class_5: class(3),
        }
    }

    /// The answers of a class of status.
    fn class(self, figures: &[Figures], n: usize, in_arrays: bool) -> StatsPart {
        let Self { begin, step } = self;
        let counts = figures.iter().map(|figures| figures.classes[n]);
        let (name, results, total) = (CLASSES[n].to_owned(), None, None);
        if in_arrays {
            let (flux, hits) = (None, None);
            let (class_2, class_3, class_4, class_5) = (None, None, None, None);
            let requests = counts.collect();
            let columns =
                StatsColumns { begin, step, flux, requests, hits, class_2, class_3, class_4, class_5 };
            return StatsPart { name, results, requests: None, columns: Some(columns), total };
        }
        let point = |(time_stamp, value)| SeriesPoint { time_stamp, value };
        let requests = Some(self.times().zip(counts).map(point).collect());
        StatsPart { name, results, requests, columns: None, total }
    }

    fn group(self, group: StatsGroup, in_arrays: bool) -> StatsPart {
        let total = Some(group.total().into());
        let results = (!in_arrays).then(|| self.rows(&group.figures));
        let columns = in_arrays.then(|| self.columns(&group.figures));
        StatsPart { name: group.name, results, requests: None, columns, total }
    }
}

/// Parts that an answer is told apart by.
enum By {
    Nothing,
    Status,
    Group,
}

fn answer(Stats { begin, step, groups, sources }: Stats, by: &By, in_arrays: bool) -> StatsAnswer {
    let steps = Steps { begin, step };
    let mut sum = Figures::default();
    for group in &groups {
        sum.add(group.total());
    }
    let sources = sources.into_iter().map(StatsSource::from).collect();
    let mut answer = StatsAnswer { results: None, columns: None, groups: None, total: sum.into(), sources };
    match by {
        By::Group => {
            answer.groups = Some(groups.into_iter().map(|group| steps.group(group, in_arrays)).collect());
        }
        By::Status => {
            let figures = groups.into_iter().next().map(|group| group.figures).unwrap_or_default();
            answer.groups = Some((0..CLASSES.len()).map(|n| steps.class(&figures, n, in_arrays)).collect());
        }
        By::Nothing => {
            let figures = groups.into_iter().next().map(|group| group.figures).unwrap_or_default();
            answer.results = (!in_arrays).then(|| steps.rows(&figures));
            answer.columns = in_arrays.then(|| steps.columns(&figures));
        }
    }
    answer
}

impl StatsArgs {
    /// What is asked of core, how the answer is told apart, and whether it comes in columns.
    fn read(self) -> Result<(StatsQuery, By, bool), Error> {
        let (split, by) = match self.by.as_deref() {
            None => (By::Nothing, None),
            Some("status") => (By::Status, None),
            Some("domain") => (By::Group, Some(StatsBy::Domain)),
            Some("cdn") => (By::Group, Some(StatsBy::Cdn)),
            Some(_) => return Err(Error::invalid("by", "must be domain, cdn or status")),
        };
        let in_arrays = match self.form.as_deref() {
            None | Some("objects") => false,
            Some("arrays") => true,
            Some(_) => return Err(Error::invalid("form", "must be objects or arrays")),
        };
        let step = self.step.map(StatsStep::of).transpose()?.unwrap_or_default();
        let traffic = TrafficQuery {
            login_email: self.login_email,
            domains: self.domain.map(|List(domains)| domains).unwrap_or_default(),
            start_time: self.start_time,
            end_time: self.end_time,
        };
        Ok((StatsQuery { traffic, by, step }, split, in_arrays))
    }
}

/// Bytes, requests, hits and answers by class per step, and their sums with the hit ratio; otherwise as `fluxs`.
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
    let (query, by, in_arrays) = args.read()?;
    let stats = api.pilothouse.traffic().stats(&caller, &query).await?;
    done(answer(stats, &by, in_arrays))
}
