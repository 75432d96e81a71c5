//! Identity of the store.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::ports::{Ids, RandomIds, StorageResult};
use pilothouse_core::{Epoch, StoreIdentity, StoreIdentityRepository};

use crate::storage::Transaction;

/// Identity, renewals and check value of the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdentityState {
    id: String,
    pub(crate) epoch: Epoch,
    renewed: Option<DateTime<Utc>>,
    secret_check: Option<[u8; 32]>,
    blob_folder: Option<String>,
}

impl IdentityState {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        let id = RandomIds.uuid().simple().to_string();
        Self { id, epoch: Epoch::first(now), renewed: None, secret_check: None, blob_folder: None }
    }
}

#[async_trait]
impl StoreIdentityRepository for Transaction {
    async fn identity(&mut self) -> StorageResult<StoreIdentity> {
        let IdentityState { id, epoch, renewed, secret_check, .. } = self.state().identity.clone();
        Ok(StoreIdentity { id, epoch, renewed, secret_check })
    }

    async fn set_secret_check(&mut self, check: [u8; 32]) -> StorageResult<bool> {
        let known = &mut self.state_mut()?.identity.secret_check;
        let is_new = known.is_none();
        known.get_or_insert(check);
        Ok(is_new)
    }

    async fn blob_folder(&mut self) -> StorageResult<Option<String>> {
        Ok(self.state().identity.blob_folder.clone())
    }

    async fn set_blob_folder(&mut self, id: &str) -> StorageResult<bool> {
        let known = &mut self.state_mut()?.identity.blob_folder;
        let is_new = known.is_none();
        known.get_or_insert_with(|| id.to_owned());
        Ok(is_new)
    }

    async fn renew_epoch(&mut self, epoch: Epoch, now: DateTime<Utc>) -> StorageResult<bool> {
        let state = self.state_mut()?;
        if epoch <= state.identity.epoch {
            return Ok(false);
        }
        state.identity.epoch = epoch;
        state.identity.renewed = Some(now);
        state.config.apps.for_each(|app| app.epoch = epoch);
        Ok(true)
    }
}
