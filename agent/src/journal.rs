//! Journal of attempts: an append-only file with a checksum and an fsync for each record.
//!
//! A record is a line: the CRC-32 of the rest in eight hexadecimal digits, a space, and JSON. A crash or a loss of power can
//! tear the last record only; a torn tail is cut off before the next write. Anything else that cannot be read is damage, and
//! then nothing is written.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::digest::Sha256Hex;
use crate::error::{Context, Error, Result};
use crate::order::TaskId;
use crate::path::TargetPath;
use crate::state_folder::sync_folder;
use crate::task_record::{Phase, TaskRecord};

/// Versions of a path whose backups are kept.
pub const VERSIONS: usize = 5;
/// Size in bytes from which the journal is rewritten without what nobody needs any more.
const COMPACT_FROM: u64 = 1024 * 1024;
/// Records that a rewritten journal keeps at least, so that late repetitions of old orders are recognised.
const KEPT_RECORDS: usize = 500;

/// Records of a journal, the last one of each attempt.
#[derive(Debug, Default)]
pub struct Records {
    records: Vec<TaskRecord>,
    /// Length in bytes of what could be read.
    length: u64,
    /// Length in bytes of a torn tail.
    torn: u64,
}

impl Records {
    /// Reads a journal without changing it. A file that does not exist is an empty journal.
    pub fn read(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("journal");
        match fs::read(&path) {
            Ok(bytes) => Self::parse(&bytes, &path),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context(format!("reading {}", path.display())),
        }
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut records = Self::default();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let Some(json) = checked(&rest[..end]) else { break };
            let place = records.length;
            let record = serde_json::from_slice(json).map_err(|error| {
                let path = path.display();
                Error::Damaged(format!("{path}: the record at byte {place} is of another version: {error}"))
            })?;
            records.put(record);
            records.length += end as u64 + 1;
            rest = &rest[end + 1..];
        }
        records.torn = rest.len() as u64;
        let mut later = rest.split(|byte| *byte == b'\n').skip(1);
        if later.any(|line| checked(line).is_some()) {
            let place = records.length;
            return Err(Error::Damaged(format!("{} is damaged at byte {place}", path.display())));
        }
        Ok(records)
    }

    /// Length in bytes of a torn tail, which a crash during a write leaves.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// Every record, in the order in which the attempts began.
    pub fn all(&self) -> &[TaskRecord] {
        &self.records
    }

    /// Records of a path, in the order in which the attempts began.
    pub fn of_path<'a>(&'a self, path: &'a TargetPath) -> impl DoubleEndedIterator<Item = &'a TaskRecord> {
        self.records.iter().filter(move |record| record.path == *path)
    }

    /// Whether the backup of a record is kept: the task is unfinished, or among the last [`VERSIONS`] of its path that
    /// replaced the file.
    pub fn keeps_backup(&self, record: &TaskRecord) -> bool {
        if !record.is_done() {
            return true;
        }
        let newest = self.of_path(&record.path).rev().filter(|other| other.replaced).take(VERSIONS);
        record.replaced && newest.into_iter().any(|other| other.is_attempt(&record.task_id, record.attempt))
    }

    /// Hashes of the contents that records with a kept backup name.
    pub(crate) fn kept_contents(&self) -> HashSet<&Sha256Hex> {
        let kept = self.records.iter().filter(|record| self.keeps_backup(record));
        kept.flat_map(backed_up).collect()
    }

    /// Hashes of contents that records of the path name, and that no record with a kept backup needs any more.
    pub(crate) fn forgotten_contents(&self, path: &TargetPath) -> Vec<Sha256Hex> {
        let mut forgotten: HashSet<&Sha256Hex> = HashSet::new();
        for record in self.of_path(path).filter(|record| !self.keeps_backup(record)) {
            forgotten.extend(backed_up(record));
        }
        for record in &self.records {
            let is_named = backed_up(record).any(|sha256| forgotten.contains(sha256));
            if is_named && self.keeps_backup(record) {
                forgotten.retain(|sha256| backed_up(record).all(|named| named != *sha256));
            }
        }
        forgotten.into_iter().cloned().collect()
    }

    /// Highest attempt of a task that was seen.
    pub(crate) fn highest_attempt(&self, task: &TaskId) -> u32 {
        let attempts =
            self.records.iter().filter(|record| record.task_id == *task).map(|record| record.fence);
        attempts.max().unwrap_or(0)
    }

    pub(crate) fn attempt(&self, task: &TaskId, attempt: u32) -> Option<&TaskRecord> {
        self.records.iter().find(|record| record.is_attempt(task, attempt))
    }

    fn put(&mut self, record: TaskRecord) {
        let known = self.records.iter().rposition(|other| other.is_attempt(&record.task_id, record.attempt));
        match known {
            Some(at) => self.records[at] = record,
            None => self.records.push(record),
        }
    }
}

/// Contents that a record may have in the blob store.
fn backed_up(record: &TaskRecord) -> impl Iterator<Item = &Sha256Hex> {
    record.old.sha256().into_iter().chain(record.overwritten.as_ref().and_then(|version| version.sha256()))
}

/// Journal that is open for writing.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    records: Records,
    /// A write or an fsync has failed: what the file holds is not known, so nothing is appended until the next start.
    broken: bool,
}

impl Journal {
    /// Opens the journal of a locked state folder, cuts off a torn tail, and rewrites a long one.
    pub(crate) fn open(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("journal");
        remove_rewritten(&path)?;
        let records = Records::read(state_dir)?;
        let file = open_file(&path)?;
        sync_folder(state_dir)?;
        let mut journal = Self { path, file, records, broken: false };
        if journal.records.torn > 0 {
            let cutting = || format!("cutting off the torn tail of {}", journal.path.display());
            journal.file.set_len(journal.records.length).context(cutting())?;
            journal.file.sync_all().context(cutting())?;
        }
        if journal.records.length > COMPACT_FROM {
            journal.compact()?;
        }
        Ok(journal)
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    /// Appends a record and makes it durable.
    pub(crate) fn append(&mut self, record: &TaskRecord) -> Result<()> {
        let appending = || format!("writing {}", self.path.display());
        if self.broken {
            return Err(Error::Damaged("the journal could not be written before".to_owned()));
        }
        let line = encode(record).context(appending())?;
        let done = self.file.write_all(&line).and_then(|()| self.file.sync_all());
        if let Err(error) = done {
            self.broken = true;
            // Without this the next start would read a record that nobody was told of. What is not cut off is resolved then.
            let _ = self.file.set_len(self.records.length).and_then(|()| self.file.sync_all());
            return Err(error).context(appending());
        }
        self.records.length += line.len() as u64;
        self.records.put(record.clone());
        Ok(())
    }

    /// Rewrites the journal with the last record of each attempt that is needed, and replaces it atomically.
    fn compact(&mut self) -> Result<()> {
        let rewriting = || format!("rewriting {}", self.path.display());
        let recent = self.records.records.len().saturating_sub(KEPT_RECORDS);
        let mut kept = Vec::new();
        for (at, record) in self.records.records.iter().enumerate() {
            if at >= recent || self.records.keeps_backup(record) {
                kept.push(record.clone());
            }
        }
        let mut bytes = Vec::new();
        for record in &kept {
            bytes.extend(encode(record).context(rewriting())?);
        }
        // Where everything is still needed, rewriting at every start would gain nothing.
        if bytes.len() as u64 > self.records.length / 2 {
            return Ok(());
        }
        let name = rewritten(&self.path);
        let mut file =
            OpenOptions::new().create_new(true).write(true).mode(0o600).open(&name).context(rewriting())?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).context(rewriting())?;
        fs::rename(&name, &self.path).context(rewriting())?;
        if let Some(folder) = self.path.parent() {
            sync_folder(folder)?;
        }
        self.file = open_file(&self.path)?;
        self.records = Records { records: kept, length: bytes.len() as u64, torn: 0 };
        Ok(())
    }

    /// Attempts that a crash interrupted.
    pub(crate) fn unfinished(&self) -> Vec<TaskRecord> {
        self.records.records.iter().filter(|record| record.phase != Phase::Done).cloned().collect()
    }
}

fn open_file(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.context(format!("opening {}", path.display()))
}

fn rewritten(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn remove_rewritten(path: &Path) -> Result<()> {
    match fs::remove_file(rewritten(path)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context("removing a journal that was not finished")
        }
        _ => Ok(()),
    }
}

fn encode(record: &TaskRecord) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_string(record)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

/// JSON of a line whose checksum is right.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (sum, json) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    (u32::from_str_radix(sum, 16) == Ok(crc32fast::hash(json))).then_some(json)
}
