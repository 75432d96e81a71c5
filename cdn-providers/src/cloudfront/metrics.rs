//! Traffic of CloudFront's distributions, which CloudWatch tells by 5 minutes.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_core::ports::{Figure, Figures, ProviderError};
use serde::Deserialize;
use serde_json::json;

use super::CloudFront;
use super::api::Call;
use crate::vendor::{buckets_end, of_reading, unreadable};

/// Time after which the traffic of 5 minutes is complete. The vendor names none.
const LAG: TimeDelta = TimeDelta::minutes(10);
/// Length of a bucket in seconds.
const BUCKET: i64 = 300;
/// Distributions of one question, of which each has two metrics; 500 metrics are allowed.
const PER_CALL: usize = 100;
/// Most pages that are read of one answer, so that a vendor that repeats itself is not asked for ever.
const MAX_PAGES: usize = 200;
/// Headers that say what is called.
const HEADERS: [(&str, &str); 2] = [
    ("content-type", "application/x-amz-json-1.0"),
    ("x-amz-target", "GraniteServiceVersion20100801.GetMetricData"),
];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricData {
    metric_data_results: Vec<MetricResult>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricResult {
    /// `b` and the number of the distribution for bytes, `r` and it for requests.
    id: String,
    /// Begin of each bucket, in seconds.
    timestamps: Vec<f64>,
    values: Vec<f64>,
    status_code: String,
}

/// Bytes and requests of one bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    bytes: i64,
    requests: i64,
}

impl CloudFront {
    pub(super) async fn traffic(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        let known_until = buckets_end(self.api.clock.now() - LAG).min(to);
        let mut rows = Vec::new();
        for domains in domains.chunks(PER_CALL) {
            let mut ids = Vec::with_capacity(domains.len());
            for domain in domains {
                let operation = "tell the traffic of a domain that shares its distribution";
                ids.push(self.own_distribution(domain, operation).await?);
            }
            if from < known_until {
                rows.extend(self.figures(domains, &ids, from, known_until).await?);
            }
        }
        Ok(Figures { rows, known_until, estimated: false })
    }

    async fn figures(
        &self,
        domains: &[String],
        ids: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Figure>, ProviderError> {
        let queries: Vec<_> = ids.iter().enumerate().flat_map(|(n, id)| queries(n, id)).collect();
        let mut body = json!({
            "MetricDataQueries": queries,
            "StartTime": from.timestamp(),
            "EndTime": to.timestamp(),
            "ScanBy": "TimestampAscending",
        });
        let mut buckets: BTreeMap<(usize, i64), Bucket> = BTreeMap::new();
        for _ in 0..MAX_PAGES {
            let bytes = body.to_string();
            let call = Call { headers: &HEADERS, ..Call::post("/", bytes.as_bytes()) };
            let answer = self.api.call(&self.api.monitoring, call).await.map_err(of_reading)?;
            let page: MetricData =
                serde_json::from_slice(&answer.body).map_err(|_| of_reading(unreadable(answer.status)))?;
            for result in &page.metric_data_results {
                add(result, &mut buckets)?;
            }
            match page.next_token {
                Some(token) => body["NextToken"] = json!(token),
                None => break,
            }
        }
        let figure = |((n, seconds), bucket): ((usize, i64), Bucket)| {
            let (domain, begin) = (domains.get(n)?, DateTime::from_timestamp(seconds, 0)?);
            // The vendor tells percentages beside: of errors, which leave 2xx and 3xx together, and of hits among what may be
            // cached, which is not all. No count is known by them.
            Some(Figure { requests: Some(bucket.requests), ..Figure::new(domain, begin, bucket.bytes) })
        };
        Ok(buckets.into_iter().filter_map(figure).collect())
    }
}

/// Queries of the bytes and requests of a distribution.
fn queries(n: usize, distribution: &str) -> [serde_json::Value; 2] {
    [("b", "BytesDownloaded"), ("r", "Requests")].map(|(prefix, metric)| {
        json!({
            "Id": format!("{prefix}{n}"),
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/CloudFront",
                    "MetricName": metric,
                    "Dimensions": [
                        {"Name": "DistributionId", "Value": distribution},
                        {"Name": "Region", "Value": "Global"},
                    ],
                },
                "Period": BUCKET,
                "Stat": "Sum",
            },
        })
    })
}

/// Adds a result to the buckets by distribution and begin.
fn add(result: &MetricResult, buckets: &mut BTreeMap<(usize, i64), Bucket>) -> Result<(), ProviderError> {
    if !matches!(result.status_code.as_str(), "Complete" | "PartialData") {
        return Err(ProviderError::Unavailable("the vendor cannot tell the traffic at present".to_owned()));
    }
    let unreadable = || of_reading(unreadable(200));
    let (kind, n) = result.id.split_at_checked(1).ok_or_else(unreadable)?;
    let n: usize = n.parse().map_err(|_| unreadable())?;
    for (at, value) in result.timestamps.iter().zip(&result.values) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "seconds and counts are whole, and far below 2^63"
        )]
        let (at, value) = (*at as i64, value.round() as i64);
        let bucket = buckets.entry((n, at)).or_default();
        match kind {
            "b" => bucket.bytes = value,
            "r" => bucket.requests = value,
            _ => return Err(unreadable()),
        }
    }
    Ok(())
}
