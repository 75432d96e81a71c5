//! What became of a release at each node: when it was sent, and what the node made of it. Written in batches.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::mem;
use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::ReleaseId;
use super::node::{LEASE, NodeNumber, REMEMBERED};
use crate::pilothouse::lock;
use crate::ports::StorageResult;
use crate::shared::Shared;
use crate::{Pilothouse, Result};

/// How many reports one transaction writes.
const BATCH: usize = 2000;
/// How long a node that is not heard is kept in memory.
const KEPT: TimeDelta = TimeDelta::hours(1);
/// For how long after its publication it is known what became of a release that has ended, and of how many it is
/// forgotten at once, so that nobody waits long.
pub(super) const KNOWN: TimeDelta = TimeDelta::days(92);
const FORGOTTEN: i64 = 10;

/// What a node made of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckResult {
    /// It holds it.
    Applied = 1,
    /// It looked at it and will not have it.
    Rejected = 2,
    /// It tried to hold it and could not.
    Failed = 3,
}

impl AckResult {
    /// Its number in a store.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// From its number in a store.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Applied, Self::Rejected, Self::Failed].into_iter().find(|result| result.id() == id)
    }
}

/// A node's answer to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// What it made of it.
    pub result: AckResult,
    /// Its own words: at most 1024 bytes.
    pub message: String,
    /// When it said so.
    pub time: DateTime<Utc>,
}

/// What became of a release at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The release.
    pub release: ReleaseId,
    /// The node.
    pub node: NodeNumber,
    /// When it was first sent.
    pub sent: Option<DateTime<Utc>>,
    /// What the node last said.
    pub ack: Option<Ack>,
}

/// Deliveries in a store.
#[async_trait]
pub trait DeliveryRepository: Send {
    /// Adds to what is known, no pair of release and node twice: the earlier sending and the later answer count, of equal
    /// ones those held. Those whose release or node is gone are passed over.
    async fn record(&mut self, deliveries: &[Delivery]) -> StorageResult<()>;
    /// What is known of some releases, by release and node.
    async fn of_releases(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<Delivery>>;
    /// Forgets what is known of the first `count` releases that have ended and were published before that. What is known
    /// of a release counts for those that followed it, so it is kept as long as one of these is.
    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64>;
}

/// Reports that are not in the store yet.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    pending: Mutex<HashMap<(ReleaseId, NodeNumber), Delivery>>,
    flushing: Shared,
}

impl Reports {
    pub(super) fn sent(
        &self,
        releases: impl Iterator<Item = ReleaseId>,
        node: NodeNumber,
        at: DateTime<Utc>,
    ) {
        let mut pending = lock(&self.pending);
        for release in releases {
            merge(&mut pending, Delivery { release, node, sent: Some(at), ack: None });
        }
    }

    /// How many pairs of release and node have something to write down.
    pub(super) fn count(&self) -> usize {
        lock(&self.pending).len()
    }

    pub(super) fn acked(&self, release: ReleaseId, node: NodeNumber, ack: Ack) {
        merge(&mut lock(&self.pending), Delivery { release, node, sent: None, ack: Some(ack) });
    }
}

fn merge(pending: &mut HashMap<(ReleaseId, NodeNumber), Delivery>, with: Delivery) {
    match pending.entry((with.release, with.node)) {
        Slot::Vacant(slot) => drop(slot.insert(with)),
        Slot::Occupied(mut slot) => {
            let held = slot.get_mut();
            held.sent = [held.sent, with.sent].into_iter().flatten().min();
            let later = with.ack.filter(|ack| held.ack.as_ref().is_none_or(|held| held.time <= ack.time));
            held.ack = later.or(held.ack.take());
        }
    }
}

impl Pilothouse {
    /// Writes down what nodes were sent and answered, and renews the leases of those that are there. Returns when all of
    /// before the call is in the store. Calls at once share their work.
    pub async fn flush_reports(&self) -> Result<()> {
        self.reports().flushing.run(self.write_reports()).await
    }

    async fn write_reports(&self) -> Result<()> {
        let now = self.clock().now();
        let due = self.feeds().due(now);
        let mut reports: Vec<Delivery> =
            mem::take(&mut *lock(&self.reports().pending)).into_values().collect();
        // Two servers that write the same rows meet them in the same order.
        reports.sort_unstable_by_key(|report| (report.release, report.node));
        if !due.is_empty() {
            let mut work = self.storage().begin().await?;
            let until = work.now().await? + LEASE;
            work.nodes().renew(&due, until).await?;
            work.commit().await?;
        }
        let mut rest = &reports[..];
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rest.len().min(BATCH));
            if let Err(error) = self.write_batch(batch).await {
                let mut pending = lock(&self.reports().pending);
                rest.iter().cloned().for_each(|report| merge(&mut pending, report));
                return Err(error);
            }
            rest = after;
        }
        Ok(())
    }

    async fn write_batch(&self, batch: &[Delivery]) -> Result<()> {
        let mut work = self.storage().begin().await?;
        work.deliveries().record(batch).await?;
        Ok(work.commit().await?)
    }

    /// Forgets nodes that have not been heard for long, and what became of releases long ago.
    pub(crate) async fn tidy_nodes(&self) -> Result<()> {
        self.feeds().tidy(self.clock().now() - KEPT);
        let mut work = self.storage().begin().await?;
        let now = work.now().await?;
        work.nodes().prune(now - REMEMBERED).await?;
        work.deliveries().prune(now - KNOWN, FORGOTTEN).await?;
        Ok(work.commit().await?)
    }
}
