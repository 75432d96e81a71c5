//! Thresholds: what a customer wants to be told of a domain, in each closed bucket of five minutes.
//!
//! A threshold belongs to a customer and a name: of one name on several cdns the figures are added up. While the customer
//! does not hold the domain nothing is compared with it, and it comes back with the domain.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::alarm_row::AlarmKind;
use crate::account::{AccountId, Caller, Entry, digest};
use crate::cdn::customers::{Customer, domain_name};
use crate::cdn::traffic::{Figures, bandwidth};
use crate::ports::{LockKey, StorageResult};
use crate::{Error, Pilothouse, Result};

/// Greatest bandwidth of a threshold, in bits per second.
pub const MAX_BANDWIDTH: i64 = 1_000_000_000_000_000;
/// Greatest number of requests below which shares say nothing.
pub const MAX_MIN_REQUESTS: i64 = 1_000_000_000;

/// Share of requests, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub i64);

impl Share {
    /// All requests.
    const WHOLE: i64 = 1_000_000;

    /// Share of a fraction from 0 to 1, rounded to a millionth. Refuses any other number.
    pub fn of_fraction(field: &'static str, fraction: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(Error::invalid(field, "must be from 0 to 1"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most a million")]
        let millionths = (fraction * 1_000_000.0).round() as i64;
        Ok(Self(millionths))
    }

    /// As a fraction from 0 to 1.
    pub fn fraction(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most a million")]
        let millionths = self.0 as f64;
        millionths / 1_000_000.0
    }

    /// Share of a part; of nothing it is none.
    fn of_part(part: i64, whole: i64) -> Self {
        let millionths = i128::from(part) * i128::from(Self::WHOLE) / i128::from(whole.max(1));
        Self(i64::try_from(millionths).unwrap_or(i64::MAX))
    }
}

/// Thresholds of one domain of a customer; at least one of the three is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Account of the customer.
    pub account_id: AccountId,
    /// Name of the domain.
    pub domain: String,
    /// Bandwidth in bits per second, above which there is an alarm: 1 to [`MAX_BANDWIDTH`].
    pub bandwidth: Option<i64>,
    /// Share of answers with a status of 500 to 599, above which there is an alarm.
    pub error_ratio: Option<Share>,
    /// Share of requests answered from the cache, below which there is an alarm.
    pub hit_ratio: Option<Share>,
    /// Requests of a bucket, 1 to [`MAX_MIN_REQUESTS`], below which shares say nothing: the bucket is in order.
    pub min_requests: i64,
    /// Time of the last change, by the store's clock.
    pub changed: DateTime<Utc>,
}

impl Threshold {
    /// The kinds of alarms that it asks for, each with its limit: bits per second, or millionths.
    pub(super) fn limits(&self) -> impl Iterator<Item = (AlarmKind, i64)> + use<> {
        let limits = [
            (AlarmKind::Bandwidth, self.bandwidth),
            (AlarmKind::ErrorRatio, self.error_ratio.map(|Share(millionths)| millionths)),
            (AlarmKind::HitRatio, self.hit_ratio.map(|Share(millionths)| millionths)),
        ];
        limits.into_iter().filter_map(|(kind, limit)| Some((kind, limit?)))
    }

    /// Value of a bucket that is compared with the limit of a kind; `None` where the bucket says nothing.
    pub(super) fn value(&self, kind: AlarmKind, figures: Figures) -> Option<i64> {
        // Requests without any status are of a vendor that tells neither status nor hits.
        let has_status = figures.classes.iter().any(|answers| *answers > 0);
        let has_enough = figures.requests >= self.min_requests && has_status;
        let share = |part: i64| has_enough.then(|| Share::of_part(part, figures.requests).0);
        match kind {
            AlarmKind::Bandwidth => Some(bandwidth(figures.flux)),
            AlarmKind::ErrorRatio => share(figures.classes[3]),
            AlarmKind::HitRatio => share(figures.hits),
            AlarmKind::SilentEdge | AlarmKind::UnreadableLog | AlarmKind::LogGap => None,
        }
    }

    fn check(&self) -> Result<()> {
        if self.limits().next().is_none() {
            return Err(Error::invalid("bandwidth", "or errorRatio or hitRatio must be given"));
        }
        if self.bandwidth.is_some_and(|bits| !(1..=MAX_BANDWIDTH).contains(&bits)) {
            return Err(Error::invalid("bandwidth", format!("must be from 1 to {MAX_BANDWIDTH}")));
        }
        if !(1..=MAX_MIN_REQUESTS).contains(&self.min_requests) {
            return Err(Error::invalid("minRequests", format!("must be from 1 to {MAX_MIN_REQUESTS}")));
        }
        Ok(())
    }

    fn digest(&self) -> String {
        let limit = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let share = |share: Option<Share>| limit(share.map(|Share(millionths)| millionths));
        let (account, requests) = (self.account_id.to_string(), self.min_requests.to_string());
        let limits = [limit(self.bandwidth), share(self.error_ratio), share(self.hit_ratio)];
        let [bandwidth, errors, hits] = &limits;
        digest(&[&account, &self.domain, bandwidth, errors, hits, &requests])
    }
}

/// Thresholds in a store. They go with the customer's access to the cdn family.
#[async_trait]
pub trait ThresholdRepository: Send {
    /// Adds the threshold of a customer's domain, or replaces it.
    async fn put(&mut self, threshold: &Threshold) -> StorageResult<()>;
    /// Finds the threshold of a domain.
    async fn find(&mut self, account_id: AccountId, domain: &str) -> StorageResult<Option<Threshold>>;
    /// The thresholds of a customer, by domain.
    async fn of_account(&mut self, account_id: AccountId) -> StorageResult<Vec<Threshold>>;
    /// The customers that have any, by account id.
    async fn accounts(&mut self) -> StorageResult<Vec<AccountId>>;
    /// Deletes the threshold of a domain; whether there was one.
    async fn delete(&mut self, account_id: AccountId, domain: &str) -> StorageResult<bool>;
}

/// The use cases of thresholds.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds<'a>(pub(crate) &'a Pilothouse);

impl Thresholds<'_> {
    /// Thresholds of the domains that a customer holds, or of one of them, by name.
    ///
    /// A caller asks for itself where `login_email` is none, or for anyone with group 8. Refuses a domain that the customer
    /// does not hold, whether or not it exists.
    pub async fn list(
        &self,
        caller: &Caller,
        login_email: Option<&str>,
        domain: Option<&str>,
    ) -> Result<Vec<Threshold>> {
        let name = domain.map(|domain| domain_name("domain", domain)).transpose()?;
        let mut snapshot = self.0.storage().read().await?;
        let customer = self.0.customer_of(&mut *snapshot, caller, login_email).await?;
        let names: Vec<_> = name.into_iter().collect();
        let held = self.0.owned_domains(&mut *snapshot, caller, &customer, &names).await?;
        let mut thresholds = snapshot.thresholds().of_account(customer.account_id).await?;
        thresholds.retain(|threshold| held.iter().any(|domain| domain.name == threshold.domain));
        Ok(thresholds)
    }

    /// Sets the thresholds of one domain in place of those it had; `account_id` and `changed` are ignored. For whom is as in
    /// [`Thresholds::list`]. An alarm that is open is compared with the new ones.
    ///
    /// Refuses none at all, and one outside its limits.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn set(
        &self,
        caller: &Caller,
        login_email: Option<&str>,
        threshold: Threshold,
    ) -> Result<Threshold> {
        threshold.check()?;
        let domain = domain_name("domain", &threshold.domain)?;
        let mut work = self.0.write_as(caller).await?;
        let customer = self.0.customer_of(&mut *work, caller, login_email).await?;
        // Access that is withdrawn takes the thresholds along.
        work.lock(LockKey::Customer(customer.account_id)).await?;
        let Customer { account_id, .. } = self.0.customer_of(&mut *work, caller, login_email).await?;
        self.0.owned_domains(&mut *work, caller, &customer, std::slice::from_ref(&domain)).await?;
        let changed = work.now().await?;
        let threshold = Threshold { account_id, domain, changed, ..threshold };
        let before = work.thresholds().find(account_id, &threshold.domain).await?;
        work.thresholds().put(&threshold).await?;
        let mut entry = Entry::new("threshold.set", &*threshold.domain).new_digest(threshold.digest());
        if let Some(before) = before {
            entry = entry.old(before.digest());
        }
        work.record(entry).await?;
        work.commit().await?;
        Ok(threshold)
    }

    /// Deletes the thresholds of one domain, which ends their alarms; not found where it has none. For whom is as in
    /// [`Thresholds::list`].
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn delete(&self, caller: &Caller, login_email: Option<&str>, domain: &str) -> Result<()> {
        let domain = domain_name("domain", domain)?;
        let mut work = self.0.write_as(caller).await?;
        let customer = self.0.customer_of(&mut *work, caller, login_email).await?;
        self.0.owned_domains(&mut *work, caller, &customer, std::slice::from_ref(&domain)).await?;
        let found = work.thresholds().find(customer.account_id, &domain).await?;
        let found = found.ok_or_else(|| Error::not_found("the threshold of this domain"))?;
        work.thresholds().delete(customer.account_id, &domain).await?;
        work.record(Entry::new("threshold.delete", &*domain).old(found.digest())).await?;
        Ok(work.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threshold() -> Threshold {
        Threshold {
            account_id: AccountId(1),
            domain: "cdn.example.com".to_owned(),
            bandwidth: None,
            error_ratio: Some(Share(50_000)),
            hit_ratio: None,
            min_requests: 10,
            changed: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn shares_say_nothing_below_the_least_requests() {
        let figures = |requests, errors| Figures {
            flux: 37_500,
            hit_flux: 0,
            requests,
            hits: 3,
            classes: [requests - errors, 0, 0, errors],
        };
        let threshold = threshold();
        assert_eq!(threshold.value(AlarmKind::ErrorRatio, figures(9, 9)), None);
        assert_eq!(threshold.value(AlarmKind::ErrorRatio, figures(10, 1)), Some(100_000));
        assert_eq!(threshold.value(AlarmKind::HitRatio, figures(12, 0)), Some(250_000));
        assert_eq!(threshold.value(AlarmKind::Bandwidth, figures(0, 0)), Some(1000));
        let unknown = Figures { hits: 0, classes: [0; 4], ..figures(12, 0) };
        assert_eq!(threshold.value(AlarmKind::HitRatio, unknown), None, "the vendor tells no hits");
    }

    #[test]
    fn limits_are_named() {
        let refused = |threshold: Threshold| threshold.check().unwrap_err().to_string();
        assert!(threshold().check().is_ok());
        let none = Threshold { error_ratio: None, ..threshold() };
        assert_eq!(refused(none), "bandwidth: or errorRatio or hitRatio must be given");
        for bits in [0, -1, MAX_BANDWIDTH + 1] {
            let wrong = Threshold { bandwidth: Some(bits), ..threshold() };
            assert_eq!(refused(wrong), "bandwidth: must be from 1 to 1000000000000000");
        }
        for min_requests in [0, MAX_MIN_REQUESTS + 1] {
            let wrong = Threshold { min_requests, ..threshold() };
            assert_eq!(refused(wrong), "minRequests: must be from 1 to 1000000000");
        }
        for fraction in [-0.1, 1.01, f64::NAN, f64::INFINITY] {
            let refused = Share::of_fraction("hitRatio", fraction).unwrap_err();
            assert_eq!(refused.to_string(), "hitRatio: must be from 0 to 1");
        }
        assert_eq!(Share::of_fraction("hitRatio", 0.95).unwrap(), Share(950_000));
    }
}
