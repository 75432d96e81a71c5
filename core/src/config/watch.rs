//! A node's own side: what it should hold, being told of what changes, and what it made of it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use futures_util::future::{Either, select};
use tokio::sync::watch;

use super::delivery::{Ack, AckResult};
use super::feed::Feed;
use super::heard::{AppFeed, HeardNode};
use super::node::{LEASE, NewNode, Node};
use super::view::{Change, Holding, View};
use crate::pilothouse::lock;
use crate::{Error, Pilothouse, Result, check_text};

/// For how long after a release its being sent is noted again when a node comes back and has it.
const RECENT: TimeDelta = TimeDelta::minutes(10);

/// What a node is told when it registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// What identifies it.
    pub node_id: String,
    /// How many seconds it is online after it was last heard.
    pub lease: i64,
    /// The app's revision.
    pub revision: i64,
}

/// What a node made of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The key: 1 to 256 bytes.
    pub key: String,
    /// The version it was told.
    pub version: i64,
    /// What it made of it.
    pub result: AckResult,
    /// Its own words: at most 1024 bytes; may hold TAB, CR and LF.
    pub message: String,
}

/// An app's configuration as one registered node gets it. Whatever it asks for shows that it is online.
#[derive(Clone, Debug)]
pub struct NodeFeed {
    feed: Feed,
    profile: Arc<str>,
    pub(super) node_id: Arc<str>,
    pub(super) node: Arc<HeardNode>,
}

impl Feed {
    /// Registers a node, or notes that it began anew. It is online for [`LEASE`] from now on.
    pub async fn register(&self, new: NewNode) -> Result<Registered> {
        new.check()?;
        let NewNode { profile, node_id, pid, ip, labels } = new;
        let node_id = node_id.unwrap_or_else(|| self.pilothouse.ids().uuid().simple().to_string());
        let mut work = self.pilothouse.storage().begin().await?;
        let now = work.now().await?;
        let node = Node {
            number: 0,
            app: self.app(),
            profile,
            node_id,
            pid,
            ip,
            labels,
            register_time: now,
            lease_until: now + LEASE,
            left: false,
        };
        let number = work.nodes().register(&node).await?.ok_or_else(|| Error::not_found("the app"))?;
        work.commit().await?;
        self.shared.hear(&node.profile, &node.node_id, number, self.pilothouse.clock().now(), true);
        let revision = self.view().revision();
        Ok(Registered { node_id: node.node_id, lease: LEASE.num_seconds(), revision })
    }
}

impl NodeFeed {
    /// The most reports at once.
    pub const MAX_REPORTS: usize = 1000;

    pub(super) fn new(feed: Feed, profile: &str, node_id: &str, node: Arc<HeardNode>) -> Self {
        Self { feed, profile: profile.into(), node_id: node_id.into(), node }
    }

    /// The app's feed.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// All that the node should hold, which counts as sent. `known` is a revision of the app that the node knows of:
    /// the answer is not older, where the store has that.
    pub async fn holding(&self, known: i64) -> Result<Arc<Holding>> {
        let view = self.feed.view_at(known).await?;
        let holding = view.holding(&self.profile, &self.node_id);
        // A node that asks again and again is written down once.
        if self.node.told.swap(holding.tag, Ordering::Relaxed) != holding.tag {
            self.sent(&holding.change);
        }
        Ok(holding)
    }

    /// Watches what the node should hold, which holds what it was told at `revision`; at 0 it holds nothing.
    pub async fn watch(&self, revision: i64) -> Result<Watch> {
        let revision = revision.max(0);
        // Subscribed before anything is looked at, so that nothing passes in between.
        let views = self.feed.subscribe();
        let view = self.feed.view_at(revision).await?;
        self.node.watches.fetch_add(1, Ordering::Relaxed);
        let watch = Watch { node: self.clone(), views, revision };
        if revision > 0 {
            watch.node.still_holds(&view, revision);
        }
        Ok(watch)
    }

    /// Notes what the node made of values. Returns when that is in the store. A report about something else than the
    /// node should hold is answered through its watches: it is told again what it should.
    pub async fn ack(&self, reports: Vec<Report>) -> Result<()> {
        if reports.len() > Self::MAX_REPORTS {
            return Err(Error::invalid("results", format!("must be at most {}", Self::MAX_REPORTS)));
        }
        for Report { key, version, message, .. } in &reports {
            check_text("key", key, 1, 256, false)?;
            check_text("message", message, 0, 1024, true)?;
            if *version < 0 {
                return Err(Error::invalid("version", "must not be negative"));
            }
        }
        let mut view = self.feed.view();
        let known = |view: &View, report: &Report| {
            view.release_of(&self.profile, &self.node_id, &report.key, report.version)
        };
        if reports.iter().any(|report| known(&view, report).is_none()) {
            // It may have been told by a server that is ahead of this one.
            self.pilothouse().feeds().reload(&self.feed.shared).await?;
            view = self.feed.view();
        }
        let time = self.pilothouse().clock().now();
        let mut drifted = false;
        for report in reports {
            let held = view.held(&self.profile, &self.node_id, &report.key);
            if held.as_ref().map(|held| held.version) != Some(report.version)
                && report.result == AckResult::Applied
            {
                let mut keys = lock(&self.node.drifted);
                if !keys.iter().any(|key| **key == *report.key) {
                    keys.push(report.key.as_str().into());
                }
                drifted = true;
            }
            if let Some(release) = known(&view, &report) {
                let ack = Ack { result: report.result, message: report.message, time };
                self.pilothouse().reports().acked(release, self.node.number, ack);
            }
        }
        if drifted {
            self.node.woken.notify_waiters();
        }
        self.pilothouse().flush_reports().await
    }

    /// Notes that the node goes: it is offline at once, its watches end, and to come back it has to register.
    pub async fn leave(&self) -> Result<()> {
        let mut work = self.pilothouse().storage().begin().await?;
        work.nodes().leave(self.node.number).await?;
        work.commit().await?;
        self.feed.shared.forget(&self.profile, &self.node_id);
        Ok(())
    }

    pub(super) fn pilothouse(&self) -> &Pilothouse {
        &self.feed.pilothouse
    }

    fn sent(&self, change: &Change) {
        let releases = change.items.iter().map(|held| held.release);
        let now = self.pilothouse().clock().now();
        self.pilothouse().reports().sent(releases, self.node.number, now);
    }

    /// A server that fell over may have sent what it had no time to write down; a node that comes back with it shows so.
    fn still_holds(&self, view: &View, revision: i64) {
        let now = self.pilothouse().clock().now();
        let recent = view.recent(&self.profile, &self.node_id, revision, now - RECENT);
        self.pilothouse().reports().sent(recent.into_iter(), self.node.number, now);
    }
}

/// An open watch. While it is open its node is online.
#[derive(Debug)]
pub struct Watch {
    node: NodeFeed,
    views: watch::Receiver<Arc<View>>,
    revision: i64,
}

impl Watch {
    /// The revision that the node is at: all before it was told.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The next change for this node, which counts as sent; waits for one. `None` when nothing will follow: the node
    /// left, its app was deleted, or the server stops. Dropped before its end it loses nothing.
    pub async fn next(&mut self) -> Option<Arc<Change>> {
        loop {
            let node = self.node.node.clone();
            let mut woken = pin!(node.woken.notified());
            woken.as_mut().enable();
            if self.shared().has_ended() || node.has_left() {
                return None;
            }
            let view = self.views.borrow_and_update().clone();
            let change = view.change(&self.node.profile, &self.node.node_id, self.revision);
            self.revision = view.revision();
            if let Some(change) = change {
                self.node.sent(&change);
                return Some(change);
            }
            let drifted = node.to_tell_again(self.node.pilothouse().clock().now());
            if !drifted.is_empty() {
                return Some(Arc::new(view.again(&self.node.profile, &self.node.node_id, drifted)));
            }
            let changed = pin!(self.views.changed());
            if let Either::Left((Err(_), _)) = select(changed, woken).await {
                return None;
            }
        }
    }

    fn shared(&self) -> &AppFeed {
        &self.node.feed.shared
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let node = &self.node.node;
        node.watches.fetch_sub(1, Ordering::Relaxed);
        let now = self.node.pilothouse().clock().now();
        node.heard.store(now.timestamp_micros(), Ordering::Relaxed);
    }
}
