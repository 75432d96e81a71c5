//! Buffer of delivery records, which are written to the store in batches.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::acknowledgement::{Ack, AckResult, DeliveryKey, DeliveryRecord};
use super::node::{LEASE, NodeNumber};
use super::part_acks::{PartialReport, is_uniform};
use super::release::{ReleaseId, ReleaseSize};
use crate::ports::UnitOfWork;
use crate::sync::{SingleFlight, lock};
use crate::{Pilothouse, Result};

/// Rows written in one transaction, unless one report has more.
const BATCH: usize = 2000;
/// Acknowledgements of parts that count as one row: most often all of a release become one.
const ACKS_PER_ROW: usize = 16;

/// Acknowledgement of a part of a release that is not in the store yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct BufferedAck {
    pub(in crate::config) part: ReleaseId,
    /// Whether the part takes the key from the node.
    pub(in crate::config) is_removal: bool,
    pub(in crate::config) result: AckResult,
    pub(in crate::config) message: String,
    /// Reading of the monotonic clock at its arrival.
    pub(in crate::config) at: Duration,
}

/// Delivery of a release to a node that is not in the store yet. Its times are readings of the monotonic clock: servers whose
/// wall clocks differ write the time of the store's clock, so that one order holds for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BufferedDelivery {
    release: ReleaseId,
    node: NodeNumber,
    sent: Option<Duration>,
    /// Newest acknowledgement of each part.
    acks: BTreeMap<ReleaseId, BufferedAck>,
    /// The parts that the node has to apply, as of the last acknowledgement.
    needed: Arc<[ReleaseId]>,
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    store: DateTime<Utc>,
    monotonic: Duration,
}

impl Moment {
    /// Time of the store's clock at an earlier reading of the monotonic one.
    fn time_of(self, at: Duration) -> DateTime<Utc> {
        let age = i64::try_from(self.monotonic.saturating_sub(at).as_micros()).unwrap_or(i64::MAX);
        self.store - TimeDelta::microseconds(age)
    }

    fn ack(self, ack: &BufferedAck) -> Ack {
        Ack { result: ack.result, message: ack.message.clone(), time: self.time_of(ack.at) }
    }
}

impl BufferedDelivery {
    fn sent(release: ReleaseId, node: NodeNumber, at: Duration) -> Self {
        Self { release, node, sent: Some(at), acks: BTreeMap::new(), needed: Arc::default() }
    }

    fn key(&self) -> DeliveryKey {
        (self.release, self.node)
    }

    /// The record of a release whose parts were acknowledged alike, if at all.
    fn record(&self, now: Moment) -> DeliveryRecord {
        let newest = self.acks.values().max_by_key(|ack| ack.at);
        let ack = newest.map(|ack| now.ack(ack));
        let sent = self.sent.map(|at| now.time_of(at));
        DeliveryRecord { release: self.release, node: self.node, sent, ack }
    }

    fn partial(&self, now: Moment) -> PartialReport {
        PartialReport {
            release: self.release,
            node: self.node,
            sent: self.sent.map(|at| now.time_of(at)),
            acks: self.acks.iter().map(|(part, ack)| (*part, now.ack(ack))).collect(),
            needed: self.needed.clone(),
        }
    }
}

/// Delivery records that are not in the store yet.
#[derive(Debug, Default)]
pub(crate) struct ReportBuffer {
    pending: Mutex<HashMap<DeliveryKey, BufferedDelivery>>,
    flushing: SingleFlight,
}

impl ReportBuffer {
    /// Records that releases, which are named by their first parts, were sent to a node.
    pub(in crate::config) fn sent(
        &self,
        releases: impl Iterator<Item = ReleaseId>,
        node: NodeNumber,
        at: Duration,
    ) {
        let mut pending = lock(&self.pending);
        for release in releases {
            merge(&mut pending, BufferedDelivery::sent(release, node, at));
        }
    }

    /// The number of buffered records.
    pub(super) fn count(&self) -> usize {
        lock(&self.pending).len()
    }

    /// Drops everything: releases and nodes of another history may have the same numbers.
    pub(super) fn clear(&self) {
        lock(&self.pending).clear();
    }

    fn all(&self) -> Vec<BufferedDelivery> {
        lock(&self.pending).values().cloned().collect()
    }

    /// Forgets records that are in the store now, unless something was added to them meanwhile. Only after the commit: a
    /// write that fails, or whose future is dropped, loses nothing.
    fn written(&self, batch: &[BufferedDelivery]) {
        let mut pending = lock(&self.pending);
        for record in batch {
            if pending.get(&record.key()) == Some(record) {
                pending.remove(&record.key());
            }
        }
    }

    /// Records acknowledgements of parts of a release, of which the node has to apply `needed`.
    pub(in crate::config) fn acked(
        &self,
        (release, node): DeliveryKey,
        acks: Vec<BufferedAck>,
        needed: Arc<[ReleaseId]>,
    ) {
        for ack in &acks {
            metrics::counter!("pilothouse_acknowledgements_total", "result" => ack.result.as_str())
                .increment(1);
        }
        let acks = acks.into_iter().map(|ack| (ack.part, ack)).collect();
        merge(&mut lock(&self.pending), BufferedDelivery { release, node, sent: None, acks, needed });
    }
}

fn merge(pending: &mut HashMap<DeliveryKey, BufferedDelivery>, with: BufferedDelivery) {
    match pending.entry(with.key()) {
        Slot::Vacant(slot) => drop(slot.insert(with)),
        Slot::Occupied(mut slot) => {
            let known = slot.get_mut();
            known.sent = [known.sent, with.sent].into_iter().flatten().min();
            if !with.acks.is_empty() {
                known.needed = with.needed;
            }
            for (part, ack) in with.acks {
                if known.acks.get(&part).is_none_or(|known| known.at <= ack.at) {
                    known.acks.insert(part, ack);
                }
            }
        }
    }
}

impl Pilothouse {
    /// Flushes buffered delivery records to the store, and renews the leases of nodes that are online. Returns when
    /// everything from before the call is stored; concurrent calls share one flush.
    pub async fn flush_reports(&self) -> Result<()> {
        self.reports().flushing.run(self.write_reports()).await
    }

    async fn write_reports(&self) -> Result<()> {
        self.renew_leases().await?;
        // What comes meanwhile is for the next flush, or this one would never end.
        let mut reports = self.reports().all();
        // Two servers that write the same rows meet them in the same order.
        reports.sort_unstable_by_key(BufferedDelivery::key);
        let mut rest = &reports[..];
        while !rest.is_empty() {
            let mut rows = 0;
            let fits = rest.iter().take_while(|report| {
                rows += report.acks.len().div_ceil(ACKS_PER_ROW).max(1);
                rows <= BATCH
            });
            let (batch, after) = rest.split_at(fits.count().max(1));
            self.write_batch(batch).await?;
            self.reports().written(batch);
            rest = after;
        }
        Ok(())
    }

    async fn renew_leases(&self) -> Result<()> {
        let now = self.clock().now();
        let due = self.delivery().due_leases(now);
        if due.is_empty() {
            return Ok(());
        }
        let mut work = self.storage().begin().await?;
        let until = LEASE.end(work.now().await?);
        work.nodes().renew(&due, until).await?;
        work.commit().await?;
        self.delivery().leases_renewed(due, now);
        Ok(())
    }

    async fn write_batch(&self, batch: &[BufferedDelivery]) -> Result<()> {
        let mut work = self.storage().begin().await?;
        let now = Moment { store: work.now().await?, monotonic: self.clock().monotonic() };
        let sizes = sizes_of(&mut *work, batch).await?;
        let (mut records, mut partial, mut uniform) = (Vec::new(), Vec::new(), Vec::new());
        for report in batch {
            match sizes.get(&report.release).filter(|_| !report.acks.is_empty()) {
                Some(size) if !is_uniform(*size, &report.acks) => partial.push(report.partial(now)),
                size => {
                    uniform.extend(size.map(|_| report.key()));
                    records.push(report.record(now));
                }
            }
        }
        self.record_deliveries(&mut *work, &records, partial, now.store).await?;
        if !uniform.is_empty() {
            work.deliveries().clear_part_acks(&uniform).await?;
        }
        let keys: Vec<DeliveryKey> = batch.iter().map(BufferedDelivery::key).collect();
        self.hand_down(&mut *work, &keys, now.store).await?;
        Ok(work.commit().await?)
    }
}

/// Sizes of the releases of several parts that are acknowledged in a batch.
async fn sizes_of(
    work: &mut dyn UnitOfWork,
    batch: &[BufferedDelivery],
) -> Result<HashMap<ReleaseId, ReleaseSize>> {
    let acked = batch.iter().filter(|report| !report.acks.is_empty());
    let mut acked: Vec<ReleaseId> = acked.map(|report| report.release).collect();
    acked.dedup();
    if acked.is_empty() {
        return Ok(HashMap::new());
    }
    let sizes = work.releases().sizes(&acked).await?;
    Ok(sizes.into_iter().map(|size| (size.release, size)).collect())
}
