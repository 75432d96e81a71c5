//! State of a shipped log: the offset of its stream, the position in each of its files, and which file has which bytes.

use std::collections::VecDeque;

use pilothouse_access_log::Fingerprint;

use super::entry::{EdgeName, Entry, Piece, Segment, StoredLog};

/// Most logs that are remembered: a rotated file beyond is older than any that is still looked at.
const LOGS: usize = 128;
/// Most segments that are remembered.
const SEGMENTS: usize = 4096;

/// State that the entries of a journal add up to.
#[derive(Debug, Default)]
pub(super) struct ShipState {
    edge: Option<EdgeName>,
    /// Offset up to which the server has taken the stream; none before the first start is over.
    offset: Option<u64>,
    /// The one that was read last comes last.
    logs: VecDeque<StoredLog>,
    next_id: i64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    pending: Option<Piece>,
}

impl ShipState {
    pub(super) fn edge(&self) -> Option<&EdgeName> {
        self.edge.as_ref()
    }

    pub(super) fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// Piece that was about to be sent: the server may have taken it.
    pub(super) fn pending(&self) -> Option<&Piece> {
        self.pending.as_ref()
    }

    /// Logs with one of these fingerprints.
    pub(super) fn logs_with(&self, fingerprints: [Fingerprint; 2]) -> impl Iterator<Item = &StoredLog> {
        self.logs.iter().filter(move |log| fingerprints.contains(&log.fingerprint))
    }

    pub(super) fn has_logs(&self) -> bool {
        !self.logs.is_empty()
    }

    /// Segments that have been taken and can be read again, the latest first.
    pub(super) fn latest_segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().rev()
    }

    /// Id that no log has had.
    pub(super) fn unused_id(&self) -> i64 {
        self.next_id
    }

    /// Adds an entry.
    pub(super) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Edge(edge) => *self = Self { edge: Some(edge), ..Self::default() },
            Entry::Log(log) => self.store(log),
            Entry::Segment(segment) => self.add_segment(segment),
            Entry::Piece(piece) => {
                self.next_id = self.next_id.max(piece.log.id + 1);
                self.pending = Some(piece);
            }
            Entry::Taken(offset) => {
                if let Some(piece) = self.pending.take_if(|piece| piece.segment.end() == offset) {
                    self.store(piece.log);
                    if piece.is_exact {
                        self.add_segment(piece.segment);
                    }
                }
                self.offset = Some(offset);
            }
        }
    }

    /// Entries that add up to this state.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        entries.extend(self.edge.clone().map(Entry::Edge));
        entries.extend(self.logs.iter().cloned().map(Entry::Log));
        entries.extend(self.segments.iter().copied().map(Entry::Segment));
        entries.extend(self.offset.map(Entry::Taken));
        entries.extend(self.pending.clone().map(Entry::Piece));
        entries
    }

    fn store(&mut self, log: StoredLog) {
        self.next_id = self.next_id.max(log.id + 1);
        self.logs.retain(|known| known.id != log.id);
        self.logs.push_back(log);
        while self.logs.len() > LOGS {
            let gone = self.logs.pop_front().map(|log| log.id);
            self.segments.retain(|segment| Some(segment.log) != gone);
        }
    }

    fn add_segment(&mut self, segment: Segment) {
        let follows = |last: &&mut Segment| {
            last.end() == segment.offset && last.log == segment.log && last.at + last.length == segment.at
        };
        match self.segments.back_mut().filter(follows) {
            Some(last) => last.length += segment.length,
            None => self.segments.push_back(segment),
        }
        if self.segments.len() > SEGMENTS {
            self.segments.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(id: i64) -> StoredLog {
        StoredLog { id, fingerprint: Fingerprint([0; 16]), state: Vec::new() }
    }

    fn piece(offset: u64, length: u64, log_id: i64, at: u64) -> Entry {
        let segment = Segment { offset, length, log: log_id, at };
        Entry::Piece(Piece { segment, is_exact: true, log: log(log_id), gzip: vec![1] })
    }

    #[test]
    fn a_piece_counts_when_it_is_taken_and_segments_grow_together() {
        let mut state = ShipState::default();
        for entry in [
            Entry::Edge(EdgeName::default()),
            Entry::Taken(100),
            piece(100, 10, 0, 0),
            Entry::Taken(110),
            piece(110, 5, 0, 10),
            Entry::Taken(115),
            piece(115, 5, 1, 0),
        ] {
            state.apply(entry);
        }
        let whole = Segment { offset: 100, length: 15, log: 0, at: 0 };
        assert_eq!(state.latest_segments().copied().collect::<Vec<_>>(), [whole]);
        assert_eq!((state.offset(), state.logs.len(), state.unused_id()), (Some(115), 1, 2));
        let mut again = ShipState::default();
        state.entries().into_iter().for_each(|entry| again.apply(entry));
        assert_eq!(again.entries(), state.entries());
        again.apply(Entry::Taken(120));
        assert_eq!((again.pending(), again.segments.len(), again.logs.len()), (None, 2, 2));
    }

    #[test]
    fn the_logs_read_last_are_remembered_with_their_segments() {
        let mut state = ShipState::default();
        for number in 0..LOGS as u64 {
            state.apply(piece(number, 1, number.cast_signed(), 0));
            state.apply(Entry::Taken(number + 1));
        }
        state.apply(Entry::Log(log(0)));
        state.apply(Entry::Log(log(1000)));
        assert_eq!(state.logs.len(), LOGS);
        let ids: Vec<_> = state.segments.iter().map(|segment| segment.log).take(2).collect();
        assert_eq!(ids, [0, 2], "that of log 1 is gone with it");
    }
}
