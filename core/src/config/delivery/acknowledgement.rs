//! Delivery records: when a release was sent to a node, and how the node acknowledged it. Written in batches.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::node::{NodeNumber, REMEMBERED};
use super::release::ReleaseId;
use super::rollout::NodePage;
use super::rollout_nodes::{ConcernedNodes, ProfileAt, RolloutNode};
use crate::config::identifier::ItemId;
use crate::ports::StorageResult;
use crate::{Pilothouse, Prunable, Result};

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
    /// The release that was delivered, by its first part.
    pub release: ReleaseId,
    /// The node it was delivered to.
    pub node: NodeNumber,
    /// Time of the first sending, by the store's clock; `None` where only an acknowledgement is known.
    pub sent: Option<DateTime<Utc>>,
    /// Acknowledgement of the release, once the node applied all of its parts or refused one; with the time of the newest.
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

/// Acknowledgement of one part of a release by a node. Kept only as long as the node's acknowledgements of the parts are not
/// all there or not alike; otherwise its delivery record is true of each part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartAck {
    /// The release, by its first part.
    pub release: ReleaseId,
    /// The node.
    pub node: NodeNumber,
    /// The part.
    pub part: ReleaseId,
    /// Newest acknowledgement of the part.
    pub ack: Ack,
}

/// Delivery records of a release, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryCount {
    /// The release, by its first part.
    pub release: ReleaseId,
    /// Number of its records.
    pub nodes: i64,
    /// Number of those that say applied.
    pub applied: i64,
    /// Number of those that say rejected.
    pub rejected: i64,
    /// Number of those that say failed.
    pub failed: i64,
}

impl DeliveryCount {
    /// That of a release without records.
    pub fn none(release: ReleaseId) -> Self {
        Self { release, nodes: 0, applied: 0, rejected: 0, failed: 0 }
    }

    /// Number of records without an acknowledgement.
    pub fn open(&self) -> i64 {
        self.nodes - self.applied - self.rejected - self.failed
    }
}

/// Delivery records of a release at nodes of one kind, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachCount {
    /// The release, by its first part.
    pub release: ReleaseId,
    /// Whether the nodes left.
    pub left: bool,
    /// Whether the records hold an acknowledgement.
    pub is_acked: bool,
    /// Number of the records.
    pub nodes: i64,
}

/// Times at which nodes applied a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedTimes {
    /// The first of them.
    pub first: DateTime<Utc>,
    /// That by which half of them had; the earlier one of two.
    pub median: DateTime<Utc>,
    /// The last of them.
    pub last: DateTime<Utc>,
}

/// Pair of a release, by its first part, and a node.
pub type DeliveryKey = (ReleaseId, NodeNumber);

/// Delivery records in a store: one for each release and node, however many parts the release has.
#[async_trait]
pub trait DeliveryRepository: Send {
    /// Merges records into the stored ones, no pair of release and node twice: the earlier sending and the later
    /// acknowledgement win, the stored one where they are equal. A stored acknowledgement later than `now` is of a clock
    /// that was ahead, and gives way to any. Records whose release or node is gone, or whose node is not of the release's app
    /// and profile, are skipped.
    async fn record(&mut self, deliveries: &[DeliveryRecord], now: DateTime<Utc>) -> StorageResult<()>;
    /// Replaces the acknowledgements of stored records by those of the given ones, whose sendings do not count.
    async fn replace_acks(&mut self, deliveries: &[DeliveryRecord]) -> StorageResult<()>;
    /// The records of these releases and nodes, by release and node.
    async fn find(&mut self, keys: &[DeliveryKey]) -> StorageResult<Vec<DeliveryRecord>>;
    /// The records of some releases, by release and node.
    async fn of_releases(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<DeliveryRecord>>;
    /// The acknowledgements of parts of these releases at these nodes, by release, node and part.
    async fn part_acks(&mut self, keys: &[DeliveryKey]) -> StorageResult<Vec<PartAck>>;
    /// Stores acknowledgements of parts in place of those there are, no part and node twice. Those without a delivery record
    /// are skipped; with it they are deleted.
    async fn set_part_acks(&mut self, acks: &[PartAck]) -> StorageResult<()>;
    /// Deletes the acknowledgements of parts of these releases at these nodes.
    async fn clear_part_acks(&mut self, keys: &[DeliveryKey]) -> StorageResult<()>;
    /// Counts the records of those of the releases that have some, by release; at a cost that does not depend on their number.
    async fn counts(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<DeliveryCount>>;
    /// Counts the records of some releases at the nodes of their profile that are online at a moment, or at those that are
    /// not, by release and kind; kinds without a record are left out.
    async fn reach(
        &mut self,
        of: ProfileAt<'_>,
        releases: &[ReleaseId],
        is_online: bool,
    ) -> StorageResult<Vec<ReachCount>>;
    /// A page of the nodes that a full release concerns, by number.
    async fn rollout_nodes(
        &mut self,
        of: ProfileAt<'_>,
        concerned: &ConcernedNodes<'_>,
        page: NodePage,
    ) -> StorageResult<Vec<RolloutNode>>;
    /// Counts the nodes that a full release concerns, in the order of [`NodeState::ALL`](super::NodeState::ALL).
    async fn rollout_states(
        &mut self,
        of: ProfileAt<'_>,
        concerned: &ConcernedNodes<'_>,
    ) -> StorageResult<[i64; 6]>;
    /// Those of the nodes of a profile that have these node ids, in a release, by number.
    async fn named_nodes(
        &mut self,
        of: ProfileAt<'_>,
        release: ReleaseId,
        node_ids: &[&str],
    ) -> StorageResult<Vec<RolloutNode>>;
    /// When nodes applied a release, of the acknowledgements since a moment; `None` without one.
    async fn applied_times(
        &mut self,
        release: ReleaseId,
        since: DateTime<Utc>,
    ) -> StorageResult<Option<AppliedTimes>>;
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
    /// The records of a node of the newest `count` releases that it has one of, the newest release first.
    async fn newest_of_node(&mut self, node: NodeNumber, count: i64) -> StorageResult<Vec<DeliveryRecord>>;
    /// Deletes the first `count` records, by release and node, of releases that have ended in all of their parts and were
    /// published before `before`.
    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64>;
}

impl Pilothouse {
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
