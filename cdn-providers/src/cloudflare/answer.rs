//! Answers of Cloudflare's API and of its GraphQL.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// Envelope of every answer of the API.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) result: T,
    #[serde(default)]
    pub(super) result_info: Option<ResultInfo>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ResultInfo {
    pub(super) total_pages: usize,
}

/// Errors of the API, and of GraphQL, which have no code.
#[derive(Debug, Deserialize)]
pub(super) struct Errors {
    #[serde(default)]
    pub(super) errors: Option<Vec<ApiError>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) code: Option<i64>,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ZoneRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) paused: bool,
    #[serde(default)]
    pub(super) plan: Option<PlanRow>,
}

/// Plan of a zone.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PlanRow {
    /// Name of the plan, such as `free`.
    #[serde(default)]
    pub(super) legacy_id: String,
}

impl ZoneRow {
    /// Whether the vendor answers for the zone's names.
    pub(super) fn is_served(&self) -> bool {
        self.status == "active" && !self.paused
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordRow {
    pub(super) name: String,
    #[serde(default)]
    pub(super) proxied: bool,
}

/// Answer to a purge, which holds no more than the zone's id.
#[derive(Debug, Deserialize)]
pub(super) struct Purged {}

/// Answer of GraphQL: `data` is null where there are errors.
#[derive(Debug, Deserialize)]
pub(super) struct GraphQlAnswer {
    pub(super) data: Option<GraphQlData>,
}

#[derive(Debug, Deserialize)]
pub(super) struct GraphQlData {
    pub(super) viewer: Viewer,
}

#[derive(Debug, Deserialize)]
pub(super) struct Viewer {
    pub(super) zones: Vec<ZoneFigures>,
}

/// Groups of traffic of one zone, and its limits, of which a question names some.
#[derive(Debug, Deserialize)]
pub(super) struct ZoneFigures {
    /// All traffic that was asked for.
    #[serde(default)]
    pub(super) groups: Vec<Group>,
    /// Traffic among it that was answered from the cache.
    #[serde(default)]
    pub(super) hits: Vec<Group>,
    /// Traffic among it by class of status, here 2xx.
    #[serde(default)]
    pub(super) class2: Vec<Group>,
    #[serde(default)]
    pub(super) class3: Vec<Group>,
    #[serde(default)]
    pub(super) class4: Vec<Group>,
    #[serde(default)]
    pub(super) class5: Vec<Group>,
    #[serde(default)]
    pub(super) settings: BTreeMap<String, DataSetLimits>,
}

/// One sum of the figures of requests.
#[derive(Debug, Deserialize)]
pub(super) struct Group {
    pub(super) dimensions: Dimensions,
    pub(super) sum: Sum,
    #[serde(default)]
    pub(super) count: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dimensions {
    #[serde(default)]
    pub(super) datetime_five_minutes: Option<DateTime<Utc>>,
    #[serde(default, rename = "clientRequestHTTPHost")]
    pub(super) host: Option<String>,
    #[serde(default)]
    pub(super) client_country_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sum {
    pub(super) edge_response_bytes: i64,
}

/// Limits of the account's plan for a data set; times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataSetLimits {
    pub(super) max_duration: i64,
    pub(super) not_older_than: i64,
    pub(super) max_page_size: i64,
}
