//! Acknowledgements of the parts of a release by a node, and the one of the release that follows from them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::acknowledgement::{Ack, AckResult, DeliveryKey, DeliveryRecord, PartAck};
use super::node::NodeNumber;
use super::release::{ReleaseId, ReleasePart, ReleaseSize};
use super::report_buffer::BufferedAck;
use crate::Result;
use crate::ports::UnitOfWork;

/// Acknowledgements of a node by part of a release, where they are not the same for all parts.
pub(super) struct PartialReport {
    pub(super) release: ReleaseId,
    pub(super) node: NodeNumber,
    pub(super) sent: Option<DateTime<Utc>>,
    pub(super) acks: BTreeMap<ReleaseId, Ack>,
    /// The parts that the node has to apply.
    pub(super) needed: Arc<[ReleaseId]>,
}

/// Whether acknowledgements are there for every version that a release publishes, and alike: one delivery record says it all.
pub(super) fn is_uniform(size: ReleaseSize, acks: &BTreeMap<ReleaseId, BufferedAck>) -> bool {
    let versions = acks.values().filter(|ack| !ack.is_removal).count();
    let (known, all) = if size.versions > 0 { (versions, size.versions) } else { (acks.len(), size.parts) };
    let mut others = acks.values();
    let Some(first) = others.next().filter(|_| i64::try_from(known) == Ok(all)) else { return false };
    acks.values().all(|ack| ack.result == AckResult::Applied)
        || others.all(|ack| (ack.result, &ack.message, ack.at) == (first.result, &first.message, first.at))
}

/// Stores what nodes said of some parts of releases, and of the releases what follows from it.
pub(super) async fn store(
    work: &mut dyn UnitOfWork,
    reports: Vec<PartialReport>,
    now: DateTime<Utc>,
) -> Result<()> {
    let keys: Vec<DeliveryKey> = reports.iter().map(|report| (report.release, report.node)).collect();
    let sent = |report: &PartialReport| {
        let PartialReport { release, node, sent, .. } = *report;
        DeliveryRecord { release, node, sent, ack: None }
    };
    // First, as it makes other servers wait that write of the same releases and nodes.
    let mut records: Vec<DeliveryRecord> = reports.iter().map(sent).collect();
    work.deliveries().record(&records, now).await?;
    let stored = work.deliveries().find(&keys).await?;
    let stored: HashMap<DeliveryKey, DeliveryRecord> =
        stored.into_iter().map(|record| ((record.release, record.node), record)).collect();
    let mut known: HashMap<DeliveryKey, BTreeMap<ReleaseId, Ack>> = HashMap::new();
    for PartAck { release, node, part, ack } in work.deliveries().part_acks(&keys).await? {
        known.entry((release, node)).or_default().insert(part, ack);
    }
    let mut releases: Vec<ReleaseId> = reports.iter().map(|report| report.release).collect();
    releases.dedup();
    let mut parts: HashMap<ReleaseId, Vec<ReleasePart>> = HashMap::new();
    for part in work.releases().part_versions(&releases).await? {
        parts.entry(part.release).or_default().push(part);
    }
    let (mut settled, mut changed) = (Vec::new(), Vec::new());
    for (report, record) in reports.into_iter().zip(&mut records) {
        let key = (report.release, report.node);
        let parts = parts.get(&report.release).map_or(&[][..], Vec::as_slice);
        let mut acks = known.remove(&key).unwrap_or_default();
        let alike = stored.get(&key).and_then(|record| record.ack.clone()).filter(|_| acks.is_empty());
        // Until now one record was true of every part.
        acks.extend(alike.into_iter().flat_map(|ack| parts.iter().map(move |part| (part.part, ack.clone()))));
        for (part, ack) in report.acks {
            if acks.get(&part).is_none_or(|known| known.time < ack.time || known.time > now) {
                acks.insert(part, ack);
            }
        }
        let wanted = wanted(parts);
        let is_there = |part: &ReleaseId| acks.contains_key(part);
        let is_whole = wanted.iter().all(is_there);
        let needed = if report.needed.is_empty() { &wanted[..] } else { &report.needed };
        record.ack = summary(&acks, needed.iter().all(is_there));
        if is_whole && acks.values().all(|ack| ack.result == AckResult::Applied) {
            settled.push(key);
        } else {
            let (release, node) = key;
            changed.extend(acks.into_iter().map(|(part, ack)| PartAck { release, node, part, ack }));
        }
    }
    work.deliveries().replace_acks(&records).await?;
    work.deliveries().clear_part_acks(&settled).await?;
    Ok(work.deliveries().set_part_acks(&changed).await?)
}

/// The parts whose acknowledgements say all of a release: those that publish a version, or all where none does. A node need
/// not say that it dropped a key.
fn wanted(parts: &[ReleasePart]) -> Vec<ReleaseId> {
    let has_versions = parts.iter().any(|part| part.version > 0);
    parts.iter().filter(|part| part.version > 0 || !has_versions).map(|part| part.part).collect()
}

/// Acknowledgement of a release from those of its parts: a refusal of one counts, and applied only where the node applied what
/// it has to.
fn summary(acks: &BTreeMap<ReleaseId, Ack>, is_complete: bool) -> Option<Ack> {
    let newest = acks.values().max_by_key(|ack| ack.time)?;
    let refusal = |result| acks.values().find(|ack| ack.result == result);
    let refusal = refusal(AckResult::Rejected).or_else(|| refusal(AckResult::Failed));
    match refusal {
        Some(refusal) => Some(Ack { time: newest.time, ..refusal.clone() }),
        None => is_complete.then(|| newest.clone()),
    }
}

/// Acknowledgement of a release by a node from those of the parts that brought it what it has: `None` where one is missing.
pub(super) fn together(acks: &[Option<&Ack>]) -> Option<Ack> {
    let known: BTreeMap<ReleaseId, Ack> =
        (0..).map(ReleaseId).zip(acks).filter_map(|(n, ack)| Some((n, (*ack)?.clone()))).collect();
    summary(&known, known.len() == acks.len())
}

/// Distinct releases of some keys.
pub(super) fn releases_of(keys: &[DeliveryKey]) -> Vec<ReleaseId> {
    let releases: HashSet<ReleaseId> = keys.iter().map(|(release, _)| *release).collect();
    let mut releases: Vec<ReleaseId> = releases.into_iter().collect();
    releases.sort_unstable();
    releases
}
