//! Store identity: which store this is, its epoch, and whose secret it was used with.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::account::{AuditId, AuditRow, digest};
use crate::epoch::Epoch;
use crate::ports::{LockKey, StorageResult};
use crate::secret::sign;
use crate::{Pilothouse, Result, SecretKey};

/// Purpose that the key of the check value is derived for.
const PURPOSE: &str = "store check";

/// Identity of a store. A backup has the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreIdentity {
    /// Random id, 32 lower-case hexadecimal digits.
    pub id: String,
    /// Epoch of new apps; no app's is greater.
    pub epoch: Epoch,
    /// Time of the last renewal of the epoch, by the store's clock; `None` before the first.
    pub renewed: Option<DateTime<Utc>>,
    /// Check value of the secret that the store is used with: an HMAC of a constant. `None` before the first use.
    pub secret_check: Option<[u8; 32]>,
}

/// The identity in a store: one row, which is there from the beginning.
#[async_trait]
pub trait StoreIdentityRepository: Send {
    /// The identity.
    async fn identity(&mut self) -> StorageResult<StoreIdentity>;
    /// Records the check value of the secret, where there is none; whether it did.
    async fn set_secret_check(&mut self, check: [u8; 32]) -> StorageResult<bool>;
    /// Id of the folder of blobs that servers on the store share; `None` before the first was recorded.
    async fn blob_folder(&mut self) -> StorageResult<Option<String>>;
    /// Records the id of the folder of blobs, where there is none; whether it did.
    async fn set_blob_folder(&mut self, id: &str) -> StorageResult<bool>;
    /// Gives the store and all its apps an epoch, and notes the time of the renewal. An epoch that is not greater than the
    /// present one changes nothing; whether it was.
    async fn renew_epoch(&mut self, epoch: Epoch, now: DateTime<Utc>) -> StorageResult<bool>;
}

impl Pilothouse {
    /// The identity of the store.
    pub async fn store_identity(&self) -> Result<StoreIdentity> {
        Ok(self.storage().read().await?.store_identity().identity().await?)
    }

    /// Whether the store is used with the secret of [`crate::Settings`]; a store that never was, is from now on. With
    /// another secret no app key opens its app and no log link is valid, so a host with a lasting secret refuses to start.
    pub async fn confirm_secret(&self) -> Result<bool> {
        let check = self.settings().secret.check_value();
        if let Some(known) = self.store_identity().await?.secret_check {
            return Ok(known == check);
        }
        let mut work = self.storage().begin().await?;
        if work.store_identity().set_secret_check(check).await? {
            work.commit().await?;
            return Ok(true);
        }
        // Another server was faster.
        Ok(work.store_identity().identity().await?.secret_check == Some(check))
    }

    /// Whether a folder of blobs is the one that servers on the store share; the first one is from now on. A blob that was
    /// uploaded to another folder would be missing wherever an agent asks for it.
    pub async fn confirm_blob_folder(&self, id: &str) -> Result<bool> {
        let mut work = self.storage().begin().await?;
        if work.store_identity().set_blob_folder(id).await? {
            work.commit().await?;
            return Ok(true);
        }
        Ok(work.store_identity().blob_folder().await?.as_deref() == Some(id))
    }

    /// Renews the epoch of the store and all its apps, so that every node reads its configuration again: after a restore,
    /// and wherever the store may hold another history than the one that was last served. Answers the new epoch, which is
    /// also greater than `known`.
    pub async fn renew_epoch(&self, known: Epoch) -> Result<Epoch> {
        let mut work = self.storage().begin().await?;
        // No app may be created or deleted meanwhile.
        work.lock(LockKey::Accounts).await?;
        let now = work.now().await?;
        let present = work.store_identity().identity().await?.epoch;
        let epoch = present.max(known).next(now);
        work.store_identity().renew_epoch(epoch, now).await?;
        let row = AuditRow {
            id: AuditId::UNSAVED,
            at: now,
            actor: None,
            actor_name: String::new(),
            address: None,
            action: "store.renew_epoch".to_owned(),
            object: "store".to_owned(),
            old: Some(digest(&[&present.0.to_string()])),
            new: Some(digest(&[&epoch.0.to_string()])),
            count: 1,
        };
        work.audit().append(&row).await?;
        work.commit().await?;
        Ok(epoch)
    }
}

impl SecretKey {
    /// Check value that a store keeps of the secret: tells whether two are the same and nothing else of them.
    pub fn check_value(&self) -> [u8; 32] {
        sign(&self.derive(PURPOSE), &[b"pilothouse"])
    }
}
