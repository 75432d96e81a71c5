//! Traffic by 5 minutes: bytes and requests, and those among them that were hits, of many domains in a call; classes of status,
//! which the vendor tells of one domain in a call.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use pilothouse_core::ports::{Figure, Figures, ProviderError};
use serde::Deserialize;
use serde_json::json;

use super::figures::count;
use super::{AREAS, GLOBAL, TIME, Tencent};
use crate::vendor::{Details, buckets_end, turn};

/// Most domains of one call, and most days.
const DOMAINS: usize = 30;
const DAYS: TimeDelta = TimeDelta::days(31);
/// Length of a bucket.
const BUCKET: TimeDelta = TimeDelta::minutes(5);
/// Age from which on a bucket is taken as whole. The vendor tells no lag.
const LAG: TimeDelta = TimeDelta::minutes(15);
/// Calls that are under way at a time. [`super::api::Api`] keeps them apart, so that the rate holds.
const CONCURRENT_CALLS: usize = 4;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    data: Vec<SeriesOfDomain>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SeriesOfDomain {
    resource: String,
    cdn_data: Vec<SeriesOfMetric>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SeriesOfMetric {
    #[serde(default)]
    metric: String,
    detail_data: Vec<Point>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Point {
    time: String,
    value: f64,
}

/// Kind of figures that a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Metric {
    Bytes,
    Requests,
    HitBytes,
    Hits,
    Classes,
}

impl Metric {
    /// Name on the wire.
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "flux",
            Self::Requests => "request",
            Self::HitBytes => "hitFlux",
            Self::Hits => "hitRequest",
            Self::Classes => "statusCode",
        }
    }
}

/// Question for one kind of figures of some domains in one area.
#[derive(Clone, Copy, Debug)]
struct Question<'a> {
    metric: Metric,
    area: &'static str,
    domains: &'a [String],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// Counts of a bucket, summed over areas.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    bytes: i64,
    requests: i64,
    hit_bytes: i64,
    hits: i64,
    classes: [i64; 4],
}

/// One count of an answer.
#[derive(Debug)]
struct Count {
    domain: String,
    bucket: DateTime<Utc>,
    /// Index of the class of status; 0 for every other kind of figures.
    class: usize,
    value: i64,
}

#[derive(Debug)]
struct Answer<'a> {
    question: Question<'a>,
    counts: Vec<Count>,
}

/// Sums by domain and bucket, and which of them are known.
#[derive(Debug, Default)]
struct Told {
    counts: BTreeMap<(String, DateTime<Utc>), Counts>,
    /// Number of questions for details without an answer, by domain and kind.
    open: BTreeMap<(String, Metric), usize>,
}

impl Told {
    /// Takes note of a question for details: without its answer they are unknown.
    fn expect(&mut self, question: &Question<'_>) {
        for domain in question.domains {
            *self.open.entry((domain.clone(), question.metric)).or_insert(0) += 1;
        }
    }

    fn add(&mut self, Answer { question, counts }: Answer<'_>) {
        for Count { domain, bucket, class, value } in counts {
            let counts = self.counts.entry((domain, bucket)).or_default();
            let sum = match question.metric {
                Metric::Bytes => &mut counts.bytes,
                Metric::Requests => &mut counts.requests,
                Metric::HitBytes => &mut counts.hit_bytes,
                Metric::Hits => &mut counts.hits,
                Metric::Classes => &mut counts.classes[class],
            };
            *sum = sum.saturating_add(value);
        }
        for domain in question.domains {
            if let Some(open) = self.open.get_mut(&(domain.clone(), question.metric)) {
                *open -= 1;
            }
        }
    }

    fn rows(self) -> Vec<Figure> {
        let open = self.open;
        let figure = |((domain, bucket), counts): ((String, DateTime<Utc>), Counts)| {
            let is_known = |metric| open.get(&(domain.clone(), metric)).is_none_or(|open| *open == 0);
            Figure {
                hit_bytes: is_known(Metric::HitBytes).then_some(counts.hit_bytes),
                requests: Some(counts.requests),
                hits: is_known(Metric::Hits).then_some(counts.hits),
                classes: is_known(Metric::Classes).then_some(counts.classes),
                bytes: counts.bytes,
                bucket,
                domain: domain.clone(),
            }
        };
        self.counts.into_iter().map(figure).collect()
    }
}

impl Tencent {
    pub(super) async fn traffic(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        let known_until = buckets_end(self.clock.now() - LAG).min(to);
        let mut details = Details::begin();
        let mut told = Told::default();
        let needed = questions(&[Metric::Bytes, Metric::Requests], &AREAS, domains, from, to);
        let calls: Vec<_> = needed.into_iter().map(|question| self.ask(question)).collect();
        let mut answers = stream::iter(calls).buffer_unordered(CONCURRENT_CALLS);
        while let Some(answer) = answers.try_next().await? {
            told.add(answer);
        }

        let mut listed = pin!(stream::once(self.list_areas()));
        let areas = details.next(&mut listed).await.unwrap_or_default();
        let wanted = detail_questions(&areas, domains, from, to);
        for question in &wanted {
            told.expect(question);
        }
        let calls: Vec<_> = wanted.into_iter().map(|question| self.ask(question)).collect();
        let mut answers = stream::iter(calls).buffer_unordered(CONCURRENT_CALLS);
        while let Some(answer) = details.next(&mut answers).await {
            told.add(answer);
        }
        details.log_failure(&self.capabilities.edges[0]);
        Ok(Figures { rows: told.rows(), known_until, estimated: false })
    }

    /// Asks a question. Both ends of the vendor's range are included.
    async fn ask<'a>(&self, question: Question<'a>) -> Result<Answer<'a>, ProviderError> {
        let Question { metric, area, domains, from, to } = question;
        let time = |at: DateTime<Utc>| at.format(TIME).to_string();
        let asked = json!({
            "StartTime": time(from), "EndTime": time(to - BUCKET), "TimeZone": "UTC+00:00",
            "Metric": metric.name(), "Domains": domains, "Interval": "5min",
            // Of classes the vendor tells domains only together.
            "Detail": metric != Metric::Classes, "Area": area,
        });
        let series: Series = self.api.read("DescribeCdnData", &asked).await?;
        let mut counts = Vec::new();
        for of_domain in series.data {
            let domain = match metric {
                Metric::Classes => domains[0].clone(),
                _ => of_domain.resource.to_ascii_lowercase(),
            };
            for of_metric in of_domain.cdn_data {
                let class = match metric {
                    Metric::Classes => class(&of_metric.metric)?,
                    _ => 0,
                };
                for point in of_metric.detail_data {
                    let (bucket, value) = (bucket(&point)?, count(point.value));
                    if value > 0 && bucket >= from && bucket < to {
                        counts.push(Count { domain: domain.clone(), bucket, class, value });
                    }
                }
            }
        }
        Ok(Answer { question, counts })
    }
}

/// Questions for hits and classes of status. Of the latter each is of one domain, in the areas that it has; with more domains
/// than a pull has time for, every pull begins with others.
fn detail_questions<'a>(
    areas: &HashMap<String, String>,
    domains: &'a [String],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<Question<'a>> {
    let mut asked = questions(&[Metric::HitBytes, Metric::Hits], &AREAS, domains, from, to);
    let mut singles: Vec<_> = domains.chunks(1).collect();
    let first = turn(to, singles.len());
    singles.rotate_left(first);
    for single in singles {
        let own = areas.get(&single[0]).filter(|area| *area != GLOBAL);
        let in_areas = AREAS.into_iter().filter(|area| own.is_none_or(|own| own == area));
        let in_areas: Vec<_> = in_areas.collect();
        asked.extend(questions(&[Metric::Classes], &in_areas, single, from, to));
    }
    asked
}

/// Questions of each kind of figures in each area, within the limits of a call.
fn questions<'a>(
    metrics: &[Metric],
    areas: &[&'static str],
    domains: &'a [String],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<Question<'a>> {
    let mut questions = Vec::new();
    for domains in domains.chunks(DOMAINS) {
        let mut begin = from;
        while begin < to {
            let end = (begin + DAYS).min(to);
            for area in areas {
                let of = |metric: &Metric| Question { metric: *metric, area, domains, from: begin, to: end };
                questions.extend(metrics.iter().map(of));
            }
            begin = end;
        }
    }
    questions
}

fn bucket(point: &Point) -> Result<DateTime<Utc>, ProviderError> {
    let unreadable = |_| ProviderError::Unavailable("a time of the vendor cannot be read".to_owned());
    Ok(NaiveDateTime::parse_from_str(&point.time, TIME).map_err(unreadable)?.and_utc())
}

/// Index of a class of status by its name, such as `2xx`, which documents write in both cases.
fn class(name: &str) -> Result<usize, ProviderError> {
    let names = ["2xx", "3xx", "4xx", "5xx"];
    let found = names.iter().position(|own| own.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        ProviderError::Unavailable("a class of status of the vendor cannot be read".to_owned())
    })
}
