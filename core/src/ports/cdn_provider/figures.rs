//! Figures, logs and quotas that a provider knows.

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;

use super::{Operation, ProviderError};

/// Traffic of domains by 5 minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Traffic of the buckets in which there was any. A bucket that is absent was without traffic where it ends before
    /// `known_until`, and is unknown after.
    pub rows: Vec<Figure>,
    /// End of the last bucket of which the provider knows all.
    pub known_until: DateTime<Utc>,
    /// Whether they are estimates, such as from samples, which nobody is billed by.
    pub estimated: bool,
}

/// Traffic of one domain in 5 minutes. What the provider does not know of it is `None`, and leaves stored what was known
/// before.
///
/// ```
/// use pilothouse_core::ports::Figure;
///
/// let row = Figure { hits: Some(8), ..Figure::new("cdn.example.com", Default::default(), 151_012) };
/// assert_eq!((row.bytes, row.hits, row.classes), (151_012, Some(8), None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Domain, in lower case.
    pub domain: String,
    /// Begin of the 5 minutes, a multiple of 300 s.
    pub bucket: DateTime<Utc>,
    /// Bytes sent to clients.
    pub bytes: i64,
    /// Bytes among these that were sent from the cache.
    pub hit_bytes: Option<i64>,
    /// Number of requests.
    pub requests: Option<i64>,
    /// Requests among these that were answered from the cache.
    pub hits: Option<i64>,
    /// Answers by class of status: 2xx, 3xx, 4xx, 5xx.
    pub classes: Option<[i64; 4]>,
}

impl Figure {
    /// Bytes of a domain in the 5 minutes that begin at `bucket`, of which nothing else is known.
    pub fn new(domain: impl Into<String>, bucket: DateTime<Utc>, bytes: i64) -> Self {
        let domain = domain.into();
        Self { domain, bucket, bytes, hit_bytes: None, requests: None, hits: None, classes: None }
    }
}

/// Traffic that went to one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaFigure {
    /// Name of the region, in English where the provider has one.
    pub name: String,
    /// Kind of the region.
    pub level: AreaLevel,
    /// Bytes sent there.
    pub bytes: i64,
}

/// Kind of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AreaLevel {
    /// A city.
    City,
    /// A province, state or special administrative region.
    Province,
    /// A country.
    Country,
}

impl AreaLevel {
    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::City => "city",
            Self::Province => "province",
            Self::Country => "country",
        }
    }
}

/// A domain that a provider serves, as it is filed there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServedDomain {
    /// Domain, in lower case.
    pub domain: String,
    /// Name of the group that it is in, such as an area, a zone or a distribution; empty where there are none.
    pub group: String,
    /// Service or plan that it is served by, in the words of the provider; empty where it names none.
    pub service: String,
}

impl ServedDomain {
    /// A domain without a group and a service.
    pub fn new(domain: impl Into<String>) -> Self {
        Self { domain: domain.into(), group: String::new(), service: String::new() }
    }
}

/// A file of an access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Name, unique among the files of the domain.
    pub name: String,
    /// Link to its content, gzip-compressed. It may hold a signature, and is not shown to anybody.
    pub link: String,
    /// Compressed bytes, where they are known.
    pub bytes: Option<i64>,
    /// Begin of the time that it is of.
    pub from: DateTime<Utc>,
    /// End of that time.
    pub until: DateTime<Utc>,
}

/// Content of an access log: a gzip file, in pieces.
pub type LogContent = BoxStream<'static, Result<Vec<u8>, ProviderError>>;

/// Rest of a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Operation that it is spent by, an item at a time.
    pub operation: Operation,
    /// Name, in the words of the vendor, such as an area.
    pub pool: String,
    /// Groups whose batches spend it, as [`super::CdnProvider::groups`] names them; empty for all.
    pub groups: Vec<String>,
    /// Items of a whole day.
    pub total: i64,
    /// Items that are left.
    pub left: i64,
    /// Time at which it begins anew, the same whenever it is asked on one day.
    pub resets_at: DateTime<Utc>,
}
