//! Traffic by 5 minutes, each call of one domain: several domains in one would be one sum. Bytes are asked for first. Of domains
//! that had traffic, requests come as answers by status, and hits as percentages of requests and bytes.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use pilothouse_core::ports::{Figure, Figures, ProviderError};
use serde::de::DeserializeOwned;

use super::Alibaba;
use super::answer::{ByInterval, CodesAnswer, HitRatesAnswer, RateRow, RequestHitRatesAnswer, TrafficAnswer};
use super::api::stamp;
use crate::vendor::{Details, buckets_end, turn};

/// Longest range of one call for buckets of 5 minutes.
const MAX_RANGE: TimeDelta = TimeDelta::days(3);
/// Time after which the traffic of 5 minutes is complete.
const LAG: TimeDelta = TimeDelta::minutes(15);
/// Length of a bucket in seconds.
const BUCKET: i64 = 300;
/// Calls that are under way at a time, so that a pull of many domains ends in time. [`super::api::Api`] keeps those of one
/// action apart.
const CONCURRENT_CALLS: usize = 8;

/// Range of one domain's time within the limits of a call.
#[derive(Clone, Copy, Debug)]
struct Slice<'a> {
    domain: &'a str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Slice<'_> {
    /// Whether a bucket is in it. That the end is not part of a range is not documented.
    fn has(&self, bucket: DateTime<Utc>) -> bool {
        bucket >= self.from && bucket < self.to
    }
}

/// Hits and answers by status of one bucket.
#[derive(Clone, Copy, Debug, Default)]
struct BucketDetails {
    requests: i64,
    classes: [i64; 4],
    /// Percentages of the requests, and of the bytes, that were hits.
    hit_rate: Option<f64>,
    byte_hit_rate: Option<f64>,
}

/// Details of a slice by bucket.
#[derive(Debug)]
struct SliceDetails<'a> {
    slice: Slice<'a>,
    buckets: BTreeMap<DateTime<Utc>, BucketDetails>,
    /// Reasons why hits are not among them.
    failures: Vec<ProviderError>,
}

/// Rows by domain and bucket.
type Rows = BTreeMap<(String, DateTime<Utc>), Figure>;

impl Alibaba {
    pub(super) async fn traffic(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        let known_until = buckets_end(self.api.clock.now() - LAG).min(to);
        let mut details = Details::begin();
        let calls: Vec<_> =
            slices(domains, from, known_until).into_iter().map(|slice| self.bytes_of(slice)).collect();
        let mut answers = stream::iter(calls).buffered(CONCURRENT_CALLS);
        let mut rows = Rows::new();
        let mut busy = Vec::new();
        while let Some((slice, bytes)) = answers.try_next().await? {
            if !bytes.is_empty() {
                busy.push(slice);
            }
            rows.extend(bytes.into_iter().map(|row| ((row.domain.clone(), row.bucket), row)));
        }

        let first = turn(to, busy.len());
        busy.rotate_left(first);
        let calls: Vec<_> = busy.into_iter().map(|slice| self.details_of(slice)).collect();
        let mut answers = stream::iter(calls).buffer_unordered(CONCURRENT_CALLS);
        while let Some(answer) = details.next(&mut answers).await {
            complete(&mut rows, &answer);
            for error in answer.failures {
                details.fail(error);
            }
        }
        details.log_failure(&self.capabilities.edges[0]);
        Ok(Figures { rows: rows.into_values().collect(), known_until, estimated: false })
    }

    /// Bytes of the buckets that had any.
    async fn bytes_of<'a>(&self, slice: Slice<'a>) -> Result<(Slice<'a>, Vec<Figure>), ProviderError> {
        let answer: TrafficAnswer = self.by_interval("DescribeDomainTrafficData", slice).await?;
        let rows = answer.traffic_data_per_interval.data_module.into_iter();
        let rows = rows.filter(|row| row.value > 0 && slice.has(row.time_stamp));
        let rows = rows.map(|row| Figure::new(slice.domain, row.time_stamp, row.value));
        Ok((slice, rows.collect()))
    }

    /// Requests by status, and the hits among requests and bytes.
    async fn details_of<'a>(&self, slice: Slice<'a>) -> Result<SliceDetails<'a>, ProviderError> {
        let mut buckets: BTreeMap<_, BucketDetails> = BTreeMap::new();
        let codes: CodesAnswer = self.by_interval("DescribeDomainHttpCodeData", slice).await?;
        for row in codes.http_code_data.usage_data {
            let bucket = buckets.entry(row.time_stamp).or_default();
            for code in row.value.code_proportion_data {
                let count = code.count.max(0);
                bucket.requests = bucket.requests.saturating_add(count);
                if let Some(class) = class(&code.code) {
                    bucket.classes[class] = bucket.classes[class].saturating_add(count);
                }
            }
        }
        let mut failures = Vec::new();
        match self.by_interval::<RequestHitRatesAnswer>("DescribeDomainReqHitRateData", slice).await {
            Ok(rates) => {
                for RateRow { time_stamp, value } in rates.req_hit_rate_interval.data_module {
                    buckets.entry(time_stamp).or_default().hit_rate = Some(value);
                }
            }
            Err(error) => failures.push(error),
        }
        match self.by_interval::<HitRatesAnswer>("DescribeDomainHitRateData", slice).await {
            Ok(rates) => {
                for RateRow { time_stamp, value } in rates.hit_rate_interval.data_module {
                    buckets.entry(time_stamp).or_default().byte_hit_rate = Some(value);
                }
            }
            Err(error) => failures.push(error),
        }
        buckets.retain(|bucket, _| slice.has(*bucket));
        Ok(SliceDetails { slice, buckets, failures })
    }

    async fn by_interval<T: DeserializeOwned>(
        &self,
        action: &'static str,
        slice: Slice<'_>,
    ) -> Result<T, ProviderError> {
        let (start, end, interval) = (stamp(slice.from), stamp(slice.to), BUCKET.to_string());
        let query =
            [("DomainName", slice.domain), ("StartTime", &start), ("EndTime", &end), ("Interval", &interval)];
        let answer: ByInterval<T> = self.api.read(action, &query).await?;
        // Rather than refuse a range that is too long for it, the vendor answers with longer buckets.
        if answer.data_interval != BUCKET {
            return Err(ProviderError::Refused(format!(
                "the vendor tells traffic by {} seconds instead of {BUCKET}",
                answer.data_interval
            )));
        }
        Ok(answer.figures)
    }
}

fn slices(domains: &[String], from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Slice<'_>> {
    let mut slices = Vec::new();
    for domain in domains {
        let mut begin = from;
        while begin < to {
            let end = (begin + MAX_RANGE).min(to);
            slices.push(Slice { domain, from: begin, to: end });
            begin = end;
        }
    }
    slices
}

/// Adds details to the rows, all of which are known where the vendor told the slice. A bucket may have requests without bytes.
fn complete(rows: &mut Rows, told: &SliceDetails<'_>) {
    let slice = told.slice;
    for (at, details) in &told.buckets {
        if details.requests > 0 {
            let row = || Figure::new(slice.domain, *at, 0);
            rows.entry((slice.domain.to_owned(), *at)).or_insert_with(row);
        }
    }
    let first = (slice.domain.to_owned(), slice.from);
    let end = (slice.domain.to_owned(), slice.to);
    for ((_, at), row) in rows.range_mut(first..end) {
        let details = told.buckets.get(at).copied().unwrap_or_default();
        row.requests = Some(details.requests);
        row.classes = Some(details.classes);
        row.hits = part(details.requests, details.hit_rate);
        row.hit_bytes = part(row.bytes, details.byte_hit_rate);
    }
}

/// Count of which a percentage is told. The vendor tells it with all the digits that a float has, so the count is whole again.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "counts of 5 minutes are far below 2^53, and a cast saturates"
)]
fn part(all: i64, percent: Option<f64>) -> Option<i64> {
    match percent {
        None if all > 0 => None,
        percent => Some((all as f64 * percent.unwrap_or(0.0).clamp(0.0, 100.0) / 100.0).round() as i64),
    }
}

/// Index of the class of a status, such as `206`.
fn class(code: &str) -> Option<usize> {
    let first = code.bytes().next().filter(|_| code.len() == 3)?;
    (b'2'..=b'5').contains(&first).then(|| usize::from(first - b'2'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-07-25T{text}Z").parse().unwrap()
    }

    #[test]
    fn counts_are_whole_again() {
        for (all, percent, expected) in [
            (1_489_982, Some(99.999_328_814_378_26), Some(1_489_972)),
            (3, Some(100.0 / 3.0), Some(1)),
            (7, Some(100.0), Some(7)),
            (7, Some(f64::NAN), Some(0)),
            (0, None, Some(0)),
            (7, None, None),
        ] {
            assert_eq!(part(all, percent), expected, "{percent:?} % of {all}");
        }
    }

    #[test]
    fn a_status_has_a_class_from_2_to_5() {
        let classes = ["200", "304", "499", "504", "100", "000", "6", ""].map(class);
        assert_eq!(classes, [Some(0), Some(1), Some(2), Some(3), None, None, None, None]);
    }

    #[test]
    fn details_complete_the_rows_of_their_slice() {
        let row = |time, bytes| ((String::from("a.test"), at(time)), Figure::new("a.test", at(time), bytes));
        let mut rows = Rows::from([row("11:55:00", 10), row("12:00:00", 10), row("12:05:00", 10)]);
        let slice = Slice { domain: "a.test", from: at("12:00:00"), to: at("13:00:00") };
        let of = |hit_rate| BucketDetails {
            requests: 4,
            classes: [3, 0, 1, 0],
            hit_rate,
            byte_hit_rate: Some(50.0),
        };
        let buckets = BTreeMap::from([(at("12:00:00"), of(Some(25.0))), (at("12:10:00"), of(None))]);
        complete(&mut rows, &SliceDetails { slice, buckets, failures: Vec::new() });
        let known = rows.values().map(|row| (row.bytes, row.hit_bytes, row.requests, row.hits));
        let expected = [
            (10, None, None, None),
            (10, Some(5), Some(4), Some(1)),
            (10, None, Some(0), Some(0)),
            (0, Some(0), Some(4), None),
        ];
        assert_eq!(known.collect::<Vec<_>>(), expected);
    }
}
