//! Domains of an account with their areas, and what is left of its quotas.

use std::collections::HashMap;

use pilothouse_core::ports::{Operation, ProviderError, Quota, ServedDomain};
use serde::Deserialize;
use serde_json::json;

use super::{GLOBAL, Tencent};
use crate::vendor::{lock, next_midnight};

/// Rows of a page, and most pages that are read, so that a vendor that repeats itself is not asked for ever.
const PAGE: usize = 1000;
const MAX_PAGES: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DomainPage {
    total_number: usize,
    domains: Vec<DomainRow>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DomainRow {
    domain: String,
    status: String,
    #[serde(default)]
    disable: String,
    area: String,
    #[serde(default)]
    service_type: String,
}

impl DomainRow {
    /// Whether it is served.
    fn is_active(&self) -> bool {
        self.status == "online" && matches!(self.disable.as_str(), "normal" | "")
    }

    /// Whether it may be purged: it is served, or its configuration is on its way.
    fn may_be_purged(&self) -> bool {
        matches!(self.status.as_str(), "online" | "processing")
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PurgeQuotas {
    url_purge: Vec<QuotaRow>,
    path_purge: Vec<QuotaRow>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PushQuotas {
    url_push: Vec<QuotaRow>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QuotaRow {
    area: String,
    total: i64,
    available: i64,
}

impl Tencent {
    async fn domain_rows(&self) -> Result<Vec<DomainRow>, ProviderError> {
        let mut rows: Vec<DomainRow> = Vec::new();
        for _ in 0..MAX_PAGES {
            let asked = json!({"Offset": rows.len(), "Limit": PAGE});
            let page: DomainPage = self.api.read("DescribeDomains", &asked).await?;
            let is_last = page.domains.is_empty() || rows.len() + page.domains.len() >= page.total_number;
            rows.extend(page.domains);
            if is_last {
                break;
            }
        }
        for row in &mut rows {
            row.domain.make_ascii_lowercase();
        }
        Ok(rows)
    }

    /// The domains that are served, in their areas.
    pub(super) async fn active_services(&self) -> Result<Vec<ServedDomain>, ProviderError> {
        let rows = self.domain_rows().await?.into_iter().filter(DomainRow::is_active);
        let served =
            |row: DomainRow| ServedDomain { domain: row.domain, group: row.area, service: row.service_type };
        Ok(rows.map(served).collect())
    }

    /// Areas of hosts. The domains are listed anew for every call: the caller remembers the answers.
    pub(super) async fn areas_of(
        &self,
        hosts: &[String],
    ) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        let areas = self.list_areas().await?;
        let not_served = || ProviderError::NotYours("the vendor does not serve the domain".to_owned());
        Ok(hosts.iter().map(|host| areas.get(host).cloned().ok_or_else(not_served)).collect())
    }

    /// Area of one host, as it was listed last.
    pub(super) async fn area_of(&self, host: &str) -> Result<String, ProviderError> {
        let known = lock(&self.areas).get(host).cloned();
        if let Some(area) = known {
            return Ok(area);
        }
        let not_served = || ProviderError::NotYours("the vendor does not serve the domain".to_owned());
        self.list_areas().await?.remove(host).ok_or_else(not_served)
    }

    /// Areas of the domains that may be purged, listed anew.
    pub(super) async fn list_areas(&self) -> Result<HashMap<String, String>, ProviderError> {
        let rows = self.domain_rows().await?.into_iter().filter(DomainRow::may_be_purged);
        let areas: HashMap<_, _> = rows.map(|row| (row.domain, row.area)).collect();
        lock(&self.areas).clone_from(&areas);
        Ok(areas)
    }

    pub(super) async fn quotas(&self) -> Result<Vec<Quota>, ProviderError> {
        let purges: PurgeQuotas = self.api.read("DescribePurgeQuota", &json!({})).await?;
        let pushes: PushQuotas = self.api.read("DescribePushQuota", &json!({})).await?;
        let resets_at = next_midnight(self.clock.now());
        let mut quotas = Vec::new();
        for (operation, what, rows) in [
            (Operation::PurgeUrls, "URL purges", purges.url_purge),
            (Operation::PurgePrefixes, "directory purges", purges.path_purge),
            (Operation::Preload, "preloads", pushes.url_push),
        ] {
            for QuotaRow { area, total, available } in rows {
                let pool = format!("{what} in {area}");
                // A domain in both areas spends both quotas.
                let groups = vec![area, GLOBAL.to_owned()];
                quotas.push(Quota { operation, pool, groups, total, left: available, resets_at });
            }
        }
        Ok(quotas)
    }
}
