//! CDN provider `cloudfront`: distributions of Amazon CloudFront, with its settings.
//!
//! Purges are invalidations of one distribution, which have a key against double submission, and of all its domains: a path
//! has no host. Traffic and logs are of a distribution, too, so they are told only of a domain that has one for itself.
//! There is no preload. Verified against the vendor's SDK and signature vectors, never against the live service.

mod api;
mod distributions;
mod invalidations;
mod logs;
mod metrics;
mod xml;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use pilothouse_core::cdn::check_cdn_name;
use pilothouse_core::ports::{
    Batch, CallLimits, Capabilities, CdnProvider, Figures, LogContent, LogFile, Operation, Prefix,
    ProviderError, Rate, RemoteTask, Repeat, ServedDomain, Submissions, SystemClock, TaskState,
};
use pilothouse_core::{Result, check_text};
use serde::Deserialize;

use self::api::{Api, Service};
use self::distributions::KnownDistributions;
use crate::SecretSource;
use crate::signing::AccessKey;
use crate::vendor::{Endpoint, FiguresFrom, VendorClient};

/// Region of CloudFront and of its metrics.
const REGION: &str = "us-east-1";
/// Most URLs of one purge job: the limit of one API request.
const MAX_JOB: usize = 1000;
/// Paths, and paths that end in `*`, that a distribution works on at a time.
const PATHS_IN_PROGRESS: usize = 3000;
const WILDCARDS_IN_PROGRESS: usize = 15;

/// Settings of a CDN of kind `cloudfront`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CloudFrontSettings {
    /// CDN name, as users see it: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Id of the access key.
    pub access_key_id: SecretSource,
    /// Secret of the access key.
    pub secret_access_key: SecretSource,
    /// Bucket of the access logs, if the distributions' configuration does not name it.
    #[serde(default)]
    pub log_bucket: Option<String>,
    /// Begin of the logs' keys in `log_bucket`.
    #[serde(default)]
    pub log_prefix: Option<String>,
    /// Region of the bucket; `us-east-1` by default.
    #[serde(default)]
    pub log_region: Option<String>,
    /// Base URL of CloudFront: `https`, or `http` on this machine; `https://cloudfront.amazonaws.com` by default.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Base URL of CloudWatch; `https://monitoring.us-east-1.amazonaws.com` by default.
    #[serde(default)]
    pub monitoring_endpoint: Option<String>,
    /// Base URL of S3, under which buckets are paths; `https://s3.REGION.amazonaws.com` by default.
    #[serde(default)]
    pub s3_endpoint: Option<String>,
    /// Source of its traffic. With [`FiguresFrom::Logs`] the vendor is not asked, and logs may be ingested instead: the
    /// way for domains that share a distribution.
    #[serde(default)]
    pub figures: FiguresFrom,
}

/// CDN provider for Amazon CloudFront: purges paths and everything that begins with them, and knows domains, traffic and logs.
#[derive(Debug)]
pub struct CloudFront {
    api: Api,
    capabilities: Capabilities,
    /// Bucket of the logs and the begin of their keys, where the settings name it.
    log_place: Option<logs::Place>,
    /// Distributions as they were listed last.
    distributions: Mutex<Option<KnownDistributions>>,
}

impl CloudFront {
    /// Creates the provider. Refuses settings outside the limits of [`CloudFrontSettings`]; sends nothing.
    pub fn new(settings: CloudFrontSettings) -> Result<Self> {
        check_cdn_name("cdn.name", &settings.name)?;
        let id = settings.access_key_id.read("cdn.access_key_id")?;
        let secret = settings.secret_access_key.read("cdn.secret_access_key")?;
        let log_region = settings.log_region.unwrap_or_else(|| REGION.to_owned());
        check_text("cdn.log_region", &log_region, 1, 64, false)?;
        if let Some(bucket) = &settings.log_bucket {
            check_text("cdn.log_bucket", bucket, 3, 63, false)?;
        }
        let endpoint = |setting, given: Option<String>, default: String| {
            Endpoint::new(setting, given.as_deref().unwrap_or(&default))
        };
        let cloudfront = "https://cloudfront.amazonaws.com".to_owned();
        let monitoring = format!("https://monitoring.{REGION}.amazonaws.com");
        let s3 = format!("https://s3.{log_region}.amazonaws.com");
        let service = |name, region: &str, endpoint| Service { name, region: region.to_owned(), endpoint };
        let api = Api {
            client: VendorClient::new(&settings.name)?,
            key: AccessKey::new(id, secret),
            clock: Arc::new(SystemClock),
            cloudfront: service(
                "cloudfront",
                REGION,
                endpoint("cdn.endpoint", settings.endpoint, cloudfront)?,
            ),
            monitoring: service(
                "monitoring",
                REGION,
                endpoint("cdn.monitoring_endpoint", settings.monitoring_endpoint, monitoring)?,
            ),
            s3: service("s3", &log_region, endpoint("cdn.s3_endpoint", settings.s3_endpoint, s3)?),
        };
        let prefix = settings.log_prefix.unwrap_or_default();
        let log_place = settings.log_bucket.map(|bucket| logs::Place { bucket, prefix });
        let has_series = settings.figures == FiguresFrom::Vendor;
        let capabilities = capabilities(settings.name).with_series(has_series).with_logs(has_series);
        let distributions = Mutex::default();
        Ok(Self { api, capabilities, log_place, distributions })
    }
}

fn capabilities(name: String) -> Capabilities {
    // The vendor's own rate, of which users report an unknown burst beside it.
    let rate = Some(Rate { calls: 1, period: Duration::from_secs(2), burst: 5 });
    let limits = |items| CallLimits::items(items).with_rate(rate).with_in_flight(Some(items));
    Capabilities::vendor(name, Repeat::Keyed)
        .with_vendor_kind("cloudfront")
        .with_purge_urls(true)
        .with_purge_prefix(Prefix::Any)
        .with_list_domains(true)
        .with_purge_batch(MAX_JOB)
        .with_limits(Operation::PurgeUrls, limits(PATHS_IN_PROGRESS))
        .with_limits(Operation::PurgePrefixes, limits(WILDCARDS_IN_PROGRESS))
}

#[async_trait]
impl CdnProvider for CloudFront {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        self.invalidate(batch).await
    }

    async fn poll(&self, tasks: &[RemoteTask]) -> Result<Vec<TaskState>, ProviderError> {
        self.poll_invalidations(tasks).await
    }

    /// Distributions: an invalidation is of one.
    async fn groups(&self, hosts: &[String]) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        self.distributions_of(hosts).await
    }

    async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        self.served_names().await
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
}
