//! Blob removals: how blobs leave the blob store while tasks are added that may name them.
//!
//! Neither side asks the blob store within a transaction. A removal is noted in the store before it begins, of blobs that no
//! task names then. Whoever adds a task looks for the removal of its blob, then for the blob, and in the transaction for the
//! removal again: where that is another one by then, the blob may be gone.

use chrono::{DateTime, TimeDelta, Utc};

use super::Sha256Digest;
use crate::account::CallerTransaction;
use crate::ports::LockKey;
use crate::{Error, Lease, Pilothouse, Result};

/// Time within which a server removes what it has noted; after that it counts as having died meanwhile.
const REMOVAL: Lease = Lease::of(TimeDelta::minutes(10));
/// Time after a removal for which a blob that is still listed as old was listed before it.
const STALE_LIST: TimeDelta = TimeDelta::hours(1);
/// Age from which a removal is forgotten, which is longer than anybody takes to add a task.
const FORGOTTEN: TimeDelta = TimeDelta::days(1);
/// The most blobs that are removed under one note.
const AT_ONCE: usize = 100;

/// Removal of a blob from the blob store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobRemoval {
    /// Blob.
    pub sha256: Sha256Digest,
    /// Time at which it was noted.
    pub begun: DateTime<Utc>,
    /// Whether the blob is gone.
    pub is_over: bool,
}

impl BlobRemoval {
    fn is_under_way(&self, now: DateTime<Utc>) -> bool {
        !self.is_over && REMOVAL.is_held(REMOVAL.end(self.begun), now)
    }

    /// Whether another server removes the blob, or has just done so.
    fn is_recent(&self, now: DateTime<Utc>) -> bool {
        self.is_under_way(now) || self.is_over && now - self.begun < STALE_LIST
    }
}

/// Complete blob of a task to be added, as it was found before the transaction.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct FoundBlob {
    size: i64,
    sha256: Sha256Digest,
    removal: Option<BlobRemoval>,
}

impl Pilothouse {
    /// Looks for a complete blob; `None` where there is none.
    pub(in crate::ops) async fn find_blob(&self, sha256: Sha256Digest) -> Result<Option<FoundBlob>> {
        let removal = self.storage().peek().await?.orders().blob_removal(sha256).await?;
        let found = self.blob_store()?.find(sha256).await?.filter(|found| found.is_complete);
        Ok(found.map(|found| FoundBlob { size: found.size, sha256, removal }))
    }

    /// Removes old blobs that no task names; how many.
    pub(super) async fn remove_unnamed(&self, old: &[Sha256Digest]) -> Result<u64> {
        let store = self.blob_store()?;
        let mut removed = 0;
        for some in old.chunks(AT_ONCE) {
            let removals = self.note_removals(some).await?;
            for removal in &removals {
                store.remove(removal.sha256).await?;
                removed += 1;
            }
            self.end_removals(&removals).await?;
        }
        Ok(removed)
    }

    async fn note_removals(&self, old: &[Sha256Digest]) -> Result<Vec<BlobRemoval>> {
        let mut work = self.storage().begin().await?;
        // No task is added that names one of them until the notes are visible.
        work.lock(LockKey::Blobs).await?;
        let begun = work.now().await?;
        let mut noted = Vec::new();
        for sha256 in old.iter().copied() {
            let before = work.orders().blob_removal(sha256).await?;
            if before.is_some_and(|before| before.is_recent(begun))
                || work.orders().names_blob(sha256).await?
            {
                continue;
            }
            let removal = BlobRemoval { sha256, begun, is_over: false };
            work.orders().set_blob_removal(&removal).await?;
            noted.push(removal);
        }
        if noted.is_empty() {
            work.rollback().await?;
        } else {
            work.orders().forget_blob_removals(begun - FORGOTTEN).await?;
            work.commit().await?;
        }
        Ok(noted)
    }

    async fn end_removals(&self, removals: &[BlobRemoval]) -> Result<()> {
        if removals.is_empty() {
            return Ok(());
        }
        let mut work = self.storage().begin().await?;
        work.lock(LockKey::Blobs).await?;
        for removal in removals {
            work.orders().set_blob_removal(&BlobRemoval { is_over: true, ..*removal }).await?;
        }
        Ok(work.commit().await?)
    }
}

impl CallerTransaction<'_> {
    /// Size of a blob. Refuses one that is being removed, or may have been since it was found. Called under
    /// [`LockKey::Blobs`].
    pub(in crate::ops) async fn require_blob(&mut self, found: Option<FoundBlob>) -> Result<i64> {
        let missing = || Error::invalid("sha256", "is not that of a complete blob");
        let found = found.ok_or_else(missing)?;
        let now = self.now().await?;
        let removal = self.orders().blob_removal(found.sha256).await?;
        let is_leaving = removal.is_some_and(|removal| removal.is_under_way(now));
        if is_leaving || removal != found.removal {
            return Err(Error::conflict(
                "the blob is being removed, since no task named it; upload it again",
            ));
        }
        Ok(found.size)
    }
}
