//! Release events: what webhooks are told of publications, promotions, aborts, and rejections by nodes.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::acknowledgement::{AckResult, DeliveryKey, DeliveryRecord, PartAck};
use super::node::NodeNumber;
use super::part_acks::{self, PartialReport};
use super::release::{ReleaseId, ReleaseKind};
use crate::account::Caller;
use crate::config::authoring::App;
use crate::ports::{LockKey, StorageResult, UnitOfWork};
use crate::webhook::EventKind;
use crate::{Pilothouse, Result};

/// Release that an event is about.
pub(super) struct ReleaseEvent<'a> {
    pub(super) app: &'a App,
    pub(super) profile: &'a str,
    /// Key of its first item, or of the one that a node rejected.
    pub(super) key: &'a str,
    pub(super) release: ReleaseId,
    /// Version of that item; 0 for a deletion.
    pub(super) version: i64,
    /// Number of its items.
    pub(super) items: usize,
}

impl ReleaseEvent<'_> {
    fn data(&self) -> Value {
        let Self { app, profile, key, release, version, items } = self;
        let (app, release) = (&app.app, release.0);
        json!({
            "app": app, "profile": profile, "key": key, "release": release, "version": version, "items": items,
        })
    }

    pub(super) fn published(&self, by: &Caller, kind: ReleaseKind, targets: i64) -> Value {
        with(self.data(), json!({"by": by.name, "kind": kind.as_str(), "targets": targets}))
    }

    pub(super) fn promoted(&self, by: &Caller, grey: ReleaseId, targets: i64) -> Value {
        with(self.data(), json!({"by": by.name, "grey": grey.0, "targets": targets}))
    }

    pub(super) fn aborted(&self, by: &Caller) -> Value {
        with(self.data(), json!({"by": by.name}))
    }

    fn rejected(&self, node: &str, message: &str) -> Value {
        with(self.data(), json!({"node": node, "message": message}))
    }
}

/// An object with the members of another one added.
fn with(mut data: Value, mut more: Value) -> Value {
    if let (Some(data), Some(more)) = (data.as_object_mut(), more.as_object_mut()) {
        data.append(more);
    }
    data
}

impl Pilothouse {
    /// Stores delivery records and what nodes said of some parts of releases, and queues an event for each node whose verdict
    /// on a release thereby becomes a rejection.
    pub(super) async fn record_deliveries(
        &self,
        work: &mut dyn UnitOfWork,
        records: &[DeliveryRecord],
        partial: Vec<PartialReport>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let rejecting = records.iter().filter(|record| is_rejection(record));
        let mut keys: Vec<DeliveryKey> = rejecting.map(|record| (record.release, record.node)).collect();
        let rejecting =
            partial.iter().filter(|report| report.acks.values().any(|ack| ack.result == AckResult::Rejected));
        keys.extend(rejecting.map(|report| (report.release, report.node)));
        if keys.is_empty() || !self.has_subscribers(EventKind::ReleaseRejected) {
            return store(work, records, partial, now).await;
        }
        // Two servers may store the same rejection, if a node repeats it.
        work.lock(LockKey::Events).await?;
        let known: HashSet<DeliveryKey> = rejections(work, &keys).await?.iter().map(key_of).collect();
        store(work, records, partial, now).await?;
        let mut rejections = rejections(work, &keys).await?;
        rejections.retain(|record| !known.contains(&key_of(record)));
        for of_release in rejections.chunk_by(|one, other| one.release == other.release) {
            self.queue_rejections(work, of_release[0].release, of_release).await?;
        }
        Ok(())
    }

    /// Queues an event for each of the rejections of a release; it names the first part that the node rejected.
    async fn queue_rejections(
        &self,
        work: &mut dyn UnitOfWork,
        release: ReleaseId,
        rejections: &[DeliveryRecord],
    ) -> Result<()> {
        let Some(summary) = work.releases().summaries(&[release]).await?.pop() else { return Ok(()) };
        let Some((profile, key)) = work.items().place(summary.first.item).await? else { return Ok(()) };
        let Some(app) = work.items().app_of(summary.first.item).await? else { return Ok(()) };
        let Some(app) = work.apps().by_id(app).await? else { return Ok(()) };
        let items = usize::try_from(summary.items()).unwrap_or_default();
        let nodes = work.nodes().list(app.id, &profile).await?;
        let nodes: HashMap<_, _> = nodes.into_iter().map(|node| (node.number, node.node_id)).collect();
        let keys: Vec<DeliveryKey> = rejections.iter().map(key_of).collect();
        let mut parts: HashMap<NodeNumber, ReleaseId> = HashMap::new();
        for PartAck { node, part, ack, .. } in work.deliveries().part_acks(&keys).await? {
            if ack.result == AckResult::Rejected {
                parts.entry(node).or_insert(part);
            }
        }
        let mut named = HashMap::from([(release, (key, summary.first.version))]);
        for record in rejections {
            let (Some(node), Some(ack)) = (nodes.get(&record.node), &record.ack) else { continue };
            let part = parts.get(&record.node).copied().unwrap_or(release);
            if let Slot::Vacant(slot) = named.entry(part) {
                let Some(found) = work.releases().by_id(part).await? else { continue };
                let Some((_, key)) = work.items().place(found.item).await? else { continue };
                slot.insert((key, found.version));
            }
            let (key, version) = &named[&part];
            let (app, profile, version) = (&app, &*profile, *version);
            let event = ReleaseEvent { app, profile, key, release, version, items };
            let data = event.rejected(node, &ack.message);
            self.queue_event(work, EventKind::ReleaseRejected, data).await?;
        }
        Ok(())
    }
}

async fn store(
    work: &mut dyn UnitOfWork,
    records: &[DeliveryRecord],
    partial: Vec<PartialReport>,
    now: DateTime<Utc>,
) -> Result<()> {
    work.deliveries().record(records, now).await?;
    if partial.is_empty() { Ok(()) } else { part_acks::store(work, partial, now).await }
}

/// Those of the stored records that are rejections, by release and node.
async fn rejections(work: &mut dyn UnitOfWork, keys: &[DeliveryKey]) -> StorageResult<Vec<DeliveryRecord>> {
    let records = work.deliveries().find(keys).await?;
    Ok(records.into_iter().filter(is_rejection).collect())
}

fn key_of(record: &DeliveryRecord) -> DeliveryKey {
    (record.release, record.node)
}

fn is_rejection(record: &DeliveryRecord) -> bool {
    record.ack.as_ref().is_some_and(|ack| ack.result == AckResult::Rejected)
}
