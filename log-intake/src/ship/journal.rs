//! Journal of a shipped log: a file that entries are appended to, each with its checksum, and that is rewritten when it has
//! grown. A process that is killed, or a machine that loses power, leaves at most a torn last entry, which is cut off.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Crc;

use super::entry::{EdgeName, Entry};
use super::error::ShipError;
use super::state::ShipState;

/// First bytes of the file: its kind and version.
const MAGIC: &[u8; 16] = b"pilothouse ship1";
/// Bytes before an entry: its length and its checksum.
const HEAD: usize = 8;
/// Bytes by which the file grows before it is rewritten.
const GROWTH: u64 = 8 << 20;

/// Durability of an appended entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It survives a loss of power.
    Flushed,
    /// It survives the process; after a loss of power the same is found out again.
    Relaxed,
}

/// Open journal. While it is open no other process can open it.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Length of the intact entries, the magic included.
    length: u64,
    /// Length after the last rewriting.
    rewritten: u64,
    state: ShipState,
}

impl Journal {
    /// Opens or makes the journal of an edge's log. Refuses one of another edge, and one that is open elsewhere.
    pub(super) fn open(path: &Path, edge: EdgeName) -> Result<Self, ShipError> {
        let failed = |source| ShipError::State { path: path.to_owned(), source };
        let mut file = loop {
            let file = open(path, false).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(ShipError::InUse { path: path.to_owned() }),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Another process may have rewritten it since it was opened.
            let opened = file.metadata().map_err(failed)?.ino();
            if fs::metadata(path).is_ok_and(|named| named.ino() == opened) {
                break file;
            }
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let is_new = MAGIC.starts_with(&bytes);
        if !is_new && !bytes.starts_with(MAGIC) {
            return Err(ShipError::NoState { path: path.to_owned() });
        }
        let (state, intact) = read(bytes.get(MAGIC.len()..).unwrap_or_default());
        let length = (MAGIC.len() + intact) as u64;
        let mut journal = Self { path: path.to_owned(), file, length, rewritten: length, state };
        match journal.state.edge() {
            // Without an offset nothing was shipped: the first start was refused.
            Some(known) if *known != edge && journal.state.offset().is_some() => {
                let EdgeName { cdn, edge } = known.clone();
                return Err(ShipError::OtherEdge { path: path.to_owned(), cdn, edge });
            }
            Some(known) if *known == edge => journal.file.set_len(length).map_err(failed)?,
            _ => {
                journal.file.write_all_at(MAGIC, 0).map_err(failed)?;
                journal.file.set_len(length).map_err(failed)?;
                journal.append(Entry::Edge(edge), Durability::Flushed)?;
                flush_folder(path).map_err(failed)?;
            }
        }
        Ok(journal)
    }

    pub(super) fn state(&self) -> &ShipState {
        &self.state
    }

    /// Appends an entry and adds it to the state. After an error nothing more may be appended: the file is to be opened again.
    pub(super) fn append(&mut self, entry: Entry, durability: Durability) -> Result<(), ShipError> {
        let written = self.write(&entry, durability);
        written.map_err(|source| ShipError::State { path: self.path.clone(), source })?;
        self.state.apply(entry);
        if self.length - self.rewritten > GROWTH.max(2 * self.rewritten) {
            let rewritten = self.rewrite();
            rewritten.map_err(|source| ShipError::State { path: self.path.clone(), source })?;
        }
        Ok(())
    }

    fn write(&mut self, entry: &Entry, durability: Durability) -> io::Result<()> {
        let framed = framed(entry)?;
        self.file.write_all_at(&framed, self.length)?;
        if durability == Durability::Flushed {
            self.file.sync_data()?;
        }
        self.length += framed.len() as u64;
        Ok(())
    }

    /// Puts a file with nothing but the present state in the place of this one.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        for entry in self.state.entries() {
            bytes.extend(framed(&entry)?);
        }
        let mut name = OsString::from(self.path.as_os_str());
        name.push(".new");
        let new = PathBuf::from(name);
        let mut file = open(&new, true)?;
        // Locked before it has the name, so that there is no moment without a lock.
        file.try_lock().map_err(io::Error::from)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        flush_folder(&self.path)?;
        self.file = file;
        self.length = bytes.len() as u64;
        self.rewritten = self.length;
        Ok(())
    }
}

/// Opens a file that only its owner may read, since it holds lines of the log.
fn open(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(truncate).mode(0o600).open(path)
}

fn flush_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut checksum = Crc::new();
    checksum.update(bytes);
    checksum.sum()
}

fn framed(entry: &Entry) -> io::Result<Vec<u8>> {
    let bytes = entry.encode();
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok([&length.to_le_bytes()[..], &checksum(&bytes).to_le_bytes(), &bytes].concat())
}

/// State that the intact entries add up to, and their length.
fn read(bytes: &[u8]) -> (ShipState, usize) {
    let mut state = ShipState::default();
    let mut intact = 0;
    while let Some(entry) = first_entry(&bytes[intact..]) {
        intact += HEAD + entry.len();
        match Entry::decode(entry) {
            Some(entry) => state.apply(entry),
            None => return (state, intact - HEAD - entry.len()),
        }
    }
    (state, intact)
}

/// Encoded entry that the bytes begin with; nothing if it is torn.
fn first_entry(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let entry = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (checksum(entry) == u32::from_le_bytes(*sum)).then_some(entry)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use pilothouse_access_log::Fingerprint;

    use super::*;
    use crate::ship::entry::StoredLog;

    fn edge(name: &str) -> EdgeName {
        EdgeName { cdn: "level3".to_owned(), edge: name.to_owned() }
    }

    fn log(id: i64) -> Entry {
        Entry::Log(StoredLog { id, fingerprint: Fingerprint([1; 16]), state: vec![7; 30 << 10] })
    }

    #[test]
    fn the_state_outlives_the_process_and_a_torn_entry_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.log.ship");
        let mut journal = Journal::open(&path, edge("edge-1")).unwrap();
        journal.append(Entry::Taken(7), Durability::Flushed).unwrap();
        let whole = fs::read(&path).unwrap();
        journal.append(Entry::Taken(8), Durability::Relaxed).unwrap();
        drop(journal);
        let longer = fs::read(&path).unwrap();
        for length in 0..=longer.len() {
            fs::write(&path, &longer[..length]).unwrap();
            let mut journal = Journal::open(&path, edge("edge-1")).unwrap();
            let expected = match length {
                _ if length == longer.len() => Some(8),
                _ if length >= whole.len() => Some(7),
                _ => None,
            };
            assert_eq!(journal.state().offset(), expected, "{length}");
            journal.append(Entry::Taken(9), Durability::Flushed).unwrap();
            drop(journal);
            assert_eq!(Journal::open(&path, edge("edge-1")).unwrap().state().offset(), Some(9));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_grown_journal_is_rewritten_with_the_same_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let mut journal = Journal::open(&path, edge("edge-1")).unwrap();
        journal.append(Entry::Taken(7), Durability::Flushed).unwrap();
        for round in 0..400 {
            journal.append(log(round % 3), Durability::Relaxed).unwrap();
        }
        let length = fs::metadata(&path).unwrap().len();
        assert!(length < 9 << 20, "{length}");
        let before = journal.state().entries();
        assert!(matches!(Journal::open(&path, edge("edge-1")), Err(ShipError::InUse { .. })));
        drop(journal);
        assert_eq!(Journal::open(&path, edge("edge-1")).unwrap().state().entries(), before);
    }

    #[test]
    fn the_state_of_another_edge_and_other_files_are_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        drop(Journal::open(&path, edge("edge-0")).unwrap());
        let mut journal = Journal::open(&path, edge("edge-1")).unwrap();
        journal.append(Entry::Taken(7), Durability::Flushed).unwrap();
        drop(journal);
        let before = fs::read(&path).unwrap();
        let refused = Journal::open(&path, edge("edge-2")).unwrap_err().to_string();
        assert!(refused.contains("edge-1") && refused.contains("level3"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), before);
        fs::write(&path, "some other file").unwrap();
        assert!(matches!(Journal::open(&path, edge("edge-1")), Err(ShipError::NoState { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"some other file");
    }
}
