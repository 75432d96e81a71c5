//! Batches: the unit that is recorded as a whole or not at all.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::aggregate::Aggregates;
use crate::archive::{Member, MemberRef, Pack};
use crate::unregistered::UnregisteredLines;
use crate::{
    BucketTotals, Checkpoint, CheckpointId, CityTotals, Fingerprint, HourPaths, LineCounts, VerbatimLines,
};

/// Aggregated lines whose kept copies are not compressed yet: [`Self::compress`] may run on another thread.
#[derive(Debug)]
pub struct UncompressedBatch {
    pub(crate) aggregates: Aggregates,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) replaces: Option<CheckpointId>,
    pub(crate) previous_length: u64,
    pub(crate) checkpoint: Checkpoint,
    /// Whether the last of the kept lines is the open one.
    pub(crate) keeps_open: bool,
    pub(crate) withdrawn: Option<MemberRef>,
    pub(crate) withdrawn_unregistered: Option<MemberRef>,
    pub(crate) pack_name: String,
    pub(crate) verbatim: Option<VerbatimLines>,
}

impl UncompressedBatch {
    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        self.checkpoint.length() == self.previous_length
            && self.withdrawn.is_none()
            && self.withdrawn_unregistered.is_none()
    }

    /// Compresses the kept lines at a gzip level from 1 to 9.
    pub fn compress(mut self, level: u32) -> io::Result<LogBatch> {
        let mut pack = Pack { name: self.pack_name, members: Vec::new(), data: Vec::new() };
        for kept in self.aggregates.kept {
            let offset = add_member(&mut pack.data, &kept.raw, level)?;
            pack.members.push(Member {
                domain: kept.domain,
                day: kept.day,
                offset,
                length: pack.data.len() as u64 - offset,
                lines: kept.lines,
                raw_length: kept.raw.len() as u64,
                is_open: false,
            });
        }
        if let (true, Some(open), Some(member)) =
            (self.keeps_open, &mut self.checkpoint.open, pack.members.last_mut())
        {
            member.is_open = true;
            open.kept = Some(MemberRef { pack: pack.name.clone(), offset: member.offset });
        }
        let mut unregistered = Vec::new();
        for day in self.aggregates.unregistered {
            let offset = add_member(&mut pack.data, &day.raw, level)?;
            if let (true, Some(open)) = (day.is_open, &mut self.checkpoint.open) {
                open.kept = Some(MemberRef { pack: pack.name.clone(), offset });
            }
            unregistered.push(UnregisteredLines::at(offset, pack.data.len() as u64 - offset, day));
        }
        Ok(LogBatch {
            counts: self.aggregates.counts,
            first_time: self.aggregates.first_time,
            last_time: self.aggregates.last_time,
            traffic: self.aggregates.traffic,
            city_traffic: self.aggregates.city_traffic,
            top_paths: self.aggregates.top_paths,
            pack: (!pack.data.is_empty()).then_some(pack),
            unregistered,
            unregistered_dropped: self.aggregates.unregistered_dropped,
            withdrawn: self.withdrawn,
            withdrawn_unregistered: self.withdrawn_unregistered,
            verbatim: self.verbatim,
            checkpoint: CheckpointUpdate {
                fingerprint: self.fingerprint,
                replaces: self.replaces,
                previous_length: self.previous_length,
                length: self.checkpoint.length(),
                state: self.checkpoint.encode(),
            },
        })
    }
}

/// Appends lines to a pack as a gzip member, and returns its offset.
fn add_member(data: &mut Vec<u8>, lines: &[u8], level: u32) -> io::Result<u64> {
    let offset = data.len() as u64;
    let mut gzip = GzEncoder::new(data, Compression::new(level.clamp(1, 9)));
    gzip.write_all(lines)?;
    gzip.finish()?;
    Ok(offset)
}

/// Changes that a stretch of a log makes to what was recorded of it before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// Line counts to be added.
    pub counts: LineCounts,
    /// Earliest time of a line, counted or withdrawn, in unix seconds.
    pub first_time: Option<i64>,
    /// Time of the last line that has one, in unix seconds.
    pub last_time: Option<i64>,
    /// Traffic to be added; a pair of domain and bucket occurs once.
    pub traffic: Vec<BucketTotals>,
    /// Traffic by city to be added; empty without [`crate::Rules::cities`].
    pub city_traffic: Vec<CityTotals>,
    /// Most requested paths of registered domains, to be merged.
    pub top_paths: Vec<HourPaths>,
    /// Lines of unregistered hosts that are kept aside in the pack, behind its members.
    pub unregistered: Vec<UnregisteredLines>,
    /// Lines of unregistered hosts beyond the 1,000 of a batch, which are not kept aside.
    pub unregistered_dropped: i64,
    /// Kept lines, to be written by [`crate::archive::Archive::write`] before the rows that point at them are committed.
    pub pack: Option<Pack>,
    /// Archive member recorded earlier that is no longer part of the log: it held an open last line that has grown since.
    pub withdrawn: Option<MemberRef>,
    /// The same of an open last line that was kept aside for an unregistered host.
    pub withdrawn_unregistered: Option<MemberRef>,
    /// New lines of a log of [`crate::Format::Verbatim`].
    pub verbatim: Option<VerbatimLines>,
    /// New position in the log.
    pub checkpoint: CheckpointUpdate,
}

/// Change to a stored checkpoint: one row per edge and known log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointUpdate {
    /// Fingerprint that the row is found by. It may change while the log is shorter than one line.
    pub fingerprint: Fingerprint,
    /// Row to replace; none if a row is to be added.
    pub replaces: Option<CheckpointId>,
    /// Length in bytes that the replaced row must still have; otherwise somebody else has read the same log meanwhile and
    /// the batch must be refused. 0 for a row to be added.
    pub previous_length: u64,
    /// Length of the log after this batch, in bytes before compression.
    pub length: u64,
    /// Encoded [`Checkpoint`]: at most 36 KiB.
    pub state: Vec<u8>,
}
