//! Log follower: tails an access log across rotation.
//!
//! Logs are recognised by content (see [`crate::Checkpoint`]), so nothing but the ledger needs to outlive the process: a
//! follower that starts finds out by itself how far the file was read, and which rotated files hold lines that nobody has
//! read yet. Those are recorded before anything newer. While it runs it also notices
//!
//! - that the name is another file's: the old one is read to its end, and then watched for as long as a writer may still have
//!   it open. Files that came and went between are found among the rotated files, from the newest down to the old one;
//! - that the file was truncated or overwritten: its former content is looked for among the rotated files, where a copy was
//!   left.
//!
//! An unterminated last line waits until it has its line end, or until nothing was added to its rotated file for a minute.

mod age;
mod notice;
mod order;
mod rotated;
mod tailed_file;
mod walk;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Checkpoint, Fingerprint, IngestError, IngestOptions, Ledger, LogIdentity, Rules};
pub use notice::Notice;
use rotated::{Packing, RotatedFiles};
use tailed_file::{FileStamp, ReadOutcome, TailedFile};
use walk::WalkReason;

/// Time for which nothing may be added to a rotated file before it is taken to be complete: its writer reopens the log only
/// when it is told to.
const ROTATE_WAIT: Duration = Duration::from_mins(1);

/// Follower of the log of one name. Its state is a cache: a new follower would find out the same.
#[derive(Debug)]
pub struct Follower {
    files: RotatedFiles,
    has_started: bool,
    /// Whether the last poll read all there was.
    is_settled: bool,
    live: Option<TailedFile>,
    /// Files rotated since the start, the oldest first.
    rotated: Vec<TailedFile>,
    /// Reason to look for rotated files that hold lines that nobody has read.
    walk: Option<WalkReason>,
    /// Time at which the newest file that was seen so far was modified: rotated files that come later are no older.
    seen_until: Option<(i64, i64)>,
    /// Rotated files as they were when they were looked at last.
    seen: HashSet<FileStamp>,
    /// Files of which the operator was told.
    noticed: HashSet<PathBuf>,
    /// Notices of a poll that failed.
    notices: Vec<Notice>,
}

/// Result of polling a log.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PollReport {
    /// Whether there is more to be read at once.
    pub has_more: bool,
    /// Notices for the operator.
    pub notices: Vec<Notice>,
}

/// Distance of a ledger from the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Bytes recorded.
    pub recorded: u64,
    /// Bytes of the file.
    pub size: u64,
}

/// Arguments and report of one poll.
struct Poll<'p, 'r, L> {
    rules: &'p Rules<'r>,
    options: &'p IngestOptions,
    ledger: &'p mut L,
    now: Instant,
    report: PollReport,
}

impl Follower {
    /// Follows the log of this name, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self {
            files: RotatedFiles::new(path.to_owned()),
            has_started: false,
            is_settled: false,
            live: None,
            rotated: Vec::new(),
            walk: None,
            seen_until: None,
            seen: HashSet::new(),
            noticed: HashSet::new(),
            notices: Vec::new(),
        }
    }

    /// Sets the folder that rotation moves files to. They are looked for beside the log too, and beside the file that the log is a
    /// symbolic link to.
    #[must_use]
    pub fn rotated_folder(mut self, folder: PathBuf) -> Self {
        self.files.set_folder(folder);
        self
    }

    /// Names the logs of other edges, which are never taken for rotated files of this one.
    #[must_use]
    pub fn neighbours(mut self, logs: impl IntoIterator<Item = PathBuf>) -> Self {
        self.files.set_neighbours(logs);
        self
    }

    /// Rotated files of the log that can be read, gzipped or not, the one written last first.
    pub fn rotated_files(&self) -> io::Result<Vec<PathBuf>> {
        let listed = self.files.newest_first()?;
        Ok(listed
            .into_iter()
            .filter(|file| file.packing != Packing::Unsupported)
            .map(|file| file.path)
            .collect())
    }

    /// Whether a poll would find anything to do. Reads neither the ledger nor the content of files.
    pub fn has_changed(&self, now: Instant) -> bool {
        let stamp = FileStamp::of_path(self.files.path()).ok().flatten();
        !self.is_settled
            || self.live.as_ref().map(TailedFile::stamp) != stamp
            || self.rotated.iter().any(|file| file.has_changed() || file.is_idle(now, ROTATE_WAIT))
    }

    /// Reads what is new, up to a batch of every file, and records it.
    ///
    /// `knows_edge` says whether the ledger has anything of this edge: if not, files rotated before are history that nobody
    /// asked for, and are left alone. After an error the next poll goes on from what is recorded.
    pub fn poll<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        options: &IngestOptions,
        ledger: &mut L,
        knows_edge: bool,
        now: Instant,
    ) -> Result<PollReport, IngestError<L::Error>> {
        let report = PollReport { has_more: false, notices: std::mem::take(&mut self.notices) };
        let mut poll = Poll { rules, options, ledger, now, report };
        let polled = self.read(&mut poll, knows_edge);
        if polled.is_err() {
            self.notices.append(&mut poll.report.notices);
        }
        polled.map(|()| poll.report)
    }

    fn read<L: Ledger>(
        &mut self,
        poll: &mut Poll<'_, '_, L>,
        knows_edge: bool,
    ) -> Result<(), IngestError<L::Error>> {
        self.is_settled = false;
        if !self.has_started {
            self.start(poll, knows_edge)?;
        }
        let stamp = FileStamp::of_path(self.files.path()).map_err(|error| self.error(error))?;
        self.notice_change(stamp, poll.now);
        self.read_rotated(poll)?;
        // What is newer waits until what is older is recorded.
        if !poll.report.has_more
            && let Some(reason) = self.walk
        {
            self.walk(poll, reason)?;
        }
        if !poll.report.has_more && self.walk.is_none() {
            self.read_live(poll, stamp)?;
        }
        self.is_settled = !poll.report.has_more && self.walk.is_none();
        if self.is_settled {
            self.seen_until = self.seen_until.max(self.live.as_ref().map(|live| live.stamp().modified));
        }
        Ok(())
    }

    /// Compares the ledger with the file of this name; nothing while that has no whole line.
    pub fn lag<L: Ledger>(&self, ledger: &mut L) -> Result<Option<Lag>, IngestError<L::Error>> {
        let Some(live) = self.open(Instant::now())? else { return Ok(None) };
        let Some(mut input) = live.input().map_err(|error| self.error(error))? else { return Ok(None) };
        let line = input.first_line().map_err(|error| self.error(error))?;
        let fingerprint = Fingerprint::of_first_line(&line);
        let mut recorded = 0;
        for stored in ledger.checkpoints([fingerprint, fingerprint]).map_err(IngestError::Ledger)? {
            recorded = recorded.max(Checkpoint::decode(&stored.state)?.length());
        }
        Ok(Some(Lag { recorded, size: live.stamp().size }))
    }

    fn start<L: Ledger>(
        &mut self,
        poll: &mut Poll<'_, '_, L>,
        knows_edge: bool,
    ) -> Result<(), IngestError<L::Error>> {
        let mut live = self.open(poll.now)?;
        let mut is_known = false;
        if let Some(live) = &mut live {
            let identity = live.identify(poll.rules, poll.ledger)?;
            is_known = identity.is_some_and(|identity| identity != LogIdentity::New);
            if is_known {
                poll.report.notices.append(&mut live.take_notices());
            } else {
                // A log is recorded as new by what the ledger said last, so the ledger is asked again just before.
                live.reset();
            }
        }
        self.walk = Some(WalkReason::Start { knows_edge, is_known });
        (self.live, self.has_started) = (live, true);
        Ok(())
    }

    /// Notices that the name is another file's, or may have been.
    fn notice_change(&mut self, stamp: Option<FileStamp>, now: Instant) {
        let is_other = |live: &mut TailedFile| stamp.is_none_or(|stamp| !stamp.is_same_file(live.stamp()));
        if let Some(mut live) = self.live.take_if(is_other) {
            // A file of which nothing was read, as while a walk is due, is found like the others that were rotated.
            if self.walk.is_none() && !live.is_unread() {
                live.mark_rotated(now);
                self.rotated.push(live);
            }
            self.walk.get_or_insert(WalkReason::Changed);
        } else if self.live.as_ref().is_none_or(|live| live.is_unread() && Some(live.stamp()) != stamp)
            && stamp.is_some()
        {
            // Other files may have had the name meanwhile, or the file other content, of which nothing was read.
            self.walk.get_or_insert(WalkReason::Changed);
        }
    }

    fn read_live<L: Ledger>(
        &mut self,
        poll: &mut Poll<'_, '_, L>,
        stamp: Option<FileStamp>,
    ) -> Result<(), IngestError<L::Error>> {
        if self.live.is_none() {
            let opened = self.open(poll.now)?;
            if opened.as_ref().map(|live| live.stamp().file) != stamp.map(|stamp| stamp.file) {
                // Rotated since the rotated files were looked at, so that there may be others now.
                poll.report.has_more = true;
                return Ok(());
            }
            self.live = opened;
        }
        let Some(live) = &mut self.live else { return Ok(()) };
        match live.read(poll.rules, poll.options, poll.ledger, poll.now)? {
            ReadOutcome::AtEnd | ReadOutcome::Refused => {}
            ReadOutcome::More => poll.report.has_more = true,
            ReadOutcome::Replaced => {
                poll.report.has_more = true;
                // A log that only lost its end was not copied elsewhere.
                let identity = live.identify(poll.rules, poll.ledger)?;
                if identity.is_none_or(|identity| identity == LogIdentity::New) && !live.is_refused() {
                    live.reset();
                    self.walk.get_or_insert(WalkReason::Replaced);
                }
            }
        }
        poll.report.notices.append(&mut live.take_notices());
        Ok(())
    }

    fn read_rotated<L: Ledger>(&mut self, poll: &mut Poll<'_, '_, L>) -> Result<(), IngestError<L::Error>> {
        let mut replaced = Vec::new();
        for (index, file) in self.rotated.iter_mut().enumerate() {
            match file.read(poll.rules, poll.options, poll.ledger, poll.now)? {
                ReadOutcome::More => poll.report.has_more = true,
                ReadOutcome::AtEnd if file.is_idle(poll.now, ROTATE_WAIT) => {
                    file.finish(poll.rules, poll.options, poll.ledger)?;
                }
                ReadOutcome::Replaced => replaced.push(index),
                ReadOutcome::AtEnd | ReadOutcome::Refused => {}
            }
            poll.report.notices.append(&mut file.take_notices());
        }
        for index in replaced.into_iter().rev() {
            // Truncated before it was rotated: its former content is elsewhere, and its present one is another log.
            self.rotated.remove(index);
            self.walk = Some(WalkReason::Replaced);
        }
        self.rotated.retain(|file| !file.is_idle(poll.now, ROTATE_WAIT));
        Ok(())
    }

    fn open<E: std::error::Error>(&self, now: Instant) -> Result<Option<TailedFile>, IngestError<E>> {
        let opened = match File::open(self.files.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened,
        };
        opened
            .and_then(|file| TailedFile::new(self.files.path().to_owned(), file, now))
            .map(Some)
            .map_err(|error| self.error(error))
    }

    fn error<E: std::error::Error>(&self, source: io::Error) -> IngestError<E> {
        IngestError::Read { name: self.files.path().display().to_string(), source }
    }
}
