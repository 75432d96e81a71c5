//! Node session: one node's registration, configuration, acknowledgements and leave.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::TimeDelta;

use super::acknowledgement::AckResult;
use super::app_session::AppSession;
use super::delta::{ConfigDelta, NodeConfig};
use super::node::{LEASE, NewNode, Node, NodeNumber, canonical_node_id, check_node_id};
use super::node_registry::LiveNode;
use super::release::{PartId, ReleaseId};
use super::report_buffer::BufferedAck;
use super::snapshot::ConfigSnapshot;
use super::watch::Watch;
use crate::config::identifier::check_identifier;
use crate::ports::UnitOfWork;
use crate::{Error, Pilothouse, Result, check_text};

/// After a reconnect, deliveries of releases younger than this are recorded again: the previous server may have crashed
/// before flushing them.
const RECENT: TimeDelta = TimeDelta::minutes(10);

/// The answer to a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The node id, as given or as generated.
    pub node_id: String,
    /// The length of the node's lease in seconds: every request of the node renews it.
    pub lease: i64,
    /// Revision of the app at the registration.
    pub revision: i64,
}

/// A node's acknowledgement of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The key: 1 to 256 bytes.
    pub key: String,
    /// The version that the node was sent.
    pub version: i64,
    /// Whether the node applied it.
    pub result: AckResult,
    /// The node's explanation: at most 1024 bytes; may hold TAB, CR and LF.
    pub message: String,
}

/// An app's configuration as one registered node gets it. Every request shows that the node is online.
#[derive(Clone, Debug)]
pub struct NodeSession {
    app: AppSession,
    profile: Arc<str>,
    node_id: Arc<str>,
    pub(in crate::config) node: Arc<LiveNode>,
}

impl AppSession {
    /// Registers a node, or the restart of a known one. It is online for a lease of 15 s from now on.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn register(&self, new: NewNode) -> Result<Registered> {
        new.check()?;
        match self.begin().await {
            Err(Error::Unauthenticated) => {
                let again = self.opened_again().await?;
                again.register_in(again.begin().await?, new).await
            }
            work => self.register_in(work?, new).await,
        }
    }

    async fn register_in(&self, mut work: Box<dyn UnitOfWork>, new: NewNode) -> Result<Registered> {
        let NewNode { profile, node_id, pid, ip, labels } = new;
        let node_id = node_id.map(|node_id| canonical_node_id(&node_id).into_owned());
        let node_id = node_id.unwrap_or_else(|| self.pilothouse.ids().uuid().simple().to_string());
        self.require_room(&mut *work, &profile, &node_id).await?;
        let now = work.now().await?;
        let node = Node {
            number: NodeNumber::UNSAVED,
            app: self.app(),
            profile,
            node_id,
            pid,
            ip,
            labels,
            register_time: now,
            lease_until: LEASE.end(now),
            left: false,
        };
        let number = work.nodes().register(&node).await?.ok_or_else(|| Error::not_found("the app"))?;
        work.commit().await?;
        self.state.register(&node.profile, &node.node_id, number, self.pilothouse.clock().now(), true);
        let revision = self.snapshot().revision();
        Ok(Registered { node_id: node.node_id, lease: LEASE.length().num_seconds(), revision })
    }

    /// Begins a write transaction, unless the key that opened the session was deleted meanwhile, on whichever server.
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>> {
        let mut work = self.pilothouse.storage().begin().await?;
        if let Some(key) = self.key
            && work.app_keys().find(key).await?.is_none()
        {
            return Err(Error::Unauthenticated);
        }
        Ok(work)
    }

    /// Refuses one more node where the app has as many as it may. Nodes that register at once are not counted by each other:
    /// to make them wait for one another would cost more than a few nodes.
    async fn require_room(&self, work: &mut dyn UnitOfWork, profile: &str, node_id: &str) -> Result<()> {
        let most = self.pilothouse.settings().nodes_per_app;
        if work.nodes().find(self.app(), profile, node_id).await?.is_some()
            || work.nodes().count(self.app()).await? < i64::try_from(most).unwrap_or(i64::MAX)
        {
            return Ok(());
        }
        Err(Error::conflict(format!("the app has {most} nodes, the most there may be (nodes_per_app)")))
    }

    /// Opens the session of a registered node; [`Error::NotFound`] of any other.
    pub async fn node(&self, profile: &str, node_id: &str) -> Result<NodeSession> {
        check_identifier("profile", profile)?;
        check_node_id("nodeId", node_id)?;
        let node_id = &*canonical_node_id(node_id);
        let now = self.pilothouse.clock().now();
        if let Some(node) = self.state.node(profile, node_id) {
            node.seen(now);
            return Ok(NodeSession::new(self.clone(), profile, node_id, node));
        }
        // It may have registered with another server.
        let found =
            self.pilothouse.storage().peek().await?.nodes().find(self.app(), profile, node_id).await?;
        let found = found.filter(|node| !node.left);
        let found = found.ok_or_else(|| Error::not_found("the node"))?;
        let node = self.state.register(profile, node_id, found.number, now, false);
        Ok(NodeSession::new(self.clone(), profile, node_id, node))
    }
}

impl NodeSession {
    /// The most acknowledgements of one call.
    const MAX_REPORTS: usize = 1000;

    pub(in crate::config) fn new(app: AppSession, profile: &str, node_id: &str, node: Arc<LiveNode>) -> Self {
        Self { app, profile: profile.into(), node_id: node_id.into(), node }
    }

    /// The session of the node's app.
    pub fn app(&self) -> &AppSession {
        &self.app
    }

    /// The name of the node's profile.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// The node id, unique within app and profile.
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// The whole configuration of the node, which counts as sent. `known` is a revision of the app that the node knows
    /// of: the answer is not older, where the store has that.
    pub async fn config(&self, known: i64) -> Result<Arc<NodeConfig>> {
        let snapshot = self.app.snapshot_at(known).await?;
        let config = snapshot.node_config(&self.profile, &self.node_id);
        // The same content is recorded once, however often the node polls.
        if self.node.last_sent_tag.swap(config.tag, Ordering::Relaxed) != config.tag {
            self.record_sent(&config.delta);
        }
        Ok(config)
    }

    /// Opens a watch from `revision`, whose content the node holds; at 0 it holds nothing. A node that comes from another
    /// epoch is sent everything.
    pub async fn watch(&self, revision: i64) -> Result<Watch> {
        let revision = revision.max(0);
        // Subscribed before anything is looked at, so that no snapshot is missed in between.
        let snapshots = self.app.subscribe();
        let snapshot = self.app.snapshot_at(revision).await?;
        if revision > 0 {
            self.record_recent(&snapshot, revision);
        }
        Ok(Watch::new(self.clone(), snapshots, revision))
    }

    /// Records acknowledgements; returns when they are in the store. Where a node reports another version than the
    /// effective one, its watches send that again.
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
        let mut snapshot = self.app.snapshot();
        if self.app.is_revoked(&snapshot) {
            return Err(Error::Unauthenticated);
        }
        let release_of = |snapshot: &ConfigSnapshot, report: &Report| {
            snapshot.release_of(&self.profile, &self.node_id, &report.key, report.version)
        };
        if reports.iter().any(|report| release_of(&snapshot, report).is_none()) {
            // A server that is ahead of this one may have sent it.
            snapshot = self.app.reloaded().await?;
        }
        let at = self.pilothouse().clock().monotonic();
        let (mut drifted, mut acks) = (Vec::new(), Vec::new());
        for report in reports {
            let effective = snapshot.effective(&self.profile, &self.node_id, &report.key);
            let expected = effective.map(|item| item.version);
            let reported = Some(report.version).filter(|version| *version > 0);
            if report.result == AckResult::Applied && expected != reported {
                drifted.push((self.node.number, report.key.clone()));
            }
            if let Some(PartId { release, part }) = release_of(&snapshot, &report) {
                let Report { version, result, message, .. } = report;
                acks.push((release, BufferedAck { part, is_removal: version == 0, result, message, at }));
            }
        }
        self.record_acks(&snapshot, acks);
        if !drifted.is_empty() {
            self.record_drift(drifted).await?;
        }
        self.pilothouse().flush_reports().await
    }

    /// Has drifted keys sent again by whichever server the node's watch is open on.
    async fn record_drift(&self, keys: Vec<(NodeNumber, String)>) -> Result<()> {
        if self.node.watches.load(Ordering::Relaxed) > 0 {
            self.node.queue_resend(keys.into_iter().map(|(_, key)| key));
            return Ok(());
        }
        let mut work = self.app.begin().await?;
        work.nodes().add_drift(&keys).await?;
        Ok(work.commit().await?)
    }

    /// Takes the node offline at once and ends its watches; to come back it has to register.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn leave(&self) -> Result<()> {
        let mut work = self.app.begin().await?;
        work.nodes().leave(self.node.number).await?;
        work.commit().await?;
        self.app.state.remove(&self.profile, &self.node_id);
        Ok(())
    }

    pub(in crate::config) fn pilothouse(&self) -> &Pilothouse {
        &self.app.pilothouse
    }

    /// Records acknowledgements of parts of releases, which are named by their first parts.
    pub(in crate::config) fn record_acks(
        &self,
        snapshot: &ConfigSnapshot,
        acks: impl IntoIterator<Item = (ReleaseId, BufferedAck)>,
    ) {
        let mut by_release: HashMap<ReleaseId, Vec<BufferedAck>> = HashMap::new();
        for (release, ack) in acks {
            by_release.entry(release).or_default().push(ack);
        }
        for (release, acks) in by_release {
            let needed = snapshot.needed_parts(&self.profile, &self.node_id, release);
            self.pilothouse().reports().acked((release, self.node.number), acks, needed);
        }
    }

    pub(super) fn record_sent(&self, delta: &ConfigDelta) {
        let releases = delta.releases().iter().copied();
        let at = self.pilothouse().clock().monotonic();
        self.pilothouse().reports().sent(releases, self.node.number, at);
    }

    fn record_recent(&self, snapshot: &ConfigSnapshot, revision: i64) {
        let now = self.pilothouse().clock().now();
        let recent = snapshot.recent(&self.profile, &self.node_id, revision, now - RECENT);
        let at = self.pilothouse().clock().monotonic();
        self.pilothouse().reports().sent(recent.into_iter(), self.node.number, at);
    }
}
