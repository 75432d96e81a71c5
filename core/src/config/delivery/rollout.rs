//! Rollout of a release: the state of each of its nodes, and the latency until they applied it.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::node::NodeNumber;
use super::release::{Release, ReleaseId, ReleasedItem};
use super::rollout_nodes::ProfileAt;
use super::rollout_query::RolloutQuery;
use crate::account::{Caller, Reach};
use crate::config::identifier::{AppId, ItemId, check_identifier};
use crate::ports::{Repositories, StorageResult};
use crate::{Error, Page, Pilothouse, Result, check_text};

/// State of a node in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeState {
    /// Online, and the release was not sent to it yet.
    Pending,
    /// Online; the release was sent and not acknowledged yet.
    Sent,
    /// The released version is in effect there.
    Applied,
    /// The node refused it.
    Rejected,
    /// The node tried to apply it and could not.
    Failed,
    /// Offline, without an acknowledgement.
    Offline,
}

impl NodeState {
    /// All states, in the order of counts.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Sent, Self::Applied, Self::Rejected, Self::Failed, Self::Offline];

    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Offline => "offline",
        }
    }

    /// The state of a name on the wire; `None` of any other.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// Page of the nodes of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePage {
    /// Only the nodes in this state.
    pub state: Option<NodeState>,
    /// Number of those nodes that come before the page.
    pub start: usize,
    /// The most nodes of the page.
    pub count: usize,
}

impl NodePage {
    /// All nodes.
    pub const WHOLE: Self = Self { state: None, start: 0, count: usize::MAX };

    /// Those of some nodes, in their order, that are on the page.
    pub fn of<T>(self, nodes: Vec<T>, state: impl Fn(&T) -> NodeState) -> Vec<T> {
        let wanted = nodes.into_iter().filter(|node| self.state.is_none_or(|wanted| wanted == state(node)));
        wanted.skip(self.start).take(self.count).collect()
    }
}

/// A release, and how many of its nodes are in which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// First part of the release that the nodes are compared with; its state is that of the release.
    pub release: Release,
    /// The key of its first item.
    pub key: String,
    /// Number of its items.
    pub items: usize,
    /// Number of known target nodes: those of a grey release; for a full one, those registered
    /// and those that had to do with it. None is known 92 days after the publication of a release that has ended.
    pub targets: usize,
    /// Nodes in each state, in the order of [`NodeState::ALL`].
    pub counts: [usize; 6],
}

/// State of a node in a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRollout {
    /// Id that the node registered with.
    pub node_id: String,
    /// State in this rollout.
    pub state: NodeState,
    /// The version of the key that it said it holds, the last time it did; 0 where it never did.
    pub version: i64,
    /// Explanation that came with the acknowledgement.
    pub message: String,
    /// Time of the first sending.
    pub sent: Option<DateTime<Utc>>,
    /// Time of the newest acknowledgement.
    pub acked: Option<DateTime<Utc>>,
}

/// Latency from publishing until nodes applied the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Latency of the first node.
    pub first: TimeDelta,
    /// Half of those that hold it.
    pub median: TimeDelta,
    /// The last so far.
    pub last: TimeDelta,
}

/// A rollout with each of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutStatus {
    /// Release with the number of nodes in each state.
    pub rollout: Rollout,
    /// Its items, by the id of their parts.
    pub items: Vec<ReleasedItem>,
    /// The nodes that were asked for, in the order in which they first registered; those of a grey release by node id.
    pub nodes: Vec<NodeRollout>,
    /// Latency of the nodes that hold it and did not before; `None` as long as there is none.
    pub latency: Option<Latency>,
}

/// The use cases of rollouts.
#[derive(Clone, Copy, Debug)]
pub struct Rollouts<'a>(pub(crate) &'a Pilothouse);

impl Rollouts<'_> {
    /// The most releases of a key that are looked at for what a node holds of it.
    const LOOKED_AT: i64 = 100;

    /// The releases of a profile, or of one key, newest first; needs permission 0.
    pub async fn list(
        &self,
        caller: &Caller,
        app: &str,
        profile: &str,
        key: Option<&str>,
        page: Page,
    ) -> Result<Vec<Rollout>> {
        let mut snapshot = self.0.storage().read().await?;
        let app =
            self.0.apps().open_for_reader(&mut *snapshot, caller, (app, Reach::Profile(profile))).await?;
        drop(snapshot);
        check_identifier("profile", profile)?;
        if let Some(key) = key {
            check_text("key", key, 1, 256, false)?;
        }
        self.0.flush_reports().await?;
        let now = self.0.store_time().await?;
        let mut snapshot = self.0.storage().read().await?;
        let ids = snapshot.releases().list_sets(app.id, profile, key, page).await?;
        let query = RolloutQuery { of: ProfileAt { app: app.id, profile, now } };
        let mut rollouts = query.rollouts(&mut *snapshot, &ids).await?;
        rollouts.reverse();
        Ok(rollouts)
    }

    /// Status of a release's rollout with every node; needs permission 0.
    pub async fn status(&self, caller: &Caller, id: ReleaseId) -> Result<RolloutStatus> {
        self.status_page(caller, id, NodePage::WHOLE).await
    }

    /// Status of a release's rollout with a page of its nodes; needs permission 0. Counts and latency are those of all nodes.
    pub async fn status_page(&self, caller: &Caller, id: ReleaseId, page: NodePage) -> Result<RolloutStatus> {
        let absent = || Error::not_found("the release");
        let mut snapshot = self.0.storage().read().await?;
        let (app, item) = self.reader_of(&mut *snapshot, caller, id).await?;
        drop(snapshot);
        self.0.flush_reports().await?;
        let now = self.0.store_time().await?;
        let mut snapshot = self.0.storage().read().await?;
        let (profile, _) = snapshot.items().place(item).await?.ok_or_else(absent)?;
        let query = RolloutQuery { of: ProfileAt { app, profile: &profile, now } };
        let rollout = query.rollouts(&mut *snapshot, &[id]).await?.pop().ok_or_else(absent)?;
        let items = snapshot.releases().items_of(id).await?;
        let nodes = query.nodes(&mut *snapshot, &rollout, page).await?;
        let latency = query.latency(&mut *snapshot, &rollout).await?;
        // Of those nodes of the page alone that have not the released version: what all nodes hold is in as many records as
        // they got releases.
        let (applied, version) = (NodeState::Applied, rollout.release.version);
        let others = nodes.iter().filter(|node| node.state != applied);
        let others: Vec<NodeNumber> = others.filter_map(|node| node.number).collect();
        let held = snapshot.deliveries().held(item, &others, Self::LOOKED_AT).await?;
        let held: HashMap<NodeNumber, i64> = held.into_iter().map(|held| (held.node, held.version)).collect();
        let shown = nodes.into_iter().map(|node| {
            let told = node.number.and_then(|number| held.get(&number)).copied().unwrap_or(0);
            NodeRollout {
                version: if node.state == applied { version } else { told },
                node_id: node.node_id,
                state: node.state,
                acked: node.ack.as_ref().map(|ack| ack.time),
                message: node.ack.map(|ack| ack.message).unwrap_or_default(),
                sent: node.sent,
            }
        });
        Ok(RolloutStatus { nodes: shown.collect(), rollout, items, latency })
    }

    /// Refuses a release that is not of this app and profile as not found; needs permission 0.
    pub async fn require_in(
        &self,
        caller: &Caller,
        (app, profile): (&str, &str),
        id: ReleaseId,
    ) -> Result<()> {
        let mut snapshot = self.0.storage().read().await?;
        let place = (app, Reach::Profile(profile));
        let app = self.0.apps().open_for_reader(&mut *snapshot, caller, place).await?;
        let found = found_place(&mut *snapshot, id).await?;
        let is_there = found.is_some_and(|found| found.app == app.id && found.profile == profile);
        if is_there { Ok(()) } else { Err(Error::not_found("the release")) }
    }

    /// App and first item of a release. Refuses a caller who may not read it before whether there is one is told.
    pub(super) async fn reader_of(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        id: ReleaseId,
    ) -> Result<(AppId, ItemId)> {
        let found = found_place(repositories, id).await?;
        let app = found.as_ref().map(|found| found.app);
        let reach = found.as_ref().map_or(Reach::App, |found| Reach::Profile(&found.profile));
        self.0.apps().require_reader(repositories, caller, (app, reach)).await?;
        let found = found.ok_or_else(|| Error::not_found("the release"))?;
        Ok((found.app, found.item))
    }
}

/// Place of a release.
struct ReleasePlace {
    app: AppId,
    profile: String,
    /// Item of its first part.
    item: ItemId,
}

/// Finds the place of a release by the id of its first part.
async fn found_place(
    repositories: &mut dyn Repositories,
    id: ReleaseId,
) -> StorageResult<Option<ReleasePlace>> {
    let found = repositories.releases().by_id(id).await?.filter(|release| release.set.is_none());
    let Some(item) = found.map(|release| release.item) else { return Ok(None) };
    let app = repositories.items().app_of(item).await?;
    let place = repositories.items().place(item).await?;
    Ok(app.zip(place).map(|(app, (profile, _))| ReleasePlace { app, profile, item }))
}
