//! Distributions of a CloudFront account: which one a host is of, and the names that the vendor serves.

use std::time::Duration;

use pilothouse_core::ports::{CdnProvider as _, ProviderError, ServedDomain};

use super::CloudFront;
use super::api::Call;
use super::xml::Element;
use crate::signing::canonical_query;
use crate::vendor::{lock, of_reading, unreadable};

/// Path of the list of distributions, and of what belongs to one.
pub(super) const DISTRIBUTIONS: &str = "/2020-05-31/distribution";
/// Time for which a list of distributions is used.
const CACHE: Duration = Duration::from_mins(10);
/// Rows of a page.
const PER_PAGE: &str = "100";
/// Most pages that are read of one list, so that a vendor that repeats itself is not asked for ever.
const MAX_PAGES: usize = 200;

/// Distribution that the vendor serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Distribution {
    pub(super) id: String,
    /// The vendor's own name for it.
    name: String,
    /// Names of the account, which may begin with `*.`.
    aliases: Vec<String>,
}

impl Distribution {
    /// Reads a summary; `None` of one that is not served.
    fn read(summary: &Element) -> Option<Self> {
        if summary.text(&["Enabled"]) != "true" || summary.text(&["Staging"]) == "true" {
            return None;
        }
        let items = summary.child("Aliases").and_then(|aliases| aliases.child("Items"));
        let aliases = items.into_iter().flat_map(|items| items.all("CNAME"));
        Some(Self {
            id: summary.text(&["Id"]).to_owned(),
            name: summary.text(&["DomainName"]).to_ascii_lowercase(),
            aliases: aliases.map(|alias| alias.own_text().to_ascii_lowercase()).collect(),
        })
    }

    /// Length of the name by which it serves a host: the longest wins, an exact one over all.
    fn serves(&self, host: &str) -> Option<usize> {
        let length = |alias: &String| match alias.strip_prefix('*') {
            Some(end) if host.len() > end.len() && host.ends_with(end) => Some(end.len()),
            None if alias == host => Some(usize::MAX),
            _ => None,
        };
        self.aliases.iter().chain([&self.name]).filter_map(length).max()
    }

    /// Whether all its traffic is of one domain.
    fn is_only_of(&self, domain: &str) -> bool {
        match self.aliases.as_slice() {
            [] => self.name == domain,
            [alias] => alias == domain,
            _ => false,
        }
    }
}

/// Distributions, and when they were listed by the clock that is never set.
#[derive(Clone, Debug)]
pub(super) struct KnownDistributions {
    distributions: Vec<Distribution>,
    at: Duration,
}

impl CloudFront {
    /// Id of each host's distribution. A host that is of no known one has the list read again, once.
    pub(super) async fn distributions_of(
        &self,
        hosts: &[String],
    ) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        let found = self.distributions_by_host(hosts).await?;
        Ok(found.into_iter().map(|found| found.map(|distribution| distribution.id)).collect())
    }

    /// Id of the distribution that a domain has for itself. What the vendor counts and logs is of a distribution.
    pub(super) async fn own_distribution(
        &self,
        domain: &str,
        operation: &'static str,
    ) -> Result<String, ProviderError> {
        let found = self.distributions_by_host(&[domain.to_owned()]).await?;
        let distribution = found.into_iter().next().ok_or_else(|| unreadable(200))??;
        if distribution.is_only_of(domain) {
            return Ok(distribution.id);
        }
        Err(self.unsupported(operation))
    }

    /// Names that the vendor serves, each with its distribution.
    pub(super) async fn served_names(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        let mut served = Vec::new();
        for Distribution { id, name, aliases } in self.list_distributions().await? {
            // A wildcard is no name that a customer could be given.
            let names = aliases.into_iter().chain([name]);
            let names = names.filter(|name| !name.is_empty() && !name.starts_with('*'));
            let of = |domain| ServedDomain { domain, group: id.clone(), service: String::new() };
            served.extend(names.map(of));
        }
        served.sort();
        Ok(served)
    }

    async fn distributions_by_host(
        &self,
        hosts: &[String],
    ) -> Result<Vec<Result<Distribution, ProviderError>>, ProviderError> {
        let now = self.api.clock.monotonic();
        let known = lock(&self.distributions).clone();
        let known = known.filter(|known| now.saturating_sub(known.at) < CACHE);
        if let Some(known) = known {
            let found = find_all(&known.distributions, hosts);
            if found.iter().all(Result::is_ok) {
                return Ok(found);
            }
        }
        Ok(find_all(&self.list_distributions().await?, hosts))
    }

    async fn list_distributions(&self) -> Result<Vec<Distribution>, ProviderError> {
        let mut distributions = Vec::new();
        let mut marker = String::new();
        for _ in 0..MAX_PAGES {
            let mut query = vec![("MaxItems", PER_PAGE)];
            if !marker.is_empty() {
                query.push(("Marker", &marker));
            }
            let query = canonical_query(&query);
            let call = Call::get(DISTRIBUTIONS, &query);
            let list = self.api.xml(&self.api.cloudfront, call).await.map_err(of_reading)?;
            let items = list.child("Items").into_iter().flat_map(|items| items.all("DistributionSummary"));
            distributions.extend(items.filter_map(Distribution::read));
            let next = list.text(&["NextMarker"]);
            if list.text(&["IsTruncated"]) != "true" || next.is_empty() {
                break;
            }
            next.clone_into(&mut marker);
        }
        let at = self.api.clock.monotonic();
        *lock(&self.distributions) = Some(KnownDistributions { distributions: distributions.clone(), at });
        Ok(distributions)
    }
}

fn find_all(known: &[Distribution], hosts: &[String]) -> Vec<Result<Distribution, ProviderError>> {
    let find = |host: &String| {
        let serving = known.iter().filter_map(|one| Some((one.serves(host)?, one)));
        match serving.max_by_key(|(length, _)| *length) {
            Some((_, distribution)) => Ok(distribution.clone()),
            None => Err(ProviderError::NotYours(format!("{host} is of no distribution of the account"))),
        }
    };
    hosts.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(id: &str, aliases: &[&str]) -> Distribution {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Distribution { id: id.to_owned(), name: format!("{}.cloudfront.net", id.to_lowercase()), aliases }
    }

    #[test]
    fn a_host_is_of_the_distribution_with_the_most_special_name() {
        let known = [
            distribution("E1", &["*.example.com"]),
            distribution("E2", &["a.example.com", "*.b.example.com"]),
        ];
        for (host, expected) in [
            ("a.example.com", Some("E2")),
            ("c.example.com", Some("E1")),
            ("x.b.example.com", Some("E2")),
            ("e1.cloudfront.net", Some("E1")),
            ("example.com", None),
            (".example.com", None),
        ] {
            let found = find_all(&known, &[host.to_owned()]).remove(0);
            assert_eq!(found.as_ref().map(|one| one.id.as_str()).ok(), expected, "{host}");
        }
    }

    #[test]
    fn traffic_is_a_domain_s_only_where_no_other_shares_it() {
        assert!(distribution("E1", &["a.example.com"]).is_only_of("a.example.com"));
        assert!(distribution("E1", &[]).is_only_of("e1.cloudfront.net"));
        assert!(!distribution("E1", &["*.example.com"]).is_only_of("a.example.com"));
        assert!(!distribution("E1", &["a.example.com", "b.example.com"]).is_only_of("a.example.com"));
        assert!(!distribution("E1", &["a.example.com"]).is_only_of("e1.cloudfront.net"));
    }
}
