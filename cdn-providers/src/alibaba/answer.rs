//! Answers of Alibaba Cloud CDN. Figures come as texts in most of them, and as numbers in some.

use chrono::{DateTime, Utc};
use pilothouse_core::ports::ItemState;
use serde::{Deserialize, Deserializer};

use crate::vendor::words;

/// Number that may come as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Integer(i64),
    Float(f64),
    Text(String),
}

/// Reads a percentage that may come as a text.
fn percentage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Either::deserialize(deserializer)? {
        #[expect(clippy::cast_precision_loss, reason = "a percentage is small")]
        Either::Integer(value) => Ok(value as f64),
        Either::Float(value) => Ok(value),
        Either::Text(text) => text.trim().parse().map_err(serde::de::Error::custom),
    }
}

/// Reads a whole number that may come as a text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let value = match Either::deserialize(deserializer)? {
        Either::Integer(value) => return Ok(value),
        Either::Float(value) => value,
        Either::Text(text) => match text.trim().parse::<i64>() {
            Ok(value) => return Ok(value),
            Err(_) => text.trim().parse().map_err(serde::de::Error::custom)?,
        },
    };
    #[expect(clippy::cast_possible_truncation, reason = "byte counts that an API writes as floats are whole")]
    Ok(value.round() as i64)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UserDomains {
    pub(super) domains: Domains,
    pub(super) total_count: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Domains {
    pub(super) page_data: Vec<Domain>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Domain {
    pub(super) domain_name: String,
    pub(super) domain_status: String,
    /// Where it is served: `domestic`, `overseas` or `global`.
    #[serde(default)]
    pub(super) coverage: String,
    /// Kind of its content, such as `web`.
    #[serde(default)]
    pub(super) cdn_type: String,
}

impl Domain {
    /// Whether it is served. One that is being configured anew goes on being served.
    pub(super) fn is_served(&self) -> bool {
        matches!(self.domain_status.as_str(), "online" | "configuring")
    }
}

/// Answer to a purge: ids joined by commas.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RefreshAnswer {
    pub(super) refresh_task_id: String,
}

/// Answer to a preload: ids joined by commas.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PushAnswer {
    pub(super) push_task_id: String,
}

/// Tasks by id.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TasksById {
    pub(super) tasks: Vec<Task>,
}

/// A page of tasks by domain and time.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TaskPage {
    pub(super) tasks: TaskList,
    pub(super) total_count: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct TaskList {
    #[serde(rename = "CDNTask")]
    pub(super) rows: Vec<Task>,
}

/// State of one URL of a task.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Task {
    pub(super) task_id: String,
    pub(super) object_path: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) process: String,
    pub(super) creation_time: DateTime<Utc>,
    #[serde(default)]
    pub(super) description: String,
}

impl Task {
    pub(super) fn state(&self) -> ItemState {
        let reason = match words(&self.description) {
            text if text.is_empty() => "the vendor says no more than that it failed".to_owned(),
            text => text,
        };
        match self.status.as_str() {
            "Complete" => ItemState::Done,
            // What the origin answered to the vendor does not change by asking again.
            "Failed" if self.description.contains("StatusCode") => ItemState::Refused(reason),
            "Failed" => ItemState::Failed(reason),
            _ => ItemState::Running(self.percent()),
        }
    }

    /// Whole percent of the progress, below 100 while it goes on.
    fn percent(&self) -> Option<u8> {
        let whole = self.process.trim_end_matches('%').split('.').next()?;
        whole.parse().ok().map(|percent: u8| percent.min(99))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QuotaAnswer {
    #[serde(deserialize_with = "number")]
    pub(super) url_quota: i64,
    #[serde(deserialize_with = "number")]
    pub(super) url_remain: i64,
    #[serde(deserialize_with = "number")]
    pub(super) dir_quota: i64,
    #[serde(deserialize_with = "number")]
    pub(super) dir_remain: i64,
    #[serde(deserialize_with = "number")]
    pub(super) preload_quota: i64,
    #[serde(deserialize_with = "number")]
    pub(super) preload_remain: i64,
}

/// Answer whose figures are by intervals.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ByInterval<T> {
    /// Length of a bucket in seconds.
    #[serde(deserialize_with = "number")]
    pub(super) data_interval: i64,
    #[serde(flatten)]
    pub(super) figures: T,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrafficAnswer {
    pub(super) traffic_data_per_interval: TrafficData,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrafficData {
    pub(super) data_module: Vec<TrafficRow>,
}

/// Bytes of one bucket.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrafficRow {
    /// Begin of the bucket.
    pub(super) time_stamp: DateTime<Utc>,
    #[serde(deserialize_with = "number")]
    pub(super) value: i64,
}

/// Answers by status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CodesAnswer {
    pub(super) http_code_data: CodeData,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CodeData {
    pub(super) usage_data: Vec<CodesRow>,
}

/// Answers of one bucket.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CodesRow {
    pub(super) time_stamp: DateTime<Utc>,
    pub(super) value: Codes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Codes {
    #[serde(default)]
    pub(super) code_proportion_data: Vec<CodeCount>,
}

/// Number of answers with one status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CodeCount {
    pub(super) code: String,
    #[serde(deserialize_with = "number")]
    pub(super) count: i64,
}

/// Hits by requests.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RequestHitRatesAnswer {
    pub(super) req_hit_rate_interval: RateData,
}

/// Bytes of hits by bytes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HitRatesAnswer {
    pub(super) hit_rate_interval: RateData,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RateData {
    pub(super) data_module: Vec<RateRow>,
}

/// Percentage of one bucket.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RateRow {
    pub(super) time_stamp: DateTime<Utc>,
    #[serde(deserialize_with = "percentage")]
    pub(super) value: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LogsAnswer {
    pub(super) domain_log_details: LogDetails,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LogDetails {
    pub(super) domain_log_detail: Vec<LogDetail>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LogDetail {
    pub(super) log_infos: LogInfos,
    pub(super) page_infos: PageInfos,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LogInfos {
    pub(super) log_info_detail: Vec<LogInfo>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PageInfos {
    #[serde(deserialize_with = "number")]
    pub(super) total: i64,
}

/// File of a log, usually of an hour.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LogInfo {
    pub(super) log_name: String,
    /// Link without its scheme.
    pub(super) log_path: String,
    #[serde(deserialize_with = "number")]
    pub(super) log_size: i64,
    pub(super) start_time: DateTime<Utc>,
    pub(super) end_time: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_texts_and_as_numbers() {
        let quota = r#"{"UrlQuota": "10000", "UrlRemain": 9999, "DirQuota": 100.0, "DirRemain": "99.4",
            "PreloadQuota": " 1000", "PreloadRemain": 0, "RegexQuota": "20"}"#;
        let quota: QuotaAnswer = serde_json::from_str(quota).unwrap();
        assert_eq!((quota.url_quota, quota.url_remain), (10_000, 9999));
        assert_eq!((quota.dir_quota, quota.dir_remain), (100, 99));
        assert_eq!((quota.preload_quota, quota.preload_remain), (1000, 0));
        assert!(serde_json::from_str::<PageInfos>(r#"{"Total": "many"}"#).is_err());
    }

    #[test]
    fn a_task_s_state_is_read() {
        for (status, process, description, expected) in [
            ("Pending", "0%", "", ItemState::Running(Some(0))),
            ("Refreshing", "99.37%", "", ItemState::Running(Some(99))),
            ("Refreshing", "100%", "", ItemState::Running(Some(99))),
            ("Refreshing", "", "", ItemState::Running(None)),
            ("Complete", "100%", "", ItemState::Done),
            ("Failed", "100%", "Internal\nerror", ItemState::Failed("Internal error".to_owned())),
            (
                "Failed",
                "100%",
                "Origin Return StatusCode 5XX",
                ItemState::Refused("Origin Return StatusCode 5XX".to_owned()),
            ),
        ] {
            let task = Task {
                task_id: "1".to_owned(),
                object_path: "https://a.example.com/".to_owned(),
                status: status.to_owned(),
                process: process.to_owned(),
                creation_time: DateTime::UNIX_EPOCH,
                description: description.to_owned(),
            };
            assert_eq!(task.state(), expected, "{status} {process}");
        }
    }
}
