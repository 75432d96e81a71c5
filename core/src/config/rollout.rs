//! How far a release has come: what each of its nodes made of it, and how fast.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::app::{check_identifier, open_app, require};
use super::delivery::KNOWN;
use super::{
    AckResult, Delivery, Node, NodeNumber, Permission, Release, ReleaseId, ReleaseKind, ReleaseState,
};
use crate::account::Caller;
use crate::ports::Repositories;
use crate::{Error, Pilothouse, Result, check_text};

/// What a node made of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeState {
    /// It is online, and has not been sent it.
    Pending,
    /// It is online, was sent it, and has said nothing.
    Sent,
    /// It holds it.
    Applied,
    /// It will not have it.
    Rejected,
    /// It could not hold it.
    Failed,
    /// It is not online, and has said nothing.
    Offline,
}

impl NodeState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Sent, Self::Applied, Self::Rejected, Self::Failed, Self::Offline];
}

/// A release, and how many of its nodes are in which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The release.
    pub release: Release,
    /// The key of its item.
    pub key: String,
    /// How many nodes it is for, as far as they are known: those of a grey release; for a full one, those registered
    /// and those that had to do with it. None is known 92 days after the publication of a release that has ended.
    pub targets: usize,
    /// How many of them are in each state, in the order of [`NodeState::ALL`].
    pub counts: [usize; 6],
}

/// What a node made of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRollout {
    /// What identifies the node.
    pub node_id: String,
    /// What it made of it.
    pub state: NodeState,
    /// The version of the key that it said it holds, the last time it did; 0 where it never did.
    pub version: i64,
    /// Its own words about this release.
    pub message: String,
    /// When it was first sent it.
    pub sent: Option<DateTime<Utc>>,
    /// When it last said what it made of it.
    pub acked: Option<DateTime<Utc>>,
}

/// How long it took from publishing until nodes held it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The first node.
    pub first: TimeDelta,
    /// Half of those that hold it.
    pub median: TimeDelta,
    /// The last so far.
    pub last: TimeDelta,
}

/// How far a release has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutStatus {
    /// The release.
    pub rollout: Rollout,
    /// Its nodes, in the order in which they first registered.
    pub nodes: Vec<NodeRollout>,
    /// Of the nodes that hold it and did not before; `None` as long as there is none.
    pub latency: Option<Latency>,
}

/// The use cases of rollouts.
#[derive(Clone, Copy, Debug)]
pub struct Rollouts<'a>(pub(crate) &'a Pilothouse);

impl Rollouts<'_> {
    /// The most releases of one list.
    pub const MAX: i64 = 100;

    /// The releases of a profile, or of one key, newest first, the last 100; needs permission 1.
    pub async fn list(
        &self,
        caller: &Caller,
        app: &str,
        profile: &str,
        key: Option<&str>,
    ) -> Result<Vec<Rollout>> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app(self.0, &mut *snapshot, caller, app, Permission::Develop).await?;
        drop(snapshot);
        check_identifier("profile", profile)?;
        if let Some(key) = key {
            check_text("key", key, 1, 256, false)?;
        }
        self.0.flush_reports().await?;
        let now = self.0.store_time().await?;
        let mut snapshot = self.0.storage().read().await?;
        let releases = snapshot.releases().list(app.id, profile, key, Self::MAX).await?;
        let mut scene = Scene::of(now, &mut *snapshot, app.id, profile, &releases).await?;
        let mut rollouts = Vec::with_capacity(releases.len());
        for (release, key) in releases {
            // One after the other: of many nodes there are many deliveries.
            scene.look_at(&mut *snapshot, [&release]).await?;
            rollouts.push(scene.rollout(release, key, &mut |_| {}));
        }
        Ok(rollouts)
    }

    /// How far a release has come; needs permission 1.
    pub async fn status(&self, caller: &Caller, id: ReleaseId) -> Result<RolloutStatus> {
        let absent = || Error::not_found("the release");
        let mut snapshot = self.0.storage().read().await?;
        let found = snapshot.releases().by_id(id).await?;
        let app = match &found {
            Some(release) => snapshot.items().app_of(release.item).await?,
            None => None,
        };
        require(self.0, &mut *snapshot, caller, app, Permission::Develop).await?;
        let (app, item) = (app.ok_or_else(absent)?, found.ok_or_else(absent)?.item);
        drop(snapshot);
        self.0.flush_reports().await?;
        let now = self.0.store_time().await?;
        let mut snapshot = self.0.storage().read().await?;
        let (profile, key) = snapshot.items().place(item).await?.ok_or_else(absent)?;
        let releases = snapshot.releases().list(app, &profile, Some(&key), Self::MAX).await?;
        let release = snapshot.releases().by_id(id).await?.ok_or_else(absent)?;
        let mut scene = Scene::of(now, &mut *snapshot, app, &profile, &releases).await?;
        let known = releases.iter().map(|(release, _)| release).chain([&release]);
        scene.look_at(&mut *snapshot, known).await?;
        Ok(scene.status(release, key))
    }
}

/// All that states are made of, at one moment.
struct Scene {
    now: DateTime<Utc>,
    nodes: Vec<Node>,
    /// The releases in question and their origins.
    releases: HashMap<ReleaseId, Release>,
    deliveries: HashMap<ReleaseId, HashMap<NodeNumber, Delivery>>,
    /// The active grey releases, by item.
    greys: HashMap<i64, Release>,
}

/// A node of a release.
struct Target<'a> {
    node_id: &'a str,
    node: Option<&'a Node>,
    state: NodeState,
    delivery: Option<Delivery>,
}

impl Scene {
    async fn of(
        now: DateTime<Utc>,
        store: &mut dyn Repositories,
        app: i64,
        profile: &str,
        releases: &[(Release, String)],
    ) -> Result<Self> {
        let nodes = store.nodes().list(app, profile).await?;
        let active = releases
            .iter()
            .map(|(release, _)| release)
            .filter(|release| release.kind == ReleaseKind::Grey && release.state == ReleaseState::Active);
        let greys = active.map(|release| (release.item, release.clone())).collect();
        Ok(Self { now, nodes, releases: HashMap::new(), deliveries: HashMap::new(), greys })
    }

    /// Reads what became of some releases, and lets go of others.
    async fn look_at(
        &mut self,
        store: &mut dyn Repositories,
        known: impl IntoIterator<Item = &Release>,
    ) -> Result<()> {
        self.releases = known.into_iter().map(|release| (release.id, release.clone())).collect();
        add_origins(store, &mut self.releases).await?;
        let mut ids: Vec<ReleaseId> = self.releases.keys().copied().collect();
        ids.sort_unstable();
        self.deliveries.clear();
        for delivery in store.deliveries().of_releases(&ids).await? {
            self.deliveries.entry(delivery.release).or_default().insert(delivery.node, delivery);
        }
        Ok(())
    }

    fn status(&self, release: Release, key: String) -> RolloutStatus {
        let held = self.held(release.item);
        let (published, version) = (release.publish_time, release.version);
        let (mut nodes, mut latencies) = (Vec::new(), Vec::new());
        let rollout = self.rollout(release, key, &mut |target: Target<'_>| {
            let (sent, ack) = target.delivery.map_or((None, None), |delivery| (delivery.sent, delivery.ack));
            if let Some(ack) = ack.as_ref().filter(|ack| ack.result == AckResult::Applied) {
                // Whoever held it before, from the release that this one followed, says nothing about speed.
                latencies.extend(Some(ack.time - published).filter(|took| *took >= TimeDelta::zero()));
            }
            let told = target.node.and_then(|node| held.get(&node.number)).copied().unwrap_or(0);
            nodes.push(NodeRollout {
                node_id: target.node_id.to_owned(),
                state: target.state,
                version: if target.state == NodeState::Applied { version } else { told },
                acked: ack.as_ref().map(|ack| ack.time),
                message: ack.map(|ack| ack.message).unwrap_or_default(),
                sent,
            });
        });
        latencies.sort_unstable();
        let latency = latencies.first().zip(latencies.last()).map(|(first, last)| Latency {
            first: *first,
            median: latencies[(latencies.len() - 1) / 2],
            last: *last,
        });
        RolloutStatus { rollout, nodes, latency }
    }

    /// Counts the nodes of a release that is looked at, and shows each.
    fn rollout(&self, release: Release, key: String, show: &mut dyn FnMut(Target<'_>)) -> Rollout {
        let (mut targets, mut counts) = (0, [0; 6]);
        let mut add = |node_id: &str, node: Option<&Node>, delivery: Option<Delivery>| {
            let state = state(delivery.as_ref(), node.is_some_and(|node| node.is_online(self.now)));
            targets += 1;
            counts[state as usize] += 1;
            show(Target { node_id, node, state, delivery });
        };
        let forgotten = release.state != ReleaseState::Active && release.publish_time < self.now - KNOWN;
        match release.kind {
            _ if forgotten => {}
            ReleaseKind::Grey => {
                let by_id: HashMap<&str, &Node> =
                    self.nodes.iter().map(|node| (&*node.node_id, node)).collect();
                for node_id in &release.nodes {
                    let node = by_id.get(&**node_id).copied();
                    add(node_id, node, node.and_then(|node| self.delivery(&release, node)));
                }
            }
            ReleaseKind::Full => {
                let elsewhere: HashSet<&str> = match self.greys.get(&release.item) {
                    Some(grey) => grey.nodes.iter().map(String::as_str).collect(),
                    None => HashSet::new(),
                };
                for node in &self.nodes {
                    let delivery = self.delivery(&release, node);
                    let expected = release.state == ReleaseState::Active
                        && !node.left
                        && !elsewhere.contains(&*node.node_id);
                    if expected || delivery.is_some() {
                        add(&node.node_id, Some(node), delivery);
                    }
                }
            }
        }
        Rollout { release, key, targets, counts }
    }

    /// What became of a release at a node, where need be from the release that it followed with the same version.
    fn delivery(&self, release: &Release, node: &Node) -> Option<Delivery> {
        let of = |id| self.deliveries.get(&id).and_then(|nodes| nodes.get(&node.number));
        let mut found = of(release.id).cloned();
        let mut at = release;
        while let Some(origin) = at.origin.and_then(|id| self.releases.get(&id)) {
            // Whom it was not for did not hold that version then.
            if origin.kind == ReleaseKind::Grey && origin.nodes.binary_search(&node.node_id).is_err() {
                break;
            }
            if let Some(before) = of(origin.id) {
                let nothing = Delivery { release: release.id, node: node.number, sent: None, ack: None };
                let known = found.get_or_insert(nothing);
                known.sent = known.sent.or(before.sent);
                known.ack = known.ack.take().or_else(|| before.ack.clone());
            }
            at = origin;
        }
        found
    }

    /// The version of an item that each node last said it holds.
    fn held(&self, item: i64) -> HashMap<NodeNumber, i64> {
        let mut last: HashMap<NodeNumber, (DateTime<Utc>, i64)> = HashMap::new();
        for release in self.releases.values().filter(|release| release.item == item) {
            for delivery in self.deliveries.get(&release.id).into_iter().flat_map(HashMap::values) {
                let Some(ack) = delivery.ack.as_ref().filter(|ack| ack.result == AckResult::Applied) else {
                    continue;
                };
                let this = (ack.time, release.version);
                last.entry(delivery.node).and_modify(|held| *held = (*held).max(this)).or_insert(this);
            }
        }
        last.into_iter().map(|(node, (_, version))| (node, version)).collect()
    }
}

/// Adds the releases that those known followed.
async fn add_origins(store: &mut dyn Repositories, releases: &mut HashMap<ReleaseId, Release>) -> Result<()> {
    let missing = |releases: &HashMap<ReleaseId, Release>| {
        let origins = releases.values().filter_map(|release| release.origin);
        origins.filter(|id| !releases.contains_key(id)).collect::<HashSet<_>>()
    };
    let mut wanted = missing(releases);
    while !wanted.is_empty() {
        for id in wanted {
            match store.releases().by_id(id).await? {
                Some(release) => drop(releases.insert(id, release)),
                None => releases.values_mut().for_each(|release| {
                    release.origin = release.origin.filter(|origin| *origin != id);
                }),
            }
        }
        wanted = missing(releases);
    }
    Ok(())
}

fn state(delivery: Option<&Delivery>, online: bool) -> NodeState {
    let ack = delivery.and_then(|delivery| delivery.ack.as_ref());
    match ack.map(|ack| ack.result) {
        Some(AckResult::Applied) => NodeState::Applied,
        Some(AckResult::Rejected) => NodeState::Rejected,
        Some(AckResult::Failed) => NodeState::Failed,
        None if !online => NodeState::Offline,
        None if delivery.is_some_and(|delivery| delivery.sent.is_some()) => NodeState::Sent,
        None => NodeState::Pending,
    }
}
