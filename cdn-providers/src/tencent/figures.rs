//! Traffic by 5 minutes and by region, and the files of access logs.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use pilothouse_core::ports::{AreaFigure, AreaLevel, Figure, Figures, LogFile, ProviderError};
use serde::Deserialize;
use serde_json::json;

use super::{AREAS, GLOBAL, TIME, Tencent, china_time, parse_china_time};
use crate::vendor::buckets_end;

/// Most domains of one call for figures, and most days.
const DOMAINS: usize = 30;
const DAYS: TimeDelta = TimeDelta::days(31);
/// Length of a bucket.
const BUCKET: TimeDelta = TimeDelta::minutes(5);
/// Age from which on a bucket is taken as whole. The vendor tells no lag.
const LAG: TimeDelta = TimeDelta::minutes(15);
/// Rows of a page of log files, and most pages that are read.
const PAGE: usize = 1000;
const MAX_PAGES: usize = 20;

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
    detail_data: Vec<Point>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Point {
    time: String,
    value: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Top {
    data: Vec<TopOfDomain>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TopOfDomain {
    detail_data: Vec<TopRow>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TopRow {
    name: String,
    value: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogPage {
    total_count: usize,
    domain_logs: Vec<LogRow>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogRow {
    start_time: String,
    end_time: String,
    log_path: String,
    log_name: String,
    file_size: Option<i64>,
}

/// A count that the vendor writes as a float.
#[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and counts are whole")]
fn count(value: f64) -> i64 {
    value.round() as i64
}

/// Counts by domain and bucket.
type Counts = BTreeMap<(String, DateTime<Utc>), i64>;

impl Tencent {
    pub(super) async fn traffic(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        let known_until = buckets_end(self.clock.now() - LAG).min(to);
        let mut bytes = Counts::new();
        let mut requests = Counts::new();
        for domains in domains.chunks(DOMAINS) {
            let mut begin = from;
            while begin < to {
                let end = (begin + DAYS).min(to);
                for area in AREAS {
                    self.add_counts("flux", area, domains, (begin, end), &mut bytes).await?;
                    self.add_counts("request", area, domains, (begin, end), &mut requests).await?;
                }
                begin = end;
            }
        }
        for key in requests.keys() {
            bytes.entry(key.clone()).or_insert(0);
        }
        let rows = bytes.into_iter().map(|((domain, bucket), bytes)| {
            let requests = Some(requests.get(&(domain.clone(), bucket)).copied().unwrap_or(0));
            Figure { requests, ..Figure::new(domain, bucket, bytes) }
        });
        Ok(Figures { rows: rows.collect(), known_until, estimated: false })
    }

    /// Adds what one metric says of an area. Both ends of the vendor's range are included.
    async fn add_counts(
        &self,
        metric: &str,
        area: &str,
        domains: &[String],
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        counts: &mut Counts,
    ) -> Result<(), ProviderError> {
        let time = |at: DateTime<Utc>| at.format(TIME).to_string();
        let asked = json!({
            "StartTime": time(from), "EndTime": time(to - BUCKET), "TimeZone": "UTC+00:00", "Metric": metric,
            "Domains": domains, "Interval": "5min", "Detail": true, "Area": area,
        });
        let series: Series = self.api.read("DescribeCdnData", &asked).await?;
        for of_domain in series.data {
            let domain = of_domain.resource.to_ascii_lowercase();
            for point in of_domain.cdn_data.into_iter().flat_map(|of_metric| of_metric.detail_data) {
                let bucket = NaiveDateTime::parse_from_str(&point.time, TIME);
                let unreadable =
                    |_| ProviderError::Unavailable("a time of the vendor cannot be read".to_owned());
                let bucket = bucket.map_err(unreadable)?.and_utc();
                let value = count(point.value);
                if value > 0 && bucket >= from && bucket < to {
                    *counts.entry((domain.clone(), bucket)).or_insert(0) += value;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn regions(
        &self,
        domain: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<AreaFigure>, ProviderError> {
        let of_domain = self.area_of(domain).await?;
        let mut figures = Vec::new();
        for area in AREAS.into_iter().filter(|area| of_domain == *area || of_domain == GLOBAL) {
            let mut asked = json!({
                "StartTime": china_time(from), "EndTime": china_time(to - TimeDelta::seconds(1)),
                "Metric": "district", "Filter": "flux", "Domains": [domain], "Detail": true, "Area": area,
            });
            let level = if area == "mainland" { AreaLevel::Province } else { AreaLevel::Country };
            if level == AreaLevel::Country {
                // Where the client is, not where the edge is.
                asked["AreaType"] = "client".into();
            }
            let top: Top = self.api.read("ListTopData", &asked).await?;
            let rows = top.data.into_iter().flat_map(|of_domain| of_domain.detail_data);
            figures.extend(rows.map(|row| AreaFigure { name: row.name, level, bytes: count(row.value) }));
        }
        Ok(figures)
    }

    pub(super) async fn log_files(
        &self,
        domain: &str,
        day: NaiveDate,
    ) -> Result<Vec<LogFile>, ProviderError> {
        let begin = day.and_time(NaiveTime::MIN).and_utc();
        let end =
            day.checked_add_days(Days::new(1)).map_or(begin, |next| next.and_time(NaiveTime::MIN).and_utc());
        let mut files: Vec<LogFile> = Vec::new();
        let mut read = 0;
        for _ in 0..MAX_PAGES {
            let asked = json!({
                "Domain": domain, "StartTime": china_time(begin), "EndTime": china_time(end - TimeDelta::seconds(1)),
                "Offset": read, "Limit": PAGE, "Area": GLOBAL,
            });
            let page: LogPage = self.api.read("DescribeCdnDomainLogs", &asked).await?;
            read += page.domain_logs.len();
            let is_last = page.domain_logs.is_empty() || read >= page.total_count;
            for row in page.domain_logs {
                let times = (parse_china_time(&row.start_time), parse_china_time(&row.end_time));
                let (Some(from), Some(until)) = times else { continue };
                if from >= begin && from < end {
                    let LogRow { log_name: name, log_path: link, file_size: bytes, .. } = row;
                    files.push(LogFile { name, link, bytes, from, until });
                }
            }
            if is_last {
                break;
            }
        }
        Ok(files)
    }
}
