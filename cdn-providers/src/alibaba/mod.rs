//! CDN provider `alibaba`: Alibaba Cloud CDN, with its settings.
//!
//! Purges and preloads are tasks, a row per URL; there is no key against double submission, so the task list is looked at after
//! a lost answer. Quotas are of a day of China. Verified against the vendor's SDK and signature vectors, never against the live
//! service.

mod answer;
mod api;
mod figures;
mod series;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use pilothouse_core::Result;
use pilothouse_core::cdn::check_cdn_name;
use pilothouse_core::ports::{
    Batch, CallLimits, Capabilities, CdnProvider, Figures, LogContent, LogFile, Operation, Prefix,
    ProviderError, Quota, RandomIds, Rate, RemoteTask, Repeat, ServedDomain, Submissions, SystemClock,
    TaskState,
};
use serde::Deserialize;

use self::answer::UserDomains;
use self::api::Api;
use crate::SecretSource;
use crate::signing::AccessKey;
use crate::vendor::{Endpoint, FiguresFrom, Pace, VendorClient, check_share, whole_share};

/// Endpoint of accounts of the Chinese site. Those of the international one have another.
const ENDPOINT: &str = "https://cdn.aliyuncs.com";
/// Most URLs of one purge or preload job: the limit of one API request.
const MAX_JOB: usize = 1000;
/// Rows of a page of domains.
const DOMAINS_PER_PAGE: usize = 500;
/// Most pages that are read of one list, so that a vendor that repeats itself is not asked for ever.
const MAX_PAGES: usize = 200;

/// Settings of a CDN of kind `alibaba`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AlibabaSettings {
    /// CDN name, as users see it: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Id of the access key.
    pub access_key_id: SecretSource,
    /// Secret of the access key.
    pub access_key_secret: SecretSource,
    /// Base URL of the API: `https`, or `http` on this machine; `https://cdn.aliyuncs.com` by default.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Source of its traffic. With [`FiguresFrom::Logs`] the vendor is not asked, and logs may be ingested instead.
    #[serde(default)]
    pub figures: FiguresFrom,
    /// Percent of each quota of a day that one customer may use: 1 to 100, 100 by default.
    #[serde(default = "whole_share")]
    pub share_per_customer: u8,
}

/// CDN provider for Alibaba Cloud CDN: purges URLs and directories, preloads, and knows domains, traffic, logs and quotas.
#[derive(Debug)]
pub struct Alibaba {
    api: Api,
    capabilities: Capabilities,
}

impl Alibaba {
    /// Creates the provider. Refuses settings outside the limits of [`AlibabaSettings`]; sends nothing.
    pub fn new(settings: AlibabaSettings) -> Result<Self> {
        let AlibabaSettings { name, access_key_id, access_key_secret, endpoint, figures, share_per_customer } =
            settings;
        check_cdn_name("cdn.name", &name)?;
        check_share(share_per_customer)?;
        let id = access_key_id.read("cdn.access_key_id")?;
        let secret = access_key_secret.read("cdn.access_key_secret")?;
        let api = Api {
            client: VendorClient::new(&name)?,
            endpoint: Endpoint::new("cdn.endpoint", endpoint.as_deref().unwrap_or(ENDPOINT))?,
            key: AccessKey::new(id, secret),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            pace: Pace::default(),
        };
        let capabilities = capabilities(name)
            .with_series(figures == FiguresFrom::Vendor)
            .with_logs(figures == FiguresFrom::Vendor)
            .with_share_per_customer(share_per_customer);
        Ok(Self { api, capabilities })
    }
}

fn capabilities(name: String) -> Capabilities {
    // 50 calls a second are allowed. A bucket of tokens lets through its burst beside what the second brings.
    let rate = Some(Rate { calls: 40, period: Duration::from_secs(1), burst: 10 });
    let limits = |items| CallLimits::items(items).with_rate(rate);
    Capabilities::vendor(name, Repeat::LookFirst)
        .with_vendor_kind("alibaba")
        .with_purge_urls(true)
        .with_purge_prefix(Prefix::Directory)
        .with_preload(true)
        .with_list_domains(true)
        .with_purge_batch(MAX_JOB)
        .with_preload_batch(MAX_JOB)
        .with_limits(Operation::PurgeUrls, limits(1000))
        .with_limits(Operation::PurgePrefixes, limits(100))
        .with_limits(Operation::Preload, limits(100))
        .with_quota(true)
}

#[async_trait]
impl CdnProvider for Alibaba {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        self.submit_tasks(batch).await
    }

    async fn poll(&self, tasks: &[RemoteTask]) -> Result<Vec<TaskState>, ProviderError> {
        self.poll_tasks(tasks).await
    }

    async fn find(&self, batch: &Batch) -> Result<Vec<Option<String>>, ProviderError> {
        self.find_tasks(batch).await
    }

    /// Each host is a group: a call takes 10 domains at most, and one domain that is being configured or was given up refuses
    /// the whole call.
    async fn groups(&self, hosts: &[String]) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        Ok(hosts.iter().cloned().map(Ok).collect())
    }

    async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        let (mut served, mut seen) = (Vec::new(), 0);
        for page in 1..=MAX_PAGES {
            let (page, size) = (page.to_string(), DOMAINS_PER_PAGE.to_string());
            let query = [("PageNumber", page.as_str()), ("PageSize", &size)];
            let answer: UserDomains = self.api.read("DescribeUserDomains", &query).await?;
            let rows = answer.domains.page_data;
            seen += rows.len();
            let is_last = rows.is_empty() || seen >= answer.total_count;
            let rows = rows.into_iter().filter(answer::Domain::is_served);
            served.extend(rows.map(|domain| ServedDomain {
                domain: domain.domain_name.to_ascii_lowercase(),
                group: domain.coverage,
                service: domain.cdn_type,
            }));
            if is_last {
                break;
            }
        }
        Ok(served)
    }

    async fn series(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        self.traffic(domains, from, to).await
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
