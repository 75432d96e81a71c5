//! Computes rollouts from the counts that are kept of each release, and from the nodes of a page. Only where nodes did not
//! answer, or were not asked, are the nodes looked at for who is online.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::acknowledgement::{Ack, DeliveryCount, RETENTION, ReachCount};
use super::node::{NodeCensus, NodeNumber};
use super::release::{GreysBeside, ReleaseId, ReleaseKind, ReleaseState, ReleaseSummary};
use super::rollout::{Latency, NodePage, NodeState, Rollout};
use super::rollout_nodes::{ConcernedNodes, ProfileAt, RolloutNode};
use crate::Result;
use crate::ports::{Repositories, StorageResult};

/// Question for rollouts in a profile, at a moment.
pub(super) struct RolloutQuery<'a> {
    pub(super) of: ProfileAt<'a>,
}

/// A node of a page.
pub(super) struct PagedNode {
    /// `None` for one that is not registered.
    pub(super) number: Option<NodeNumber>,
    pub(super) node_id: String,
    pub(super) state: NodeState,
    pub(super) sent: Option<DateTime<Utc>>,
    pub(super) ack: Option<Ack>,
}

impl From<RolloutNode> for PagedNode {
    fn from(node: RolloutNode) -> Self {
        let RolloutNode { number, node_id, state, sent, ack } = node;
        Self { number: Some(number), node_id, state, sent, ack }
    }
}

/// Numbers of nodes in each state, in the order of [`NodeState::ALL`].
type Counts = [i64; 6];

impl RolloutQuery<'_> {
    /// The rollouts of releases that are named by their first parts, by id.
    pub(super) async fn rollouts(
        &self,
        store: &mut dyn Repositories,
        releases: &[ReleaseId],
    ) -> Result<Vec<Rollout>> {
        let summaries = store.releases().summaries(releases).await?;
        let counts = store.deliveries().counts(releases).await?;
        let counts: HashMap<ReleaseId, DeliveryCount> =
            counts.into_iter().map(|count| (count.release, count)).collect();
        let census = store.nodes().census(self.of.app, self.of.profile, self.of.now).await?;
        let mut open = Vec::new();
        for summary in &summaries {
            let id = summary.first.id;
            let count = counts.get(&id).copied().unwrap_or(DeliveryCount::none(id));
            let is_full = summary.first.kind == ReleaseKind::Full && !self.is_forgotten(summary);
            if is_full && (count.open() > 0 || summary.active() > 0 && count.nodes < total(census)) {
                open.push(id);
            }
        }
        let reached = self.reached(store, &open, census).await?;
        let beside = store.releases().greys_beside(&open).await?;
        let mut rollouts = Vec::with_capacity(summaries.len());
        for summary in summaries {
            let id = summary.first.id;
            let count = counts.get(&id).copied().unwrap_or(DeliveryCount::none(id));
            let except = nodes_elsewhere(&beside, id);
            let (targets, counts) = match summary.first.kind {
                _ if self.is_forgotten(&summary) => (0, [0; 6]),
                ReleaseKind::Grey => self.of_grey(store, &summary, count).await?,
                ReleaseKind::Full if except.is_empty() => {
                    of_all(of_full(&summary, count, census, reached.get(&id)))
                }
                ReleaseKind::Full => {
                    let concerned = ConcernedNodes { release: id, everyone: true, except: &except };
                    of_all(store.deliveries().rollout_states(self.of, &concerned).await?)
                }
            };
            rollouts.push(rollout(summary, targets, counts));
        }
        Ok(rollouts)
    }

    /// Nothing is kept of a release that ended and was published so long ago.
    fn is_forgotten(&self, summary: &ReleaseSummary) -> bool {
        summary.state() != ReleaseState::Active && summary.first.publish_time < self.of.now - RETENTION
    }

    /// The records at nodes that are not online, by release. The smaller part of the profile is looked at.
    async fn reached(
        &self,
        store: &mut dyn Repositories,
        releases: &[ReleaseId],
        census: NodeCensus,
    ) -> StorageResult<HashMap<ReleaseId, Reached>> {
        let is_online = census.online < census.offline + census.left;
        let mut reached: HashMap<ReleaseId, Reached> = HashMap::new();
        if releases.is_empty() {
            return Ok(reached);
        }
        for count in store.deliveries().reach(self.of, releases, is_online).await? {
            reached.entry(count.release).or_default().add(count, is_online);
        }
        if is_online && census.left > 0 {
            for count in store.deliveries().reach(self.of, releases, false).await? {
                reached.entry(count.release).or_default().add(count, false);
            }
        }
        Ok(reached)
    }

    /// Targets and counts of a grey release: of the nodes that it names.
    async fn of_grey(
        &self,
        store: &mut dyn Repositories,
        summary: &ReleaseSummary,
        count: DeliveryCount,
    ) -> Result<(usize, [usize; 6])> {
        let named = &summary.first.nodes;
        let mut counts = [0, 0, count.applied, count.rejected, count.failed, 0];
        if counts.iter().sum::<i64>() < i64::try_from(named.len()).unwrap_or(i64::MAX) {
            counts = [0; 6];
            for node in self.named(store, summary.first.id, named).await? {
                counts[node.state as usize] += 1;
            }
        }
        Ok(of_all(counts))
    }

    /// The nodes of these ids in a release, in that order, also those that are not registered.
    async fn named(
        &self,
        store: &mut dyn Repositories,
        release: ReleaseId,
        node_ids: &[String],
    ) -> Result<Vec<PagedNode>> {
        let wanted: Vec<&str> = node_ids.iter().map(String::as_str).collect();
        let found = store.deliveries().named_nodes(self.of, release, &wanted).await?;
        let mut found: HashMap<String, RolloutNode> =
            found.into_iter().map(|node| (node.node_id.clone(), node)).collect();
        let node = |node_id: &String| match found.remove(node_id) {
            Some(node) => node.into(),
            None => PagedNode {
                number: None,
                node_id: node_id.clone(),
                state: NodeState::Offline,
                sent: None,
                ack: None,
            },
        };
        Ok(node_ids.iter().map(node).collect())
    }

    /// A page of the nodes of a rollout.
    pub(super) async fn nodes(
        &self,
        store: &mut dyn Repositories,
        rollout: &Rollout,
        page: NodePage,
    ) -> Result<Vec<PagedNode>> {
        let Rollout { release, targets, .. } = rollout;
        if *targets == 0 {
            return Ok(Vec::new());
        }
        if release.kind == ReleaseKind::Grey {
            let wanted = match page.state {
                Some(_) => release.nodes.clone(),
                None => page.of(release.nodes.clone(), |_| NodeState::Pending),
            };
            let named = self.named(store, release.id, &wanted).await?;
            return Ok(if page.state.is_some() { page.of(named, |node| node.state) } else { named });
        }
        let everyone = release.state == ReleaseState::Active;
        let beside = if everyone { store.releases().greys_beside(&[release.id]).await? } else { Vec::new() };
        let except = nodes_elsewhere(&beside, release.id);
        let concerned = ConcernedNodes { release: release.id, everyone, except: &except };
        let nodes = store.deliveries().rollout_nodes(self.of, &concerned, page).await?;
        Ok(nodes.into_iter().map(PagedNode::from).collect())
    }

    /// Latency of the nodes that applied the release after it was published: whoever held it before says nothing about speed.
    pub(super) async fn latency(
        &self,
        store: &mut dyn Repositories,
        rollout: &Rollout,
    ) -> Result<Option<Latency>> {
        let Rollout { release, targets, .. } = rollout;
        if *targets == 0 {
            return Ok(None);
        }
        let since = release.publish_time;
        let times = store.deliveries().applied_times(release.id, since).await?;
        let took = |time: DateTime<Utc>| -> TimeDelta { time - since };
        Ok(times.map(|times| Latency {
            first: took(times.first),
            median: took(times.median),
            last: took(times.last),
        }))
    }
}

/// Records of a release at nodes that are online, at those that are not, and at those that left.
#[derive(Default)]
struct Reached {
    online: Option<ReachedNodes>,
    not_online: Option<ReachedNodes>,
    left: i64,
}

#[derive(Clone, Copy, Default)]
struct ReachedNodes {
    all: i64,
    /// Those that said nothing.
    open: i64,
}

impl Reached {
    fn add(&mut self, count: ReachCount, is_online: bool) {
        let nodes = if is_online { &mut self.online } else { &mut self.not_online };
        let nodes = nodes.get_or_insert_default();
        nodes.all += count.nodes;
        nodes.open += if count.is_acked { 0 } else { count.nodes };
        self.left += if count.left { count.nodes } else { 0 };
    }

    /// Those at nodes that are online, from whichever side was looked at.
    fn online(&self, count: DeliveryCount, was_online_counted: bool) -> ReachedNodes {
        if was_online_counted {
            return self.online.unwrap_or_default();
        }
        let others = self.not_online.unwrap_or_default();
        ReachedNodes { all: count.nodes - others.all, open: count.open() - others.open }
    }
}

/// Counts of a full release, of which no node is elsewhere.
fn of_full(
    summary: &ReleaseSummary,
    count: DeliveryCount,
    census: NodeCensus,
    reached: Option<&Reached>,
) -> Counts {
    let nothing = Reached::default();
    let reached = reached.unwrap_or(&nothing);
    let was_online_counted = census.online < census.offline + census.left;
    let online = reached.online(count, was_online_counted);
    let (mut pending, mut offline) = (0, count.open() - online.open);
    if summary.active() > 0 && count.nodes < total(census) {
        pending = census.online - online.all;
        offline += census.offline - (count.nodes - online.all - reached.left);
    }
    [pending, online.open, count.applied, count.rejected, count.failed, offline]
}

fn total(census: NodeCensus) -> i64 {
    census.online + census.offline + census.left
}

/// Targets and counts, where every target is in a state.
fn of_all(counts: Counts) -> (usize, [usize; 6]) {
    let counts = counts.map(|count| usize::try_from(count).unwrap_or_default());
    (counts.iter().sum(), counts)
}

/// The nodes for which a grey release takes the place of each part of a full one.
fn nodes_elsewhere(beside: &[GreysBeside], release: ReleaseId) -> Vec<&str> {
    let mut lists = beside.iter().filter(|greys| greys.release == release);
    let Some(first) = lists.next() else { return Vec::new() };
    let others: Vec<HashSet<&str>> =
        lists.map(|greys| greys.nodes.iter().map(String::as_str).collect()).collect();
    let first = first.nodes.iter().map(String::as_str);
    first.filter(|node| others.iter().all(|nodes| nodes.contains(node))).collect()
}

fn rollout(summary: ReleaseSummary, targets: usize, counts: [usize; 6]) -> Rollout {
    let items = usize::try_from(summary.items()).unwrap_or_default();
    let state = summary.state();
    let ReleaseSummary { first, key, .. } = summary;
    Rollout { release: super::release::Release { state, ..first }, key, items, targets, counts }
}
