//! Zones of a Cloudflare account: which zone a host is in, and the names that the vendor serves.

use std::collections::BTreeMap;
use std::time::Duration;

use pilothouse_core::ports::{ProviderError, ServedDomain};

use super::Cloudflare;
use super::answer::{RecordRow, ZoneRow};
use crate::vendor::lock;

/// Time for which a list of zones is used.
const CACHE: Duration = Duration::from_mins(10);
/// Rows of a page of zones.
const ZONES_PER_PAGE: usize = 50;
/// Rows of a page of records.
const RECORDS_PER_PAGE: usize = 100;
/// Most pages that are read of one list, so that a vendor that repeats itself is not asked for ever.
const MAX_PAGES: usize = 200;

/// Zone that the vendor serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) id: String,
    pub(super) name: String,
    /// Plan that it is served by.
    plan: String,
}

/// Zones, and when they were listed by the clock that is never set.
#[derive(Clone, Debug)]
pub(super) struct KnownZones {
    zones: Vec<Zone>,
    at: Duration,
}

impl Cloudflare {
    /// Id of each host's zone. A host that is in no known zone has the list read again, once.
    pub(super) async fn zones_of(
        &self,
        hosts: &[String],
    ) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        let now = self.clock.monotonic();
        let known = lock(&self.zones).clone().filter(|known| now.saturating_sub(known.at) < CACHE);
        if let Some(known) = known {
            let ids: Option<Vec<_>> = hosts
                .iter()
                .map(|host| zone_of(&known.zones, host).map(|zone| Ok(zone.id.clone())))
                .collect();
            if let Some(ids) = ids {
                return Ok(ids);
            }
        }
        let zones = self.list_zones().await?;
        let id = |host: &String| match zone_of(&zones, host) {
            Some(zone) => Ok(zone.id.clone()),
            None => Err(ProviderError::NotYours(format!("{host} is in no zone of the account"))),
        };
        Ok(hosts.iter().map(id).collect())
    }

    /// Names that the vendor serves, in their zones: of records that it is a proxy of.
    pub(super) async fn proxied_names(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        let mut names = BTreeMap::new();
        for zone in self.list_zones().await? {
            let path = format!("/zones/{}/dns_records", zone.id);
            for page in 1..=MAX_PAGES {
                let query = format!("page={page}&per_page={RECORDS_PER_PAGE}&proxied=true");
                let answer = self.api.get::<Vec<RecordRow>>(&path, &query, self.clock.now()).await?;
                // A wildcard is no name that a customer could be given.
                let rows = answer.result.into_iter().filter(|row| row.proxied && !row.name.starts_with('*'));
                names.extend(rows.map(|row| {
                    let domain = row.name.to_ascii_lowercase();
                    let (group, service) = (zone.name.clone(), zone.plan.clone());
                    (domain.clone(), ServedDomain { domain, group, service })
                }));
                if answer.result_info.is_none_or(|info| page >= info.total_pages) {
                    break;
                }
            }
        }
        Ok(names.into_values().collect())
    }

    async fn list_zones(&self) -> Result<Vec<Zone>, ProviderError> {
        let mut zones = Vec::new();
        for page in 1..=MAX_PAGES {
            let query = format!("page={page}&per_page={ZONES_PER_PAGE}&status=active");
            let answer = self.api.get::<Vec<ZoneRow>>("/zones", &query, self.clock.now()).await?;
            let rows = answer.result.into_iter().filter(ZoneRow::is_served);
            zones.extend(rows.map(|row| Zone {
                id: row.id,
                name: row.name.to_ascii_lowercase(),
                plan: row.plan.unwrap_or_default().legacy_id,
            }));
            if answer.result_info.is_none_or(|info| page >= info.total_pages) {
                break;
            }
        }
        *lock(&self.zones) = Some(KnownZones { zones: zones.clone(), at: self.clock.monotonic() });
        Ok(zones)
    }
}

/// Zone of a host: the most special of those whose name it ends in.
fn zone_of<'a>(zones: &'a [Zone], host: &str) -> Option<&'a Zone> {
    let is_in = |zone: &&Zone| {
        host.strip_suffix(zone.name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    zones.iter().filter(is_in).max_by_key(|zone| zone.name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_in_the_most_special_zone() {
        let zone =
            |name: &str| Zone { id: name.to_uppercase(), name: name.to_owned(), plan: "free".to_owned() };
        let zones = [zone("example.com"), zone("b.example.com"), zone("example.org")];
        for (host, expected) in [
            ("example.com", Some("EXAMPLE.COM")),
            ("a.example.com", Some("EXAMPLE.COM")),
            ("x.b.example.com", Some("B.EXAMPLE.COM")),
            ("badexample.com", None),
            ("example.net", None),
        ] {
            assert_eq!(zone_of(&zones, host).map(|zone| zone.id.as_str()), expected, "{host}");
        }
    }
}
