//! What a release takes over of those whose versions it repeats: who holds them from there has this one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::acknowledgement::{Ack, DeliveryKey, DeliveryRecord, PartAck};
use super::node::NodeNumber;
use super::part_acks::{releases_of, together};
use super::release::{PartId, ReleaseId, ReleaseKind, ReleasePart};
use crate::ports::{StorageResult, UnitOfWork};
use crate::{Pilothouse, Result};

/// A release whose every version was there before, so that there are nodes which are sent nothing of it.
struct Inheritance {
    release: ReleaseId,
    origins: BTreeSet<PartId>,
}

impl Inheritance {
    /// `None` where something of the release is new to all nodes.
    fn of(parts: &[ReleasePart]) -> Option<Self> {
        let has_versions = parts.iter().any(|part| part.version > 0);
        let wanted = parts.iter().filter(|part| part.version > 0 || !has_versions);
        let origins = wanted.map(|part| part.origin).collect::<Option<BTreeSet<PartId>>>()?;
        Some(Self { release: parts.first()?.release, origins })
    }

    /// The delivery records that follow for it, at all nodes or at some.
    async fn records(
        &self,
        work: &mut dyn UnitOfWork,
        nodes: Option<&[NodeNumber]>,
    ) -> StorageResult<Vec<DeliveryRecord>> {
        let releases: BTreeSet<ReleaseId> = self.origins.iter().map(|origin| origin.release).collect();
        let releases: Vec<ReleaseId> = releases.into_iter().collect();
        let known = match nodes {
            None => work.deliveries().of_releases(&releases).await?,
            Some(nodes) => {
                let of = |release: &ReleaseId| nodes.iter().map(|node| (*release, *node)).collect::<Vec<_>>();
                let keys: Vec<DeliveryKey> = releases.iter().flat_map(of).collect();
                work.deliveries().find(&keys).await?
            }
        };
        let keys: Vec<DeliveryKey> = known.iter().map(|record| (record.release, record.node)).collect();
        let mut parts: HashMap<DeliveryKey, HashMap<ReleaseId, Ack>> = HashMap::new();
        for PartAck { release, node, part, ack } in work.deliveries().part_acks(&keys).await? {
            parts.entry((release, node)).or_default().insert(part, ack);
        }
        let mut by_node: BTreeMap<NodeNumber, HashMap<ReleaseId, DeliveryRecord>> = BTreeMap::new();
        for record in known {
            by_node.entry(record.node).or_default().insert(record.release, record);
        }
        let of_node = |(node, records): (NodeNumber, HashMap<ReleaseId, DeliveryRecord>)| {
            let acks = self.origins.iter().map(|origin| match parts.get(&(origin.release, node)) {
                Some(acks) => acks.get(&origin.part),
                None => records.get(&origin.release).and_then(|record| record.ack.as_ref()),
            });
            let acks: Vec<Option<&Ack>> = acks.collect();
            let sent = records.values().filter_map(|record| record.sent).min();
            DeliveryRecord { release: self.release, node, sent, ack: together(&acks) }
        };
        // Where one is missing, the node still has to be sent something.
        let whole = by_node.into_iter().filter(|(_, records)| records.len() == releases.len());
        Ok(whole.map(of_node).collect())
    }
}

/// Records what a new release takes over.
pub(super) async fn take_over(
    work: &mut dyn UnitOfWork,
    release: ReleaseId,
    now: DateTime<Utc>,
) -> Result<()> {
    let parts = work.releases().part_versions(&[release]).await?;
    let Some(inheritance) = Inheritance::of(&parts) else { return Ok(()) };
    let nodes = targets(work, release).await?;
    let records = inheritance.records(work, nodes.as_deref()).await?;
    Ok(work.deliveries().record(&records, now).await?)
}

/// The registered nodes of a grey release; `None` for a full one.
async fn targets(work: &mut dyn UnitOfWork, release: ReleaseId) -> Result<Option<Vec<NodeNumber>>> {
    let Some(found) = work.releases().by_id(release).await? else { return Ok(Some(Vec::new())) };
    if found.kind == ReleaseKind::Full {
        return Ok(None);
    }
    let place = work.items().place(found.item).await?;
    let app = work.items().app_of(found.item).await?;
    let Some((app, (profile, _))) = app.zip(place) else { return Ok(Some(Vec::new())) };
    let registered = work.nodes().list(app, &profile).await?;
    let is_target = |node_id: &String| found.nodes.binary_search(node_id).is_ok();
    Ok(Some(registered.iter().filter(|node| is_target(&node.node_id)).map(|node| node.number).collect()))
}

impl Pilothouse {
    /// Hands what was stored of releases down to those that repeat their versions by now: a server may still have had it in
    /// its buffer when these were made.
    pub(super) async fn hand_down(
        &self,
        work: &mut dyn UnitOfWork,
        keys: &[DeliveryKey],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let reported: HashSet<NodeNumber> = keys.iter().map(|(_, node)| *node).collect();
        let mut releases = releases_of(keys);
        loop {
            // Each is later than what it follows, so this ends.
            releases = work.releases().followers(&releases).await?;
            if releases.is_empty() {
                return Ok(());
            }
            for release in &releases {
                let parts = work.releases().part_versions(&[*release]).await?;
                let Some(inheritance) = Inheritance::of(&parts) else { continue };
                let mut nodes: Vec<NodeNumber> = reported.iter().copied().collect();
                if let Some(targets) = targets(work, *release).await? {
                    nodes.retain(|node| targets.contains(node));
                }
                nodes.sort_unstable();
                let records = inheritance.records(work, Some(&nodes)).await?;
                work.deliveries().record(&records, now).await?;
            }
        }
    }
}
