//! Traffic by region: cities of what access logs tell of, provinces and countries of what vendors know.
//!
//! Vendors are asked when somebody asks, since nobody is billed by it. Whatever has no region is one row without a level, so the
//! rows add up to the total even where a vendor fails.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::bucket::{BUCKET_SECONDS, Bucket};
use super::city::{City, Reaches, reaches};
use super::series::{Traffic, TrafficQuery, flux_sums};
use crate::account::Caller;
use crate::cdn::customers::{Domain, DomainState, ids};
use crate::cdn::identifier::DomainId;
use crate::ports::{AreaFigure, AreaLevel, CdnProvider, ProviderError, Repositories};
use crate::{Pilothouse, Result};

/// Time limit of a vendor's calls for one query, below that of a request.
const VENDOR_LIMIT: Duration = Duration::from_secs(20);

/// Traffic that went to one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionRow {
    /// Kind of the region; `None` for what has none.
    pub level: Option<AreaLevel>,
    /// English name where there is one; `Unknown` for what has no region.
    pub name: String,
    /// Chinese name, or the other one; `未知` for what has no region.
    pub name_cn: String,
    /// Bytes sent there.
    pub flux: i64,
}

/// Failure of a cdn to tell regions. Its bytes are among those without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionFailure {
    /// Name of the cdn.
    pub cdn: String,
    /// Reason, in words that customers may read.
    pub reason: String,
}

/// Traffic by region, and what could not be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions {
    /// A row per region with traffic, largest first.
    pub rows: Vec<RegionRow>,
    /// The cdns that could not tell all regions, by name.
    pub failures: Vec<RegionFailure>,
}

/// Domains of a query on one vendor.
struct VendorDomains {
    cdn: String,
    provider: Arc<dyn CdnProvider>,
    /// Those that the vendor serves.
    domains: Vec<String>,
    /// Bytes of all the domains, as the vendor told them by 5 minutes.
    total: i64,
    from: DateTime<Utc>,
    /// End of what the vendor knows of the range.
    to: DateTime<Utc>,
}

/// Answer of a vendor about its domains.
#[derive(Default)]
struct VendorAreas {
    figures: Vec<AreaFigure>,
    failure: Option<ProviderError>,
}

/// Bytes by level, English and Chinese name.
#[derive(Default)]
struct Sums {
    regions: BTreeMap<(AreaLevel, String, String), i64>,
    unknown: i64,
}

impl Sums {
    fn add(&mut self, level: AreaLevel, name: String, name_cn: String, flux: i64) {
        let sum = self.regions.entry((level, name, name_cn)).or_default();
        *sum = sum.saturating_add(flux);
    }

    /// Adds what a vendor told, and what is missing in it to its total. Regions that are told of whole days are more than the
    /// total of a part of one, and count by their share.
    fn add_vendor(&mut self, figures: Vec<AreaFigure>, total: i64) {
        let told: i128 = figures.iter().map(|figure| i128::from(figure.bytes.max(0))).sum();
        let mut rest = total;
        for AreaFigure { name, level, bytes } in figures {
            let bytes = share(bytes, total, told);
            if !name.is_empty() && bytes > 0 {
                rest = rest.saturating_sub(bytes);
                self.add(level, name.clone(), name, bytes);
            }
        }
        self.unknown = self.unknown.saturating_add(rest);
    }

    fn into_rows(self) -> Vec<RegionRow> {
        let named = self.regions.into_iter().map(|((level, name, name_cn), flux)| RegionRow {
            level: Some(level),
            name,
            name_cn,
            flux,
        });
        let mut rows: Vec<_> = named.collect();
        let (name, name_cn) = ("Unknown".to_owned(), "未知".to_owned());
        rows.push(RegionRow { level: None, name, name_cn, flux: self.unknown });
        rows.retain(|row| row.flux > 0);
        rows.sort_by(|a, b| b.flux.cmp(&a.flux).then_with(|| a.name.cmp(&b.name)));
        rows
    }
}

impl Traffic<'_> {
    /// Bytes per region over a range, largest first; several domains added up. At most 31 days and 30 domains.
    ///
    /// What logs tell of is told by city, as [`Traffic::fluxs_area`] does; what a vendor tells by 5 minutes by the regions that
    /// it tells, asked of it now and until it knows all. A vendor that fails is named, and hides nothing of the others.
    pub async fn regions(&self, caller: &Caller, query: &TrafficQuery) -> Result<Regions> {
        let mut snapshot = self.0.storage().read().await?;
        let (domains, buckets) = self.asked_areas(&mut *snapshot, caller, query).await?;
        let mut sums = Sums::default();
        let mut failures = Vec::new();
        let mut vendors = Vec::new();
        let mut own: Vec<DomainId> = Vec::new();
        for cdn in snapshot.cdns().list().await? {
            let of_cdn: Vec<_> = domains.iter().filter(|domain| domain.cdn_id == cdn.id).cloned().collect();
            if of_cdn.is_empty() {
                continue;
            }
            // Where the traffic comes from logs, so do its cities.
            let vendor = self.0.providers().get(&cdn.name).filter(|one| one.capabilities().series);
            if let Some(provider) = vendor {
                let asked =
                    self.0.vendor_domains(&mut *snapshot, cdn.name, provider, &of_cdn, buckets.clone());
                vendors.push(asked.await?);
                continue;
            }
            own.extend(ids(&of_cdn));
            if !self.0.settings().geo_city_database {
                let reason = "no city database is set up (geo_city_database)".to_owned();
                failures.push(RegionFailure { cdn: cdn.name, reason });
            }
        }
        if !own.is_empty() {
            let Reaches { cities, unknown } = reaches(&mut *snapshot, &own, buckets).await?;
            let known: Vec<_> = cities.keys().copied().collect();
            for (id, City { name, name_cn, .. }) in snapshot.cities().by_ids(&known).await? {
                let flux = cities.get(&id).map_or(0, |reach| reach.sum);
                sums.add(AreaLevel::City, name, name_cn, flux);
            }
            sums.unknown = unknown.sum;
        }
        drop(snapshot);
        let answers = join_all(vendors.iter().map(VendorDomains::areas)).await;
        for (VendorDomains { cdn, total, .. }, VendorAreas { figures, failure }) in
            vendors.iter().zip(answers)
        {
            sums.add_vendor(figures, *total);
            if let Some(error) = failure {
                failures.push(RegionFailure { cdn: cdn.clone(), reason: error.to_string() });
            }
        }
        failures.sort_by(|a, b| a.cdn.cmp(&b.cdn));
        Ok(Regions { rows: sums.into_rows(), failures })
    }
}

impl Pilothouse {
    /// Questions to a vendor about its domains.
    async fn vendor_domains(
        &self,
        repositories: &mut dyn Repositories,
        cdn: String,
        provider: &Arc<dyn CdnProvider>,
        domains: &[Domain],
        buckets: RangeInclusive<Bucket>,
    ) -> Result<VendorDomains> {
        let known = repositories.vendor_figures().find(&cdn).await?;
        let from = begin_of(*buckets.start());
        let known_until = known.map_or(from, |known| known.known_until);
        let to = begin_of(*buckets.end() + 1).min(known_until);
        let fluxs = flux_sums(repositories, &ids(domains), buckets).await?;
        let total = fluxs.into_iter().fold(0, i64::saturating_add);
        let active = domains.iter().filter(|domain| domain.state == DomainState::Active);
        let domains = active.map(|domain| domain.name.clone()).collect();
        Ok(VendorDomains { cdn, provider: Arc::clone(provider), domains, total, from, to })
    }
}

impl VendorDomains {
    /// Asks the vendor about one domain after the other, until one fails.
    async fn areas(&self) -> VendorAreas {
        let mut areas = VendorAreas::default();
        if self.from >= self.to || self.total == 0 {
            return areas;
        }
        if !self.provider.capabilities().areas {
            areas.failure = Some(ProviderError::Unsupported {
                provider: self.cdn.clone(),
                operation: "tell traffic by region",
            });
            return areas;
        }
        let deadline = Instant::now() + VENDOR_LIMIT;
        for domain in &self.domains {
            match timeout_at(deadline, self.provider.areas(domain, self.from, self.to)).await {
                Ok(Ok(figures)) => areas.figures.extend(figures),
                Ok(Err(error)) => areas.failure = Some(error),
                Err(_) => {
                    let reason = format!("no answer within {} s", VENDOR_LIMIT.as_secs());
                    areas.failure = Some(ProviderError::Unavailable(reason));
                }
            }
            if let Some(error) = &areas.failure {
                tracing::warn!(cdn = self.cdn, domain, %error, "a vendor did not tell its regions");
                break;
            }
        }
        areas
    }
}

/// Bytes of a region as a share of the total, where the vendor told more than that.
fn share(bytes: i64, total: i64, told: i128) -> i64 {
    let bytes = bytes.max(0);
    if told <= i128::from(total) {
        return bytes;
    }
    i64::try_from(i128::from(bytes) * i128::from(total) / told).unwrap_or(i64::MAX)
}

/// Begin of a bucket.
fn begin_of(bucket: Bucket) -> DateTime<Utc> {
    DateTime::from_timestamp(bucket * BUCKET_SECONDS, 0).unwrap_or_default()
}
