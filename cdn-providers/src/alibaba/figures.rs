//! Logs and quotas of Alibaba Cloud CDN.

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use pilothouse_core::ports::{LogFile, Operation, ProviderError, Quota};

use super::answer::{LogsAnswer, QuotaAnswer};
use super::api::stamp;
use super::{Alibaba, MAX_PAGES};
use crate::vendor::next_midnight;

/// Rows of a page of log files.
const LOGS_PER_PAGE: usize = 1000;

impl Alibaba {
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
