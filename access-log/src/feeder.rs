//! Bytes of one log in, batches out.

mod pause;

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use memchr::{memchr, memchr_iter};

use crate::aggregate::{Aggregator, Sums};
use crate::archive::{Member, MemberRef, Pack};
use crate::parse::MAX_LINE;
use crate::source::{OpenLine, START, Tracker};
use crate::{Cell, CityCell, Counters, Format, Rules, Source, SourceKey};
pub use pause::Paused;

/// The rules contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Nothing says whose the lines are.
    #[error("the format combined names no host, so a domain must be given")]
    DomainNeeded,
    /// The given domain is none of the registered ones.
    #[error("the domain {0:?} is not registered")]
    DomainUnknown(String),
}

/// Reads one log as its bytes arrive, in pieces of any size, and adds up what they say.
///
/// A line is counted when its line end has arrived; [`Self::finish`] also counts a last line that has none.
#[derive(Debug)]
pub struct Feeder<'a> {
    aggregator: Aggregator<'a>,
    /// As far as the last whole line.
    tracker: Tracker,
    key: Option<SourceKey>,
    known: Option<i64>,
    recorded: u64,
    /// What came after the last whole line.
    carry: Vec<u8>,
    /// Instead of `carry` for a line too long to be read: as far as it came.
    long: Option<Tracker>,
    /// What was already counted of `carry`, by whoever read this log before it grew.
    open: Option<OpenLine>,
    withdrawn: Option<MemberRef>,
    pending: usize,
}

impl<'a> Feeder<'a> {
    /// Starts a log of which nothing is known yet. A program that may have seen it before uses [`crate::Input::start`].
    pub fn new(rules: &Rules<'a>) -> Result<Self, RulesError> {
        check(rules)?;
        Ok(Self {
            aggregator: Aggregator::new(rules),
            tracker: Tracker::new(),
            key: None,
            known: None,
            recorded: 0,
            carry: Vec::new(),
            long: None,
            open: None,
            withdrawn: None,
            pending: 0,
        })
    }

    /// Goes on after what is recorded as `known`. `tail` is the text of the open line, if there is one.
    pub(crate) fn resume(
        rules: &Rules<'a>,
        known: i64,
        key: Option<SourceKey>,
        tracker: Tracker,
        open: Option<OpenLine>,
        tail: Vec<u8>,
    ) -> Result<Self, RulesError> {
        let recorded = tracker.length + tail.len() as u64;
        Ok(Self { tracker, key, known: Some(known), recorded, carry: tail, open, ..Self::new(rules)? })
    }

    /// Bytes of the log taken in so far, those of earlier runs included: where in the file to read on.
    pub fn position(&self) -> u64 {
        self.long.as_ref().map_or(self.tracker.length + self.carry.len() as u64, |long| long.length)
    }

    /// Bytes fed since the last batch was taken.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Tells under which number the last batch was recorded, so that the next one can name it.
    pub fn recorded(&mut self, id: i64) {
        self.known = Some(id);
    }

    /// Takes in the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        self.pending += bytes.len();
        if (self.long.is_some() || !self.carry.is_empty()) && !bytes.is_empty() {
            let end = memchr(b'\n', bytes).map(|end| end + 1);
            let (head, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.go_on(head);
            if end.is_none() {
                return;
            }
            self.end_line();
            bytes = rest;
        }
        let whole = self.whole_lines(bytes);
        if whole < bytes.len() {
            self.go_on(&bytes[whole..]);
        }
    }

    /// Counts the whole lines that `bytes` begins with; how many bytes they are.
    fn whole_lines(&mut self, bytes: &[u8]) -> usize {
        let (mut start, mut tracked) = (0, 0);
        for end in memchr_iter(b'\n', bytes) {
            let line = &bytes[start..=end];
            self.aggregator.add(line);
            self.key.get_or_insert_with(|| SourceKey::of_first_line(&line[..line.len() - 1]));
            start = end + 1;
            if self.tracker.line() {
                self.tracker.bytes(&bytes[tracked..start]);
                self.tracker.checkpoint();
                tracked = start;
            }
        }
        self.tracker.bytes(&bytes[tracked..start]);
        start
    }

    /// Adds to the unfinished line.
    fn go_on(&mut self, bytes: &[u8]) {
        if let Some(long) = &mut self.long {
            return long.bytes(bytes);
        }
        self.carry.extend_from_slice(bytes);
        if self.carry.len() > MAX_LINE {
            // Too long to be held: from here on only its digest is followed.
            let text = std::mem::take(&mut self.carry);
            self.key.get_or_insert_with(|| SourceKey::of_first_line(&text));
            if let Some(open) = self.open.take() {
                self.withdraw(open, &text);
            }
            let mut long = self.tracker.clone();
            long.bytes(&text);
            self.long = Some(long);
        }
    }

    /// Counts the unfinished line, which has its line end now.
    fn end_line(&mut self) {
        if let Some(long) = self.long.take() {
            self.tracker = long;
            self.aggregator.add(b"\n");
        } else {
            let line = std::mem::take(&mut self.carry);
            let text = &line[..line.len() - 1];
            self.key.get_or_insert_with(|| SourceKey::of_first_line(text));
            // An open line that only got its line end is counted already.
            let is_new = match self.open.take() {
                Some(open) => open.length as usize != text.len() && self.withdraw(open, text),
                None => true,
            };
            if is_new {
                self.aggregator.add(&line);
            }
            self.tracker.bytes(&line);
        }
        if self.tracker.line() {
            self.tracker.checkpoint();
        }
    }

    /// Takes back what was counted of the open line that `text` begins with, if it still can be; then the line is to be
    /// counted anew.
    fn withdraw(&mut self, open: OpenLine, text: &[u8]) -> bool {
        let is_same = self.aggregator.withdraw(&text[..open.length as usize], open.counted);
        if is_same {
            self.withdrawn = open.kept;
        }
        is_same
    }

    /// Hands out what was counted since the last time; `pack_name` is the name its kept lines will have. The position is
    /// after the last whole line.
    pub fn take(&mut self, pack_name: String) -> Parsed {
        let source = self.tracker.source(self.open.clone());
        let previous = std::mem::replace(&mut self.recorded, source.length());
        self.pending = 0;
        Parsed {
            sums: self.aggregator.take(),
            // Without a key nothing was read: such a batch is empty.
            key: self.key.or_else(|| SourceKey::of_start(&self.carry)).unwrap_or(SourceKey([0; 16])),
            known: self.known,
            previous,
            source,
            keeps_open: false,
            withdrawn: self.withdrawn.take(),
            pack_name,
        }
    }

    /// Hands out the rest when the input has ended. A last line without line end is counted, and remembered as open: when
    /// the log is longer next time, that line is withdrawn and counted as it then is. Left for then, uncounted, is only
    /// what cannot be a line: beyond [`MAX_LINE`], or below 16 bytes with nothing before it.
    pub fn finish(mut self, pack_name: String) -> (Parsed, u64) {
        let unfinished = self.position() - self.tracker.length;
        let is_countable = self.long.is_none() && (self.tracker.lines > 0 || self.carry.len() >= START);
        let counted_before = self.open.as_ref().map_or(0, |open| open.length as usize);
        let mut keeps_open = false;
        if is_countable && self.carry.len() > counted_before {
            let text = std::mem::take(&mut self.carry);
            let is_new = self.open.clone().is_none_or(|open| self.withdraw(open, &text));
            let before = self.open.take().filter(|_| !is_new);
            let (counted, kept) = before
                .map_or_else(|| (self.aggregator.add_open(&text), None), |open| (open.counted, open.kept));
            keeps_open = is_new && counted.is_kept();
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            self.open = Some(OpenLine { length, digest: self.tracker.digest(&text), counted, kept });
            self.carry = text;
        }
        let left = if is_countable { 0 } else { unfinished };
        (Parsed { keeps_open, ..self.take(pack_name) }, left)
    }
}

pub(crate) fn check(rules: &Rules<'_>) -> Result<(), RulesError> {
    match rules.default_domain {
        None if rules.format == Format::Combined => Err(RulesError::DomainNeeded),
        Some(name) if rules.domains.find(name.as_bytes()).is_none() => {
            Err(RulesError::DomainUnknown(name.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Lines added up, their copies not yet compressed: [`Self::pack`] may do that on another thread.
#[derive(Debug)]
pub struct Parsed {
    sums: Sums,
    key: SourceKey,
    known: Option<i64>,
    previous: u64,
    source: Source,
    /// The last of the kept is the open line's.
    keeps_open: bool,
    withdrawn: Option<MemberRef>,
    pack_name: String,
}

impl Parsed {
    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        self.source.length() == self.previous && self.withdrawn.is_none()
    }

    /// Compresses the kept lines; `level` is gzip's, 1 to 9.
    pub fn pack(mut self, level: u32) -> io::Result<Batch> {
        let mut pack = Pack { name: self.pack_name, members: Vec::new(), data: Vec::new() };
        for kept in self.sums.kept {
            let offset = pack.data.len() as u64;
            let mut gzip = GzEncoder::new(pack.data, Compression::new(level.clamp(1, 9)));
            gzip.write_all(&kept.raw)?;
            pack.data = gzip.finish()?;
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
            (self.keeps_open, &mut self.source.open, pack.members.last_mut())
        {
            member.is_open = true;
            open.kept = Some(MemberRef { pack: pack.name.clone(), offset: member.offset });
        }
        Ok(Batch {
            counters: self.sums.counters,
            cells: self.sums.cells,
            cities: self.sums.cities,
            pack: (!pack.members.is_empty()).then_some(pack),
            withdrawn: self.withdrawn,
            source: SourceChange {
                key: self.key,
                known: self.known,
                previous_length: self.previous,
                length: self.source.length(),
                state: self.source.encode(),
            },
        })
    }
}

/// What a stretch of a log changes. It is recorded as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// To be added to what was counted before.
    pub counters: Counters,
    /// To be added to the traffic; a pair of domain and bucket occurs once.
    pub cells: Vec<Cell>,
    /// To be added to the traffic by city; empty if [`Rules::cities`] is.
    pub cities: Vec<CityCell>,
    /// The kept lines, to be written by [`crate::archive::Archive::write`] before the rows that point at it are committed.
    pub pack: Option<Pack>,
    /// A member recorded earlier that is no longer part of the log: it held an open last line that has grown since.
    pub withdrawn: Option<MemberRef>,
    /// The new position.
    pub source: SourceChange,
}

/// The position in a log: one row per edge and known source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceChange {
    /// What the row is found by. It may change while the log is shorter than one line.
    pub key: SourceKey,
    /// The row to replace; `None`: to be added.
    pub known: Option<i64>,
    /// The length that row must still have, in bytes; otherwise somebody else has read the same log meanwhile and this
    /// batch must be refused. 0 for a row to be added.
    pub previous_length: u64,
    /// The length after this batch.
    pub length: u64,
    /// The row's new content, at most 32 KiB: see [`Source`].
    pub state: Vec<u8>,
}
