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

    /// Removes URLs from the cache of one of its edges; one that ends in `*` with everything that begins with it.
    async fn purge(&self, edge: &str, urls: &[String]) -> Result<Outcomes, ProviderError>;

    /// Has one of its edges fetch URLs into its cache.
    async fn preload(&self, edge: &str, urls: &[String]) -> Result<Outcomes, ProviderError>;

    /// The domains it serves, in lower case.
    async fn domains(&self) -> Result<Vec<String>, ProviderError>;
}

/// The providers by the name of their cdn. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Providers(Arc<BTreeMap<String, Arc<dyn CdnProvider>>>);

impl Providers {
    /// The provider of a cdn.
    pub fn get(&self, cdn: &str) -> Option<&Arc<dyn CdnProvider>> {
        self.0.get(cdn)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<dyn CdnProvider>)> {
        self.0.iter().map(|(name, provider)| (name.as_str(), provider))
    }
}

impl FromIterator<(String, Arc<dyn CdnProvider>)> for Providers {
    fn from_iter<I: IntoIterator<Item = (String, Arc<dyn CdnProvider>)>>(providers: I) -> Self {
        Self(Arc::new(providers.into_iter().collect()))
    }
}
