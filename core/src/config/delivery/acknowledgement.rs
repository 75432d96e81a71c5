//! Delivery records: when a release was sent to a node, and how the node acknowledged it. Written in batches.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::node::{LEASE, NodeNumber, REMEMBERED};
use super::release::ReleaseId;
use crate::config::identifier::ItemId;
use crate::ports::StorageResult;
use crate::sync::{SingleFlight, lock};
use crate::{Pilothouse, Prunable, Result};

/// Delivery records written in one transaction.
const BATCH: usize = 2000;
/// Time after which a node that was not seen is dropped from memory.
const EVICT_AFTER: TimeDelta = TimeDelta::hours(1);
/// Retention of the delivery records of ended releases, counted from their publication.
pub(super) const RETENTION: TimeDelta = TimeDelta::days(92);
/// Rows pruned in one transaction, which keeps it short.
const PRUNE_BATCH: i64 = 5000;

/// A node's verdict on a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckResult {
    /// The value is in effect there.
    Applied = 1,
    /// The node refuses the value.
    Rejected = 2,
    /// The node tried to apply the value and could not.
    Failed = 3,
}

impl AckResult {
    /// The number that stores keep.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// Its name, as nodes write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }

    /// The verdict of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Applied, Self::Rejected, Self::Failed].into_iter().find(|result| result.id() == id)
    }
}

/// A node's acknowledgement of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Verdict that the node acknowledged.
    pub result: AckResult,
    /// The node's explanation: at most 1024 bytes.
    pub message: String,
    /// Time of its arrival at a server, by the store's clock.
    pub time: DateTime<Utc>,
}

/// The delivery of one release to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The release that was delivered.
    pub release: ReleaseId,
    /// The node it was delivered to.
    pub node: NodeNumber,
    /// Time of the first sending, by the store's clock; `None` where only an acknowledgement is known.
    pub sent: Option<DateTime<Utc>>,
    /// Newest acknowledgement, if any arrived.
    pub ack: Option<Ack>,
}

/// Version of an item at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldVersion {
    /// The node.
    pub node: NodeNumber,
    /// The version that it last acknowledged as applied.
    pub version: i64,
}

/// Newest acknowledgement of a key by a node, of those that applied it or of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAck {
    /// The key.
    pub key: String,
    /// The version that it is about; 0 where the node was to lose the key.
    pub version: i64,
    /// The acknowledgement.
    pub ack: Ack,
}

/// Delivery records in a store.
#[async_trait]
pub trait DeliveryRepository: Send {
    /// Merges records into the stored ones, no pair of release and node twice: the earlier sending and the later
    /// acknowledgement win, the stored one where they are equal. A stored acknowledgement later than `now` is of a clock
    /// that was ahead, and gives way to any. Records whose release or node is gone are skipped.
    async fn record(&mut self, deliveries: &[DeliveryRecord], now: DateTime<Utc>) -> StorageResult<()>;
    /// The records of some releases, by release and node.
    async fn of_releases(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<DeliveryRecord>>;
    /// The version of an item that each of some nodes last acknowledged as applied, by node, among the releases that are the
    /// last `releases` of the item; of equal times the greater version. Nodes that applied none of them are left out.
    async fn held(
        &mut self,
        item: ItemId,
        nodes: &[NodeNumber],
        releases: i64,
    ) -> StorageResult<Vec<HeldVersion>>;
    /// Of each key that a node acknowledged, the newest that applied it and the newest that did not; of equal times that of
    /// the later release. By item, the one that did not first.
    async fn of_node(&mut self, node: NodeNumber) -> StorageResult<Vec<NodeAck>>;
    /// Deletes the first `count` records, by release and node, of releases that have ended and were published before
    /// `before`. A release's records count for the releases that followed it with the same version, so they are kept as
    /// long as one of these.
    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64>;
}

/// Acknowledgement that is not in the store yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct BufferedAck {
    pub(in crate::config) result: AckResult,
    pub(in crate::config) message: String,
    /// Reading of the monotonic clock at its arrival.
    pub(in crate::config) at: Duration,
}

/// Delivery record that is not in the store yet. Its times are readings of the monotonic clock: servers whose wall clocks
/// differ write the time of the store's clock, so that one order holds for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BufferedDelivery {
    release: ReleaseId,
    node: NodeNumber,
    sent: Option<Duration>,
    ack: Option<BufferedAck>,
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    store: DateTime<Utc>,
    monotonic: Duration,
}

impl Moment {
    /// Time of the store's clock at an earlier reading of the monotonic one.
    fn time_of(self, at: Duration) -> DateTime<Utc> {
        let age = i64::try_from(self.monotonic.saturating_sub(at).as_micros()).unwrap_or(i64::MAX);
        self.store - TimeDelta::microseconds(age)
    }
}

impl BufferedDelivery {
    fn record(&self, now: Moment) -> DeliveryRecord {
        let ack = self.ack.as_ref().map(|ack| Ack {
            result: ack.result,
            message: ack.message.clone(),
            time: now.time_of(ack.at),
        });
        let sent = self.sent.map(|at| now.time_of(at));
        DeliveryRecord { release: self.release, node: self.node, sent, ack }
    }
}

/// Delivery records that are not in the store yet.
#[derive(Debug, Default)]
pub(crate) struct ReportBuffer {
    pending: Mutex<HashMap<(ReleaseId, NodeNumber), BufferedDelivery>>,
    flushing: SingleFlight,
}

impl ReportBuffer {
    pub(in crate::config) fn sent(
        &self,
        releases: impl Iterator<Item = ReleaseId>,
        node: NodeNumber,
        at: Duration,
    ) {
        let mut pending = lock(&self.pending);
        for release in releases {
            merge(&mut pending, BufferedDelivery { release, node, sent: Some(at), ack: None });
        }
    }

    /// The number of buffered records.
    pub(super) fn count(&self) -> usize {
        lock(&self.pending).len()
    }

    /// Drops everything: releases and nodes of another history may have the same numbers.
    pub(super) fn clear(&self) {
        lock(&self.pending).clear();
    }

    fn all(&self) -> Vec<BufferedDelivery> {
        lock(&self.pending).values().cloned().collect()
    }

    /// Forgets records that are in the store now, unless something was added to them meanwhile. Only after the commit: a
    /// write that fails, or whose future is dropped, loses nothing.
    fn written(&self, batch: &[BufferedDelivery]) {
        let mut pending = lock(&self.pending);
        for record in batch {
            let key = (record.release, record.node);
            if pending.get(&key) == Some(record) {
                pending.remove(&key);
            }
        }
    }

    pub(in crate::config) fn acked(&self, release: ReleaseId, node: NodeNumber, ack: BufferedAck) {
        metrics::counter!("pilothouse_acknowledgements_total", "result" => ack.result.as_str()).increment(1);
        merge(&mut lock(&self.pending), BufferedDelivery { release, node, sent: None, ack: Some(ack) });
    }
}

fn merge(pending: &mut HashMap<(ReleaseId, NodeNumber), BufferedDelivery>, with: BufferedDelivery) {
    match pending.entry((with.release, with.node)) {
        Slot::Vacant(slot) => drop(slot.insert(with)),
        Slot::Occupied(mut slot) => {
            let known = slot.get_mut();
            known.sent = [known.sent, with.sent].into_iter().flatten().min();
            let later = with.ack.filter(|ack| known.ack.as_ref().is_none_or(|known| known.at <= ack.at));
            known.ack = later.or(known.ack.take());
        }
    }
}

impl Pilothouse {
    /// Flushes buffered delivery records to the store, and renews the leases of nodes that are online. Returns when
    /// everything from before the call is stored; concurrent calls share one flush.
    pub async fn flush_reports(&self) -> Result<()> {
        self.reports().flushing.run(self.write_reports()).await
    }

    async fn write_reports(&self) -> Result<()> {
        self.renew_leases().await?;
        // What comes meanwhile is for the next flush, or this one would never end.
        let mut reports = self.reports().all();
        // Two servers that write the same rows meet them in the same order.
        reports.sort_unstable_by_key(|report| (report.release, report.node));
        for batch in reports.chunks(BATCH) {
            self.write_batch(batch).await?;
            self.reports().written(batch);
        }
        Ok(())
    }

    async fn renew_leases(&self) -> Result<()> {
        let now = self.clock().now();
        let due = self.delivery().due_leases(now);
        if due.is_empty() {
            return Ok(());
        }
        let mut work = self.storage().begin().await?;
        let until = LEASE.end(work.now().await?);
        work.nodes().renew(&due, until).await?;
        work.commit().await?;
        self.delivery().leases_renewed(due, now);
        Ok(())
    }

    async fn write_batch(&self, batch: &[BufferedDelivery]) -> Result<()> {
        let mut work = self.storage().begin().await?;
        let now = Moment { store: work.now().await?, monotonic: self.clock().monotonic() };
        let records: Vec<_> = batch.iter().map(|delivery| delivery.record(now)).collect();
        self.record_deliveries(&mut *work, &records, now.store).await?;
        Ok(work.commit().await?)
    }

    /// Prunes nodes that were offline for long, and delivery records of releases that ended long ago.
    pub(crate) async fn prune_nodes(&self) -> Result<()> {
        self.delivery().evict_nodes(self.clock().now() - EVICT_AFTER);
        let mut work = self.storage().begin().await?;
        if let Some(pruning) = self.begin_pruning(&mut *work).await? {
            let now = pruning.now;
            work.nodes().end_void_leases(now).await?;
            let count = pruning.limit(&mut *work, Prunable::Nodes, PRUNE_BATCH).await?;
            let pruned = work.nodes().prune(now - REMEMBERED, count).await?;
            pruning.spend(&mut *work, Prunable::Nodes, pruned).await?;
            let count = pruning.limit(&mut *work, Prunable::Deliveries, PRUNE_BATCH).await?;
            let pruned = work.deliveries().prune(now - RETENTION, count).await?;
            pruning.spend(&mut *work, Prunable::Deliveries, pruned).await?;
        }
        Ok(work.commit().await?)
    }
}
