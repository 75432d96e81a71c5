//! Has this log been read before, and how far?

use std::io::{self, Read};

use memchr::memchr_iter;

use super::{Found, IngestError, Ledger, read_error};
use crate::feeder::{Feeder, check};
use crate::input::{CHUNK, Input};
use crate::source::Tracker;
use crate::{Rules, Source, SourceKey};

struct Candidate {
    id: i64,
    source: Source,
}

/// What an input is.
enum Recognised {
    New,
    Copy,
    /// It begins with all of the candidate; the open line's text comes along.
    Continued(Candidate, Box<Tracker>, Vec<u8>),
}

enum Outcome {
    New,
    Copy,
    /// The candidate's whole lines are the beginning of the input, which was read up to there.
    Agrees(Candidate, Box<Tracker>),
    /// The same, but the input was read beyond that because a longer candidate seemed to agree too.
    Again(Candidate),
}

impl Input {
    /// Compares the log with the known ones and reads up to where what is new begins. Answers the feeder to go on with;
    /// there is none if the log is a copy of a known one's beginning.
    pub fn start<'a, L: Ledger>(
        &mut self,
        rules: &Rules<'a>,
        ledger: &mut L,
    ) -> Result<(Found, Option<Feeder<'a>>), IngestError<L::Error>> {
        check(rules)?;
        let text = self.first_line().map_err(|source| read_error(self, source))?;
        let key = SourceKey::of_first_line(&text);
        let start = SourceKey::of_start(&text).unwrap_or(key);
        let mut candidates = Vec::new();
        for known in ledger.sources([key, start]).map_err(IngestError::Ledger)? {
            candidates.push(Candidate { id: known.id, source: Source::decode(&known.state)? });
        }
        if candidates.is_empty() {
            return Ok((Found::New, Some(Feeder::new(rules)?)));
        }
        match self.compare(candidates).map_err(|source| read_error(self, source))? {
            Recognised::New => Ok((Found::New, Some(Feeder::new(rules)?))),
            Recognised::Copy => Ok((Found::Copy, None)),
            Recognised::Continued(candidate, tracker, tail) => {
                let key = (tracker.lines > 0).then_some(key);
                let open = candidate.source.open;
                let feeder = Feeder::resume(rules, candidate.id, key, *tracker, open, tail)?;
                Ok((Found::Continued, Some(feeder)))
            }
        }
    }

    /// Finds the candidate that the input continues. What is new is read next.
    fn compare(&mut self, mut candidates: Vec<Candidate>) -> io::Result<Recognised> {
        self.make_rewindable()?;
        loop {
            match self.follow(candidates)? {
                Outcome::New => break,
                Outcome::Copy => return Ok(Recognised::Copy),
                Outcome::Again(candidate) => {
                    self.rewind()?;
                    candidates = vec![candidate];
                }
                Outcome::Agrees(candidate, tracker) => {
                    let mut tail = Vec::new();
                    let Some(open) = &candidate.source.open else {
                        return Ok(Recognised::Continued(candidate, tracker, tail));
                    };
                    self.by_ref().take(open.length.into()).read_to_end(&mut tail)?;
                    if tail.len() == open.length as usize && tracker.digest(&tail) == open.digest {
                        return Ok(Recognised::Continued(candidate, tracker, tail));
                    }
                    if tail.len() < open.length as usize && !tail.contains(&b'\n') {
                        // The input ends within the open line.
                        return Ok(Recognised::Copy);
                    }
                    break;
                }
            }
        }
        self.rewind()?;
        Ok(Recognised::New)
    }

    /// Reads until at most one candidate can be meant.
    fn follow(&mut self, mut alive: Vec<Candidate>) -> io::Result<Outcome> {
        let mut tracker = Tracker::new();
        let mut best = take_agreeing(&mut alive, &tracker);
        let mut chunk = vec![0; CHUNK];
        let mut in_line = false;
        if alive.is_empty()
            && let Some(candidate) = best
        {
            return Ok(Outcome::Agrees(candidate, Box::new(tracker)));
        }
        loop {
            let count = self.read(&mut chunk)?;
            let bytes = &chunk[..count];
            let Some(last) = bytes.last() else { break };
            let mut taken = 0;
            for end in memchr_iter(b'\n', bytes) {
                let is_checkpoint = tracker.line();
                let is_end = alive.iter().any(|candidate| candidate.source.lines == tracker.lines);
                if !is_checkpoint && !is_end {
                    continue;
                }
                tracker.bytes(&bytes[taken..=end]);
                taken = end + 1;
                if is_checkpoint {
                    tracker.checkpoint();
                    alive.retain(|candidate| tracker.agrees(&candidate.source));
                }
                let agreeing = take_agreeing(&mut alive, &tracker);
                if !alive.is_empty() {
                    best = agreeing.or(best);
                } else if let Some(candidate) = agreeing {
                    self.unread(bytes[taken..].to_vec());
                    return Ok(Outcome::Agrees(candidate, Box::new(tracker)));
                } else {
                    return Ok(best.map_or(Outcome::New, Outcome::Again));
                }
            }
            tracker.bytes(&bytes[taken..]);
            in_line = *last != b'\n';
        }
        // The input ended while all that remain are longer.
        let is_copy = !in_line
            || tracker.lines >= 2
            || alive.iter().any(|candidate| tracker.goes_on_with_line_end(&candidate.source) != Some(false));
        if is_copy { Ok(Outcome::Copy) } else { Ok(best.map_or(Outcome::New, Outcome::Again)) }
    }
}

/// Takes out the candidates that end where the tracker is; answers one of them that agrees.
fn take_agreeing(alive: &mut Vec<Candidate>, tracker: &Tracker) -> Option<Candidate> {
    let ended = alive.extract_if(.., |candidate| candidate.source.lines <= tracker.lines);
    let digest = tracker.digest(b"");
    ended
        .filter(|candidate| candidate.source.length == tracker.length && candidate.source.digest == digest)
        .last()
}
