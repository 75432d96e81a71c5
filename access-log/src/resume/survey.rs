//! Survey of an input along the trails of all candidates: which of them it begins with, and how far.

use std::io::{self, Read};

use flate2::Crc;
use memchr::memchr_iter;

use super::{Agreeing, Candidate, Loss};
use crate::input::{CHUNK, Input};
use crate::running_digest::RunningDigest;

/// Least number of lines that two logs do not share by chance: more than a header has, or a health check repeats.
const TOO_MANY_TO_SHARE: u64 = 64;

/// Result of a survey.
pub(super) enum Finding {
    New,
    Copy,
    /// The input was read up to the end of the candidate's whole lines.
    Agrees(Agreeing),
    /// The same, but the input was read beyond that because a longer candidate seemed to agree too.
    ReadTooFar(Candidate),
    /// The input has most of the candidate's lines, and then differs.
    Truncated(Candidate, Loss),
    Unclear {
        agreeing: u64,
        known: u64,
    },
}

/// Whether a log with so many of the lines that were read before is that log.
pub(super) fn is_most(agreeing: u64, known: u64) -> bool {
    agreeing * 2 > known
}

/// Candidate that no comparison has excluded.
struct Contender {
    candidate: Candidate,
    /// Lines that were compared and agree.
    agreeing: u64,
    /// Whether the lines up to its anchor were compared, so that its checksums can be.
    is_anchored: bool,
    /// Lines before the first of which the checksum differs.
    differs_after: Option<u64>,
}

/// Candidate that the input has only the beginning of.
struct Excluded {
    candidate: Candidate,
    loss: Loss,
}

impl Contender {
    fn new(candidate: Candidate) -> Self {
        Self { candidate, agreeing: 0, is_anchored: false, differs_after: None }
    }

    fn lines(&self) -> u64 {
        self.candidate.checkpoint.lines
    }

    fn anchor_lines(&self) -> Option<u64> {
        self.candidate.checkpoint.recent.anchor().map(|anchor| anchor.lines)
    }

    /// Compares the checksum of the line with this number, if there is one.
    fn compare_line(&mut self, number: u64, checksum: u32) {
        if self.is_anchored && self.differs_after.is_none() {
            match self.candidate.checkpoint.recent.checksum(number) {
                Some(expected) if expected != checksum => self.differs_after = Some(number - 1),
                Some(_) => self.agreeing = number,
                None => {}
            }
        }
    }

    /// Compares the input with the mark, the anchor and the end that the candidate has after so many lines.
    fn compare_digests(&mut self, input: &RunningDigest, is_marked: bool) -> bool {
        let checkpoint = &self.candidate.checkpoint;
        let mut is_compared = is_marked;
        if is_marked && !checkpoint.agrees_with(input) {
            return false;
        }
        if let Some(anchor) = checkpoint.recent.anchor()
            && anchor.lines == input.lines
        {
            if anchor.digest != input.digest(b"") {
                return false;
            }
            (self.is_anchored, is_compared) = (true, true);
        }
        if checkpoint.lines == input.lines {
            if checkpoint.length != input.length || checkpoint.digest != input.digest(b"") {
                return false;
            }
            is_compared = true;
        }
        if is_compared {
            // Whatever the checksums said: a digest of everything tells more.
            (self.agreeing, self.differs_after) = (input.lines, None);
        }
        true
    }

    /// Excludes the candidate because it differs within the first `lines` lines of the input.
    fn exclude(self, lines: u64) -> Excluded {
        let loss = match self.differs_after {
            Some(agreeing) => Loss { agreeing, resume_at: agreeing },
            None if self.agreeing + 1 == lines => Loss { agreeing: self.agreeing, resume_at: self.agreeing },
            None => Loss { agreeing: self.agreeing, resume_at: lines },
        };
        Excluded { candidate: self.candidate, loss }
    }
}

/// Candidates while the input is read.
struct Survey {
    digest: RunningDigest,
    contenders: Vec<Contender>,
    /// Candidate all of whose whole lines the input begins with; the longest such.
    whole: Option<Candidate>,
    /// Excluded candidate that the input has most lines of.
    excluded: Option<Excluded>,
}

impl Survey {
    fn new(candidates: Vec<Candidate>) -> Self {
        let contenders = candidates.into_iter().map(Contender::new).collect();
        Self { digest: RunningDigest::new(), contenders, whole: None, excluded: None }
    }

    /// Whether checksums of lines are to be compared after so many lines.
    fn compares_lines(&self) -> bool {
        self.contenders.iter().any(|contender| contender.is_anchored)
    }

    /// Whether a candidate has its anchor or its end after so many lines.
    fn is_compared_at(&self, lines: u64) -> bool {
        self.contenders.iter().any(|each| each.lines() == lines || each.anchor_lines() == Some(lines))
    }

    /// Compares the digest, which has taken in every line so far. Whether the last comparison found the end of a candidate.
    fn compare(&mut self, is_marked: bool) -> bool {
        let lines = self.digest.lines;
        let mut is_end = false;
        for mut contender in std::mem::take(&mut self.contenders) {
            if !contender.compare_digests(&self.digest, is_marked) {
                self.exclude(contender, lines);
            } else if contender.lines() <= lines {
                (self.whole, is_end) = (Some(contender.candidate), true);
            } else {
                self.contenders.push(contender);
            }
        }
        is_end
    }

    fn exclude(&mut self, contender: Contender, lines: u64) {
        let excluded = contender.exclude(lines);
        if self.excluded.as_ref().is_none_or(|best| best.loss.agreeing < excluded.loss.agreeing) {
            self.excluded = Some(excluded);
        }
    }

    /// Tells what was found when no contender is left, or the input has ended. `is_at_end_of_whole` says whether the input was read
    /// just to the end of the candidate that it has the whole of.
    fn conclude(self, is_at_end_of_whole: bool) -> Finding {
        let whole_lines = self.whole.as_ref().map_or(0, |whole| whole.checkpoint.lines);
        if let Some(Excluded { candidate, loss }) = self.excluded
            && loss.agreeing > whole_lines
        {
            let (agreeing, known) = (loss.agreeing, candidate.checkpoint.lines());
            if is_most(agreeing, known) {
                return Finding::Truncated(candidate, loss);
            } else if agreeing >= TOO_MANY_TO_SHARE {
                return Finding::Unclear { agreeing, known };
            }
        }
        match self.whole {
            Some(candidate) if is_at_end_of_whole => {
                Finding::Agrees(Agreeing { candidate, digest: Box::new(self.digest) })
            }
            Some(candidate) => Finding::ReadTooFar(candidate),
            None => Finding::New,
        }
    }

    /// Tells what was found when the input has ended, within a line or not.
    fn conclude_at_end(mut self, in_line: bool) -> Finding {
        let lines = self.digest.lines;
        let (differing, longer): (Vec<_>, Vec<_>) = std::mem::take(&mut self.contenders)
            .into_iter()
            .partition(|contender| contender.differs_after.is_some());
        // The candidates that are left are longer than the input.
        let is_copy = !longer.is_empty()
            && (!in_line
                || lines >= 2
                || longer.iter().any(|contender| {
                    contender.candidate.checkpoint.agrees_after_line_end(&self.digest) != Some(false)
                }));
        if is_copy {
            return Finding::Copy;
        }
        for contender in differing {
            self.exclude(contender, lines);
        }
        self.conclude(false)
    }
}

impl Input {
    /// Reads until it is clear which candidate the input continues.
    pub(super) fn survey(&mut self, candidates: Vec<Candidate>) -> io::Result<Finding> {
        let mut survey = Survey::new(candidates);
        // A candidate may have nothing but an open line.
        let is_end = survey.compare(false);
        if survey.contenders.is_empty() {
            return Ok(survey.conclude(is_end));
        }
        let mut chunk = vec![0; CHUNK];
        let (mut in_line, mut checksum) = (false, Crc::new());
        loop {
            let count = self.read(&mut chunk)?;
            let bytes = &chunk[..count];
            let Some(last) = bytes.last() else { break };
            let (mut taken, mut start) = (0, 0);
            for end in memchr_iter(b'\n', bytes) {
                let is_marked = survey.digest.end_line();
                let lines = survey.digest.lines;
                if survey.compares_lines() {
                    checksum.update(&bytes[start..=end]);
                    survey.contenders.iter_mut().for_each(|each| each.compare_line(lines, checksum.sum()));
                }
                checksum.reset();
                start = end + 1;
                if !is_marked && !survey.is_compared_at(lines) {
                    continue;
                }
                survey.digest.update(&bytes[taken..start]);
                taken = start;
                if is_marked {
                    survey.digest.mark();
                }
                let is_end = survey.compare(is_marked);
                if survey.contenders.is_empty() {
                    self.unread(bytes[taken..].to_vec());
                    return Ok(survey.conclude(is_end));
                }
            }
            checksum.update(&bytes[start..]);
            survey.digest.update(&bytes[taken..]);
            in_line = *last != b'\n';
        }
        Ok(survey.conclude_at_end(in_line))
    }
}
