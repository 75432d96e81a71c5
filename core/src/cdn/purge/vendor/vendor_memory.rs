//! What the speaker of a vendor remembers between its calls, and may forget.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::call_bucket::CallBucket;
use super::poll_times::PollTimes;
use super::quota_gauge::QuotaGauge;
use crate::ports::{CallLimits, Capabilities, Operation, ProviderError, Quota};

/// Time for which a host's group is believed, and that of a host in none.
const GROUP_KEPT: Duration = Duration::from_mins(10);
const STRANGER_KEPT: Duration = Duration::from_secs(10);
/// Time for which a quota that was read is believed.
const QUOTA_KEPT: Duration = Duration::from_mins(1);
/// Time after which it is read again, though nothing is to be sent.
const QUOTA_SHOWN: Duration = Duration::from_mins(10);

/// Rates, groups and quotas of one vendor.
#[derive(Debug, Default)]
pub(super) struct VendorMemory {
    buckets: HashMap<Operation, CallBucket>,
    /// Items of a call that the vendor took, where it took fewer than it should.
    most: HashMap<Operation, usize>,
    groups: HashMap<String, (Result<String, ProviderError>, Instant)>,
    quotas: Option<(Vec<Quota>, Instant)>,
    gauge: QuotaGauge,
    /// Moment at which leadership was extended last.
    pub(super) renewed: Option<Instant>,
    /// Times at which tasks are asked about.
    pub(super) poll_times: PollTimes,
    /// Time until which the vendor is not called, by the store's clock.
    pub(super) paused_until: Option<DateTime<Utc>>,
    /// Last reason that was logged.
    pub(super) told: String,
}

impl VendorMemory {
    /// Memory of a vendor that was not called yet. Its buckets fill from now on, so that one that rests has its burst.
    pub(super) fn new(can: &Capabilities) -> Self {
        let mut new = Self::default();
        for operation in Operation::ALL {
            new.bucket(can, operation);
        }
        new
    }

    /// Limits of a call, with what was learnt.
    pub(super) fn limits(&self, can: &Capabilities, operation: Operation) -> CallLimits {
        let limits = can.limits(operation);
        let most = self.most.get(&operation).copied().unwrap_or(limits.items);
        CallLimits { items: limits.items.min(most).max(1), ..limits }
    }

    /// Learns that so many items are too many for a call.
    pub(super) fn too_many(&mut self, operation: Operation, items: usize) {
        self.most.insert(operation, (items / 2).max(1));
    }

    /// Time until a call of an operation may be made.
    pub(super) fn wait(&mut self, can: &Capabilities, operation: Operation) -> Duration {
        self.bucket(can, operation).map_or(Duration::ZERO, |bucket| bucket.wait())
    }

    /// Takes the token of a call.
    pub(super) fn take(&mut self, can: &Capabilities, operation: Operation) {
        if let Some(bucket) = self.bucket(can, operation) {
            bucket.take();
        }
    }

    /// Slows an operation down.
    pub(super) fn set_back(&mut self, can: &Capabilities, operation: Operation, after: Option<Duration>) {
        if let Some(bucket) = self.bucket(can, operation) {
            bucket.set_back(after);
        }
    }

    fn bucket(&mut self, can: &Capabilities, operation: Operation) -> Option<&mut CallBucket> {
        let rate = can.limits(operation).rate?;
        Some(self.buckets.entry(operation).or_insert_with(|| CallBucket::new(rate)))
    }

    /// Group of a host, where it is known.
    pub(super) fn group(&self, host: &str) -> Option<&Result<String, ProviderError>> {
        let (group, read) = self.groups.get(host)?;
        let kept = if group.is_ok() { GROUP_KEPT } else { STRANGER_KEPT };
        (read.elapsed() < kept).then_some(group)
    }

    /// Remembers the groups of hosts.
    pub(super) fn set_groups(&mut self, hosts: Vec<String>, groups: Vec<Result<String, ProviderError>>) {
        let now = Instant::now();
        self.groups.extend(hosts.into_iter().zip(groups).map(|(host, group)| (host, (group, now))));
    }

    /// Whether the quotas have to be read.
    pub(super) fn needs_quotas(&self) -> bool {
        self.quotas.as_ref().is_none_or(|(_, read)| read.elapsed() >= QUOTA_KEPT)
    }

    /// Whether the quotas have not been read for so long that what is shown of them may be of another day.
    pub(super) fn shows_old_quotas(&self) -> bool {
        self.quotas.as_ref().is_none_or(|(_, read)| read.elapsed() >= QUOTA_SHOWN)
    }

    /// Remembers quotas as they were read.
    pub(super) fn set_quotas(&mut self, can: &Capabilities, quotas: Vec<Quota>) {
        self.gauge.show(can.vendor_kind, &quotas);
        self.quotas = Some((quotas, Instant::now()));
    }

    /// Forgets what only the server knows that speaks to the vendor, and shows no quotas, since another one does.
    pub(super) fn lose_leadership(&mut self) {
        self.gauge.show("", &[]);
        self.quotas = None;
        self.poll_times.clear();
        self.renewed = None;
    }

    /// Forgets the quotas, which are no longer right.
    pub(super) fn forget_quotas(&mut self) {
        self.quotas = None;
    }

    /// The quota of a group that has the least left; `None` where none is known.
    pub(super) fn least_quota(&self, operation: Operation, group: &str) -> Option<&Quota> {
        let quotas = self.quotas.iter().flat_map(|(quotas, _)| quotas);
        quotas.filter(|quota| is_spent_by(quota, operation, group)).min_by_key(|quota| quota.left)
    }

    /// The quotas that a group spends, as far as they are known.
    pub(super) fn quotas_of(&self, operation: Operation, group: &str) -> Vec<Quota> {
        let quotas = self.quotas.iter().flat_map(|(quotas, _)| quotas);
        quotas.filter(|quota| is_spent_by(quota, operation, group)).cloned().collect()
    }

    /// Takes what is sent from the quotas.
    pub(super) fn spend(&mut self, can: &Capabilities, operation: Operation, group: &str, items: usize) {
        let items = i64::try_from(items).unwrap_or(i64::MAX);
        let quotas = self.quotas.iter_mut().flat_map(|(quotas, _)| quotas);
        for quota in quotas.filter(|quota| is_spent_by(quota, operation, group)) {
            quota.left = (quota.left - items).max(0);
        }
        if let Some((quotas, _)) = &self.quotas {
            self.gauge.show(can.vendor_kind, quotas);
        }
    }
}

fn is_spent_by(quota: &Quota, operation: Operation, group: &str) -> bool {
    quota.operation == operation && (quota.groups.is_empty() || quota.groups.iter().any(|own| own == group))
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::ports::{Rate, Repeat};

    #[tokio::test(start_paused = true)]
    async fn a_server_that_rested_has_the_whole_burst() {
        let rate = Rate { calls: 5, period: Duration::from_mins(1), burst: 3 };
        let limits = CallLimits::items(100).with_rate(Some(rate));
        let can = Capabilities::vendor("v", Repeat::Free).with_limits(Operation::PurgeUrls, limits);
        for (rest, calls) in [(Duration::ZERO, 1), (Duration::from_mins(5), 3)] {
            let mut memory = VendorMemory::new(&can);
            sleep(rest).await;
            for _ in 0..calls {
                assert_eq!(memory.wait(&can, Operation::PurgeUrls), Duration::ZERO, "after {rest:?}");
                memory.take(&can, Operation::PurgeUrls);
            }
            assert!(memory.wait(&can, Operation::PurgeUrls) > Duration::ZERO, "after {rest:?}");
        }
    }
}
