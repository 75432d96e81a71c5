//! The audit trail: who did what to what, when and from where. Append-only, and never a value: digests only.

use std::net::IpAddr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{AccountId, Caller, Group};
use crate::ports::StorageResult;
use crate::{Page, Pilothouse, Result};

/// What is written down of one deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `family.verb`, such as `task.add`.
    pub action: &'static str,
    /// What it was done to, by its name on the wire.
    pub object: String,
    /// Digest of the object before.
    pub old: Option<String>,
    /// Digest of the object after.
    pub new: Option<String>,
}

impl Entry {
    /// An entry without digests.
    pub fn new(action: &'static str, object: impl Into<String>) -> Self {
        Self { action, object: object.into(), old: None, new: None }
    }

    /// With the digest of the object as it was.
    #[must_use]
    pub fn old(mut self, digest: String) -> Self {
        self.old = Some(digest);
        self
    }

    /// With the digest of the object as it is now.
    #[must_use]
    pub fn new_digest(mut self, digest: String) -> Self {
        self.new = Some(digest);
        self
    }
}

/// SHA-256 over the parts, as hexadecimal digits. No part may be a secret that could be guessed from it.
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// A row of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its id; given by the store, ignored when inserting.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The account that acted; `None` for the command line.
    pub actor: Option<AccountId>,
    /// Its name at the time.
    pub actor_name: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// `family.verb`, or `refused`.
    pub action: String,
    /// What it was done to; for a refusal the right that was missing.
    pub object: String,
    /// Digest before.
    pub old: Option<String>,
    /// Digest after.
    pub new: Option<String>,
    /// How often: above 1 only for refusals, which are summed per actor, right and minute.
    pub count: i64,
}

/// Which rows to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only those of this actor name.
    pub actor: Option<String>,
    /// Only those about this object.
    pub object: Option<String>,
    /// Only those at or after this moment.
    pub since: Option<DateTime<Utc>>,
    /// Only those before this moment.
    pub until: Option<DateTime<Utc>>,
}

/// The trail in a store.
#[async_trait]
pub trait AuditRepository: Send {
    /// Appends a row; its `id` is ignored.
    async fn append(&mut self, row: &AuditRow) -> StorageResult<()>;
    /// Rows that pass the filter, by id.
    async fn list(&mut self, filter: &AuditFilter, page: Page) -> StorageResult<Vec<AuditRow>>;
}

/// Reading the trail.
#[derive(Clone, Copy, Debug)]
pub struct Audit<'a>(pub(crate) &'a Pilothouse);

impl Audit<'_> {
    /// Lists rows; needs group 9.
    pub async fn list(&self, caller: &Caller, filter: &AuditFilter, page: Page) -> Result<Vec<AuditRow>> {
        self.0.require(caller, Group::ReadAudit)?;
        self.0.flush_refusals().await?;
        Ok(self.0.storage().read().await?.audit().list(filter, page).await?)
    }
}
