//! Follows a rollout: its counts and the nodes whose state changed, as it goes on. All who follow a release share one look at
//! the store a second, which reads the nodes only where records have changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::acknowledgement::DeliveryCount;
use super::release::{ReleaseId, ReleaseState, ReleaseSummary};
use super::rollout::{Latency, NodeRollout, NodeState, Rollout, RolloutStatus, Rollouts};
use crate::account::Caller;
use crate::sync::lock;
use crate::{Error, Pilothouse, Result};

/// The shortest time between two looks at a rollout, and so between two changes that a follower is told.
const LOOK: Duration = Duration::from_secs(1);
/// Time after which the nodes are read though no record has changed, for those that came, went, or hold another version.
const REREAD: Duration = Duration::from_secs(5);
/// The most nodes of one change: of a large rollout the others follow in the next ones.
const MAX_NODES: usize = 1000;
/// The most rollouts that are followed at once by one process.
const MAX_FOLLOWS: usize = 256;
/// Time after which somebody who was refused may try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Change of a rollout since a follower was last told.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutChange {
    /// Release with the number of nodes in each state.
    pub rollout: Rollout,
    /// Latency of the nodes that hold it and did not before; `None` as long as there is none.
    pub latency: Option<Latency>,
    /// Nodes that are new or in another state than before: at most 1000, the others come with the next change.
    pub nodes: Vec<NodeRollout>,
    /// Whether nothing more is awaited: the release has ended, or each of its nodes that is online has answered.
    pub is_settled: bool,
}

/// The followed rollouts of a process.
#[derive(Debug)]
pub(crate) struct RolloutFollows {
    shared: Mutex<HashMap<ReleaseId, Weak<SharedStatus>>>,
    places: Arc<Semaphore>,
    /// Raised when all are to end.
    ended: watch::Sender<u64>,
}

impl Default for RolloutFollows {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(MAX_FOLLOWS));
        Self { shared: Mutex::default(), places, ended: watch::Sender::default() }
    }
}

impl RolloutFollows {
    /// Ends all that are open.
    pub(super) fn end(&self) {
        self.ended.send_modify(|number| *number += 1);
    }

    fn status_of(&self, release: ReleaseId) -> Arc<SharedStatus> {
        let mut shared = lock(&self.shared);
        if let Some(known) = shared.get(&release).and_then(Weak::upgrade) {
            return known;
        }
        shared.retain(|_, status| status.strong_count() > 0);
        let status = Arc::default();
        shared.insert(release, Arc::downgrade(&status));
        status
    }
}

/// Status of a release for all who follow it.
#[derive(Debug, Default)]
struct SharedStatus(tokio::sync::Mutex<Option<Look>>);

/// Status of a release as it was read.
#[derive(Debug)]
struct Look {
    /// Time of the last look, at most one a second.
    at: Instant,
    /// Time at which the nodes were read.
    read: Instant,
    /// Records of the release, from before the nodes were read.
    records: ReleaseRecords,
    status: Arc<RolloutStatus>,
}

/// The state of a release and the counts of its records, at a cost that does not depend on the number of nodes.
#[derive(Debug, PartialEq, Eq)]
struct ReleaseRecords {
    summary: Vec<ReleaseSummary>,
    counts: Vec<DeliveryCount>,
}

/// A rollout that is followed.
#[derive(Debug)]
pub struct RolloutFollow {
    pilothouse: Pilothouse,
    caller: Caller,
    release: ReleaseId,
    shared: Arc<SharedStatus>,
    ended: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
    /// The status of which the follower was told everything.
    told_status: Option<Arc<RolloutStatus>>,
    /// Nodes as the follower was told of them, by node id.
    told: HashMap<String, ToldNode>,
    /// Counts and latency as the follower was told; `None` before the first change.
    told_rollout: Option<(Rollout, Option<Latency>)>,
    is_settled: bool,
}

/// Node as a follower knows it.
#[derive(Debug, PartialEq, Eq)]
struct ToldNode {
    state: NodeState,
    version: i64,
    sent: Option<DateTime<Utc>>,
    acked: Option<DateTime<Utc>>,
}

impl ToldNode {
    fn of(node: &NodeRollout) -> Self {
        let NodeRollout { state, version, sent, acked, .. } = *node;
        Self { state, version, sent, acked }
    }
}

impl Rollouts<'_> {
    /// Follows the rollout of a release; needs permission 0, which is asked again at every look. At most 256 are followed at
    /// once by one process.
    pub async fn follow(&self, caller: &Caller, id: ReleaseId) -> Result<RolloutFollow> {
        let mut snapshot = self.0.storage().read().await?;
        self.reader_of(&mut *snapshot, caller, id).await?;
        drop(snapshot);
        let follows = self.0.rollout_follows();
        let place = follows.places.clone().try_acquire_owned();
        Ok(RolloutFollow {
            pilothouse: self.0.clone(),
            caller: caller.clone(),
            release: id,
            shared: follows.status_of(id),
            ended: follows.ended.subscribe(),
            _place: place.map_err(|_| Error::TooMany { retry_after: RETRY_AFTER })?,
            told_status: None,
            told: HashMap::new(),
            told_rollout: None,
            is_settled: false,
        })
    }
}

impl RolloutFollow {
    /// The next change, the first at once; waits for one. `None` when nothing will follow: the rollout is settled, or the
    /// server stops. An error where the caller may not read it any more. Dropping the future before its end loses nothing.
    pub async fn next(&mut self) -> Result<Option<RolloutChange>> {
        loop {
            if self.is_settled {
                return Ok(None);
            }
            if self.told_rollout.is_some() && timeout(LOOK, self.ended.changed()).await.is_ok() {
                return Ok(None);
            }
            let status = self.look().await?;
            if let Some(change) = self.change(&status) {
                return Ok(Some(change));
            }
        }
    }

    /// Status as of less than a second ago, by whoever looked first.
    async fn look(&self) -> Result<Arc<RolloutStatus>> {
        let rollouts = self.pilothouse.rollouts();
        let mut snapshot = self.pilothouse.storage().read().await?;
        self.pilothouse.require_current(&mut *snapshot, &self.caller).await?;
        rollouts.reader_of(&mut *snapshot, &self.caller, self.release).await?;
        drop(snapshot);
        let mut latest = self.shared.0.lock().await;
        if let Some(look) = &*latest
            && look.at.elapsed() < LOOK
        {
            return Ok(look.status.clone());
        }
        let at = Instant::now();
        let records = self.records().await?;
        if let Some(look) = &mut *latest
            && look.records == records
            && look.read.elapsed() < REREAD
        {
            look.at = at;
            return Ok(look.status.clone());
        }
        let status = Arc::new(rollouts.status(&self.caller, self.release).await?);
        *latest = Some(Look { at, read: at, records, status: status.clone() });
        Ok(status)
    }

    async fn records(&self) -> Result<ReleaseRecords> {
        self.pilothouse.flush_reports().await?;
        let mut snapshot = self.pilothouse.storage().read().await?;
        let summary = snapshot.releases().summaries(&[self.release]).await?;
        let counts = snapshot.deliveries().counts(&[self.release]).await?;
        Ok(ReleaseRecords { summary, counts })
    }

    /// News of a status; `None` where nothing is new.
    fn change(&mut self, status: &Arc<RolloutStatus>) -> Option<RolloutChange> {
        if self.told_status.as_ref().is_some_and(|told| Arc::ptr_eq(told, status)) {
            return None;
        }
        let RolloutStatus { rollout, nodes, latency, .. } = &**status;
        let changed = |node: &&NodeRollout| self.told.get(&node.node_id) != Some(&ToldNode::of(node));
        let mut changed: Vec<&NodeRollout> = nodes.iter().filter(changed).collect();
        let is_whole = changed.len() <= MAX_NODES;
        changed.truncate(MAX_NODES);
        self.told_status = is_whole.then(|| status.clone());
        let is_news = self.told_rollout.as_ref().is_none_or(|told| told.0 != *rollout || told.1 != *latency);
        if changed.is_empty() && !is_news {
            return None;
        }
        self.told.extend(changed.iter().map(|node| (node.node_id.clone(), ToldNode::of(node))));
        self.told_rollout = Some((rollout.clone(), *latency));
        self.is_settled = is_whole && is_settled(rollout);
        let nodes = changed.into_iter().cloned().collect();
        let (rollout, latency, is_settled) = (rollout.clone(), *latency, self.is_settled);
        Some(RolloutChange { rollout, latency, nodes, is_settled })
    }
}

/// Whether nothing more is awaited of the nodes that are online.
fn is_settled(rollout: &Rollout) -> bool {
    let waiting = rollout.counts[NodeState::Pending as usize] + rollout.counts[NodeState::Sent as usize];
    rollout.release.state != ReleaseState::Active || waiting == 0
}
