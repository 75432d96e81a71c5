//! Releases: contents of tasks that name no blob, taken into the blobs when the task is added.

use std::collections::BTreeMap;

use super::{NewFile, Sha256Digest};
use crate::account::Caller;
use crate::ports::{BlobStore, Release};
use crate::{Error, ErrorKind, IdempotencyKey, Pilothouse, Result};

/// Bytes that are copied at a time: as many as a piece of an upload has at most.
const PIECE: usize = 8 << 20;
/// Refusals of the store in a row after which a release is not taken. Others that take or upload the same bytes cause some.
const MOST_REFUSALS: u32 = 10;

impl Pilothouse {
    /// The file of a task for one machine. Where there are releases a task without a file has the release of its path.
    pub(in crate::ops) fn file_or_release(&self, file: Option<NewFile>) -> Option<NewFile> {
        match (file, self.release_source()) {
            (None, Some(_)) => Some(NewFile::default()),
            (Some(file), None) if file == NewFile::default() => None,
            (file, _) => file,
        }
    }

    /// Checks the limits of a file, which has a hash or is a release.
    pub(in crate::ops) fn check_file(&self, path: &str, file: &NewFile) -> Result<()> {
        if file.sha256.is_none() && self.release_source().is_none() {
            return Err(match file.given_member() {
                Some(member) => Error::invalid(member, "needs sha256"),
                None => Error::invalid("sha256", "is required for many machines, as release_root is not set"),
            });
        }
        file.check(path)
    }

    /// The answer that a request with files got before, so that it is repeated although a release or a blob is gone. Refuses a
    /// caller who was stopped before anything is read.
    pub(in crate::ops) async fn answer_before_blobs(
        &self,
        caller: &Caller,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<String>> {
        // Dropped without a commit: what is kept for the key is kept with the tasks.
        let mut work = self.write_as(caller).await?;
        work.answered_before(key, "").await
    }

    /// Takes releases into the blobs, and fills in their hashes: of each path one file, whatever happens to it meanwhile.
    pub(in crate::ops) async fn take_releases(
        &self,
        files: impl Iterator<Item = (&str, &mut NewFile)> + Send,
    ) -> Result<()> {
        let mut taken = BTreeMap::new();
        for (path, file) in files {
            if file.sha256.is_some() {
                continue;
            }
            let sha256 = match taken.get(path) {
                Some(sha256) => *sha256,
                None => self.take_release(path).await?,
            };
            taken.insert(path, sha256);
            file.sha256 = Some(sha256);
        }
        Ok(())
    }

    async fn take_release(&self, path: &str) -> Result<Sha256Digest> {
        let source = self.release_source().ok_or_else(|| Error::invalid("sha256", "is required"))?;
        let store = self.blob_store()?;
        let release = source.open(path).await?;
        let (size, most) = (release.size(), self.settings().blob_max_bytes);
        if size > most {
            let why = format!("the release has {size} bytes, more than the {most} of blob_max_bytes");
            return Err(Error::invalid("content", why));
        }
        let sha256 = release.sha256().await?;
        copy(&**store, &*release, sha256).await?;
        Ok(sha256)
    }
}

/// Appends to the blob whatever it lacks, together with others that do the same.
async fn copy(store: &dyn BlobStore, release: &dyn Release, sha256: Sha256Digest) -> Result<()> {
    let size = release.size();
    let mut refusals = 0;
    let mut dropped = false;
    loop {
        let offset = match store.find(sha256).await? {
            Some(found) if found.is_complete => return Ok(()),
            Some(found) if found.size != size => {
                return Err(Error::conflict("the blob of the release was begun with another size"));
            }
            found => found.map_or(0, |found| found.offset),
        };
        let bytes = release.read(offset, PIECE).await?;
        if bytes.is_empty() && size > 0 {
            return Err(changed());
        }
        match store.append(sha256, size, offset, &bytes[..least(&bytes, size - offset)]).await {
            Ok(_) => refusals = 0,
            Err(error) if error.kind() == ErrorKind::Conflict && refusals < MOST_REFUSALS => refusals += 1,
            // The blob was dropped. What others had begun may have been of other bytes; what is all of the file was not.
            Err(error) if error.kind() == ErrorKind::Invalid && !dropped => dropped = true,
            Err(error) if error.kind() == ErrorKind::Invalid => return Err(changed()),
            Err(error) => return Err(error),
        }
    }
}

/// Number of bytes that belong to the blob; a file may have grown since it was opened.
fn least(bytes: &[u8], rest: i64) -> usize {
    bytes.len().min(usize::try_from(rest).unwrap_or(usize::MAX))
}

fn changed() -> Error {
    Error::conflict("the file of the release was changed while it was read; try again")
}
