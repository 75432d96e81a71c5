//! Traffic, logs and quotas of Alibaba Cloud CDN.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use pilothouse_core::ports::{Figure, Figures, LogFile, Operation, ProviderError, Quota};

use super::answer::{LogsAnswer, QuotaAnswer, TrafficAnswer};
use super::api::stamp;
use super::{Alibaba, MAX_PAGES};
use crate::vendor::{buckets_end, next_midnight};

/// Longest range of one call for buckets of 5 minutes.
const MAX_RANGE: TimeDelta = TimeDelta::days(3);
/// Time after which the traffic of 5 minutes is complete.
const LAG: TimeDelta = TimeDelta::minutes(15);
/// Length of a bucket in seconds.
const BUCKET: i64 = 300;
/// Calls that are under way at a time, so that a pull of many domains ends in time and far below the 100 calls a second
/// that are allowed.
const CONCURRENT_CALLS: usize = 4;
/// Rows of a page of log files.
const LOGS_PER_PAGE: usize = 1000;

impl Alibaba {
    /// Traffic by 5 minutes, a call per domain: several domains in one would be one sum.
    pub(super) async fn traffic(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        let known_until = buckets_end(self.api.clock.now() - LAG).min(to);
        let mut calls = Vec::new();
        for domain in domains {
            let mut begin = from;
            while begin < known_until {
                let end = (begin + MAX_RANGE).min(known_until);
                calls.push(self.traffic_of(domain, begin, end));
                begin = end;
            }
        }
        let found: Vec<_> = stream::iter(calls).buffered(CONCURRENT_CALLS).try_collect().await?;
        Ok(Figures { rows: found.concat(), known_until, estimated: false })
    }

    async fn traffic_of(
        &self,
        domain: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Figure>, ProviderError> {
        let (start, end, interval) = (stamp(from), stamp(to), BUCKET.to_string());
        let query =
            [("DomainName", domain), ("StartTime", &start), ("EndTime", &end), ("Interval", &interval)];
        let answer: TrafficAnswer = self.api.read("DescribeDomainTrafficData", &query).await?;
        // Rather than refuse a range that is too long for it, the vendor answers with longer buckets.
        if answer.data_interval != BUCKET {
            return Err(ProviderError::Refused(format!(
                "the vendor tells traffic by {} seconds instead of {BUCKET}",
                answer.data_interval
            )));
        }
        let rows = answer.traffic_data_per_interval.data_module.into_iter();
        // Whether the end belongs to a range is not documented.
        let rows = rows.filter(|row| row.value > 0 && row.time_stamp >= from && row.time_stamp < to);
        let rows = rows.map(|row| Figure::new(domain, row.time_stamp, row.value));
        Ok(rows.collect())
    }

    pub(super) async fn log_files(
        &self,
        domain: &str,
        day: NaiveDate,
    ) -> Result<Vec<LogFile>, ProviderError> {
        let from = day.and_time(NaiveTime::MIN).and_utc();
        let (start, end) = (stamp(from), stamp(from + TimeDelta::days(1)));
        let mut files = Vec::new();
        let mut seen = 0;
        for page in 1..=MAX_PAGES {
            let (page, size) = (page.to_string(), LOGS_PER_PAGE.to_string());
            let query = [
                ("DomainName", domain),
                ("StartTime", &start),
                ("EndTime", &end),
                ("PageNumber", &page),
                ("PageSize", &size),
            ];
            let answer: LogsAnswer = self.api.read("DescribeCdnDomainLogs", &query).await?;
            let Some(detail) = answer.domain_log_details.domain_log_detail.into_iter().next() else { break };
            let rows = detail.log_infos.log_info_detail;
            seen += rows.len();
            let is_last = rows.is_empty() || seen >= usize::try_from(detail.page_infos.total).unwrap_or(0);
            let of_day = rows.into_iter().filter(|row| row.start_time.date_naive() == day);
            files.extend(of_day.map(|row| LogFile {
                link: self.api.endpoint.link(&row.log_path),
                name: row.log_name,
                bytes: Some(row.log_size),
                from: row.start_time,
                until: row.end_time,
            }));
            if is_last {
                break;
            }
        }
        Ok(files)
    }

    pub(super) async fn quotas(&self) -> Result<Vec<Quota>, ProviderError> {
        let answer: QuotaAnswer = self.api.read("DescribeRefreshQuota", &[]).await?;
        let resets_at = next_midnight(self.api.clock.now());
        let quota = |operation, pool: &str, total, left| Quota {
            operation,
            pool: pool.to_owned(),
            groups: Vec::new(),
            total,
            left,
            resets_at,
        };
        Ok(vec![
            quota(Operation::PurgeUrls, "URLs", answer.url_quota, answer.url_remain),
            quota(Operation::PurgePrefixes, "directories", answer.dir_quota, answer.dir_remain),
            quota(Operation::Preload, "preloads", answer.preload_quota, answer.preload_remain),
        ])
    }
}
