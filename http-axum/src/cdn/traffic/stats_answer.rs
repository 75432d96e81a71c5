//! Answer of `/level3/stats`: rows or columns, together or told apart, with their sums.

use pilothouse_core::Error;
use pilothouse_core::cdn::{FigureSource, Figures, Stats, StatsGroup};
use serde::Serialize;
use utoipa::ToSchema;

use super::series::SeriesPoint;

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
    /// Bytes sent; of a class of status there is only `requests`.
    #[serde(skip_serializing_if = "Option::is_none")]
    flux: Option<Vec<i64>>,
    /// Bytes sent from the cache; only where `columns` asks for it.
    #[serde(rename = "hitFlux", skip_serializing_if = "Option::is_none")]
    hit_flux: Option<Vec<i64>>,
    /// Billed requests of any status, or of the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<Vec<i64>>,
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
    /// Hits by requests, to four places; `null` without requests.
    #[serde(rename = "hitRatio")]
    #[schema(required = true, minimum = 0, maximum = 1, example = 0.6667)]
    hit_ratio: Option<f64>,
    /// Bytes of hits by all bytes, to four places; `null` without bytes.
    #[serde(rename = "byteHitRatio")]
    #[schema(required = true, minimum = 0, maximum = 1, example = 0.7973)]
    byte_hit_ratio: Option<f64>,
}

impl From<Figures> for StatsTotal {
    fn from(Figures { flux, hit_flux, requests, hits, .. }: Figures) -> Self {
        let (hit_ratio, byte_hit_ratio) = (ratio(hits, requests), ratio(hit_flux, flux));
        Self { flux, hit_flux, requests, hits, hit_ratio, byte_hit_ratio }
    }
}

/// A part of a whole, to four places; none of nothing.
#[expect(clippy::cast_precision_loss, reason = "a ratio to four places")]
fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
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
            let &Figures { flux, hit_flux, requests, hits, classes } = figures;
            let [class_2, class_3, class_4, class_5] = classes;
            StatsRow { time_stamp, flux, hit_flux, requests, hits, class_2, class_3, class_4, class_5 }
        };
        self.times().zip(figures).map(row).collect()
    }

    fn columns(self, figures: &[Figures], wanted: WantedColumns) -> StatsColumns {
        let Self { begin, step } = self;
        let column =
            |n: usize, figure: fn(&Figures) -> i64| wanted.0[n].then(|| figures.iter().map(figure).collect());
        StatsColumns {
            begin,
            step,
            flux: column(0, |figures| figures.flux),
            hit_flux: column(1, |figures| figures.hit_flux),
            requests: column(2, |figures| figures.requests),
            hits: column(3, |figures| figures.hits),
            class_2: column(4, |figures| figures.classes[0]),
            class_3: column(5, |figures| figures.classes[1]),
            class_4: column(6, |figures| figures.classes[2]),
            class_5: column(7, |figures| figures.classes[3]),
        }
    }

    /// The answers of a class of status.
    fn class(self, figures: &[Figures], n: usize, form: Form) -> StatsPart {
        let counts = figures.iter().map(|figures| figures.classes[n]);
        let (name, results, total) = (CLASSES[n].to_owned(), None, None);
        if matches!(form, Form::Arrays(_)) {
            let requests = Some(counts.collect());
            let columns = StatsColumns { requests, ..self.columns(figures, WantedColumns([false; 8])) };
            return StatsPart { name, results, requests: None, columns: Some(columns), total };
        }
        let point = |(time_stamp, value)| SeriesPoint { time_stamp, value };
        let requests = Some(self.times().zip(counts).map(point).collect());
        StatsPart { name, results, requests, columns: None, total }
    }

    fn group(self, group: StatsGroup, form: Form) -> StatsPart {
        let total = Some(group.total().into());
        let (results, columns) = self.figures(&group.figures, form);
        StatsPart { name: group.name, results, requests: None, columns, total }
    }

    fn figures(self, figures: &[Figures], form: Form) -> (Option<Vec<StatsRow>>, Option<StatsColumns>) {
        match form {
            Form::Objects => (Some(self.rows(figures)), None),
            Form::Arrays(wanted) => (None, Some(self.columns(figures, wanted))),
        }
    }
}

/// Parts that an answer is told apart by.
pub(super) enum By {
    Nothing,
    Status,
    Group,
}

/// Form of the figures over time.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Objects,
    Arrays(WantedColumns),
}

/// Names of the columns.
const COLUMNS: [&str; 8] = ["flux", "hitFlux", "requests", "hits", "2xx", "3xx", "4xx", "5xx"];

/// Columns that are asked for, in the order of [`COLUMNS`].
#[derive(Clone, Copy)]
pub(super) struct WantedColumns([bool; 8]);

impl WantedColumns {
    /// Columns of these names. Refuses any other.
    pub(super) fn named(names: &[String]) -> Result<Self, Error> {
        let mut wanted = [false; 8];
        for name in names {
            let Some(n) = COLUMNS.iter().position(|column| column == name) else {
                let [others @ .., last] = COLUMNS;
                return Err(Error::invalid(
                    "columns",
                    format!("must be of {} and {last}", others.join(", ")),
                ));
            };
            wanted[n] = true;
        }
        Ok(Self(wanted))
    }
}

impl Default for WantedColumns {
    /// All but the bytes of hits, whose digits do not pack any better than those of the bytes.
    fn default() -> Self {
        Self(COLUMNS.map(|name| name != "hitFlux"))
    }
}

pub(super) fn answer(Stats { begin, step, groups, sources }: Stats, by: &By, form: Form) -> StatsAnswer {
    let steps = Steps { begin, step };
    let mut sum = Figures::default();
    for group in &groups {
        sum.add(group.total());
    }
    let sources = sources.into_iter().map(StatsSource::from).collect();
    let mut answer = StatsAnswer { results: None, columns: None, groups: None, total: sum.into(), sources };
    if let By::Group = by {
        answer.groups = Some(groups.into_iter().map(|group| steps.group(group, form)).collect());
        return answer;
    }
    let figures = groups.into_iter().next().map(|group| group.figures).unwrap_or_default();
    if let By::Status = by {
        answer.groups = Some((0..CLASSES.len()).map(|n| steps.class(&figures, n, form)).collect());
    } else {
        (answer.results, answer.columns) = steps.figures(&figures, form);
    }
    answer
}
