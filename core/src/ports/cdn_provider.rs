//! A content delivery network: what it can do, and how to tell it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

/// What became of each URL of a call, in the order of the call.
pub type Outcomes = Vec<Result<(), ProviderError>>;

/// What a provider can do. The engine asks before it calls, so that nothing is promised that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an ability of its own")]
pub struct Capabilities {
    /// Purges single URLs.
    pub purge_urls: bool,
    /// Purges everything that begins with a URL, asked for by a `*` at its end.
    pub purge_prefix: bool,
    /// Fetches URLs before anybody asks for them.
    pub preload: bool,
    /// Knows which domains it serves. Where it does not, it serves whatever domains customers are given.
    pub list_domains: bool,
    /// The most URLs in one purge job, 1 or more.
    pub purge_batch: usize,
    /// The most URLs in one preload job, 1 or more.
    pub preload_batch: usize,
    /// The most URLs a second, over all edges together; `None` where there is no such limit.
    pub urls_per_second: Option<u32>,
    /// Where every URL has to arrive. A vendor that hides its edges has one, by its own name.
    pub edges: Vec<String>,
}

/// Why a provider did not do it. The texts are shown to customers: no secret, no internal address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// This provider never can.
    #[error("{provider} cannot {operation}")]
    Unsupported {
        /// The provider's name.
        provider: String,
        /// What was asked: `purge`, `preload`, `list domains`.
        operation: &'static str,
    },
    /// It could not be reached, did not answer in time, or asked to slow down.
    #[error("{0}")]
    Unavailable(String),
    /// It answered, and the answer was no.
    #[error("{0}")]
    Refused(String),
}

impl ProviderError {
    /// Whether the same call may succeed later.
    pub fn may_be_retried(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A URL to be purged; one that ends in `*` with everything that begins with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Purge {
    /// The URL.
    pub url: String,
    /// Greater than that of every purge of the same host that was accepted before on the same cdn: 16 digits.
    pub stamp: i64,
}

/// One content delivery network.
///
/// A provider only speaks: the engine cuts batches, calls the edges side by side, tries again and remembers. Every call
/// may be repeated after a crash, so purging or preloading twice must do no harm. A partial failure is the normal
/// shape of an answer; the outer error means that no URL of the call was dealt with. A call should end by itself; after
/// two minutes the engine drops it.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait CdnProvider: Debug + Send + Sync + 'static {
    /// What it can do, which does not change while it lives.
    fn capabilities(&self) -> &Capabilities;

    /// Removes URLs from the cache of one of its edges. Confirmed means that the edge will not answer with what it held or
    /// was fetching before.
    async fn purge(&self, edge: &str, purges: &[Purge]) -> Result<Outcomes, ProviderError>;

    /// Has one of its edges fetch URLs into its cache. Confirmed means that it holds them.
    async fn preload(&self, edge: &str, urls: &[String]) -> Result<Outcomes, ProviderError>;

    /// The domains it serves, in lower case.
    async fn domains(&self) -> Result<Vec<String>, ProviderError>;
}

/// What an edge says of itself when a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello {
    /// It holds to everything it ever confirmed.
    Remembers,
    /// It may have forgotten purges that it confirmed, and still hold what they were of.
    Forgot,
    /// It is in a session of this number, and begins only one of a greater.
    Later(i64),
}

/// Edges that answer from their cache only while they are told to.
///
/// Such an edge has at most one session, by a number that only grows. Within it, it is granted a lease, and the lease is
/// renewed; one that ended is never renewed, since the edge may have missed purges: then a new session begins.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait EdgeControl: Debug + Send + Sync + 'static {
    /// Begins a session. `epoch` is the number under which the edge was put in service: what an edge cached under
    /// another, it does not use.
    async fn hello(&self, edge: &str, session: i64, epoch: i64) -> Result<Hello, ProviderError>;

    /// Grants a session's lease; whether the edge is in this session.
    async fn grant(&self, edge: &str, session: i64) -> Result<bool, ProviderError>;

    /// Renews it; false where the edge is not in this session, or the lease has ended.
    async fn renew(&self, edge: &str, session: i64) -> Result<bool, ProviderError>;
}

/// The providers by the name of their cdn. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Providers(
    Arc<BTreeMap<String, Arc<dyn CdnProvider>>>,
    Arc<BTreeMap<String, Arc<dyn EdgeControl>>>,
);

impl Providers {
    /// The provider of a cdn.
    pub fn get(&self, cdn: &str) -> Option<&Arc<dyn CdnProvider>> {
        self.0.get(cdn)
    }

    /// The same providers, of which these have edges that need leases.
    #[must_use]
    pub fn with_controls(self, controls: BTreeMap<String, Arc<dyn EdgeControl>>) -> Self {
        Self(self.0, Arc::new(controls))
    }

    /// The leases of a cdn's edges, where they need any.
    pub fn control(&self, cdn: &str) -> Option<&Arc<dyn EdgeControl>> {
        self.1.get(cdn)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<dyn CdnProvider>)> {
        self.0.iter().map(|(name, provider)| (name.as_str(), provider))
    }
}

impl FromIterator<(String, Arc<dyn CdnProvider>)> for Providers {
    fn from_iter<I: IntoIterator<Item = (String, Arc<dyn CdnProvider>)>>(providers: I) -> Self {
        Self(Arc::new(providers.into_iter().collect()), Arc::default())
    }
}
