//! Traffic by region, and the files of access logs.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use pilothouse_core::ports::{AreaFigure, AreaLevel, LogFile, ProviderError};
use serde::Deserialize;
use serde_json::json;

use super::{AREAS, GLOBAL, Tencent, china_time, parse_china_time};

/// Rows of a page of log files, and most pages that are read.
const PAGE: usize = 1000;
const MAX_PAGES: usize = 20;

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
pub(super) fn count(value: f64) -> i64 {
    value.round() as i64
}

impl Tencent {
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
