//! Node registry: the nodes of an app that this process has seen, in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::mem;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};

use super::node::NodeNumber;
use super::snapshot::ConfigSnapshot;
use crate::config::identifier::AppId;
use crate::sync::{SingleFlight, lock};

/// The shortest time between two resends to a drifted node, in microseconds.
const RESEND_INTERVAL: i64 = 5_000_000;

/// In-memory state of an app: its newest snapshot and its live nodes, shared by all its sessions.
#[derive(Debug)]
pub(in crate::config) struct AppState {
    pub(super) app: AppId,
    pub(super) name: String,
    pub(super) snapshots: watch::Sender<Arc<ConfigSnapshot>>,
    pub(super) reloading: SingleFlight,
    ended: AtomicBool,
    /// Live nodes by profile and node id.
    nodes: Mutex<HashMap<String, BTreeMap<String, Arc<LiveNode>>>>,
    /// Node ids of Apollo clients, by profile and the address that their requests came from.
    clients: Mutex<HashMap<(String, String), BTreeSet<String>>>,
}

/// Nodes that are online by this process: a node whose watch is open elsewhere is counted there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodePresence {
    /// Nodes with an open watch, or that asked for something within the length of a lease.
    pub nodes: u64,
    /// Open watches, and long polls of Apollo's clients.
    pub watches: u64,
}

/// A node that this process has seen.
#[derive(Debug)]
pub(in crate::config) struct LiveNode {
    pub(in crate::config) number: NodeNumber,
    /// Open watches of the node; while there is one, the node is online.
    pub(in crate::config) watches: AtomicU32,
    /// Time of the node's last request, in microseconds.
    pub(in crate::config) last_seen: AtomicI64,
    /// Time at which its lease was last renewed, in microseconds; 0 where another process did that.
    pub(super) renewed: AtomicI64,
    /// Whether the node left and has not registered since.
    left: AtomicBool,
    /// Tag of the whole configuration last sent to the node.
    pub(super) last_sent_tag: AtomicU64,
    /// Address that the last request came from, of an Apollo client.
    pub(in crate::config) peer: Mutex<Option<IpAddr>>,
    /// Tags of namespaces sent to an Apollo client, and whether it has shown that it holds them.
    pub(in crate::config) sent_namespaces: Mutex<Vec<(u64, bool)>>,
    /// Keys whose acknowledged version differs from the expected one.
    drifted: Mutex<Vec<Arc<str>>>,
    /// Time of the last resend of drifted keys, in microseconds.
    resent: AtomicI64,
    /// Wakes the node's watches when keys drifted and when the node left.
    pub(super) woken: Notify,
}

impl LiveNode {
    fn new(number: NodeNumber, now: DateTime<Utc>, renewed: bool) -> Self {
        let now = now.timestamp_micros();
        Self {
            number,
            watches: AtomicU32::new(0),
            last_seen: AtomicI64::new(now),
            renewed: AtomicI64::new(if renewed { now } else { 0 }),
            left: AtomicBool::new(false),
            last_sent_tag: AtomicU64::new(0),
            peer: Mutex::default(),
            sent_namespaces: Mutex::default(),
            drifted: Mutex::default(),
            resent: AtomicI64::new(0),
            woken: Notify::new(),
        }
    }

    /// Records a request of the node, which keeps it online for the length of a lease.
    pub(in crate::config) fn seen(&self, now: DateTime<Utc>) {
        self.last_seen.store(now.timestamp_micros(), Ordering::Relaxed);
    }

    /// Marks keys as drifted and wakes the node's watches to resend them.
    pub(super) fn queue_resend(&self, keys: impl Iterator<Item = String>) {
        let mut drifted = lock(&self.drifted);
        for key in keys {
            if !drifted.iter().any(|known| **known == *key) {
                drifted.push(key.into());
            }
        }
        drop(drifted);
        self.woken.notify_waiters();
    }

    /// Takes the drifted keys, at most every five seconds: a node that never accepts them must not become a load.
    pub(super) fn take_resends(&self, now: DateTime<Utc>) -> Vec<Arc<str>> {
        let now = now.timestamp_micros();
        let mut drifted = lock(&self.drifted);
        if drifted.is_empty() || (now - self.resent.load(Ordering::Relaxed)).abs() < RESEND_INTERVAL {
            return Vec::new();
        }
        self.resent.store(now, Ordering::Relaxed);
        mem::take(&mut *drifted)
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
}

impl AppState {
    pub(super) fn new(app: AppId, name: String, snapshot: ConfigSnapshot) -> Self {
        Self {
            app,
            name,
            snapshots: watch::Sender::new(Arc::new(snapshot)),
            reloading: SingleFlight::default(),
            ended: AtomicBool::new(false),
            nodes: Mutex::default(),
            clients: Mutex::default(),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<ConfigSnapshot> {
        self.snapshots.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<ConfigSnapshot>> {
        self.snapshots.subscribe()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.snapshots.send_modify(|_| {});
    }

    pub(super) fn node(&self, profile: &str, node_id: &str) -> Option<Arc<LiveNode>> {
        lock(&self.nodes).get(profile)?.get(node_id).cloned()
    }

    /// The number of live nodes in all profiles.
    pub(in crate::config) fn node_count(&self) -> usize {
        lock(&self.nodes).values().map(BTreeMap::len).sum()
    }

    /// Records the address that an Apollo client's requests come from.
    pub(in crate::config) fn record_peer(&self, profile: &str, peer: &str, node_id: &str) {
        let mut clients = lock(&self.clients);
        let at = clients.entry((profile.to_owned(), peer.to_owned())).or_default();
        if !at.contains(node_id) {
            at.insert(node_id.to_owned());
        }
    }

    /// The Apollo clients whose requests come from an address.
    pub(in crate::config) fn clients_from(&self, profile: &str, peer: &str) -> Vec<(String, Arc<LiveNode>)> {
        let at = lock(&self.clients).get(&(profile.to_owned(), peer.to_owned())).cloned();
        let live = |node_id: String| Some((node_id.clone(), self.node(profile, &node_id)?));
        at.into_iter().flatten().filter_map(live).collect()
    }

    /// The Apollo clients that call themselves by an address, whatever their labels: their node ids begin with it.
    pub(in crate::config) fn clients_at(&self, profile: &str, address: &str) -> Vec<(String, Arc<LiveNode>)> {
        let nodes = lock(&self.nodes);
        let Some(nodes) = nodes.get(profile) else { return Vec::new() };
        // The slash before a label is followed by the digit zero in ASCII.
        let labelled = nodes.range(format!("{address}/")..format!("{address}0"));
        let all = nodes.get_key_value(address).into_iter().chain(labelled);
        all.map(|(node_id, node)| (node_id.clone(), node.clone())).collect()
    }

    /// Adds a node. One that is known stays, so that its open watches go on being its own.
    pub(super) fn register(
        &self,
        profile: &str,
        node_id: &str,
        number: NodeNumber,
        now: DateTime<Utc>,
        renewed: bool,
    ) -> Arc<LiveNode> {
        let mut nodes = lock(&self.nodes);
        let of_profile = match nodes.get_mut(profile) {
            Some(of_profile) => of_profile,
            None => nodes.entry(profile.to_owned()).or_default(),
        };
        if let Some(node) = of_profile.get(node_id).filter(|node| node.number == number && !node.has_left()) {
            if renewed {
                node.renewed.store(now.timestamp_micros(), Ordering::Relaxed);
                // A registration is a restart: the program holds nothing yet.
                node.last_sent_tag.store(0, Ordering::Relaxed);
            }
            return node.clone();
        }
        let node = Arc::new(LiveNode::new(number, now, renewed));
        of_profile.insert(node_id.to_owned(), node.clone());
        node
    }

    /// The nodes with an open watch here among those of these numbers.
    pub(super) fn watched(&self, numbers: &HashSet<NodeNumber>) -> HashMap<NodeNumber, Arc<LiveNode>> {
        let nodes = lock(&self.nodes);
        let watched = nodes
            .values()
            .flat_map(BTreeMap::values)
            .filter(|node| numbers.contains(&node.number) && node.watches.load(Ordering::Relaxed) > 0);
        watched.map(|node| (node.number, node.clone())).collect()
    }

    /// Removes a node that left, and ends its watches.
    pub(super) fn remove(&self, profile: &str, node_id: &str) {
        let gone = lock(&self.nodes).get_mut(profile).and_then(|nodes| nodes.remove(node_id));
        if let Some(node) = gone {
            node.left.store(true, Ordering::Release);
            node.woken.notify_waiters();
        }
    }

    /// Adds the nodes whose lease is due: those with a watch open, or seen since it was renewed and not too long ago.
    /// Times later than `now` are of a clock that was ahead; they are taken for now, or they would count for as long as
    /// it was wrong.
    pub(super) fn due_leases(
        &self,
        now: i64,
        renewed_before: i64,
        seen_after: i64,
        due: &mut Vec<NodeNumber>,
    ) {
        for node in lock(&self.nodes).values().flat_map(BTreeMap::values) {
            node.last_seen.fetch_min(now, Ordering::Relaxed);
            if node.renewed.load(Ordering::Relaxed) > now {
                node.renewed.store(0, Ordering::Relaxed);
            }
            let renewed = node.renewed.load(Ordering::Relaxed);
            let last_seen = node.last_seen.load(Ordering::Relaxed);
            let alive = node.watches.load(Ordering::Relaxed) > 0 || last_seen > renewed.max(seen_after);
            if alive && renewed <= renewed_before {
                due.push(node.number);
            }
        }
    }

    /// Records that the leases of these nodes were renewed at `now`, in microseconds.
    pub(super) fn leases_renewed(&self, nodes: &HashSet<NodeNumber>, now: i64) {
        for node in lock(&self.nodes).values().flat_map(BTreeMap::values) {
            if nodes.contains(&node.number) {
                node.renewed.store(now, Ordering::Relaxed);
            }
        }
    }

    /// Adds the nodes that were seen here since `seen_after`, in microseconds, and their open watches.
    pub(super) fn count(&self, seen_after: i64, presence: &mut NodePresence) {
        for node in lock(&self.nodes).values().flat_map(BTreeMap::values) {
            let watches = node.watches.load(Ordering::Relaxed);
            presence.watches += u64::from(watches);
            presence.nodes += u64::from(watches > 0 || node.last_seen.load(Ordering::Relaxed) > seen_after);
        }
    }

    /// Wakes the watches of nodes with drifted keys.
    pub(super) fn wake_drifted(&self) {
        for node in lock(&self.nodes).values().flat_map(BTreeMap::values) {
            if !lock(&node.drifted).is_empty() {
                node.woken.notify_waiters();
            }
        }
    }

    /// Drops nodes without an open watch that were last seen before `before`, in microseconds.
    pub(super) fn evict(&self, before: i64) {
        lock(&self.nodes).values_mut().for_each(|nodes| {
            nodes.retain(|_, node| {
                node.watches.load(Ordering::Relaxed) > 0 || node.last_seen.load(Ordering::Relaxed) > before
            });
        });
        let known = lock(&self.nodes).values().flat_map(BTreeMap::keys).cloned().collect::<BTreeSet<_>>();
        lock(&self.clients).retain(|_, nodes| {
            nodes.retain(|node_id| known.contains(node_id));
            !nodes.is_empty()
        });
    }
}
