//! CDN provider `tencent`: Tencent Cloud CDN, with its settings.
//!
//! Purges and preloads are tasks, a row per URL; there is no key against double submission, so the task list is looked at after
//! a lost answer. Quotas are of an area and of a day of China. Verified against the vendor's SDK and signature vectors, never
//! against the live service.

mod api;
mod domains;
mod figures;
mod series;
mod tasks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use pilothouse_core::Result;
use pilothouse_core::cdn::check_cdn_name;
use pilothouse_core::ports::{
    AreaFigure, Batch, CallLimits, Capabilities, CdnProvider, Clock, Figures, LogContent, LogFile, Operation,
    Prefix, ProviderError, Quota, Rate, RemoteTask, Repeat, ServedDomain, Submissions, SystemClock,
    TaskState,
};
use serde::Deserialize;

use self::api::Api;
use crate::SecretSource;
use crate::signing::AccessKey;
use crate::vendor::{Endpoint, FiguresFrom, VendorClient, check_share, china, whole_share};

/// Endpoint of accounts of the Chinese site. Those of the international one have another.
const ENDPOINT: &str = "https://cdn.tencentcloudapi.com";
/// Most URLs of one purge or preload job: the limit of one API request.
const MAX_JOB: usize = 1000;
/// Areas, in which purges, quotas and figures are apart. A domain is in one or, as [`GLOBAL`], in both.
const AREAS: [&str; 2] = ["mainland", "overseas"];
const GLOBAL: &str = "global";
/// Form of times, which are of China.
const TIME: &str = "%Y-%m-%d %H:%M:%S";

/// Settings of a CDN of kind `tencent`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TencentSettings {
    /// CDN name, as users see it: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Id of the access key.
    pub secret_id: SecretSource,
    /// Secret of the access key.
    pub secret_key: SecretSource,
    /// Base URL of the API: `https`, or `http` on this machine; `https://cdn.tencentcloudapi.com` by default.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Source of its traffic. With [`FiguresFrom::Logs`] the vendor is not asked, and logs may be ingested instead: the two do
    /// not agree, and would be added up.
    #[serde(default)]
    pub figures: FiguresFrom,
    /// Percent of each quota of a day that one customer may use: 1 to 100, 100 by default.
    #[serde(default = "whole_share")]
    pub share_per_customer: u8,
}

/// CDN provider for Tencent Cloud CDN: purges URLs and directories, preloads, and knows domains, traffic, regions, logs and
/// quotas.
#[derive(Debug)]
pub struct Tencent {
    api: Api,
    clock: Arc<dyn Clock>,
    capabilities: Capabilities,
    /// Areas of the domains as they were listed last.
    areas: Mutex<HashMap<String, String>>,
}

impl Tencent {
    /// Creates the provider. Refuses settings outside the limits of [`TencentSettings`]; sends nothing.
    pub fn new(settings: TencentSettings) -> Result<Self> {
        let TencentSettings { name, secret_id, secret_key, endpoint, figures, share_per_customer } = settings;
        check_cdn_name("cdn.name", &name)?;
        check_share(share_per_customer)?;
        let id = secret_id.read("cdn.secret_id")?;
        let secret = secret_key.read("cdn.secret_key")?;
        let endpoint = Endpoint::new("cdn.endpoint", endpoint.as_deref().unwrap_or(ENDPOINT))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let api = Api::new(VendorClient::new(&name)?, endpoint, AccessKey::new(id, secret), clock.clone());
        Ok(Self {
            api,
            clock,
            capabilities: capabilities(name)
                .with_series(figures == FiguresFrom::Vendor)
                .with_logs(figures == FiguresFrom::Vendor)
                .with_share_per_customer(share_per_customer),
            areas: Mutex::default(),
        })
    }
}

fn capabilities(name: String) -> Capabilities {
    // 20 calls a second are allowed. A bucket of tokens lets through its burst beside what the second brings.
    let rate = Some(Rate { calls: 16, period: Duration::from_secs(1), burst: 2 });
    let limits = |items| CallLimits::items(items).with_rate(rate);
    Capabilities::vendor(name, Repeat::LookFirst)
        .with_vendor_kind("tencent")
        .with_purge_urls(true)
        .with_purge_prefix(Prefix::Directory)
        .with_preload(true)
        .with_list_domains(true)
        .with_purge_batch(MAX_JOB)
        .with_preload_batch(MAX_JOB)
        .with_limits(Operation::PurgeUrls, limits(1000))
        .with_limits(Operation::PurgePrefixes, limits(500))
        .with_limits(Operation::Preload, limits(500))
        .with_areas(true)
        .with_quota(true)
}

/// A time as the vendor writes it.
fn china_time(at: DateTime<Utc>) -> String {
    at.with_timezone(&china()).format(TIME).to_string()
}

/// Reads a time of the vendor.
fn parse_china_time(text: &str) -> Option<DateTime<Utc>> {
    let local = chrono::NaiveDateTime::parse_from_str(text, TIME).ok()?;
    Some(local.and_local_timezone(china()).single()?.to_utc())
}

#[async_trait]
impl CdnProvider for Tencent {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        self.submit_task(batch).await
    }

    async fn poll(&self, tasks: &[RemoteTask]) -> Result<Vec<TaskState>, ProviderError> {
        let mut states = Vec::with_capacity(tasks.len());
        for task in tasks {
            states.push(self.task_state(task).await?);
        }
        Ok(states)
    }

    async fn find(&self, batch: &Batch) -> Result<Vec<Option<String>>, ProviderError> {
        self.find_tasks(batch).await
    }

    /// The area of each host: its quotas are apart, and a preload says which it is for.
    async fn groups(&self, hosts: &[String]) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        self.areas_of(hosts).await
    }

    async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        self.active_services().await
    }

    async fn series(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        self.traffic(domains, from, to).await
    }

    /// The vendor counts to the end of the day of China in which `to` is.
    async fn areas(
        &self,
        domain: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<AreaFigure>, ProviderError> {
        self.regions(domain, from, to).await
    }

    async fn logs(&self, domain: &str, day: NaiveDate) -> Result<Vec<LogFile>, ProviderError> {
        self.log_files(domain, day).await
    }

    async fn log_content(&self, file: &LogFile) -> Result<LogContent, ProviderError> {
        self.api.client.file(&file.link).await
    }

    async fn quota(&self) -> Result<Vec<Quota>, ProviderError> {
        self.quotas().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_china() {
        let at: DateTime<Utc> = "2026-07-25T17:20:00Z".parse().unwrap();
        assert_eq!(china_time(at), "2026-07-26 01:20:00");
        assert_eq!(parse_china_time("2026-07-26 01:20:00"), Some(at));
        assert_eq!(parse_china_time("2026-07-26T01:20:00Z"), None);
    }
}
