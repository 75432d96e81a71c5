//! Walk over the rotated files, from the newest down to the one that was being read: those above it hold lines that nobody
//! has read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::order::{self, PlacedFile};
use super::rotated::{Packing, RotatedFile};
use super::tailed_file::{FileStamp, TailedFile};
use super::{Follower, Notice, Poll, ROTATE_WAIT, age};
use crate::input::Input;
use crate::{IngestError, Ledger, LogIdentity, ingest};

/// Reason to walk over the rotated files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WalkReason {
    /// The follower has started.
    Start {
        /// Whether anything of this edge was read before.
        knows_edge: bool,
        /// Whether the live file was, at least its beginning.
        is_known: bool,
    },
    /// The name is another file's.
    Changed,
    /// The content of the file was replaced.
    Replaced,
}

/// Result of a walk.
enum Walked {
    /// Files with lines that nobody has read, the newest first, and whether the file that was being read is among the rotated ones.
    Done { unread: Vec<RotatedFile>, is_found: bool },
    /// Files were rotated meanwhile.
    Overtaken,
    /// A file cannot be read yet: its compression may still be under way.
    Unfinished,
}

/// Outcome of reading an unread file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TakenUp {
    /// It was read to its end, or cannot be.
    Read,
    /// It is tailed from now on.
    Tailed,
    /// Another file has its name by now.
    Overtaken,
}

impl Follower {
    /// Reads the rotated files with lines that nobody has read, the oldest first. The first that is still written, or was until
    /// lately, is tailed from now on, and the walk is repeated when that was read.
    pub(super) fn walk<L: Ledger>(
        &mut self,
        poll: &mut Poll<'_, '_, L>,
        reason: WalkReason,
    ) -> Result<(), IngestError<L::Error>> {
        let listed = self.files.newest_first().map_err(|error| self.error(error))?;
        if reason == (WalkReason::Start { knows_edge: false, is_known: false }) {
            self.end_walk(&listed);
            return Ok(());
        }
        let (mut unread, is_found) = match self.find_unread(poll, &listed)? {
            Walked::Done { unread, is_found } => (unread, is_found),
            Walked::Overtaken => {
                poll.report.has_more = true;
                return Ok(());
            }
            Walked::Unfinished => return Ok(()),
        };
        if !is_found {
            self.leave_out_history(&mut unread, reason);
        }
        let is_lost = match reason {
            WalkReason::Start { knows_edge, is_known } => knows_edge && !is_known,
            // Whatever became of its name, the file itself is still open.
            WalkReason::Changed => false,
            WalkReason::Replaced => true,
        };
        if is_lost && !is_found {
            poll.report.notices.push(Notice::Gap);
        }
        for file in unread.into_iter().rev() {
            let taken_up = self.take_up(poll, &file)?;
            if taken_up != TakenUp::Read {
                // What is newer waits until this is recorded: a later walk goes no further down than to what is known.
                poll.report.has_more = true;
                return Ok(());
            }
        }
        self.end_walk(&listed);
        Ok(())
    }

    fn end_walk(&mut self, listed: &[RotatedFile]) {
        self.walk = None;
        self.seen_until = self.seen_until.max(listed.iter().map(|file| file.stamp.modified).max());
        self.seen = listed.iter().map(|file| file.stamp).collect();
    }

    /// Without the file that was being read, the files that nobody has read may all be from before the log was followed.
    fn leave_out_history(&self, unread: &mut Vec<RotatedFile>, reason: WalkReason) {
        match reason {
            WalkReason::Start { knows_edge: true, is_known: false } => {}
            WalkReason::Start { .. } => unread.clear(),
            WalkReason::Changed | WalkReason::Replaced => {
                unread.retain(|file| {
                    Some(file.stamp.modified) >= self.seen_until && !self.seen.contains(&file.stamp)
                });
            }
        }
    }

    fn find_unread<L: Ledger>(
        &mut self,
        poll: &mut Poll<'_, '_, L>,
        listed: &[RotatedFile],
    ) -> Result<Walked, IngestError<L::Error>> {
        let mut unread = Vec::new();
        let live = self.open(poll.now)?;
        let began = live.as_ref().map(|live| live.began(poll.rules)).transpose();
        let began = began.map_err(|error| self.error(error))?.flatten();
        // What was written before a file that is held is older than it.
        let held = listed.iter().position(|file| self.holds(file));
        let listed = &listed[..held.map_or(listed.len(), |held| held + 1)];
        let Some(placed) = order::newest_first(listed, poll.rules) else { return Ok(Walked::Overtaken) };
        // Newest packed file that was read before.
        let mut known: Option<PlacedFile<'_>> = None;
        for place in placed {
            let file = place.file;
            if known.is_some_and(|known| self.is_older(&place, &known)) {
                continue;
            }
            if self.holds(file) {
                return Ok(Walked::Done { unread, is_found: true });
            }
            if file.packing == Packing::Unsupported {
                unread.push(file.clone());
                continue;
            }
            let opened = match file.open() {
                Ok(None) => return Ok(Walked::Overtaken),
                Ok(Some(opened)) => opened,
                Err(error) => {
                    poll.notice_once(&mut self.noticed, &file.path, |path| Notice::Unreadable {
                        path,
                        error,
                    });
                    continue;
                }
            };
            match Self::compare(poll, file, opened, began) {
                Ok(Some(LogIdentity::New)) if known.is_none() => unread.push(file.clone()),
                Ok(Some(LogIdentity::New)) => {
                    poll.notice_once(&mut self.noticed, &file.path, |path| Notice::Unplaced { path });
                }
                Ok(Some(identity)) => {
                    if identity != LogIdentity::Copy {
                        unread.push(file.clone());
                    }
                    if file.packing == Packing::None {
                        return Ok(Walked::Done { unread, is_found: true });
                    }
                    known.get_or_insert(place);
                }
                Ok(None) => {
                    poll.notice_once(&mut self.noticed, &file.path, |path| Notice::NotRotated { path });
                }
                Err(IngestError::Read { .. }) if is_recent(file.stamp) => return Ok(Walked::Unfinished),
                Err(IngestError::Read { source: error, .. }) => {
                    poll.notice_once(&mut self.noticed, &file.path, |path| Notice::Unreadable {
                        path,
                        error,
                    });
                }
                Err(IngestError::Unclear { agreeing, known, .. }) => {
                    let notice = |path| Notice::Unclear { path, agreeing, known };
                    poll.notice_once(&mut self.noticed, &file.path, notice);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Walked::Done { unread, is_found: known.is_some() })
    }

    /// Whether a file is one of those that are being read.
    fn holds(&self, file: &RotatedFile) -> bool {
        self.rotated.iter().chain(&self.live).any(|held| held.stamp().is_same_file(file.stamp))
    }

    /// Whether a file that is placed behind a packed one is older, as it always is where their first lines can be read. So is one
    /// that an earlier walk has passed.
    fn is_older(&self, file: &PlacedFile<'_>, packed: &PlacedFile<'_>) -> bool {
        packed.is_comparable(file)
            || file.file.packing == Packing::Unsupported
            || self.seen.contains(&file.file.stamp)
    }

    /// Compares a rotated file with what was read before; nothing for a file that is none of this log.
    fn compare<L: Ledger>(
        poll: &mut Poll<'_, '_, L>,
        file: &RotatedFile,
        opened: File,
        began: Option<i64>,
    ) -> Result<Option<LogIdentity>, IngestError<L::Error>> {
        let name = file.path.display().to_string();
        let error = |source| IngestError::Read { name: name.clone(), source };
        let plain =
            if file.packing == Packing::None { Some(opened.try_clone().map_err(error)?) } else { None };
        let mut input = Input::file(name.clone(), opened).map_err(error)?;
        let is_older = match began {
            Some(began) => age::is_older(&mut input, plain.as_ref(), began, poll.rules).map_err(error)?,
            None => true,
        };
        let (identity, _) = input.resume(poll.rules, poll.ledger)?;
        Ok((is_older || identity != LogIdentity::New).then_some(identity))
    }

    /// Reads a file, or opens it to be tailed.
    fn take_up<L: Ledger>(
        &mut self,
        poll: &mut Poll<'_, '_, L>,
        file: &RotatedFile,
    ) -> Result<TakenUp, IngestError<L::Error>> {
        if file.packing == Packing::Unsupported {
            poll.notice_once(&mut self.noticed, &file.path, |path| Notice::Unsupported { path });
            return Ok(TakenUp::Read);
        }
        let name = file.path.display().to_string();
        let error = |source| IngestError::Read { name: name.clone(), source };
        let Some(opened) = file.open().map_err(error)? else { return Ok(TakenUp::Overtaken) };
        if file.packing == Packing::None && is_recent(file.stamp) {
            self.rotated.push(TailedFile::new(file.path.clone(), opened, poll.now).map_err(error)?);
            return Ok(TakenUp::Tailed);
        }
        let input = Input::file(name.clone(), opened).map_err(error)?;
        match ingest(input, poll.rules, poll.options, poll.ledger) {
            Err(IngestError::Read { source: error, .. }) => {
                poll.notice_once(&mut self.noticed, &file.path, |path| Notice::Unreadable { path, error });
            }
            Err(IngestError::Unreadable { lines, .. }) => {
                poll.notice_once(&mut self.noticed, &file.path, |path| Notice::OtherFormat { path, lines });
            }
            read => {
                if let LogIdentity::Truncated { skipped } = read?.identity {
                    poll.report.notices.push(Notice::Truncated { path: file.path.clone(), skipped });
                }
            }
        }
        Ok(TakenUp::Read)
    }
}

impl<L> Poll<'_, '_, L> {
    /// Reports what there is to say of a file, unless something was said of it before.
    fn notice_once(
        &mut self,
        noticed: &mut std::collections::HashSet<PathBuf>,
        path: &Path,
        notice: impl FnOnce(PathBuf) -> Notice,
    ) {
        if noticed.insert(path.to_owned()) {
            self.report.notices.push(notice(path.to_owned()));
        }
    }
}

/// Whether a file was modified so lately that its writer may still have it open. So is one from the future.
fn is_recent(stamp: FileStamp) -> bool {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    stamp.modified.0 + ROTATE_WAIT.as_secs().cast_signed() >= now.as_secs().cast_signed()
}
