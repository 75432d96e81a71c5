//! Resume point of a log: compares an input with the stored checkpoints, and finds where what is new begins.

mod survey;

use std::io::{self, Read};

use memchr::memchr_iter;

use crate::incremental_parser::Resumed;
use crate::input::{CHUNK, Input};
use crate::recent_lines::RecentLines;
use crate::running_digest::RunningDigest;
use crate::{Checkpoint, CheckpointId, Fingerprint, IncrementalParser, IngestError, Ledger, Rules};
use survey::Finding;

/// Relation of an input to the logs that were read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogIdentity {
    /// Log that was not read before.
    New,
    /// Log that was read before: only what it has grown by, perhaps nothing, is new.
    Continued,
    /// Beginning of a log that was read before: nothing is new.
    Copy,
    /// Log that was read before, whose last lines were lost and others written in their place: those are new.
    Truncated {
        /// Lines at the place of the loss of which it cannot be told whether they were read before: they are not counted.
        skipped: u64,
    },
}

/// Stored checkpoint that the input may continue.
struct Candidate {
    id: CheckpointId,
    checkpoint: Checkpoint,
}

/// Candidate of which the input has the first `digest.lines` lines, with the digest of those.
struct Agreeing {
    candidate: Candidate,
    digest: Box<RunningDigest>,
}

/// Result of comparing the input with all candidates.
enum Comparison {
    New,
    Copy,
    /// The input begins with all that the candidate has read. The text of its open line comes along.
    Continued(Agreeing, Vec<u8>),
    /// The input lost the end of the candidate.
    Truncated(Agreeing, Loss),
    /// The input shares too many lines with a candidate to be another log, and too few to be that log.
    Unclear {
        agreeing: u64,
        known: u64,
    },
}

/// Loss of the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loss {
    /// Lines that agree.
    agreeing: u64,
    /// Lines after which counting goes on; more than `agreeing` where that is not known to the line.
    resume_at: u64,
}

impl Input {
    /// Compares the log with the stored checkpoints and reads up to where what is new begins. Returns the parser to go on
    /// with; there is none if the log is a copy of the beginning of a known one.
    pub fn resume<'a, L: Ledger>(
        &mut self,
        rules: &Rules<'a>,
        ledger: &mut L,
    ) -> Result<(LogIdentity, Option<IncrementalParser<'a>>), IngestError<L::Error>> {
        rules.check()?;
        let text = self.first_line().map_err(|source| self.error(source))?;
        let fingerprint = Fingerprint::of_first_line(&text);
        let start = Fingerprint::of_start(&text).unwrap_or(fingerprint);
        let mut candidates = Vec::new();
        for stored in ledger.checkpoints([fingerprint, start]).map_err(IngestError::Ledger)? {
            candidates.push(Candidate { id: stored.id, checkpoint: Checkpoint::decode(&stored.state)? });
        }
        if candidates.is_empty() {
            return Ok((LogIdentity::New, Some(IncrementalParser::new(rules)?)));
        }
        let resumed = |id, digest: Box<RunningDigest>, recent| Resumed {
            id,
            fingerprint: (digest.lines > 0).then_some(fingerprint),
            digest: *digest,
            recent,
            open: None,
            open_text: Vec::new(),
        };
        match self.compare(candidates).map_err(|source| self.error(source))? {
            Comparison::New => Ok((LogIdentity::New, Some(IncrementalParser::new(rules)?))),
            Comparison::Copy => Ok((LogIdentity::Copy, None)),
            Comparison::Continued(
                Agreeing { candidate: Candidate { id, checkpoint }, digest },
                open_text,
            ) => {
                let resumed = resumed(Some(id), digest, checkpoint.recent);
                let resumed = Resumed { open: checkpoint.open, open_text, ..resumed };
                Ok((LogIdentity::Continued, Some(IncrementalParser::resume(rules, resumed)?)))
            }
            Comparison::Truncated(Agreeing { candidate, digest }, Loss { agreeing, resume_at }) => {
                let recent = if agreeing == resume_at {
                    candidate.checkpoint.recent.truncate(agreeing)
                } else {
                    RecentLines::default()
                };
                let identity = LogIdentity::Truncated { skipped: resume_at - agreeing };
                Ok((identity, Some(IncrementalParser::resume(rules, resumed(None, digest, recent))?)))
            }
            Comparison::Unclear { agreeing, known } => {
                Err(IngestError::Unclear { name: self.name().to_owned(), agreeing, known })
            }
        }
    }

    /// Finds the candidate that the input continues. The next byte read is the first new one.
    fn compare(&mut self, candidates: Vec<Candidate>) -> io::Result<Comparison> {
        self.make_rewindable()?;
        match self.survey(candidates)? {
            Finding::New => {
                self.rewind()?;
                Ok(Comparison::New)
            }
            Finding::Copy => Ok(Comparison::Copy),
            Finding::Agrees(agreeing) => self.compare_open_line(agreeing),
            Finding::ReadTooFar(candidate) => {
                let digest = self.read_again(candidate.checkpoint.lines)?;
                self.compare_open_line(Agreeing { candidate, digest })
            }
            Finding::Truncated(candidate, loss) => {
                let digest = self.read_again(loss.resume_at)?;
                Ok(Comparison::Truncated(Agreeing { candidate, digest }, loss))
            }
            Finding::Unclear { agreeing, known } => Ok(Comparison::Unclear { agreeing, known }),
        }
    }

    /// Compares what follows the candidate's whole lines with its open line.
    fn compare_open_line(&mut self, agreeing: Agreeing) -> io::Result<Comparison> {
        let mut text = Vec::new();
        let Some(open) = &agreeing.candidate.checkpoint.open else {
            return Ok(Comparison::Continued(agreeing, text));
        };
        self.by_ref().take(open.length.into()).read_to_end(&mut text)?;
        if text.len() == open.length as usize && agreeing.digest.digest(&text) == open.digest {
            return Ok(Comparison::Continued(agreeing, text));
        }
        if text.len() < open.length as usize && !text.contains(&b'\n') {
            // The input ends within the open line.
            return Ok(Comparison::Copy);
        }
        let lines = agreeing.digest.lines;
        if survey::is_most(lines, agreeing.candidate.checkpoint.lines()) {
            self.unread(text);
            return Ok(Comparison::Truncated(agreeing, Loss { agreeing: lines, resume_at: lines }));
        }
        self.rewind()?;
        Ok(Comparison::New)
    }

    /// Reads the first `lines` lines again.
    fn read_again(&mut self, lines: u64) -> io::Result<Box<RunningDigest>> {
        self.rewind()?;
        let mut digest = Box::new(RunningDigest::new());
        let mut chunk = vec![0; CHUNK];
        while digest.lines < lines {
            let count = self.read(&mut chunk)?;
            if count == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the log became shorter while it was read",
                ));
            }
            let mut taken = 0;
            for end in memchr_iter(b'\n', &chunk[..count]) {
                let is_marked = digest.end_line();
                let is_last = digest.lines == lines;
                if is_marked || is_last {
                    digest.update(&chunk[taken..=end]);
                    taken = end + 1;
                }
                if is_marked {
                    digest.mark();
                }
                if is_last {
                    self.unread(chunk[taken..count].to_vec());
                    return Ok(digest);
                }
            }
            digest.update(&chunk[taken..count]);
        }
        Ok(digest)
    }
}
