//! Figures of vendors: pulled from each that knows them, corrected as it corrects them, and known up to a time.
//!
//! A bucket has what the vendor says last: the difference to what is stored is added, so that series, bills and retention find
//! it like traffic of own edges. What the vendor does not know yet is not stored, least of all as 0.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error as StdError;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::timeout;

use super::bucket::{BUCKET_SECONDS, Bucket, Cell, Figures};
use super::figure_scan::{FigureSink, scan};
use crate::cdn::customers::{Domain, DomainState, ids};
use crate::cdn::identifier::{CdnId, DomainId};
use crate::ports::{self, CdnProvider, Figure, LockKey, ProviderError, Repositories, StorageResult};
use crate::{Pilothouse, Result};

/// Time that is read again with every pull, and once an hour: vendors complete and correct their figures.
const LOOK_BACK: TimeDelta = TimeDelta::hours(1);
const HOURLY_LOOK_BACK: TimeDelta = TimeDelta::hours(24);
/// Longest time that one pull reads, after a long stop.
const LONGEST_PULL: TimeDelta = TimeDelta::days(31);
/// Time after a pull in which other servers leave the vendor alone.
const FRESH: TimeDelta = TimeDelta::minutes(4);
/// Time limit of a pull.
const PULL_LIMIT: Duration = Duration::from_mins(2);

/// Knowledge of a vendor's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorFigures {
    /// Name of the cdn.
    pub cdn: String,
    /// End of the last bucket of which everything is known.
    pub known_until: DateTime<Utc>,
    /// Whether they are estimates, which nobody is billed by.
    pub is_estimated: bool,
    /// Time of the last pull.
    pub pulled_at: DateTime<Utc>,
}

/// Knowledge of vendors' figures in a store, a row per cdn. Every write happens under [`LockKey::Traffic`].
#[async_trait]
pub trait VendorFiguresRepository: Send {
    /// Adds the row of a cdn, or replaces it.
    async fn put(&mut self, figures: &VendorFigures) -> StorageResult<()>;
    /// Finds the row of a cdn.
    async fn find(&mut self, cdn: &str) -> StorageResult<Option<VendorFigures>>;
}

/// Where the figures of a cdn come from, and until when they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FigureSource {
    /// Name of the cdn.
    pub cdn: String,
    /// End of the last bucket of which everything is known, in unix seconds; `None` before the first pull.
    pub known_until: Option<i64>,
    /// Whether they are estimates.
    pub is_estimated: bool,
}

/// Result of a pull from one vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Name of the cdn.
    pub cdn: String,
    /// Number of buckets that changed; or the provider's failure, and then none did.
    pub changed: Result<usize, ProviderError>,
}

/// Figures by domain and bucket.
#[derive(Default)]
struct Stored(HashMap<(DomainId, Bucket), Figures>);

impl FigureSink for Stored {
    fn add(&mut self, domain_id: DomainId, bucket: Bucket, figures: Figures) {
        self.0.entry((domain_id, bucket)).or_default().add(figures);
    }
}

impl Pilothouse {
    /// Pulls the figures of every vendor that knows them and was not asked lately. One that fails keeps nothing from the
    /// others.
    pub async fn pull_figures(&self) -> Result<Vec<Pulled>> {
        let mut all = Vec::new();
        for (cdn, provider) in self.providers().iter() {
            if provider.capabilities().series
                && let Some(changed) = self.pull_figures_of(cdn, &**provider).await?
            {
                if let Err(error) = &changed {
                    let error = error as &dyn StdError;
                    tracing::warn!(cdn, error, "a vendor did not tell its figures");
                }
                all.push(Pulled { cdn: cdn.to_owned(), changed });
            }
        }
        Ok(all)
    }

    /// Pulls the figures of one vendor; `None` where there is nothing to ask for now.
    async fn pull_figures_of(
        &self,
        cdn: &str,
        provider: &dyn CdnProvider,
    ) -> Result<Option<Result<usize, ProviderError>>> {
        let now = self.store_time().await?;
        let mut snapshot = self.storage().read().await?;
        let Some(found) = snapshot.cdns().by_name(cdn).await? else { return Ok(None) };
        let known = snapshot.vendor_figures().find(cdn).await?;
        if known.as_ref().is_some_and(|known| known.pulled_at <= now && now - known.pulled_at < FRESH) {
            return Ok(None);
        }
        let mut domains = snapshot.domains().of_cdn(found.id).await?;
        drop(snapshot);
        domains.retain(|domain| domain.state == DomainState::Active);
        if domains.is_empty() {
            return Ok(None);
        }
        let names: BTreeSet<_> = domains.iter().map(|domain| domain.name.clone()).collect();
        let names: Vec<_> = names.into_iter().collect();
        let (from, to) = (begin(known.as_ref(), now), floor(now));
        let Ok(answer) = timeout(PULL_LIMIT, provider.series(&names, from, to)).await else {
            let reason = format!("no answer within {} s", PULL_LIMIT.as_secs());
            return Ok(Some(Err(ProviderError::Unavailable(reason))));
        };
        Ok(Some(match answer {
            Ok(figures) => Ok(self.record_figures(cdn, &domains, from, figures).await?),
            Err(error) => Err(error),
        }))
    }

    /// Records what a vendor knows from a time on; how many buckets changed.
    async fn record_figures(
        &self,
        cdn: &str,
        domains: &[Domain],
        from: DateTime<Utc>,
        pulled: ports::Figures,
    ) -> Result<usize> {
        let known_until = floor(pulled.known_until);
        let first = from.timestamp().div_euclid(BUCKET_SECONDS);
        let last = known_until.timestamp().div_euclid(BUCKET_SECONDS) - 1;
        let mut work = self.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let now = work.now().await?;
        let mut cells = Vec::new();
        if first <= last {
            let mut stored = Stored::default();
            scan(&mut *work, &ids(domains), first..=last, &mut stored).await?;
            cells = changes(domains, first..=last, &pulled, &stored.0);
        }
        if !cells.is_empty() {
            work.traffic().add(&cells).await?;
        }
        let before = work.vendor_figures().find(cdn).await?;
        let known_until = before.map_or(known_until, |before| before.known_until.max(known_until));
        let row = VendorFigures {
            cdn: cdn.to_owned(),
            known_until,
            is_estimated: pulled.estimated,
            pulled_at: now,
        };
        work.vendor_figures().put(&row).await?;
        work.commit().await?;
        Ok(cells.len())
    }

    /// Sources of the figures of domains, for the cdns whose vendors know them, by name.
    pub(super) async fn figure_sources(
        &self,
        repositories: &mut dyn Repositories,
        domains: &[Domain],
    ) -> Result<Vec<FigureSource>> {
        let asked: BTreeSet<CdnId> = domains.iter().map(|domain| domain.cdn_id).collect();
        let mut sources = Vec::new();
        for (cdn, provider) in self.providers().iter() {
            let found = repositories.cdns().by_name(cdn).await?;
            if !provider.capabilities().series || !found.is_some_and(|found| asked.contains(&found.id)) {
                continue;
            }
            let known = repositories.vendor_figures().find(cdn).await?;
            sources.push(FigureSource {
                cdn: cdn.to_owned(),
                known_until: known.as_ref().map(|known| known.known_until.timestamp()),
                is_estimated: known.is_some_and(|known| known.is_estimated),
            });
        }
        Ok(sources)
    }
}

/// The bucket's begin that holds a time.
fn floor(at: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = at.timestamp();
    DateTime::from_timestamp(seconds - seconds.rem_euclid(BUCKET_SECONDS), 0).unwrap_or(at)
}

/// Begin of the next pull: an hour before what is known, once an hour a day before it.
fn begin(known: Option<&VendorFigures>, now: DateTime<Utc>) -> DateTime<Utc> {
    let Some(known) = known else { return floor(now - HOURLY_LOOK_BACK) };
    let hour = |at: DateTime<Utc>| at.timestamp().div_euclid(3600);
    let is_new_hour = hour(known.pulled_at) != hour(now);
    let back = if is_new_hour { HOURLY_LOOK_BACK } else { LOOK_BACK };
    floor((known.known_until.min(now) - back).max(now - LONGEST_PULL))
}

/// Figures of a bucket as a vendor tells them; those that it does not know stay as they are stored.
fn completed(row: &Figure, stored: Figures) -> Figures {
    let count = |told: Option<i64>, stored: i64| told.map_or(stored, |told| told.max(0));
    Figures {
        flux: row.bytes.max(0),
        hit_flux: count(row.hit_bytes, stored.hit_flux),
        requests: count(row.requests, stored.requests),
        hits: count(row.hits, stored.hits),
        classes: row.classes.map_or(stored.classes, |told| told.map(|answers| answers.max(0))),
    }
}

/// Differences between what a vendor says of some buckets and what is stored of them.
fn changes(
    domains: &[Domain],
    buckets: std::ops::RangeInclusive<Bucket>,
    pulled: &ports::Figures,
    stored: &HashMap<(DomainId, Bucket), Figures>,
) -> Vec<Cell> {
    let by_name: BTreeMap<&str, DomainId> =
        domains.iter().map(|domain| (domain.name.as_str(), domain.id)).collect();
    let mut told: BTreeMap<(DomainId, Bucket), &Figure> = BTreeMap::new();
    for row in &pulled.rows {
        let bucket = row.bucket.timestamp().div_euclid(BUCKET_SECONDS);
        if let Some(id) = by_name.get(row.domain.as_str()).filter(|_| buckets.contains(&bucket)) {
            told.insert((*id, bucket), row);
        }
    }
    let mut cells = Vec::new();
    for id in by_name.values() {
        for bucket in buckets.clone() {
            let before = stored.get(&(*id, bucket)).copied().unwrap_or_default();
            // A bucket that the vendor leaves out had no traffic.
            let after = told.get(&(*id, bucket)).map(|row| completed(row, before)).unwrap_or_default();
            let figures = after.since(before);
            if figures != Figures::default() {
                cells.push(Cell { domain_id: *id, bucket, figures });
            }
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-07-25T{text}Z").parse().unwrap()
    }

    #[test]
    fn every_pull_reads_an_hour_again_and_the_first_of_an_hour_a_day() {
        let known = |pulled: &str| VendorFigures {
            cdn: "v".into(),
            known_until: at("11:45:00"),
            is_estimated: false,
            pulled_at: at(pulled),
        };
        let day_before: DateTime<Utc> = "2026-07-24T11:45:00Z".parse().unwrap();
        assert_eq!(begin(Some(&known("12:01:00")), at("12:06:00")), at("10:45:00"));
        assert_eq!(begin(Some(&known("11:59:00")), at("12:04:00")), day_before);
        let year_later: DateTime<Utc> = "2027-07-25T12:03:00Z".parse().unwrap();
        let month_before: DateTime<Utc> = "2027-06-24T12:00:00Z".parse().unwrap();
        assert_eq!(begin(Some(&known("12:01:00")), year_later), month_before);
    }
}
