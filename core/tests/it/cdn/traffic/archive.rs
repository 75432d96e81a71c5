//! Log archive in memory, for tests of downloads.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};
use pilothouse_core::cdn::{LogChunk, LogFile};
use pilothouse_core::ports::{LogArchive, SealedLog};

/// A log archive in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryArchive(Mutex<BTreeMap<LogName, Vec<u8>>>);

/// The name of a pack, or the name and day of a sealed file.
type LogName = (String, Option<NaiveDate>);

impl MemoryArchive {
    fn bytes(&self, chunk: &LogChunk) -> io::Result<Vec<u8>> {
        let name = match &chunk.file {
            LogFile::Pack(name) => (name.clone(), None),
            LogFile::Sealed(name) => (name.clone(), Some(chunk.day)),
        };
        let files = self.0.lock().unwrap();
        let file = files.get(&name).ok_or(io::ErrorKind::NotFound)?;
        let (start, length) =
            (usize::try_from(chunk.offset).unwrap(), usize::try_from(chunk.length).unwrap());
        Ok(file[start..start + length].to_vec())
    }

    /// Writes a pack of lines.
    pub(crate) fn write_pack(&self, name: &str, content: Vec<u8>) {
        self.0.lock().unwrap().insert((name.to_owned(), None), content);
    }

    /// Loses a pack, as a damaged disk does.
    pub(crate) fn lose_pack(&self, name: &str) {
        self.0.lock().unwrap().remove(&(name.to_owned(), None));
    }

    pub(crate) fn file_names(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().map(|(name, _)| name.clone()).collect()
    }
}

#[async_trait]
impl LogArchive for MemoryArchive {
    async fn seal(&self, name: &str, day: NaiveDate, chunks: &[LogChunk]) -> io::Result<SealedLog> {
        let parts: io::Result<Vec<_>> = chunks.iter().map(|chunk| self.bytes(chunk)).collect();
        let whole = parts?.concat();
        let length = i64::try_from(whole.len()).unwrap();
        self.0.lock().unwrap().insert((name.to_owned(), Some(day)), whole);
        Ok(SealedLog { length, sha256: [8; 32] })
    }

    async fn read(&self, chunks: Vec<LogChunk>) -> io::Result<BoxStream<'static, io::Result<Vec<u8>>>> {
        let parts: io::Result<Vec<_>> = chunks.iter().map(|chunk| self.bytes(chunk)).collect();
        Ok(stream::iter(parts?).map(Ok).boxed())
    }

    async fn delete(&self, name: &str, day: NaiveDate) -> io::Result<()> {
        self.0.lock().unwrap().remove(&(name.to_owned(), Some(day)));
        Ok(())
    }

    async fn prune(
        &self,
        keep: HashSet<LogFile>,
        _: DateTime<Utc>,
        _: Option<DateTime<Utc>>,
    ) -> io::Result<u64> {
        let mut files = self.0.lock().unwrap();
        let before = files.len();
        files.retain(|(name, day), _| {
            keep.contains(&if day.is_some() {
                LogFile::Sealed(name.clone())
            } else {
                LogFile::Pack(name.clone())
            })
        });
        Ok((before - files.len()) as u64)
    }
}
