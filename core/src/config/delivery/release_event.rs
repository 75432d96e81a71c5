//! Release events: what webhooks are told of publications, promotions, aborts, and rejections by nodes.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::acknowledgement::{AckResult, DeliveryRecord};
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
    /// Key of its first item.
    pub(super) key: &'a str,
    pub(super) release: ReleaseId,
    /// Version of its first item; 0 for a deletion.
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
    /// Stores delivery records, and queues an event for each node whose verdict on a release thereby becomes a rejection.
    pub(super) async fn record_deliveries(
        &self,
        work: &mut dyn UnitOfWork,
        records: &[DeliveryRecord],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let rejecting = records.iter().filter(|record| is_rejection(record));
        let releases: BTreeSet<ReleaseId> = rejecting.map(|record| record.release).collect();
        if releases.is_empty() || !self.has_subscribers(EventKind::ReleaseRejected) {
            return Ok(work.deliveries().record(records, now).await?);
        }
        // Two servers may store the same rejection, if a node repeats it.
        work.lock(LockKey::Events).await?;
        let releases: Vec<ReleaseId> = releases.into_iter().collect();
        let known = rejections(work, &releases).await?;
        let known: HashSet<_> = known.iter().map(|record| (record.release, record.node)).collect();
        work.deliveries().record(records, now).await?;
        let mut rejections = rejections(work, &releases).await?;
        rejections.retain(|record| !known.contains(&(record.release, record.node)));
        for of_release in rejections.chunk_by(|one, other| one.release == other.release) {
            self.queue_rejections(work, of_release[0].release, of_release).await?;
        }
        Ok(())
    }

    async fn queue_rejections(
        &self,
        work: &mut dyn UnitOfWork,
        release: ReleaseId,
        rejections: &[DeliveryRecord],
    ) -> Result<()> {
        let Some(release) = work.releases().by_id(release).await? else { return Ok(()) };
        let Some((profile, key)) = work.items().place(release.item).await? else { return Ok(()) };
        let Some(app) = work.items().app_of(release.item).await? else { return Ok(()) };
        let Some(app) = work.apps().by_id(app).await? else { return Ok(()) };
        let items = work.releases().parts(&[release.head()]).await?.len();
        let nodes = work.nodes().list(app.id, &profile).await?;
        let nodes: HashMap<_, _> = nodes.into_iter().map(|node| (node.number, node.node_id)).collect();
        let (release, version) = (release.head(), release.version);
        let event = ReleaseEvent { app: &app, profile: &profile, key: &key, release, version, items };
        for record in rejections {
            if let (Some(node), Some(ack)) = (nodes.get(&record.node), &record.ack) {
                let data = event.rejected(node, &ack.message);
                self.queue_event(work, EventKind::ReleaseRejected, data).await?;
            }
        }
        Ok(())
    }
}

/// The stored rejections of some releases, by release and node.
async fn rejections(work: &mut dyn UnitOfWork, releases: &[ReleaseId]) -> StorageResult<Vec<DeliveryRecord>> {
    let records = work.deliveries().of_releases(releases).await?;
    Ok(records.into_iter().filter(is_rejection).collect())
}

fn is_rejection(record: &DeliveryRecord) -> bool {
    record.ack.as_ref().is_some_and(|ack| ack.result == AckResult::Rejected)
}
