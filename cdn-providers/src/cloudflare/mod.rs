//! CDN provider `cloudflare`: zones of Cloudflare, with its settings.
//!
//! A purge is done with its answer: there are no tasks, and a purge that is sent twice costs nothing but a call. There is no
//! preload. Traffic is estimated by the vendor from samples. Verified against the vendor's SDK, never against the live service.

mod answer;
mod api;
mod budget;
mod figures;
mod purge;
mod zones;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::check_cdn_name;
use pilothouse_core::ports::{
    AreaFigure, Batch, CallLimits, Capabilities, CdnProvider, Clock, Figures, Operation, Prefix,
    ProviderError, Rate, Repeat, ServedDomain, Submissions, SystemClock,
};
use pilothouse_core::{Error, Result};
use serde::Deserialize;

use self::api::Api;
use self::figures::Range;
use self::zones::KnownZones;
use crate::SecretSource;
use crate::vendor::{Endpoint, FiguresFrom, VendorClient};

/// Endpoint of the API.
const ENDPOINT: &str = "https://api.cloudflare.com";
/// Most URLs of one purge job: the limit of one API request.
const MAX_JOB: usize = 1000;
/// Items of one purge that every plan allows.
const PURGE_ITEMS: usize = 100;
/// Items of one purge that some plan allows.
const MAX_PURGE_ITEMS: usize = 500;

/// Settings of a CDN of kind `cloudflare`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CloudflareSettings {
    /// CDN name, as users see it: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// API token with the rights Zone Read, DNS Read, Cache Purge and Analytics Read.
    pub api_token: SecretSource,
    /// Plan of the account, which decides how many purges a second it may make.
    #[serde(default)]
    pub plan: CloudflarePlan,
    /// Items of one purge, 1 to 500; 100 by default, which every plan is documented to allow.
    #[serde(default)]
    pub purge_items: Option<usize>,
    /// Base URL of the API without its path: `https`, or `http` on this machine; `https://api.cloudflare.com` by default.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Source of its traffic. With [`FiguresFrom::Logs`] the vendor is not asked, and logs may be ingested instead.
    #[serde(default)]
    pub figures: FiguresFrom,
}

/// Plan of a Cloudflare account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CloudflarePlan {
    /// 5 purges a minute, 25 at once.
    #[default]
    Free,
    /// 5 purges a second, 25 at once.
    Pro,
    /// 10 purges a second, 50 at once.
    Business,
    /// 50 purges a second, 500 at once.
    Enterprise,
}

impl CloudflarePlan {
    fn rate(self) -> Rate {
        let (calls, period, burst) = match self {
            Self::Free => (5, Duration::from_mins(1), 25),
            Self::Pro => (5, Duration::from_secs(1), 25),
            Self::Business => (10, Duration::from_secs(1), 50),
            Self::Enterprise => (50, Duration::from_secs(1), 500),
        };
        Rate { calls, period, burst }
    }
}

/// CDN provider for Cloudflare: purges URLs, prefixes at path borders and tags, and knows domains, traffic and its countries.
#[derive(Debug)]
pub struct Cloudflare {
    api: Api,
    clock: Arc<dyn Clock>,
    capabilities: Capabilities,
    /// Zones as they were listed last.
    zones: Mutex<Option<KnownZones>>,
    /// Limits of what the account may ask of its traffic, as they were told last.
    range: Mutex<Option<Range>>,
}

impl Cloudflare {
    /// Creates the provider. Refuses settings outside the limits of [`CloudflareSettings`]; sends nothing.
    pub fn new(settings: CloudflareSettings) -> Result<Self> {
        let CloudflareSettings { name, api_token, plan, purge_items, endpoint, figures } = settings;
        check_cdn_name("cdn.name", &name)?;
        let items = purge_items.unwrap_or(PURGE_ITEMS);
        if !(1..=MAX_PURGE_ITEMS).contains(&items) {
            let reason = format!("must be between 1 and {MAX_PURGE_ITEMS}, not {items}");
            return Err(Error::invalid("cdn.purge_items", reason));
        }
        let api = Api::new(
            VendorClient::new(&name)?,
            Endpoint::new("cdn.endpoint", endpoint.as_deref().unwrap_or(ENDPOINT))?,
            api_token.read("cdn.api_token")?,
        );
        let limits = CallLimits::items(items).with_rate(Some(plan.rate()));
        let others = CallLimits::items(items.min(PURGE_ITEMS)).with_rate(Some(plan.rate()));
        let capabilities = Capabilities::vendor(name, Repeat::Free)
            .with_vendor_kind("cloudflare")
            .with_purge_urls(true)
            .with_purge_prefix(Prefix::PathBorder)
            .with_purge_tags(true)
            .with_list_domains(true)
            .with_purge_batch(MAX_JOB)
            .with_limits(Operation::PurgeUrls, limits)
            .with_limits(Operation::PurgePrefixes, others)
            .with_limits(Operation::PurgeTags, others)
            .with_series(figures == FiguresFrom::Vendor)
            .with_areas(true);
        let (clock, zones, range) = (Arc::new(SystemClock), Mutex::default(), Mutex::default());
        Ok(Self { api, clock, capabilities, zones, range })
    }
}

#[async_trait]
impl CdnProvider for Cloudflare {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        self.purge(batch).await
    }

    /// Zones: a purge is of one zone.
    async fn groups(&self, hosts: &[String]) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        self.zones_of(hosts).await
    }

    async fn services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        self.proxied_names().await
    }

    async fn series(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        self.traffic(domains, from, to).await
    }

    async fn areas(
        &self,
        domain: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<AreaFigure>, ProviderError> {
        self.countries(domain, from, to).await
    }
}
