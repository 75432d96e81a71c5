//! What of an app is known in this process: its view, and the nodes heard of.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::mem;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};

use super::AppId;
use super::node::NodeNumber;
use super::view::View;
use crate::pilothouse::lock;
use crate::shared::Shared;

/// How often a node is told again that it holds something else than it should, at the most: microseconds.
const REMIND: i64 = 5_000_000;

/// What all feeds of an app share.
#[derive(Debug)]
pub(super) struct AppFeed {
    pub(super) app: AppId,
    pub(super) name: String,
    pub(super) views: watch::Sender<Arc<View>>,
    pub(super) reloading: Shared,
    ended: AtomicBool,
    nodes: Mutex<HashMap<String, BTreeMap<String, Arc<HeardNode>>>>,
    /// The guests that came from an address: profile, address, node ids.
    guests: Mutex<HashMap<(String, String), BTreeSet<String>>>,
}

/// A node that this process has heard of.
#[derive(Debug)]
pub(super) struct HeardNode {
    pub(super) number: NodeNumber,
    /// How many watches of it are open.
    pub(super) watches: AtomicU32,
    /// When it was last heard, and when its lease was last renewed, in microseconds.
    pub(super) heard: AtomicI64,
    pub(super) renewed: AtomicI64,
    /// Whether it left.
    pub(super) left: AtomicBool,
    /// The tag of what it was last told as a whole.
    pub(super) told: AtomicU64,
    /// Where its last request came from, of a guest.
    pub(super) peer: Mutex<Option<IpAddr>>,
    /// The parts it was told, by tag, and whether it showed to hold them.
    pub(super) parts: Mutex<Vec<(u64, bool)>>,
    /// Keys of which it said that it holds something else than it should.
    pub(super) drifted: Mutex<Vec<Arc<str>>>,
    /// When it was last told those again, in microseconds.
    pub(super) reminded: AtomicI64,
    /// Wakes its watches for those, and when it left.
    pub(super) woken: Notify,
}

impl HeardNode {
    fn new(number: NodeNumber, now: DateTime<Utc>, renewed: bool) -> Self {
        let now = now.timestamp_micros();
        Self {
            number,
            watches: AtomicU32::new(0),
            heard: AtomicI64::new(now),
            renewed: AtomicI64::new(if renewed { now } else { 0 }),
            left: AtomicBool::new(false),
            told: AtomicU64::new(0),
            peer: Mutex::default(),
            parts: Mutex::default(),
            drifted: Mutex::default(),
            reminded: AtomicI64::new(0),
            woken: Notify::new(),
        }
    }

    /// Has its watches tell it again what it should hold of these keys.
    pub(super) fn tell_again(&self, keys: impl Iterator<Item = String>) {
        let mut drifted = lock(&self.drifted);
        for key in keys {
            if !drifted.iter().any(|held| **held == *key) {
                drifted.push(key.into());
            }
        }
        drop(drifted);
        self.woken.notify_waiters();
    }

    /// The keys to tell it again, at most every five seconds, so that a node that never holds what it should is no load.
    pub(super) fn to_tell_again(&self, now: DateTime<Utc>) -> Vec<Arc<str>> {
        let now = now.timestamp_micros();
        let mut drifted = lock(&self.drifted);
        if drifted.is_empty() || now - self.reminded.load(Ordering::Relaxed) < REMIND {
            return Vec::new();
        }
        self.reminded.store(now, Ordering::Relaxed);
        mem::take(&mut *drifted)
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
}

impl AppFeed {
    pub(super) fn new(app: AppId, name: String, view: View) -> Self {
        Self {
            app,
            name,
            views: watch::Sender::new(Arc::new(view)),
            reloading: Shared::default(),
            ended: AtomicBool::new(false),
            nodes: Mutex::default(),
            guests: Mutex::default(),
        }
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.views.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.views.subscribe()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.views.send_modify(|_| {});
    }

    pub(super) fn heard(&self, profile: &str, node_id: &str) -> Option<Arc<HeardNode>> {
        lock(&self.nodes).get(profile)?.get(node_id).cloned()
    }

    /// How many nodes were heard of.
    pub(super) fn nodes_heard(&self) -> usize {
        lock(&self.nodes).values().map(BTreeMap::len).sum()
    }

    /// Notes where a guest came from.
    pub(super) fn came_from(&self, profile: &str, address: &str, node_id: &str) {
        let mut guests = lock(&self.guests);
        let at = guests.entry((profile.to_owned(), address.to_owned())).or_default();
        if !at.contains(node_id) {
            at.insert(node_id.to_owned());
        }
    }

    /// The guests that came from an address.
    pub(super) fn guests_from(&self, profile: &str, address: &str) -> Vec<(String, Arc<HeardNode>)> {
        let at = lock(&self.guests).get(&(profile.to_owned(), address.to_owned())).cloned();
        let heard = |node_id: String| Some((node_id.clone(), self.heard(profile, &node_id)?));
        at.into_iter().flatten().filter_map(heard).collect()
    }

    /// The guests at an address, whatever their labels: their ids begin with it.
    pub(super) fn guests_at(&self, profile: &str, address: &str) -> Vec<(String, Arc<HeardNode>)> {
        let nodes = lock(&self.nodes);
        let Some(nodes) = nodes.get(profile) else { return Vec::new() };
        // A slash is followed by the digit zero.
        let labelled = nodes.range(format!("{address}/")..format!("{address}0"));
        let all = nodes.get_key_value(address).into_iter().chain(labelled);
        all.map(|(node_id, node)| (node_id.clone(), node.clone())).collect()
    }

    /// Notes a node. One that is known stays, so that its open watches go on being its own.
    pub(super) fn hear(
        &self,
        profile: &str,
        node_id: &str,
        number: NodeNumber,
        now: DateTime<Utc>,
        renewed: bool,
    ) -> Arc<HeardNode> {
        let mut nodes = lock(&self.nodes);
        let of_profile = match nodes.get_mut(profile) {
            Some(of_profile) => of_profile,
            None => nodes.entry(profile.to_owned()).or_default(),
        };
        if let Some(node) = of_profile.get(node_id).filter(|node| node.number == number && !node.has_left()) {
            if renewed {
                node.renewed.store(now.timestamp_micros(), Ordering::Relaxed);
                // It began anew, with nothing.
                node.told.store(0, Ordering::Relaxed);
            }
            return node.clone();
        }
        let node = Arc::new(HeardNode::new(number, now, renewed));
        of_profile.insert(node_id.to_owned(), node.clone());
        node
    }

    /// The nodes with an open watch here among those of these numbers.
    pub(super) fn watched(&self, numbers: &HashSet<NodeNumber>) -> HashMap<NodeNumber, Arc<HeardNode>> {
        let nodes = lock(&self.nodes);
        let watched = nodes
            .values()
            .flat_map(BTreeMap::values)
            .filter(|node| numbers.contains(&node.number) && node.watches.load(Ordering::Relaxed) > 0);
        watched.map(|node| (node.number, node.clone())).collect()
    }

    /// Forgets a node that left, and ends its watches.
    pub(super) fn forget(&self, profile: &str, node_id: &str) {
        let gone = lock(&self.nodes).get_mut(profile).and_then(|nodes| nodes.remove(node_id));
        if let Some(node) = gone {
            node.left.store(true, Ordering::Release);
            node.woken.notify_waiters();
        }
    }

    /// The nodes whose lease is due: those with a watch open, or heard since it was renewed and not too long ago.
    pub(super) fn due(&self, renewed_before: i64, heard_after: i64, now: i64, due: &mut Vec<NodeNumber>) {
        for node in lock(&self.nodes).values().flat_map(BTreeMap::values) {
            let renewed = node.renewed.load(Ordering::Relaxed);
            let heard = node.heard.load(Ordering::Relaxed);
            let alive = node.watches.load(Ordering::Relaxed) > 0 || heard > renewed.max(heard_after);
            if alive && renewed <= renewed_before {
                node.renewed.store(now, Ordering::Relaxed);
                due.push(node.number);
            }
        }
    }

    /// Wakes the watches of nodes that hold something else than they should.
    pub(super) fn remind(&self) {
        for node in lock(&self.nodes).values().flat_map(BTreeMap::values) {
            if !lock(&node.drifted).is_empty() {
                node.woken.notify_waiters();
            }
        }
    }

    /// Forgets who was not heard since `before`.
    pub(super) fn tidy(&self, before: i64) {
        lock(&self.nodes).values_mut().for_each(|nodes| {
            nodes.retain(|_, node| {
                node.watches.load(Ordering::Relaxed) > 0 || node.heard.load(Ordering::Relaxed) > before
            });
        });
        let known = lock(&self.nodes).values().flat_map(BTreeMap::keys).cloned().collect::<BTreeSet<_>>();
        lock(&self.guests).retain(|_, nodes| {
            nodes.retain(|node_id| known.contains(node_id));
            !nodes.is_empty()
        });
    }
}
