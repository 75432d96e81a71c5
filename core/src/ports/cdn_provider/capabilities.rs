//! Capabilities of a provider, and the limits of its calls.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Batch, Operation};

/// Capabilities of a provider. The engine asks before it calls, so that nothing is promised that cannot be kept.
///
/// ```
/// use pilothouse_core::ports::{Capabilities, Prefix};
///
/// let can = Capabilities::new(["edge-1", "edge-2"]).with_purge_urls(true).with_purge_batch(1000);
/// assert!(!can.preload, "whatever is not set is not possible");
/// assert_eq!(can.purge_prefix, Prefix::Never);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an ability of its own")]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether it is a vendor's API: its batches are durable rows, one server at a time speaks for all, and its limits
    /// hold. Else its edges are called directly, by every server and side by side, where a repeat does no harm.
    pub is_vendor: bool,
    /// Kind of the vendor, as metrics name it, such as `tencent`; `other` unless it is set.
    pub vendor_kind: &'static str,
    /// Whether it purges single URLs.
    pub purge_urls: bool,
    /// Prefixes that it purges, requested by a `*` at the end of a URL.
    pub purge_prefix: Prefix,
    /// Whether it purges what carries a tag.
    pub purge_tags: bool,
    /// Whether it fetches URLs into its cache before anybody asks for them.
    pub preload: bool,
    /// Whether it lists the domains it serves. One that does not serves whatever domains customers are given.
    pub list_domains: bool,
    /// Those of them that are known without asking it, as its settings list them.
    pub known_domains: Vec<String>,
    /// Limit of URLs in one purge job, 1 or more.
    pub purge_batch: usize,
    /// Limit of URLs in one preload job, 1 or more.
    pub preload_batch: usize,
    /// Limit of URLs per second, over all edges together; `None` for no limit.
    pub urls_per_second: Option<u32>,
    /// Names of the edges that every URL has to reach. A vendor that hides its edges has one, by its own name.
    pub edges: Vec<String>,
    /// Effect of a batch that a vendor gets twice.
    pub repeat: Repeat,
    /// Limits of a vendor's calls. An operation without an entry has the default.
    pub limits: BTreeMap<Operation, CallLimits>,
    /// Whether it knows the traffic of its domains by 5 minutes.
    pub series: bool,
    /// Whether it knows the traffic of its domains by region.
    pub areas: bool,
    /// Whether it lists the access logs of its domains, which are then fetched and kept for download.
    pub logs: bool,
    /// Whether it tells what is left of its quotas.
    pub quota: bool,
    /// Percent of each quota of a day that one customer may use, 1 to 100: 100.
    pub share_per_customer: u8,
}

impl Default for Capabilities {
    /// No edges and no abilities, one URL per job, no limit per second.
    fn default() -> Self {
        Self {
            is_vendor: false,
            vendor_kind: "other",
            purge_urls: false,
            purge_prefix: Prefix::Never,
            purge_tags: false,
            preload: false,
            list_domains: false,
            known_domains: Vec::new(),
            purge_batch: 1,
            preload_batch: 1,
            urls_per_second: None,
            edges: Vec::new(),
            repeat: Repeat::Free,
            limits: BTreeMap::new(),
            series: false,
            areas: false,
            logs: false,
            quota: false,
            share_per_customer: 100,
        }
    }
}

/// Declares setters, each with its documentation.
macro_rules! setters {
    ($($(#[$doc:meta])* $setter:ident, $field:ident: $type:ty;)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $setter(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        })*
    };
}

impl Capabilities {
    /// The default with these edges.
    pub fn new(edges: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { edges: edges.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The default of a vendor, which hides its edges behind this name.
    pub fn vendor(name: impl Into<String>, repeat: Repeat) -> Self {
        Self { is_vendor: true, repeat, ..Self::new([name]) }
    }

    setters! {
        /// Sets the kind of the vendor, as metrics name it.
        with_vendor_kind, vendor_kind: &'static str;
        /// Sets whether it purges single URLs.
        with_purge_urls, purge_urls: bool;
        /// Sets which prefixes it purges.
        with_purge_prefix, purge_prefix: Prefix;
        /// Sets whether it purges by tag.
        with_purge_tags, purge_tags: bool;
        /// Sets whether it preloads.
        with_preload, preload: bool;
        /// Sets whether it lists the domains it serves.
        with_list_domains, list_domains: bool;
        /// Sets the limit of URLs in one purge job.
        with_purge_batch, purge_batch: usize;
        /// Sets the limit of URLs in one preload job.
        with_preload_batch, preload_batch: usize;
        /// Sets whether it knows traffic by 5 minutes.
        with_series, series: bool;
        /// Sets whether it knows traffic by region.
        with_areas, areas: bool;
        /// Sets whether it lists access logs.
        with_logs, logs: bool;
        /// Sets whether it tells its quotas.
        with_quota, quota: bool;
        /// Sets the percentage of each quota of a day that one customer may use.
        with_share_per_customer, share_per_customer: u8;
    }

    /// Sets the domains that it is known to serve.
    #[must_use]
    pub fn with_known_domains(mut self, domains: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.known_domains = domains.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the limit of URLs per second.
    #[must_use]
    pub fn with_urls_per_second(mut self, urls: u32) -> Self {
        self.urls_per_second = Some(urls);
        self
    }

    /// Sets the limits of an operation's calls.
    #[must_use]
    pub fn with_limits(mut self, operation: Operation, limits: CallLimits) -> Self {
        self.limits.insert(operation, limits);
        self
    }

    /// Whether an operation is possible.
    pub fn does(&self, operation: Operation) -> bool {
        match operation {
            Operation::PurgeUrls => self.purge_urls,
            Operation::PurgePrefixes => self.purge_prefix != Prefix::Never,
            Operation::PurgeTags => self.purge_tags,
            Operation::Preload => self.preload,
        }
    }

    /// Limits of an operation's calls.
    pub fn limits(&self, operation: Operation) -> CallLimits {
        self.limits.get(&operation).copied().unwrap_or_default()
    }
}

/// Prefixes that a provider purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Prefix {
    /// None.
    Never,
    /// Any: `…/img-*`.
    Any,
    /// Those that end in a slash: `…/img/*`.
    Directory,
    /// Those that end where a path segment does, and hold no query: `…/img/*`.
    PathBorder,
}

impl Prefix {
    /// Refuses a URL that ends in `*` where the provider cannot purge it, with what it can instead.
    pub fn check(self, url: &str) -> Result<(), &'static str> {
        let prefix = url.strip_suffix('*').unwrap_or(url);
        let ends_at_border = prefix.ends_with('/') && !prefix.contains('?');
        match self {
            Self::Never => Err("cannot purge by prefix: no URL may end in *"),
            Self::Any => Ok(()),
            Self::Directory | Self::PathBorder if ends_at_border => Ok(()),
            Self::Directory => {
                Err("purges directories only: a URL that ends in * must end in /* and hold no ?")
            }
            Self::PathBorder => {
                Err("purges prefixes at path borders only: a URL that ends in * must end in /* and hold no ?")
            }
        }
    }
}

/// Effect of a batch that a vendor gets twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Repeat {
    /// It is done twice, at no cost.
    Free,
    /// It is done once: [`Batch::id`] is the vendor's key against double submission.
    Keyed,
    /// It is done twice and charged twice. After a lost answer [`super::CdnProvider::find`] is asked first.
    LookFirst,
}

/// Limits of one operation's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallLimits {
    /// Items of one call, 1 or more: 1.
    pub items: usize,
    /// Rate of calls: no limit.
    pub rate: Option<Rate>,
    /// Items that the vendor works on at a time: no limit.
    pub in_flight: Option<usize>,
    /// Bytes of all the items of a call together: no limit.
    pub bytes: Option<usize>,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { items: 1, rate: None, in_flight: None, bytes: None }
    }
}

impl CallLimits {
    /// The default with so many items a call.
    pub fn items(items: usize) -> Self {
        Self { items, ..Self::default() }
    }

    setters! {
        /// Sets the rate of calls.
        with_rate, rate: Option<Rate>;
        /// Sets how many items the vendor works on at a time.
        with_in_flight, in_flight: Option<usize>;
        /// Sets the bytes of a call's items.
        with_bytes, bytes: Option<usize>;
    }

    /// Whether a batch is within the limits of a call.
    pub fn admits(&self, batch: &Batch) -> bool {
        let bytes: usize = batch.items.iter().map(|item| item.url.len()).sum();
        batch.items.len() <= self.items && self.bytes.is_none_or(|most| bytes <= most)
    }
}

/// Rate of calls, as a bucket of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls that the period brings, 1 or more.
    pub calls: u32,
    /// The period.
    pub period: Duration,
    /// Calls that a full bucket allows at once, 1 or more.
    pub burst: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_refused_with_what_is_possible() {
        for prefix in [Prefix::Directory, Prefix::PathBorder] {
            assert_eq!(prefix.check("https://a.test/img/*"), Ok(()));
            assert!(prefix.check("https://a.test/img-*").unwrap_err().contains("/*"));
            assert!(prefix.check("https://a.test/?x=/*").is_err());
        }
        assert_eq!(Prefix::Any.check("https://a.test/img-*"), Ok(()));
        assert!(Prefix::Never.check("https://a.test/*").is_err());
    }
}
