//! Incremental log parser: accepts the bytes of one log in chunks of any size and emits batches.

mod paused;
mod verbatim;

use memchr::{memchr, memchr_iter};

use crate::aggregate::{Aggregator, LineVerdict};
use crate::archive::MemberRef;
use crate::checkpoint::OpenLine;
use crate::fingerprint::START;
use crate::parse::MAX_LINE;
use crate::recent_lines::{Anchor, CHUNK_END, RecentLines};
use crate::running_digest::{EXACT_LINES, RunningDigest};
use crate::{Checkpoint, CheckpointId, Fingerprint, Format, Rules, RulesError, UncompressedBatch};
pub use paused::PausedParser;
use verbatim::LineCopy;
pub use verbatim::VerbatimLines;

/// Parser and aggregator of one log whose bytes arrive in chunks.
///
/// A line is counted when its line end has arrived; [`Self::finish`] also counts an unterminated last line.
#[derive(Debug)]
pub struct IncrementalParser<'a> {
    aggregator: Aggregator<'a>,
    position: Position,
    withdrawn: Option<MemberRef>,
    withdrawn_unregistered: Option<MemberRef>,
    /// Bytes taken in since the last batch.
    pending: usize,
}

/// Position in the log, which outlives the rules.
#[derive(Debug)]
struct Position {
    /// Digest up to the last whole line.
    digest: RunningDigest,
    recent: RecentLines,
    fingerprint: Option<Fingerprint>,
    checkpoint_id: Option<CheckpointId>,
    /// Length of the log at the last batch.
    recorded_length: u64,
    /// Bytes after the last whole line.
    partial: Vec<u8>,
    /// Digest of a line that is too long to be held, as far as it came; then `partial` is empty.
    overlong: Option<RunningDigest>,
    /// Beginning of `partial` that was already counted, by whoever read this log before it grew.
    open: Option<OpenLine>,
    /// Copy of what is new in a log of [`Format::Verbatim`].
    copy: Option<LineCopy>,
}

/// Resume point in a log that was read before.
pub(crate) struct Resumed {
    /// Checkpoint to replace. The lines of a log whose end was lost are recorded beside the checkpoint that still has that end, so
    /// that a copy of it remains known.
    pub(crate) id: Option<CheckpointId>,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) digest: RunningDigest,
    pub(crate) recent: RecentLines,
    pub(crate) open: Option<OpenLine>,
    /// Text of the open line; empty without one.
    pub(crate) open_text: Vec<u8>,
}

impl<'a> IncrementalParser<'a> {
    /// Starts a log of which nothing is known. A program that may have read it before uses [`crate::Input::resume`].
    pub fn new(rules: &Rules<'a>) -> Result<Self, RulesError> {
        let digest = RunningDigest::new();
        let position = Position {
            digest,
            recent: RecentLines::default(),
            fingerprint: None,
            checkpoint_id: None,
            recorded_length: 0,
            partial: Vec::new(),
            overlong: None,
            open: None,
            copy: (rules.format == Format::Verbatim).then(|| LineCopy::from(0)),
        };
        Self::at(rules, position)
    }

    fn at(rules: &Rules<'a>, position: Position) -> Result<Self, RulesError> {
        rules.check()?;
        Ok(Self {
            aggregator: Aggregator::new(rules),
            position,
            withdrawn: None,
            withdrawn_unregistered: None,
            pending: 0,
        })
    }

    /// Goes on after what is recorded.
    pub(crate) fn resume(rules: &Rules<'a>, resumed: Resumed) -> Result<Self, RulesError> {
        let Resumed { id, fingerprint, digest, recent, open, open_text } = resumed;
        let copied_from = digest.length + open_text.len() as u64;
        let copy = LineCopy::from(copied_from).after_open_line(!open_text.is_empty());
        let recorded_length = if id.is_some() { digest.length + open_text.len() as u64 } else { 0 };
        let position = Position {
            digest,
            recent,
            fingerprint,
            checkpoint_id: id,
            recorded_length,
            partial: open_text,
            overlong: None,
            open,
            copy: (rules.format == Format::Verbatim).then_some(copy),
        };
        Self::at(rules, position)
    }

    /// Bytes of the log taken in so far, those of earlier runs included: the offset to read on at.
    pub fn position(&self) -> u64 {
        self.position.offset()
    }

    /// Bytes taken in since the last batch.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Id of the checkpoint that the next batch replaces.
    pub fn checkpoint_id(&self) -> Option<CheckpointId> {
        self.position.checkpoint_id
    }

    /// Stores the id that the last batch was recorded under, which the next batch then names.
    pub fn set_checkpoint_id(&mut self, id: CheckpointId) {
        self.position.checkpoint_id = Some(id);
    }

    /// Takes in the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        self.pending += bytes.len();
        if let Some(copy) = &mut self.position.copy {
            copy.add(bytes);
        }
        if (self.position.overlong.is_some() || !self.position.partial.is_empty()) && !bytes.is_empty() {
            let end = memchr(b'\n', bytes).map(|end| end + 1);
            let (head, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.extend_partial(head);
            if end.is_none() {
                return;
            }
            self.end_partial();
            bytes = rest;
        }
        let whole = self.add_whole_lines(bytes);
        if whole < bytes.len() {
            self.extend_partial(&bytes[whole..]);
        }
    }

    /// Counts the whole lines that `bytes` begins with, and returns their length in bytes.
    fn add_whole_lines(&mut self, bytes: &[u8]) -> usize {
        let Position { digest, recent, fingerprint, .. } = &mut self.position;
        let recent_from = bytes.len().saturating_sub(CHUNK_END);
        if recent_from > 0 {
            recent.forget();
        }
        let (mut start, mut digested) = (0, 0);
        for end in memchr_iter(b'\n', bytes) {
            let line = &bytes[start..=end];
            self.aggregator.add(line);
            fingerprint.get_or_insert_with(|| Fingerprint::of_first_line(&line[..line.len() - 1]));
            if start >= recent_from && digest.lines >= EXACT_LINES {
                recent.push(line, || {
                    digest.update(&bytes[digested..start]);
                    digested = start;
                    Anchor::at(digest)
                });
            }
            start = end + 1;
            let (is_marked, is_due) = (digest.end_line(), recent.is_due());
            if is_marked || is_due {
                digest.update(&bytes[digested..start]);
                digested = start;
            }
            if is_marked {
                digest.mark();
            }
            if is_due {
                recent.turn(Anchor::at(digest));
            }
        }
        digest.update(&bytes[digested..start]);
        start
    }

    /// Adds to the partial line.
    fn extend_partial(&mut self, bytes: &[u8]) {
        let position = &mut self.position;
        if let Some(overlong) = &mut position.overlong {
            return overlong.update(bytes);
        }
        position.partial.extend_from_slice(bytes);
        if position.partial.len() > MAX_LINE {
            // Too long to be held: from here on only its digest is followed.
            let text = std::mem::take(&mut position.partial);
            position.fingerprint.get_or_insert_with(|| Fingerprint::of_first_line(&text));
            let mut overlong = position.digest.clone();
            overlong.update(&text);
            position.overlong = Some(overlong);
            if let Some(open) = position.open.take() {
                self.withdraw(open, &text);
            }
        }
    }

    /// Counts the partial line, which has its line end now.
    fn end_partial(&mut self) {
        if let Some(overlong) = self.position.overlong.take() {
            self.position.digest = overlong;
            self.position.recent.forget();
            self.aggregator.add(b"\n");
        } else {
            let line = std::mem::take(&mut self.position.partial);
            let text = &line[..line.len() - 1];
            self.position.fingerprint.get_or_insert_with(|| Fingerprint::of_first_line(text));
            // An open line that only got its line end is counted already.
            let is_new = match self.position.open.take() {
                Some(open) => open.length as usize != text.len() && self.withdraw(open, text),
                None => true,
            };
            if is_new {
                self.aggregator.add(&line);
            }
            let Position { digest, recent, .. } = &mut self.position;
            if digest.lines >= EXACT_LINES {
                recent.push(&line, || Anchor::at(digest));
            }
            digest.update(&line);
        }
        let Position { digest, recent, .. } = &mut self.position;
        if digest.end_line() {
            digest.mark();
        }
        if recent.is_due() {
            recent.turn(Anchor::at(digest));
        }
    }

    /// Takes back the count of the open line that `text` begins with, if that is still possible; then the line is to be
    /// counted anew.
    fn withdraw(&mut self, open: OpenLine, text: &[u8]) -> bool {
        let is_withdrawn = self.aggregator.withdraw(&text[..open.length as usize], open.counted);
        if is_withdrawn {
            match open.counted {
                LineVerdict::Unregistered => self.withdrawn_unregistered = open.kept,
                _ => self.withdrawn = open.kept,
            }
        }
        is_withdrawn
    }

    /// Emits what was counted since the last batch. `pack_name` is the name that the pack of its kept lines will have. The
    /// batch ends after the last whole line.
    pub fn take(&mut self, pack_name: String) -> UncompressedBatch {
        let position = &mut self.position;
        let checkpoint = Checkpoint::at(&position.digest, position.recent.clone(), position.open.clone());
        let previous_length = std::mem::replace(&mut position.recorded_length, checkpoint.length());
        self.pending = 0;
        let verbatim = position.copy.as_mut().map(LineCopy::take);
        // Without a fingerprint nothing was read: such a batch is empty.
        let fingerprint = position.fingerprint.or_else(|| Fingerprint::of_start(&position.partial));
        UncompressedBatch {
            aggregates: self.aggregator.take(),
            fingerprint: fingerprint.unwrap_or(Fingerprint([0; 16])),
            replaces: position.checkpoint_id,
            previous_length,
            checkpoint,
            keeps_open: false,
            withdrawn: self.withdrawn.take(),
            withdrawn_unregistered: self.withdrawn_unregistered.take(),
            pack_name,
            verbatim,
        }
    }

    /// Emits the rest when the input has ended, and returns the number of bytes left unread at its end.
    ///
    /// An unterminated last line is counted and remembered as open: when the log is longer next time, its count is withdrawn
    /// and the grown line counted. Left for then, uncounted, is only what cannot be a line: beyond [`MAX_LINE`], or below 16
    /// bytes with nothing before it.
    pub fn finish(mut self, pack_name: String) -> (UncompressedBatch, u64) {
        let unfinished = self.position() - self.position.digest.length;
        let is_line = self.position.digest.lines > 0 || self.position.partial.len() >= START;
        let is_countable = self.position.overlong.is_none() && is_line;
        let counted_before = self.position.open.as_ref().map_or(0, |open| open.length as usize);
        let mut keeps_open = false;
        if is_countable && self.position.partial.len() > counted_before {
            let text = std::mem::take(&mut self.position.partial);
            let is_new = self.position.open.clone().is_none_or(|open| self.withdraw(open, &text));
            let (counted, kept) = match self.position.open.take() {
                Some(open) if !is_new => (open.counted, open.kept),
                _ => (self.aggregator.add_open(&text), None),
            };
            keeps_open = is_new && counted.is_kept();
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            let digest = self.position.digest.digest(&text);
            self.position.open = Some(OpenLine { length, digest, counted, kept });
            if let Some(copy) = &mut self.position.copy {
                copy.end_line();
            }
            self.position.partial = text;
        }
        let left = if is_countable { 0 } else { unfinished };
        (UncompressedBatch { keeps_open, ..self.take(pack_name) }, left)
    }
}

impl Position {
    fn offset(&self) -> u64 {
        let partial = self.digest.length + self.partial.len() as u64;
        self.overlong.as_ref().map_or(partial, |overlong| overlong.length)
    }
}
