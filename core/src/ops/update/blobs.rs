//! Blobs: contents by their SHA-256, uploaded in pieces, and removed when no task names them.

use chrono::TimeDelta;

use super::Sha256Digest;
use crate::account::{Caller, Group};
use crate::ports::BlobState;
use crate::{Error, Pilothouse, Result};

/// Time for which a blob lives that is not complete, or that no task names.
const UNNAMED_LIFE: TimeDelta = TimeDelta::hours(24);

/// The use cases of blobs.
#[derive(Clone, Copy, Debug)]
pub struct Blobs<'a>(pub(crate) &'a Pilothouse);

impl Blobs<'_> {
    /// Received bytes of a blob; needs group 1.
    pub async fn find(&self, caller: &Caller, sha256: Sha256Digest) -> Result<BlobState> {
        self.0.require(caller, Group::ReadTasks)?;
        self.0.blob_store()?.find(sha256).await?.ok_or_else(|| Error::not_found("the blob"))
    }

    /// Refuses a piece that cannot be taken, before its bytes are waited for; needs group 2.
    pub async fn check_append(&self, caller: &Caller, sha256: Sha256Digest, size: i64) -> Result<()> {
        self.0.require(caller, Group::WriteTasks)?;
        let most = self.0.settings().blob_max_bytes;
        if !(0..=most).contains(&size) {
            return Err(Error::invalid("size", format!("must be from 0 to {most}")));
        }
        match self.0.blob_store()?.find(sha256).await? {
            Some(found) if found.size != size => Err(Error::conflict("the blob was begun with another size")),
            _ => Ok(()),
        }
    }

    /// Appends a piece; needs group 2. A piece of a blob that is complete is passed over. At `size` the hash is checked, and
    /// a wrong blob is dropped. A wrong offset is answered with the state, whose offset is the one wanted.
    pub async fn append(
        &self,
        caller: &Caller,
        sha256: Sha256Digest,
        size: i64,
        offset: i64,
        bytes: &[u8],
    ) -> Result<Appended> {
        self.check_append(caller, sha256, size).await?;
        // The caller may have been stopped while the body arrived.
        self.0.require_current(&mut *self.0.storage().read().await?, caller).await?;
        let store = self.0.blob_store()?;
        let found = store.find(sha256).await?;
        if let Some(found) = found.filter(|found| found.is_complete) {
            return Ok(Appended::Taken(found));
        }
        let wanted = found.map_or(0, |found| found.offset);
        if offset != wanted {
            return Ok(Appended::WrongOffset(wanted));
        }
        let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        if length > size - offset {
            return Err(Error::invalid("body", "reaches beyond the size"));
        }
        if length == 0 && size > 0 {
            return Err(Error::invalid("body", "must not be empty"));
        }
        Ok(Appended::Taken(store.append(sha256, size, offset, bytes).await?))
    }

    /// Removes blobs that no task names and that are older than 24 h, and begun ones as old; how many.
    pub(crate) async fn prune(&self) -> Result<u64> {
        let Ok(store) = self.0.blob_store() else { return Ok(0) };
        let old = store.list_older(self.0.clock().now() - UNNAMED_LIFE).await?;
        self.0.remove_unnamed(&old).await
    }
}

/// Outcome of a piece that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It was taken; the state says how far the blob is.
    Taken(BlobState),
    /// It begins elsewhere than at this offset, which is the one wanted.
    WrongOffset(i64),
}
