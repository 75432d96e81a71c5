//! A log that grows under one name, and is put aside under others.
//!
//! What was read is known by content, as [`crate::Source`] says, so nothing but the ledger needs to outlive the process:
//! a follower that begins finds out by itself how far the file was read, and which of the files that were put aside
//! have lines that nobody has read yet. Those are recorded before anything that is newer. While it runs it also notices
//!
//! - that the name is another file's: the old one is read to its end, and then watched for as long as a writer may
//!   still have it open;
//! - that the file was emptied or written anew: what it had been is looked for among the files put aside, because that
//!   is where a copy was left.
//!
//! A last line without a line end waits until it has one, or until its file was put aside for good.

mod aside;
mod growing;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Found, IngestError, Input, Ledger, Options, Rules, Source, SourceKey, ingest};
use growing::{Growing, Read, Stamp};

/// For how long nothing may be added to a file put aside before it is thought to be at its end.
const LINGER: Duration = Duration::from_mins(1);

/// Follows the log of one name. It holds nothing that a new one would not find out by itself.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    begun: bool,
    /// The last look found all there was.
    settled: bool,
    live: Option<Growing>,
    /// Put aside since this one began, the oldest first.
    old: Vec<Growing>,
}

/// What a look at the log brought.
#[derive(Debug, Default)]
pub struct Looked {
    /// There is more to be read at once.
    pub more: bool,
    /// Files put aside that could not be read, and were left out.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

/// How far a ledger is with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Bytes recorded.
    pub recorded: u64,
    /// Bytes of the file.
    pub size: u64,
}

impl Follower {
    /// Of the log of this name, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), begun: false, settled: false, live: None, old: Vec::new() }
    }

    /// Whether a look would find anything to do. Asks neither ledger nor file content.
    pub fn has_news(&self, now: Instant) -> bool {
        let stamp = Stamp::of_path(&self.path).ok().flatten();
        !self.settled
            || self.live.as_ref().map(Growing::stamp) != stamp
            || self.old.iter().any(|old| old.has_grown() || old.is_quiet(now, LINGER))
    }

    /// Reads what is new, up to a batch of every file, and records it.
    ///
    /// `knows_edge` says whether the ledger has anything of this edge: if not, what was put aside before is history that
    /// nobody asked for, and is left alone. After an error the next look goes on from what is recorded.
    pub fn look<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        options: &Options,
        ledger: &mut L,
        knows_edge: bool,
        now: Instant,
    ) -> Result<Looked, IngestError<L::Error>> {
        let mut looked = Looked::default();
        self.settled = false;
        if !self.begun {
            self.begin(rules, options, ledger, knows_edge, &mut looked, now)?;
        }
        let stamp = Stamp::of_path(&self.path).map_err(|error| self.failed(error))?;
        let is_other = |live: &mut Growing| stamp.is_none_or(|stamp| !stamp.is_same_file(live.stamp()));
        if let Some(mut live) = self.live.take_if(is_other) {
            live.put_aside(now);
            self.old.push(live);
        }
        self.read_old(rules, options, ledger, &mut looked, now)?;
        // What is newer waits until what is older is recorded.
        if !looked.more {
            self.read_live(rules, options, ledger, &mut looked, now)?;
        }
        self.settled = !looked.more;
        Ok(looked)
    }

    /// How far the ledger is with the file of this name; nothing while that has no whole line.
    pub fn lag<L: Ledger>(&self, ledger: &mut L) -> Result<Option<Lag>, IngestError<L::Error>> {
        let Some(live) = self.open(Instant::now())? else { return Ok(None) };
        let Some(mut input) = live.input().map_err(|error| self.failed(error))? else { return Ok(None) };
        let line = input.first_line().map_err(|error| self.failed(error))?;
        let key = SourceKey::of_first_line(&line);
        let mut recorded = 0;
        for known in ledger.sources([key, key]).map_err(IngestError::Ledger)? {
            recorded = recorded.max(Source::decode(&known.state)?.length());
        }
        Ok(Some(Lag { recorded, size: live.stamp().size }))
    }

    fn begin<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        options: &Options,
        ledger: &mut L,
        knows_edge: bool,
        looked: &mut Looked,
        now: Instant,
    ) -> Result<(), IngestError<L::Error>> {
        let mut live = self.open(now)?;
        let found = live.as_mut().map(|live| live.start(rules, ledger)).transpose()?.flatten();
        let aside = match found {
            Some(Found::Continued | Found::Copy) => Aside::Known,
            _ if knows_edge => Aside::All,
            _ => Aside::None,
        };
        self.catch_up(rules, options, ledger, aside, looked)?;
        if let (Some(live), Some(Found::New)) = (&mut live, found) {
            // A log is recorded as new by what the ledger said last: it is asked again just before.
            live.forget();
        }
        (self.live, self.begun) = (live, true);
        Ok(())
    }

    fn read_live<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        options: &Options,
        ledger: &mut L,
        looked: &mut Looked,
        now: Instant,
    ) -> Result<(), IngestError<L::Error>> {
        if self.live.is_none() {
            self.live = self.open(now)?;
        }
        let Some(live) = &mut self.live else { return Ok(()) };
        match live.read(rules, options, ledger, now)? {
            Read::Nothing => {}
            Read::More => looked.more = true,
            Read::Replaced => {
                looked.more = true;
                self.catch_up(rules, options, ledger, Aside::Known, looked)?;
                if let Some(live) = &mut self.live {
                    live.forget();
                }
            }
        }
        Ok(())
    }

    fn read_old<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        options: &Options,
        ledger: &mut L,
        looked: &mut Looked,
        now: Instant,
    ) -> Result<(), IngestError<L::Error>> {
        for old in &mut self.old {
            match old.read(rules, options, ledger, now)? {
                Read::More => looked.more = true,
                Read::Nothing if old.is_quiet(now, LINGER) => old.finish(rules, options, ledger)?,
                Read::Nothing | Read::Replaced => {}
            }
        }
        self.old.retain(|old| !old.is_quiet(now, LINGER));
        Ok(())
    }

    /// Reads what has lines that nobody has read among the files put aside, the oldest first.
    fn catch_up<L: Ledger>(
        &self,
        rules: &Rules<'_>,
        options: &Options,
        ledger: &mut L,
        aside: Aside,
        looked: &mut Looked,
    ) -> Result<(), IngestError<L::Error>> {
        let mut unread = Vec::new();
        let mut newest_first = aside::newest_first(&self.path).map_err(|error| self.failed(error))?;
        newest_first.truncate(match aside {
            Aside::None => 0,
            Aside::Known => 1,
            Aside::All => usize::MAX,
        });
        for path in newest_first {
            let input = Input::open(&path);
            let started = match input {
                Ok(mut input) => input.start(rules, ledger),
                Err(source) => Err(IngestError::Read { name: path.display().to_string(), source }),
            };
            match started {
                Ok((Found::New, _)) if aside == Aside::All => unread.push(path),
                Ok((Found::New, _)) => {}
                Ok((Found::Copy, _)) => break,
                Ok((Found::Continued, _)) => {
                    unread.push(path);
                    break;
                }
                Err(IngestError::Read { source, .. }) => looked.unreadable.push((path, source)),
                Err(error) => return Err(error),
            }
        }
        for path in unread.into_iter().rev() {
            let read = match Input::open(&path) {
                Ok(input) => ingest(input, rules, options, ledger).map(|_| ()),
                Err(source) => Err(IngestError::Read { name: path.display().to_string(), source }),
            };
            match read {
                Err(IngestError::Read { source, .. }) => looked.unreadable.push((path, source)),
                read => read?,
            }
        }
        Ok(())
    }

    fn open<E: std::error::Error>(&self, now: Instant) -> Result<Option<Growing>, IngestError<E>> {
        match File::open(&self.path).and_then(|file| Growing::new(self.path.display().to_string(), file, now))
        {
            Ok(growing) => Ok(Some(growing)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed<E: std::error::Error>(&self, source: io::Error) -> IngestError<E> {
        IngestError::Read { name: self.path.display().to_string(), source }
    }
}

/// Which of the files put aside may have lines that nobody has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aside {
    /// None: nothing of this edge was ever read.
    None,
    /// The newest, if it is known: the file of the name is, or was, so older ones were read to their ends before.
    Known,
    /// All down to the first that is known.
    All,
}
